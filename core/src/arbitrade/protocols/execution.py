"""The roles between an approved opportunity and its orders.

Part of the public API through `arbitrade.protocols`.

An executor is written as a coroutine, in the order things happen, and is run by core, step by step,
by events: book changes, answers, fills and timers in the order they were recorded.  So the same
executor does the same in live, paper and replay, to the last order.  That holds as long as it
awaits nothing but what its desk gives it, and asks no clock but the desk's.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Protocol, TypeGuard, runtime_checkable

from arbitrade.book import OrderBook
from arbitrade.config.risk import RiskLimits
from arbitrade.models import (
    Approved,
    CyclePlan,
    CycleState,
    Instrument,
    Leg,
    LegQuote,
    OrderRole,
    Plan,
    PlannedOrder,
)


class Ticket(Protocol):
    """An order that was placed, and what has become of it so far."""

    @property
    def client_id(self) -> str:
        """Our own id of the order; the venue knows the order by it too."""

    @property
    def order(self) -> PlannedOrder:
        """What was asked for."""

    @property
    def is_settled(self) -> bool:
        """True when nothing more can happen: refused, or ended with every fill known."""

    @property
    def filled_quantity(self) -> Decimal:
        """What was filled so far, in base."""

    @property
    def spent(self) -> Decimal:
        """What went out of the asset that goes in, fees in it included."""

    @property
    def received(self) -> Decimal:
        """What came of the asset that comes out, less fees in it."""

    @property
    def rejection(self) -> str:
        """Why the venue or our own client refused it; empty if nobody did."""


class CycleDesk(Protocol):
    """What an executor works with; one for each cycle."""

    @property
    def cycle(self) -> int:
        """Number of the cycle in its run."""

    @property
    def approved(self) -> Approved:
        """What is to be carried out."""

    @property
    def limits(self) -> RiskLimits:
        """The limits it was approved under; they stay."""

    @property
    def now_ns(self) -> int:
        """Time of the event being handled."""

    @property
    def must_reduce(self) -> bool:
        """True once trading was halted or is ending: finish or unwind, begin nothing new."""

    def book(self, symbol: str) -> OrderBook | None:
        """Return a book; check `tradable` before relying on it."""

    def instrument(self, symbol: str) -> Instrument:
        """Return a pair's rules as they are now."""

    def held(self) -> Mapping[str, Decimal]:
        """Return what the cycle's fills left it with; the start asset negative while it is out."""

    def available(self, asset: str) -> Decimal:
        """Return what this cycle may spend of an asset: what no other cycle reserves or holds."""

    def quote(self, leg: Leg, amount: Decimal) -> LegQuote:
        """Return what converting up to `amount` would be on the book as it is now.

        Raises:
            ArbitradeError: There is no book to trade on.
        """

    def is_dust(self, asset: str, amount: Decimal) -> bool:
        """Tell whether an amount is too little for any order of its asset."""

    def place(self, leg: int, order: PlannedOrder, role: OrderRole = OrderRole.LEG) -> Ticket:
        """Write an order down, then send it: immediate or cancel, deadline and fee asset set.

        Returns at once.  What comes of it shows on the ticket; `settled` waits for it.
        """

    async def settled(self, *tickets: Ticket) -> None:
        """Wait until nothing more can happen to these orders.

        Outcomes nobody knows are found out by asking the venue; nothing is sent twice.
        """

    async def pause(self, seconds: float) -> None:
        """Wait so long by the run's clock."""

    async def hold(self, seconds: float) -> None:
        """Wait so long at most, and no longer than until `must_reduce` changes."""

    async def unwind(self, reason: str) -> CycleState:
        """Bring what is held back to the start asset by the cheapest way; return how it ended."""

    def note(self, what: str, **fields: object) -> None:
        """Write something about this cycle into the journal."""

    def noted(self, what: str) -> Mapping[str, str] | None:
        """Return the fields of the last note of this name, those from before a crash too."""


class Executor(Protocol):
    """Turns an approved opportunity into orders."""

    @property
    def name(self) -> str:
        """Name by which settings choose it."""

    @property
    def needs_inventory(self) -> bool:
        """Whether legs go out before the ones that feed them have filled.

        If so, every leg's input is reserved for the cycle, and the attribution compares each leg
        with what was planned; otherwise only the first leg's is.
        """

    async def execute(self, desk: CycleDesk) -> CycleState:
        """Carry out `desk.approved`, or unwind what was begun; return the final state.

        Raises:
            Exception: Anything it raises makes core unwind what was begun.
        """


@runtime_checkable
class PlanTaker(Protocol):
    """An executor that says which plans it carries out; one that doesn't takes cycles only."""

    def takes(self, plan: Plan) -> bool:
        """Return whether it carries out such a plan; asked before one is approved."""


@runtime_checkable
class Resumer(Protocol):
    """An executor that can go on with what a crash, or the end of a run, left under way."""

    async def resume(self, desk: CycleDesk) -> CycleState:
        """Go on from what `desk.held()` and `desk.noted()` tell; return the final state.

        Called instead of unwinding, once the orders sent before have settled and trading is active
        or halted.  `desk.limits` are those of now.  What core had begun to unwind stays core's.

        Raises:
            Exception: Anything it raises makes core unwind what is held.
        """


def takes(executor: Executor, plan: Plan) -> bool:
    """Tell whether an executor carries out a plan."""
    if _says_what_it_takes(executor):
        return executor.takes(plan)
    return isinstance(plan, CyclePlan)


def may_resume(executor: Executor) -> TypeGuard[Resumer]:
    """Tell whether an executor can go on with what was left under way."""
    return _plays(type(executor), Resumer)


def _says_what_it_takes(executor: Executor) -> TypeGuard[PlanTaker]:
    return _plays(type(executor), PlanTaker)


# PERF: 3 µs of an approval's way to its order when it is asked anew each time.
@lru_cache(maxsize=64)
def _plays(kind: type, role: type) -> bool:
    return issubclass(kind, role)


def held_assets(desk: CycleDesk) -> Sequence[tuple[str, Decimal]]:
    """Return what has to be brought back: positive holdings but the start asset's, by name."""
    start = desk.approved.plan.assets[0]
    return [
        (name, amount)
        for name, amount in sorted(desk.held().items())
        if name != start and amount > 0
    ]
