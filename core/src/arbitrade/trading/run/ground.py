"""What a run stands on: the account's lock, the kill switch, the journal, the database."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from arbitrade.accounting.audit import AuditEntry
from arbitrade.config import Secret, Settings
from arbitrade.control.database_lock import DatabaseLock
from arbitrade.control.instance_lock import InstanceLock
from arbitrade.control.kill_switch import Halt, KillSwitch
from arbitrade.errors import DatabaseError, JournalError
from arbitrade.journal import FsyncPolicy, Journal, JournalRecovery, read_journal
from arbitrade.models import Alert, Severity
from arbitrade.models.migrations import MigrationSeries
from arbitrade.store.position import JournalKey, identify, read_position
from arbitrade.store.retention import look_after
from arbitrade.store.target import server_dsn
from arbitrade.store.writer import JournalWriter
from arbitrade.trading.machine.recovery import Recovered, read_state
from arbitrade.trading.run.keeper import DatabaseKeeper

log = structlog.stdlib.get_logger(__name__)
_EVERY_SEGMENT = 1 << 30
"""A start reads balances, open cycles, limits and the ramp-up from the whole journal, so none of it
may go, even if the database has it."""


class Ground:
    """Opened in this order before anything trades, and given back in the reverse one.

    Args:
        settings: Everything configured.
        series: The tables wanted in the database.
        venue: Name of the venue.
        account: Name of the account.
        credential: What the locks recognise the account by, beside its name.
        needs_database: Whether trading can't do without it.
        on_alert: Told what an operator should know.
        on_halt: Told of each change of the kill switch.
        on_lock_lost: Told why the database's lock is no longer ours.
    """

    def __init__(
        self,
        settings: Settings,
        series: Sequence[MigrationSeries],
        venue: str,
        account: str,
        credential: str | None,
        *,
        needs_database: bool,
        on_alert: Callable[[Alert], None],
        on_halt: Callable[[Halt | None], None],
        on_lock_lost: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._venue = venue
        self._account = account
        self._credential = credential
        self._needs_database = needs_database
        self._alert = on_alert
        self._on_lock_lost = on_lock_lost
        self.folder = Path(settings.runtime.folder).expanduser()
        self._journal_folder = self.folder / "journal" / account
        self._lock = InstanceLock(None, venue, account, credential)
        self.database_lock: DatabaseLock | None = None
        """None where the database is a server of our own, or the settings' address was wrong."""
        self.kill = KillSwitch(self.folder, account, on_halt)
        self.journal = Journal(
            self._journal_folder,
            fsync=FsyncPolicy[settings.journal.fsync.upper()],
            segment_bytes=settings.journal.segment_mb << 20,
            limit_bytes=settings.journal.limit_mb << 20,
            keep_segments=_EVERY_SEGMENT,
        )
        self.keeper = DatabaseKeeper(settings, series)
        self.writer = JournalWriter(
            self.keeper.session,
            self.journal,
            self._journal_key,
            on_alert=on_alert,
            revive=self.keeper.revive,
        )

    async def open(self, on_journal_failure: Callable[[JournalError], None]) -> Recovered:
        """Take the locks, open everything; return the state the journal ends in.

        Raises:
            UsageError: Another bot trades this account.
            JournalError: The journal can't be opened or is damaged.
            DatabaseError: Trading needs the database, and it is not there.
        """
        self._lock.acquire()
        self.database_lock = await self._open_database()
        return await self._open_journal(on_journal_failure)

    async def close(self) -> None:
        """Give back everything, the account's lock last.  Idempotent."""
        try:
            await asyncio.to_thread(self.journal.close)
        finally:
            if self.database_lock is not None:
                await self.database_lock.release()
            await self.keeper.close()
            self._lock.release()

    async def look_after_history(self) -> None:
        """Make room for what comes and drop what is too old, until cancelled."""
        await look_after(
            self.keeper.session,
            retention_days=self._settings.database.retention_days,
            on_alert=self._alert,
        )

    # ── the journal ──────────────────────────────────────────────────────────────────────────────

    async def _open_journal(self, on_failure: Callable[[JournalError], None]) -> Recovered:
        position, end = await self._stored_so_far()
        recovery = await asyncio.to_thread(lambda: self.journal.open(at_least=position + 1))
        self.journal.on_failure(on_failure)
        state = await asyncio.to_thread(
            lambda: read_state(read_journal(self._journal_folder), self._account)
        )
        self._tell_torn(recovery)
        # A journal that was taken away and begun anew: the chain goes on behind the database's end.
        if end is not None and end.entry > state.audit_entry:
            state.audit_entry, state.audit_hash = end.entry, end.hash
        return state

    def _tell_torn(self, recovery: JournalRecovery) -> None:
        torn = recovery.torn
        if torn is None:
            return
        log.warning("journal.torn_tail", found=str(torn))
        self._alert(
            Alert(
                Severity.WARNING,
                "the journal ended in the middle of a record",
                f"{torn.length} bytes of record {torn.seq}, which was being written when the last "
                f"run or its machine stopped; kept in {torn.kept}. Nothing was done on it.",
                subject=f"journal of {self._account}",
            )
        )

    def _journal_key(self) -> JournalKey:
        return JournalKey(self._account, identify(self._journal_folder))

    async def _stored_so_far(self) -> tuple[int, AuditEntry | None]:
        """Return how far the database has the journal, and the end of the audit; (0, None) if away.

        A journal that lost its end must not give numbers twice.
        """
        if self.keeper.database is None:
            return 0, None
        try:
            async with self.keeper.session() as connection:
                position = await read_position(connection, self._journal_key())
            return position, await self.keeper.history.events.last_audit(self._account)
        except DatabaseError as error:
            log.warning("database.position_unknown", error=str(error))
            return 0, None

    # ── the database ─────────────────────────────────────────────────────────────────────────────

    async def _open_database(self) -> DatabaseLock | None:
        """Open it; where trading can do without it, it goes on into the journal."""
        try:
            database = await self.keeper.open()
        except DatabaseError as error:
            if self._needs_database:
                raise
            log.error("database.unavailable", error=str(error))  # noqa: TRY400
            self._alert(Alert(Severity.ERROR, "the database is not there", str(error)))
            dsn = server_dsn(self._settings, os.environ)
            # Taken once it is back.
            return None if dsn is None else self._lock_in(dsn)
        lock = self._lock_in(database.secret_dsn)
        await lock.acquire()
        return lock

    def _lock_in(self, dsn: Secret) -> DatabaseLock:
        return DatabaseLock(
            dsn, self._venue, self._account, self._credential, on_lost=self._on_lock_lost
        )
