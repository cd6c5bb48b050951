"""From opportunity to approval, and everything the shell tells us: the heart of a run.

    frame ─▶ engine ─▶ opportunities ─▶ risk gate ─▶ plan ─▶ executor ─▶ intent ─▶ gateway
                        (of one frame,    (caps)    (exact,    │            │
                         best first)               what is left)│            ▼
    answers, fills, timers, commands ───────────────────────────┴──────▶  journal

Synchronous and deterministic: the same events in the same order, with the same times, decide the
same, which the rolling hash of decisions tells.  No I/O, no clock of its own.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import assert_never

import attrs
import structlog

from arbitrade.config import Settings
from arbitrade.errors import ArbitradeError, ConfigError
from arbitrade.execution.basket import plan_basket
from arbitrade.execution.walk import Conditions, plan_cycle
from arbitrade.models import (
    Alert,
    Approved,
    Opportunity,
    Plan,
    Refused,
    Severity,
    TradingState,
)
from arbitrade.protocols import Executor, RiskRule
from arbitrade.protocols.execution import takes
from arbitrade.records import BalancesKept, LimitsChanged, Record
from arbitrade.risk.blocked import refuse_blocked
from arbitrade.risk.gate import RiskGate
from arbitrade.risk.limits import LimitBook, texts
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.events import (
    AccountGap,
    AccountReadiness,
    BalanceMoved,
    BalancesTold,
    ClockTold,
    Commanded,
    Decided,
    Execution,
    FeesTold,
    JournalTold,
    LagTold,
    LookUpFailed,
    OrderAnswer,
    OrderFound,
    PluginSwapped,
    Reconciled,
    RunBegan,
    RunEnding,
    TimeCame,
    TradingEvent,
)
from arbitrade.trading.machine.funnel import Funnel
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.machine.machine import Machine
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.reconciliation import Reconciliation
from arbitrade.trading.machine.state import MachineState
from arbitrade.trading.machine.view import TraderView

log = structlog.stdlib.get_logger(__name__)
ZERO = Decimal(0)


class Trader:
    """Decides.

    Large because each kind of event has a handler here, of a few lines each: whoever asks what an
    event does looks in one place.

    Args:
        settings: Everything configured.
        ports: The ways to the world.
        state: What is known; a fresh one, or one that a journal was put into.
        gateway: Where orders go.
        decisions: Takes every decision.
        limit_book: The limits, which may change.
        must_reconcile: True where a venue has a ledger of its own to agree with.
    """

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        state: MachineState,
        gateway: Gateway,
        decisions: Decisions,
        limit_book: LimitBook,
        *,
        must_reconcile: bool,
    ) -> None:
        self._settings = settings
        self._halt_world = ports.halt
        self._ports = ports = attrs.evolve(ports, halt=self.halt)
        self.state = state
        self.decisions = decisions
        self.limit_book = limit_book
        self.machine = machine = Machine(settings, ports, state, gateway, decisions)
        self.reconciliation = Reconciliation(
            state,
            ports,
            gateway,
            machine.bookings,
            machine.sending,
            tolerance=settings.execution.balance_tolerance,
            reference_asset=settings.risk.reference_asset,
            is_required=must_reconcile,
        )
        self.view = TraderView(state, ports, machine.quoting, limit_book)
        self.gate = RiskGate((), self._on_rule_failed, ports.calls)
        self.funnel = Funnel(self._write)
        self._failed_rules: set[str] = set()

    # ── opportunities ────────────────────────────────────────────────────────────────────────────

    def use_rules(self, rules: Sequence[RiskRule]) -> None:
        """Take these rules from the next opportunity on."""
        self.gate.swap(rules)

    def on_opportunities(self, found: Sequence[Opportunity], position: int) -> None:
        """Decide on everything one frame showed, best expected profit first.

        What one takes, the next can't count on: each is judged and sized on what is left.
        """
        if len(found) > 1:
            found = sorted(found, key=self._rank)
        self.view.at_message(found[0])
        for opportunity in found:
            self._decide(opportunity)

    def _rank(self, opportunity: Opportunity) -> tuple[Decimal, str]:
        worth = self.view.value(opportunity.assets[0], opportunity.profit)
        return -(worth if worth is not None else ZERO), opportunity.key

    def _decide(self, opportunity: Opportunity) -> None:
        if opportunity.blocked is not None:
            self._refuse(opportunity, None)
            return
        answer = self.gate.judge(opportunity)
        if isinstance(answer, Refused):
            self._refuse(opportunity, answer)
            return
        suspended = self._suspended(opportunity)
        if suspended is not None:
            self._refuse(opportunity, suspended)
            return
        amount, cap = opportunity.size, ""
        if answer.amount is not None and answer.amount < amount:
            amount, cap = answer.amount, answer.rule
        plan = self._plan(opportunity, amount, cap)
        if plan.blocked is not None:
            self._refuse(opportunity, None, plan)
            return
        executor = self._ports.executor(opportunity.detector)
        if not takes(executor, plan):
            self._refuse(opportunity, _refuse_executor(opportunity, executor))
            return
        self._begin(opportunity, plan, executor)

    def _plan(
        self,
        opportunity: Opportunity,
        amount: Decimal,
        cap: str = "",
        *,
        is_affordable: bool = False,
    ) -> Plan:
        """Return what an opportunity comes to: the one place that tells baskets from cycles."""
        quoting, books, fees = self.machine.quoting, self._ports.books().get, self.state.fees
        slippage_bps = self._settings.execution.slippage_bps
        available = None if is_affordable else quoting.available
        if opportunity.is_basket:
            conditions = Conditions(fees, quoting.step_of, slippage_bps, quoting.skip, available)
            return plan_basket(opportunity, books, amount, conditions, cap=cap)
        return plan_cycle(
            opportunity.key,
            opportunity.assets,
            opportunity.legs,
            books,
            amount,
            fees,
            instruments=self._ports.instruments(),
            slippage_bps=slippage_bps,
            cap=cap,
            skip=quoting.skip,
            available=available,
        )

    def _begin(self, opportunity: Opportunity, plan: Plan, executor: Executor) -> None:
        state, limits = self.state, self.limit_book
        approved = Approved(opportunity, plan, limits.version, state.now_ns)
        number = state.last_cycle + 1
        self.decisions.add(
            state.now_ns,
            "approved",
            {"key": opportunity.key, "cycle": number, "spent": str(plan.spent)},
        )
        self.machine.begin(approved, limits.limits, executor)
        self.funnel.add(opportunity, "approved", state.now_ns, cycle=number)

    def _refuse(
        self, opportunity: Opportunity, refused: Refused | None, plan: Plan | None = None
    ) -> None:
        outcome = "blocked" if refused is None else "refused"
        rule = "lots" if refused is None else refused.rule
        also: tuple[str, ...] = ()
        if not self.funnel.is_same(opportunity, outcome, rule):
            # Once for each stretch of sightings: what else is in the way, and what would flip it.
            if refused is None:
                refused = self._why_blocked(opportunity, plan)
            else:
                everything = self.gate.check_all(opportunity)
                also = tuple(other.rule for other in everything if other.rule != rule)
        elif refused is None:
            refused = Refused(opportunity, "lots", "", "", "")
        now_ns = self.state.now_ns
        self.decisions.add(now_ns, "refused", {"key": opportunity.key, "rule": rule})
        self.funnel.add(opportunity, outcome, now_ns, refused=refused, also=also)

    def _why_blocked(self, opportunity: Opportunity, plan: Plan | None) -> Refused:
        if plan is None:
            plan = self._plan(opportunity, opportunity.size)
        return refuse_blocked(
            opportunity,
            plan,
            self.view,
            instruments=self._ports.instruments(),
            rules=self.gate.rules,
            slippage_bps=self._settings.execution.slippage_bps,
            # What if there were more: the wallet there is must not answer that.
            replan=lambda amount: self._plan(opportunity, amount, is_affordable=True),
        )

    def _suspended(self, opportunity: Opportunity) -> Refused | None:
        suspended = self.state.suspended
        for leg in opportunity.legs:
            if leg.symbol in suspended:
                return Refused(
                    opportunity,
                    "suspended",
                    f"{leg.symbol} is suspended until the next start",
                    suspended[leg.symbol],
                    "no anomaly",
                )
        return None

    # ── events ───────────────────────────────────────────────────────────────────────────────────

    def at(self, now_ns: int) -> None:
        """Note what time it is; call before each event and each frame."""
        self.state.now_ns = now_ns
        self.state.valuation.forget()

    def on_event(self, event: TradingEvent) -> None:
        """Take one event, then let everything run on that waited for it."""
        state, bookings, reconciliation = self.state, self.machine.bookings, self.reconciliation
        match event:
            case OrderAnswer():
                bookings.on_answer(event)
            case Execution():
                if not event.is_snapshot:
                    reconciliation.on_heard()
                bookings.on_execution(event.report)
            case BalanceMoved():
                bookings.on_row(event.change)
            case BalancesTold():
                reconciliation.on_balances(event)
            case OrderFound():
                bookings.on_found(event.client_id, event.state)
                reconciliation.on_found()
            case LookUpFailed():
                log.warning("order.look_up_failed", client_id=event.client_id, why=event.reason)
            case AccountReadiness():
                reconciliation.on_ready(event)
            case AccountGap():
                reconciliation.on_gap(event)
            case Reconciled():
                reconciliation.on_reconciled(event)
            case FeesTold():
                self._on_fees(event)
            case JournalTold():
                state.journal_problem = event.problem
            case ClockTold():
                state.clock_skew_s = event.skew_us / 1e6
            case LagTold():
                state.event_lag_s = event.lag_us / 1e6
            case Commanded():
                self._on_command(event)
            case PluginSwapped():
                self._on_plugin(event)
            case RunBegan():
                self._ports.on_begin(event)
            case RunEnding():
                self._on_ending()
            case TimeCame() | Decided():
                pass
            case _:
                assert_never(event)
        # Only now: what one event tells of orders of others is asked about once.
        reconciliation.heed_foreign()
        state.timers.run(state.now_ns)
        self.machine.step()

    @property
    def next_timer_ns(self) -> int | None:
        """When `TimeCame` is due next."""
        return self.machine.next_timer_ns()

    # ── commands and state ───────────────────────────────────────────────────────────────────────

    def _on_command(self, event: Commanded) -> None:
        match event.name:
            case "halt":
                self._set_state(TradingState.HALTED, event.arguments.get("reason", ""))
            case "reduce":
                if self.state.trading_state is not TradingState.HALTED:
                    # Halted is more, and only an operator's `resume` takes it back.
                    self._set_state(TradingState.REDUCING, event.arguments.get("reason", ""))
            case "resume":
                problem = self.state.executor_problem
                self._set_state(TradingState.REDUCING if problem else TradingState.ACTIVE, problem)
            case "limits":
                self._change_limits(event)
            case "compare":
                self.reconciliation.ask(event.arguments.get("reason", ""))
            case "reconcile":
                self.reconciliation.ask_before_deciding(event.arguments.get("reason", ""))
            case "flatten":
                self._flatten(event)
            case "recover":
                self.machine.recover()
            case "leave":
                self.machine.leave(event.arguments.get("reason", ""))
            case _:
                log.warning("command.unknown", name=event.name)

    def _set_state(self, state: TradingState, reason: str) -> None:
        self.state.trading_state = state
        self.state.halt_reason = reason
        self.decisions.add(self.state.now_ns, "state", {"state": state.value, "reason": reason})

    def halt(self, reason: str) -> None:
        """Stop within the event at hand; the kill switch's own command follows, for the record."""
        self.halt_at_once()
        self._halt_world(reason)

    def halt_at_once(self) -> None:
        """Begin nothing from here on; the command that follows says why, for the record."""
        self.state.trading_state = TradingState.HALTED

    def _change_limits(self, event: Commanded) -> None:
        try:
            limits = self.limit_book.change(
                event.arguments, actor=event.actor, at_ns=self.state.now_ns
            )
        except ConfigError as error:
            # The shell has checked them; only a recording of another version comes here.
            log.warning("limits.refused", problems=list(error.problems))
            return
        version = self.limit_book.version
        values, before = texts(limits), texts(self._settings.risk)
        changed = {name: text for name, text in values.items() if before[name] != text}
        self._write(LimitsChanged(version, values, event.actor, changed))
        self.decisions.add(self.state.now_ns, "limits", {"version": version})

    def _flatten(self, event: Commanded) -> None:
        limits = self.limit_book.limits
        cap = event.arguments.get("loss_cap")
        if cap is not None:
            limits = attrs.evolve(limits, unwind_loss_cap=Decimal(cap))
        target = event.arguments.get("to", limits.reference_asset)
        wanted = event.arguments.get("asset")
        quoting = self.machine.quoting
        for asset, amount in sorted(self.state.ledger.balances().items()):
            if wanted not in (None, asset):
                continue
            free = min(amount, quoting.available(asset))
            if asset != target and free > 0 and not quoting.is_dust(asset, free):
                self.machine.flatten(asset, free, target, limits)

    def _on_fees(self, event: FeesTold) -> None:
        """Reckon with what the account really pays, in plans and in detectors."""
        state, overrides = self.state, {rate.symbol: rate.taker for rate in event.rates}
        state.fees = attrs.evolve(state.fees, overrides=overrides)
        self.decisions.add(
            state.now_ns, "fees", {name: str(rate) for name, rate in overrides.items()}
        )
        self._ports.on_fees(state.fees)

    def _on_plugin(self, event: PluginSwapped) -> None:
        if not self._ports.on_plugin(event):
            return
        state = self.state
        self.decisions.add(state.now_ns, "plugin", {"plugin": event.plugin, "state": event.state})

    def executor_gone(self, name: str, reason: str, *, is_needed: bool) -> None:
        """Carry an executor's cycles to their end in its place; begin none any more if needed."""
        if is_needed:
            self.state.executor_problem = reason
        if is_needed and self.state.trading_state is TradingState.ACTIVE:
            self._set_state(TradingState.REDUCING, reason)
        for cycle in list(self.state.cycles.values()):
            if cycle.executor == name:
                self.machine.take_over(cycle, reason)

    def executor_back(self) -> None:
        """Let cycles begin again, as far as their executor is concerned."""
        reason, self.state.executor_problem = self.state.executor_problem, ""
        if reason and self.state.halt_reason == reason:
            self._set_state(TradingState.ACTIVE, "")

    def _on_ending(self) -> None:
        """Write down what the run leaves: outcomes under way, profit, and balances if all is clear.

        With a cycle open, what it holds is between balances; then its records tell more.
        """
        state = self.state
        self.funnel.close()
        self._write(state.portfolio.measured(state.now_ns))
        if state.ledger.is_open and not state.cycles and not state.to_recover:
            self._write(BalancesKept(state.ledger.balances()))

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _write(self, record: Record) -> int:
        return self._ports.write(record, self.state.run)

    def _on_rule_failed(self, rule: str, error: BaseException) -> None:
        found = self.gate.rule(rule)
        self._ports.on_fault("risk_rules", rule, error, getattr(type(found), "check", found))
        if rule in self._failed_rules:
            return
        self._failed_rules.add(rule)
        log.error("risk.rule_failed", rule=rule, error=repr(error))
        self._ports.alert(
            Alert(
                Severity.ERROR,
                f"risk rule {rule} fails",
                f"{type(error).__name__}: {error}. It refuses everything until it works, or its "
                "plugin is put aside or disabled.",
                subject="trading",
            )
        )


def _refuse_executor(opportunity: Opportunity, executor: Executor) -> Refused:
    kind = "basket" if opportunity.is_basket else "cycle"
    return Refused(
        opportunity,
        "executor",
        f"the executor {executor.name} carries out no {kind}; let detector {opportunity.detector} "
        "name one that does by its `executor`, or choose another by execution.executor",
        value=kind,
        limit=f"what {executor.name} takes",
    )


def check_limits(book: LimitBook, values: Mapping[str, str]) -> None:
    """Refuse limits that don't fit, before they become an event.

    Raises:
        ConfigError: Each value that doesn't.
    """
    if not values:
        raise ArbitradeError("limits: nothing to change; name a limit and its value")
    book.read(values)
