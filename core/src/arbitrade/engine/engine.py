"""The one file that knows the order of things.

    frame ─▶ decoder ─▶ book ─▶ gates ─▶ detectors ─▶ checksum ─▶ opportunities

Synchronous from frame to opportunity: no I/O, no await, no hook call, no log per event.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

import attrs

from arbitrade.book import BookState, OrderBook
from arbitrade.calls import REST_S, Call, Calls, OnFault, PluginInterruptedError, guard
from arbitrade.clock import SystemClock
from arbitrade.engine.episodes import Episodes
from arbitrade.engine.soundness import check_sound
from arbitrade.errors import MessageError, NonsenseError, PluginError
from arbitrade.models import (
    Batch,
    BookDelta,
    BookUnreadable,
    Changed,
    ConnectionLost,
    Episode,
    Instrument,
    Instruments,
    InstrumentsChanged,
    MarketEvent,
    Opportunity,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.pricing import FeeSchedule
from arbitrade.process.latency import Latency, timer_overhead_ns
from arbitrade.protocols import Clock, Detector, Venue

if TYPE_CHECKING:
    import structlog

type DetectorFactory = Callable[[Instruments], Sequence[Detector]]
type Act = Callable[[Sequence[Opportunity], int], None]

_NOTHING: tuple[Opportunity, ...] = ()
ASKED = Call("detectors")


def _log() -> "structlog.stdlib.BoundLogger":
    # Imported when something is worth a line: it is a third of what `detect` takes to start.
    import structlog

    return structlog.stdlib.get_logger(__name__)


def _ignore(symbol: str) -> None:
    """Stand for `on_out_of_sync` while no feed is there that could resubscribe."""


def _stop(role: str, name: str, error: BaseException, source: object) -> None:
    """Stand for `on_fault` where nobody counts: a detector that fails ends everything."""
    raise PluginError(
        f"detector {name} raised {type(error).__name__}: {error}; to go on without its plugin: "
        "arbitrade plugins disable NAME"
    ) from error


@attrs.frozen
class Tally:
    """What an engine counted.

    Args:
        book_updates: Book messages applied, snapshots included.
        right: Book messages whose checksum was right.
        wrong: Book messages whose checksum was not.
        skipped: Book messages between a wrong one and the next snapshot.
        resyncs: Snapshots that brought a lost book back.
        detections: Opportunities reported.
    """

    book_updates: int
    right: int
    wrong: int
    skipped: int
    resyncs: int
    detections: int


class Engine:
    """Takes frames, keeps books, asks detectors.

    Large because all that lies between a frame and its opportunities is read in one place, and the
    compiled engine takes its parts over one by one.

    Args:
        venue: Whose frames these are.
        make_detectors: Builds the detectors once the instruments are known.
        act: Called with everything one frame showed, never nothing, and the frame's `position`.
        depth: Levels a side of books whose subscription nobody saw; None derives it from the
            snapshot.
        max_lag_s: Nothing is reported from a message older than this; None for no limit.
        max_crossed_s: A book that stays crossed or locked longer is taken for wrong and asked for
            anew; None for no limit.
        clock: Tells the lag.
        on_out_of_sync: Called with the symbol of each book that needs a fresh snapshot.
        on_episode_end: Called with each stretch of an opportunity's life, once it is over.
        calls: Told when a detector is called, and when it has returned.
        on_fault: Told what a detector raised, or that what it found can't be; it finds nothing
            then.  By default that is an error of ours.
    """

    hot_path = "interpreted"

    def __init__(
        self,
        venue: Venue,
        make_detectors: DetectorFactory,
        act: Act,
        *,
        depth: int | None = None,
        max_lag_s: float | None = None,
        max_crossed_s: float | None = None,
        clock: Clock | None = None,
        on_out_of_sync: Callable[[str], None] = _ignore,
        on_episode_end: Callable[[Episode], None] | None = None,
        calls: Calls | None = None,
        on_fault: OnFault = _stop,
    ) -> None:
        self._calls = calls if calls is not None else Calls()
        self._on_fault = on_fault
        self._venue = venue
        self._decoder = venue.make_decoder()
        self._decode = self._decoder.decode
        self._checksum = venue.checksum
        self._make_detectors = make_detectors
        self._act = act
        self._depth = depth
        self._depths: dict[str, int] = {}
        self._max_lag_s = max_lag_s
        self._max_crossed_s = max_crossed_s
        self._crossed_since: dict[str, int] = {}
        self._clock = clock if clock is not None else SystemClock()
        self._state = VenueState.ONLINE
        self._detectors: tuple[Detector, ...] = ()
        self._names: dict[int, str] = {}
        self._resting: dict[int, float] = {}
        """Until when detectors that held everything up are left alone, by `time.monotonic`."""
        self.on_out_of_sync = on_out_of_sync
        self.instruments: Instruments | None = None
        self.books: dict[str, OrderBook] = {}
        self.episodes = Episodes(on_episode_end, self._follow_alive)
        self._latency = Latency(timer_overhead_ns())
        self._sizing_latency = Latency(self._latency.overhead_ns)
        self.position = 0
        """Where in the input we are; goes out with every opportunity."""
        self._book_updates = 0
        self._right = 0
        self._wrong = 0
        self._skipped = 0
        self._resyncs = 0
        self._detections = 0
        self._counters: Counter[str] = Counter()

    # ── the hot path ─────────────────────────────────────────────────────────────────────────────

    def on_frame(self, frame: bytes) -> MarketEvent | None:
        """Take one frame; return the event in it unless it was a book's.

        Raises:
            MessageError: The frame can't be understood; nothing was changed.
        """
        started = time.perf_counter_ns()
        event = self._decode(frame)
        if type(event) is BookDelta:
            found = self._on_delta(event)
            self._latency.add(time.perf_counter_ns() - started)
            if found or self.episodes.is_alive(event.symbol):
                self._report(event.symbol, event.timestamp, found)
            return None
        if event is None:
            return None
        return self.on_event(event)

    def _on_delta(self, delta: BookDelta) -> Iterable[Opportunity]:
        """Apply, gate, screen, verify.  Returns what is there through this pair now.

        Screening comes before the checksum, because it usually ends there; nothing leaves before
        the checksum, and a wrong one voids what screening saw.
        """
        book = self.books.get(delta.symbol)
        was = BookState.SYNCED
        if delta.is_snapshot:
            book = self._opened(delta.symbol, max(len(delta.bids), len(delta.asks)))
            book.load(delta.bids, delta.asks)
            was, book.state = book.state, BookState.SYNCED
            changed = Changed.BOTH
        elif book is None or book.state is not BookState.SYNCED:
            self._pass_over(book)
            return _NOTHING
        else:
            changed = book.apply(delta.bids, delta.asks)
        book.timestamp = delta.timestamp
        found: Iterable[Opportunity] = _NOTHING
        is_tradable = self._is_tradable(book) if changed or not book.tradable else True
        if is_tradable:
            if not book.tradable:
                # The gate opens: detectors saw nothing of it while it was shut, so all is news.
                book.tradable = True
                changed = Changed.BOTH
                self._crossed_since.pop(book.symbol, None)
            found = self._screen(book, changed)
        if delta.checksum is not None:
            if self._checksum(book) != delta.checksum:
                self._mismatch(book)
                return _NOTHING
            self._right += 1
        self._book_updates += 1
        if was is BookState.OUT_OF_SYNC:
            self._resyncs += 1
        if not is_tradable:
            self._void(book)
            if book.is_crossed:
                self._on_crossed(book)
        return found

    @guard
    def _screen(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        detectors = self._detectors
        if len(detectors) != 1 or self._resting:
            found = [some for one in detectors if (some := self._ask(one, book, changed))]
            return chain.from_iterable(found) if found else _NOTHING
        # PERF: as `_ask` does for one of several, but 0.03 µs instead of 0.08; `pulse` tells one
        # call from the next.
        calls = self._calls
        try:
            calls.call = ASKED
            some = detectors[0].on_book(book, changed)
            calls.call = None
            if calls.pending:
                calls.leave()
            return self._sound(detectors[0], some) if some else _NOTHING
        except BaseException as error:
            self._fail(detectors[0], "on_book", error)
            return _NOTHING

    @guard
    def _ask(self, detector: Detector, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        calls = self._calls
        if self._resting and self._rests(detector):
            return _NOTHING
        try:
            calls.call = ASKED
            calls.count += 1
            found = detector.on_book(book, changed)
            calls.call = None
            if calls.pending:
                calls.leave()
            return self._sound(detector, found) if found else _NOTHING
        except BaseException as error:
            self._fail(detector, "on_book", error)
            return _NOTHING

    def _sound(self, detector: Detector, found: Iterable[object]) -> Iterator[Opportunity]:
        """Have what a detector found sized, one after the other; yield what can be."""
        name, instruments = self._names.get(id(detector), ""), self.instruments
        iterator: Iterator[object] | None = None
        while True:
            iterator, one = self._next(detector, found, iterator)
            if iterator is None:
                return
            try:
                sound = check_sound(one, name, instruments)
            except NonsenseError as error:
                self._fail(detector, "on_book", error)
            else:
                yield sound

    @guard
    def _next(
        self, detector: Detector, found: Iterable[object], iterator: Iterator[object] | None
    ) -> tuple[Iterator[object] | None, object]:
        """Return where we are and what comes next; (None, None) behind the last one."""
        before = self._calls.enter(ASKED)
        try:
            iterator = iter(found) if iterator is None else iterator
            one = next(iterator)
            self._calls.leave(before)
        except StopIteration:
            self._calls.leave(before)
            return None, None
        except BaseException as error:
            self._fail(detector, "on_book", error)
            return None, None
        return iterator, one

    @guard
    def _tell(self, member: str, *arguments: object) -> None:
        """Call a method of every detector; one that raises keeps nobody else from hearing it."""
        for detector in self._detectors:
            before = self._calls.enter(ASKED)
            try:
                getattr(detector, member)(*arguments)
                self._calls.leave(before)
            except BaseException as error:
                self._fail(detector, member, error)

    def _rests(self, detector: Detector) -> bool:
        until = self._resting.get(id(detector))
        if until is None or time.monotonic() < until:
            return until is not None
        del self._resting[id(detector)]
        return False

    def _fail(self, detector: Detector, member: str, error: BaseException) -> None:
        self._calls.leave()
        if isinstance(error, KeyboardInterrupt):
            raise error
        name = self._names.get(id(detector), "")
        if isinstance(error, PluginInterruptedError):
            self._resting[id(detector)] = time.monotonic() + REST_S
        self._on_fault("detectors", name, error, getattr(type(detector), member, detector))

    def _follow_alive(self, symbol: str, is_alive: bool) -> None:
        """Take that a pair has opportunities, or none any more."""

    def _is_tradable(self, book: OrderBook) -> bool:
        return (
            not book.is_crossed
            and not book.is_one_sided
            and book.instrument.is_online
            and self._state is VenueState.ONLINE
            and book.state is BookState.SYNCED
        )

    # ── what was found ───────────────────────────────────────────────────────────────────────────

    def _report(self, symbol: str, timestamp: str | None, found: Iterable[Opportunity]) -> None:
        """Size what the screen let through, follow it over time, hand it on."""
        if self._max_lag_s is not None and self._lag_s(symbol, timestamp) > self._max_lag_s:
            self._counters["stale"] += 1
            self.episodes.end(symbol, timestamp)
            return
        opportunities = []
        started = time.perf_counter_ns()
        for opportunity in found:
            opportunities.append(opportunity)
            sized = time.perf_counter_ns()
            self._sizing_latency.add(sized - started)
            started = sized
        self.episodes.observe(symbol, opportunities, timestamp)
        self._detections += len(opportunities)
        if opportunities:
            self._act(opportunities, self.position)

    def _lag_s(self, symbol: str, timestamp: str | None) -> float:
        if timestamp is None:
            return 0.0
        try:
            sent_at = datetime.fromisoformat(timestamp)
        except ValueError as error:
            raise MessageError(f"{symbol}: timestamp {timestamp!r} is not RFC 3339") from error
        return self._clock.now_ns() / 1e9 - sent_at.timestamp()

    # ── books in and out of sync ─────────────────────────────────────────────────────────────────

    def _opened(self, symbol: str, held: int) -> OrderBook:
        """Return the book for a snapshot of so many levels, made or remade at its depth."""
        depth = self._depths.get(symbol) or self._depth
        if depth is None:
            depth = self._venue.snapshot_depth(held)
        book = self.books.get(symbol)
        if book is not None and symbol not in self._depths:
            # A snapshot of few levels says nothing about the depth; an earlier one of more does.
            depth = max(depth, book.depth)
        if book is not None and book.depth == depth:
            return book
        if self.instruments is None or symbol not in self.instruments:
            raise MessageError(f"{symbol}: a book before its instrument was named")
        # Read before the new one is made: it may take the old one's place in memory.
        was = (BookState.WAITING, False) if book is None else (book.state, book.tradable)
        made = self._make_book(self.instruments[symbol], depth)
        made.state, made.tradable = was
        self.books[symbol] = made
        return made

    def _make_book(self, pair: Instrument, depth: int) -> OrderBook:
        return OrderBook(pair, depth)

    def _pass_over(self, book: OrderBook | None) -> None:
        if book is not None and book.state is BookState.OUT_OF_SYNC:
            self._skipped += 1
        else:
            self._counters["before_snapshot"] += 1

    def _mismatch(self, book: OrderBook) -> None:
        self._wrong += 1
        self._lose(book, "checksum")

    def _lose(self, book: OrderBook, reason: str) -> None:
        """Take a book out until a fresh snapshot, at once, and ask for one."""
        book.state = BookState.OUT_OF_SYNC
        self._crossed_since.pop(book.symbol, None)
        self._counters[f"lost_{reason}"] += 1
        self._void(book)
        self.on_out_of_sync(book.symbol)

    def _on_crossed(self, book: OrderBook) -> None:
        """Count it; a moment is normal, longer means that the book is wrong below its checksum."""
        self._counters["crossed"] += 1
        now_ns = self._clock.monotonic_ns()
        since_ns = self._crossed_since.setdefault(book.symbol, now_ns)
        if self._max_crossed_s is not None and now_ns - since_ns > self._max_crossed_s * 1e9:
            self._lose(book, "crossed")

    def _void(self, book: OrderBook) -> None:
        """Nothing may be decided on this book from now on."""
        if not book.tradable:
            return
        book.tradable = False
        self._tell("on_void", book.symbol)
        self.episodes.end(book.symbol, book.timestamp)

    # ── everything that is not a book message ────────────────────────────────────────────────────

    def on_event(self, event: MarketEvent) -> MarketEvent | None:
        """Take one event; return it unless it was a book's."""
        match event:
            case BookDelta():
                found = self._on_delta(event)
                if found or self.episodes.is_alive(event.symbol):
                    self._report(event.symbol, event.timestamp, found)
                return None
            case Batch():
                for one in event.events:
                    self.on_event(one)
                return None
            case BookUnreadable():
                book = self.books.get(event.symbol)
                if book is not None and book.state is BookState.SYNCED:
                    _log().warning("book.unreadable", pair=event.symbol, reason=event.reason)
                    self._lose(book, "unreadable")
                else:
                    self._pass_over(book)
                return None
            case InstrumentsChanged():
                self._on_instruments(event)
            case VenueStateChanged():
                self._on_state(event.state)
            case Subscribed():
                self._depths[event.symbol] = event.depth
            case Unsubscribed():
                self._forget(event.symbol)
            case ConnectionLost():
                for symbol in self.books if event.symbols is None else event.symbols:
                    self._forget(symbol)
            case _:
                pass
        return event

    def learn(self, change: InstrumentsChanged) -> None:
        """Take instruments from elsewhere (a file) as if a frame had brought them."""
        self._decoder.learn(change)
        self._on_instruments(change)

    def swap_detectors(self, detectors: Iterable[Detector]) -> None:
        """Go on with other detectors, between two events."""
        self._use(detectors)
        for symbol in self.books:
            self.episodes.end(symbol)
        self._announce()

    def on_fees(self, fees: FeeSchedule) -> None:
        """Have the detectors reckon with other fees, between two events."""
        if self.instruments is None:
            return  # Detectors aren't made yet; whoever makes them knows the fees.
        self._tell("on_fees", fees)
        self.swap_detectors(self._detectors)

    def _use(self, detectors: Iterable[Detector]) -> None:
        self._detectors = tuple(detectors)
        # Asked for now: a name that is a lie later on would hide whose it is.
        self._resting.clear()
        self._names = {id(detector): detector.name for detector in self._detectors}

    def _forget(self, symbol: str) -> None:
        """No more messages come for this book: what it holds is history."""
        book = self.books.get(symbol)
        if book is not None:
            self._void(book)
            if book.state is BookState.SYNCED:
                book.state = BookState.WAITING

    def _on_instruments(self, change: InstrumentsChanged) -> None:
        known = self.instruments
        if known is None or change.is_snapshot:
            base = Instruments() if known is None else Instruments((), known.assets.values())
        else:
            base = known
        self.instruments = base.merged(change.pairs, change.assets)
        if known is None:
            self._use(self._make_detectors(self.instruments))
            return
        for symbol, book in list(self.books.items()):
            self._update_book(symbol, book, self.instruments)
        if dict(known) != dict(self.instruments):
            self._tell("on_instruments", self.instruments)
            self._announce()

    def _update_book(self, symbol: str, book: OrderBook, instruments: Instruments) -> None:
        pair = instruments.get(symbol)
        if pair is None:
            self._void(book)
            del self.books[symbol]
            return
        was = book.instrument
        if (pair.price_precision, pair.quantity_precision) != (
            was.price_precision,
            was.quantity_precision,
        ):
            # The integers of the book mean something else from now on.
            _log().info("book.precision_changed", pair=symbol, price_precision=pair.price_precision)
            self._void(book)
            fresh = self._make_book(pair, book.depth)
            fresh.state = BookState.OUT_OF_SYNC
            self.books[symbol] = fresh
            self._counters["lost_precision"] += 1
            self.on_out_of_sync(symbol)
            return
        book.instrument = pair

    def _on_state(self, state: VenueState) -> None:
        if state is self._state:
            return
        _log().info("venue.state", state=state.value, before=self._state.value)
        self._state = state
        self._announce()

    def _announce(self) -> None:
        """Show the detectors every book again; nothing is reported before its next message."""
        for book in self.books.values():
            if book.state is BookState.SYNCED and self._is_tradable(book):
                book.tradable = True
                self._crossed_since.pop(book.symbol, None)
                self._tell("on_book", book, Changed.BOTH)
            else:
                self._void(book)

    # ── what there is to see ─────────────────────────────────────────────────────────────────────

    def tally(self) -> Tally:
        """Return what was counted so far."""
        return Tally(
            book_updates=self._book_updates,
            right=self._right,
            wrong=self._wrong,
            skipped=self._skipped,
            resyncs=self._resyncs,
            detections=self._detections,
        )

    @property
    def pulse(self) -> int:
        """A number that changes with every book message; may be read from any thread."""
        return self.tally().book_updates + self._skipped + self._wrong

    def durations(self) -> Latency:
        """Return how long book frames took, from bytes to verified candidates."""
        return self._latency

    def sizing_durations(self) -> Latency:
        """Return how long each candidate took to size."""
        return self._sizing_latency

    @property
    def venue_state(self) -> VenueState:
        """The matching engine's state as last told."""
        return self._state

    @property
    def books_in_sync(self) -> int:
        """Books that can be trusted now.  O(books)."""
        return sum(book.state is BookState.SYNCED for book in self.books.values())

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """The detectors that are asked now; a swap of plugins replaces them."""
        return self._detectors

    @property
    def counters(self) -> Mapping[str, int]:
        """Everything that was passed over or lost, by reason."""
        return {**self._decoder.counters, **self._counters}
