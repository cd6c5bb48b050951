"""What a journal has done, for gauges and the operator."""

from collections import deque

import attrs

_KEPT = 4096


@attrs.frozen
class JournalStatistics:
    """A moment of a journal.

    Args:
        appended: Records taken since it was opened.
        synced: Of these, how many are durable.
        commits: Writes that made them so; with group commit fewer than records.
        size: Bytes appended since it was opened.
        waiting: Records appended and not durable yet.
        commit_p50_ms: Write and fsync of a commit, over the last 4,096 of them.
        commit_p99_ms: The same.
        spool_bytes: Appended and not released; counted up to 64 KiB too high.
        limit_bytes: Where records that are not critical are refused.
        segments: Files.
        is_failed: True from the first failure until it is opened again.
    """

    appended: int
    synced: int
    commits: int
    size: int
    waiting: int
    commit_p50_ms: float
    commit_p99_ms: float
    spool_bytes: int
    limit_bytes: int
    segments: int
    is_failed: bool


class CommitTimes:
    """How long the latest commits took."""

    def __init__(self) -> None:
        self.count = 0
        self._times_ns: deque[int] = deque(maxlen=_KEPT)

    def add(self, time_ns: int) -> None:
        """Count a commit and note how long it took."""
        self.count += 1
        self._times_ns.append(time_ns)

    def percentiles_ms(self) -> tuple[float, float]:
        """Return the 50th and the 99th; 0 before the first commit."""
        ordered = sorted(self._times_ns.copy())
        if not ordered:
            return 0.0, 0.0
        return ordered[len(ordered) // 2] / 1e6, ordered[len(ordered) * 99 // 100] / 1e6
