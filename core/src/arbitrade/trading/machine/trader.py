"""From opportunity to approval, and everything the shell tells us: the heart of a run.

    frame ─▶ engine ─▶ opportunities ─▶ risk gate ─▶ plan ─▶ executor ─▶ intent ─▶ gateway
                        (of one frame,    (caps)    (exact,    │            │
                         best first)               what is left)│            ▼
    answers, fills, timers, commands ───────────────────────────┴──────▶  journal

Synchronous and deterministic: the same events in the same order, with the same times, decide the
same, which the rolling hash of decisions tells.  No I/O, no clock of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import assert_never

import attrs
import structlog

from arbitrade.config import Settings
from arbitrade.errors import ArbitradeError, ConfigError
from arbitrade.execution.walk import plan_cycle
from arbitrade.models import (
    Alert,
    Approved,
    CyclePlan,
    Opportunity,
    Refused,
    Severity,
    TradingState,
)
from arbitrade.protocols import Executor, RiskRule
from arbitrade.records import BalanceCompared, LimitsChanged, Record
from arbitrade.risk.blocked import refuse_blocked
from arbitrade.risk.gate import RiskGate
from arbitrade.risk.limits import LimitBook, texts
from arbitrade.trading.machine.cycles import Cycle
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
    TimeCame,
    TradingEvent,
)
from arbitrade.trading.machine.funnel import Funnel
from arbitrade.trading.machine.machine import Machine
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.view import TraderView

log = structlog.stdlib.get_logger(__name__)
ZERO = Decimal(0)
_RECONCILE_TRIES = 3
_RETRY_NS = 2_000_000_000
_AUDIT_NS = 300_000_000_000
_SOON_NS = 250_000_000
_OVERLAP_NS = 60_000_000_000
"""What is asked for again: a row is booked once, and clocks differ."""


@attrs.define(eq=False)
class _Audit:
    """Reconciling with the venue: how far it is.

    Args:
        told: The venue's balances as last told.
        tries: How often a difference was looked into.
    """

    told: dict[str, Decimal] = attrs.field(factory=dict)
    tries: int = 0
    is_asking: bool = False
    asked_ns: int = 0
    asked_at: int = 0
    """Transactions booked by then."""
    is_done: bool = False
    must_ask_everything: bool = False
    differences: dict[str, Decimal] = attrs.field(factory=dict)


class Trader:
    """Decides.

    Args:
        settings: Everything configured.
        run_id: A UUID.
        ports: The way out.
        decisions: Takes every decision.
    """

    def __init__(self, settings: Settings, run_id: str, ports: Ports, decisions: Decisions) -> None:
        self._settings = settings
        self._ports = ports
        self.decisions = decisions
        self.limit_book = LimitBook(settings.risk)
        self.machine = Machine(settings, run_id, ports, decisions)
        self.machine.reference_asset = settings.risk.reference_asset
        self.view = TraderView(self.machine, self.limit_book)
        self.gate = RiskGate((), self._on_rule_failed)
        self.funnel = Funnel(self._write)
        self._audit = _Audit()
        self._since_ns = 0
        self._heard_ns = 0
        """When the venue last told of an order by itself."""
        self._failed_rules: set[str] = set()
        self.to_recover: list[Cycle] = []
        """Cycles a crash interrupted; ended once the venue can be asked."""
        self.must_reconcile = False
        """True where a venue has a ledger of its own to agree with."""
        self._is_asking_soon = self._is_asking_again = self._is_asking_later = False
        self.machine.on_foreign_order = self._on_foreign_order
        self.on_reconciled: Callable[[], None] | None = None
        self.on_fees: Callable[[dict[str, Decimal]], None] | None = None

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
        self._begin(opportunity, plan)

    def _plan(
        self,
        opportunity: Opportunity,
        amount: Decimal,
        cap: str = "",
        *,
        is_affordable: bool = False,
    ) -> CyclePlan:
        machine = self.machine
        return plan_cycle(
            opportunity.key,
            opportunity.assets,
            opportunity.legs,
            machine.books().get,
            amount,
            machine.fees,
            instruments=machine.instruments,
            slippage_bps=self._settings.execution.slippage_bps,
            cap=cap,
            skip=machine.skip,
            available=None if is_affordable else machine.available,
        )

    def _begin(self, opportunity: Opportunity, plan: CyclePlan) -> None:
        machine, limits = self.machine, self.limit_book
        approved = Approved(opportunity, plan, limits.version, machine.now_ns)
        number = machine.last_cycle + 1
        self.decisions.add(
            machine.now_ns,
            "approved",
            {"key": opportunity.key, "cycle": number, "spent": str(plan.spent)},
        )
        machine.begin(approved, limits.limits, _reserves(plan, machine.executor))
        self.funnel.add(opportunity, "approved", machine.now_ns, cycle=number)

    def _refuse(
        self, opportunity: Opportunity, refused: Refused | None, plan: CyclePlan | None = None
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
        self.decisions.add(self.machine.now_ns, "refused", {"key": opportunity.key, "rule": rule})
        self.funnel.add(opportunity, outcome, self.machine.now_ns, refused=refused, also=also)

    def _why_blocked(self, opportunity: Opportunity, plan: CyclePlan | None) -> Refused:
        if plan is None:
            plan = self._plan(opportunity, opportunity.size)
        return refuse_blocked(
            opportunity,
            plan,
            self.view,
            instruments=self.machine.instruments,
            rules=self.gate.rules,
            slippage_bps=self._settings.execution.slippage_bps,
            # What if there were more: the wallet there is must not answer that.
            replan=lambda amount: self._plan(opportunity, amount, is_affordable=True),
        )

    def _suspended(self, opportunity: Opportunity) -> Refused | None:
        suspended = self.machine.suspended
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
        self.machine.now_ns = now_ns
        self.machine.valuation.forget()

    def on_event(self, event: TradingEvent) -> None:
        """Take one event, then let everything run on that waited for it."""
        machine, view = self.machine, self.view
        match event:
            case OrderAnswer():
                machine.on_answer(event)
            case Execution():
                if not event.is_snapshot:
                    self._heard_ns = machine.now_ns
                machine.on_execution(event.report)
            case BalanceMoved():
                machine.on_row(event.change)
            case BalancesTold():
                self._on_balances(event)
            case OrderFound():
                machine.on_found(event.client_id, event.state)
                self._go_on_reconciling()
            case LookUpFailed():
                log.warning("order.look_up_failed", client_id=event.client_id, why=event.reason)
            case AccountReadiness():
                self._on_ready(event)
            case AccountGap():
                if not self._audit.must_ask_everything:
                    # Until then nothing was missed: not a day's history for a moment's silence.
                    self._since_ns = max(self._since_ns, self._heard_ns)
                self._audit.must_ask_everything = True
                self._reconcile(event.reason)
            case Reconciled():
                self._on_reconciled(event)
            case FeesTold():
                self._on_fees(event)
            case JournalTold():
                view.journal_problem = event.problem
            case ClockTold():
                view.clock_skew_s = event.skew_us / 1e6
            case LagTold():
                view.event_lag_s = event.lag_us / 1e6
            case Commanded():
                self._on_command(event)
            case PluginSwapped():
                self.decisions.add(
                    machine.now_ns, "plugin", {"plugin": event.plugin, "state": event.state}
                )
            case TimeCame() | RunBegan() | Decided():
                pass
            case _:
                assert_never(event)
        machine.timers.run(machine.now_ns)
        machine.step()

    @property
    def next_timer_ns(self) -> int | None:
        """When `TimeCame` is due next."""
        return self.machine.next_timer_ns()

    def after_frame(self) -> None:
        """Let timers run that the frame's time made due; only where nobody records timers."""
        self.machine.timers.run(self.machine.now_ns)
        self.machine.step()

    # ── commands and state ───────────────────────────────────────────────────────────────────────

    def _on_command(self, event: Commanded) -> None:
        match event.name:
            case "halt":
                self._set_state(TradingState.HALTED, event.arguments.get("reason", ""))
            case "reduce":
                if self.view.trading_state is not TradingState.HALTED:
                    # Halted is more, and only an operator's `resume` takes it back.
                    self._set_state(TradingState.REDUCING, event.arguments.get("reason", ""))
            case "resume":
                self._set_state(TradingState.ACTIVE, "")
            case "limits":
                self._change_limits(event)
            case "reconcile":
                self._ask_before_deciding(event.arguments.get("reason", ""))
            case "flatten":
                self._flatten(event)
            case "recover":
                for cycle in self.to_recover:
                    self.machine.recover(cycle)
                self.to_recover = []
            case _:
                log.warning("command.unknown", name=event.name)

    def _set_state(self, state: TradingState, reason: str) -> None:
        self.view.trading_state = state
        self.view.halt_reason = reason
        self.machine.may_begin = state is TradingState.ACTIVE
        self.decisions.add(self.machine.now_ns, "state", {"state": state.value, "reason": reason})

    def _change_limits(self, event: Commanded) -> None:
        try:
            limits = self.limit_book.change(
                event.arguments, actor=event.actor, at_ns=self.machine.now_ns
            )
        except ConfigError as error:
            # The shell has checked them; only a recording of another version comes here.
            log.warning("limits.refused", problems=list(error.problems))
            return
        version = self.limit_book.version
        values, before = texts(limits), texts(self._settings.risk)
        changed = {name: text for name, text in values.items() if before[name] != text}
        self._write(LimitsChanged(version, values, event.actor, changed))
        self.decisions.add(self.machine.now_ns, "limits", {"version": version})

    def _flatten(self, event: Commanded) -> None:
        limits = self.limit_book.limits
        cap = event.arguments.get("loss_cap")
        if cap is not None:
            limits = attrs.evolve(limits, unwind_loss_cap=Decimal(cap))
        target = event.arguments.get("to", limits.reference_asset)
        wanted = event.arguments.get("asset")
        for asset, amount in sorted(self.machine.ledger.balances().items()):
            if wanted not in (None, asset):
                continue
            free = min(amount, self.machine.available(asset))
            if asset != target and free > 0 and not self.machine.is_dust(asset, free):
                self.machine.flatten(asset, free, target, limits)

    # ── the account ──────────────────────────────────────────────────────────────────────────────

    def _on_ready(self, event: AccountReadiness) -> None:
        self.machine.is_account_ready = event.is_ready
        self.view.connection_problem = "" if event.is_ready else event.reason or "not connected"
        if event.is_ready and self.must_reconcile:
            self._look_up_recovered()
            self._reconcile("the account is connected")

    def _look_up_recovered(self) -> None:
        """Ask for the orders a crash cut off: what they did has to be known before anything."""
        for cycle in self.to_recover:
            for order in cycle.orders:
                if not order.is_settled:
                    self.machine.look_up(order)

    def _on_balances(self, event: BalancesTold) -> None:
        self._audit.told = {balance.asset: balance.total for balance in event.balances}
        self.machine.note_held(event.balances)
        if not self.must_reconcile or not self.machine.ledger.is_open:
            self.machine.on_balances(event.balances)

    def _go_on_reconciling(self) -> None:
        """Compare at once when the last order a crash cut off is known."""
        is_waiting = bool(self.to_recover) and not self._audit.is_done
        if is_waiting and not any(True for _ in self.machine.orders.unsettled()):
            self._reconcile("orders are known")

    def _ask_before_deciding(self, reason: str) -> None:
        """Begin nothing until the venue has been asked: much may have happened unseen."""
        if self.must_reconcile:
            self.view.balance_problem = reason
            self._reconcile(reason)

    def ask_venue(self, reason: str) -> None:
        """Compare with the venue once more."""
        self._reconcile(reason)

    def _reconcile(self, reason: str) -> None:
        """Ask the venue for its balances, unless we are at it; for all rows since if they differ.

        A venue counts such questions, and histories several times.
        """
        audit = self._audit
        if not self.must_reconcile or audit.is_asking:
            return
        log.info("account.reconciling", reason=reason)
        audit.is_asking = True
        audit.asked_ns = self.machine.now_ns
        audit.asked_at = self.machine.transaction_count
        since_ns = max(self._since_ns, self.machine.opened_ns) - _OVERLAP_NS
        self.machine.gateway.reconcile(since_ns if audit.must_ask_everything else None)

    def _on_reconciled(self, event: Reconciled) -> None:
        audit, machine = self._audit, self.machine
        audit.is_asking = False
        if event.problem:
            self._again(f"the venue can't be asked: {event.problem}")
            return
        if any(True for _ in machine.orders.unsettled()):
            # Fills are on their way; balances can be compared when they are in.
            self._look_up_recovered()
            self._again("orders are under way")
            return
        differences = audit.differences = machine.compare(audit.told)
        has_moved = machine.transaction_count != audit.asked_at
        if differences and (has_moved or audit.tries < _RECONCILE_TRIES):
            # What was booked since it was asked can't be in what was told: that proves nothing.
            # Nothing new is begun until it adds up, so sooner or later nothing moves.
            audit.tries += not has_moved
            audit.must_ask_everything = True
            self.view.balance_problem = f"{len(differences)} balances differ from the venue's"
            self._again(self.view.balance_problem)
            return
        self.view.balance_problem = ""
        if differences:
            self._on_difference(differences)
        else:
            self._note_equal(audit.told)
        audit.tries, audit.must_ask_everything = 0, False
        audit.is_done = not differences
        # Not now: what happened since it was asked may have been lost on its way to us.
        self._since_ns = audit.asked_ns
        self._ask_in_a_while()
        if self.on_reconciled is not None:
            self.on_reconciled()

    def _note_equal(self, told: Mapping[str, Decimal]) -> None:
        for asset, amount in sorted(told.items()):
            self._write(BalanceCompared(asset, amount, amount, "equal"))

    def _again(self, reason: str) -> None:
        """Ask once more in a while; once, however many reasons there are."""
        if self._is_asking_again:
            return
        self._is_asking_again = True

        def ask() -> None:
            self._is_asking_again = False
            self._reconcile(reason)

        self.machine.timers.at(self.machine.now_ns + _RETRY_NS, ask)

    def _ask_in_a_while(self) -> None:
        """Compare every few minutes: what nobody told is found, and no history gets long."""
        if self._is_asking_later:
            return
        self._is_asking_later = True

        def ask() -> None:
            self._is_asking_later = False
            self._reconcile("now and then")

        self.machine.timers.at(self.machine.now_ns + _AUDIT_NS, ask)

    def _on_foreign_order(self) -> None:
        """Ask what it holds; once for all that happens to it in a moment."""
        if not self.must_reconcile or self._is_asking_soon:
            return
        self._is_asking_soon = True

        def ask() -> None:
            self._is_asking_soon = False
            self.machine.tell_foreign()
            self._reconcile("an order that is not ours")

        self.machine.timers.at(self.machine.now_ns + _SOON_NS, ask)

    def _on_difference(self, differences: Mapping[str, Decimal]) -> None:
        """Stop: the venue's own ledger doesn't explain it.  Unless so much is tolerated."""
        tolerance, machine = self._settings.execution.balance_tolerance, self.machine
        total = ZERO
        for asset, amount in differences.items():
            worth = self.view.value(asset, abs(amount))
            total += tolerance + 1 if worth is None else worth
        told = ", ".join(f"{amount:+f} {asset}" for asset, amount in differences.items())
        verdict = "external" if total <= tolerance else "halt"
        for asset, amount in differences.items():
            ours = machine.ledger.balance(asset)
            self._write(BalanceCompared(asset, ours + amount, ours, verdict))
            if verdict == "external":
                machine.ledger.adopt(asset, amount, f"tolerated:{machine.now_ns}")
        if verdict == "external":
            self._alert(Severity.WARNING, f"balances differed by {told}", "Within the tolerance.")
            return
        self._ports.halt(f"balances differ from the venue's by {told}")

    @property
    def differences(self) -> Mapping[str, Decimal]:
        """Where ledger and venue disagreed when last compared."""
        return self._audit.differences

    def reconciled_until(self, time_ns: int) -> None:
        """Take over from a journal until when the account is known.

        Balances are compared first: where all agree, and no order is open, nothing happened since
        that histories would have to be asked for, which a venue makes us wait for.
        """
        self._since_ns = time_ns

    @property
    def is_reconciled(self) -> bool:
        """True when ledger and venue agreed to the last digit when last compared."""
        return self._audit.is_done or not self.must_reconcile

    def _on_fees(self, event: FeesTold) -> None:
        overrides = {rate.symbol: rate.taker for rate in event.rates}
        self.machine.fees = attrs.evolve(self.machine.fees, overrides=overrides)
        self.decisions.add(
            self.machine.now_ns, "fees", {name: str(rate) for name, rate in overrides.items()}
        )
        if self.on_fees is not None:
            self.on_fees(overrides)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _write(self, record: Record) -> int:
        return self.machine.write(record)

    def _alert(self, severity: Severity, title: str, body: str) -> None:
        self._ports.alert(Alert(severity, title, body, subject="trading"))

    def _on_rule_failed(self, rule: str, error: Exception) -> None:
        if rule in self._failed_rules:
            return
        self._failed_rules.add(rule)
        log.error("risk.rule_failed", rule=rule, error=repr(error))
        self._alert(
            Severity.ERROR,
            f"risk rule {rule} fails",
            f"{type(error).__name__}: {error}. It refuses everything until it works or its plugin "
            "is disabled.",
        )


def _reserves(plan: CyclePlan, executor: Executor) -> dict[str, Decimal]:
    """Return what a cycle may spend by asset: of each leg where all go out at once."""
    quotes = plan.quotes if executor.needs_inventory else plan.quotes[:1]
    reserves: dict[str, Decimal] = {}
    for asset, quote in zip(plan.assets, quotes, strict=False):
        reserves[asset] = reserves.get(asset, ZERO) + quote.spent
    return reserves


def check_limits(book: LimitBook, values: Mapping[str, str]) -> None:
    """Refuse limits that don't fit, before they become an event.

    Raises:
        ConfigError: Each value that doesn't.
    """
    if not values:
        raise ArbitradeError("limits: nothing to change; name a limit and its value")
    book.read(values)
