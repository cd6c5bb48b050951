"""The simulator's clock: the system's, or one that stands; either can be moved forward."""

import time

import attrs


@attrs.define
class MovableClock:
    """A clock that a test or an operator can move forward.

    Args:
        stands_at_ns: Stand still there, nanoseconds since the epoch; None to run with the system.
    """

    stands_at_ns: int | None = None
    _ahead_ns: int = 0

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch, UTC."""
        base = time.time_ns() if self.stands_at_ns is None else self.stands_at_ns
        return base + self._ahead_ns

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never go back; they count from no particular moment."""
        base = time.monotonic_ns() if self.stands_at_ns is None else self.stands_at_ns
        return base + self._ahead_ns

    def forward(self, ns: int) -> None:
        """Move forward.

        Raises:
            ValueError: `ns` is negative.
        """
        if ns < 0:
            raise ValueError(f"clock: {ns} ns lie in the past; give a number above 0")
        self._ahead_ns += ns
