"""A market that does only what it is told: for tests that spell out their arithmetic.

StillMarket({"SOL/EUR": ([("172.28", "3")], [("172.31", "14.2"), ("172.33", "0.5")])})
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.book import MatchingBook, QueuedSide
from arbitrade_kraken.simulator.exchange.listed import ListedPairs, PairFacts
from arbitrade_kraken.simulator.exchange.market import Floor
from arbitrade_kraken.simulator.exchange.worth import asset_worths

type Quotes = Sequence[tuple[str, str]]
"""Pairs of (price, quantity), written in plain decimals."""


class StillMarket:
    """Books as given; pairs not named stay empty.  `Hand.quote` and `Hand.trade` move them."""

    is_over = False
    duplicate_share = 0.0

    def __init__(self, quotes: Mapping[str, tuple[Quotes, Quotes]] | None = None) -> None:
        self._quotes = dict(quotes or {})
        self._worths: Mapping[str, float] = {}

    def open(self, listed: ListedPairs, floor: Floor) -> dict[str, MatchingBook]:
        """Return the books as given, and empty ones for all other pairs."""
        self._worths = asset_worths(listed)
        books = {symbol: MatchingBook(symbol) for symbol in listed.pairs}
        for symbol, (bids, asks) in self._quotes.items():
            pair = listed.pairs[symbol]
            _fill(books[symbol].bids, bids, pair)
            _fill(books[symbol].asks, asks, pair)
        return books

    def step(self, is_matching: Mapping[str, bool]) -> MatchingBook | None:
        """Nothing moves by itself."""
        return None

    def deepen(self, book: MatchingBook, depth: int) -> None:
        """Nothing: there are no more levels than were given."""

    def on_taken(self, book: MatchingBook, taker: Side, key: int, lots: int) -> None:
        """Nothing: what was taken is gone and doesn't come back."""

    def on_rescaled(self, book: MatchingBook, pair: PairFacts) -> None:
        """Nothing: no quote of this market is still to come."""

    def worth(self, asset: str) -> float:
        """Return what an asset was worth when the list of pairs was made, in USD."""
        return self._worths[asset]


def _fill(side: QueuedSide, quotes: Quotes, pair: PairFacts) -> None:
    for price, quantity in quotes:
        ticks = int(Decimal(price).scaleb(pair.price_decimals))
        side.put(side.sign * ticks, int(Decimal(quantity).scaleb(pair.lot_decimals)))
