"""The venue's counter of REST calls, kept on our side so that we never run into it.

It is leaky: what is done adds points, points decay with time, above a threshold the venue refuses.
Source: REST documentation, "Rate limits" (May 2026).
"""

from collections.abc import Callable
from typing import Literal

import attrs

type Tier = Literal["starter", "intermediate", "pro"]


_CALLS: dict[Tier, tuple[float, float]] = {
    "starter": (15.0, 0.33),
    "intermediate": (20.0, 0.5),
    "pro": (20.0, 1.0),
}
"""Most points of REST calls, and their decay a second."""


_MARGIN = 1.0
"""Points of the call counter never used: the venue counts a call when it arrives, we when it
leaves, so that at the very edge the two differ."""


@attrs.define
class CallBudget:
    """The REST call counter of an API key.

    The last `reserve` points are for calls that matter: tokens, cancels, finding lost orders.

    Args:
        tier: Of the account; `starter` is the safe guess.
        now: Seconds that never go back.
        reserve: Points only calls that matter may use.
    """

    tier: Tier
    now: Callable[[], float]
    reserve: float = 5.0
    _points: float = attrs.field(default=0.0, init=False)
    _at: float = attrs.field(init=False)
    _closed_until: float = attrs.field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        self._at = self.now()

    @property
    def points(self) -> float:
        """What the venue's counter stands at, as far as we know."""
        self._decay()
        return self._points

    def try_take(self, cost: float, *, matters: bool) -> float:
        """Count a call if there is room for it.

        Returns:
            0 when it may go out now, else the seconds until it might; nothing is counted then.
        """
        self._decay()
        most, per_s = _CALLS[self.tier]
        closed_s = self._closed_until - self._at
        limit = most - _MARGIN - (0.0 if matters else self.reserve)
        excess = self._points + cost - limit
        wait_s = max(closed_s, excess / per_s)
        if wait_s > 0:
            return wait_s
        self._points += cost
        return 0.0

    def count(self, cost: float) -> None:
        """Count a call that goes out whatever the counter says."""
        self._decay()
        self._points += cost

    def exceeded(self, wait_s: float = 0.0) -> None:
        """The venue said it is full: believe it, and send nothing for a while."""
        self._decay()
        most, per_s = _CALLS[self.tier]
        self._points = most
        self._closed_until = max(self._closed_until, self._at + max(wait_s, 2 / per_s))

    def _decay(self) -> None:
        now = self.now()
        self._points = max(0.0, self._points - (now - self._at) * _CALLS[self.tier][1])
        self._at = now
