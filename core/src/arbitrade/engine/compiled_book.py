"""Books whose levels the compiled loop keeps, with the face of `arbitrade.book.OrderBook`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from arbitrade.book import CHECKSUM_LEVELS, BookSide, BookState, OrderBook
from arbitrade.models import Changed, Instrument, Level

_STATES = (BookState.WAITING, BookState.SYNCED, BookState.OUT_OF_SYNC)
_ELSEWHERE = 3
_BIDS, _ASKS, _STATE, _TRADABLE, _GATE, _WATCHED = 0, 1, 5, 6, 7, 8
"""Words of a book's head; docs/hot-path.md."""
_INT64 = 1 << 63


class LevelStore(Protocol):
    """The part of the compiled loop a book needs."""

    def open(self, slot: int, depth: int) -> None:
        """Make the book of a slot, empty."""

    def get(self, slot: int, word: int) -> int:
        """Return a word of its head."""

    def put(self, slot: int, word: int, value: int) -> None:
        """Set a word of its head."""

    def levels(self, slot: int, asks: bool, begin: int = 0, count: int = ...) -> list[Level]:
        """Return (ticks, lots) of a side, best first: `count` from place `begin` on, or all."""

    def load(self, slot: int, bids: list[Level], asks: list[Level]) -> None:
        """Make its levels these, best first."""

    def timestamp(self, slot: int) -> str | None:
        """Return the venue's time of its last message."""

    def stamp(self, slot: int, timestamp: str | None) -> None:
        """Set the venue's time of its last message; `ValueError` if the text is too long."""


class CompiledSide(BookSide):
    """One side of a book in the loop, as it is when asked; only messages change it.

    Reading copies, so `first` is what a walk from the best price should use.
    """

    __slots__ = ("_is_asks", "_slot", "_store")

    def __init__(self, depth: int, sign: int, store: LevelStore, slot: int) -> None:
        self.depth = depth
        self.sign = sign
        self._limit = min(depth, CHECKSUM_LEVELS)
        self._store = store
        self._slot = slot
        self._is_asks = sign > 0

    def __len__(self) -> int:
        return self._store.get(self._slot, _ASKS if self._is_asks else _BIDS)

    def __iter__(self) -> Iterator[Level]:
        """Yield (ticks, lots), best first; a walk that ends soon reads little."""
        begin, count = 0, 8
        while levels := self.first(count, begin):
            yield from levels
            begin += count
            count *= 4

    @property
    def best(self) -> int | None:
        """Ticks of the best price, None when the side is empty."""
        best = self._store.levels(self._slot, self._is_asks, 0, 1)
        return best[0][0] if best else None

    @property
    def levels(self) -> Mapping[int, int]:
        """Every level by key, in order; a copy."""
        return {self.sign * ticks: lots for ticks, lots in self}

    @property
    def window(self) -> list[int]:  # type: ignore[override]  # nobody sets it but its own class
        """The first ten keys; a copy."""
        return [self.sign * ticks for ticks, _ in self.first(self._limit)]

    def first(self, count: int, begin: int = 0) -> list[Level]:
        """Return (ticks, lots) of `count` levels from place `begin` on, fewer where they end."""
        return self._store.levels(self._slot, self._is_asks, begin, count)

    def digits(self) -> bytes:
        """Return the digits of the first ten levels, price then quantity."""
        return b"".join(b"%d%d" % level for level in self.first(self._limit))


class CompiledBook(OrderBook):
    """A book in a slot of the compiled loop.

    Reading copies; what reads often belongs into a compiled stage.  Levels whose integers don't fit
    64 bits stay here, and their frames take the slow path, until a snapshot that fits; so does a
    time of more than 48 bytes.
    """

    __slots__ = ("_asks", "_bids", "_plain", "_slot", "_store")

    def __init__(self, instrument: Instrument, depth: int, store: LevelStore, slot: int) -> None:
        self._store = store
        self._slot = slot
        self._plain: OrderBook | None = None
        # Its levels, state and time are the loop's; nothing else is needed of `OrderBook`.
        store.open(slot, depth)
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.depth = depth
        self._bids = CompiledSide(depth, -1, store, slot)
        self._asks = CompiledSide(depth, 1, store, slot)

    # ── what the loop keeps ──────────────────────────────────────────────────────────────────────

    @property
    def slot(self) -> int:
        """The place of this book in the loop's memory."""
        return self._slot

    @property
    def state(self) -> BookState:
        """Whether the book can be trusted."""
        if self._plain is not None:
            return self._plain.state
        return _STATES[self._store.get(self._slot, _STATE)]

    @state.setter
    def state(self, state: BookState) -> None:
        if self._plain is not None:
            self._plain.state = state
            return
        self._store.put(self._slot, _STATE, _STATES.index(state))

    @property
    def tradable(self) -> bool:
        """Whether it may be traded on."""
        return bool(self._store.get(self._slot, _TRADABLE))

    @tradable.setter
    def tradable(self, tradable: bool) -> None:
        self._store.put(self._slot, _TRADABLE, tradable)

    @property
    def timestamp(self) -> str | None:
        """The venue's time of its last message."""
        if self._plain is not None:
            return self._plain.timestamp
        return self._store.timestamp(self._slot)

    @timestamp.setter
    def timestamp(self, timestamp: str | None) -> None:
        if self._plain is not None:
            self._plain.timestamp = timestamp
            return
        try:
            self._store.stamp(self._slot, timestamp)
        except ValueError:
            # Longer than any time; nothing is lost if it stays with the levels here.
            self.retire()
            self.timestamp = timestamp

    @property
    def bids(self) -> BookSide:
        """The bids: those in the loop, or the slow path's while the book is with it."""
        return self._bids if self._plain is None else self._plain.bids

    @bids.setter
    def bids(self, side: BookSide) -> None:
        """The loop has the levels; nothing to keep."""

    @property
    def asks(self) -> BookSide:
        """The asks: those in the loop, or the slow path's while the book is with it."""
        return self._asks if self._plain is None else self._plain.asks

    @asks.setter
    def asks(self, side: BookSide) -> None:
        """The loop has the levels; nothing to keep."""

    def set_gate(self, is_open: bool) -> None:
        """Tell the loop whether pair and venue allow trading."""
        self._store.put(self._slot, _GATE, is_open)

    def set_watched(self, is_watched: bool) -> None:
        """Have the loop report every verified message of this book, or only those worth it."""
        self._store.put(self._slot, _WATCHED, is_watched)

    # ── the slow path's changes ──────────────────────────────────────────────────────────────────

    def load(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Take the levels of a snapshot in place of what is there."""
        book = OrderBook(self.instrument, self.depth)
        book.load(bids, asks)
        self._keep(book)

    def apply(self, bids: Sequence[Level], asks: Sequence[Level]) -> Changed:
        """Apply one update message; return which best prices moved."""
        if self._plain is not None:
            return self._plain.apply(bids, asks)
        book = OrderBook(self.instrument, self.depth)
        book.load(self.bids, self.asks)
        changed = book.apply(bids, asks)
        self._keep(book)
        return changed

    def clear(self) -> None:
        """Remove every level of both sides."""
        self.load((), ())

    def retire(self) -> None:
        """Leave every frame of this book to the slow path until a snapshot comes."""
        book = OrderBook(self.instrument, self.depth)
        book.load(self.bids, self.asks)
        self._leave(book)

    def _keep(self, book: OrderBook) -> None:
        levels = list(book.bids), list(book.asks)
        if all(ticks < _INT64 and lots < _INT64 for side in levels for ticks, lots in side):
            plain, self._plain = self._plain, None
            if plain is not None:
                self.state = plain.state
                try:
                    self._store.stamp(self._slot, plain.timestamp)
                except ValueError:
                    # The time of the message that brings these levels is set next.
                    self._store.stamp(self._slot, None)
            self._store.load(self._slot, *levels)
        else:
            self._leave(book)

    def _leave(self, book: OrderBook) -> None:
        book.state, book.timestamp = self.state, self.timestamp
        self._plain = book
        self._store.put(self._slot, _STATE, _ELSEWHERE)
