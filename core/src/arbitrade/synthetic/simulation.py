"""The market itself: which frame comes next, and what the venue holds after it."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from random import Random

from arbitrade.models import Instrument, Instruments, Level, VenueState
from arbitrade.synthetic import frames as text
from arbitrade.synthetic.conditions import Mishaps
from arbitrade.synthetic.edges import EdgeMaker
from arbitrade.synthetic.ladder import VenueBook
from arbitrade.synthetic.motion import Motion
from arbitrade.synthetic.settings import MarketSettings
from arbitrade.synthetic.timeline import Timeline
from arbitrade.synthetic.universe import Universe, make_universe


class SyntheticMarket:
    """A venue of our own making that speaks as Kraken does.

    `frames` may be called again: it starts the same market from its beginning.

    Args:
        settings: What kind of market.
    """

    def __init__(self, settings: MarketSettings | None = None) -> None:
        self.settings = settings if settings is not None else MarketSettings()
        self._begin()

    def _begin(self) -> None:
        settings = self.settings
        self._rng = Random(settings.seed)
        self._universe: Universe = make_universe(settings, self._rng)
        self._books = {
            item.instrument.symbol: VenueBook(item, self._universe.values[item.instrument.base])
            for item in self._universe.listings
        }
        self._motion = Motion(self._universe, settings, self._rng)
        self._clock = Timeline(settings)
        self._sent = 0
        self._order = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._ready: deque[bytes] = deque()
        self.counters: Counter[str] = Counter()
        """How often each kind of thing was done, faults included."""
        self.engine = VenueState.ONLINE
        """State of the matching engine."""
        for book in self._books.values():
            self._motion.fill(book)
        self._edges = EdgeMaker(self)
        self._conditions = Mishaps(self)

    # ── for those who check ──────────────────────────────────────────────────────────────────────

    @property
    def instruments(self) -> Instruments:
        """The pairs as they are now: statuses and precisions change while the market runs."""
        return Instruments(
            (book.instrument for book in self._books.values()), self._universe.assets
        )

    def levels(self, symbol: str) -> tuple[list[Level], list[Level]]:
        """Return the venue's true (bids, asks) down to the depth, best first."""
        book, depth = self._books[symbol], self.settings.depth
        return book.bids.levels(depth), book.asks.levels(depth)

    def is_disturbed(self, symbol: str) -> bool:
        """True when the frames so far can't have given a subscriber this pair's true book."""
        book = self._books[symbol]
        return book.resync_due or not book.is_listening

    # ── frames ───────────────────────────────────────────────────────────────────────────────────

    def frames(self) -> Iterator[bytes]:
        """Yield the opening, then `settings.frames` frames.  About 30 µs each."""
        self._begin()
        yield from self._opening()
        self._edges.start()
        self._conditions.start()
        for _ in range(self.settings.frames):
            yield self._next()

    def _opening(self) -> Iterator[bytes]:
        yield text.status(self.engine.value)
        yield text.instruments_subscribed(self._clock.advance(self._rng.random()))
        yield text.instruments("snapshot", self._universe.assets, self.instruments.values())
        for symbol in self._books:
            now = self._clock.advance(self._rng.random())
            yield text.subscribed("subscribe", symbol, self.settings.depth, 2, now)
        for book in self._books.values():
            yield self._snapshot(book)
            if self._rng.random() < 0.1:
                yield self._update(self._motion.choose_listening(self._books))

    def _next(self) -> bytes:
        """Return the next frame, whatever it takes."""
        self._sent += 1
        while not self._ready:
            if self._due and self._due[0][0] <= self._sent:
                heappop(self._due)[2]()
            elif self._clock.is_heartbeat_due():
                self.counters["heartbeats"] += 1
                return text.HEARTBEAT
            else:
                return self._update(self._motion.choose_listening(self._books))
        return self._ready.popleft()

    def _snapshot(self, book: VenueBook) -> bytes:
        """Return a fresh snapshot; from here on the subscriber holds the truth."""
        depth = self.settings.depth
        now = self._clock.advance(self._rng.random())
        book.timestamp = book.timestamp or now
        book.bids.show(depth)
        book.asks.show(depth)
        book.is_listening, book.resync_due = True, False
        self.counters["snapshots"] += 1
        entry = self._entry(book, book.bids.levels(depth), book.asks.levels(depth), book.checksum())
        return text.COMPACT.frame.format(kind="snapshot", entries=entry).encode()

    def _update(self, book: VenueBook) -> bytes:
        """Move one book and return the frame that tells."""
        layout, trimming = text.COMPACT, ""
        settings, rng = self.settings, self._rng
        self._motion.step(book)
        odd = rng.random()
        if odd < settings.trimmed_share:
            trimming = "exponent" if rng.random() < 0.2 else "zeros"
            self.counters["trimmed"] += 1
        if odd > 1 - settings.reordered_share:
            layout = text.ODD_LAYOUTS[int(rng.random() * len(text.ODD_LAYOUTS))]
            self.counters["reordered"] += 1
        entries = self.entry_after(book, layout, trimming)
        if settings.batched_share and rng.random() < settings.batched_share:
            other = self._motion.choose_listening(self._books)
            self._motion.step(other)
            entries += layout.comma + self.entry_after(other, layout, trimming)
            self.counters["batched"] += 1
        return layout.frame.format(kind="update", entries=entries).encode()

    def entry_after(
        self, book: VenueBook, layout: text.Layout = text.COMPACT, trimming: str = ""
    ) -> str:
        """Return the entry that tells what changed in `book` since its last one."""
        depth, rng = self.settings.depth, self._rng
        bids, asks = book.bids.show(depth), book.asks.show(depth)
        while not (bids or asks):
            # What happened is below the window; the venue would say nothing of it.
            self._motion.touch(book)
            bids, asks = book.bids.show(depth), book.asks.show(depth)
        if len(bids) > 1:
            _shuffle(bids, rng)
        if len(asks) > 1:
            _shuffle(asks, rng)
        if rng.random() < self.settings.duplicate_share:
            side = bids if bids else asks
            if side:
                # The later entry is the one that counts.
                side.insert(0, (side[-1][0], 0 if rng.random() < 0.3 else side[-1][1] + 7))
                self.counters["duplicates"] += 1
        book.timestamp = self._clock.advance(rng.random())
        self.counters["updates"] += 1
        return self._entry(book, bids, asks, book.checksum(), layout, trimming)

    def _entry(
        self,
        book: VenueBook,
        bids: Sequence[Level],
        asks: Sequence[Level],
        checksum: int,
        layout: text.Layout = text.COMPACT,
        trimming: str = "",
    ) -> str:
        instrument = book.instrument
        return layout.entry.format(
            symbol=instrument.symbol,
            bids=text.levels_text(bids, instrument, layout, trimming) if bids else "",
            asks=text.levels_text(asks, instrument, layout, trimming) if asks else "",
            checksum=checksum,
            timestamp=book.timestamp,
        )

    # ── what edges and conditions act through ────────────────────────────────────────────────────

    @property
    def rng(self) -> Random:
        """The one source of chance."""
        return self._rng

    @property
    def books(self) -> Mapping[str, VenueBook]:
        """The venue's books by symbol."""
        return self._books

    @property
    def universe(self) -> Universe:
        """What is listed."""
        return self._universe

    @property
    def motion(self) -> Motion:
        """How books move."""
        return self._motion

    def after(self, frames: int, act: Callable[[], None]) -> None:
        """Call `act` once about so many frames were sent."""
        self._order += 1
        heappush(self._due, (self._sent + max(1, frames), self._order, act))

    def spread_around(self, mean: int) -> int:
        """Return a number of frames between half and one and a half of `mean`."""
        return int(mean * (0.5 + self._rng.random()))

    def send(self, frame: bytes) -> None:
        """Put a frame next in line."""
        self._ready.append(frame)

    def send_update(self, entry: str) -> None:
        """Put a book update next in line, in the venue's own layout."""
        self.send(text.COMPACT.frame.format(kind="update", entries=entry).encode())

    def send_snapshot(self, book: VenueBook) -> None:
        """Put a fresh snapshot next in line."""
        self.send(self._snapshot(book))

    def send_acknowledgement(self, method: str, book: VenueBook) -> None:
        """Put the answer to a (un)subscription next in line."""
        now = self._clock.advance(self._rng.random())
        symbol, depth = book.instrument.symbol, self.settings.depth
        self.send(text.subscribed(method, symbol, depth, 3 + self._sent, now))

    def send_instrument(self, instrument: Instrument) -> None:
        """Put an instrument update next in line."""
        self.send(text.instruments("update", (), (instrument,)))

    def send_status(self) -> None:
        """Put the engine's state next in line."""
        self.send(text.status(self.engine.value))


def _shuffle(levels: list[Level], rng: Random) -> None:
    """Shuffle in place, by a rule that no Python release changes."""
    for last in range(len(levels) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        levels[last], levels[other] = levels[other], levels[last]
