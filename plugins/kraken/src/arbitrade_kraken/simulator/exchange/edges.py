"""Edges of a generated market: a pair is quoted away from its fair price until a cycle pays."""

from collections.abc import Mapping
from heapq import heappop, heappush
from random import Random

from arbitrade_kraken.simulator.exchange.book import MatchingBook
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.makers import Makers, QuotedPair

NEVER = 1 << 62
"""A step that no market comes to."""


class Edges:
    """Opens and closes edges; the market counts its steps and asks when one is due.

    Args:
        rng: Of the whole market: every draw moves everything after it.
        quoted: The market's pairs by symbol; filled by the time of `open`.
    """

    def __init__(
        self,
        settings: GeneratedMarketSettings,
        rng: Random,
        makers: Makers,
        quoted: Mapping[str, QuotedPair],
    ) -> None:
        self._settings = settings
        self._random = rng.random
        self._makers = makers
        self._quoted = quoted
        self._triangles: list[tuple[str, str, str]] = []
        self._popularity: dict[str, int] = {}
        """In how many triangles a pair is."""
        self.next_step = NEVER
        """In which step of the market the next edge opens or closes."""
        self._scheduled = 0
        self._due: list[tuple[int, int, QuotedPair | None]] = []
        """(step, running number, the pair whose edge ends or None for another to open)."""
        self.opened = 0
        """How many edges have opened so far."""

    def open(self, listed: ListedPairs) -> None:
        """Find the triangles of what is listed; schedule the first edge if there is one to open."""
        between: dict[frozenset[str], str] = {}
        neighbours: dict[str, list[str]] = {}
        for symbol, pair in listed.pairs.items():
            between[frozenset((pair.base, pair.quote))] = symbol
            neighbours.setdefault(pair.base, []).append(pair.quote)
            neighbours.setdefault(pair.quote, []).append(pair.base)
        place = {asset: at for at, asset in enumerate(neighbours)}
        self._triangles = [
            (
                symbol,
                between[frozenset((pair.base, third))],
                between[frozenset((pair.quote, third))],
            )
            for symbol, pair in listed.pairs.items()
            for third in neighbours[pair.base]
            if place[third] > max(place[pair.base], place[pair.quote])
            and frozenset((pair.quote, third)) in between
        ]
        self._popularity = dict.fromkeys(listed.pairs, 0)
        for triangle in self._triangles:
            for symbol in triangle:
                self._popularity[symbol] += 1
        if self._settings.edge_every and self._triangles:
            self._later(0, self._settings.edge_every, None)

    def act(self, step: int, is_matching: Mapping[str, bool]) -> MatchingBook | None:
        """Open or close the edge that is due; return the book that moved by it."""
        _, _, quoted = heappop(self._due)
        self.next_step = self._due[0][0] if self._due else NEVER
        if quoted is not None:
            quoted.deviation = 0.0
        else:
            self._later(step, self._settings.edge_every, None)
            quoted = self._open_one(step, is_matching)
        if quoted is None or not is_matching.get(quoted.symbol, True):
            return None
        self._makers.follow(quoted, at_once=True)
        return quoted.book

    def _later(self, step: int, mean: int, quoted: QuotedPair | None) -> None:
        """Schedule the end of a pair's edge, or with None the opening of some other."""
        at = step + max(1, int(mean * (0.5 + self._random())))
        self._scheduled += 1
        heappush(self._due, (at, self._scheduled, quoted))
        self.next_step = self._due[0][0]

    def _open_one(self, step: int, is_matching: Mapping[str, bool]) -> QuotedPair | None:
        """Move the pair of a triangle that is in the fewest: one edge opens, not hundreds."""
        triangle = self._triangles[int(self._random() * len(self._triangles))]
        quoted = self._quoted[min(triangle, key=self._popularity.__getitem__)]
        low, high = self._settings.edge_bps
        edge = (low + (high - low) * self._random()) / 10_000
        is_up = self._random() < 0.5
        if quoted.deviation or not is_matching.get(quoted.symbol, True):
            return None
        spreads = 0.0
        for symbol in triangle:
            other = self._quoted[symbol]
            spreads += other.half_spread + other.tick / max(1.0, self._makers.fair(other))
        fee = self._settings.taker_fee
        wanted = 3 * fee * (1 + fee) + spreads + edge
        quoted.deviation = wanted if is_up else -wanted
        self.opened += 1
        self._later(step, self._settings.edge_lifetime, quoted)
        return quoted
