"""REST calls that ask about an account: money, orders, trades, ledger, key."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from arbitrade_kraken.simulator.exchange.events import LedgerEntry
from arbitrade_kraken.simulator.exchange.fees import FeeSide
from arbitrade_kraken.simulator.exchange.keys import ApiKey
from arbitrade_kraken.simulator.exchange.orders import Order, OrderFill, OrderRef, VenueRefusal
from arbitrade_kraken.simulator.faces.arguments import Arguments
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.rest_public import PublicCalls
from arbitrade_kraken.simulator.faces.rest_rows import RestRows
from arbitrade_kraken.simulator.faces.wire import Fields

type Call = Callable[[ApiKey, Arguments], object]

FUNDS, OPEN, CLOSED, LEDGER = (
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "query-ledger",
)
_PAGE = 50
_MILLISECOND_NS = 1_000_000


class AccountCalls:
    """Answers questions of a key about its account.

    Args:
        public: Knows the names of pairs.
    """

    def __init__(self, face: Face, public: PublicCalls) -> None:
        self._face = face
        self._public = public
        self._rows = RestRows(face)
        self.methods: dict[str, tuple[tuple[str, ...], Call]] = {
            "GetWebSocketsToken": (("create-ws-token",), self._token),
            "GetApiKeyInfo": ((), self._key_info),
            "Balance": ((FUNDS,), self._balance),
            "BalanceEx": ((FUNDS,), self._balance_ex),
            "TradeVolume": ((FUNDS,), self._trade_volume),
            "OpenOrders": ((OPEN,), self._open_orders),
            "ClosedOrders": ((CLOSED,), self._closed_orders),
            "QueryOrders": ((OPEN, CLOSED), self._query_orders),
            "TradesHistory": ((CLOSED,), self._trades_history),
            "QueryTrades": ((CLOSED,), self._query_trades),
            "Ledgers": ((LEDGER,), self._ledgers),
            "QueryLedgers": ((LEDGER,), self._query_ledgers),
        }

    # ── the key ──────────────────────────────────────────────────────────────────────────────────

    def _token(self, key: ApiKey, arguments: Arguments) -> Fields:
        return {"token": self._face.issue_token(key), "expires": self._face.wire.token_s}

    def _key_info(self, key: ApiKey, arguments: Arguments) -> Fields:
        is_recorded = self._face.wire.api_key_names == "recorded"
        created = str(key.created_ns // 1_000_000_000)
        row: Fields = {
            "api_key_name": key.name,
            "api_key": key.key,
            "nonce": str(key.last_nonce),
            "nonce_window": str(key.nonce_window),
            "permissions": sorted(key.permissions),
            "iban": "",
            "valid_until": "0",
            "query_from": "0",
            "query_to": "0",
            "created_time": created,
            "modified_time": created,
            "ip_allowlist": [],
            "last_used": str(self._face.now_ns() // 1_000_000_000),
        }
        return row if is_recorded else {_camel(name): value for name, value in row.items()}

    # ── money ────────────────────────────────────────────────────────────────────────────────────

    def _balance(self, key: ApiKey, arguments: Arguments) -> Fields:
        assets = self._face.exchange.listed.assets
        rows: Fields = {}
        for name, holding in self._face.exchange.inquiry.holdings(key.account).items():
            asset = assets[name]
            rows[asset.asset_id] = f"{holding.total:.{asset.decimals}f}"
            if holding.earning:
                rows[f"{asset.asset_id}.F"] = f"{holding.earning:.{asset.decimals}f}"
        return rows

    def _balance_ex(self, key: ApiKey, arguments: Arguments) -> Fields:
        assets = self._face.exchange.listed.assets
        rows: Fields = {}
        for name, holding in self._face.exchange.inquiry.holdings(key.account).items():
            asset = assets[name]
            rows[asset.asset_id] = _extended(holding.total, holding.held, asset.decimals)
            if holding.earning:
                earning = _extended(holding.earning, Decimal(0), asset.decimals)
                rows[f"{asset.asset_id}.F"] = earning
        return rows

    def _trade_volume(self, key: ApiKey, arguments: Arguments) -> Fields:
        exchange = self._face.exchange
        answer: Fields = {
            "currency": "ZUSD",
            "volume": f"{exchange.inquiry.volume_30d(key.account):.4f}",
        }
        names = arguments.names("pair")
        if not names:
            return answer
        fees: Fields = {}
        maker_fees: Fields = {}
        for name in names:
            under, pair = self._public.find(name)
            quote = exchange.inquiry.fee_quote(key.account, pair.symbol)
            fees[under] = self._fee_row(quote.taker)
            maker_fees[under] = self._fee_row(quote.maker)
        return answer | {"fees": fees, "fees_maker": maker_fees}

    def _fee_row(self, side: FeeSide) -> Fields:
        rows = {
            "fee": f"{side.fee:.4f}",
            "min_fee": f"{side.minimum:.4f}",
            "max_fee": f"{side.maximum:.4f}",
            "next_fee": _four(side.next_fee),
            "next_volume": _four(side.next_volume),
            "tier_volume": _four(side.tier_volume),
        }
        if self._face.wire.minimum_fee_names == "recorded":
            return {name.replace("_", ""): value for name, value in rows.items()}
        return dict(rows)

    # ── orders ───────────────────────────────────────────────────────────────────────────────────

    def _open_orders(self, key: ApiKey, arguments: Arguments) -> Fields:
        """Orders as the database behind REST knows them, which may lag behind the engine."""
        exchange, with_trades = self._face.exchange, arguments.flag("trades")
        as_of_ns = self._as_of_ns(key.account, self._face.wire.open_orders_lag_ms)
        orders = [o for o in exchange.inquiry.open_orders(key.account) if o.created_ns <= as_of_ns]
        orders += [
            _still_open(order)
            for order in exchange.inquiry.closed_orders(key.account)
            if order.created_ns <= as_of_ns < (order.closed_ns or 0)
        ]
        kept = _named(orders, arguments)
        return {"open": {o.order_id: self._rows.order(o, with_trades) for o in kept}}

    def _closed_orders(self, key: ApiKey, arguments: Arguments) -> Fields:
        as_of_ns = self._as_of_ns(key.account, 0)
        exchange, with_trades = self._face.exchange, arguments.flag("trades")
        orders = [
            o for o in exchange.inquiry.closed_orders(key.account) if (o.closed_ns or 0) <= as_of_ns
        ]
        kept = list(_named(orders, arguments))
        kept = _between(kept, arguments, lambda order: order.closed_ns or 0)
        rows = {o.order_id: self._rows.order(o, with_trades) for o in _page(kept, arguments)}
        return {"closed": rows} | _count(len(kept), arguments)

    def _query_orders(self, key: ApiKey, arguments: Arguments) -> Fields:
        """Orders by id, exact: what QueryOrders says is how it stands."""
        exchange = self._face.exchange
        names = arguments.names("txid")
        orders: list[Order] = []
        for name in names[:_PAGE]:
            order = exchange.inquiry.order(key.account, name)
            if order is None:
                raise VenueRefusal("EOrder:Unknown order")
            orders.append(order)
        if (client_id := arguments.text("cl_ord_id")) is not None and not names:
            orders += exchange.inquiry.find_orders(key.account, OrderRef(client_id=client_id))
        elif (userref := arguments.integer("userref")) is not None and not names:
            orders += exchange.inquiry.find_orders(key.account, OrderRef(userref=userref))
        elif not names:
            raise VenueRefusal("EGeneral:Invalid arguments:txid")
        with_trades = arguments.flag("trades")
        return {order.order_id: self._rows.order(order, with_trades) for order in orders}

    # ── trades and ledger ────────────────────────────────────────────────────────────────────────

    def _trades_history(self, key: ApiKey, arguments: Arguments) -> Fields:
        as_of_ns = self._as_of_ns(key.account, 0)
        fills = [f for f in self._face.exchange.inquiry.fills(key.account) if f.time_ns <= as_of_ns]
        groups = _consolidated(fills, arguments.flag("consolidate_taker", default=True))
        groups = _between(groups[::-1], arguments, lambda group: group[-1].time_ns)
        with_ledgers = arguments.flag("ledgers")
        rows = {
            group[0].exec_id: self._rows.trade(group, with_ledgers)
            for group in _page(groups, arguments)
        }
        return {"trades": rows} | _count(len(groups), arguments)

    def _query_trades(self, key: ApiKey, arguments: Arguments) -> Fields:
        fills = {fill.exec_id: fill for fill in self._face.exchange.inquiry.fills(key.account)}
        rows: Fields = {}
        for name in arguments.names("txid"):
            if name not in fills:
                raise VenueRefusal("EQuery:Unknown trade")
            rows[name] = self._rows.trade([fills[name]], arguments.flag("ledgers"))
        return rows

    def _ledgers(self, key: ApiKey, arguments: Arguments) -> Fields:
        entries: list[LedgerEntry] = list(self._face.exchange.inquiry.ledger(key.account))[::-1]
        listed = self._face.exchange.listed
        if names := [n for n in arguments.names("asset") if n != "all"]:
            found = [listed.find_asset(name) for name in names]
            if None in found:
                raise VenueRefusal("EQuery:Unknown asset")
            wanted = {asset.name for asset in found if asset is not None}
            entries = [entry for entry in entries if entry.asset in wanted]
        if (kind := arguments.text("type")) not in (None, "all"):
            entries = [entry for entry in entries if entry.kind == kind]
        entries = _between(entries, arguments, lambda entry: entry.time_ns)
        rows = {e.ledger_id: self._rows.ledger_entry(e) for e in _page(entries, arguments)}
        return {"ledger": rows} | _count(len(entries), arguments)

    def _query_ledgers(self, key: ApiKey, arguments: Arguments) -> Fields:
        entries = {
            entry.ledger_id: entry for entry in self._face.exchange.inquiry.ledger(key.account)
        }
        rows: Fields = {}
        for name in arguments.names("id"):
            if name not in entries:
                raise VenueRefusal("EQuery:Unknown ledger")
            rows[name] = self._rows.ledger_entry(entries[name])
        return rows

    def _as_of_ns(self, account: str, lag_ms: int) -> int:
        now_ns, faults = self._face.exchange.clock.now_ns(), self._face.faults
        if not faults.is_quiet:
            fault = faults.take("rest_lag", account=account)
            if fault is not None:
                lag_ms = int(fault.value or 1000)
        return now_ns - lag_ms * _MILLISECOND_NS


def _extended(total: Decimal, held: Decimal, decimals: int) -> Fields:
    nothing = f"{Decimal(0):.{decimals}f}"
    return {
        "balance": f"{total:.{decimals}f}",
        "hold_trade": f"{held:.{decimals}f}",
        "credit": nothing,
        "credit_used": nothing,
    }


def _still_open(order: Order) -> Order:
    """Return an order as it looked before its end."""
    order.status, order.closed_ns, order.reason = "new", None, None
    return order


def _named(orders: Iterable[Order], arguments: Arguments) -> list[Order]:
    userref, client_id = arguments.integer("userref"), arguments.text("cl_ord_id")
    return [
        order
        for order in orders
        if (userref is None or order.userref == userref)
        and (client_id is None or order.client_id == client_id)
    ]


def _consolidated(fills: Sequence[OrderFill], is_wanted: bool) -> list[list[OrderFill]]:
    """Return groups of fills that REST shows as one trade, oldest first."""
    groups: list[list[OrderFill]] = []
    for fill in fills:
        last = groups[-1][-1] if groups else None
        if (
            is_wanted
            and last is not None
            and not fill.is_maker
            and not last.is_maker
            and last.order_id == fill.order_id
        ):
            groups[-1].append(fill)
        else:
            groups.append([fill])
    return groups


def _between[T](rows: Sequence[T], arguments: Arguments, time_of: Callable[[T], int]) -> list[T]:
    start, end = arguments.number("start"), arguments.number("end")
    return [
        row
        for row in rows
        if (start is None or time_of(row) > start * 1_000_000_000)
        and (end is None or time_of(row) <= end * 1_000_000_000)
    ]


def _page[T](rows: Sequence[T], arguments: Arguments) -> Sequence[T]:
    offset = arguments.integer("ofs") or 0
    return rows[offset : offset + _PAGE]


def _count(count: int, arguments: Arguments) -> Fields:
    return {} if arguments.flag("without_count") else {"count": count}


def _four(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:.4f}"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
