"""A recording as the market: its books are the venue's, our orders stand among them.

What we took stays taken: at a price we took from, the recording's quantity counts less by it until
the recording removes that price or sends a snapshot.  Precisions stay those it began with: books
told with more decimals later on are skipped.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

import attrs

from arbitrade.errors import MessageError
from arbitrade.models import (
    Batch,
    BookDelta,
    Instrument,
    InstrumentsChanged,
    InstrumentStatus,
    Level,
    Side,
    Subscribed,
)
from arbitrade_kraken.market.decoder import KrakenDecoder
from arbitrade_kraken.simulator.exchange.book import MatchingBook, QueuedSide
from arbitrade_kraken.simulator.exchange.listed import AssetFacts, ListedPairs, PairFacts
from arbitrade_kraken.simulator.exchange.market import Floor
from arbitrade_kraken.simulator.exchange.worth import asset_worths


class RecordedMarket:
    """Plays the book frames of a recording, one a step.

    Args:
        frames: Raw frames in the order received; others than books and instruments are skipped.
        is_endless: Begin again at the end; `frames` are kept for it.
    """

    def __init__(self, frames: Iterable[bytes], *, is_endless: bool = False) -> None:
        self._frames: Iterable[bytes] = tuple(frames) if is_endless else frames
        self._is_endless = is_endless
        self._next: Iterator[bytes] = iter(self._frames)
        self._decoder = KrakenDecoder()
        self._floor: Floor | None = None
        self._books: dict[str, MatchingBook] = {}
        self._depths: dict[str, int] = {}
        self._taken: dict[tuple[str, int, int], int] = {}
        self._worths: Mapping[str, float] = {}
        self._instruments: tuple[Instrument, ...] = ()
        self._is_over = False
        self.skipped = 0
        """How many frames were no book of a listed pair."""

    @property
    def is_over(self) -> bool:
        """True once the last frame was played and none begins anew."""
        return self._is_over

    @property
    def duplicate_share(self) -> float:
        """Nothing is named twice on purpose: a recording is told as it was."""
        return 0.0

    def worth(self, asset: str) -> float:
        """Return what an asset was worth when the list of pairs was made, in USD."""
        return self._worths.get(asset, 1.0)

    def open(self, listed: ListedPairs, floor: Floor) -> dict[str, MatchingBook]:
        """Return empty books: they fill as their snapshots are played."""
        self._floor = floor
        self._worths = asset_worths(listed)
        self._instruments = tuple(_instrument(pair) for pair in listed.pairs.values())
        self._decoder.learn(InstrumentsChanged(True, self._instruments, ()))
        self._books = {symbol: MatchingBook(symbol) for symbol in listed.pairs}
        return dict(self._books)

    def step(self, is_matching: Mapping[str, bool]) -> MatchingBook | None:
        """Play up to the next book message of a listed pair."""
        while True:
            frame = next(self._next, None)
            if frame is None:
                if not self._is_endless or self._is_over:
                    self._is_over = True
                    return None
                self._next = iter(self._frames)
                self._is_over = not self._frames
                continue
            book = self._play(frame)
            if book is not None:
                self._is_over = False
                return book
            self.skipped += 1

    def deepen(self, book: MatchingBook, depth: int) -> None:
        """Nothing: a recording has no more levels than it has."""

    def on_taken(self, book: MatchingBook, taker: Side, key: int, lots: int) -> None:
        """Remember what was taken: the recording goes on as if it were still there."""
        sign = 1 if taker is Side.BUY else -1
        place = (book.symbol, sign, key)
        self._taken[place] = self._taken.get(place, 0) + lots

    def on_rescaled(self, book: MatchingBook, pair: PairFacts) -> None:
        """Forget what was taken of the pair: its integers mean something else now."""
        self._taken = {place: n for place, n in self._taken.items() if place[0] != book.symbol}

    def _play(self, frame: bytes) -> MatchingBook | None:
        try:
            event = self._decoder.decode(frame)
        except MessageError:
            return None
        if isinstance(event, Subscribed):
            self._depths[event.symbol] = event.depth
        if isinstance(event, InstrumentsChanged):
            # Books stand in the precisions they opened with, whatever the recording says later.
            self._decoder.learn(InstrumentsChanged(True, self._instruments, ()))
        if isinstance(event, Batch):
            changed = [self._apply(e) for e in event.events if isinstance(e, BookDelta)]
            return changed[-1] if changed else None
        return self._apply(event) if isinstance(event, BookDelta) else None

    def _apply(self, delta: BookDelta) -> MatchingBook | None:
        book = self._books.get(delta.symbol)
        if book is None:
            return None
        if delta.is_snapshot:
            depth = max(len(delta.bids), len(delta.asks))
            self._depths.setdefault(delta.symbol, max(10, depth))
        for side, other, levels in (
            (book.bids, book.asks, delta.bids),
            (book.asks, book.bids, delta.asks),
        ):
            if delta.is_snapshot:
                self._clear(book, side)
            for level in levels:
                self._set(book, side, level)
            self._cut(side, self._depths.get(delta.symbol, 10))
            self._uncross(side, other)
        return book

    def _clear(self, book: MatchingBook, side: QueuedSide) -> None:
        for key in tuple(side.keys):
            side.drop(key)
        self._taken = {
            place: lots
            for place, lots in self._taken.items()
            if place[:2] != (book.symbol, side.sign)
        }

    def _set(self, book: MatchingBook, side: QueuedSide, level: Level) -> None:
        key, place = side.sign * level[0], (book.symbol, side.sign, side.sign * level[0])
        lots = level[1]
        if not lots:
            self._taken.pop(place, None)
        elif self._taken:
            lots = max(0, lots - self._taken.get(place, 0))
        if lots > side.market(key) and book.has_own and self._floor is not None:
            taker = Side.SELL if side.sign > 0 else Side.BUY
            lots = self._floor.arrive(book, taker, key, lots)
        side.put(key, lots)

    @staticmethod
    def _cut(side: QueuedSide, depth: int) -> None:
        """Drop what the recording's subscriber no longer saw."""
        kept = 0
        for key in tuple(side.keys):
            if side.market(key):
                kept += 1
                if kept > depth:
                    side.drop(key)

    @staticmethod
    def _uncross(side: QueuedSide, other: QueuedSide) -> None:
        """Drop strangers' quantity on the other side that this side has reached."""
        while side.keys and other.keys and side.keys[0] + other.keys[0] <= 0:
            key = other.keys[0] if other.market(other.keys[0]) else side.keys[0]
            where = other if key == other.keys[0] else side
            if not where.market(key):
                return
            where.drop(key)


def recorded_pairs(frames: Iterable[bytes], known: ListedPairs) -> ListedPairs:
    """Return the pairs whose books a recording has, with the precisions it was recorded with.

    Names, minimums and fees come from `known`; a pair that isn't known there is left out.
    """
    decoder = KrakenDecoder()
    decoder.learn(InstrumentsChanged(True, tuple(_instrument(p) for p in known.pairs.values()), ()))
    told: dict[str, Instrument] = {}
    seen: dict[str, None] = {}
    for frame in frames:
        try:
            event = decoder.decode(frame)
        except MessageError:
            continue
        if isinstance(event, InstrumentsChanged):
            told = {pair.symbol: pair for pair in event.pairs} | told
        for delta in event.events if isinstance(event, Batch) else (event,):
            if isinstance(delta, BookDelta) and delta.symbol in known.pairs:
                seen[delta.symbol] = None
    chosen = known.only(tuple(seen))
    assets: Iterable[AssetFacts] = known.assets.values()
    return ListedPairs((_as_recorded(p, told.get(p.symbol)) for p in chosen.pairs.values()), assets)


def _as_recorded(pair: PairFacts, told: Instrument | None) -> PairFacts:
    if told is None:
        return pair
    return attrs.evolve(
        pair,
        price_decimals=told.price_precision,
        lot_decimals=told.quantity_precision,
        tick=told.price_increment,
        lot_step=Decimal(1).scaleb(-told.quantity_precision),
        status="online",
    )


def _instrument(pair: PairFacts) -> Instrument:
    return Instrument(
        symbol=pair.symbol,
        base=pair.base,
        quote=pair.quote,
        status=InstrumentStatus.parse(pair.status),
        price_precision=pair.price_decimals,
        quantity_precision=pair.lot_decimals,
        price_increment=pair.tick,
        quantity_increment=pair.lot_step,
        minimum_quantity=pair.minimum_quantity,
        minimum_notional=pair.minimum_cost,
        cost_precision=pair.cost_decimals,
    )
