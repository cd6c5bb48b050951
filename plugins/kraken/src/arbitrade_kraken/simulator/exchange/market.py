"""What moves the books of an exchange, and what it may do to them.

GeneratedMarket(GeneratedMarketSettings(seed=7, edge_every=500))    # `generated`: made from a seed
RecordedMarket(frames)                                              # `recorded`: a recording
StillMarket(quotes)                                                 # `still`: only as told
"""

from collections.abc import Mapping
from typing import Protocol

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.book import MatchingBook
from arbitrade_kraken.simulator.exchange.listed import ListedPairs, PairFacts


class Floor(Protocol):
    """What a market acts through where orders of ours may stand in the way."""

    def arrive(self, book: MatchingBook, side: Side, key: int, lots: int) -> int:
        """Let a stranger's limit order match ours that cross it; return the lots left to rest."""

    def hit(self, book: MatchingBook, taker: Side, lots: int) -> None:
        """Let a stranger's market order take from the best prices."""


class Market(Protocol):
    """Moves the books of an exchange."""

    @property
    def is_over(self) -> bool:
        """True when nothing moves any more."""

    @property
    def duplicate_share(self) -> float:
        """How often a message names one price twice."""

    def open(self, listed: ListedPairs, floor: Floor) -> dict[str, MatchingBook]:
        """Return a filled book for each pair."""

    def step(self, is_matching: Mapping[str, bool]) -> MatchingBook | None:
        """Move one book; None if nothing happened.

        Args:
            is_matching: Pairs that don't match now, as False; their books hardly move.
        """

    def deepen(self, book: MatchingBook, depth: int) -> None:
        """See to it that a book has this many levels a side, if the market knows as many."""

    def on_taken(self, book: MatchingBook, taker: Side, key: int, lots: int) -> None:
        """Hear that an order of ours took these lots from strangers."""

    def on_rescaled(self, book: MatchingBook, pair: PairFacts) -> None:
        """Hear that the book stands in other integers now."""

    def worth(self, asset: str) -> float:
        """Return about what an asset is worth in USD."""
