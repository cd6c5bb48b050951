"""The desk a cycle's executor works at."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from arbitrade.book import OrderBook
from arbitrade.config.risk import RiskLimits
from arbitrade.models import (
    Approved,
    CycleState,
    Instrument,
    Leg,
    LegQuote,
    OrderRole,
    PlannedOrder,
)
from arbitrade.protocols.execution import Ticket
from arbitrade.trading.machine.kernel import Wait
from arbitrade.trading.machine.orders import TrackedOrder

if TYPE_CHECKING:
    from arbitrade.trading.machine.machine import Machine
from arbitrade.trading.machine.cycles import Cycle


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
        from arbitrade.trading.machine.unwinding import unwind

        self._cycle.state = CycleState.UNWINDING
        self._cycle.reason = self._cycle.reason or reason
        return await unwind(self, self._machine, self._cycle, reason)

    def note(self, what: str, **fields: object) -> None:
        """Write something about this cycle into the journal."""
        self._machine.note(self._cycle, what, fields)


def _never() -> bool:
    return False
