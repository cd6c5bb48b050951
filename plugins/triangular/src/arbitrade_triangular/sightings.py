"""What each live cycle showed last, so that it is sized anew only when that can have changed.

Most messages about a pair move levels that the optimum of a cycle through it never reached.  What
was found depends on nothing but the levels the walk looked at, so while those are the same, so is
everything but the time.
"""

from collections.abc import Sequence
from typing import NamedTuple

from arbitrade.book import BookSide
from arbitrade.models import Level, Opportunity
from arbitrade_triangular.sizing import Optimum

_MOST = 1_000
"""Sightings kept; far more than are ever alive at once."""


class Sightings:
    """The last sighting of each cycle, by its index."""

    def __init__(self) -> None:
        self._last: dict[int, _Sighting] = {}

    def again(
        self, index: int, sides: Sequence[BookSide], timestamp: str | None
    ) -> Opportunity | None:
        """Return what a cycle shows, if it is what it showed last; None if it has to be sized."""
        last = self._last.get(index)
        if last is None:
            return None
        for (count, levels), side in zip(last.looked_at, sides, strict=True):
            if side.first(count) != levels:
                return None
        before = last.opportunity
        if before.timestamp == timestamp:
            return before
        return Opportunity(
            detector=before.detector,
            key=before.key,
            assets=before.assets,
            legs=before.legs,
            edge_bps=before.edge_bps,
            size=before.size,
            profit=before.profit,
            orders=before.orders,
            lot_profit=before.lot_profit,
            dust=before.dust,
            blocked=before.blocked,
            timestamp=timestamp,
        )

    def keep(
        self, index: int, sides: Sequence[BookSide], optimum: Optimum, opportunity: Opportunity
    ) -> None:
        """Remember what a cycle shows, and the levels that it comes from."""
        if len(self._last) >= _MOST:
            self._last.clear()
        looked_at = []
        for rungs, side in zip(optimum.rungs, sides, strict=True):
            # A side that ended there must still end there.
            count = len(rungs) + 1
            levels = side.first(count)
            if len(levels) == count:
                levels.pop()
                count -= 1
            looked_at.append((count, levels))
        self._last[index] = _Sighting(looked_at, opportunity)


class _Sighting(NamedTuple):
    looked_at: list[tuple[int, list[Level]]]
    opportunity: Opportunity
