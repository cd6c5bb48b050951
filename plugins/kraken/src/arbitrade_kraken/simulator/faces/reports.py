"""Rows of the private channels, field for field as seen on the wire: later events are sparse."""

from decimal import Decimal

from arbitrade_kraken.simulator.exchange.accounts import Holding
from arbitrade_kraken.simulator.exchange.events import LedgerEntry, OrderEvent
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.exchange.orders import Order, OrderFill
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.wire import Fields, fixed, whole_seconds

_CATEGORIES = {
    "trade": "trade",
    "deposit": "deposit",
    "withdrawal": "withdrawal",
    "credit": "credit",
    "staking": "staking-rewards",
    "reward": "reward-bonus",
    "conversion": "conversion",
}
_ENDINGS = ("canceled", "expired", "filled")


class Reports:
    """Writes rows of `executions` and `balances`."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def event(self, event: OrderEvent) -> Fields:
        """Return the report of one event of an order."""
        order, fill = event.order, event.fill
        pair = self._face.exchange.pair(order.symbol)
        time = self._face.text_of(event.time_ns)
        state: Fields = {"exec_type": event.exec_type, "order_status": event.order_status}
        ids = {"order_id": order.order_id} | client_ids(order)
        if event.exec_type == "pending_new":
            return ids | state | self._terms(order, pair) | {"timestamp": time}
        if event.exec_type == "trade" and fill is not None:
            return ids | state | self._fill(fill, pair) | self._sums(order, pair)
        if event.exec_type in _ENDINGS:
            row = {"timestamp": time} | state | self._sums(order, pair) | ids
            return row if event.exec_type == "filled" else row | _why(event.reason)
        if event.exec_type in ("amended", "restated"):
            row = {"timestamp": time, "cum_qty": fixed(order.filled, pair.lot_decimals)} | state
            row |= {"reason": event.reason or "User requested", "amended": True}
            row["order_qty"] = fixed(order.quantity, pair.lot_decimals)
            return row | _limit(order, pair) | ids
        return {"timestamp": time} | state | ids

    def open_order(self, order: Order) -> Fields:
        """Return the row of an open order in a snapshot: everything known of it."""
        pair = self._face.exchange.pair(order.symbol)
        row: Fields = {"order_id": order.order_id} | client_ids(order)
        row |= {"exec_type": "new", "order_status": order.status}
        row |= self._terms(order, pair) | self._sums(order, pair)
        if order.amended:
            row["amended"] = True
        return row | {"timestamp": self._face.text_of(order.created_ns)}

    def past_fill(self, fill: OrderFill) -> Fields:
        """Return the row of a fill in a snapshot: `filled`, without anything cumulative."""
        pair = self._face.exchange.pair(fill.symbol)
        row: Fields = {"order_id": fill.order_id, "exec_type": "trade", "order_status": "filled"}
        return row | self._fill(fill, pair)

    def holding(self, holding: Holding) -> Fields:
        """Return an asset of a balances snapshot; the earn wallet is in the total."""
        decimals = self._ledger_decimals(holding.asset)
        wallets = [{"type": "spot", "id": "main", "balance": fixed(holding.total, decimals)}]
        if holding.earning:
            earning = fixed(holding.earning, decimals)
            wallets.append({"type": "earn", "id": "flexible", "balance": earning})
        return {
            "asset": holding.asset,
            "asset_class": "currency",
            "balance": fixed(holding.total + holding.earning, decimals),
            "wallets": wallets,
        }

    def ledger_entry(self, entry: LedgerEntry) -> Fields:
        """Return one row of a balances update."""
        decimals = self._ledger_decimals(entry.asset)
        return {
            "ledger_id": entry.ledger_id,
            "ref_id": entry.reference,
            "timestamp": self._face.text_of(entry.time_ns),
            "type": entry.kind,
            "asset": entry.asset,
            "asset_class": "currency",
            "category": _CATEGORIES.get(entry.kind, entry.kind),
            "wallet_type": "spot" if entry.wallet == "main" else "earn",
            "wallet_id": entry.wallet,
            "amount": fixed(entry.amount, decimals),
            "fee": fixed(entry.fee, decimals),
            "balance": fixed(entry.balance, decimals),
        }

    # ── parts ────────────────────────────────────────────────────────────────────────────────────

    def _terms(self, order: Order, pair: PairFacts) -> Fields:
        row: Fields = {
            "symbol": order.symbol,
            "order_qty": fixed(order.quantity, pair.lot_decimals),
            "cum_cost": fixed(order.cost, pair.cost_decimals),
            "time_in_force": order.time_in_force.upper(),
            "side": order.side.value,
            "order_type": order.order_type,
        }
        if order.cash_quantity is not None:
            row["cash_order_qty"] = fixed(order.cash_quantity, pair.cost_decimals)
        row |= _limit(order, pair)
        if order.post_only:
            row["post_only"] = True
        if order.expire_ns is not None:
            row["expire_time"] = whole_seconds(order.expire_ns)
        return row | {
            "stop_price": fixed(Decimal(0), pair.price_decimals),
            "fee_usd_equiv": self._fee_in_usd(order.fee, pair),
            "fee_ccy_pref": "fcib" if order.fee_in_base else "fciq",
        }

    def _sums(self, order: Order, pair: PairFacts) -> Fields:
        return {
            "cum_qty": fixed(order.filled, pair.lot_decimals),
            "cum_cost": fixed(order.cost, pair.cost_decimals),
            "avg_price": average_price(order, pair),
            "fee_usd_equiv": self._fee_in_usd(order.fee, pair),
        }

    def _fill(self, fill: OrderFill, pair: PairFacts) -> Fields:
        return {
            "exec_id": fill.exec_id,
            "trade_id": fill.trade_id,
            "symbol": fill.symbol,
            "side": fill.side.value,
            "last_qty": fixed(fill.quantity, pair.lot_decimals),
            "last_price": fixed(fill.price, pair.price_decimals),
            "liquidity_ind": "m" if fill.is_maker else "t",
            "cost": fixed(fill.cost, pair.cost_decimals),
            "order_type": fill.order_type,
            "timestamp": self._face.text_of(fill.time_ns),
            "fee_usd_equiv": self._fee_in_usd(fill.fee_in_quote, pair),
            "fees": [{"asset": fill.fee_asset, "qty": fill.fee}],
        }

    def _fee_in_usd(self, fee: Decimal, pair: PairFacts) -> Decimal:
        return fixed(self._face.in_usd(pair.quote, fee), 5)

    def _ledger_decimals(self, asset: str) -> int:
        return self._face.exchange.listed.assets[asset].decimals


def client_ids(order: Order) -> Fields:
    """Return the client's own name for an order; a userref of 0 where there is none."""
    if order.client_id is not None:
        return {"cl_ord_id": order.client_id}
    return {"order_userref": order.userref or 0}


def average_price(order: Order, pair: PairFacts) -> Decimal:
    """Return the average price: the pair's decimals, more only where they don't hold it."""
    average = order.average_price
    short = fixed(average, pair.price_decimals)
    return short if short == average else fixed(average, pair.price_decimals + 5)


def _limit(order: Order, pair: PairFacts) -> Fields:
    if order.limit_price is None:
        return {}
    price = fixed(order.limit_price, pair.price_decimals)
    return {"limit_price": price, "limit_price_type": "static"}


def _why(reason: str | None) -> Fields:
    return {"reason": reason, "cancel_reason": reason} if reason else {}
