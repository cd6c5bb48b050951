"""What a run tells the world: journal records, alerts, the audit, the halts of its own."""

import asyncio
from collections.abc import Callable, Collection

import structlog

from arbitrade.accounting.audit import AuditChain
from arbitrade.alerts.dispatch import Alerts
from arbitrade.control.kill_switch import KillSwitch
from arbitrade.errors import JournalError, RecordingError
from arbitrade.journal import Journal
from arbitrade.models import Alert, ConnectionLost, Severity
from arbitrade.records import CRITICAL, AlertRaised, Record, encode
from arbitrade.trading.machine.recovery import Recovered
from arbitrade.trading.run.clock import RunClock

log = structlog.stdlib.get_logger(__name__)
_NEVER_DURABLE = 1 << 62
_SHOWN = 8


class Outlet:
    """Writes, alerts and halts on behalf of a run; satisfies the shell's `Door`.

    Until `open` nothing is written, and alerts wait until the run is written down: they belong
    to it.

    Args:
        venue: Name of the venue.
        account: Name of the account.
        run_id: A UUID.
        clock: The run's.
        alerts: The way to the sinks.
        journal: Where records go.
        kill: The kill switch.
        fail_waiting: Gives up orders whose intents will never be durable.
    """

    def __init__(
        self,
        venue: str,
        account: str,
        run_id: str,
        clock: RunClock,
        alerts: Alerts,
        journal: Journal,
        kill: KillSwitch,
        fail_waiting: Callable[[str], None],
    ) -> None:
        self._venue = venue
        self._account = account
        self._run = run_id
        self._clock = clock
        self._alerts = alerts
        self._journal = journal
        self._kill = kill
        self._fail_waiting = fail_waiting
        self._audit = AuditChain(account, run_id)
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early: list[tuple[Alert, Collection[str]]] | None = []
        self._alert_number = 0
        self._was_account_ready = False
        self.is_trading = False
        """Whether cycles may begin, as far as starting and stopping are concerned."""
        self.recent: tuple[tuple[str, str], ...] = ()
        """Severity and title of the last alerts, newest first."""

    def open(self, recovered: Recovered) -> None:
        """Write from now on; the audit's chain goes on where a journal's state ends."""
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        if recovered.audit_hash is not None:
            self._audit = AuditChain(
                self._account,
                self._run,
                entry=recovered.audit_entry,
                last_hash=recovered.audit_hash,
            )

    @property
    def is_written_down(self) -> bool:
        """Whether the run is in the journal, and may have events and alerts of its own."""
        return self._early is None

    def release_alerts(self) -> None:
        """Hand out the alerts that waited for the run to be written down."""
        early, self._early = self._early or [], None
        for alert, but in early:
            self.alert(alert, but)

    def close(self) -> None:
        """Write nothing any more."""
        self._is_open = False

    # ── records ──────────────────────────────────────────────────────────────────────────────────

    def write(self, record: Record, run: str = "") -> int:
        """Append a record of a run, by default this one; return its number in the journal.

        What can't be written halts trading and gets a number that never becomes durable, so
        nothing is done on it.
        """
        if not self._is_open:
            return 0
        payload = encode(record, run or self._run, self._account, self._clock.now_ns())
        try:
            return self._journal.append(payload, critical=record.kind in CRITICAL)
        except JournalError as error:
            self.on_journal_failed(error)
            return _NEVER_DURABLE

    def audited(self, actor: str, action: str, subject: str, detail: str = "") -> None:
        """Write down who did what."""
        self.write(self._audit.next(self._clock.now_ns(), actor, action, subject, detail))

    def on_journal_failed(self, error: JournalError) -> None:
        """Halt, and give up what waits for an intent that never becomes durable."""
        self._fail_waiting(str(error))
        if not self._kill.is_engaged:
            log.critical("journal.failed", error=str(error))
            self.halt(f"the journal can't be written: {error}")

    def on_tape_failed(self, error: RecordingError) -> None:
        """Tell that the run is no longer recorded."""
        log.error("recording.failed", error=str(error))
        self.alert(
            Alert(Severity.ERROR, "the run is no longer recorded", f"{error}; trading goes on.")
        )

    # ── alerts and halts ─────────────────────────────────────────────────────────────────────────

    def alert(self, alert: Alert, but: Collection[str] = ()) -> None:
        """Raise an alert: to the sinks, the journal, and whoever looks.

        Args:
            alert: What there is to tell.
            but: Names of sinks it doesn't go to.
        """
        if self._early is not None:
            self._early.append((alert, but))
            return
        self._alert_number += 1
        self.recent = ((alert.severity.name.lower(), alert.title), *self.recent)[:_SHOWN]
        self._alerts.raise_alert(alert, but)
        self.write(AlertRaised(self._alert_number, alert))

    def halt(self, reason: str) -> None:
        """Stop trading of our own accord; only an operator lets it go on."""
        if not self._kill.is_engaged:
            self._kill.engage(reason, "arbitrade")

    def on_lock_lost(self, why: str) -> None:
        """Halt: another bot may hold the account now."""
        self.halt(f"the database lock was lost: {why}")

    def on_account_refused(self, reason: str) -> None:
        """Halt: the venue doesn't know us any more."""
        self.halt(
            f"the venue refuses the account: {reason}. When that is mended, restart the bot, then "
            "resume"
        )

    def on_stall(self, seconds: float, holder: str = "", but: Collection[str] = ()) -> None:
        """Tell of an event loop that is held up; called from the watchdog's thread.

        Args:
            seconds: For how long.
            holder: By whom, where that is known.
            but: Names of sinks it doesn't go to: one that holds the loop must not feed on that.
        """
        place = f"It was held by {holder}." if holder else "If it is in a plugin, disable that."
        alert = Alert(
            Severity.WARNING,
            f"the event loop was held up for over {seconds:.1f} s",
            "Meanwhile nothing could be decided or sent; the log has the place "
            f"(event_loop.stalled). {place}",
            subject="event loop",
        )
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.alert, alert, but)

    # ── the shell's door ─────────────────────────────────────────────────────────────────────────

    def on_failure(self, error: Exception) -> None:
        """Halt: an event was handled half, so nobody knows what is right any more."""
        self.halt(f"handling an event failed: {type(error).__name__}: {error}")

    def on_connection_lost(self, connection: int, event: ConnectionLost) -> None:
        """Tell that a connection of the market is lost."""
        self.alert(
            Alert(
                Severity.WARNING,
                f"{self._venue}: connection {connection} lost",
                f"{event.reason}. Its books are void until it is back; reconnecting.",
                subject=f"{self._venue}/{connection}",
            )
        )

    def on_account_ready(self, is_ready: bool, reason: str) -> None:
        """Tell when orders can't go out any more, unless that is because we start or stop."""
        was, self._was_account_ready = self._was_account_ready, is_ready
        if was == is_ready or not self.is_trading:
            return
        subject = f"{self._venue}/{self._account}"
        if is_ready:
            alert = Alert(Severity.INFO, "orders can go out again", "", subject=subject)
        else:
            alert = Alert(
                Severity.WARNING,
                f"orders can't go out: {reason}",
                "No cycle begins until they can. Orders under way are looked up at the venue.",
                subject=subject,
            )
        self.alert(alert)
