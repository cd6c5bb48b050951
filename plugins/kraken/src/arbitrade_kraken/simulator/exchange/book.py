"""The venue's own book of one pair: generated quantity and our orders, queued by price and time.

Deeper than anybody subscribes to.  Integers throughout: ticks of 10^-price_decimals and lots of
10^-lot_decimals.  Independent of `arbitrade.book` on purpose, so that the one can check the other.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from zlib import crc32

from arbitrade.models import Level
from arbitrade_kraken.simulator.exchange.orders import Order

CHECKED = 10
"""Levels a side that the checksum covers."""

FAR = 1 << 200
"""A key behind every level: the edge of a window that the book doesn't fill."""


class Chunk:
    """A part of the queue at a price: an order of ours, or quantity of nobody we know."""

    __slots__ = ("lots", "order")

    def __init__(self, lots: int, order: Order | None = None) -> None:
        self.lots = lots
        self.order = order


class QueuedSide:
    """One side.  `keys` ascend from the best: ticks for asks, negated ticks for bids.

    Only levels with an order of ours have a queue; at any other level the quantity is one number.
    """

    __slots__ = ("before", "digits", "edges", "keys", "lots", "own", "queues", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.lots: dict[int, int] = {}
        """All there is at a price, ours included."""
        self.own: dict[int, int] = {}
        """What of it belongs to orders of ours."""
        self.queues: dict[int, list[Chunk]] = {}
        self.before: dict[int, int] = {}
        """What stood at the prices touched since subscribers were last told."""
        self.edges: dict[int, int] = {}
        """Of each watched depth: the worst key inside the window when last told."""
        self.digits = ""
        """This side's part of the checksum's text."""

    # ── quantity of nobody we know ───────────────────────────────────────────────────────────────

    def market(self, key: int) -> int:
        """Return the lots at a price that are not ours."""
        lots = self.lots.get(key, 0)
        return lots - self.own.get(key, 0) if self.own else lots

    def put(self, key: int, lots: int) -> None:
        """Set the quantity at a price that is not ours; ours stays.

        What comes queues behind, what goes leaves from behind: our orders never gain a place by it.
        """
        own = self.own.get(key, 0) if self.own else 0
        if own:
            self._resize_queue(key, lots - (self.lots[key] - own))
        self._set(key, lots + own)

    def drop(self, key: int) -> None:
        """Remove the quantity at a price that is not ours."""
        self.put(key, 0)

    def best_market(self) -> int | None:
        """Return the best key with quantity that is not ours."""
        if not self.own:
            return self.keys[0] if self.keys else None
        return next((key for key in self.keys if self.market(key)), None)

    # ── ours ─────────────────────────────────────────────────────────────────────────────────────

    def queue(self, key: int, order: Order, lots: int) -> None:
        """Put an order of ours behind everything at its price."""
        if key not in self.queues:
            there = self.lots.get(key, 0)
            self.queues[key] = [Chunk(there)] if there else []
        self.queues[key].append(Chunk(lots, order))
        self.own[key] = self.own.get(key, 0) + lots
        self._set(key, self.lots.get(key, 0) + lots)

    def shrink(self, key: int, order: Order, lots: int) -> None:
        """Leave `lots` of an order of ours at its place; 0 takes it out."""
        chunk = next(chunk for chunk in self.queues[key] if chunk.order is order)
        gone = chunk.lots - lots
        chunk.lots = lots
        self._reduce_own(key, gone)
        self._set(key, self.lots[key] - gone)

    def waiting(self, key: int) -> Iterator[Chunk]:
        """Yield what is queued at a price, first come first; the chunks may be taken from."""
        queue = self.queues.get(key)
        if queue is None:
            yield Chunk(self.lots[key])
        else:
            yield from tuple(queue)

    def take(self, key: int, chunk: Chunk, lots: int) -> None:
        """Take `lots` out of a chunk that `waiting` gave."""
        chunk.lots -= lots
        if chunk.order is not None:
            self._reduce_own(key, lots)
        elif key in self.queues and not chunk.lots:
            self.queues[key] = [other for other in self.queues[key] if other.lots]
        self._set(key, self.lots[key] - lots)

    def _reduce_own(self, key: int, lots: int) -> None:
        left = self.own[key] - lots
        if left:
            self.own[key] = left
            self.queues[key] = [chunk for chunk in self.queues[key] if chunk.lots]
        else:
            del self.own[key], self.queues[key]

    def _resize_queue(self, key: int, more: int) -> None:
        queue = self.queues[key]
        if more > 0:
            if queue[-1].order is None:
                queue[-1].lots += more
            else:
                queue.append(Chunk(more))
            return
        for chunk in reversed(queue):
            if chunk.order is None and more < 0:
                gone = min(chunk.lots, -more)
                chunk.lots -= gone
                more += gone
        self.queues[key] = [chunk for chunk in queue if chunk.lots]

    def _set(self, key: int, lots: int) -> None:
        was = self.lots.get(key, 0)
        if was == lots:
            return
        if key not in self.before:
            self.before[key] = was
        if not lots:
            del self.keys[bisect_left(self.keys, key)], self.lots[key]
            return
        if not was:
            insort(self.keys, key)
        self.lots[key] = lots

    # ── what subscribers see ─────────────────────────────────────────────────────────────────────

    def levels(self, depth: int) -> list[Level]:
        """Return the first `depth` (ticks, lots), best first."""
        return [(self.sign * key, self.lots[key]) for key in self.keys[:depth]]

    def edge(self, depth: int) -> int:
        """Return the worst key inside a window."""
        return self.keys[depth - 1] if len(self.keys) >= depth else FAR

    def changes(self, depth: int) -> list[Level]:
        """Return what a subscriber has to be told since the last `settle`.

        A level that left the book comes with zero lots; one that was only pushed out of the window
        doesn't come at all; one that came into the window comes in the same message.
        """
        lots, sign, before = self.lots, self.sign, self.before
        was_edge, edge = self.edges[depth], self.edge(depth)
        told: list[Level] = []
        for key, was in before.items():
            now = lots.get(key, 0)
            if now == was:
                continue
            if not now:
                if key <= was_edge:
                    told.append((sign * key, 0))
            elif key <= edge:
                told.append((sign * key, now))
        if edge > was_edge:
            told += [
                (sign * key, lots[key])
                for key in self.keys[bisect_right(self.keys, was_edge) : depth]
                if before.get(key, lots[key]) == lots[key]
            ]
        self.edges[depth] = edge
        return told

    def settle(self) -> None:
        """Forget what was told; bring the checksum's text up to date."""
        if self.before:
            self.before = {}
            self.refresh()

    def refresh(self) -> None:
        """Write the checksum's text anew."""
        lots, sign = self.lots, self.sign
        self.digits = "".join([f"{sign * key}{lots[key]}" for key in self.keys[:CHECKED]])


class MatchingBook:
    """Both sides of one pair, on which orders of accounts meet each other and the market's.

    Other books of the project only repeat what a venue says (`arbitrade.book`) or only speak
    (`arbitrade.synthetic`); this one has queues, because somebody is going to trade on it.
    """

    __slots__ = ("asks", "bids", "symbol", "time_ns", "watchers")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.bids = QueuedSide(-1)
        self.asks = QueuedSide(1)
        self.time_ns = 0
        """When the book changed last."""
        self.watchers: dict[int, int] = {}
        """How many subscribers each depth has."""

    def watch(self, depth: int) -> None:
        """Count one more subscriber at a depth."""
        self.watchers[depth] = self.watchers.get(depth, 0) + 1
        if self.watchers[depth] == 1:
            self.bids.edges[depth] = self.bids.edge(depth)
            self.asks.edges[depth] = self.asks.edge(depth)

    def unwatch(self, depth: int) -> None:
        """Count one less; too many are ignored."""
        count = self.watchers.pop(depth, 0) - 1
        if count > 0:
            self.watchers[depth] = count
        else:
            self.bids.edges.pop(depth, None)
            self.asks.edges.pop(depth, None)

    @property
    def has_changed(self) -> bool:
        """True when something was touched since the last `settle`."""
        return bool(self.bids.before or self.asks.before)

    @property
    def has_own(self) -> bool:
        """True while an order of ours rests here."""
        return bool(self.bids.own or self.asks.own)

    def settle(self) -> None:
        """Forget what was told; only a settled book has a checksum."""
        self.bids.settle()
        self.asks.settle()

    def checksum(self) -> int:
        """Return the CRC-32 of the settled book."""
        return crc32((self.asks.digits + self.bids.digits).encode())

    def is_crossed(self) -> bool:
        """True when the best bid reaches the best ask."""
        bids, asks = self.bids.keys, self.asks.keys
        return bool(bids and asks and bids[0] + asks[0] <= 0)

    def rescale(self, price_shift: int, lot_shift: int, tick: int) -> None:
        """Bring the generated levels to other decimals; there must be no order of ours.

        Args:
            price_shift: New price decimals minus old.
            lot_shift: New lot decimals minus old.
            tick: The new price increment in new ticks.
        """
        for side in (self.bids, self.asks):
            old = side.levels(len(side.keys))
            side.keys.clear()
            side.lots.clear()
            for ticks, lots in old:
                # Rounded away from the other side, so that the book can't cross.
                key = -(_shift(-side.sign * ticks, price_shift) // tick) * tick
                quantity = max(1, _shift(lots, lot_shift))
                if side.sign < 0 and key >= 0:
                    continue
                if key not in side.lots:
                    insort(side.keys, key)
                side.lots[key] = side.lots.get(key, 0) + quantity
            side.before = {}
            side.refresh()
            side.edges = {depth: side.edge(depth) for depth in side.edges}


def _shift(units: int, decimals: int) -> int:
    """Return units in other decimals, rounded down."""
    scale = int(10 ** abs(decimals))
    return units * scale if decimals >= 0 else units // scale
