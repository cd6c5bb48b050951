"""A token bucket: how often something may happen."""

from collections.abc import Callable

import attrs


@attrs.define
class TokenBucket:
    """Hands out permission at a steady rate, with a burst in hand.

    At most `burst + per_s × t` permissions fall into any t seconds.  Whoever asks gets a place in
    the queue and how long to wait for it, so waiters are served in the order they asked; a waiter
    that goes away loses its place, which errs on the safe side.

    Args:
        burst: Permissions that may be taken at once.
        per_s: Permissions that come back a second.
        now: Seconds that never go back.
    """

    burst: float
    per_s: float
    now: Callable[[], float]
    _tokens: float = attrs.field(init=False)
    _filled_at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst
        self._filled_at = self.now()

    @classmethod
    def per_window(cls, limit: int, window_s: float, now: Callable[[], float]) -> "TokenBucket":
        """Return a bucket that never exceeds `limit` in any window, wherever the window begins.

        Half of the limit may be taken at once, the other half comes back over a window.
        """
        burst = max(1.0, limit / 2)
        return cls(burst, max(limit - burst, 0.5) / window_s, now)

    def take(self) -> float:
        """Take one permission; return the seconds to wait before using it."""
        self._refill()
        self._tokens -= 1
        return max(0.0, -self._tokens / self.per_s)

    def available(self) -> int:
        """Return how many permissions could be taken without waiting."""
        self._refill()
        return max(0, int(self._tokens))

    def next_in(self) -> float:
        """Return the seconds until there is a permission to take."""
        self._refill()
        return max(0.0, (1 - self._tokens) / self.per_s)

    def _refill(self) -> None:
        now = self.now()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.per_s)
        self._filled_at = now
