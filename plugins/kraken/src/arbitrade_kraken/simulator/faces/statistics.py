"""What tickers and candles tell, counted from the trades everybody sees."""

from collections.abc import Iterable
from decimal import Decimal

import attrs

from arbitrade_kraken.simulator.exchange.events import PublicTrade

_MINUTE_NS = 60_000_000_000
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10_080, 21_600)
ZERO = Decimal(0)


@attrs.define
class DayStatistics:
    """A pair's trades since the simulator began, which stands for the last 24 hours."""

    open: Decimal = ZERO
    low: Decimal = ZERO
    high: Decimal = ZERO
    last: Decimal = ZERO
    last_quantity: Decimal = ZERO
    volume: Decimal = ZERO
    cost: Decimal = ZERO
    trades: int = 0

    def begin_at(self, price: Decimal) -> None:
        """Take a price for what was before the first trade."""
        if not self.open:
            self.open = self.low = self.high = self.last = price

    def add(self, trade: PublicTrade) -> None:
        """Count a trade that happened after all others."""
        self.begin_at(trade.price)
        self.low, self.high = min(self.low, trade.price), max(self.high, trade.price)
        self.last, self.last_quantity = trade.price, trade.quantity
        self.volume += trade.quantity
        self.cost += trade.price * trade.quantity
        self.trades += 1

    @property
    def vwap(self) -> Decimal:
        """Volume-weighted average price; without a trade the last price."""
        return self.cost / self.volume if self.volume else self.last


@attrs.define
class Candle:
    """One interval of a pair."""

    begin_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO
    cost: Decimal = ZERO
    trades: int = 0

    @property
    def vwap(self) -> Decimal:
        """Volume-weighted average price; without a trade the last price."""
        return self.cost / self.volume if self.volume else self.close


def candles(trades: Iterable[PublicTrade], minutes: int) -> list[Candle]:
    """Return the candles of these trades, oldest first; the last one is still forming."""
    length_ns = minutes * _MINUTE_NS
    found: list[Candle] = []
    for trade in trades:
        begin_ns = trade.time_ns // length_ns * length_ns
        price = trade.price
        if not found or found[-1].begin_ns != begin_ns:
            found.append(Candle(begin_ns, price, price, price, price))
        candle = found[-1]
        candle.high, candle.low = max(candle.high, price), min(candle.low, price)
        candle.close = price
        candle.volume += trade.quantity
        candle.cost += price * trade.quantity
        candle.trades += 1
    return found
