"""A cycle's life: from an approval to its end, and whatever has to be ended for it.

Deterministic: the machine is told what happened and when, writes down what it is going to do, and
hands it to the gateway.  `trader.py` decides what begins; this carries it to its end.
"""

from collections.abc import Coroutine, Mapping
from decimal import Decimal
from typing import Any

import structlog

from arbitrade.accounting.attribution import attribute
from arbitrade.accounting.portfolio import OPERATOR_KEY
from arbitrade.calls import Call, PluginInterruptedError, guard
from arbitrade.config import Settings
from arbitrade.config.risk import RiskLimits
from arbitrade.errors import NonsenseError
from arbitrade.models import (
    Alert,
    Approved,
    Attribution,
    CyclePlan,
    CycleState,
    Opportunity,
    OrderRole,
    Severity,
    TradingState,
)
from arbitrade.protocols.execution import Executor, Resumer, may_resume
from arbitrade.records import CycleClosed, CycleNoted, CycleOpened
from arbitrade.trading.machine.bookings import Bookings
from arbitrade.trading.machine.cycles import BROUGHT, OPERATOR, Cycle
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.desk import Desk
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.machine.kernel import Process, Wait
from arbitrade.trading.machine.marks import Marks
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.quoting import Quoting
from arbitrade.trading.machine.sending import Sending
from arbitrade.trading.machine.state import MachineState

log = structlog.stdlib.get_logger(__name__)
ZERO = Decimal(0)


class Machine:
    """Carries cycles to their end, by way of `quoting`, `sending` and `bookings`.

    Args:
        settings: Everything configured.
        ports: The ways to the world.
        state: What it knows; a fresh one, or one that a journal was put into.
        gateway: Where orders go.
        decisions: Where decisions go.
    """

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        state: MachineState,
        gateway: Gateway,
        decisions: Decisions,
    ) -> None:
        execution = settings.execution
        self._ports = ports
        self._execution = execution
        self._cycle_budget_s = settings.plugins.cycle_budget_s
        self._reference_asset = settings.risk.reference_asset
        self._decisions = decisions
        self.state = state
        self.quoting = Quoting(state, ports, execution, gateway)
        self._marks = Marks(state, ports, self.quoting)
        self.sending = Sending(
            state, ports, execution, gateway, self.quoting, self._marks, decisions
        )
        self.bookings = Bookings(
            state, ports, gateway, self.sending, self.quoting, self._marks, decisions
        )

    # ── beginnings ───────────────────────────────────────────────────────────────────────────────

    def begin(self, approved: Approved, limits: RiskLimits, executor: Executor) -> Cycle:
        """Open a cycle and let its executor run as far as it goes."""
        state = self.state
        state.last_cycle += 1
        cycle = Cycle(
            state.last_cycle,
            state.run,
            approved,
            limits,
            state.now_ns,
            dict(approved.plan.inputs(at_once=executor.needs_inventory)),
            executor=executor.name,
            needs_inventory=executor.needs_inventory,
            may_resume=may_resume(executor),
        )
        state.cycles[cycle.tag] = cycle
        self._ports.write(CycleOpened(cycle.number, executor.name, approved), state.run)
        cycle.deadline_ns = self._deadline_ns(cycle)
        self._let(cycle, self._executed(cycle, executor), type(executor).execute)
        # After the first orders left: the books are the same, and nobody waits for it.
        self._marks.keep_books(cycle, "decision")
        return cycle

    def recover(self) -> None:
        """Bring what a crash interrupted to its end, or let its executor go on with it."""
        interrupted, self.state.to_recover = self.state.to_recover, []
        for cycle in interrupted:
            executor = self._ports.executor(cycle.approved.opportunity.detector)
            cycle.is_recovered = True
            cycle.needs_inventory = executor.needs_inventory
            self.state.cycles[cycle.tag] = cycle
            for order in cycle.orders:
                if not order.is_settled:
                    self.sending.look_up(order)
            desk = self._desk(cycle)
            if (
                executor.name == cycle.executor
                and may_resume(executor)
                and cycle.state is CycleState.OPEN
            ):
                cycle.may_resume = True
                self._let(cycle, self._resumed(cycle, desk, executor), type(executor).resume)
            else:
                self._run(cycle, desk.unwind("recovered after a restart"))

    @guard
    async def _resumed(self, cycle: Cycle, desk: Desk, executor: Resumer) -> CycleState:
        """Let an executor go on once what it had sent is known, and whether trading goes on too."""
        await desk.settled(*cycle.orders)
        # A run begins by reducing: an executor that leaves when it must would leave each time.
        await Wait(lambda: self.state.trading_state is not TradingState.REDUCING)
        plan = cycle.approved.plan
        cycle.reserves = dict(plan.inputs(at_once=cycle.needs_inventory))
        cycle.deadline_ns = self._deadline_ns(cycle)
        return await executor.resume(desk)

    def leave(self, reason: str) -> None:
        """Unwind, on an operator's word, what executors are only holding."""
        for cycle in list(self.state.cycles.values()):
            if cycle.is_at_rest and cycle.process is not None:
                cycle.process.stop()
                self._run(cycle, self._desk(cycle).unwind(reason))

    def flatten(self, asset: str, amount: Decimal, target: str, limits: RiskLimits) -> Cycle:
        """Bring an amount to `target` on an operator's word, as a cycle of its own."""
        state = self.state
        opportunity = Opportunity(
            detector="operator",
            key=f"{OPERATOR_KEY}{asset}>{target}",
            assets=(target, asset),
            legs=(),
            edge_bps=ZERO,
            size=ZERO,
            profit=ZERO,
            orders=(),
            lot_profit=ZERO,
            dust=(),
            blocked=None,
            timestamp=None,
        )
        plan = CyclePlan(opportunity.key, (target, asset), (), (), ZERO, ZERO)
        approved = Approved(opportunity, plan, 0, state.now_ns)
        state.last_cycle += 1
        cycle = Cycle(state.last_cycle, state.run, approved, limits, state.now_ns, {asset: amount})
        cycle.brought = {asset: amount}
        cycle.way_role = OrderRole.FLATTEN
        state.cycles[cycle.tag] = cycle
        self._ports.write(CycleOpened(cycle.number, OPERATOR, approved), state.run)
        self._note(cycle, BROUGHT, cycle.brought)
        self._run(cycle, self._desk(cycle).unwind("flatten"))
        return cycle

    # ── on the way ───────────────────────────────────────────────────────────────────────────────

    def step(self) -> None:
        """Let every cycle run on that can; call after each event."""
        now_ns = self.state.now_ns
        for cycle in list(self.state.cycles.values()):
            if cycle.process is not None:
                cycle.process.step(now_ns)
            due_ns = self._due_ns(cycle)
            if due_ns is not None and now_ns >= due_ns:
                self._end_late(cycle)

    def _due_ns(self, cycle: Cycle) -> int | None:
        """Return when core takes a cycle over; one its executor has core unwind goes on."""
        if not cycle.is_executing or cycle.state is not CycleState.OPEN:
            return None
        return cycle.deadline_ns

    def _deadline_ns(self, cycle: Cycle) -> int | None:
        if cycle.is_basket:
            return None
        return self.state.now_ns + self._cycle_budget_s * 1_000_000_000

    def _end_late(self, cycle: Cycle) -> None:
        why = f"the cycle wasn't ended within plugins.cycle_budget_s ({self._cycle_budget_s} s)"
        executor = self._ports.executor(cycle.approved.opportunity.detector)
        self._blame(cycle, type(executor).execute, PluginInterruptedError(why))
        self.take_over(cycle, f"{cycle.executor}: {why}")

    def next_timer_ns(self) -> int | None:
        """Return when `step` is due next by time alone."""
        waits = [
            cycle.process.wait.until_ns
            for cycle in self.state.cycles.values()
            if cycle.process is not None
            and cycle.process.wait is not None
            and cycle.process.wait.until_ns is not None
        ]
        timer = self.state.timers.next_ns
        deadlines = [
            due_ns
            for cycle in self.state.cycles.values()
            if (due_ns := self._due_ns(cycle)) is not None
        ]
        due = [*waits, *deadlines, *([] if timer is None else [timer])]
        return min(due, default=None)

    def _desk(self, cycle: Cycle) -> Desk:
        return Desk(cycle, self.state, self._ports, self._execution, self.quoting, self.sending)

    @guard
    async def _executed(self, cycle: Cycle, executor: Executor) -> CycleState:
        # Called within the process: what is no coroutine function may raise when it is called.
        return await executor.execute(self._desk(cycle))

    def _let(
        self, cycle: Cycle, coroutine: Coroutine[Any, Any, CycleState], method: object
    ) -> None:
        """Let an executor carry a cycle; what it does wrong is its own fault, and core unwinds."""

        def on_end(state: object, error: BaseException | None) -> None:
            if error is None and not isinstance(state, CycleState):
                error = NonsenseError(f"execute returned {state!r:.100}, not a CycleState")
            if error is not None:
                self._blame(cycle, method, error)
            self._on_end(cycle, state if isinstance(state, CycleState) else None, error)

        cycle.is_executing = True
        call = Call("executors", cycle.executor)
        cycle.process = Process(coroutine, on_end, self._ports.calls, call)
        cycle.process.step(self.state.now_ns)

    def _blame(self, cycle: Cycle, method: object, error: BaseException) -> None:
        self._ports.on_fault("executors", cycle.executor, error, method)

    def _run(self, cycle: Cycle, coroutine: Coroutine[Any, Any, CycleState]) -> None:
        """Carry a cycle ourselves."""

        def on_end(state: CycleState | None, error: BaseException | None) -> None:
            self._on_end(cycle, state, error)

        cycle.is_executing = False
        cycle.process = Process(coroutine, on_end)
        cycle.process.step(self.state.now_ns)

    def take_over(self, cycle: Cycle, reason: str) -> None:
        """Carry a cycle to its end in its executor's place."""
        if not cycle.is_executing or cycle.state is not CycleState.OPEN or cycle.process is None:
            return
        cycle.process.stop()
        cycle.reason = reason
        self._run(cycle, self._desk(cycle).unwind(reason))

    def _note(self, cycle: Cycle, what: str, fields: Mapping[str, object]) -> None:
        told = {name: str(value) for name, value in fields.items()}
        self._ports.write(CycleNoted(cycle.number, what, told), cycle.run)

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────

    def _on_end(self, cycle: Cycle, state: CycleState | None, error: BaseException | None) -> None:
        """Close a cycle; one whose executor raised, or left something behind, is unwound first."""
        if error is not None:
            log.error("cycle.executor_failed", cycle=cycle.number, error=repr(error))
            cycle.reason = f"{cycle.executor} raised {type(error).__name__}: {error}"
        unsettled = any(not order.is_settled for order in cycle.orders)
        must_unwind = error is not None or unsettled or (state is None or not state.is_final)
        left = any(
            asset != cycle.start and not self.quoting.is_dust(asset, amount, cycle.start)
            for asset, amount in cycle.holdings().items()
        )
        # Unwinding that raised or left something is not unwound again: it is flagged.
        is_unwinding = cycle.state is CycleState.UNWINDING
        if (must_unwind or (left and state is not CycleState.FLAGGED)) and not is_unwinding:
            self._run(cycle, self._desk(cycle).unwind(cycle.reason or "something was left"))
            return
        final = state if state is not None and state.is_final else CycleState.FLAGGED
        self._close(cycle, final)

    def _close(self, cycle: Cycle, state: CycleState) -> None:
        """Write a cycle's end down, and let everybody know who counts or waits for it."""
        now_ns, flows = self.state.now_ns, cycle.flows()
        residual = cycle.holdings()
        residual.pop(cycle.start, None)
        # What an executor calls its end is held against what its fills did.
        if not flows:
            state = CycleState.ABORTED_CLEAN
        elif state is CycleState.ABORTED_CLEAN or not (residual or state is CycleState.COMPLETED):
            state = CycleState.UNWOUND
        cycle.state = state
        closed = CycleClosed(
            cycle=cycle.number,
            key=cycle.key,
            state=state,
            start_asset=cycle.start,
            profit=flows.get(cycle.start, ZERO),
            profit_reference=self.quoting.worth(flows, self._reference_asset),
            flows=flows,
            residual=residual,
            attribution=self._attribution(cycle) if flows else None,
            reason=cycle.reason,
            is_recovered=cycle.is_recovered,
            opened_ns=cycle.opened_ns,
        )
        self._marks.keep_books(cycle, "end")
        self._ports.write(closed, cycle.run)
        self._decisions.add(
            now_ns,
            "cycle",
            {
                "cycle": cycle.number,
                "state": state.value,
                "flows": {asset: str(amount) for asset, amount in sorted(flows.items())},
            },
        )
        del self.state.cycles[cycle.tag]
        # Kept for a while all the same: an answer may come after the fills.
        self.state.orders.retire(cycle.orders)
        portfolio = self.state.portfolio
        rehearsal = any(order.intent.role is OrderRole.REHEARSAL for order in cycle.orders)
        portfolio.on_cycle_closed(closed, now_ns, is_rehearsal=rehearsal)
        self._ports.write(portfolio.measured(now_ns), self.state.run)
        if state is CycleState.FLAGGED:
            self._alert_flagged(cycle, residual)
        self._ports.on_cycle_end(cycle, closed)

    def _alert_flagged(self, cycle: Cycle, residual: Mapping[str, Decimal]) -> None:
        left = ", ".join(f"{amount} {asset}" for asset, amount in sorted(residual.items()))
        self._ports.alert(
            Alert(
                Severity.CRITICAL,
                f"cycle {cycle.number} ({cycle.key}) is flagged: {left or 'see its orders'}",
                f"{cycle.reason}. What is left stays in the account; look at it, then "
                "`arbitrade flatten` brings it back to the start asset.",
                subject=cycle.key,
            )
        )

    def _attribution(self, cycle: Cycle) -> Attribution | None:
        plan = cycle.approved.plan
        if not isinstance(plan, CyclePlan) or not plan.quotes:
            # What a basket was expected to bring is an estimate; nothing could be held against it.
            return None
        try:
            return attribute(self._marks.journey(cycle))
        except Exception as error:
            # Figures about the past: whatever is wrong with them, the cycle has ended.
            log.exception("cycle.not_attributed", cycle=cycle.number, error=repr(error))
            return None
