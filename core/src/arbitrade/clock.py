"""Clocks: the system's, and one that a replay moves."""

import time

import attrs


@attrs.frozen
class SystemClock:
    """The wall clock and the monotonic clock of the operating system."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch, UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back."""
        return time.monotonic_ns()


@attrs.define
class ReplayClock:
    """A clock that moves only when told, for replays and tests.

    Args:
        time_ns: Nanoseconds since the epoch now.
    """

    time_ns: int = 0

    def now_ns(self) -> int:
        """Return the replayed time."""
        return self.time_ns

    def monotonic_ns(self) -> int:
        """Return the replayed time: durations are those of the recording."""
        return self.time_ns

    def move_to(self, time_ns: int) -> None:
        """Move forward to `time_ns`; an earlier time leaves the clock where it is."""
        self.time_ns = max(self.time_ns, time_ns)
