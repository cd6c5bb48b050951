"""Arbitrade: `Engine.on_frame` with checksums, gates, screening, sizing and counting.

Compiled or interpreted as the environment says (`ARBITRADE_INTERPRETED`).
"""

from collections.abc import Sequence

from common import Feed, measure

from arbitrade.config import Settings
from arbitrade.engine.assembly import assemble
from arbitrade.models import Opportunity
from arbitrade.plugins import discover


class Arbitrade:
    def __init__(self, feed: Feed) -> None:
        registry, settings = discover(), Settings()
        registry.configure(settings)
        venue = registry.make_venue(settings, "kraken")
        self._engine = assemble(settings, registry, venue, self._ignore)
        self.on_frame = self._engine.on_frame
        for frame in feed.head:
            self.on_frame(frame)

    def frame(self, raw: bytes) -> bytes:
        return raw

    def best(self, symbol: str) -> tuple[float, float] | None:
        book = self._engine.books[symbol]
        bid, ask = book.best_bid, book.best_ask
        if bid is None or ask is None:
            return None
        scale = 10**book.instrument.price_precision
        return bid / scale, ask / scale

    def wrong_checksums(self) -> int:
        return self._engine.tally().wrong

    @staticmethod
    def _ignore(opportunities: Sequence[Opportunity], position: int) -> None:
        """Nobody trades here."""


if __name__ == "__main__":
    measure("arbitrade-core", Arbitrade)
