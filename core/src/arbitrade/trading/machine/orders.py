"""Orders we wrote down, and what has become of each: in any order of arrival, each fill once."""

from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal

import attrs

from arbitrade.models import (
    ExecutionReport,
    Intent,
    Level,
    OrderState,
    OrderStatus,
    PlannedOrder,
)

ZERO = Decimal(0)
_KEPT = 1_000


@attrs.define(eq=False)
class TrackedOrder:
    """One order; satisfies `Ticket`.

    Args:
        intent: As written down.
        answer: `waiting`, `accepted`, `rejected`, `unknown`, `not_sent`.
        status: As the venue last told; None while it told nothing.
        told_filled: The most the venue said was filled, by whatever way; its fills may be late.
        base_step: The smallest amount of base the venue's ledger keeps; None while nobody tells.
            What was filled is told finer than that, fills as they are booked.
        flows: What its fills changed by asset, as booked in the ledger.
        asked_at_ns: When it was last looked up; None if never.
    """

    intent: Intent
    written_at_ns: int
    owner: object = None
    """The cycle."""
    answer: str = "waiting"
    order_id: str = ""
    rejection: str = ""
    is_connection_refusal: bool = False
    status: OrderStatus | None = None
    reason: str = ""
    told_filled: Decimal = ZERO
    base_step: Decimal | None = None
    fills: dict[str, ExecutionReport] = attrs.field(factory=dict)
    flows: dict[str, Decimal] = attrs.field(factory=dict)
    sent_ns: int | None = None
    acknowledged_ns: int | None = None
    filled_ns: int | None = None
    asked_at_ns: int | None = None
    look_ups: int = 0
    denials: int = 0
    """How often the venue, asked, knew of no such order."""
    is_closed: bool = False
    """Its end was written down."""
    amount: Decimal = ZERO
    """What it was sized for: the most that was to go in."""
    skip_lots: int = 0
    """Lots at the front of the book that were spoken for when it was placed."""
    moments: dict[str, tuple[Level, ...]] = attrs.field(factory=dict)
    """The side of the book it takes from, at moments of its journey, for attribution."""

    @property
    def client_id(self) -> str:
        """Our id, which the venue gives back with everything about the order."""
        return self.intent.request.client_id

    @property
    def order(self) -> PlannedOrder:
        """What was asked for."""
        request = self.intent.request
        assert request.limit_price is not None
        return PlannedOrder(request.symbol, request.side, request.quantity, request.limit_price)

    @property
    def filled_quantity(self) -> Decimal:
        """In base, of the fills that are known."""
        return sum((fill.last_quantity for fill in self.fills.values()), ZERO)

    @property
    def filled_cost(self) -> Decimal:
        """In quote, of the fills that are known."""
        return sum((fill.cost for fill in self.fills.values()), ZERO)

    @property
    def spent(self) -> Decimal:
        """What went out of the asset that goes in."""
        return -self.flows.get(self.intent.spends, ZERO)

    @property
    def received(self) -> Decimal:
        """What came of the asset that comes out."""
        return self.flows.get(self.intent.receives, ZERO)

    @property
    def is_ended(self) -> bool:
        """True when the venue has nothing more to do with it, its fills may still be on the way."""
        if self.intent.request.is_dry_run:
            return self.answer in ("accepted", "rejected", "not_sent")
        if self.status is not None:
            return self.status.is_final
        return self.answer in ("rejected", "not_sent")

    @property
    def is_settled(self) -> bool:
        """True when nothing more can happen and every fill is known."""
        if not self.is_ended:
            return False
        rounding = (self.base_step or ZERO) * (len(self.fills) + 1)
        missing = self.told_filled - self.filled_quantity
        return missing <= 0 or missing < rounding

    @property
    def is_refused(self) -> bool:
        """True when it ended without a fill because somebody said no."""
        return self.is_settled and self.answer in ("rejected", "not_sent") and not self.fills

    def on_report(self, report: ExecutionReport) -> bool:
        """Take an event; return whether it brings a fill that wasn't known.

        A final status stays, whatever comes after it; what counts is the most that was told.
        """
        if report.order_id and not self.order_id:
            self.order_id = report.order_id
        if self.answer in ("waiting", "unknown"):
            self.answer = "accepted"
        is_new = bool(report.exec_id) and report.last_quantity > 0
        is_new = is_new and report.exec_id not in self.fills
        if is_new and report.exec_id is not None:
            self.fills[report.exec_id] = report
        if report.cumulative_quantity is not None:
            self.told_filled = max(self.told_filled, report.cumulative_quantity)
        if self.status is None or not self.status.is_final:
            self.status = report.status
            self.reason = report.reason or self.reason
        return is_new

    def on_state(self, state: OrderState | None) -> None:
        """Take the venue's answer to a look-up."""
        if state is None:
            self._on_denial()
            return
        self.answer = "accepted"
        self.order_id = self.order_id or state.order_id
        self.told_filled = max(self.told_filled, state.filled_quantity)
        if self.status is None or not self.status.is_final:
            self.status = state.status
            self.reason = state.reason or self.reason

    def _on_denial(self) -> None:
        self.denials += 1
        if not self.fills and self.status is None:
            self.answer = "not_sent"
            self.rejection = self.rejection or "the venue never got it"
        elif self.denials > 1 and (self.status is None or not self.status.is_final):
            # Once may have crossed an event on its way.  Twice: it was there and is gone, as
            # simulated orders are after a crash.
            self.status = OrderStatus.CANCELED
            self.reason = self.reason or "the venue knows nothing of it any more"

    def add_flows(self, flows: Mapping[str, Decimal]) -> None:
        """Take what the ledger booked for it."""
        for asset, amount in flows.items():
            self.flows[asset] = self.flows.get(asset, ZERO) + amount


class OrderTable:
    """All orders of a run that may still matter, by our id and by the venue's."""

    def __init__(self) -> None:
        self._by_client: dict[str, TrackedOrder] = {}
        self._by_order: dict[str, TrackedOrder] = {}
        self._ended: deque[TrackedOrder] = deque()

    def add(self, order: TrackedOrder) -> None:
        """Take one more order, by our id and, once it is known, by the venue's."""
        self._by_client[order.client_id] = order
        self.index(order)

    def index(self, order: TrackedOrder) -> None:
        """Learn the venue's id once it is known."""
        if order.order_id:
            self._by_order[order.order_id] = order

    def find(self, client_id: str | None, order_id: str = "") -> TrackedOrder | None:
        """Return an order by either id."""
        found = self._by_client.get(client_id) if client_id else None
        return found or (self._by_order.get(order_id) if order_id else None)

    def with_fill(self, execution_id: str) -> TrackedOrder | None:
        """Return the order a fill is of, also one whose cycle waits to be brought to its end."""
        orders = self._by_client.values()
        return next((order for order in orders if execution_id in order.fills), None)

    def unsettled(self) -> Iterable[TrackedOrder]:
        """Return the orders something may still happen to."""
        return [order for order in self._by_client.values() if not order.is_settled]

    def retire(self, orders: Iterable[TrackedOrder]) -> None:
        """Keep orders of a cycle that is over for a while: an answer may come after the fills."""
        self._ended.extend(orders)
        while len(self._ended) > _KEPT:
            order = self._ended.popleft()
            self._by_client.pop(order.client_id, None)
            self._by_order.pop(order.order_id, None)


def is_fill_of(execution_id: str, client_id: str) -> bool:
    """Tell whether a simulated fill is of this order."""
    return execution_id.startswith(f"{_order_id(client_id)}-")


def _order_id(client_id: str) -> str:
    return f"PAPER-{client_id}"
