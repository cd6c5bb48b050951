"""Triangular edges: a pair leaves its fair price for a while, so that a cycle through it pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arbitrade.synthetic.ladder import VenueBook

if TYPE_CHECKING:
    from arbitrade.synthetic.simulation import SyntheticMarket

type Triangle = tuple[str, str, str]


class EdgeMaker:
    """Opens and closes edges in a market."""

    def __init__(self, market: SyntheticMarket) -> None:
        self._market = market
        self._triangles = _triangles(market)
        self._popularity = dict.fromkeys(market.books, 0)
        for triangle in self._triangles:
            for symbol in triangle:
                self._popularity[symbol] += 1

    def start(self) -> None:
        """Begin to open edges, if the settings want any and the pairs form triangles."""
        if self._market.settings.edge_every and self._triangles:
            self._again()

    def _again(self) -> None:
        market = self._market
        market.after(market.spread_around(market.settings.edge_every), self._open)

    def _open(self) -> None:
        self._again()
        market = self._market
        rng, books = market.rng, market.books
        triangle = self._triangles[int(rng.random() * len(self._triangles))]
        # The pair in the fewest triangles moves: one edge opens, not hundreds.
        book = books[min(triangle, key=self._popularity.__getitem__)]
        if book.deviation or book.condition or not book.is_listening:
            return
        low, high = market.settings.edge_bps
        edge = (low + (high - low) * rng.random()) / 10_000
        spreads = 0.0
        for symbol in triangle:
            spreads += books[symbol].listing.half_spread + 0.5 * books[symbol].step / max(
                1, books[symbol].asks.keys[0] if books[symbol].asks.keys else 1
            )
        wanted = 3 * market.settings.taker_fee * (1 + market.settings.taker_fee) + spreads + edge
        self._quote(book, wanted if rng.random() < 0.5 else -wanted)
        market.counters["edges"] += 1
        market.after(market.spread_around(market.settings.edge_lifetime), lambda: self._close(book))

    def _close(self, book: VenueBook) -> None:
        self._quote(book, 0.0)

    def _quote(self, book: VenueBook, deviation: float) -> None:
        """Move the pair's price; tell it at once if the book is as usual."""
        market = self._market
        book.deviation = deviation
        if not book.condition and book.is_listening:
            market.motion.follow(book, at_once=True)
            market.send_update(market.entry_after(book))


def _triangles(market: SyntheticMarket) -> list[Triangle]:
    """Return every set of three pairs over three assets, in the order of the listings."""
    between: dict[frozenset[str], str] = {}
    neighbours: dict[str, list[str]] = {}
    for symbol, book in market.books.items():
        base, quote = book.instrument.base, book.instrument.quote
        between[frozenset((base, quote))] = symbol
        neighbours.setdefault(base, []).append(quote)
        neighbours.setdefault(quote, []).append(base)
    place = {asset: at for at, asset in enumerate(neighbours)}
    return [
        (symbol, between[frozenset((base, third))], between[frozenset((quote, third))])
        for symbol, book in market.books.items()
        for base, quote in [(book.instrument.base, book.instrument.quote)]
        for third in neighbours[base]
        if place[third] > max(place[base], place[quote]) and frozenset((quote, third)) in between
    ]
