"""A run of the bot: everything around the machine, from the locks to the last line of its report.

Order of starting: locks, kill switch, journal, database, then the venue; cycles a crash interrupted
are ended before a new one begins.  Order of stopping: no new cycles, let those under way finish or
unwind within the grace period, account, feed, records, database, locks.  Both stand here and
nowhere else.
"""

import asyncio
import gc
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import structlog

from arbitrade.accounting.audit import AuditChain, AuditEntry
from arbitrade.alerts.dispatch import Alerts
from arbitrade.api import Answer, BotState, Command, Status
from arbitrade.book import BookState
from arbitrade.config import Secret, Settings
from arbitrade.control.database_lock import DatabaseLock
from arbitrade.control.instance_lock import InstanceLock
from arbitrade.control.kill_switch import Halt, KillSwitch
from arbitrade.control.server import ControlServer
from arbitrade.errors import (
    ArbitradeError,
    AuthenticationError,
    ConfigError,
    DatabaseError,
    JournalError,
    PluginError,
    RecordingError,
    UsageError,
    VenueUnavailableError,
)
from arbitrade.journal import FsyncPolicy, Journal, read_journal
from arbitrade.models import Alert, ConnectionLost, Mode, Severity, TradingState
from arbitrade.plugins import PluginRegistry
from arbitrade.process.watchdog import Watchdog
from arbitrade.protocols import Account, Service, Venue
from arbitrade.records import (
    CRITICAL,
    AlertRaised,
    BalancesKept,
    InstrumentSeen,
    LatencyMeasured,
    PluginChanged,
    Record,
    RunEnded,
    RunStarted,
    encode,
)
from arbitrade.store.position import JournalKey, identify, read_position
from arbitrade.store.retention import look_after
from arbitrade.store.target import server_dsn
from arbitrade.store.writer import JournalWriter
from arbitrade.trading.machine.events import (
    ClockTold,
    Commanded,
    Decided,
    FeesTold,
    JournalTold,
    LagTold,
    PluginSwapped,
    RunBegan,
)
from arbitrade.trading.machine.recovery import Recovered, read_state
from arbitrade.trading.machine.trader import check_limits
from arbitrade.trading.run import status
from arbitrade.trading.run.clock import LiveClock, RunClock
from arbitrade.trading.run.hands import (
    LiveHands,
    Outside,
    PaperHands,
    account_at,
    choose_hands,
)
from arbitrade.trading.run.keeper import DatabaseKeeper
from arbitrade.trading.run.outcome import RunOutcome
from arbitrade.trading.run.rig import Effects, Rig
from arbitrade.trading.run.shell import BufferShell, Shell
from arbitrade.trading.run.status import Parts
from arbitrade.trading.run.tape import Tape

log = structlog.stdlib.get_logger(__name__)

_KILL_POLL_S = 0.02
_HEALTH_S = 0.1
_CLOCK_S = 1.0
_CLOCK_EVERY, _CLOCK_AGAIN = 60, 10
_FEES_S = 3600.0
_LATENCY_S = 10.0
_DRAIN_S, _DRAIN_AWAY_S = 20.0, 1.0
_SKEW_TOLD_US = 10_000
_EVERY_SEGMENT = 1 << 30
"""A start reads balances, open cycles, limits and the ramp-up from the whole journal, so none of it
may go, even if the database has it."""
_STARTING = "starting: the account is being reconciled"
_STOPPING = "stopping"


class TradingSession:
    """A run; satisfies `Bot`.

    Args:
        settings: Everything configured.
        registry: The plugins, configured.
        venue: Where the market is, and in live mode the orders go.
        mode: Live or paper.
        account: Name of a paper account; live takes the venue's.
        command: Which command runs it.
        credential: What the instance lock recognises the account by, beside its name.
        clock: Its time; None for the system's.
    """

    def __init__(
        self,
        settings: Settings,
        registry: PluginRegistry,
        venue: Venue,
        *,
        mode: Mode,
        account: str,
        command: str = "run",
        credential: str | None = None,
        clock: RunClock | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._venue = venue
        self._mode = mode
        self._command = command
        self.run_id = str(uuid.uuid4())
        self.clock = clock or RunClock()
        self._hands = choose_hands(
            mode,
            live=lambda: LiveHands(account_at(venue, LiveClock(self.clock))),
            paper=lambda: PaperHands(settings.paper),
        )
        self._account = self._hands.venue_account
        account = account if self._account is None else self._account.name
        self.account = account
        self.folder = Path(settings.runtime.folder).expanduser()
        self._lock = InstanceLock(None, venue.name, account, credential)
        self._credential = credential
        self._journal = Journal(
            self.folder / "journal" / account,
            fsync=FsyncPolicy[settings.journal.fsync.upper()],
            segment_bytes=settings.journal.segment_mb << 20,
            limit_bytes=settings.journal.limit_mb << 20,
            keep_segments=_EVERY_SEGMENT,
        )
        self._keeper = DatabaseKeeper(settings, registry.migrations())
        self.alerts = Alerts(registry.alert_sinks(settings))
        self._recent_alerts: list[tuple[str, str]] = []
        self._alert_number = 0
        self._early_alerts: list[Alert] | None = []
        self._audit = AuditChain(account, self.run_id)
        self._is_journaling = False
        record = settings.journal.record
        tape_folder = self.folder / "recordings" if record else None
        self._tape = Tape(tape_folder, self.run_id, settings.recording.compression, self._on_tape)
        effects = Effects(
            self._write, self._alert, self._halt_itself, self._on_decision, self._on_reconciled
        )
        shell_of = Shell if record else BufferShell
        self._shell = shell_of(self.clock, self._tape, self)
        self._feed = venue.make_feed(self._choose, self._shell)
        self._rig = Rig(
            settings,
            registry,
            venue,
            self._hands,
            run_id=self.run_id,
            clock=self.clock,
            effects=effects,
            outside=Outside(
                self._journal,
                self._shell.tell,
                self.clock.real_ns,
                lambda: self._shell.event_began_ns,
                lambda: self._shell.is_in_frame,
                self._on_account_refused,
            ),
            act=self._shell.act,
            on_out_of_sync=self._feed.resync,
        )
        self.trader, self.machine = self._rig.trader, self._rig.machine
        self.engine = self._rig.engine
        self._shell.attach(self.trader, self.engine)
        self._gateway = self._rig.gateway
        self._reconciled = asyncio.Event()
        self._watchdog = Watchdog(on_stall=self._on_stall)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: JournalWriter | None = None
        self._kill: KillSwitch | None = None
        self._control: ControlServer | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stop_reason = ""
        self._began = datetime.now(UTC)
        self._began_ns = self.clock.real_ns()
        self._known_instruments: object = None
        self._journal_problem = ""
        self._durable = 0, 0
        self._lag_us = 0
        self._skew_us = 0
        self._is_clock_known = asyncio.Event()
        self._is_clock_off = False
        self._was_account_ready = False
        self._is_ready_to_trade = asyncio.Event()
        self._recovering: list[str] = []

    @property
    def database(self) -> DatabaseKeeper:
        """Its database: what services read history with, and reach tables of their own."""
        return self._keeper

    # ── running ──────────────────────────────────────────────────────────────────────────────────

    def stop(self, reason: str = "stopped by a signal") -> None:
        """End in good order; a second call ends sooner: open cycles are left to the next start."""
        if self._stop.is_set():
            self._hurry.set()
            return
        self._stop_reason = reason
        self._stop.set()

    async def run(
        self,
        services: Callable[["TradingSession"], Sequence[Service]] = lambda _: (),
        *,
        seconds: float | None = None,
        on_state: Callable[[BotState], None] | None = None,
        every_s: float = 0.5,
    ) -> RunOutcome:
        """Trade until `stop`, for `seconds` if given; return what was done.

        Raises:
            UsageError: Another bot trades this account.
            JournalError: The journal can't be opened or is damaged.
            DatabaseError: Live trading needs the database, and it is not there.
            AuthenticationError: The venue refuses the key.
        """
        self._loop = asyncio.get_running_loop()
        self._lock.acquire()
        database_lock: DatabaseLock | None = None
        try:
            self._kill = KillSwitch(self.folder, self.account)
            database_lock = await self._open_database()
            recovered = await self._open_journal()
            try:
                return await self._run(
                    recovered, database_lock, services, seconds, on_state, every_s
                )
            finally:
                self._is_journaling = False
                await asyncio.to_thread(self._journal.close)
        finally:
            self._tape.close()
            if database_lock is not None:
                await database_lock.release()
            await self._keeper.close()
            self._rig.close()
            self._lock.release()

    async def _run(
        self,
        recovered: Recovered,
        database_lock: DatabaseLock | None,
        services: Callable[["TradingSession"], Sequence[Service]],
        seconds: float | None,
        on_state: Callable[[BotState], None] | None,
        every_s: float,
    ) -> RunOutcome:
        self._writer = JournalWriter(
            self._keeper.session,
            self._journal,
            self._journal_key(),
            on_alert=self._alert,
            revive=self._keeper.revive,
        )
        self._tape.open()
        self._begin(recovered)
        # From now on a change is journaled; what it says already is looked at when we are ready.
        assert self._kill is not None
        self._kill.on_change = self._on_kill_switch
        self._control = ControlServer(self, self.folder, self.account)
        await self._control.start()
        beside: list[Service] = [self._control, self._watchdog, *services(self)]
        try:
            async with asyncio.TaskGroup() as group:
                start = group.create_task
                aside = [
                    start(self.alerts.run(), name="alerts"),
                    start(self._writer.run(), name="journal to database"),
                    start(self._look_after_history(), name="history"),
                    *(start(_guarded(one), name=f"service {one.name}") for one in beside),
                ]
                if database_lock is not None:
                    aside.append(start(database_lock.run(), name="database lock"))
                market = [
                    start(self._feed.run(), name="feed"),
                    start(self._watch_kill_switch(), name="kill switch"),
                    start(self._watch_health(), name="health"),
                    start(self._watch_clock(), name="clock"),
                    start(self._measure(), name="measurements"),
                    start(self._get_ready(recovered), name="getting ready"),
                    start(self._show(on_state, every_s), name="display"),
                ]
                if self._account is not None:
                    market.append(start(self._keep_account(), name="account"))
                    market.append(start(self._keep_fees(), name="fees"))
                await self._until_stopped(seconds)
                await self._wind_down()
                for task in market:
                    task.cancel()
                await asyncio.gather(*market, return_exceptions=True)
                self._finish()
                report = await self._report()
                await self.alerts.drain(5.0)
                for task in aside:
                    task.cancel()
        except* ArbitradeError as group_error:
            raise _first(group_error) from None
        finally:
            self._shell.close()
            await self._control.close()
            await self._gateway.close()
            if self._account is not None:
                # Its own end may have come before the last question of somebody else.
                await self._account.close()
            if database_lock is not None:
                await database_lock.release()
        return report

    async def _open_journal(self) -> Recovered:
        position, end = await self._stored_so_far()
        recovery = await asyncio.to_thread(lambda: self._journal.open(at_least=position + 1))
        self._journal.on_failure(self._on_journal_failed)
        self._is_journaling = True
        state = await asyncio.to_thread(
            lambda: read_state(read_journal(self.folder / "journal" / self.account), self.account)
        )
        if recovery.torn is not None:
            log.warning("journal.torn_tail", found=str(recovery.torn))
            self._alert(
                Alert(
                    Severity.WARNING,
                    "the journal ended in the middle of a record",
                    f"{recovery.torn.length} bytes of record {recovery.torn.seq}, which was being "
                    f"written when the last run or its machine stopped; kept in "
                    f"{recovery.torn.kept}. Nothing was done on it.",
                    subject=f"journal of {self.account}",
                )
            )
        if end is not None and end.entry > state.audit_entry:
            state.audit_entry, state.audit_hash = end.entry, end.hash
        if state.audit_hash is not None:
            self._audit = AuditChain(
                self.account, self.run_id, entry=state.audit_entry, last_hash=state.audit_hash
            )
        return state

    def _journal_key(self) -> JournalKey:
        return JournalKey(self.account, identify(self.folder / "journal" / self.account))

    async def _stored_so_far(self) -> tuple[int, AuditEntry | None]:
        """Return how far the database has the journal, and the end of the audit; (0, None) if away.

        A journal that lost its end must not give numbers twice.
        """
        database = self._keeper.database
        if database is None:
            return 0, None
        try:
            async with self._keeper.session() as connection:
                position = await read_position(connection, self._journal_key())
            return position, await self._keeper.history.events.last_audit(self.account)
        except DatabaseError as error:
            log.warning("database.position_unknown", error=str(error))
            return 0, None

    async def _look_after_history(self) -> None:
        await look_after(
            self._keeper.session,
            retention_days=self._settings.database.retention_days,
            on_alert=self._alert,
        )

    async def _open_database(self) -> DatabaseLock | None:
        """Open it; live trading needs it, paper goes on into the journal."""
        try:
            database = await self._keeper.open()
        except DatabaseError as error:
            if self._hands.is_real:
                raise
            log.error("database.unavailable", error=str(error))  # noqa: TRY400
            self._alert(Alert(Severity.ERROR, "the database is not there", str(error)))
            dsn = server_dsn(self._settings, os.environ)
            # Taken once it is back.
            return None if dsn is None else self._database_lock(dsn)
        lock = self._database_lock(database.secret_dsn)
        await lock.acquire()
        return lock

    def _database_lock(self, dsn: Secret) -> DatabaseLock:
        return DatabaseLock(
            dsn,
            self._venue.name,
            self.account,
            self._credential,
            on_lost=lambda why: self._halt_itself(f"the database lock was lost: {why}"),
        )

    def _begin(self, recovered: Recovered) -> None:
        """Write down that we run, and put the machine where the journal ends."""
        settings_json, digest = status.settings_of(self._settings)
        self._write(
            RunStarted(
                self.run_id,
                self._mode.value,
                self._venue.name,
                version("arbitrade-core"),
                digest,
                settings_json,
                self._settings.paper.seed,
            ),
            self.run_id,
        )
        self._audited("arbitrade", "start", self._command, f"mode {self._mode.value}")
        early, self._early_alerts = self._early_alerts or [], None
        for alert in early:
            self._alert(alert)
        opening = {asset: str(amount) for asset, amount in self._hands.opening.items()}
        self._shell.tell(
            RunBegan(
                self.run_id,
                self.account,
                self._mode.value,
                self._venue.name,
                version("arbitrade-core"),
                settings_json,
                () if recovered.is_empty else recovered.essence(),
                {
                    "opening": status.canonical(opening),
                    "hot_path": self.engine.hot_path,
                    "ended": status.canonical(dict(recovered.ended)),
                },
            )
        )
        cycles = [] if recovered.is_empty else self._rig.recover(recovered)
        state = self._rig.state
        if not self._hands.must_reconcile:
            if recovered.is_empty:
                state.ledger.open(dict(self._hands.opening), self.run_id)
            state.is_connected = True
        elif not recovered.is_empty:
            self.trader.reconciliation.known_until(recovered.last_ns)
        self._gateway.begin(state.ledger.balances())
        self._recovering = [cycle.tag for cycle in cycles]
        self._shell.tell(Commanded("reduce", "arbitrade", {"reason": _STARTING}))

    async def _get_ready(self, recovered: Recovered) -> None:
        """Wait for market and account, end what was in the middle, then let trading begin."""
        await _until(lambda: self._has_market() and self._rig.state.is_connected)
        await _until(lambda: self.trader.reconciliation.is_done or self._is_halted())
        if self._account is not None:
            await self._is_clock_known.wait()
        self._shell.tell(Commanded("recover", "arbitrade", {}))
        if self._recovering:
            self._audited("arbitrade", "recover", "cycles", f"{len(self._recovering)} were open")
            tags = set(self._recovering)
            await _until(lambda: not tags & set(self._rig.state.cycles))
        self._check_arming()
        # PERF: what is here stays; without this, a collection walks all of it, for milliseconds.
        gc.collect()
        gc.freeze()
        self._is_ready_to_trade.set()
        if self._is_halted():
            halt = self._kill.halt if self._kill is not None else None
            reason = "halted" if halt is None else halt.reason
            self._shell.tell(Commanded("halt", "arbitrade", {"reason": reason}))
        elif not self._stop.is_set():
            self._shell.tell(Commanded("resume", "arbitrade", {}))
            log.info("trading.active", mode=self._mode.value, account=self.account)

    def _check_arming(self) -> None:
        if not self._hands.is_real:
            return
        missing = self.trader.gate.missing(self._settings.live.required_rules)
        if missing:
            raise ConfigError(
                f"live.required_rules: {', '.join(missing)} not there, so live trading is not "
                "armed; enable the plugins that bring them, or take them off the list"
            )

    async def _until_stopped(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            self._stop_reason = f"ran for {seconds:g} s"
            self._stop.set()

    async def _wind_down(self) -> None:
        """Begin nothing, and let what is under way come to its end within the grace period."""
        self._shell.tell(Commanded("reduce", "arbitrade", {"reason": _STOPPING}))
        self._audited("arbitrade", "stop", self._command, self._stop_reason)
        until = self.clock.real_ns() + round(self._settings.execution.shutdown_grace_s * 1e9)
        while self._rig.state.cycles and not self._hurry.is_set():
            if self.clock.real_ns() > until:
                left = ", ".join(str(c.number) for c in self._rig.state.cycles.values())
                self._alert(
                    Alert(
                        Severity.ERROR,
                        f"stopped with cycles under way: {left}",
                        "The next start finds them in the journal and brings them to their end.",
                    )
                )
                return
            await asyncio.sleep(0.01)
        if self._account is not None and not self._hurry.is_set():
            await self._last_reconciliation()

    async def _last_reconciliation(self) -> None:
        """Compare balances once more, so that the report is about the end."""
        if not self._rig.state.is_connected:
            return
        self._reconciled.clear()
        self.trader.reconciliation.ask("the run ends")
        try:
            async with asyncio.timeout(self._settings.execution.shutdown_grace_s):
                await self._reconciled.wait()
        except TimeoutError:
            log.warning("account.not_reconciled_at_the_end")

    def _finish(self) -> None:
        """Write the last records."""
        self.trader.funnel.close()
        self._write_latencies()
        now = self.clock.real_ns()
        self._write(self._rig.state.portfolio.measured(now), self.run_id)
        is_clear = not self._rig.state.cycles and not self._rig.state.to_recover
        if is_clear and self._rig.state.ledger.is_open:
            self._write(BalancesKept(self._rig.state.ledger.balances()), self.run_id)
        self._write(
            RunEnded(self._stop_reason, self.trader.decisions.count, self.trader.decisions.hash),
            self.run_id,
        )

    async def _report(self) -> RunOutcome:
        assert self._writer is not None
        # A database that is away is not waited for: the next run writes what is left.
        is_away = self._writer.unavailable_since is not None or self._hurry.is_set()
        if not await self._writer.drain(_DRAIN_AWAY_S if is_away else _DRAIN_S):
            log.warning("journal.not_drained", waiting=self._writer.lag_records)
        rows = await status.rows_by_table(self._keeper, self.run_id)
        return RunOutcome(
            self.state(),
            self._rig.state.ledger.balances(),
            self.trader.reconciliation.differences,
            self.tick_to_order(),
            rows,
            "" if self._tape.path is None else str(self._tape.path),
            self._stop_reason,
        )

    # ── watching ─────────────────────────────────────────────────────────────────────────────────

    async def _watch_kill_switch(self) -> None:
        assert self._kill is not None
        while True:
            self._kill.poll()
            await asyncio.sleep(_KILL_POLL_S)

    async def _watch_health(self) -> None:
        """Tell the machine about journal, database and event loop when that changes."""
        while True:
            await asyncio.sleep(_HEALTH_S)
            self._tape.flush()
            self._note_instruments()
            problem = self._find_journal_problem()
            if problem != self._journal_problem:
                self._journal_problem = problem
                if problem:
                    self._alert(Alert(Severity.ERROR, "the journal has a problem", problem))
                self._shell.tell(JournalTold(problem))
            lag = round(self._watchdog.event_lag_s * 1e6)
            if max(lag, self._lag_us) > _LAG_TOLD_US and lag != self._lag_us:
                self._lag_us = lag
                self._shell.tell(LagTold(lag))

    def _find_journal_problem(self) -> str:
        journal, chosen = self._journal, self._settings.journal
        if journal.failure is not None:
            return str(journal.failure)
        figures = journal.statistics()
        if figures.spool_bytes > chosen.limit_mb << 20:
            return f"{figures.spool_bytes >> 20} MB wait for the database"
        waited_ms = self._journal_wait_ms(figures.waiting)
        if waited_ms > chosen.slow_ms:
            return f"journal slow: nothing became durable for {waited_ms:.0f} ms"
        since = None if self._writer is None else self._writer.unavailable_since
        grace = chosen.database_grace_s
        if since is not None and grace and asyncio.get_running_loop().time() - since > grace:
            return f"the database has been away for over {grace:g} s"
        return ""

    def _journal_wait_ms(self, waiting: int) -> float:
        """Return for how long records have waited without any becoming durable."""
        now, durable = self.clock.real_ns(), self._journal.durable_seq
        if not waiting or durable != self._durable[0]:
            self._durable = durable, now
        return (now - self._durable[1]) / 1e6

    def _note_instruments(self) -> None:
        """Write instruments down that are new or changed."""
        known, now = self._known_instruments, self.engine.instruments
        if now is known or now is None:
            return
        self._known_instruments = now
        traded = set(self._choose(now))
        before = known if isinstance(known, type(now)) else {}
        for symbol, pair in now.items():
            if symbol in traded and before.get(symbol) != pair:
                self._write(InstrumentSeen(pair), self.run_id)

    async def _watch_clock(self) -> None:
        """Tell the machine how far the wall clock is off, and the venue's."""
        venue_skew_ns, left = 0, 0
        while True:
            if self._account is not None and left <= 0:
                told = await self._venue_skew_ns()
                # Not answered: what was known holds on, and it is asked again sooner.
                left = _CLOCK_AGAIN if told is None else _CLOCK_EVERY
                venue_skew_ns = venue_skew_ns if told is None else told
            left -= 1
            worst = max(self.clock.skew_ns(), venue_skew_ns, key=abs)
            skew_us = round(worst / 1000)
            if abs(skew_us - self._skew_us) >= _SKEW_TOLD_US:
                self._skew_us = skew_us
                self._shell.tell(ClockTold(skew_us))
            self._alert_clock()
            self._is_clock_known.set()
            await asyncio.sleep(_CLOCK_S)

    def _alert_clock(self) -> None:
        """Tell when the clock begins to be too far off to trade, and when it no more is."""
        most, off_s = self.trader.view.limits.maximum_clock_skew_s, self._skew_us / 1e6
        is_off = bool(most) and abs(off_s) > most
        if is_off == self._is_clock_off:
            return
        self._is_clock_off = is_off
        if is_off:
            alert = Alert(
                Severity.ERROR,
                f"the clock is off by {off_s:+.3f} s",
                f"More than risk.maximum_clock_skew_s ({most:f} s), so no cycle begins; see "
                "whether this machine's time is synchronised. After a step the run's own time goes "
                "on as before: restart to take over the right one.",
                subject="clock",
            )
        else:
            alert = Alert(
                Severity.INFO,
                "the clock is right again",
                f"Off by {off_s:+.3f} s.",
                subject="clock",
            )
        self._alert(alert)

    async def _venue_skew_ns(self) -> int | None:
        try:
            before = self.clock.real_ns()
            told = await self._account_there().server_time_ns()
        except ArbitradeError as error:
            log.warning("clock.venue_not_asked", error=str(error))
            return None
        half_way = (before + self.clock.real_ns()) // 2
        # The venue tells whole seconds.
        off = told + 500_000_000 - half_way
        return 0 if abs(off) <= 600_000_000 else off

    async def _keep_account(self) -> None:
        """Run the account; should the venue refuse us later on, stop trading, not the run.

        Raises:
            AuthenticationError: The key is refused from the start, or may not do enough.
            VenueUnavailableError: The venue refuses for good, from the start.
        """
        try:
            await self._account_there().run(self._shell)
        except (AuthenticationError, VenueUnavailableError) as error:
            if not self._is_ready_to_trade.is_set():
                raise
            log.critical("account.lost", error=str(error))
            self._on_account_refused(str(error))

    async def _keep_fees(self) -> None:
        """Reckon with what the account pays, from the start and once an hour."""
        await _until(lambda: self.engine.instruments is not None)
        while True:
            instruments = self.engine.instruments
            try:
                rates = await self._account_there().fee_rates(self._choose(instruments))
            except ArbitradeError as error:
                log.warning("fees.not_told", error=str(error))
            else:
                taker = {rate.symbol: rate.taker for rate in rates}
                if taker != dict(self._rig.state.fees.overrides):
                    self._shell.tell(FeesTold(tuple(rates)))
            await asyncio.sleep(_FEES_S)

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(_LATENCY_S)
            self._write_latencies()

    def _write_latencies(self) -> None:
        for row in status.latencies(self):
            if row.count and row.p50_us is not None:
                self._write(
                    LatencyMeasured(
                        row.name,
                        self._began_ns,
                        row.count,
                        _micros(row.p50_us),
                        _micros(row.p99_us),
                        _micros(row.p999_us),
                        _micros(row.p999_us),
                    ),
                    self.run_id,
                )

    async def _show(self, on_state: Callable[[BotState], None] | None, every_s: float) -> None:
        while on_state is not None:
            await asyncio.sleep(every_s)
            on_state(self.state())

    # ── effects ──────────────────────────────────────────────────────────────────────────────────

    def _write(self, record: Record, run: str) -> int:
        if not self._is_journaling:
            return 0
        payload = encode(record, run, self.account, self.clock.now_ns())
        try:
            return self._journal.append(payload, critical=record.kind in CRITICAL)
        except JournalError as error:
            self._on_journal_failed(error)
            return _NEVER_DURABLE

    def _on_journal_failed(self, error: JournalError) -> None:
        self._gateway.fail_waiting(str(error))
        if self._kill is not None and not self._kill.is_engaged:
            log.critical("journal.failed", error=str(error))
            self._halt_itself(f"the journal can't be written: {error}")

    def _alert(self, alert: Alert) -> None:
        if self._early_alerts is not None:
            # They belong to a run that isn't written down yet.
            self._early_alerts.append(alert)
            return
        self._alert_number += 1
        self._recent_alerts = [(alert.severity.name.lower(), alert.title), *self._recent_alerts][:8]
        self.alerts.raise_alert(alert)
        self._write(AlertRaised(self._alert_number, alert), self.run_id)

    def _halt_itself(self, reason: str) -> None:
        """Stop trading of our own accord; only an operator lets it go on."""
        kill = self._kill
        if kill is None or kill.is_engaged:
            return
        kill.engage(reason, "arbitrade")

    def on_failure(self, error: Exception) -> None:
        """Stop: an event was handled half, so nobody knows what is right any more."""
        self._halt_itself(f"handling an event failed: {type(error).__name__}: {error}")

    def _on_kill_switch(self, halt: Halt | None) -> None:
        """Follow the switch, whoever turned it: in memory at once, then for the record."""
        if halt is None:
            return
        self._rig.state.trading_state = TradingState.HALTED
        self._shell.tell(Commanded("halt", halt.actor, {"reason": halt.reason}))
        self._audited(halt.actor, "halt", "trading", halt.reason)
        self._alert(
            Alert(
                Severity.CRITICAL,
                f"trading is halted: {halt.reason}",
                "Cycles under way are finished or unwound. `arbitrade resume` lets trading go on.",
                subject="trading",
            )
        )

    def _on_decision(self, decided: Decided) -> None:
        self._tape.event(decided, self.clock.now_ns())

    def _on_tape(self, error: RecordingError) -> None:
        log.error("recording.failed", error=str(error))
        self._alert(
            Alert(Severity.ERROR, "the run is no longer recorded", f"{error}; trading goes on.")
        )

    def _on_reconciled(self) -> None:
        self._reconciled.set()

    def on_connection_lost(self, connection: int, event: ConnectionLost) -> None:
        """Tell that a connection of the market is lost."""
        self._alert(
            Alert(
                Severity.WARNING,
                f"{self._venue.name}: connection {connection} lost",
                f"{event.reason}. Its books are void until it is back; reconnecting.",
                subject=f"{self._venue.name}/{connection}",
            )
        )

    def _on_account_refused(self, reason: str) -> None:
        self._halt_itself(
            f"the venue refuses the account: {reason}. When that is mended, restart the bot, then "
            "resume"
        )

    def on_account_ready(self, is_ready: bool, reason: str) -> None:
        """Tell when orders can't go out any more, unless that is because we stop."""
        was, self._was_account_ready = self._was_account_ready, is_ready
        if was == is_ready or self._stop.is_set() or not self._is_ready_to_trade.is_set():
            return
        subject = f"{self._venue.name}/{self.account}"
        if is_ready:
            alert = Alert(Severity.INFO, "orders can go out again", "", subject=subject)
        else:
            alert = Alert(
                Severity.WARNING,
                f"orders can't go out: {reason}",
                "No cycle begins until they can. Orders under way are looked up at the venue.",
                subject=subject,
            )
        self._alert(alert)

    def _on_stall(self, seconds: float) -> None:
        """Tell of an event loop that is held up; called from the watchdog's thread."""
        alert = Alert(
            Severity.WARNING,
            f"the event loop was held up for over {seconds:.1f} s",
            "Meanwhile nothing could be decided or sent; the log has the place "
            "(event_loop.stalled). If it is in a plugin, disable that.",
            subject="event loop",
        )
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._alert, alert)

    def _audited(self, actor: str, action: str, subject: str, detail: str = "") -> None:
        now = self.clock.now_ns()
        self._write(self._audit.next(now, actor, action, subject, detail), self.run_id)

    # ── what others may see and do ───────────────────────────────────────────────────────────────

    def status(self) -> Status:
        """Return the state of things for services."""
        state = self.state()
        return Status(
            command=self._command,
            started_at=state.started_at,
            is_ready=state.is_market_connected,
            books_in_sync=state.books_in_sync,
            books=state.books,
            counters=state.counters,
            plugins=state.plugins,
        )

    def state(self) -> BotState:
        """Return everything about it now."""
        return status.state_of(self)

    async def updates(self, every_s: float = 1.0) -> AsyncIterator[BotState]:
        """Yield the state again and again."""
        while True:
            yield self.state()
            await asyncio.sleep(every_s)

    async def command(self, command: Command) -> Answer:
        """Carry out a command; audited whether it is done or refused."""
        try:
            answer = await self._carry_out(command)
        except ArbitradeError as error:
            answer = Answer(False, str(error))
        detail = status.canonical({"arguments": dict(command.arguments), "done": answer.is_done})
        if command.name != "halt":
            self._audited(command.actor, command.name, "bot", detail)
        return answer

    async def _carry_out(self, command: Command) -> Answer:
        arguments = dict(command.arguments)
        match command.name:
            case "halt":
                return await self._do_halt(command.actor, arguments.get("reason", ""))
            case "resume":
                return self._do_resume(command.actor, arguments.get("reason", ""))
            case "limits":
                check_limits(self.trader.limit_book, arguments)
                self._shell.tell(Commanded("limits", command.actor, arguments))
                return Answer(True, f"limits are at version {self.trader.limit_book.version}")
            case "flatten":
                return await self._do_flatten(command.actor, arguments)
            case "plugin":
                return self._do_plugin(command.actor, arguments)
            case "stop":
                self.stop(f"stopped by {command.actor}")
                return Answer(True, "stopping: cycles under way are brought to their end")
            case _:
                raise UsageError(f"command {command.name!r}: a bot knows no such command")

    async def _do_halt(self, actor: str, reason: str) -> Answer:
        assert self._kill is not None
        kept = await self._kill.engage_async(reason or "no reason given", actor)
        if kept:
            return Answer(True, "halted; it stays so over restarts until `arbitrade resume`")
        return Answer(True, f"halted, in memory only: {self._kill.problem}")

    def _do_resume(self, actor: str, reason: str) -> Answer:
        assert self._kill is not None
        if not self._kill.is_engaged:
            return Answer(False, f"not halted; trading is {self.trader.view.trading_state.value}")
        self._kill.clear(actor, reason)
        if self._is_ready_to_trade.is_set() and not self._stop.is_set():
            self._shell.tell(Commanded("resume", actor, {"reason": reason}))
        return Answer(True, "trading goes on")

    async def _do_flatten(self, actor: str, arguments: dict[str, str]) -> Answer:
        if self._rig.state.cycles or self._rig.state.to_recover:
            return Answer(False, "cycles are under way; halt first, then flatten when they ended")
        cap = arguments.setdefault("loss_cap", str(self._settings.execution.flatten_loss_cap))
        if not re.fullmatch(r"\d+(\.\d+)?", cap):
            raise UsageError(f"flatten: loss cap {cap!r} is no amount; write 25")
        sold, held = await self._flatten_each(actor, arguments)
        left = {a: f"{v:f}" for a, v in self._rig.state.ledger.balances().items() if v}
        message = f"brought back: {', '.join(sold) or 'nothing'}"
        if held:
            message += f"; held, because it would cost more than the cap: {', '.join(held)}"
        return Answer(True, message, {"balances": left, "sold": sold, "held": held})

    async def _flatten_each(
        self, actor: str, arguments: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        """Bring one asset after the other back; what one costs is off the cap of the next."""
        machine, sold, held = self._rig, list[str](), list[str]()
        cap = Decimal(arguments["loss_cap"])
        for asset in sorted(machine.state.ledger.balances()):
            before = machine.state.ledger.balances()
            target = arguments.get("to", self.trader.view.limits.reference_asset)
            if asset == target or machine.machine.quoting.is_dust(asset, before[asset]):
                continue
            told = {**arguments, "asset": asset, "loss_cap": f"{cap:f}"}
            self._shell.tell(Commanded("flatten", actor, told))
            await _until(lambda: not machine.state.cycles)
            cap = max(Decimal(0), cap - self._lost(before))
            left = machine.state.ledger.balance(asset)
            if left < before[asset]:
                sold.append(f"{before[asset] - left:f} {asset}")
            if not machine.machine.quoting.is_dust(asset, left):
                held.append(f"{left:f} {asset}")
        return sold, held

    def _lost(self, before: Mapping[str, Decimal]) -> Decimal:
        """Return what balances are worth less than before, at the books as they are now."""
        view, lost = self.trader.view, Decimal(0)
        for asset, amount in self._rig.state.ledger.balances().items():
            moved = amount - before.get(asset, Decimal(0))
            lost -= view.value(asset, moved) or Decimal(0)
        return lost

    def _do_plugin(self, actor: str, arguments: dict[str, str]) -> Answer:
        name, state = arguments.get("name", ""), arguments.get("state", "")
        if state not in ("enabled", "disabled"):
            raise UsageError(f"plugin {name}: state {state!r} is neither enabled nor disabled")
        change = self._registry.enable if state == "enabled" else self._registry.disable
        try:
            changed = change(name)
        except PluginError as error:
            return Answer(False, str(error))
        self._shell.tell(PluginSwapped(name, state, f"by {actor}"))
        self._write(PluginChanged(name, state, f"by {actor}"), self.run_id)
        return Answer(True, f"{name} is {state}" if changed else f"{name} was {state} already")

    # ── small answers ────────────────────────────────────────────────────────────────────────────

    @property
    def alerts_shown(self) -> tuple[tuple[str, str], ...]:
        """The last alerts, newest first."""
        return tuple(self._recent_alerts)

    @property
    def began(self) -> datetime:
        """When the run began."""
        return self._began

    @property
    def uptime_s(self) -> float:
        """Seconds since then."""
        return (self.clock.real_ns() - self._began_ns) / 1e9

    def parts(self) -> Parts:
        """Return what the read models are made of."""
        return Parts(
            settings=self._settings,
            registry=self._registry,
            venue=self._venue.name,
            mode=self._mode,
            rig=self._rig,
            shell=self._shell,
            feed=self._feed,
            journal=self._journal,
            writer=self._writer,
            gateway=self._gateway,
            control=self._control,
            alerts=self.alerts,
            watchdog=self._watchdog,
            journal_problem=self._journal_problem,
        )

    def tick_to_order(self) -> Mapping[str, float | None]:
        """Return percentiles from a frame's bytes to an order's, in microseconds."""
        return self._gateway.latencies().get("tick_to_order", self._shell.decisions).summary()

    def _has_market(self) -> bool:
        books = self.engine.books.values()
        return any(book.state is BookState.SYNCED for book in books)

    def _is_halted(self) -> bool:
        return self._kill is not None and self._kill.is_engaged

    def _choose(self, instruments: object) -> Sequence[str]:
        return list(self._rig.choose(instruments))  # type: ignore[arg-type]

    def _account_there(self) -> Account:
        assert self._account is not None
        return self._account


_LAG_TOLD_US = 50_000
_NEVER_DURABLE = 1 << 62


async def _until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that nobody announces."""
    while not holds():  # noqa: ASYNC110 - once or twice a run; an event for each would be worse
        await asyncio.sleep(0.02)


async def _guarded(service: Service) -> None:
    """Run a service; one that raises must not take the bot with it."""
    try:
        await service.run()
    except ArbitradeError as error:
        log.error("service.failed", service=service.name, error=str(error))  # noqa: TRY400
    except Exception as error:
        log.exception("service.failed", service=service.name, error=str(error))


def _micros(value: float | None) -> Decimal:
    return Decimal(str(round(value or 0.0, 3)))


def _first(group: BaseExceptionGroup[ArbitradeError]) -> ArbitradeError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ArbitradeError)
    return error
