"""Where the time comes from."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Where the time of day comes from, so that a replay can bring its own."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch, UTC."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back, for durations."""
