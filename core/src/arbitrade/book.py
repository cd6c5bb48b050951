"""Order books in integers, on sorted containers.

Prices count ticks (10^-price_precision quote), quantities lots (10^-quantity_precision base), so
that nothing is rounded and a level's digits, which venues build checksums of, are two `str()`.

This is the reference implementation: any depth, exact.  Costs are for depth 10; one level changed.
"""

import enum
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import attrs
from sortedcontainers import SortedDict

from arbitrade.models import Changed, Instrument, Level, Side

CHECKSUM_LEVELS = 10
"""Levels a side whose digits are kept ready: the window a venue's checksum covers."""


class BookState(enum.Enum):
    """Whether a book can be trusted; everything but `SYNCED` keeps it from being traded on."""

    WAITING = "waiting for a snapshot"
    SYNCED = "in sync"
    OUT_OF_SYNC = "out of sync"


@attrs.frozen
class Walk:
    """What taking a quantity from one side would bring, best level first.

    Args:
        lots: Quantity filled, at most what was asked for.
        cost_units: Σ ticks × lots over the levels taken: quote in units of
            10^-(price_precision + quantity_precision).
        worst_ticks: Price of the last level touched; None when the side is empty.
        levels: Number of levels touched.
    """

    lots: int
    cost_units: int
    worst_ticks: int | None
    levels: int


class BookSide:
    """One side of a book, best price first.

    `levels` holds every level by key, the tick for asks and the negated tick for bids, so that both
    sides ascend from the best.  `window` and `_digits` repeat the first ten keys and their checksum
    digits as plain lists: reading ten entries of a list is five times cheaper than of a sorted
    dict.
    """

    __slots__ = ("_digits", "_joined", "_limit", "depth", "levels", "sign", "window")

    def __init__(self, depth: int, sign: int) -> None:
        self.depth = depth
        self.sign = sign
        self._limit = min(depth, CHECKSUM_LEVELS)
        self.levels: SortedDict[int, int] = SortedDict()
        self.window: list[int] = []
        self._digits: list[bytes] = []
        self._joined: bytes | None = b""

    def __len__(self) -> int:
        return len(self.levels)

    def __iter__(self) -> Iterator[Level]:
        """Yield (ticks, lots), best first."""
        sign = self.sign
        return ((sign * key, lots) for key, lots in self.levels.items())

    @property
    def best(self) -> int | None:
        """Ticks of the best price, None when the side is empty."""
        return self.sign * self.window[0] if self.window else None

    def first(self, count: int, begin: int = 0) -> list[Level]:
        """Return (ticks, lots) of `count` levels from place `begin` on, fewer where they end."""
        levels, keys, sign = self.levels, self.window, self.sign
        end = begin + count
        if end <= len(keys) or len(keys) == len(levels):
            found = keys[begin:end]
        else:
            found = list(islice(levels, begin, end))
        return [(sign * key, levels[key]) for key in found]

    def digits(self) -> bytes:
        """Return the digits of the first ten levels, price then quantity.  O(10), cached."""
        joined = self._joined
        if joined is None:
            joined = self._joined = b"".join(self._digits)
        return joined

    def replace(self, changes: Iterable[Level]) -> None:
        """Become exactly these levels; of two for one price the later counts.  O(n log n)."""
        sign = self.sign
        latest = {sign * ticks: lots for ticks, lots in changes}
        kept = sorted(key for key, lots in latest.items() if lots)[: self.depth]
        self.levels = SortedDict((key, latest[key]) for key in kept)
        self.window = kept[: self._limit]
        self._digits = [b"%d%d" % (sign * key, latest[key]) for key in self.window]
        self._joined = None

    def apply(self, changes: Iterable[Level]) -> bool:
        """Set or remove levels in message order, then cut to the depth.

        Everything in the message first, the cut last: a message may carry a level in before it
        carries another out.  Returns whether the best price moved.  About 1 µs a level.
        """
        levels, window, digits, sign = self.levels, self.window, self._digits, self.sign
        before = window[0] if window else None
        for ticks, lots in changes:
            key = sign * ticks
            if not lots:
                if key in levels:
                    del levels[key]
                    if window and key <= window[-1]:
                        at = bisect_left(window, key)
                        del window[at]
                        del digits[at]
            elif key in levels:
                # PERF: the order of the keys stays, so the sorted dict's own method isn't needed;
                # saves 0.1 µs for every second level.
                _set_lots(levels, key, lots)
                if window and key <= window[-1]:
                    digits[bisect_left(window, key)] = b"%d%d" % (ticks, lots)
            else:
                levels[key] = lots
                if window and key < window[-1]:
                    at = bisect_left(window, key)
                    window.insert(at, key)
                    digits.insert(at, b"%d%d" % (ticks, lots))
                elif len(window) == len(levels) - 1:
                    # Every level is in the window, so the new worst one belongs there too.
                    window.append(key)
                    digits.append(b"%d%d" % (ticks, lots))
        # The cut comes last.  Then the window is made full again: levels that left it in the
        # message are replaced by the next ones of the dict, which are worse than all in it.
        held = len(levels)
        while held > self.depth:
            levels.popitem()
            held -= 1
        size, limit = len(window), self._limit
        if size > limit:
            del window[limit:]
            del digits[limit:]
        elif size < limit and size < held:
            for key in islice(levels, size, limit):
                window.append(key)
                digits.append(b"%d%d" % (sign * key, levels[key]))
        self._joined = None
        return (window[0] if window else None) != before

    def clear(self) -> None:
        """Remove every level, as if the venue had sent an empty side."""
        self.replace(())


class OrderBook:
    """The book of one pair, cut to a depth, with what is known about its trustworthiness.

    Args:
        instrument: Pair, precisions and increments.
        depth: Levels kept a side.
    """

    __slots__ = ("asks", "bids", "depth", "instrument", "state", "symbol", "timestamp", "tradable")

    def __init__(self, instrument: Instrument, depth: int) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.depth = depth
        self.bids = BookSide(depth, -1)
        self.asks = BookSide(depth, 1)
        self.state = BookState.WAITING
        self.tradable = False
        self.timestamp: str | None = None

    def __repr__(self) -> str:
        return (
            f"OrderBook({self.symbol}, {self.state.value}, {len(self.bids)} bids from "
            f"{self.best_bid}, {len(self.asks)} asks from {self.best_ask})"
        )

    @property
    def best_bid(self) -> int | None:
        """Ticks of the highest bid, None when there is none."""
        return self.bids.best

    @property
    def best_ask(self) -> int | None:
        """Ticks of the lowest ask, None when there is none."""
        return self.asks.best

    @property
    def is_crossed(self) -> bool:
        """True when the best bid is at or above the best ask (crossed or locked)."""
        bids, asks = self.bids.window, self.asks.window
        return bool(bids and asks) and -bids[0] >= asks[0]

    @property
    def is_one_sided(self) -> bool:
        """True when a side is empty."""
        return not (self.bids.window and self.asks.window)

    def load(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Take the levels of a snapshot in place of what is there; the state is not touched."""
        self.bids.replace(bids)
        self.asks.replace(asks)

    def apply(self, bids: Sequence[Level], asks: Sequence[Level]) -> Changed:
        """Apply one update message; return which best prices moved.  About 1.5 µs."""
        changed = 0
        if bids and self.bids.apply(bids):
            changed = 1
        if asks and self.asks.apply(asks):
            changed |= 2
        return _CHANGED[changed]

    def clear(self) -> None:
        """Remove every level of both sides; the state is not touched."""
        self.bids.clear()
        self.asks.clear()

    def side(self, taken_by: Side) -> BookSide:
        """Return the side an order of that kind takes from: buys take asks, sells take bids."""
        return self.asks if taken_by is Side.BUY else self.bids

    def walk(self, taken_by: Side, lots: int) -> Walk:
        """Return what an order for `lots` would take, best level first.  O(levels touched).

        The volume-weighted average price is cost_units / lots, in ticks.
        """
        left, cost, worst, touched = lots, 0, None, 0
        for ticks, available in self.side(taken_by):
            if left <= 0:
                break
            taken = min(left, available)
            cost += ticks * taken
            left -= taken
            worst = ticks
            touched += 1
        return Walk(lots - left, cost, worst, touched)


_set_lots = dict.__setitem__
_CHANGED = (Changed.NOTHING, Changed.BID, Changed.ASK, Changed.BOTH)
