"""A histogram of durations: constant memory, one list write an entry, exact below 65 µs."""

import time
from collections.abc import Iterator, Mapping
from itertools import pairwise

_FINE = 1 << 16
"""Durations below this many nanoseconds are counted to the nanosecond."""
_COARSE_SHIFT = 10
_COARSE = 1 << 16
"""Longer ones to about a microsecond, up to 67 ms; beyond that they count as 67 ms."""


class Latency:
    """Counts durations in nanoseconds and tells their percentiles."""

    __slots__ = ("_coarse", "counts", "overhead_ns")

    def __init__(self, overhead_ns: int = 0) -> None:
        """Make an empty histogram; `overhead_ns`, the timer's own cost, is taken off in reading."""
        self.overhead_ns = overhead_ns
        self.counts = [0] * _FINE
        self._coarse: list[int] = []

    def add(self, duration_ns: int) -> None:
        """Count one duration.  About 0.1 µs."""
        try:
            self.counts[duration_ns] += 1
        except IndexError:
            self._add_long(duration_ns)

    def merge(self, other: "Latency") -> None:
        """Count what another histogram counted, less the difference of the timers' cost."""
        shift = other.overhead_ns - self.overhead_ns
        for duration_ns, count in other._entries():
            self._add_many(max(0, duration_ns - shift), count)

    def merge_counts(self, fine: Mapping[int, int], coarse: Mapping[int, int]) -> None:
        """Count durations given as {nanoseconds: count} and {buckets of 1,024 ns: count}."""
        for duration_ns, count in fine.items():
            self._add_many(duration_ns, count)
        for bucket, count in coarse.items():
            self._add_many(bucket << _COARSE_SHIFT, count)

    @property
    def count(self) -> int:
        """How many durations were counted.  O(size of the histogram)."""
        return sum(self.counts) + sum(self._coarse)

    def percentile_us(self, share: float) -> float | None:
        """Return the duration in microseconds that `share` (0 to 1) of all stay at or below.

        None when nothing was counted.  The timer's own cost is taken off.
        """
        left = max(1, round(self.count * share))
        for duration_ns, count in self._entries():
            left -= count
            if left <= 0:
                return max(0, duration_ns - self.overhead_ns) / 1000
        return None

    def summary(self) -> dict[str, float | None]:
        """Return p50, p99 and p999 in microseconds."""
        shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
        return {
            name: None if (value := self.percentile_us(share)) is None else round(value, 3)
            for name, share in shares.items()
        }

    def _entries(self) -> Iterator[tuple[int, int]]:
        for duration_ns, count in enumerate(self.counts):
            if count:
                yield duration_ns, count
        for bucket, count in enumerate(self._coarse):
            if count:
                yield bucket << _COARSE_SHIFT, count

    def _add_long(self, duration_ns: int, count: int = 1) -> None:
        if not self._coarse:
            self._coarse = [0] * _COARSE
        self._coarse[min(duration_ns >> _COARSE_SHIFT, _COARSE - 1)] += count

    def _add_many(self, duration_ns: int, count: int) -> None:
        if duration_ns < _FINE:
            self.counts[duration_ns] += count
        else:
            self._add_long(duration_ns, count)


def timer_overhead_ns(samples: int = 2001) -> int:
    """Return what two successive readings of the timer cost, the median of `samples`."""
    timer = time.perf_counter_ns
    readings = [timer() for _ in range(samples + 1)]
    steps = sorted(later - earlier for earlier, later in pairwise(readings))
    return steps[len(steps) // 2]
