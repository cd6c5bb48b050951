"""Triangular edges: a pair leaves its fair price for a while, so that a cycle through it pays."""

from arbitrade.synthetic.ladder import VenueBook
from arbitrade.synthetic.stage import Stage

type Triangle = tuple[str, str, str]


class EdgeMaker:
    """Opens and closes edges on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._triangles = _triangles(stage)
        self._popularity = dict.fromkeys(stage.books, 0)
        for triangle in self._triangles:
            for symbol in triangle:
                self._popularity[symbol] += 1

    def start(self) -> None:
        """Begin to open edges, if the settings want any and the pairs form triangles."""
        if self._stage.settings.edge_every and self._triangles:
            self._again()

    def _again(self) -> None:
        stage = self._stage
        stage.after(stage.spread_around(stage.settings.edge_every), self._open)

    def _open(self) -> None:
        self._again()
        stage = self._stage
        rng, books = stage.rng, stage.books
        triangle = self._triangles[int(rng.random() * len(self._triangles))]
        # The pair in the fewest triangles moves: one edge opens, not hundreds.
        book = books[min(triangle, key=self._popularity.__getitem__)]
        if book.deviation or book.condition or not book.is_listening:
            return
        low, high = stage.settings.edge_bps
        edge = (low + (high - low) * rng.random()) / 10_000
        spreads = 0.0
        for symbol in triangle:
            spreads += books[symbol].listing.half_spread + 0.5 * books[symbol].step / max(
                1, books[symbol].asks.keys[0] if books[symbol].asks.keys else 1
            )
        wanted = 3 * stage.settings.taker_fee * (1 + stage.settings.taker_fee) + spreads + edge
        self._quote(book, wanted if rng.random() < 0.5 else -wanted)
        stage.counters["edges"] += 1
        stage.after(stage.spread_around(stage.settings.edge_lifetime), lambda: self._close(book))

    def _close(self, book: VenueBook) -> None:
        self._quote(book, 0.0)

    def _quote(self, book: VenueBook, deviation: float) -> None:
        """Move the pair's price; tell it at once if the book is as usual."""
        stage = self._stage
        book.deviation = deviation
        if not book.condition and book.is_listening:
            stage.motion.follow(book, at_once=True)
            stage.send_update(stage.entry_after(book))


def _triangles(stage: Stage) -> list[Triangle]:
    """Return every set of three pairs over three assets, in the order of the listings."""
    between: dict[frozenset[str], str] = {}
    neighbours: dict[str, list[str]] = {}
    for symbol, book in stage.books.items():
        base, quote = book.instrument.base, book.instrument.quote
        between[frozenset((base, quote))] = symbol
        neighbours.setdefault(base, []).append(quote)
        neighbours.setdefault(quote, []).append(base)
    place = {asset: at for at, asset in enumerate(neighbours)}
    return [
        (symbol, between[frozenset((base, third))], between[frozenset((quote, third))])
        for symbol, book in stage.books.items()
        for base, quote in [(book.instrument.base, book.instrument.quote)]
        for third in neighbours[base]
        if place[third] > max(place[base], place[quote]) and frozenset((quote, third)) in between
    ]
