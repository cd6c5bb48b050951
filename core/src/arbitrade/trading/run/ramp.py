"""The way to full size with real money: rehearse, then the smallest size, then everything."""

from collections.abc import Callable
from decimal import Decimal

import attrs

from arbitrade.config.trading import LiveSettings
from arbitrade.models import CycleState, Instruments, Opportunity, OrderRole, Plan, Refused
from arbitrade.protocols import RiskView
from arbitrade.protocols.execution import CycleDesk, Executor
from arbitrade.risk.blocked import smallest_input

ZERO = Decimal(0)
REHEARSAL = "rehearsal"
_MARGIN = Decimal("1.05")
"""Above the very minimum, so that a price that moves a little doesn't refuse the last leg."""


@attrs.frozen
class RehearsalExecutor:
    """Has the venue check every order of a cycle, and sends none."""

    name: str = REHEARSAL
    needs_inventory: bool = False

    def takes(self, plan: Plan) -> bool:
        """Return True: whatever is planned can be checked."""
        return True

    async def execute(self, desk: CycleDesk) -> CycleState:
        """Send each leg to be checked only."""
        plan = desk.approved.plan
        tickets = [
            desk.place(index, quote.order, OrderRole.REHEARSAL)
            for index, quote in enumerate(plan.quotes)
        ]
        await desk.settled(*tickets)
        for ticket in tickets:
            if ticket.rejection:
                desk.note("rehearsal_refused", client_id=ticket.client_id, why=ticket.rejection)
        return CycleState.ABORTED_CLEAN


@attrs.define(eq=False)
class Ramp:
    """Where an account is on the way; a `SizeRule` while it is not at its end.

    Args:
        settings: How long each stage is.
        view: What the sizes are judged by.
        instruments: As they are.
        slippage_bps: What plans are made with.
        rehearsed: Cycles rehearsed so far, earlier runs included.
        small: Cycles at the smallest size so far.
    """

    settings: LiveSettings
    view: RiskView
    instruments: Callable[[], Instruments]
    slippage_bps: Decimal = ZERO
    rehearsed: int = 0
    small: int = 0
    name: str = "ramp_up"
    _day: int = 0
    _put_in: Decimal = ZERO

    @property
    def stage(self) -> str:
        """`rehearsal`, `minimum` or `full`."""
        if self.rehearsed < self.settings.rehearsal_cycles:
            return REHEARSAL
        return "minimum" if self.small < self.settings.minimum_size_cycles else "full"

    def executor(self, real: Executor) -> Executor:
        """Return who carries out the next cycle."""
        return RehearsalExecutor() if self.stage == REHEARSAL else real

    def on_end(self, executor: str, state: CycleState, worth: Decimal | None) -> None:
        """Count a cycle's end; one that didn't fill says nothing about the way orders go."""
        if executor == REHEARSAL:
            # Nothing was put in.
            self.rehearsed += 1
            return
        if state is CycleState.COMPLETED:
            self.small += 1
        day = self.view.now_ns // 86_400_000_000_000
        self._put_in = (self._put_in if day == self._day else ZERO) + (worth or ZERO)
        self._day = day

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal once the day's cap of the ramp-up is used."""
        cap = self.settings.ramp_daily_cap
        if self.stage != "minimum" or not cap or self._put_in < cap:
            return None
        reference = self.view.limits.reference_asset
        return Refused(
            opportunity,
            self.name,
            "the daily cap of the ramp-up is used",
            f"{self._put_in} {reference}",
            f"{cap} {reference}",
        )

    def maximum_input(self, opportunity: Opportunity) -> Decimal | None:
        """Return about the smallest size the venue takes, until the ramp-up is over."""
        if self.stage != "minimum":
            return None
        least = smallest_input(
            opportunity, self.view, self.instruments(), slippage_bps=self.slippage_bps
        )
        return None if least is None else least * _MARGIN
