"""Episodes: how long an opportunity lives, from the message that shows it to one that doesn't.

Works for any detector, because a detector reports everything that is there through a pair on each
of the pair's messages: what it stops reporting has ended.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal

import attrs

from arbitrade.models import Episode, Opportunity


@attrs.define(eq=False)
class _Life:
    key: str
    symbols: tuple[str, ...]
    first_seen: str | None
    last_seen: str | None
    peak_edge_bps: Decimal
    peak_profit: Decimal
    sightings: int = 1


class Episodes:
    """Follows opportunities over time.

    Args:
        on_end: Called with each finished episode.
        on_alive: Called with a pair and True when a first episode begins on it, False when its last
            one ends.
    """

    def __init__(
        self,
        on_end: Callable[[Episode], None] | None = None,
        on_alive: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._alive: dict[str, dict[str, _Life]] = {}
        self._on_end = on_end
        self._on_alive = on_alive
        self.begun = 0
        self.by_key: Counter[str] = Counter()

    def is_alive(self, symbol: str) -> bool:
        """True when an opportunity through this pair was there at its last message.  O(1)."""
        return symbol in self._alive

    def observe(
        self, symbol: str, opportunities: Iterable[Opportunity], timestamp: str | None
    ) -> None:
        """Take everything a message of `symbol` shows through that pair; the rest has ended."""
        before = self._alive.get(symbol)
        gone = dict(before) if before else {}
        for opportunity in opportunities:
            key = f"{opportunity.detector}:{opportunity.key}"
            life = gone.pop(key, None)
            if life is None:
                self._begin(key, opportunity, timestamp)
                continue
            life.last_seen = timestamp
            life.sightings += 1
            life.peak_edge_bps = max(life.peak_edge_bps, opportunity.edge_bps)
            life.peak_profit = max(life.peak_profit, opportunity.profit)
        for life in gone.values():
            self._end(life, timestamp)

    def end(self, symbol: str, timestamp: str | None = None) -> None:
        """End everything through a pair whose book can't be trusted or traded any more."""
        for life in list(self._alive.get(symbol, {}).values()):
            self._end(life, timestamp)

    def close(self) -> None:
        """The input is over: hand out what still lives, without an end."""
        for lives in list(self._alive.values()):
            for life in list(lives.values()):
                self._end(life, None)

    def _begin(self, key: str, opportunity: Opportunity, timestamp: str | None) -> None:
        symbols = tuple(dict.fromkeys(leg.symbol for leg in opportunity.legs))
        life = _Life(key, symbols, timestamp, timestamp, opportunity.edge_bps, opportunity.profit)
        for symbol in symbols:
            lives = self._alive.setdefault(symbol, {})
            if not lives and self._on_alive is not None:
                self._on_alive(symbol, True)
            lives[key] = life
        self.begun += 1
        self.by_key[key] += 1

    def _end(self, life: _Life, timestamp: str | None) -> None:
        for symbol in life.symbols:
            lives = self._alive.get(symbol, {})
            if lives.get(life.key) is not life:
                continue  # A detector used its key for other pairs meanwhile.
            del lives[life.key]
            if not lives:
                del self._alive[symbol]
                if self._on_alive is not None:
                    self._on_alive(symbol, False)
        if self._on_end is not None:
            self._on_end(
                Episode(
                    key=life.key,
                    first_seen=life.first_seen,
                    last_seen=life.last_seen,
                    ended=timestamp,
                    peak_edge_bps=life.peak_edge_bps,
                    peak_profit=life.peak_profit,
                    sightings=life.sightings,
                    lifetime_s=seconds_between(life.first_seen, life.last_seen),
                )
            )


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Return seconds between two RFC 3339 timestamps, None where one is missing or malformed."""
    if earlier is None or later is None:
        return None
    try:
        return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
    except (ValueError, TypeError):
        return None
