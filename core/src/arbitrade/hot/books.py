"""Books whose levels the compiled loop keeps, with the face of `arbitrade.book.OrderBook`."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from arbitrade.book import CHECKSUM_LEVELS, BookSide, BookState, OrderBook
from arbitrade.models import Changed, Instrument, Level

_STATES = (BookState.WAITING, BookState.SYNCED, BookState.OUT_OF_SYNC)
_ELSEWHERE = 3
_STATE, _TRADABLE, _GATE, _WATCHED = 5, 6, 7, 8
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

    def levels(self, slot: int, asks: bool) -> list[Level]:
        """Return (ticks, lots) of a side, best first."""

    def load(self, slot: int, bids: list[Level], asks: list[Level]) -> None:
        """Make its levels these, best first."""

    def timestamp(self, slot: int) -> str | None:
        """Return the venue's time of its last message."""

    def stamp(self, slot: int, timestamp: str | None) -> None:
        """Set that time."""


class CompiledSide(BookSide):
    """One side of a book as it was when asked for; changing it changes nothing.

    Made for each candidate that is sized, so its levels are a plain dict, in order already.
    """

    def __init__(self, depth: int, sign: int, levels: list[Level]) -> None:
        self.depth = depth
        self.sign = sign
        self.levels = {sign * ticks: lots for ticks, lots in levels}
        self.window = list(self.levels)[: min(depth, CHECKSUM_LEVELS)]

    def digits(self) -> bytes:
        """Return the digits of the first ten levels, price then quantity."""
        return b"".join(b"%d%d" % (abs(key), self.levels[key]) for key in self.window)


class CompiledBook(OrderBook):
    """A book in a slot of the compiled loop.

    Reading copies; what reads often belongs into a compiled stage.  Levels whose integers don't fit
    64 bits stay here, and their frames take the slow path, until a snapshot that fits; so does a
    time of more than 48 bytes.
    """

    __slots__ = ("_plain", "_slot", "_store")

    def __init__(self, instrument: Instrument, depth: int, store: LevelStore, slot: int) -> None:
        self._store = store
        self._slot = slot
        self._plain: OrderBook | None = None
        store.open(slot, depth)
        super().__init__(instrument, depth)

    # ── what the loop keeps ──────────────────────────────────────────────────────────────────────

    @property
    def slot(self) -> int:
        """Its place in the loop."""
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
        """A copy of the bids."""
        if self._plain is not None:
            return self._plain.bids
        return CompiledSide(self.depth, -1, self._store.levels(self._slot, False))

    @bids.setter
    def bids(self, side: BookSide) -> None:
        """The loop has the levels; nothing to keep."""

    @property
    def asks(self) -> BookSide:
        """A copy of the asks."""
        if self._plain is not None:
            return self._plain.asks
        return CompiledSide(self.depth, 1, self._store.levels(self._slot, True))

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
        """Become a snapshot."""
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
