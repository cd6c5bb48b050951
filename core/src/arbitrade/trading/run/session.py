"""A run of the bot: the one order of starting and stopping, and nothing else.

Starting: locks, database, journal and its recovery, recording, control socket, then the venue;
cycles a crash interrupted are ended before a new one begins.  Stopping: no new cycles, let those
under way finish or unwind within the grace period, compare balances, account, feed, records,
database, locks.
"""

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import structlog

from arbitrade.alerts.dispatch import Alerts
from arbitrade.api import Answer, BotState, Command, Status
from arbitrade.book import BookState
from arbitrade.calls import Calls
from arbitrade.config import Settings
from arbitrade.config.digest import settings_of
from arbitrade.control.kill_switch import Halt
from arbitrade.control.server import ControlServer
from arbitrade.errors import ArbitradeError, ConfigError
from arbitrade.models import Alert, Mode, Severity
from arbitrade.plain_json import canonical
from arbitrade.plugins import PluginRegistry
from arbitrade.process.tasks import first_of, stopped_or_after, until
from arbitrade.process.watchdog import Watchdog
from arbitrade.protocols import Service, Venue
from arbitrade.records import RunEnded, RunStarted
from arbitrade.store.tables import rows_by_table
from arbitrade.trading.machine.events import Commanded, RunEnding
from arbitrade.trading.machine.recovery import Recovered, run_began
from arbitrade.trading.run import status
from arbitrade.trading.run.clock import LiveClock, RunClock
from arbitrade.trading.run.commands import Commands
from arbitrade.trading.run.ground import Ground
from arbitrade.trading.run.hands import (
    LiveHands,
    Outside,
    PaperHands,
    account_at,
    choose_hands,
)
from arbitrade.trading.run.keeper import DatabaseKeeper
from arbitrade.trading.run.outcome import RunOutcome
from arbitrade.trading.run.outlet import Outlet
from arbitrade.trading.run.parts import Parts
from arbitrade.trading.run.rig import Effects, Rig
from arbitrade.trading.run.shell import BufferShell, Shell
from arbitrade.trading.run.tape import Tape
from arbitrade.trading.run.warden import Warden
from arbitrade.trading.run.watches import Watches

log = structlog.stdlib.get_logger(__name__)

_DRAIN_S, _DRAIN_AWAY_S = 20.0, 1.0
_ALERTS_DRAIN_S = 5.0
_STARTING = "starting: the account is being reconciled"
_STOPPING = "stopping"

type MakeServices = Callable[["TradingSession"], Sequence[Service]]


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

    Attributes:
        parts: What it is made of.
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
        self._has_begun = False
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._reconciled = asyncio.Event()
        self._stop_reason = ""
        self.is_ready_to_trade = asyncio.Event()
        """Set once what was open is ended, and cycles may begin."""
        clock = clock or RunClock()
        hands = choose_hands(
            mode,
            live=lambda: LiveHands(account_at(venue, LiveClock(clock))),
            paper=lambda: PaperHands(settings.paper),
        )
        if hands.venue_account is not None:
            account = hands.venue_account.name
        run_id = str(uuid.uuid4())
        calls = Calls()
        alerts = Alerts(
            registry.alert_sinks(settings),
            calls=calls,
            on_fault=lambda *fault: warden.report(*fault),
        )
        ground = Ground(
            settings,
            registry.migrations(),
            venue.name,
            account,
            credential,
            needs_database=hands.is_real,
            on_alert=lambda alert: outlet.alert(alert),
            on_halt=self._on_kill_switch,
            on_lock_lost=lambda why: outlet.on_lock_lost(why),
        )
        outlet = Outlet(
            venue.name,
            account,
            run_id,
            clock,
            alerts,
            ground.journal,
            ground.kill,
            fail_waiting=lambda reason: rig.gateway.fail_waiting(reason),
        )
        record = settings.journal.record
        tape = Tape(
            ground.folder / "recordings" if record else None,
            run_id,
            settings.recording.compression,
            outlet.on_tape_failed,
        )
        shell = (Shell if record else BufferShell)(clock, tape, outlet)
        warden = Warden(
            settings,
            registry,
            calls,
            alerts,
            outlet,
            shell,
            ground.kill.path,
            ground.kill.poll,
            lambda: rig.engine.pulse,
        )
        feed = venue.make_feed(lambda instruments: rig.choose(instruments), shell)
        rig = Rig(
            settings,
            registry,
            venue,
            hands,
            run_id=run_id,
            clock=clock,
            effects=Effects(
                outlet.write,
                outlet.alert,
                outlet.halt,
                shell.decided,
                self._reconciled.set,
                warden.report,
                calls,
            ),
            outside=Outside(
                ground.journal,
                shell.tell,
                clock.real_ns,
                lambda: shell.event_began_ns,
                lambda: shell.is_in_frame,
                outlet.on_account_refused,
            ),
            act=shell.act,
            on_out_of_sync=feed.resync,
        )
        shell.attach(rig.trader, rig.engine)
        self.parts = Parts(
            settings=settings,
            registry=registry,
            venue=venue,
            hands=hands,
            run_id=run_id,
            account=account,
            command=command,
            began=datetime.now(UTC),
            began_ns=clock.real_ns(),
            clock=clock,
            ground=ground,
            alerts=alerts,
            outlet=outlet,
            tape=tape,
            shell=shell,
            feed=feed,
            rig=rig,
            warden=warden,
            watchdog=Watchdog(on_stall=warden.on_stall, look=warden.look, look_s=warden.look_s),
            control=ControlServer(self, ground.folder, account),
        )
        self._watches = Watches(self.parts, self.is_ready_to_trade)
        self._commands = Commands(self.parts, self.stop)

    # ── a bot, as others see it ──────────────────────────────────────────────────────────────────

    @property
    def account(self) -> str:
        """Name of the account it trades."""
        return self.parts.account

    @property
    def database(self) -> DatabaseKeeper:
        """Its database: what services read history with, and reach tables of their own."""
        return self.parts.ground.keeper

    def status(self) -> Status:
        """Return the state of things for services."""
        return status.status_of(self.parts)

    def state(self) -> BotState:
        """Return everything about it now."""
        return status.state_of(self.parts)

    async def updates(self, every_s: float = 1.0) -> AsyncIterator[BotState]:
        """Yield the state again and again."""
        while True:
            yield self.state()
            await asyncio.sleep(every_s)

    async def command(self, command: Command) -> Answer:
        """Carry out a command; audited whether it is done or refused."""
        return await self._commands.carry_out(command)

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
        services: MakeServices = lambda _: (),
        *,
        seconds: float | None = None,
        on_state: Callable[[BotState], None] | None = None,
        every_s: float = 0.5,
    ) -> RunOutcome:
        """Trade until `stop`, for `seconds` if given; return what was done.

        Args:
            services: Makes what runs beside it.
            seconds: None for as long as nobody stops it.
            on_state: Shown the state every so often.
            every_s: How often.

        Raises:
            UsageError: Another bot trades this account.
            JournalError: The journal can't be opened or is damaged.
            DatabaseError: Live trading needs the database, and it is not there.
            AuthenticationError: The venue refuses the key.
        """
        parts = self.parts
        try:
            recovered = await parts.ground.open(parts.outlet.on_journal_failed)
            parts.outlet.open(recovered)
            return await self._run(recovered, services, seconds, on_state, every_s)
        finally:
            parts.outlet.close()
            parts.tape.close()
            await parts.ground.close()
            parts.warden.close()
            parts.rig.close()

    async def _run(
        self,
        recovered: Recovered,
        services: MakeServices,
        seconds: float | None,
        on_state: Callable[[BotState], None] | None,
        every_s: float,
    ) -> RunOutcome:
        parts, ground = self.parts, self.parts.ground
        parts.tape.open()
        self._begin(recovered)
        await parts.control.start()
        beside: list[Service] = [parts.control, parts.watchdog, *services(self)]
        try:
            async with asyncio.TaskGroup() as group:
                start = group.create_task
                aside = [
                    start(parts.alerts.run(), name="alerts"),
                    start(ground.writer.run(), name="journal to database"),
                    start(ground.look_after_history(), name="history"),
                    *(parts.warden.serve(group, one) for one in beside),
                ]
                if ground.database_lock is not None:
                    aside.append(start(ground.database_lock.run(), name="database lock"))
                market = [
                    start(parts.feed.run(), name="feed"),
                    start(self._get_ready(), name="getting ready"),
                    start(self._show(on_state, every_s), name="display"),
                    *(start(watch, name=name) for name, watch in self._watches.tasks()),
                ]
                if not await stopped_or_after(self._stop, seconds):
                    self.stop(f"ran for {seconds:g} s")
                await self._wind_down()
                for task in market:
                    task.cancel()
                await asyncio.gather(*market, return_exceptions=True)
                self._finish()
                outcome = await self._outcome()
                await parts.alerts.drain(_ALERTS_DRAIN_S)
                for task in aside:
                    task.cancel()
        except* ArbitradeError as group_error:
            raise first_of(group_error) from None
        finally:
            parts.shell.close()
            await parts.control.close()
            await parts.rig.gateway.close()
            if parts.hands.venue_account is not None:
                # Its own end may have come before the last question of somebody else.
                await parts.hands.venue_account.close()
            if ground.database_lock is not None:
                await ground.database_lock.release()
        return outcome

    # ── starting ─────────────────────────────────────────────────────────────────────────────────

    def _begin(self, recovered: Recovered) -> None:
        """Write down that we run; the machine is put where the journal ends by its first event."""
        parts, mode = self.parts, self.parts.hands.mode.value
        settings_json, digest = settings_of(parts.settings)
        core = version("arbitrade-core")
        parts.outlet.write(
            RunStarted(
                parts.run_id,
                mode,
                parts.venue.name,
                core,
                digest,
                settings_json,
                parts.settings.paper.seed,
            )
        )
        parts.outlet.audited("arbitrade", "start", parts.command, f"mode {mode}")
        parts.outlet.release_alerts()
        self._has_begun = True
        opening = {asset: str(amount) for asset, amount in parts.hands.opening.items()}
        parts.shell.tell(
            run_began(
                recovered,
                run_id=parts.run_id,
                account=parts.account,
                mode=mode,
                venue=parts.venue.name,
                version=core,
                settings=settings_json,
                features={
                    "opening": canonical(opening),
                    "hot_path": parts.rig.engine.hot_path,
                },
            )
        )
        parts.shell.tell(Commanded("reduce", "arbitrade", {"reason": _STARTING}))

    async def _get_ready(self) -> None:
        """Wait for market and account, end what was in the middle, then let trading begin."""
        parts, state = self.parts, self.parts.rig.state
        await until(lambda: self._has_market() and state.is_connected)
        reconciliation = parts.rig.trader.reconciliation
        await until(lambda: reconciliation.is_done or parts.ground.kill.is_engaged)
        if parts.hands.venue_account is not None:
            await self._watches.is_clock_known.wait()
        interrupted = {cycle.tag for cycle in state.to_recover}
        parts.shell.tell(Commanded("recover", "arbitrade", {}))
        if interrupted:
            told = f"{len(interrupted)} were open"
            parts.outlet.audited("arbitrade", "recover", "cycles", told)
            await until(lambda: not interrupted & set(state.cycles))
        self._check_arming()
        # PERF: what is here stays; without this, a collection walks all of it, for milliseconds.
        gc.collect()
        gc.freeze()
        self.is_ready_to_trade.set()
        parts.outlet.is_trading = not self._stop.is_set()
        halt = parts.ground.kill.halt
        if halt is not None:
            parts.shell.tell(Commanded("halt", "arbitrade", {"reason": halt.reason}))
        elif not self._stop.is_set():
            parts.shell.tell(Commanded("resume", "arbitrade", {}))
            log.info("trading.active", mode=parts.hands.mode, account=parts.account)

    def _check_arming(self) -> None:
        missing = self.parts.rig.missing_rules()
        if missing:
            raise ConfigError(
                f"live.required_rules: {', '.join(missing)} not there, so live trading is not "
                "armed; enable the plugins that bring them, or take them off the list"
            )

    def _has_market(self) -> bool:
        books = self.parts.rig.engine.books.values()
        return any(book.state is BookState.SYNCED for book in books)

    # ── while it runs ────────────────────────────────────────────────────────────────────────────

    async def _show(self, on_state: Callable[[BotState], None] | None, every_s: float) -> None:
        while on_state is not None:
            await asyncio.sleep(every_s)
            on_state(self.state())

    def _on_kill_switch(self, halt: Halt | None) -> None:
        """Follow the switch, whoever turned it.  Before the run began, `_get_ready` looks at it."""
        if halt is None or not self._has_begun:
            return
        self.parts.shell.tell(Commanded("halt", halt.actor, {"reason": halt.reason}))
        self.parts.outlet.audited(halt.actor, "halt", "trading", halt.reason)
        self.parts.outlet.alert(
            Alert(
                Severity.CRITICAL,
                f"trading is halted: {halt.reason}",
                "Cycles under way are finished or unwound. `arbitrade resume` lets trading go on.",
                subject="trading",
            )
        )

    # ── stopping ─────────────────────────────────────────────────────────────────────────────────

    async def _wind_down(self) -> None:
        """Begin nothing, and let what is under way come to its end within the grace period."""
        parts, state = self.parts, self.parts.rig.state
        parts.outlet.is_trading = False
        parts.shell.tell(Commanded("reduce", "arbitrade", {"reason": _STOPPING}))
        parts.outlet.audited("arbitrade", "stop", parts.command, self._stop_reason)
        grace_ns = round(parts.settings.execution.shutdown_grace_s * 1e9)
        until_ns = parts.clock.real_ns() + grace_ns
        while state.cycles and not self._hurry.is_set():
            if parts.clock.real_ns() > until_ns:
                left = ", ".join(str(cycle.number) for cycle in state.cycles.values())
                parts.outlet.alert(
                    Alert(
                        Severity.ERROR,
                        f"stopped with cycles under way: {left}",
                        "The next start finds them in the journal and brings them to their end.",
                    )
                )
                return
            await asyncio.sleep(0.01)
        if parts.hands.venue_account is not None and not self._hurry.is_set():
            await self._last_reconciliation()

    async def _last_reconciliation(self) -> None:
        """Compare balances once more, so that the report is about the end."""
        if not self.parts.rig.state.is_connected:
            return
        self._reconciled.clear()
        self.parts.shell.tell(Commanded("compare", "arbitrade", {"reason": "the run ends"}))
        grace_s = self.parts.settings.execution.shutdown_grace_s
        if not await stopped_or_after(self._reconciled, grace_s):
            log.warning("account.not_reconciled_at_the_end")

    def _finish(self) -> None:
        """Write the last records."""
        parts = self.parts
        self._watches.write_latencies()
        parts.shell.tell(RunEnding(self._stop_reason))
        decisions = parts.rig.decisions
        parts.outlet.write(RunEnded(self._stop_reason, decisions.count, decisions.hash))

    async def _outcome(self) -> RunOutcome:
        parts, writer = self.parts, self.parts.ground.writer
        # A database that is away is not waited for: the next run writes what is left.
        is_away = writer.unavailable_since is not None or self._hurry.is_set()
        if not await writer.drain(_DRAIN_AWAY_S if is_away else _DRAIN_S):
            log.warning("journal.not_drained", waiting=writer.lag_records)
        rows = await rows_by_table(parts.ground.keeper, parts.run_id)
        return RunOutcome(
            self.state(),
            parts.rig.state.ledger.balances(),
            parts.rig.trader.reconciliation.differences,
            status.tick_to_order(parts),
            rows,
            "" if parts.tape.path is None else str(parts.tape.path),
            self._stop_reason,
        )
