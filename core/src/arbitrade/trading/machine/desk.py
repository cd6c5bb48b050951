"""The desk a cycle's executor works at."""

from collections.abc import Mapping
from decimal import Decimal

from arbitrade.book import OrderBook
from arbitrade.config import ExecutionSettings
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
from arbitrade.records import CycleNoted
from arbitrade.trading.machine.cycles import UNWINDING, Cycle
from arbitrade.trading.machine.kernel import Wait
from arbitrade.trading.machine.orders import TrackedOrder
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.quoting import Quoting
from arbitrade.trading.machine.sending import Sending
from arbitrade.trading.machine.state import MachineState
from arbitrade.trading.machine.unwinding import Unwinding


class Desk:
    """Satisfies `CycleDesk`: what one cycle's executor works with.

    Args:
        cycle: Whose desk it is.
        state: The time, and whether trading goes on.
        ports: Books, instruments, the journal.
        execution: How long to wait for an order's end, how often to try a way back.
        quoting: What things would bring.
        sending: Places orders and looks them up.
    """

    def __init__(
        self,
        cycle: Cycle,
        state: MachineState,
        ports: Ports,
        execution: ExecutionSettings,
        quoting: Quoting,
        sending: Sending,
    ) -> None:
        self._cycle = cycle
        self._state = state
        self._ports = ports
        self._execution = execution
        self._quoting = quoting
        self._sending = sending

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
        return self._state.now_ns

    @property
    def must_reduce(self) -> bool:
        """True once trading was halted or is ending."""
        return not self._state.may_begin

    def book(self, symbol: str) -> OrderBook | None:
        """Return a book, None where there is none; check `tradable` before relying on it."""
        return self._ports.books().get(symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Return a pair's rules as they are now."""
        return self._ports.instruments()[symbol]

    def held(self) -> Mapping[str, Decimal]:
        """Return what the cycle's fills left it with."""
        return self._cycle.holdings()

    def available(self, asset: str) -> Decimal:
        """Return what this cycle may spend of an asset."""
        return self._quoting.available(asset, but=self._cycle)

    def quote(self, leg: Leg, amount: Decimal) -> LegQuote:
        """Return what converting up to `amount` would be now."""
        return self._quoting.quote(leg, amount, self._cycle)

    def is_dust(self, asset: str, amount: Decimal) -> bool:
        """Tell whether an amount is too little to be brought back to the start asset."""
        return self._quoting.is_dust(asset, amount, self._cycle.start)

    def place(self, leg: int, order: PlannedOrder, role: OrderRole = OrderRole.LEG) -> Ticket:
        """Write an order down, then send it."""
        return self._sending.place(self._cycle, leg, order, role)

    async def settled(self, *tickets: Ticket) -> None:
        """Wait until nothing more can happen to these orders."""
        tracked = [ticket for ticket in tickets if isinstance(ticket, TrackedOrder)]
        patience_ns = round(self._execution.settle_timeout_s * 1e9)
        while not all(order.is_settled for order in tracked):
            until = self.now_ns + patience_ns
            if not await Wait(lambda: all(order.is_settled for order in tracked), until):
                for order in tracked:
                    if not order.is_settled:
                        self._sending.look_up(order)

    async def pause(self, seconds: float) -> None:
        """Wait so long by the run's clock."""
        await Wait(_never, self.now_ns + round(seconds * 1e9))

    async def hold(self, seconds: float) -> None:
        """Wait so long at most, and no longer than until `must_reduce` changes."""
        before = self.must_reduce
        until = self.now_ns + round(seconds * 1e9)
        await Wait(lambda: self.must_reduce != before, until)

    async def until_account_ready(self, seconds: float) -> bool:
        """Wait until orders may go out again, at most so long; return whether they may."""
        until = self.now_ns + round(seconds * 1e9)
        return await Wait(lambda: self._state.is_connected, until)

    async def unwind(self, reason: str) -> CycleState:
        """Bring what is held back to the start asset."""
        if self._cycle.may_resume and self._cycle.state is not CycleState.UNWINDING:
            self.note(UNWINDING, reason=reason)
        self._cycle.state = CycleState.UNWINDING
        self._cycle.reason = self._cycle.reason or reason
        unwinding = Unwinding(
            self,
            self._cycle,
            self._ports.instruments,
            self._quoting,
            self._sending,
            self._execution.unwind_attempts,
        )
        return await unwinding.run(reason)

    def note(self, what: str, **fields: object) -> None:
        """Write something about this cycle into the journal."""
        told = {name: str(value) for name, value in fields.items()}
        self._cycle.notes[what] = told
        self._ports.write(CycleNoted(self._cycle.number, what, told), self._cycle.run)

    def noted(self, what: str) -> Mapping[str, str] | None:
        """Return the fields of the last note of this name."""
        return self._cycle.notes.get(what)


def _never() -> bool:
    return False
