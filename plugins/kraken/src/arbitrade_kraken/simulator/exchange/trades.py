"""The tape: what traded, as everybody sees it."""

from collections import deque
from collections.abc import Sequence
from zlib import crc32

from arbitrade_kraken.simulator.exchange.events import PublicTrade

_KEPT = 1000


class TradeTape:
    """Keeps the last trades of each pair and numbers them without gaps."""

    def __init__(self) -> None:
        self._trades: dict[str, deque[PublicTrade]] = {}
        self._next: dict[str, int] = {}

    def next_id(self, symbol: str) -> int:
        """Return the number of the next trade of a pair; where they start is made up."""
        number = self._next.get(symbol, 1_000_000 + crc32(symbol.encode()) % 70_000_000)
        self._next[symbol] = number + 1
        return number

    def print(self, trade: PublicTrade) -> None:
        """Keep a trade; the oldest of more than a thousand goes."""
        self._trades.setdefault(trade.symbol, deque(maxlen=_KEPT)).append(trade)

    def last(self, symbol: str, count: int) -> Sequence[PublicTrade]:
        """Return the last trades of a pair, oldest first."""
        return tuple(self._trades.get(symbol, ()))[-count:] if count > 0 else ()
