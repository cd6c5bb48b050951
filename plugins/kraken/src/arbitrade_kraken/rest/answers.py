"""What REST answers say, as models.  Pure.

No result is looked up by the name it was asked for with: the venue answers under names of its own.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs

from arbitrade import Secret
from arbitrade.errors import MessageError
from arbitrade.models import (
    Asset,
    Balance,
    BalanceChange,
    ExecutionReport,
    Fee,
    FeeRates,
    OrderState,
    OrderStatus,
    Side,
)
from arbitrade_kraken.symbols import asset_name, pair_symbol

_ZERO = Decimal(0)
_PERCENT = Decimal(100)


@attrs.frozen
class WebSocketToken:
    """A WebSocket token.

    Args:
        value: Goes into every private request.
        expires_s: It has to be used within so many seconds.
    """

    value: Secret = attrs.field(repr=False)
    expires_s: float


@attrs.frozen
class KeyInfo:
    """What the venue knows of an API key; never the key itself."""

    name: str
    permissions: frozenset[str]


@attrs.frozen
class Trade:
    """A fill as the trade history tells it."""

    fill: ExecutionReport
    order_id: str


@attrs.frozen
class PairNames:
    """Every spelling of a pair to its symbol.

    Args:
        symbols: v2 symbol by key, altname, wsname and symbol.
        keys: The venue's own key by symbol.
        quotes: Quote asset by symbol.
    """

    symbols: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    keys: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    quotes: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    def symbol(self, name: str) -> str:
        """Return the symbol of a pair in any spelling; an unknown one as it is."""
        return self.symbols.get(name, name)


def read_pair_names(result: object) -> PairNames:
    """Return the names in an `AssetPairs` result."""
    symbols: dict[str, str] = {}
    keys: dict[str, str] = {}
    quotes: dict[str, str] = {}
    for key, row in _rows(result, "AssetPairs"):
        wsname = _text(row, "wsname")
        symbol = pair_symbol(wsname)
        keys[symbol] = key
        quotes[symbol] = asset_name(_text(row, "quote"))
        for name in (key, str(row.get("altname", key)), wsname, symbol):
            symbols[name] = symbol
    return PairNames(symbols, keys, quotes)


def read_assets(result: object) -> list[Asset]:
    """Return the assets of an `Assets` result."""
    return [
        Asset(name=asset_name(key), precision=int(row["decimals"]))
        for key, row in _rows(result, "Assets")
        if "decimals" in row
    ]


def read_token(result: object) -> WebSocketToken:
    """Return the token of a `GetWebSocketsToken` result."""
    answer = _object(result, "GetWebSocketsToken")
    token = answer.get("token")
    if not isinstance(token, str) or not token:
        raise MessageError("kraken: GetWebSocketsToken: an answer without a token")
    return WebSocketToken(Secret(token), float(answer.get("expires", 900)))


def read_key_info(result: object) -> KeyInfo:
    """Return what a `GetApiKeyInfo` result says; both spellings of its fields are in use."""
    answer = _object(result, "GetApiKeyInfo")
    words = answer.get("permissions")
    if not isinstance(words, list):
        raise MessageError("kraken: GetApiKeyInfo: an answer without a list of permissions")
    return KeyInfo(
        name=str(answer.get("apiKeyName", answer.get("api_key_name", ""))),
        permissions=frozenset(str(word).lower().replace("_", "-") for word in words),
    )


def read_balances(result: object) -> list[Balance]:
    """Return what can be traded of a `BalanceEx` result.

    Rows with a suffix (`DOT28.S`, `EUR.HOLD`) can't be traded and are left out.
    """
    balances: list[Balance] = []
    for key, row in _rows(result, "BalanceEx"):
        if "." in key:
            continue
        credit = _amount(row, "credit") - _amount(row, "credit_used")
        balances.append(
            Balance(asset_name(key), _amount(row, "balance") + credit, _amount(row, "hold_trade"))
        )
    return balances


def read_fee_rates(result: object, names: PairNames) -> list[FeeRates]:
    """Return the rates of a `TradeVolume` result; the venue writes percent, we write fractions."""
    answer = _object(result, "TradeVolume")
    takers = dict(_rows(answer.get("fees") or {}, "TradeVolume.fees"))
    makers = dict(_rows(answer.get("fees_maker") or {}, "TradeVolume.fees_maker"))
    return [
        FeeRates(
            symbol=names.symbol(name),
            taker=_amount(row, "fee") / _PERCENT,
            # Pairs without rebates for makers have one schedule for both.
            maker=_amount(makers.get(name, row), "fee") / _PERCENT,
        )
        for name, row in takers.items()
    ]


def read_order_states(result: object, names: PairNames) -> list[OrderState]:
    """Return the orders of a mapping of ids to order records."""
    return [_order_state(key, row, names) for key, row in _rows(result, "orders")]


def read_orders(result: object, key: str, names: PairNames) -> list[OrderState]:
    """Return the orders of an `OpenOrders` (`open`) or `ClosedOrders` (`closed`) result."""
    return read_order_states(_object(result, "orders").get(key) or {}, names)


def read_trades(result: object, names: PairNames) -> tuple[list[Trade], int | None]:
    """Return the fills of one `TradesHistory` page, newest first, and how many there are in all."""
    answer = _object(result, "TradesHistory")
    count = answer.get("count")
    rows = _rows(answer.get("trades") or {}, "TradesHistory")
    return [_trade(key, row, names) for key, row in rows], None if count is None else int(count)


@attrs.frozen
class LedgerPage:
    """A page of the ledger.

    Args:
        rows: Newest first; without those of wallets that can't be traded from (`SOL.F`).
        ids: Of all rows, those too.
        count: How many there are on all pages, None where not told.
    """

    rows: Sequence[BalanceChange]
    ids: Set[str]
    count: int | None


def read_ledger(result: object) -> LedgerPage:
    """Return what is on one `Ledgers` page."""
    answer = _object(result, "Ledgers")
    count = answer.get("count")
    entries = dict(_rows(answer.get("ledger") or {}, "Ledgers"))
    rows = [_change(key, row) for key, row in entries.items() if "." not in _text(row, "asset")]
    return LedgerPage(rows, frozenset(entries), None if count is None else int(count))


def read_count(result: object, method: str) -> int:
    """Return how many orders a cancel reached."""
    count = _object(result, method).get("count", 0)
    return int(count)


def with_client_ids(
    trades: Sequence[Trade], client_ids: Mapping[str, str | None]
) -> list[ExecutionReport]:
    """Return the fills with our ids put in, which the trade history leaves out."""
    return [attrs.evolve(trade.fill, client_id=client_ids.get(trade.order_id)) for trade in trades]


_STATUS = {
    "pending": OrderStatus.PENDING,
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
}


def _order_state(order_id: str, row: Mapping[str, Any], names: PairNames) -> OrderState:
    text = row.get("descr")
    if not isinstance(text, Mapping):
        raise MessageError(f"kraken: order {order_id} without a description")
    status = _STATUS.get(str(row.get("status")))
    if status is None:
        raise MessageError(f"kraken: order {order_id} has the status {row.get('status')!r}")
    filled = _amount(row, "vol_exec")
    if status is OrderStatus.OPEN and filled:
        status = OrderStatus.PARTIALLY_FILLED
    price = _amount(text, "price")
    return OrderState(
        order_id=order_id,
        client_id=_optional(row.get("cl_ord_id")),
        symbol=names.symbol(_text(text, "pair")),
        side=_side(text.get("type")),
        status=status,
        quantity=_amount(row, "vol"),
        limit_price=price if price and text.get("ordertype") != "market" else None,
        filled_quantity=filled,
        filled_cost=_amount(row, "cost"),
        fee=_amount(row, "fee"),
        reason=_optional(row.get("reason")),
    )


def _trade(exec_id: str, row: Mapping[str, Any], names: PairNames) -> Trade:
    symbol = names.symbol(_text(row, "pair"))
    fee = _amount(row, "fee")
    order_id = _text(row, "ordertxid")
    is_maker = row.get("maker")
    fill = ExecutionReport(
        order_id=order_id,
        client_id=None,
        exec_id=exec_id,
        kind="trade",
        status=OrderStatus.PARTIALLY_FILLED,
        symbol=symbol,
        side=_side(row.get("type")),
        last_quantity=_amount(row, "vol"),
        last_price=_amount(row, "price"),
        cost=_amount(row, "cost"),
        fees=(Fee(names.quotes.get(symbol, symbol.rpartition("/")[2]), fee),) if fee else (),
        cumulative_quantity=None,
        cumulative_cost=None,
        is_maker=is_maker if isinstance(is_maker, bool) else None,
        reason=None,
        timestamp=_moment(row.get("time")),
    )
    return Trade(fill, order_id)


def _change(ledger_id: str, row: Mapping[str, Any]) -> BalanceChange:
    return BalanceChange(
        ledger_id=ledger_id,
        reference=str(row.get("refid") or ""),
        kind=str(row.get("type") or ""),
        asset=asset_name(_text(row, "asset")),
        amount=_amount(row, "amount"),
        fee=_amount(row, "fee"),
        balance=_amount(row, "balance"),
        timestamp=_moment(row.get("time")),
    )


def _object(value: object, what: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise MessageError(f"kraken: {what}: {type(value).__name__} instead of an object")


def _rows(value: object, what: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for key, row in _object(value, what).items():
        yield key, _object(row, f"{what} {key}")


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, str) and value:
        return value
    raise MessageError(f"kraken: a row with {key} {value!r} instead of a text")


def _amount(row: Mapping[str, Any], key: str) -> Decimal:
    value = row.get(key)
    return _ZERO if value is None else _decimal(value, key)


def _decimal(value: object, what: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except ArithmeticError as error:
        raise MessageError(f"kraken: {what} is {value!r}, not a number") from error
    if number.is_finite():
        return number
    raise MessageError(f"kraken: {what} is {value!r}, not a number")


def _side(value: object) -> Side:
    try:
        return Side(value)
    except ValueError as error:
        raise MessageError(f"kraken: {value!r} is neither buy nor sell") from error


def _optional(value: object) -> str | None:
    """Old answers show a missing text as the text `None`."""
    return value if isinstance(value, str) and value not in ("", "None") else None


def _moment(value: object) -> str | None:
    """Return RFC 3339 of seconds with a fraction."""
    if value is None:
        return None
    seconds = _decimal(value, "time")
    micros = int(seconds.scaleb(6))
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros % 1_000_000:06d}Z"
