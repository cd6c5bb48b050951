"""What an amount of one asset is worth in another, by the books as they are.

At the best price it would be sold at; directly, else by way of one asset in between.  Only books in
sync count, crossed or halted ones not.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

from arbitrade.book import OrderBook
from arbitrade.models import Instruments

ZERO = Decimal(0)


class Valuation:
    """Values amounts.

    Args:
        books: The books by symbol, as they are at any moment.
        instruments: The pairs, the same object until they change.
    """

    def __init__(
        self,
        books: Callable[[], Mapping[str, OrderBook]],
        instruments: Callable[[], Instruments],
    ) -> None:
        self._books = books
        self._instruments = instruments
        self._known: Instruments | None = None
        self._rates: dict[tuple[str, str], Decimal | None] = {}
        self._indexed: dict[str, dict[str, str]] = {}

    @property
    def _pairs(self) -> dict[str, dict[str, str]]:
        """Return symbols by asset and other asset."""
        instruments = self._instruments()
        if instruments is not self._known:
            self._known, self._indexed = instruments, {}
            for pair in instruments.values():
                self._indexed.setdefault(pair.base, {})[pair.quote] = pair.symbol
                self._indexed.setdefault(pair.quote, {})[pair.base] = pair.symbol
        return self._indexed

    def value(self, asset: str, amount: Decimal, target: str) -> Decimal | None:
        """Return what `amount` of `asset` is worth in `target`, None when no book tells.

        O(1) for a direct pair, else O(pairs of the asset).
        """
        if asset == target or not amount:
            return amount
        rate = self.rate(asset, target)
        return None if rate is None else amount * rate

    def forget(self) -> None:
        """Look at the books anew from now on; call before each frame and event."""
        if self._rates:
            self._rates = {}

    def rate(self, asset: str, target: str) -> Decimal | None:
        """Return units of `target` for one of `asset` at the best price, None when unknown.

        PERF: rules ask for the same few rates a dozen times an opportunity; 10 µs each by way of
        another asset.
        """
        if asset == target:
            return Decimal(1)
        key = asset, target
        if key not in self._rates:
            self._rates[key] = self._find(asset, target)
        return self._rates[key]

    def _find(self, asset: str, target: str) -> Decimal | None:
        direct = self._direct(asset, target)
        if direct is not None:
            return direct
        best: Decimal | None = None
        pairs = self._pairs
        for between in sorted(pairs.get(asset, ())):
            if target not in pairs.get(between, {}):
                continue
            first, second = self._direct(asset, between), self._direct(between, target)
            if first is not None and second is not None:
                rate = first * second
                best = rate if best is None else max(best, rate)
        return best

    def _direct(self, asset: str, target: str) -> Decimal | None:
        symbol = self._pairs.get(asset, {}).get(target)
        book = None if symbol is None else self._books().get(symbol)
        if book is None or not book.tradable:
            return None
        pair = book.instrument
        if pair.base == asset:
            ticks = book.best_bid
            return None if not ticks else Decimal(ticks).scaleb(-pair.price_precision)
        ticks = book.best_ask
        return None if not ticks else 1 / Decimal(ticks).scaleb(-pair.price_precision)
