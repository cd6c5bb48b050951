"""The venue's side of a book: deeper than what subscribers see, and what it tells them.

Independent of `arbitrade.book` on purpose, so that the one can check the other.
"""

import zlib
from bisect import bisect_left
from fractions import Fraction

from arbitrade.models import Instrument, Level
from arbitrade.synthetic.universe import Listing

CHECKED = 10
"""Levels a side that the venue's checksum covers."""


class Ladder:
    """One side.  `keys` ascend from the best: ticks for asks, negated ticks for bids."""

    __slots__ = ("keys", "lots", "shown", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.lots: dict[int, int] = {}
        self.shown: dict[int, int] = {}
        """What a subscriber holds after the last message."""

    def put(self, key: int, lots: int) -> None:
        """Set the quantity at a price."""
        if key not in self.lots:
            self.keys.insert(bisect_left(self.keys, key), key)
        self.lots[key] = lots

    def drop(self, key: int) -> None:
        """Remove a price that is there."""
        del self.keys[bisect_left(self.keys, key)], self.lots[key]

    def show(self, depth: int) -> list[Level]:
        """Return the (ticks, lots) a subscriber has to be told since the last call.

        A level that left the book is sent with zero lots; one that was only pushed below `depth`
        is not sent at all.
        """
        lots, shown, sign = self.lots, self.shown, self.sign
        now = {key: lots[key] for key in self.keys[:depth]}
        if now == shown:
            return []
        changes = [(sign * key, 0) for key in shown if key not in lots]
        changes += [(sign * key, now[key]) for key in now if shown.get(key) != now[key]]
        self.shown = now
        return changes

    def levels(self, depth: int) -> list[Level]:
        """Return the first `depth` (ticks, lots), best first."""
        return [(self.sign * key, self.lots[key]) for key in self.keys[:depth]]

    def digits(self) -> str:
        """Return this side's part of the checksum's text."""
        sign = self.sign
        return "".join([f"{sign * key}{self.lots[key]}" for key in self.keys[:CHECKED]])


class VenueBook:
    """Both sides of one pair at the venue, and where its price belongs."""

    __slots__ = (
        "asks", "bids", "condition", "deviation", "instrument", "is_listening", "listing",
        "resync_due", "scale", "step", "timestamp", "unit",
    )  # fmt: skip

    def __init__(self, listing: Listing, base_value: float) -> None:
        self.listing = listing
        self.instrument = listing.instrument
        self.bids = Ladder(-1)
        self.asks = Ladder(1)
        self.deviation = 0.0
        """How far the pair trades from its fair price, as a fraction: an open edge."""
        self.condition = ""
        """`crossed` or `one-sided` while it is."""
        self.resync_due = False
        self.is_listening = False
        """True from a snapshot until the subscriber unsubscribes."""
        self.timestamp = ""
        lots = 10**self.instrument.quantity_precision
        self.unit = listing.level_usd / base_value * lots
        """Lots of a typical level."""
        self.scale = 10**self.instrument.price_precision
        self.step = self._step()

    def rescale(self, instrument: Instrument) -> None:
        """Take over new precisions: the same orders in other integers."""
        was, self.instrument = self.instrument, instrument
        ticks = Fraction(10) ** (instrument.price_precision - was.price_precision)
        lots = Fraction(10) ** (instrument.quantity_precision - was.quantity_precision)
        self.unit = self.unit * lots.numerator / lots.denominator
        self.scale = 10**instrument.price_precision
        self.step = self._step()
        for side in (self.bids, self.asks):
            old = [(key, side.lots[key]) for key in side.keys]
            side.keys.clear()
            side.lots.clear()
            for key, quantity in old:
                # Floor division moves bids down and asks down alike, hence the step for asks.
                moved = int(key * ticks // self.step) * self.step
                moved += self.step if side.sign > 0 and ticks < 1 else 0
                side.put(moved, max(1, int(quantity * lots)))

    def _step(self) -> int:
        return int(self.instrument.price_increment.scaleb(self.instrument.price_precision))

    def checksum(self) -> int:
        """Return the CRC-32 of asks and bids, as the venue sends it."""
        return zlib.crc32((self.asks.digits() + self.bids.digits()).encode())
