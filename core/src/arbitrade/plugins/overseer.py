"""Sees from a thread that a plugin's call doesn't come back, and ends it where it can."""

import time
from collections.abc import Callable

from arbitrade.calls import Call, Calls


class Overseer:
    """Looks at one thread's calls; everything here runs on another one.

    Args:
        calls: What is looked at.
        budget_s: A call that takes longer is told of and interrupted, again and again.
        on_held: Told a call that takes too long, once, while it does.
        on_returned: Told that such a call came back by itself; one that was interrupted raised.
        now_s: A monotonic clock.
        pulse: A number that changes where one call follows another without being counted.
    """

    def __init__(
        self,
        calls: Calls,
        budget_s: float,
        on_held: Callable[[Call, float], None],
        on_returned: Callable[[], None],
        now_s: Callable[[], float] = time.monotonic,
        pulse: Callable[[], int] = int,
    ) -> None:
        self._calls = calls
        self._budget_s = budget_s
        self._on_held = on_held
        self._on_returned = on_returned
        self._now_s = now_s
        self._pulse = pulse
        self._seen: tuple[Call | None, int] = (None, 0)
        self._since_s = self._looked_s = now_s()
        self._was_interrupted = False
        self.is_held = False
        """Whether a call takes too long right now."""

    def look(self) -> None:
        """Look once; several times a budget."""
        now = self._now_s()
        late_s, self._looked_s = now - self._looked_s, now
        seen = self._calls.call, self._calls.count + self._pulse()
        if seen[0] is None or seen != self._seen or late_s > max(1.0, 2 * self._budget_s):
            # A look that came late itself: the whole process stood still, which is nobody's fault.
            self._begin_anew(seen, now)
            return
        if now - self._since_s < self._budget_s:
            return
        if not self.is_held:
            self.is_held = True
            self._on_held(seen[0], now - self._since_s)
        self._was_interrupted = self._calls.interrupt() or self._was_interrupted

    def _begin_anew(self, seen: tuple[Call | None, int], now: float) -> None:
        if self.is_held and not self._was_interrupted:
            self._on_returned()
        self._seen, self._since_s = seen, now
        self.is_held = self._was_interrupted = False
