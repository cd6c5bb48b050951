"""Puts a machine together: settings and plugins in, an engine that trades out.

Live, paper and replay differ in three things only: the clock, the feed, and the gateway.
"""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal

import attrs
import structlog

from arbitrade.config import Settings
from arbitrade.engine.assembly import make_engine
from arbitrade.engine.engine import Act, Engine
from arbitrade.errors import ConfigError
from arbitrade.models import Alert, CycleState, Instruments, Mode
from arbitrade.plugins import PluginRegistry, PluginToggled
from arbitrade.protocols import Clock, CycleWatcher, Detector, PairWatcher, Venue
from arbitrade.records import CycleClosed, Record
from arbitrade.trading.gateways.latencies import parse_latency
from arbitrade.trading.gateways.paper import PaperLatencies, PaperVenue
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.events import Decided, TradingEvent
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.recovery import Recovered
from arbitrade.trading.machine.trader import Trader
from arbitrade.trading.run.ramp import REHEARSAL, Ramp

log = structlog.stdlib.get_logger(__name__)
MAX_CROSSED_S = 5.0


@attrs.frozen
class Effects:
    """What a machine tells the world.

    Args:
        write: Appends a record of a run to the journal, returns its number.
        alert: Raises an alert.
        halt: Engages the kill switch.
        decided: Takes each decision.
    """

    write: Callable[[Record, str], int]
    alert: Callable[[Alert], None]
    halt: Callable[[str], None]
    decided: Callable[[Decided], None] | None = None


class Rig:
    """A trader and its engine.

    Args:
        settings: Everything configured.
        registry: The plugins, configured.
        venue: Whose frames it takes.
        mode: Live has a venue to agree with, and a way to full size.
        run_id: A UUID.
        clock: Its time.
        effects: What it tells the world.
        act: Called by the engine; None for the trader itself.
    """

    def __init__(
        self,
        settings: Settings,
        registry: PluginRegistry,
        venue: Venue,
        *,
        mode: Mode,
        run_id: str,
        clock: Clock,
        effects: Effects,
        act: Act | None = None,
        depth: int | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self.is_live = mode is Mode.LIVE
        self.decisions = Decisions(effects.decided)
        ports = Ports(
            write=effects.write,
            alert=effects.alert,
            halt=effects.halt,
            instruments=self._instruments,
            books=lambda: self.engine.books,
        )
        self.trader = Trader(settings, run_id, ports, self.decisions)
        self.machine = self.trader.machine
        self.ramp = Ramp(
            settings.live,
            self.trader.view,
            self._instruments,
            settings.execution.slippage_bps,
        )
        self.real_executor = registry.make_executor(settings, settings.execution.executor)
        self.machine.executor = (
            self.ramp.executor(self.real_executor) if self.is_live else self.real_executor
        )
        self.machine.on_cycle_end = self._on_cycle_end
        self.trader.on_fees = self._on_fees
        self.engine: Engine = make_engine(
            venue,
            self._make_detectors,
            act or self.trader.on_opportunities,
            depth=depth,
            clock=clock,
            max_lag_s=venue.max_lag_s,
            max_crossed_s=MAX_CROSSED_S,
        )
        self.engine.episodes.on_end = lambda episode: self.trader.funnel.end(episode.key)
        self.trader.view.venue_state_of = lambda: self.engine.venue_state
        self._stop_listening = registry.on_toggle(self._on_toggle)

    def close(self) -> None:
        """Follow the plugins no more."""
        self._stop_listening()

    # ── gateways ─────────────────────────────────────────────────────────────────────────────────

    def use_paper(self, tell: Callable[[TradingEvent], None] | None = None) -> PaperVenue:
        """Let orders be filled by walking the books; return the venue that does."""
        paper, machine = self._settings.paper, self.machine
        venue = PaperVenue(
            machine.timers,
            lambda: machine.now_ns,
            tell or self.trader.on_event,
            books=lambda: self.engine.books,
            instruments=self._instruments,
            fees=lambda: machine.fees,
            latencies=PaperLatencies(
                parse_latency(paper.decision_ms, "paper.decision_ms"),
                parse_latency(paper.send_ms, "paper.send_ms"),
                parse_latency(paper.ack_ms, "paper.ack_ms"),
            ),
            seed=paper.seed,
        )
        machine.gateway = venue
        machine.is_account_ready = True
        return venue

    def recover(self, state: Recovered) -> list[Cycle]:
        """Go on from what earlier runs left; return the cycles that have to be ended."""
        if self.is_live:
            self.ramp.rehearsed = state.ended[f"{REHEARSAL} {CycleState.ABORTED_CLEAN.value}"]
            name = self.real_executor.name
            self.ramp.small = state.ended[f"{name} {CycleState.COMPLETED.value}"]
            self.machine.executor = self.ramp.executor(self.real_executor)
        if state.limits is not None:
            # Changed at run time and never changed back: they hold on, whatever the settings say;
            # what was not changed is as the settings say now.
            values = dict(state.limits.changed)
            values.pop("reference_asset", None)
            try:
                self.trader.limit_book.change(values, actor=state.limits.actor)
            except ConfigError as error:
                log.warning("limits.not_restored", problems=list(error.problems))
        self.machine.limits = self.trader.limit_book.limits
        cycles = state.restore(self.machine, is_told_again=self.is_live)
        self.trader.to_recover = cycles
        return cycles

    # ── what is watched ──────────────────────────────────────────────────────────────────────────

    def choose(self, instruments: Instruments) -> Collection[str]:
        """Return the pairs whose books are worth receiving."""
        watchers = [d for d in self.engine.detectors if isinstance(d, PairWatcher)]
        if len(watchers) < len(self.engine.detectors) or not watchers:
            return [pair.symbol for pair in instruments.online()]
        wanted = {symbol for watcher in watchers for symbol in watcher.symbols}
        return [symbol for symbol in instruments if symbol in wanted]

    @property
    def cycle_count(self) -> int:
        """Directed cycles watched."""
        return sum(d.cycle_count for d in self.engine.detectors if isinstance(d, CycleWatcher))

    def _instruments(self) -> Instruments:
        return self.engine.instruments or _NONE

    def _make_detectors(self, instruments: Instruments) -> Sequence[Detector]:
        self._use_rules(instruments)
        return self._registry.detectors(self._settings, instruments)

    def _use_rules(self, instruments: Instruments) -> None:
        rules = list(self._registry.risk_rules(self._settings, instruments, self.trader.view))
        if self.is_live and self.ramp.stage != "full":
            rules.append(self.ramp)
        self.trader.use_rules(rules)

    def _on_toggle(self, toggled: PluginToggled) -> None:
        instruments = self.engine.instruments
        if instruments is None:
            return
        dropped = set(toggled.contributed.get("detectors", ()))
        kept = [detector for detector in self.engine.detectors if detector.name not in dropped]
        if toggled.is_enabled:
            kept += self._registry.detectors(self._settings, instruments, only=toggled.name)
        self.engine.swap_detectors(kept)
        self._use_rules(instruments)

    def _on_fees(self, overrides: dict[str, Decimal]) -> None:
        """Let detectors reckon with what the account really pays."""
        fees = attrs.evolve(self._settings.fees, overrides=overrides)
        self._settings = attrs.evolve(self._settings, fees=fees)
        self.engine.on_fees(fees.schedule())

    def _on_cycle_end(self, cycle: Cycle, closed: CycleClosed) -> None:
        if not self.is_live or cycle.is_recovered:
            return
        reference = self.trader.view.limits.reference_asset
        worth = self.machine.valuation.value(cycle.start, cycle.approved.plan.spent, reference)
        before = self.ramp.stage
        self.ramp.on_end(self.machine.executor.name, closed.state, worth)
        if self.ramp.stage != before:
            log.warning("live.stage", stage=self.ramp.stage, before=before)
            self.machine.executor = self.ramp.executor(self.real_executor)
            self._use_rules(self.machine.instruments)


_NONE = Instruments()
