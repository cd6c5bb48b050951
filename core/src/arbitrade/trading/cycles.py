"""A cycle under way, and the desk its executor works at."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs

from arbitrade.book import OrderBook
from arbitrade.desk_roles import Ticket
from arbitrade.models import (
    Approved,
    CycleState,
    Instrument,
    Leg,
    LegQuote,
    OrderRole,
    PlannedOrder,
    UnwindDecision,
)
from arbitrade.risk_limits import RiskLimits
from arbitrade.trading.kernel import Process, Wait
from arbitrade.trading.orders import TrackedOrder

if TYPE_CHECKING:
    from arbitrade.trading.machine import Machine

ZERO = Decimal(0)


@attrs.define(eq=False)
class Cycle:
    """State of one cycle.

    Args:
        number: In its run.
        run: Of which run; records about it go there.
        reserves: What it may still spend, by asset; nobody else may.
        orders: In the order they were written down.
        decisions: Of the unwind optimiser.
        is_recovered: True when a crash lay in between.
    """

    number: int
    run: str
    approved: Approved
    limits: RiskLimits
    opened_ns: int
    reserves: dict[str, Decimal]
    process: Process[CycleState] | None = None
    orders: list[TrackedOrder] = attrs.field(factory=list)
    decisions: list[UnwindDecision] = attrs.field(factory=list)
    state: CycleState = CycleState.OPEN
    reason: str = ""
    is_recovered: bool = False
    brought: dict[str, Decimal] = attrs.field(factory=dict)
    """What it was given to bring back, by an operator; no fill of its own."""
    way_role: OrderRole = OrderRole.UNWIND

    @property
    def tag(self) -> str:
        """What the client ids of its orders begin with; unique among all runs."""
        return f"{token_of(self.run)}-{self.number:x}"

    @property
    def start(self) -> str:
        """The asset it starts from and ends in."""
        return self.approved.plan.assets[0]

    @property
    def key(self) -> str:
        """Of its opportunity."""
        return self.approved.opportunity.key

    @property
    def symbols(self) -> tuple[str, ...]:
        """The pairs of its plan, then those of its orders elsewhere."""
        names = [leg.symbol for leg in self.approved.plan.legs]
        return tuple(dict.fromkeys(names + [o.intent.request.symbol for o in self.orders]))

    def flows(self) -> dict[str, Decimal]:
        """Return what its fills changed by asset, fees included; zeros left out."""
        total: dict[str, Decimal] = {}
        for order in self.orders:
            for asset, amount in order.flows.items():
                total[asset] = total.get(asset, ZERO) + amount
        return {asset: amount for asset, amount in total.items() if amount}

    def holdings(self) -> dict[str, Decimal]:
        """Return what it has to answer for: its fills, and what it was given."""
        total = self.flows()
        for asset, amount in self.brought.items():
            total[asset] = total.get(asset, ZERO) + amount
        return {asset: amount for asset, amount in total.items() if amount}

    def reserved(self, asset: str) -> Decimal:
        """Return what it may still spend of an asset beyond what its fills already took."""
        taken = -min(ZERO, self.flows().get(asset, ZERO))
        return max(ZERO, self.reserves.get(asset, ZERO) - taken)


class Desk:
    """Satisfies `CycleDesk`: what one cycle's executor works with."""

    def __init__(self, machine: "Machine", cycle: Cycle) -> None:
        self._machine = machine
        self._cycle = cycle

    @property
    def cycle(self) -> int:
        """Number of the cycle."""
        return self._cycle.number

    @property
    def approved(self) -> Approved:
        """What is to be carried out."""
        return self._cycle.approved

    @property
    def limits(self) -> RiskLimits:
        """The limits it began with."""
        return self._cycle.limits

    @property
    def now_ns(self) -> int:
        """Time of the event being handled."""
        return self._machine.now_ns

    @property
    def must_reduce(self) -> bool:
        """True once trading was halted or is ending."""
        return not self._machine.may_begin

    def book(self, symbol: str) -> OrderBook | None:
        """Return a book."""
        return self._machine.books().get(symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Return a pair's rules as they are now."""
        return self._machine.instruments[symbol]

    def held(self) -> Mapping[str, Decimal]:
        """Return what the cycle's fills left it with."""
        return self._cycle.holdings()

    def available(self, asset: str) -> Decimal:
        """Return what this cycle may spend of an asset."""
        return self._machine.available(asset, but=self._cycle)

    def quote(self, leg: Leg, amount: Decimal) -> LegQuote:
        """Return what converting up to `amount` would be now."""
        return self._machine.quote(leg, amount, self._cycle)

    def is_dust(self, asset: str, amount: Decimal) -> bool:
        """Tell whether an amount is too little to be brought back to the start asset."""
        return self._machine.is_dust(asset, amount, self._cycle.start)

    def place(self, leg: int, order: PlannedOrder, role: OrderRole = OrderRole.LEG) -> Ticket:
        """Write an order down, then send it."""
        return self._machine.place(self._cycle, leg, order, role)

    async def settled(self, *tickets: Ticket) -> None:
        """Wait until nothing more can happen to these orders."""
        machine, tracked = self._machine, [t for t in tickets if isinstance(t, TrackedOrder)]
        while not all(order.is_settled for order in tracked):
            until = self.now_ns + machine.settle_timeout_ns
            if not await Wait(lambda: all(order.is_settled for order in tracked), until):
                for order in tracked:
                    if not order.is_settled:
                        machine.look_up(order)

    async def pause(self, seconds: float) -> None:
        """Wait so long by the run's clock."""
        await Wait(_never, self.now_ns + round(seconds * 1e9))

    async def until_account_ready(self, seconds: float) -> bool:
        """Wait until orders may go out again, at most so long; return whether they may."""
        machine = self._machine
        until = self.now_ns + round(seconds * 1e9)
        return await Wait(lambda: machine.is_account_ready, until)

    async def unwind(self, reason: str) -> CycleState:
        """Bring what is held back to the start asset."""
        from arbitrade.trading.unwinding import unwind

        self._cycle.state = CycleState.UNWINDING
        self._cycle.reason = self._cycle.reason or reason
        return await unwind(self, self._machine, self._cycle, reason)

    def note(self, what: str, **fields: object) -> None:
        """Write something about this cycle into the journal."""
        self._machine.note(self._cycle, what, fields)


def _never() -> bool:
    return False


def token_of(run: str) -> str:
    """Return what the client ids of a run's orders begin with."""
    return run.replace("-", "")[:8]


def done_legs(cycle: Cycle) -> Sequence[Leg]:
    """Return the legs of the plan that brought something, in order."""
    filled = {order.intent.leg for order in cycle.orders if order.intent.role is OrderRole.LEG}
    legs = cycle.approved.plan.legs
    return [leg for index, leg in enumerate(legs) if index in filled]
