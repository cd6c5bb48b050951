"""Writing a journal: append now, know soon that it is on the disk."""

import asyncio
import enum
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

from arbitrade.errors import JournalError, JournalFailedError, JournalFullError
from arbitrade.journal.commits import GroupCommit
from arbitrade.journal.files import SegmentFiles, make_folder
from arbitrade.journal.frame import MAX_PAYLOAD_BYTES, encode
from arbitrade.journal.lock import FolderLock
from arbitrade.journal.reader import JournalReader
from arbitrade.journal.recovery import JournalRecovery, Scan, go_on, scan
from arbitrade.journal.spool import Spool
from arbitrade.journal.statistics import CommitTimes, JournalStatistics
from arbitrade.journal.waiters import Waiters

_RESERVE = 1.1
_BUFFER_BYTES = 64 << 20
"""What may wait in memory for a slow disk before records that are not critical are refused."""


class FsyncPolicy(enum.Enum):
    """When a record counts as durable."""

    ALWAYS = "always"
    """On the disk: survives a power cut.  One fsync serves all records that gathered before it."""
    NEVER = "never"
    """With the operating system: survives the death of the process, not of the machine."""


class Journal:
    """An append-only file of numbered records, in segments.

    Made for one event loop: `append` and everything that waits belong to its thread; `release` and
    `statistics` may be called from any.  With `FsyncPolicy.ALWAYS` a thread writes whatever has
    been appended, syncs it, and hands all calls of that commit to the loop at once.

    A failed write or fsync ends the journal: what isn't durable by then never will be, everybody
    who waits is told, nothing more is taken.  After `close` it can be opened again; half a record
    is cut off then and the numbers go on without a gap.  An fsync is never tried again: the system
    may have dropped what it could not write, and call that a success the second time.

    Args:
        folder: Made for its owner only if it isn't there; no other journal may use it.
        fsync: See `FsyncPolicy`.
        segment_bytes: A segment this long is followed by the next.
        limit_bytes: What may wait to be released; critical records may use a tenth more.
        keep_segments: How many files `release` leaves, at least the newest.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fsync: FsyncPolicy,
        segment_bytes: int = 64 << 20,
        limit_bytes: int = 2 << 30,
        keep_segments: int = 1,
    ) -> None:
        self._folder = folder
        self._is_group = fsync is FsyncPolicy.ALWAYS
        self._limit_bytes = limit_bytes
        self._keep_segments = keep_segments
        self._guard: FolderLock | None = None
        self._failure: JournalFailedError | None = self._closed()
        self._release_lock = threading.Lock()
        self._files = SegmentFiles(folder, segment_bytes=segment_bytes, syncs=self._is_group)
        self._commit: GroupCommit | None = None
        self._commits = CommitTimes()
        self._spool = Spool()
        self._next_seq = 1
        self._durable_seq = self._found_seq = self._found_bytes = 0
        self._waiters = Waiters(lambda: self._durable_seq, lambda: self._failure)

    # ── opening and closing ──────────────────────────────────────────────────────────────────────

    def open(self, *, at_least: int = 1) -> JournalRecovery:
        """Check what is there, cut off a torn tail, and go on behind it.

        Everything found is on the disk when this returns.

        Args:
            at_least: The next record gets no lower number.  Pass the last number stored elsewhere
                plus one: should the journal have lost its end, no number is given twice.  The
                numbers left out are marked as lost.

        Raises:
            JournalError: Another journal uses the folder, or this one is open already.
            JournalCorruptError: There is damage that is no torn tail; see `quarantine`.
            JournalFailedError: The folder can't be made, read or written.
        """
        if self._guard is not None:
            raise JournalError(f"{self._folder}: this journal is open already; close it first")
        try:
            make_folder(self._folder)
            self._guard = FolderLock(self._folder)
            found = scan(self._folder)
            go_on(self._files, found, at_least)
        except BaseException as error:
            self._let_go()
            if isinstance(error, OSError):
                raise self._refused("can't be opened", error) from error
            raise
        self._begin(found)
        return found.recovery()

    def close(self) -> None:
        """Write and sync everything, then let go of the folder.  Idempotent.

        Blocks as long as the disk takes.  Whoever still waits gets `JournalFailedError` if a
        failure came before.

        Raises:
            JournalFailedError: The last records could not be written; the journal is closed all
                the same.
        """
        if self._guard is None:
            return
        known = self._failure
        if self._commit is not None:
            self._commit.close()
        elif known is None:
            self._sync_last()
        failure = self._failure
        if failure is None:
            self._failure = self._closed()
            self._waiters.close()
        self._let_go()
        if failure is not known:
            raise self._failed()

    # ── appending ────────────────────────────────────────────────────────────────────────────────

    def append(self, payload: bytes, *, critical: bool = False) -> int:
        """Take a record and return its number.

        2 µs, and 8 µs more when the committing thread sleeps and has to be woken; 3 µs with
        `FsyncPolicy.NEVER`, as long as the system has memory to take the write.

        Args:
            payload: One JSON object, without a line break.
            critical: Whether it may use the reserve, as what belongs to something already begun.

        Raises:
            JournalFullError: Too much waits to be stored elsewhere, or for the disk.
            JournalFailedError: The journal has failed or isn't open.
            ValueError: The payload has a line break or is over 16 MiB.
        """
        if b"\n" in payload or len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError("a journal record is one line of at most 16 MiB")
        if self._failure is not None:
            raise self._failed()
        seq, commit = self._next_seq, self._commit
        frame = encode(seq, payload)
        if self._spool.size + len(frame) > self._limit_bytes or (
            commit is not None and commit.pending_bytes > _BUFFER_BYTES
        ):
            self._require_room(len(frame), _RESERVE if critical else 1.0)
        if commit is None:
            self._write_now(frame, seq)
        self._next_seq = seq + 1
        self._spool.add(seq, len(frame))
        if commit is not None:
            commit.put(frame)
        return seq

    @property
    def failure(self) -> JournalFailedError | None:
        """Why nothing can be appended; None as long as something can."""
        return self._failure

    def on_failure(self, call: Callable[[JournalFailedError], None]) -> None:
        """Have `call` called on the running loop, once, when the journal fails; at once if it has.

        Closing it is no failure, and forgets who asked.
        """
        self._waiters.listen(call)

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────

    @property
    def last_seq(self) -> int:
        """The number of the last record that was appended; 0 before the first."""
        return self._next_seq - 1

    @property
    def durable_seq(self) -> int:
        """The last number up to which every record is durable; 0 before the first."""
        return self._durable_seq

    def is_durable(self, seq: int) -> bool:
        """True when a record is on the disk, as the policy asks."""
        return seq <= self._durable_seq

    async def durable(self, seq: int) -> None:
        """Return when a record is on the disk, as the policy asks.

        Raises:
            JournalFailedError: It never will be; whether it can be read later is not known.
            ValueError: There is no such record.
        """
        if seq <= self._durable_seq:
            return
        self._require_appended(seq)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done() -> None:
            if not future.done():
                future.set_result(None)

        def failed(_: JournalFailedError) -> None:
            if not future.done():
                future.set_exception(self._failed())

        self._waiters.add(seq, done, failed)
        await future

    def on_durable(self, seq: int, call: Callable[[], None]) -> None:
        """Have `call` called on the loop's thread when a record is durable; at once if it is.

        Calls come in the order of the numbers, one after the other: what is asked for within a call
        comes when that call has returned.  An exception goes to the loop's exception handler.
        After a failure calls don't come at all: see `on_failure`.

        Raises:
            JournalFailedError: It never will be durable.
            ValueError: There is no such record.
        """
        self._require_appended(seq)
        self._waiters.add(seq, call)

    # ── what has been stored elsewhere ───────────────────────────────────────────────────────────

    def reader(self, start_seq: int = 1) -> JournalReader:
        """Return a reader that never sees a record before it is durable."""
        return JournalReader(self._folder, start_seq, up_to=lambda: self._durable_seq)

    def release(self, seq: int) -> None:
        """Take everything up to a record as stored elsewhere; delete segments that are done with.

        Deleting takes milliseconds where a segment is large: call it in a thread.  Not more than
        what is durable is released, and nothing of a journal that is closed.
        """
        with self._release_lock:
            if self._guard is None:
                return
            seq = min(seq, self._durable_seq)
            self._spool.release(seq)
            self._files.release(seq, self._keep_segments)

    def statistics(self) -> JournalStatistics:
        """Return what this journal has done since it was opened.  Some 0.3 ms."""
        last = self._next_seq - 1
        durable = min(last, self._durable_seq)
        p50, p99 = self._commits.percentiles_ms()
        return JournalStatistics(
            appended=last - self._found_seq,
            synced=durable - self._found_seq,
            commits=self._commits.count,
            size=self._spool.total - self._found_bytes,
            waiting=last - durable,
            commit_p50_ms=p50,
            commit_p99_ms=p99,
            spool_bytes=self._spool.size,
            limit_bytes=self._limit_bytes,
            segments=len(self._files.segments),
            is_failed=self._guard is not None and self._failure is not None,
        )

    # ── private ──────────────────────────────────────────────────────────────────────────────────

    def _begin(self, found: Scan) -> None:
        self._failure = None
        self._next_seq = found.next_seq
        self._durable_seq = self._found_seq = found.next_seq - 1
        self._spool = found.spool
        self._found_bytes = found.spool.total
        self._commits = CommitTimes()
        if self._is_group:
            self._commit = GroupCommit(
                self._files, found.next_seq, committed=self._committed, failed=self._fail
            )

    def _committed(self, seq: int, took_ns: int) -> None:
        self._durable_seq = seq
        self._commits.add(took_ns)
        self._waiters.wake()

    def _write_now(self, frame: bytes, seq: int) -> None:
        begun = perf_counter_ns()
        try:
            self._files.write((frame,), seq)
        except OSError as error:
            self._fail(error)
            raise self._failed() from error
        self._durable_seq = seq
        self._commits.add(perf_counter_ns() - begun)

    def _sync_last(self) -> None:
        try:
            self._files.sync()
        except OSError as error:
            self._fail(error)

    def _let_go(self) -> None:
        self._files.close()
        self._commit = None
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.release()

    def _require_appended(self, seq: int) -> None:
        if seq > self._durable_seq and self._failure is not None:
            raise self._failed()
        if seq >= self._next_seq:
            raise ValueError(f"record {seq} has not been appended; the next is {self._next_seq}")

    def _require_room(self, length: int, reserve: float) -> None:
        waiting = self._spool.size
        if waiting + length > self._limit_bytes * reserve:
            raise JournalFullError(
                f"{self._folder}: {waiting} bytes wait to be stored elsewhere, of "
                f"{self._limit_bytes} allowed; bring the database back, or allow more"
            )
        pending = 0 if self._commit is None else self._commit.pending_bytes
        if pending > _BUFFER_BYTES * reserve:
            raise JournalFullError(
                f"{self._folder}: {pending} bytes wait for the disk; find out what keeps it busy, "
                "or use a faster one"
            )

    def _fail(self, error: Exception) -> None:
        self._failure = self._refused("can't be written", error)
        self._failure.__cause__ = error
        self._waiters.wake(failed=True)

    def _failed(self) -> JournalFailedError:
        """Return a new error for each who asks: a traceback belongs to one of them."""
        assert self._failure is not None
        again = JournalFailedError(*self._failure.args)
        again.__cause__ = self._failure.__cause__
        return again

    def _refused(self, what: str, error: Exception) -> JournalFailedError:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        return JournalFailedError(
            f"{self._folder}: the journal {what} ({reason}); make room or repair the disk, then "
            "open it again.  Nothing new can be begun until then"
        )

    def _closed(self) -> JournalFailedError:
        return JournalFailedError(f"{self._folder}: the journal is closed; open it first")
