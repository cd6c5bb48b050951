"""Puts a machine together: settings, plugins and hands in, an engine that trades out.

Live, paper and replay differ in the clock, the feed and the hands; all of that is handed in.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

import attrs
import structlog

from arbitrade.book import OrderBook
from arbitrade.calls import Calls, OnFault
from arbitrade.config import Settings
from arbitrade.engine.assembly import make_engine
from arbitrade.engine.engine import Act, Engine
from arbitrade.errors import ConfigError, PluginError
from arbitrade.models import Alert, CycleState, Instruments, VenueState
from arbitrade.plugins import PluginRegistry, PluginState, PluginToggled
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols import (
    BringsExecutor,
    Clock,
    CycleWatcher,
    Detector,
    PairWatcher,
    Venue,
)
from arbitrade.protocols.execution import Executor
from arbitrade.records import CycleClosed, Record
from arbitrade.risk.limits import LimitBook
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.events import Decided, PluginSwapped, RunBegan, TradingEvent
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.recovery import Recovered, recovered_of
from arbitrade.trading.machine.state import MachineState
from arbitrade.trading.machine.trader import Trader
from arbitrade.trading.run.hands import Hands, Inside, Outside
from arbitrade.trading.run.ramp import REHEARSAL, Ramp

log = structlog.stdlib.get_logger(__name__)
MAX_CROSSED_S = 5.0
_NONE = Instruments()


def _nobody() -> None:
    """Nobody to tell."""


@attrs.frozen
class Effects:
    """What a machine tells the world.

    Args:
        write: Appends a record of a run to the journal, returns its number.
        alert: Raises an alert.
        halt: Engages the kill switch.
        decided: Takes each decision.
        reconciled: Told when balances have been compared with the venue's.
        fault: Told what a plugin's object did wrong.
        calls: Told while one of them runs.
    """

    write: Callable[[Record, str], int]
    alert: Callable[[Alert], None]
    halt: Callable[[str], None]
    decided: Callable[[Decided], None] | None = None
    reconciled: Callable[[], None] = _nobody
    fault: OnFault = lambda role, name, error, source: None
    calls: Calls = attrs.field(factory=Calls)


class Rig:
    """A trader and its engine.

    Args:
        settings: Everything configured.
        registry: The plugins, configured.
        venue: Whose frames it takes.
        hands: Who trades.
        run_id: A UUID.
        clock: Its time.
        effects: What it tells the world.
        outside: What a way to a real venue stands on; None in a replay.
        act: Called by the engine; None for the trader itself.
        on_out_of_sync: Called with the symbol of each book that needs a fresh snapshot.
        depth: Levels a side of books whose subscription nobody saw.
    """

    def __init__(
        self,
        settings: Settings,
        registry: PluginRegistry,
        venue: Venue,
        hands: Hands,
        *,
        run_id: str,
        clock: Clock,
        effects: Effects,
        outside: Outside | None = None,
        act: Act | None = None,
        on_out_of_sync: Callable[[str], None] = lambda _: None,
        depth: int | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._hands = hands
        self.decisions = Decisions(effects.decided)
        self.swap_problem = ""
        """Why the last swap of a plugin couldn't be done; empty when it was."""
        self.limit_book = LimitBook(settings.risk)
        # The machine asks the engine for books, the engine hands opportunities to the machine: the
        # ports are methods, so that either may be made first.
        ports = Ports(
            write=effects.write,
            alert=effects.alert,
            halt=effects.halt,
            instruments=self._instruments,
            books=self._books,
            executor=self._executor,
            venue_state=self._venue_state,
            on_begin=self._on_begin,
            on_plugin=self._swap_plugin,
            on_cycle_end=self._on_cycle_end,
            on_fees=self._on_fees,
            on_reconciled=effects.reconciled,
            on_fault=effects.fault,
            calls=effects.calls,
        )
        self._fault = effects.fault
        self.state = MachineState.fresh(settings, run_id, ports)
        self.gateway = hands.make_gateway(
            Inside(self.state, self._books, self._instruments, self._tell), outside
        )
        self.trader = Trader(
            settings,
            ports,
            self.state,
            self.gateway,
            self.decisions,
            self.limit_book,
            must_reconcile=hands.must_reconcile,
        )
        self.machine = self.trader.machine
        self._executors: dict[str, Executor] = {}
        """Those that detectors bring, by the detectors' names."""
        self._executor_owners: dict[str, str | None] = {}
        """Plugins that made executors, by the executors' names; once put aside they own nothing."""
        self._real_executor = self._make_executor(settings.execution.executor)
        self.ramp = Ramp(
            settings.live,
            self.trader.view,
            self._instruments,
            settings.execution.slippage_bps,
        )
        self.engine: Engine = make_engine(
            venue,
            self._make_detectors,
            act or self.trader.on_opportunities,
            depth=depth,
            clock=clock,
            max_lag_s=venue.max_lag_s,
            max_crossed_s=MAX_CROSSED_S,
            on_out_of_sync=on_out_of_sync,
            on_episode_end=lambda episode: self.trader.funnel.end(episode.key),
            calls=effects.calls,
            on_fault=effects.fault,
        )
        self._stop_listening = registry.on_toggle(self._on_toggle)

    def close(self) -> None:
        """Follow the plugins no more."""
        self._stop_listening()

    # ── the beginning ────────────────────────────────────────────────────────────────────────────

    def _on_begin(self, event: RunBegan) -> None:
        """Put the machine where the run begins, live, on paper or in a replay of either."""
        recovered, hands, state = recovered_of(event), self._hands, self.state
        if not recovered.is_empty:
            self._recover(recovered)
        if hands.must_reconcile:
            # What the account holds is the venue's to tell, and whether orders can go out.
            if not recovered.is_empty:
                self.trader.reconciliation.known_until(recovered.last_ns)
        else:
            if recovered.is_empty:
                state.ledger.open(dict(hands.opening), event.run_id)
            state.is_connected = True
        self.gateway.begin(state.ledger.balances())

    def _recover(self, recovered: Recovered) -> None:
        """Go on from what earlier runs left."""
        self._climb(recovered)
        if recovered.limits is not None:
            # Changed at run time and never changed back: they hold on, whatever the settings say;
            # what was not changed is as the settings say now.
            values = dict(recovered.limits.changed)
            values.pop("reference_asset", None)
            try:
                self.limit_book.change(values, actor=recovered.limits.actor)
            except ConfigError as error:
                log.warning("limits.not_restored", problems=list(error.problems))
        recovered.restore(
            self.state, self.limit_book.limits, is_told_again=self._hands.must_reconcile
        )

    # ── what the machine asks ────────────────────────────────────────────────────────────────────

    def _instruments(self) -> Instruments:
        return self.engine.instruments or _NONE

    def _books(self) -> Mapping[str, OrderBook]:
        return self.engine.books

    def _venue_state(self) -> VenueState:
        return self.engine.venue_state

    def _tell(self, event: TradingEvent) -> None:
        self.trader.on_event(event)

    # ── the way to full size ─────────────────────────────────────────────────────────────────────

    def _executor(self, detector: str) -> Executor:
        real = self._executors.get(detector, self._real_executor)
        return self.ramp.executor(real) if self._hands.is_real else real

    def _make_executor(self, name: str) -> Executor:
        made = self._registry.make_executor(self._settings, name)
        self._executor_owners[name] = self._registry.owner("executors", name)
        return made

    def _ask_executors(self, detectors: Iterable[Detector]) -> None:
        """Have the executors made that detectors bring.

        Raises:
            PluginError: Nobody makes one.
        """
        for detector in detectors:
            if not isinstance(detector, BringsExecutor):
                continue
            try:
                made = self._make_executor(detector.executor)
            except PluginError as error:
                said = f"detector {detector.name} brings an executor, but {error}"
                raise PluginError(said) from error
            self._executors[detector.name] = made

    def _climb(self, recovered: Recovered) -> None:
        """Go on where earlier runs came to on the way to full size."""
        ended, completed = recovered.ended, f" {CycleState.COMPLETED.value}"
        self.ramp.rehearsed = ended[f"{REHEARSAL} {CycleState.ABORTED_CLEAN.value}"]
        # Whoever carried them out, as when they were counted.
        self.ramp.small = sum(
            count
            for what, count in ended.items()
            if what.endswith(completed) and not what.startswith(f"{REHEARSAL} ")
        )

    def _on_cycle_end(self, cycle: Cycle, closed: CycleClosed) -> None:
        if not self._hands.is_real or cycle.is_recovered:
            return
        reference = self.trader.view.limits.reference_asset
        worth = self.state.valuation.value(cycle.start, cycle.approved.plan.spent, reference)
        before = self.ramp.stage
        self.ramp.on_end(cycle.executor, closed.state, worth)
        if self.ramp.stage != before:
            log.warning("live.stage", stage=self.ramp.stage, before=before)
            self._use_rules(self._instruments())

    # ── what is watched ──────────────────────────────────────────────────────────────────────────

    def choose(self, instruments: Instruments) -> Collection[str]:
        """Return the pairs whose books are worth receiving."""
        wanted = set[str]()
        for detector in self.engine.detectors:
            try:
                of_it = set(detector.symbols) if isinstance(detector, PairWatcher) else None
            except Exception as error:
                self._fault("detectors", detector.name, error, type(detector))
                of_it = None
            if of_it is None:
                return [pair.symbol for pair in instruments.online()]
            wanted |= of_it
        if not self.engine.detectors:
            return [pair.symbol for pair in instruments.online()]
        return [symbol for symbol in instruments if symbol in wanted]

    @property
    def cycle_count(self) -> int:
        """How many directed cycles the detectors watch, of those that can tell."""
        total = 0
        for detector in self.engine.detectors:
            with suppress(Exception):  # a figure for people; whoever raises is told of elsewhere
                total += detector.cycle_count if isinstance(detector, CycleWatcher) else 0
        return total

    def _make_detectors(self, instruments: Instruments) -> Sequence[Detector]:
        self._use_rules(instruments)
        detectors = self._registry.detectors(self._settings, instruments)
        self._ask_executors(detectors)
        return detectors

    def _use_rules(self, instruments: Instruments) -> None:
        rules = list(self._registry.risk_rules(self._settings, instruments, self.trader.view))
        if self._hands.is_real and self.ramp.stage != "full":
            rules.append(self.ramp)
        self.trader.use_rules(rules)

    def _swap_plugin(self, event: PluginSwapped) -> bool:
        """Swap a plugin as told; return False when that can't be done, and say why."""
        name, registry, self.swap_problem = event.plugin, self._registry, ""
        try:
            match event.state:
                case "enabled":
                    registry.enable(name)
                case "quarantined":
                    registry.quarantine(name, event.reason)
                case _:
                    registry.disable(name)
            self._follow(event)
        except Exception as error:
            # A hook raises what it likes, and the command's answer is where that belongs.
            self.swap_problem = str(error) or type(error).__name__
            log.warning("plugin.not_swapped", plugin=name, state=event.state, error=str(error))
        return not self.swap_problem

    def _follow(self, event: PluginSwapped) -> None:
        """Trade no further without whom we can't do."""
        if event.state == "enabled":
            self._bring_executors_back(event.plugin)
        elif event.state == "quarantined":
            why = f"plugin {event.plugin}, whose executor it is, is put aside: {event.reason}"
            watching = {detector.name for detector in self.engine.detectors}
            needed = {e.name for detector, e in self._executors.items() if detector in watching}
            needed.add(self._real_executor.name)
            for name in self._executors_of(event.plugin):
                # One that only its own detectors brought is missed by nobody: they are gone too.
                self.trader.executor_gone(name, why, is_needed=name in needed)
        missing = self.missing_rules()
        if missing and event.state != "enabled":
            self.trader.halt(
                f"plugin {event.plugin} is {event.state}, and live.required_rules wants "
                f"{', '.join(missing)}: {event.reason}"
            )

    def _executors_of(self, plugin: str) -> Collection[str]:
        """Return the names of the executors in use that a plugin made."""
        in_use = {executor.name for executor in (self._real_executor, *self._executors.values())}
        return [name for name in sorted(in_use) if self._executor_owners.get(name) == plugin]

    def _bring_executors_back(self, plugin: str) -> None:
        """Have a plugin's executors made anew, for whoever's opportunities they carry out."""
        names = self._executors_of(plugin)
        for name in names:
            made = self._make_executor(name)
            if self._real_executor.name == name:
                self._real_executor = made
            for detector, executor in self._executors.items():
                if executor.name == name:
                    self._executors[detector] = made
        if names:
            self.trader.executor_back()

    def missing_rules(self) -> tuple[str, ...]:
        """Return the rules that real trading has to have and hasn't."""
        if not self._hands.is_real or self.engine.instruments is None:
            return ()
        return self.trader.gate.missing(self._settings.live.required_rules)

    def _on_toggle(self, toggled: PluginToggled) -> None:
        instruments = self.engine.instruments
        if instruments is None:
            return
        dropped = set(toggled.contributed.get("detectors", ()))
        kept = [detector for detector in self.engine.detectors if detector.name not in dropped]
        if toggled.is_enabled:
            added = self._registry.detectors(self._settings, instruments, only=toggled.name)
            self._ask_executors(added)
            kept += added
        self.engine.swap_detectors(kept)
        if self._registry.state(toggled.name) is not PluginState.QUARANTINED:
            self._use_rules(instruments)
            return
        # Nobody else is asked again because of somebody who did harm.
        gone = set(toggled.contributed.get("risk_rules", ()))
        gate = self.trader.gate
        kept_rules = zip(gate.names, gate.rules, strict=True)
        self.trader.use_rules([rule for name, rule in kept_rules if name not in gone])

    def _on_fees(self, fees: FeeSchedule) -> None:
        """Let detectors reckon with what the account really pays."""
        self._settings = attrs.evolve(
            self._settings, fees=attrs.evolve(self._settings.fees, overrides=dict(fees.overrides))
        )
        self.engine.on_fees(fees)
