"""The stage of a synthetic market: its books, how they move, what is due, and what goes out next.

The market itself, its edges and its mishaps all act through the one stage of a run, so none of them
has to know another.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from random import Random

from arbitrade.models import Instrument, Instruments, Level, VenueState
from arbitrade.synthetic import frames as text
from arbitrade.synthetic.ladder import VenueBook
from arbitrade.synthetic.motion import Motion
from arbitrade.synthetic.settings import MarketSettings
from arbitrade.synthetic.timeline import Timeline
from arbitrade.synthetic.universe import make_universe


class Stage:
    """Everything that changes while a synthetic market runs, from its first frame to its last.

    Args:
        settings: What kind of market.
    """

    def __init__(self, settings: MarketSettings) -> None:
        self.settings = settings
        self.rng = Random(settings.seed)
        """The one source of chance: whoever draws from it moves everything after it."""
        universe = make_universe(settings, self.rng)
        self.assets = universe.assets
        self.books = {
            item.instrument.symbol: VenueBook(item, universe.values[item.instrument.base])
            for item in universe.listings
        }
        """The venue's books by symbol, in the order listed."""
        self.motion = Motion(universe, settings, self.rng)
        self.counters: Counter[str] = Counter()
        """How often each kind of thing was done, faults included."""
        self.engine = VenueState.ONLINE
        """State of the matching engine."""
        self._clock = Timeline(settings)
        self._sent = 0
        self._scheduled = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._ready: deque[bytes] = deque()
        for book in self.books.values():
            self.motion.fill(book)

    @property
    def instruments(self) -> Instruments:
        """The pairs as they are now."""
        return Instruments((book.instrument for book in self.books.values()), self.assets)

    def choose_listening(self) -> VenueBook:
        """Return a book somebody is subscribed to, busy ones more often."""
        return self.motion.choose_listening(self.books)

    # ── what happens when ────────────────────────────────────────────────────────────────────────

    def after(self, frames: int, act: Callable[[], None]) -> None:
        """Call `act` once about so many frames were sent."""
        # The running number keeps acts of the same frame in the order they were asked for.
        self._scheduled += 1
        heappush(self._due, (self._sent + max(1, frames), self._scheduled, act))

    def spread_around(self, mean: int) -> int:
        """Return a number of frames between half and one and a half of `mean`."""
        return int(mean * (0.5 + self.rng.random()))

    def count_frame(self) -> None:
        """Let one more frame have gone out; acts fall due by their number."""
        self._sent += 1

    def act_if_due(self) -> bool:
        """Do the next thing that is due; return whether there was one."""
        if not self._due or self._due[0][0] > self._sent:
            return False
        heappop(self._due)[2]()
        return True

    def is_heartbeat_due(self) -> bool:
        """True once in each second of the market's clock."""
        return self._clock.is_heartbeat_due()

    # ── what goes out next ───────────────────────────────────────────────────────────────────────

    def take(self) -> bytes | None:
        """Return the frame that is next in line, None if none waits."""
        return self._ready.popleft() if self._ready else None

    def send_update(self, entry: str) -> None:
        """Put a book update next in line, in the venue's own layout."""
        self._send(text.COMPACT.frame.format(kind="update", entries=entry).encode())

    def send_snapshot(self, book: VenueBook) -> None:
        """Put a fresh snapshot next in line."""
        self._send(self.snapshot(book))

    def send_acknowledgement(self, method: str, book: VenueBook) -> None:
        """Put the answer to a (un)subscription next in line."""
        now = self._clock.advance(self.rng.random())
        symbol, depth = book.instrument.symbol, self.settings.depth
        self._send(text.subscribed(method, symbol, depth, 3 + self._sent, now))

    def send_instrument(self, instrument: Instrument) -> None:
        """Put an instrument update next in line."""
        self._send(text.instruments("update", (), (instrument,)))

    def send_status(self) -> None:
        """Put the engine's state next in line."""
        self._send(text.status(self.engine.value))

    def _send(self, frame: bytes) -> None:
        self._ready.append(frame)

    # ── frames and their parts ───────────────────────────────────────────────────────────────────

    def greeting(self) -> Iterator[bytes]:
        """Yield what a subscriber gets before the first snapshot."""
        yield text.status(self.engine.value)
        yield text.instruments_subscribed(self._clock.advance(self.rng.random()))
        yield text.instruments("snapshot", self.assets, self.instruments.values())
        for symbol in self.books:
            now = self._clock.advance(self.rng.random())
            yield text.subscribed("subscribe", symbol, self.settings.depth, 2, now)

    def snapshot(self, book: VenueBook) -> bytes:
        """Return a fresh snapshot; from here on the subscriber holds the truth."""
        depth = self.settings.depth
        now = self._clock.advance(self.rng.random())
        book.timestamp = book.timestamp or now
        book.bids.show(depth)
        book.asks.show(depth)
        book.is_listening, book.resync_due = True, False
        self.counters["snapshots"] += 1
        entry = _entry(book, book.bids.levels(depth), book.asks.levels(depth))
        return text.COMPACT.frame.format(kind="snapshot", entries=entry).encode()

    def entry_after(
        self, book: VenueBook, layout: text.Layout = text.COMPACT, trimming: str = ""
    ) -> str:
        """Return the entry that tells what changed in `book` since its last one."""
        depth, rng = self.settings.depth, self.rng
        bids, asks = book.bids.show(depth), book.asks.show(depth)
        while not (bids or asks):
            # What happened is below the window; the venue would say nothing of it.
            self.motion.touch(book)
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
        return _entry(book, bids, asks, layout, trimming)


def _entry(
    book: VenueBook,
    bids: Sequence[Level],
    asks: Sequence[Level],
    layout: text.Layout = text.COMPACT,
    trimming: str = "",
) -> str:
    instrument = book.instrument
    return layout.entry.format(
        symbol=instrument.symbol,
        bids=text.levels_text(bids, instrument, layout, trimming) if bids else "",
        asks=text.levels_text(asks, instrument, layout, trimming) if asks else "",
        checksum=book.checksum(),
        timestamp=book.timestamp,
    )


def _shuffle(levels: list[Level], rng: Random) -> None:
    """Shuffle in place, by a rule that no Python release changes."""
    for last in range(len(levels) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        levels[last], levels[other] = levels[other], levels[last]
