"""What assets are worth in USD: by their books, or about, enough for prices to fit the decimals.

The answer the list of pairs comes from has no prices.  Minimum quantities do: the venue sets them
around a few units of currency.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

from arbitrade_kraken.simulator.exchange.book import MatchingBook
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.rounding import to_nearest
from arbitrade_kraken.simulator.exchange.state import ExchangeState

_KNOWN = {
    "USD": 1.0, "EUR": 1.16, "GBP": 1.34, "AUD": 0.668, "CAD": 0.727, "CHF": 1.259, "JPY": 0.00642,
    "BTC": 91_300.0, "ETH": 3_120.0, "SOL": 142.0, "XRP": 2.11, "DOGE": 0.148, "ADA": 0.41,
    "LTC": 84.2, "LINK": 13.6, "DOT": 2.17, "ATOM": 2.52, "XMR": 402.0, "USDT": 0.9994,
    "USDC": 0.9999, "WBTC": 91_250.0, "TBTC": 91_200.0, "EURC": 1.1597, "EUROP": 1.1595,
    "EURT": 1.1590, "EURR": 1.1590, "EURQ": 1.1590, "PAXG": 4_450.0, "XAUT": 4_440.0,
}  # fmt: skip
_MINIMUM_USD = 4.5
"""What the venue's minimum quantities are worth, about."""
_TICKS = 300
"""How many ticks a price has at least."""


def asset_worths(listed: ListedPairs) -> dict[str, float]:
    """Return a worth in USD for every asset that is listed, the same on every machine."""
    worths = {name: _KNOWN[name] for name in listed.assets if name in _KNOWN}
    for pair in listed.pairs.values():
        if pair.base not in _KNOWN:
            guess = _MINIMUM_USD / float(pair.minimum_quantity)
            worths.setdefault(pair.base, 1.0 if "USD" in pair.base else guess)
    for name in listed.assets:
        worths.setdefault(name, 1.0)
    for pair in listed.pairs.values():
        if pair.base not in _KNOWN:
            least = _TICKS * float(pair.tick) * worths[pair.quote]
            worths[pair.base] = max(worths[pair.base], least)
    return worths


class UsdPrices:
    """What fee volumes are counted with.

    Args:
        books: By symbol; filled before the first price is asked for.
        about: What an asset is worth where no book against USD tells.
    """

    def __init__(
        self,
        books: Mapping[str, MatchingBook],
        state: ExchangeState,
        about: Callable[[str], float],
    ) -> None:
        self._books = books
        self._state = state
        self._about = about

    def of(self, asset: str) -> Decimal:
        """Return the worth of one unit in USD: the mid of its book, else about."""
        if asset == "USD":
            return Decimal(1)
        book = self._books.get(f"{asset}/USD")
        if book is not None and book.bids.keys and book.asks.keys:
            twice = book.asks.keys[0] - book.bids.keys[0]
            return Decimal(twice).scaleb(-self._state.pairs[book.symbol].price_decimals) / 2
        return to_nearest(Decimal(self._about(asset)), 8)
