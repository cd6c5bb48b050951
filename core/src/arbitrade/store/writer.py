"""Moves the journal into PostgreSQL, beside trading and never in its way.

Each batch is one transaction that also says how far the journal is, so every record is written
once, whatever breaks in between.  Away from the database it waits, and what it did not write stays
in the journal.  Which record goes to which table stands in `arbitrade.store.mapping`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any, Protocol

import asyncpg
import structlog

from arbitrade.errors import ArbitradeError, JournalError, JournalFailedError
from arbitrade.journal import JournalEntry, JournalReader
from arbitrade.models import Alert, Severity
from arbitrade.store.batch import Gap, Outcome, Prepared, prepare, write_batch
from arbitrade.store.failures import CUT
from arbitrade.store.position import JournalKey, PositionMovedError, begin_position

__all__ = ["JournalSource", "JournalWriter"]

_READ = 100
"""Records read at once in a thread; it holds the interpreter for a third of a millisecond."""
_SLOW_S = 5.0
"""A transaction that takes longer counts as the database being away."""

log = structlog.stdlib.get_logger(__name__)

type Session = Callable[[], AbstractAsyncContextManager["asyncpg.Connection"]]


class JournalSource(Protocol):
    """What is read of a journal; `arbitrade.journal.Journal` is one."""

    @property
    def last_seq(self) -> int:
        """The number of the last record that was appended."""

    @property
    def durable_seq(self) -> int:
        """The last number up to which every record is durable."""

    @property
    def failure(self) -> JournalFailedError | None:
        """Why nothing more becomes durable, if that is so."""

    def reader(self, start_seq: int = 1) -> JournalReader:
        """Return a reader that begins with a record."""

    def release(self, seq: int) -> None:
        """Take everything up to a record as stored."""


class JournalWriter:
    """Writes a journal to the database until it is cancelled.

    ``writer = JournalWriter(database.session, journal, find_key)``

    All of it belongs to one event loop.  Attributes tell how it stands:

    Attributes:
        is_connected: Whether the last thing tried with the database worked.
        last_written_seq: Number of the last record in the database, as far as is known.
        last_error: Why it doesn't work now; empty when it does.
        written: Records written by this writer.
        rejected: Of these, how many were set aside.
        repeated: Of these, how many were there already.
        unknown: Of these, how many were of kinds this version doesn't know.
        gaps: Records that were missing in the journal.

    Args:
        session: Opens a connection; `Database.session`.
        journal: What is written.
        key: Whose, and which; asked for when the writing begins, once the journal's folder is
            there.
        on_alert: Called for what an operator should know.
        revive: Called before connecting anew; `Database.revive`.
        batch: Most records of one transaction.
        poll_s: How often the journal is looked at while nothing comes.
        timeout_s: A transaction that takes longer is given up and tried again.
        backoff_s: Shortest and longest pause between attempts.
    """

    def __init__(
        self,
        session: Session,
        journal: JournalSource,
        key: Callable[[], JournalKey],
        *,
        on_alert: Callable[[Alert], None] = lambda _: None,
        revive: Callable[[], Awaitable[None]] | None = None,
        batch: int = 500,
        poll_s: float = 0.05,
        timeout_s: float = 30.0,
        backoff_s: tuple[float, float] = (0.1, 5.0),
    ) -> None:
        self._session = session
        self._journal = journal
        self._find_key = key
        self._alert = on_alert
        self._revive = revive
        self._limit = batch
        self._poll_s = poll_s
        self._timeout_s = timeout_s
        self._backoff_s = backoff_s
        self._reader: JournalReader | None = None
        self._batch: list[Prepared] = []
        self._gaps: list[Gap] = []
        self._position = 0
        self._found = 0
        self._failing_since: float | None = None
        self._trying_since: float | None = None
        self._progress = asyncio.Event()
        self.is_connected = False
        self.last_written_seq = 0
        self.last_error = ""
        self.written = self.rejected = self.repeated = self.unknown = self.gaps = 0

    # ── how it stands ────────────────────────────────────────────────────────────────────────────

    @property
    def unavailable_since(self) -> float | None:
        """Since when nothing could be written, by `time.monotonic`; None while it works.

        A transaction that has been waiting for a lock or a slow disk for five seconds counts.
        """
        if self._failing_since is not None:
            return self._failing_since
        trying = self._trying_since
        if trying is not None and time.monotonic() - trying > _SLOW_S:
            return trying
        return None

    @property
    def lag_records(self) -> int:
        """Durable records that are not in the database."""
        return max(0, self._journal.durable_seq - self.last_written_seq)

    async def drain(self, timeout_s: float) -> bool:
        """Wait until everything appended so far is in the database; False if that takes longer.

        What a journal that failed did not make durable is not waited for.  `run` has to be under
        way.
        """
        has_failed = self._journal.failure is not None
        target = self._journal.durable_seq if has_failed else self._journal.last_seq
        try:
            async with asyncio.timeout(timeout_s):
                while self.last_written_seq < target:
                    progress = self._progress
                    await progress.wait()
        except TimeoutError:
            return False
        return True

    # ── the work ─────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _key(self) -> JournalKey:
        return self._find_key()

    async def run(self) -> None:
        """Write until cancelled; never raises anything else but bugs of our own."""
        pause = self._backoff_s[0]
        self._found = self._journal.durable_seq
        try:
            while True:
                before = self.written
                try:
                    await self._serve()
                except Exception as error:
                    self._failed(error)
                pause = self._backoff_s[0] if self.written > before else pause
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._backoff_s[1])
                await self._bring_back()
        finally:
            self.is_connected = False
            self._close_reader()

    async def _serve(self) -> None:
        """Connect and write until something breaks."""
        self._trying_since = time.monotonic()
        async with self._session() as connection:
            try:
                position = await self._bounded(connection, begin_position(connection, self._key))
                self._check_reach(position)
                self._seek(position)
                await asyncio.to_thread(self._journal.release, position)
                self.is_connected = True
                while True:
                    if not await self._step(connection):
                        await asyncio.sleep(self._poll_s)
            except BaseException:
                # Nothing may wait for a server that doesn't answer.
                connection.terminate()
                raise

    async def _step(self, connection: asyncpg.Connection) -> bool:
        """Write the next batch; False if there was nothing to write."""
        if connection.is_closed():
            raise ConnectionError("the connection was closed by the server")
        if not self._batch:
            self._batch = await self._next_batch()
        if not self._batch:
            self._recovered()
            return False
        self._trying_since = time.monotonic()
        # Should the answer to the commit be lost, it may well have been done.
        self._found = max(self._found, self._batch[-1].seq)
        writing = write_batch(connection, self._key, self._position, self._batch, self._gaps)
        try:
            outcome = await self._bounded(connection, writing)
        except PositionMovedError as moved:
            # Somebody else wrote, or the database is an older one now.
            self._seek(moved.seq or await begin_position(connection, self._key))
            return True
        self._recovered()
        await self._wrote(outcome)
        return True

    async def _bounded[T](self, connection: asyncpg.Connection, work: Coroutine[Any, Any, T]) -> T:
        """Do something with the database; cut the line when it takes too long, or we are cancelled.

        Cancelling alone would wait for the server, to roll back.
        """
        doing = asyncio.ensure_future(work)
        timer = asyncio.get_running_loop().call_later(self._timeout_s, connection.terminate)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            connection.terminate()
            await asyncio.gather(doing, return_exceptions=True)
            raise
        finally:
            timer.cancel()

    async def _wrote(self, outcome: Outcome) -> None:
        count, self._position = len(self._batch), self._batch[-1].seq
        gaps, self._batch, self._gaps = self._gaps, [], []
        self.last_written_seq = self._position
        self.written += count
        self.repeated += outcome.repeated
        self.unknown += outcome.unknown
        self.rejected += len(outcome.rejected)
        for gap in gaps:
            self._tell_gap(gap)
        if outcome.rejected:
            first = outcome.rejected[0]
            log.error("journal.rejected", seq=first.seq, kind=first.kind, error=first.error)
            self._tell(
                Severity.ERROR,
                f"{len(outcome.rejected)} records of the journal were refused by the database",
                f"The first is record {first.seq} ({first.kind}): {first.error}.  They are kept in "
                "the table rejected_record; everything else was written.",
            )
        await asyncio.to_thread(self._journal.release, self._position)
        self._announce()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def _next_batch(self) -> list[Prepared]:
        if self._reader is None:
            self._reader = self._journal.reader(self._position + 1)
        if self._reader.next_seq > self._journal.durable_seq:
            return []
        try:
            entries = await self._read_entries(self._reader)
            self._gaps = self._find_gaps(entries)
            return await prepare(entries, self._key)
        except BaseException:
            self._close_reader()  # what it read and nobody wrote is read again
            raise

    async def _read_entries(self, reader: JournalReader) -> list[JournalEntry]:
        entries: list[JournalEntry] = []
        try:
            while wanted := min(_READ, self._limit - len(entries)):
                more = await self._read(reader, wanted)
                if not more:
                    break
                entries.extend(more)
        except JournalError:
            if not entries:
                raise  # otherwise it comes again, after these have been written
        return entries

    async def _read(self, reader: JournalReader, wanted: int) -> Sequence[JournalEntry]:
        reading = asyncio.ensure_future(asyncio.to_thread(reader.next_batch, wanted))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait([reading])  # it reads a file that would be closed under it
            raise

    def _find_gaps(self, entries: Sequence[JournalEntry]) -> list[Gap]:
        assert self._reader is not None
        gaps, before = [], self._position
        for entry in entries:
            if entry.seq > before + 1:
                first, last = before + 1, entry.seq - 1
                is_known = any(
                    lost.start <= last and first < lost.stop for lost in self._reader.lost
                )
                gaps.append(Gap(first, last, "quarantined" if is_known else "released"))
            before = entry.seq
        return gaps

    def _seek(self, position: int) -> None:
        """Go on behind a record, wherever we are."""
        if position < self._position:
            log.warning("journal.position_back", was=self._position, now=position)
            self._tell(
                Severity.WARNING,
                "the database is older than what was written to it",
                f"It was at record {self._position} of the journal and is at {position} now.  What "
                "the journal still has is written again.",
            )
        if position == self._position and self._reader is not None:
            return  # what is in memory fits
        self._position = self.last_written_seq = position
        self._batch, self._gaps = [], []
        self._close_reader()
        self._announce()

    def _check_reach(self, position: int) -> None:
        """Refuse a journal that ended before the database did: its numbers would come twice.

        Raises:
            JournalError: It did.
        """
        if position > max(self._found, self._position):
            raise JournalError(
                f"the journal ended with record {self._found}, but the database has record "
                f"{position} of it; stop, and start again with the database reachable, so that "
                "the journal goes on behind that"
            )
        self._found = max(self._found, self._journal.durable_seq)

    def _announce(self) -> None:
        """Wake whoever waits in `drain` for records to be written."""
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    # ── when it doesn't work ─────────────────────────────────────────────────────────────────────

    def _failed(self, error: Exception) -> None:
        self.is_connected = False
        is_first = self._failing_since is None
        if is_first:
            self._failing_since = self._trying_since or time.monotonic()
        self._trying_since = None
        if isinstance(error, asyncpg.InterfaceError) and isinstance(error.__context__, Exception):
            error = error.__context__  # what closed the connection, which is all the driver says
        reason = str(error) or type(error).__name__
        is_news, self.last_error = reason != self.last_error, reason
        if is_first:
            log.warning("journal.database_away", reason=reason, waiting=self.lag_records)
            self._tell(
                Severity.WARNING,
                "the journal can't be written to the database",
                f"{reason}.  Nothing is lost: records wait in the journal and are written when it "
                "works again.",
            )
        elif is_news:
            log.warning("journal.database_still_away", reason=reason, waiting=self.lag_records)

    def _recovered(self) -> None:
        self.is_connected = True
        self._trying_since = None
        since, self._failing_since = self._failing_since, None
        self.last_error = ""
        if since is None:
            return
        away_s = round(time.monotonic() - since, 1)
        log.info("journal.database_back", away_s=away_s, waiting=self.lag_records)
        self._tell(
            Severity.INFO,
            "the database is back",
            f"It was away for {away_s} s; {self.lag_records} records are being written now.",
        )

    async def _bring_back(self) -> None:
        if self._revive is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._revive()
        except (ArbitradeError, *CUT) as error:
            self._failed(error)

    def _tell_gap(self, gap: Gap) -> None:
        self.gaps += gap.last - gap.first + 1
        log.error("journal.gap", first=gap.first, last=gap.last, reason=gap.reason)
        if gap.reason != "quarantined":  # whoever set those aside has told
            self._tell(
                Severity.ERROR,
                "the database lacks records the journal has not any more",
                f"Records {gap.first} to {gap.last} were deleted after they had been written to a "
                "newer database than this one.  Compare the ledger with the venue, and restore a "
                "newer backup if there is one.",
            )

    def _tell(self, severity: Severity, title: str, body: str) -> None:
        self._alert(Alert(severity, title, body, subject=f"journal of {self._key.account}"))
