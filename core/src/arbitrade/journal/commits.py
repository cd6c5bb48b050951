"""Group commit: a thread that writes and syncs whatever has gathered."""

import queue
import threading
from collections.abc import Callable
from time import perf_counter_ns

from arbitrade.journal.files import SegmentFiles


class GroupCommit:
    """Takes frames from one thread and makes them durable in another.

    While one fsync runs, frames gather for the next.  The first failure ends it: what gathered is
    dropped, and nothing is tried again.

    Args:
        files: Written to by this thread only, until `close` returns.
        next_seq: Number of the first frame.
        committed: Called in the thread with the last number that is durable now, and the
            nanoseconds it took.
        failed: Called in the thread, once, with what went wrong.
    """

    def __init__(
        self,
        files: SegmentFiles,
        next_seq: int,
        *,
        committed: Callable[[int, int], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._files = files
        self._next_seq = next_seq
        self._committed = committed
        self._failed = failed
        self._lock = threading.Lock()
        self._wakeups: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._pending: list[bytes] = []
        self.pending_bytes = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def put(self, frame: bytes) -> None:
        """Take the next frame.  0.3 µs; some 8 µs more when the thread has to be woken."""
        with self._lock:
            is_first = not self._pending
            self._pending.append(frame)
            self.pending_bytes += len(frame)
        if is_first:
            self._wakeups.put(True)

    def close(self) -> None:
        """Return when everything taken has been committed, or has failed."""
        self._wakeups.put(False)
        self._thread.join()

    def _run(self) -> None:
        while self._wakeups.get():
            try:
                self._commit()
            except Exception as error:  # Whatever it is, nobody may wait for ever.
                self._failed(error)
                return

    def _commit(self) -> None:
        with self._lock:
            frames, self._pending = self._pending, []
            self.pending_bytes = 0
        begun = perf_counter_ns()
        self._files.write(frames, self._next_seq)
        self._files.sync()
        self._next_seq += len(frames)
        self._committed(self._next_seq - 1, perf_counter_ns() - begun)
