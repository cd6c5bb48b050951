"""The clock of a run: the wall clock at the start, then monotonic; stands still within an event."""

import time
from collections.abc import Callable

_SOURCES = (time.time_ns, time.monotonic_ns)


class RunClock:
    """Satisfies `Clock`.  What is recorded with an event is what everything in it saw.

    A wall clock that is set, by an hour or by a leap second, moves nothing: durations and deadlines
    go on, and `skew_ns` tells how far the wall clock has gone off.

    Args:
        wall_ns: Nanoseconds since the epoch.
        monotonic_ns: Nanoseconds that never go back.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = _SOURCES[0],
        monotonic_ns: Callable[[], int] = _SOURCES[1],
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()
        self._now_ns = self._offset_ns + monotonic_ns()

    def tick(self) -> int:
        """Let the time be what it is now, and return it."""
        self._now_ns = now = self._offset_ns + self._monotonic_ns()
        return now

    def now_ns(self) -> int:
        """Return the time of the event being handled."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Return the same: it never goes back."""
        return self._now_ns

    def real_ns(self) -> int:
        """Return the time now, event or not."""
        return self._offset_ns + self._monotonic_ns()

    def skew_ns(self) -> int:
        """Return how far the wall clock is ahead of the run's."""
        return self._wall_ns() - self.real_ns()


class LiveClock:
    """The same run's time as it flows, for what works outside of events: connections, deadlines."""

    def __init__(self, run: RunClock) -> None:
        self._run = run

    def now_ns(self) -> int:
        """Return the time now."""
        return self._run.real_ns()

    def monotonic_ns(self) -> int:
        """Return the same: the run's time never goes back."""
        return self._run.real_ns()
