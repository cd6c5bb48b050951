"""What we know of our orders, to make whole what the venue tells in parts.  Pure.

Later events of an order carry neither pair nor side, and an event may come before the answer to the
order: so each order is entered before it is sent, and found by our id or the venue's.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import attrs

from arbitrade.errors import MessageError
from arbitrade.models import (
    ExecutionReport,
    Fee,
    OrderRequest,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from arbitrade_kraken.bookings import Precisions, as_booked, changes_of

_ZERO = Decimal(0)
_KEPT = 5000
"""Orders that ended, and fills, are remembered up to this many: late messages refer to them."""


@attrs.define(eq=False)
class VenueOrder:
    """One order, ours or another program's.

    Args:
        client_id: Ours; None for an order that is not.
        order_id: The venue's, once known.
        deadline_s: Seconds, monotonic, after which the venue doesn't match it any more.
        is_ours: Sent by this process.
    """

    client_id: str | None
    order_id: str | None = None
    symbol: str | None = None
    side: Side | None = None
    quantity: Decimal = _ZERO
    limit_price: Decimal | None = None
    status: OrderStatus = OrderStatus.PENDING
    filled: Decimal = _ZERO
    deadline_s: float = 0.0
    is_ours: bool = False

    @property
    def is_live(self) -> bool:
        """True while something can still happen."""
        return not self.status.is_final


def may_rest(order: OrderRequest) -> bool:
    """Return whether an order can stand in the book, so that it may have to be cancelled."""
    return (
        order.order_type is OrderType.LIMIT
        and order.time_in_force not in (TimeInForce.IOC, TimeInForce.FOK)
        and not order.is_dry_run
    )


class VenueOrders:
    """All orders of the account that we have heard of since the start."""

    def __init__(self) -> None:
        self.precisions: Precisions = {}
        """Decimals of the venue's ledger by asset; fills are told as they are booked there."""
        self._by_client: dict[str, VenueOrder] = {}
        self._by_order: dict[str, VenueOrder] = {}
        self._ended: OrderedDict[int, VenueOrder] = OrderedDict()
        self._fills: OrderedDict[str, Mapping[str, Decimal]] = OrderedDict()

    def register(self, order: OrderRequest, deadline_s: float) -> None:
        """Enter an order that is about to be sent."""
        self._by_client[order.client_id] = VenueOrder(
            client_id=order.client_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            limit_price=order.limit_price,
            deadline_s=deadline_s,
            is_ours=True,
        )

    def accepted(self, client_id: str, order_id: str) -> None:
        """Take the venue's id from an answer."""
        entry = self._by_client.get(client_id)
        if entry is not None and order_id and entry.order_id is None:
            entry.order_id = order_id
            self._by_order[order_id] = entry

    def rejected(self, client_id: str) -> None:
        """An order never stood."""
        entry = self._by_client.get(client_id)
        if entry is not None and entry.order_id is None:
            self._move(entry, OrderStatus.REJECTED)

    def resolved(self, state: OrderState) -> None:
        """Take what the venue says when asked."""
        entry = self._entry(state.order_id, state.client_id)
        entry.symbol, entry.side = state.symbol, state.side
        entry.quantity, entry.limit_price = state.quantity, state.limit_price
        entry.filled = max(entry.filled, state.filled_quantity)
        self._move(entry, state.status)

    def by_client(self, client_id: str) -> VenueOrder | None:
        """Return the order with our id."""
        return self._by_client.get(client_id)

    def live(self) -> list[VenueOrder]:
        """Return the orders that may still stand, in the order they were heard of."""
        known = {id(e): e for e in (*self._by_client.values(), *self._by_order.values())}
        return [entry for entry in known.values() if entry.is_live]

    def client_ids(self) -> dict[str, str | None]:
        """Return our id, or None, of every order whose id at the venue we know."""
        return {order_id: entry.client_id for order_id, entry in self._by_order.items()}

    def holds(self) -> dict[str, Decimal]:
        """Return what open orders hold, by asset; fees of buys not included."""
        held: dict[str, Decimal] = {}
        for entry in self.live():
            rest = entry.quantity - entry.filled
            if entry.order_id is None or entry.symbol is None or entry.limit_price is None:
                continue
            base, _, quote = entry.symbol.partition("/")
            asset, amount = (
                (quote, rest * entry.limit_price) if entry.side is Side.BUY else (base, rest)
            )
            held[asset] = held.get(asset, _ZERO) + amount
        return held

    def is_new_fill(self, exec_id: str) -> bool:
        """Tell whether a fill was not seen before, and remember it."""
        if exec_id in self._fills:
            return False
        self._fills[exec_id] = {}
        if len(self._fills) > _KEPT:
            self._fills.popitem(last=False)
        return True

    def expected_change(self, exec_id: str, asset: str) -> Decimal | None:
        """Return by how much the balance of an asset must change by a fill that was told.

        None when the fill was not told by the stream, or long ago.
        """
        return self._fills.get(exec_id, {}).get(asset)

    def read(self, row: Mapping[str, Any], *, is_snapshot: bool) -> ExecutionReport | None:
        """Return the report in a row of `executions`, what it leaves out put in.

        Args:
            row: As on the wire, numbers as `Decimal` and `int`.
            is_snapshot: In a snapshot a fill claims that the order is filled, which proves nothing.

        Returns:
            None for a fill that was reported before.

        Raises:
            MessageError: The row lacks what every row has.
        """
        order_id, kind = row.get("order_id"), row.get("exec_type")
        if not isinstance(order_id, str) or not isinstance(kind, str):
            raise MessageError("kraken: an execution without order_id or exec_type")
        is_fill = kind == "trade"
        exec_id = row.get("exec_id") if is_fill else None
        if is_fill and not isinstance(exec_id, str):
            raise MessageError(f"kraken: a fill of {order_id} without exec_id")
        # After a reconnect the snapshot brings the latest fills once more.
        if exec_id is not None and not self.is_new_fill(exec_id):
            return None
        entry = self._entry(order_id, _client_id(row))
        self._learn(entry, row)
        told = OrderStatus.PARTIALLY_FILLED if is_fill else _status(row, entry)
        if is_snapshot and is_fill:
            told = entry.status if entry.status.is_final else told
        self._move(entry, told)
        # Later events leave out pair, side and our id, so these come from what is known.
        report = ExecutionReport(
            order_id=order_id,
            client_id=entry.client_id,
            exec_id=exec_id,
            kind=kind,
            status=told,
            symbol=entry.symbol,
            side=entry.side,
            last_quantity=_number(row, "last_qty") or _ZERO,
            last_price=_number(row, "last_price") or _ZERO,
            cost=_number(row, "cost") or _ZERO,
            fees=_fees(row),
            cumulative_quantity=_number(row, "cum_qty"),
            cumulative_cost=_number(row, "cum_cost"),
            is_maker={"m": True, "t": False}.get(str(row.get("liquidity_ind"))),
            reason=row.get("reason") or row.get("cancel_reason"),
            timestamp=row.get("timestamp"),
        )
        if exec_id is None:
            return report
        booked = as_booked(report, self.precisions)
        self._fills[exec_id] = changes_of(booked)
        return booked

    def _entry(self, order_id: str, client_id: str | None) -> VenueOrder:
        entry = self._by_order.get(order_id)
        if entry is None and client_id is not None:
            entry = self._by_client.get(client_id)
            # Our ids are unique among open orders only: an older order may have had the same.
            if entry is not None and entry.order_id not in (None, order_id):
                entry = None
        if entry is None:
            entry = VenueOrder(client_id=client_id)
            if client_id is not None:
                self._by_client[client_id] = entry
        entry.order_id = order_id
        self._by_order[order_id] = entry
        return entry

    def _learn(self, entry: VenueOrder, row: Mapping[str, Any]) -> None:
        if isinstance(row.get("symbol"), str):
            entry.symbol = row["symbol"]
        if row.get("side") in ("buy", "sell"):
            entry.side = Side(row["side"])
        entry.quantity = _number(row, "order_qty") or entry.quantity
        entry.limit_price = _number(row, "limit_price") or entry.limit_price
        entry.filled = max(entry.filled, _number(row, "cum_qty") or _ZERO)

    def _move(self, entry: VenueOrder, status: OrderStatus) -> None:
        """An order that has ended stays so, whatever comes late."""
        if not entry.is_live or status is entry.status:
            return
        entry.status = status
        if not status.is_final:
            return
        self._ended[id(entry)] = entry
        if len(self._ended) > _KEPT:
            _, oldest = self._ended.popitem(last=False)
            if oldest.order_id is not None:
                self._by_order.pop(oldest.order_id, None)
            if oldest.client_id is not None and self._by_client.get(oldest.client_id) is oldest:
                del self._by_client[oldest.client_id]


def missing_from(snapshot: Iterable[ExecutionReport], orders: VenueOrders) -> list[VenueOrder]:
    """Return the orders that stood as far as we know, and that a snapshot doesn't mention."""
    told = {report.order_id for report in snapshot if report.kind != "trade"}
    return [entry for entry in orders.live() if entry.order_id and entry.order_id not in told]


def as_report(state: OrderState, timestamp: str | None = None) -> ExecutionReport:
    """Return what the venue said when asked, in the form in which it would have told by itself."""
    return ExecutionReport(
        order_id=state.order_id,
        client_id=state.client_id,
        exec_id=None,
        kind=state.status.value,
        status=state.status,
        symbol=state.symbol,
        side=state.side,
        last_quantity=_ZERO,
        last_price=_ZERO,
        cost=_ZERO,
        fees=(),
        cumulative_quantity=state.filled_quantity,
        cumulative_cost=state.filled_cost,
        is_maker=None,
        reason=state.reason,
        timestamp=timestamp,
    )


def _client_id(row: Mapping[str, Any]) -> str | None:
    value = row.get("cl_ord_id")
    return value if isinstance(value, str) and value else None


def _status(row: Mapping[str, Any], entry: VenueOrder) -> OrderStatus:
    try:
        return OrderStatus(row.get("order_status"))
    except ValueError:
        return entry.status  # A word the venue added since; the order is where it was.


def _fees(row: Mapping[str, Any]) -> tuple[Fee, ...]:
    fees = []
    for fee in row.get("fees") or ():
        amount = _number(fee, "qty") if isinstance(fee, Mapping) else None
        if amount is None or not isinstance(fee.get("asset"), str):
            raise MessageError("kraken: an execution with a fee that has no asset or amount")
        fees.append(Fee(fee["asset"], amount))
    return tuple(fees)


def _number(row: Mapping[str, Any], key: str) -> Decimal | None:
    value = row.get(key)
    if value is None:
        return None
    try:
        number = Decimal(value)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise MessageError(f"kraken: an execution with {key} {value!r}") from error
    if number.is_finite():
        return number
    raise MessageError(f"kraken: an execution with {key} {value!r}")
