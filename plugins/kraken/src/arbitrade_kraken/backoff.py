"""Exponential backoff with jitter."""

from random import Random

import attrs


@attrs.define
class Backoff:
    """How long to wait before the next try.

    The first `quick` tries come at once; from then on the wait doubles from `base_s` to `most_s`.
    Each wait is drawn between half and the whole of that, so that many who failed together don't
    come back together.

    Args:
        base_s: First real wait, in seconds.
        most_s: Longest wait, in seconds.
        random: Where jitter comes from.
        quick: Tries without a wait.
        calm_s: After that many seconds without a try it starts over.
    """

    base_s: float
    most_s: float
    random: Random
    quick: int = 1
    calm_s: float = 60.0
    _tries: int = attrs.field(default=0, init=False)
    _last: float = attrs.field(default=float("-inf"), init=False)

    def next(self, now: float) -> float:
        """Return the seconds to wait from `now` (seconds, monotonic), and count the try."""
        if now - self._last > self.calm_s:
            self._tries = 0
        waits = self._tries - self.quick
        self._tries += 1
        wait = 0.0
        if waits >= 0:
            # The exponent is bounded because 2.0**1024 overflows, long after `most_s` was reached.
            wait = min(self.most_s, self.base_s * 2.0 ** min(waits, 60))
            wait *= self.random.uniform(0.5, 1.0)
        self._last = now + wait
        return wait
