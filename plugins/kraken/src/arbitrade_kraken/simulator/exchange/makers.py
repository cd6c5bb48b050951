"""Makers of a generated market: strangers who keep each book near its fair price, and in shape.

Only the four basic operations are done on floats, because those give the same bits on every
machine.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from random import Random

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.book import MatchingBook, QueuedSide
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.exchange.market import Floor


class QuotedPair:
    """A pair as its makers see it.

    Args:
        floor: Where orders of ours may stand in the way of a quote.
    """

    __slots__ = (
        "base", "book", "deviation", "floor", "half_spread", "levels", "quote", "scale", "symbol",
        "tail", "tick", "unit", "visible",
    )  # fmt: skip

    def __init__(self, pair: PairFacts, floor: Floor, seed: int) -> None:
        self.symbol = pair.symbol
        self.book = MatchingBook(pair.symbol)
        self.floor = floor
        self.base = pair.base
        self.quote = pair.quote
        self.deviation = 0.0
        """How far the pair trades from its fair price, as a fraction: an open edge."""
        self.tail = Random(f"{seed} {pair.symbol}")  # noqa: S311 - no secrets
        """Of the levels far from the touch, so that depth asked for changes nothing near it."""
        self.levels = 0
        """Levels a side that are kept; a book with fewer than ten is thin and stays so."""
        self.visible = 10
        """The greatest depth anybody has asked for."""
        self.half_spread = 0.0
        self.unit = 0.0
        """Lots of a typical level."""
        self.scale = 1.0
        self.tick = 1
        self.take_over(pair)

    def take_over(self, pair: PairFacts) -> None:
        """Quote in the pair's decimals and on its tick from now on."""
        self.scale = float(10**pair.price_decimals)
        self.tick = max(1, int(pair.tick.scaleb(pair.price_decimals)))


class Makers:
    """Quote and requote; whoever trades with them is another's affair.

    Args:
        rng: Of the whole market: every draw moves everything after it.
        worths: Of assets in USD; the market lets them drift.
    """

    def __init__(self, rng: Random, worths: Mapping[str, float]) -> None:
        self._random = rng.random
        self._worths = worths

    def fair(self, quoted: QuotedPair) -> float:
        """Return the price in ticks that the two assets' worths make, an open edge included."""
        worths = self._worths
        return worths[quoted.base] / worths[quoted.quote] * (1 + quoted.deviation) * quoted.scale

    def _quotes(self, quoted: QuotedPair, fair: float) -> tuple[int, int]:
        """Return bid and ask ticks around the fair price, on the tick, never touching."""
        tick = quoted.tick
        half = fair * quoted.half_spread
        bid = max(1, int((fair - half) / tick)) * tick
        ask = (int((fair + half) / tick) + 1) * tick
        return bid, max(ask, bid + tick)

    def fill(self, quoted: QuotedPair) -> None:
        """Quote both sides of a book that strangers have left, or never were in."""
        book = quoted.book
        bid, ask = self._quotes(quoted, self.fair(quoted))
        self._put(quoted, book.bids, -bid)
        self._put(quoted, book.asks, ask)
        self.replenish(quoted, book.bids)
        self.replenish(quoted, book.asks)

    def follow(self, quoted: QuotedPair, *, at_once: bool = False) -> bool:
        """Bring the best prices to the fair price if they are off; return whether they were."""
        book, fair = quoted.book, self.fair(quoted)
        bid, ask = self._quotes(quoted, fair)
        best_bid, best_ask = book.bids.best_market(), book.asks.best_market()
        if best_bid is None or best_ask is None:
            self.fill(quoted)
            return True
        slack = 2 * (ask - bid) + quoted.tick
        if not at_once and fair - slack < -best_bid <= fair <= best_ask < fair + slack:
            return False
        self._withdraw(book.bids, -bid)
        self._withdraw(book.asks, ask)
        self._move_best(quoted, book.bids, -bid)
        self._move_best(quoted, book.asks, ask)
        return True

    @staticmethod
    def _withdraw(side: QueuedSide, key: int) -> None:
        """Drop strangers' quantity better than `key`."""
        for better in side.keys[: bisect_right(side.keys, key - 1)]:
            side.drop(better)

    def _move_best(self, quoted: QuotedPair, side: QueuedSide, key: int) -> None:
        """Make `key` the best price of strangers on a side and add up to two more."""
        if side.best_market() != key:
            for _ in range(1 + int(self._random() * 2.5)):
                if not side.market(key) and (side.sign > 0 or key < 0):
                    self._put(quoted, side, key)
                key += quoted.tick * (1 + int(self._random() * 3))
        self.replenish(quoted, side)

    def _put(self, quoted: QuotedPair, side: QueuedSide, key: int) -> None:
        """Quote a new level; orders of ours that it reaches are filled first."""
        lots = self._lots(quoted, self._random)
        book = quoted.book
        if book.has_own:
            taker = Side.SELL if side.sign > 0 else Side.BUY
            lots = quoted.floor.arrive(book, taker, key, lots)
        other = book.bids if side is book.asks else book.asks
        if lots and not (other.keys and key + other.keys[0] <= 0):
            side.put(key, lots)

    def anything(self, quoted: QuotedPair) -> None:
        """Let somebody change their mind: half resize a level, the others bring or take one."""
        book = quoted.book
        side = book.bids if self._random() < 0.5 else book.asks
        what = self._random()
        if what < 0.50:
            self.resize(quoted, side)
        elif what < 0.66:
            self._insert(quoted, side)
        else:
            self._remove(quoted, side)
            if what > 0.84:
                self._insert(quoted, side)

    def resize(self, quoted: QuotedPair, side: QueuedSide) -> None:
        """Change the quantity of a level; nothing on an empty side."""
        if not side.keys:
            return
        key = side.keys[self._index(side)]
        # Strangers don't join an order of ours alone at its price: it may stand across the spread.
        if side.market(key):
            side.put(key, self._lots(quoted, self._random))

    def _insert(self, quoted: QuotedPair, side: QueuedSide) -> None:
        """Add a level near one that is there, without reaching the other side."""
        book = quoted.book
        other = book.asks if side is book.bids else book.bids
        near = side.keys[self._index(side)]
        key = near - quoted.tick * (1 + int(self._random() * self._gap(quoted)))
        if side.market(key) or not other.keys or key + other.keys[0] <= 0:
            self.resize(quoted, side)
            return
        side.put(key, self._lots(quoted, self._random))
        self.replenish(quoted, side)

    def _remove(self, quoted: QuotedPair, side: QueuedSide) -> None:
        if len(side.keys) < 2:
            self.resize(quoted, side)
            return
        side.drop(side.keys[self._index(side)])
        self.replenish(quoted, side)

    def _index(self, side: QueuedSide) -> int:
        """Return the place of a level, the best ones being likelier."""
        chance = self._random()
        return int(chance * chance * min(len(side.keys), 12))

    def replenish(self, quoted: QuotedPair, side: QueuedSide) -> None:
        """Keep as many levels as this book has; the far end is where they come and go."""
        wanted, random = quoted.levels, quoted.tail.random
        keys = side.keys
        if len(keys) < wanted and keys:
            gap = self._gap(quoted)
            # An order of ours far away is not where the book goes on.
            key = keys[-1] if not side.own else max(filter(side.market, keys), default=keys[0])
            while len(keys) < wanted:
                key += quoted.tick * (1 + int(random() * gap))
                if side.sign < 0 and key >= 0:
                    break
                side.put(key, self._lots(quoted, random))
        most = wanted if wanted < 10 else wanted + 4
        at = len(keys) - 1
        while len(keys) > most and at >= 0:
            if side.market(keys[at]):
                side.drop(keys[at])
            at -= 1

    def _gap(self, quoted: QuotedPair) -> float:
        """Return the largest usual distance between levels, in ticks of the pair."""
        return 2 + self.fair(quoted) * quoted.half_spread / quoted.tick * 0.8

    @staticmethod
    def _lots(quoted: QuotedPair, random: Callable[[], float]) -> int:
        """Return a quantity: small ones are common, one in five is a round number."""
        chance = random()
        lots = int(quoted.unit * (0.02 + 3 * chance * chance * chance)) + 1
        if random() < 0.2:
            digits = max(0, len(str(lots)) - 2)
            lots = max(1, lots // 10**digits) * 10**digits
        return lots
