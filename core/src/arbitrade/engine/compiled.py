"""The engine over the compiled loop: the same order of things, the same outcome, sooner.

What the loop can't take, frames of another layout, numbers beyond 64 bits, everything that is no
book message, goes through `Engine`'s own code over the same books.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from types import ModuleType
from typing import Any

import attrs

from arbitrade.book import OrderBook
from arbitrade.calls import guard
from arbitrade.engine.compiled_book import CompiledBook
from arbitrade.engine.engine import ASKED, Engine, Tally
from arbitrade.errors import MessageError
from arbitrade.models import (
    BookDelta,
    Changed,
    Instrument,
    InstrumentsChanged,
    MarketEvent,
    Opportunity,
    Subscribed,
    VenueState,
)
from arbitrade.process.latency import Latency
from arbitrade.protocols import CompiledDetector, CompiledVenue, Detector

NOTHING, SLOW, MISMATCH, REPORT, VOID, LINE, END, OPEN = range(8)
"""What a step of the loop comes to."""


class CompiledEngine(Engine):
    """An engine whose books, checksums and screening run compiled.

    Args:
        loop: The compiled module `arbitrade.hot._loop`.
        arguments: As for `Engine`; the venue has to be a `CompiledVenue`.
    """

    hot_path = "compiled"

    def __init__(self, loop: ModuleType, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        assert isinstance(self._venue, CompiledVenue)
        self._compiles = self._venue
        self._slots: dict[str, int] = {}
        self._pairs: list[Instrument | None] = []
        self._by_slot: list[CompiledBook | None] = []
        self._loop = loop.Loop(self._compiles.compiled_stage([]))
        self._loop.handle = self._on_step
        if type(self).on_frame is CompiledEngine.on_frame:
            self.on_frame = self._loop.receive  # type: ignore[method-assign]
        self._loop_overhead_ns = loop.timer_overhead_ns()
        self._compiled: CompiledDetector | None = None
        self._is_called = False
        """Whether a detector without a compiled stage wants to see every verified message."""
        self._left_to_python = 0

    # ── the hot path ─────────────────────────────────────────────────────────────────────────────

    def on_frame(self, frame: bytes) -> MarketEvent | None:
        """Take one frame; return the event in it unless it was a book's.

        PERF: the loop's own method stands in its place in every instance, which is a fifth less for
        a frame that leads nowhere.
        """
        return self._loop.receive(frame)  # type: ignore[no-any-return]

    def _on_step(self, code: int, frame: bytes) -> MarketEvent | None:
        """Go on with a frame that came to something."""
        if code == OPEN and self._open():
            code = self._loop.on_frame(frame)
        if code in (SLOW, OPEN):
            return super().on_frame(frame)
        if code != NOTHING:
            self._on_outcome(code)
        return None

    def on_buffer(self, buffer: bytearray, begin: int, end: int) -> tuple[int, int]:
        """Take what it can of a receive buffer; return where the rest begins and how many it took.

        What is left is no book message in the usual layout, or not there whole: its frame goes
        the usual way.  Messages are scored one by one in order, as `on_frame` would.
        """
        loop = self._loop
        before = loop.frames
        while True:
            code = loop.feed_messages(buffer, begin, end)
            begin = loop.line_end
            if code in (SLOW, END):
                return begin, loop.frames - before
            if code != OPEN:
                self._on_outcome(code)
            elif not self._open():
                return begin, loop.frames - before

    def feed(self, buffer: bytes, begin: int, on_time: Callable[[int], None]) -> int:
        """Take lines of a recording until one needs Python, or the buffer ends.

        Args:
            buffer: Lines.
            begin: Where in it the next one begins.
            on_time: Told the newest envelope's time before anything is made of its frame.

        Returns:
            `SLOW` or `LINE` with the line at `line_begin` … `line_end` not taken, or `END` with
            `line_end` behind the last that was.
        """
        while True:
            code: int = self._loop.feed(buffer, begin)
            on_time(self._loop.time_ns)
            if code in (SLOW, LINE, END):
                return code
            if code == OPEN:
                if not self._open():
                    return SLOW
                self._loop.lines -= 1
                begin = self._loop.line_begin
                continue
            self.position = self._loop.lines
            self._on_outcome(code)
            begin = self._loop.line_end

    @property
    def loop(self) -> Any:
        """The compiled loop: `lines`, `frames`, `time_ns`, `line_begin`, `line_end`."""
        return self._loop

    def _open(self) -> bool:
        """Make the book of a pair whose first snapshot has come; tell if the loop can take it."""
        started = time.perf_counter_ns()
        loop = self._loop
        pair, before = self._pairs[loop.slot], self._by_slot[loop.slot]
        if pair is not None:
            with suppress(MessageError):  # The slow path says the same, of a frame that counts.
                self._opened(pair.symbol, loop.held)
        if self._by_slot[loop.slot] is before:
            loop.carried_ns = 0
            return False
        # A snapshot is timed from its bytes on, however many times it is fed.
        loop.carried_ns += time.perf_counter_ns() - started
        return True

    def _on_outcome(self, code: int) -> None:
        book = self._by_slot[self._loop.slot]
        assert book is not None
        if code == MISMATCH:
            self._mismatch(book)
        elif code == VOID:
            self._void(book)
            if book.is_crossed:
                self._on_crossed(book)
        else:
            found = self._found(book, Changed(self._loop.changed))
            if found or self.episodes.is_alive(book.symbol):
                self._report(book.symbol, book.timestamp, found)

    def _on_delta(self, delta: BookDelta) -> Iterable[Opportunity]:
        """Take a message the loop's decoder left to ours, by the loop if it fits."""
        self._left_to_python += 1
        book = self.books.get(delta.symbol)
        if delta.is_snapshot:
            book = self._opened(delta.symbol, max(len(delta.bids), len(delta.asks)))
        # The loop takes a checksum below 0 for none.
        checksum = -1 if delta.checksum is None else delta.checksum
        if isinstance(book, CompiledBook) and checksum >= 0:
            timestamp = delta.timestamp.encode() if delta.timestamp else None
            try:
                code = self._loop.take(
                    book.slot, delta.is_snapshot, delta.bids, delta.asks, checksum, timestamp
                )
            except OverflowError:
                code = SLOW
            if code == NOTHING:
                return ()
            if code == REPORT:
                return self._found(book, Changed(self._loop.changed))
            if code not in (SLOW, OPEN):
                self._on_outcome(code)
                return ()
        return super()._on_delta(delta)

    def _found(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        """Return what there is through a book the loop verified, in the order of the detectors."""
        if self._crossed_since and self._crossed_since.pop(book.symbol, None) is not None:
            self._watch(book)
        found = []
        for detector in self._detectors:
            if detector is self._compiled:
                some = self._ask_live(self._compiled, book)
            else:
                some = self._ask(detector, book, changed)
            if some:
                found.append(some)
        return found[0] if len(found) == 1 else chain.from_iterable(found) if found else ()

    @guard
    def _ask_live(self, detector: CompiledDetector, book: OrderBook) -> Iterable[Opportunity]:
        calls = self._calls
        if self._resting and self._rests(detector):
            return ()
        try:
            calls.call = ASKED
            calls.count += 1
            found = detector.live_opportunities(book)
            calls.call = None
            if calls.pending:
                calls.leave()
            return self._sound(detector, found) if found else ()
        except BaseException as error:
            self._fail(detector, "live_opportunities", error)
            return ()

    def _on_crossed(self, book: OrderBook) -> None:
        super()._on_crossed(book)
        # The loop has to tell when it is over.
        self._watch(book)

    # ── wiring ───────────────────────────────────────────────────────────────────────────────────

    def _make_book(self, pair: Instrument, depth: int) -> OrderBook:
        slot = self._slots[pair.symbol]
        book = CompiledBook(pair, depth, self._loop, slot)
        book.set_gate(self._is_open(pair))
        self._watch(book)
        self._by_slot[slot] = book
        return book

    def _is_open(self, pair: Instrument) -> bool:
        return pair.is_online and self._state is VenueState.ONLINE

    def on_event(self, event: MarketEvent) -> MarketEvent | None:
        """Take one event; return it unless it was a book's."""
        if isinstance(event, Subscribed):
            book = self.books.get(event.symbol)
            if isinstance(book, CompiledBook) and book.depth != event.depth:
                book.retire()
        return super().on_event(event)

    def _on_instruments(self, change: InstrumentsChanged) -> None:
        self._loop.use_screen(None)
        super()._on_instruments(change)
        self._wire()

    def swap_detectors(self, detectors: Iterable[Detector]) -> None:
        """Go on with other detectors, between two events."""
        self._loop.use_screen(None)
        super().swap_detectors(detectors)
        self._wire()

    def _announce(self) -> None:
        """Show the detectors every book again, and the loop which may be traded on."""
        self._take_slots()
        for book in self.books.values():
            if isinstance(book, CompiledBook):
                book.set_gate(self._is_open(book.instrument))
        super()._announce()

    def _take_slots(self) -> None:
        """Give new pairs a place, and the venue's stage the pairs as they are now."""
        if self.instruments is None:
            return  # A venue may tell its state first.
        for symbol in self.instruments:
            if symbol not in self._slots:
                self._slots[symbol] = len(self._slots)
                self._by_slot.append(None)
        self._loop.reserve(len(self._slots))
        pairs = [self.instruments.get(symbol) for symbol in self._slots]
        if pairs != self._pairs:
            self._pairs = pairs
            self._loop.use_venue(self._compiles.compiled_stage(pairs))

    def _wire(self) -> None:
        """Have the one detector with a compiled stage screen in the loop, the others after it."""
        self._take_slots()
        for slot, symbol in enumerate(self._slots):
            if symbol not in self.books and self._by_slot[slot] is not None:
                self._loop.drop(slot)
                self._by_slot[slot] = None
        self._compiled = None
        self._is_called = False
        for detector in self._detectors:
            stage = None
            if self._compiled is None and isinstance(detector, CompiledDetector):
                try:
                    stage = detector.compiled_screen(self._slots, self.books)
                except Exception as error:
                    self._fail(detector, "compiled_screen", error)
            if stage is None:
                self._is_called = True
                continue
            assert isinstance(detector, CompiledDetector)
            self._compiled = detector
            self._loop.use_screen(stage)
        for book in self.books.values():
            self._watch(book)

    def _follow_alive(self, symbol: str, is_alive: bool) -> None:
        book = self.books.get(symbol)
        if book is not None:
            self._watch(book)

    def _watch(self, book: OrderBook) -> None:
        """Tell the loop whether something has to be done for every verified message of a book."""
        if isinstance(book, CompiledBook):
            symbol = book.symbol
            book.set_watched(
                self._is_called or self.episodes.is_alive(symbol) or symbol in self._crossed_since
            )

    # ── what there is to see ─────────────────────────────────────────────────────────────────────

    def tally(self) -> Tally:
        """Return what was counted so far, both paths together."""
        loop, own = self._loop, super().tally()
        return attrs.evolve(
            own,
            book_updates=own.book_updates + loop.updates,
            right=own.right + loop.right,
            skipped=own.skipped + loop.skipped,
            resyncs=own.resyncs + loop.resyncs,
        )

    def durations(self) -> Latency:
        """Return the histogram of frame times, both paths together."""
        both = Latency(self._loop_overhead_ns)
        both.merge(super().durations())
        both.merge_counts(*self._loop.durations())
        return both

    @property
    def counters(self) -> Mapping[str, int]:
        """Everything that was passed over or lost, by reason."""
        counters = dict(super().counters)
        if self._left_to_python:
            counters["left_to_python"] = self._left_to_python
        if self._loop.early:
            counters["before_snapshot"] = counters.get("before_snapshot", 0) + self._loop.early
        return counters
