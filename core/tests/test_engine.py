"""The order of things: a frame becomes a book, the book is trusted or not, detectors are asked."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import pytest

from arbitrade import Changed, Instruments, OrderBook
from arbitrade.book import BookState
from arbitrade.clock import ReplayClock
from arbitrade.engine.engine import Engine
from arbitrade.errors import MessageError, PluginError
from arbitrade.models import (
    Batch,
    BookDelta,
    BookUnreadable,
    ConnectionLost,
    Instrument,
    InstrumentsChanged,
    InstrumentStatus,
    Leg,
    Level,
    MarketEvent,
    Opportunity,
    Side,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.pricing import FeeSchedule
from arbitrade.testing.factories import make_instrument
from arbitrade.testing.venue import EventVenue

PAIR = "BTC/USD"
OTHER = "ETH/USD"


class Watcher:
    """Sees an opportunity while a best bid is at or above `at`, and notes its calls."""

    name = "watcher"

    def __init__(self, at: int = 10**9) -> None:
        self.at = at
        self.calls: list[tuple[str, str, Changed | None]] = []
        self.is_lazy = True

    def on_instruments(self, instruments: Instruments) -> None:
        self.calls.append(("instruments", ",".join(instruments), None))

    def on_fees(self, fees: FeeSchedule) -> None:
        self.calls.append(("fees", str(fees.taker), None))

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        self.calls.append(("book", book.symbol, changed))
        return self._sized(book) if (book.best_bid or 0) >= self.at else ()

    def on_void(self, symbol: str) -> None:
        self.calls.append(("void", symbol, None))

    def _sized(self, book: OrderBook) -> Iterator[Opportunity]:
        yield opportunity(book.symbol, book.timestamp)


def opportunity(symbol: str, timestamp: str | None, key: str = "USD>BTC>ETH") -> Opportunity:
    return Opportunity(
        detector="watcher",
        key=key,
        assets=(symbol.partition("/")[2], symbol.partition("/")[0]),
        legs=(Leg(symbol, Side.BUY), Leg(symbol, Side.SELL)),
        edge_bps=Decimal(5),
        size=Decimal(100),
        profit=Decimal("0.05"),
        orders=(),
        lot_profit=Decimal(0),
        dust=(),
        blocked="a test",
        timestamp=timestamp,
    )


class Bench:
    """An engine, what it found, and a way to feed it events."""

    def __init__(self, detector: Watcher | None = None, **options: object) -> None:
        self.venue = EventVenue()
        self.detector = detector if detector is not None else Watcher()
        self.found: list[tuple[int, Opportunity]] = []
        self.lost: list[str] = []
        self.engine = Engine(
            self.venue,
            lambda instruments: (self.detector,),
            lambda found, position: self.found.extend((position, one) for one in found),
            on_out_of_sync=self.lost.append,
            **options,  # type: ignore[arg-type]
        )
        self.feed(instruments(make_instrument(PAIR), make_instrument(OTHER)))

    def feed(self, *events: MarketEvent | None) -> MarketEvent | None:
        last = None
        for event in events:
            self.engine.position += 1
            last = self.engine.on_frame(self.venue.frame(event))
        return last

    def snapshot(
        self, bid: int = 100, ask: int = 110, symbol: str = PAIR, timestamp: str | None = None
    ) -> None:
        """A true book of one level a side."""
        self.feed(self.true_delta(symbol, True, [(bid, 5)], [(ask, 5)], timestamp))

    def true_delta(
        self,
        symbol: str,
        is_snapshot: bool,
        bids: list[Level],
        asks: list[Level],
        timestamp: str | None = None,
    ) -> BookDelta:
        """A delta with the checksum of the book it leads to."""
        book = self.engine.books.get(symbol)
        after = OrderBook(make_instrument(symbol), book.depth if book is not None else 10)
        if book is not None and not is_snapshot:
            after.load(list(book.bids), list(book.asks))
            after.apply(bids, asks)
        else:
            after.load(bids, asks)
        checksum = self.venue.checksum(after)
        return BookDelta(symbol, is_snapshot, bids, asks, checksum, timestamp)

    def update(
        self,
        bids: list[Level],
        asks: list[Level],
        symbol: str = PAIR,
        timestamp: str | None = None,
    ) -> None:
        self.feed(self.true_delta(symbol, False, bids, asks, timestamp))

    def corrupt(self, symbol: str = PAIR) -> None:
        self.feed(BookDelta(symbol, False, [(101, 1)], [], 12345, None))

    @property
    def book(self) -> OrderBook:
        return self.engine.books[PAIR]

    def calls(self) -> list[tuple[str, str, Changed | None]]:
        calls, self.detector.calls = self.detector.calls, []
        return calls


def instruments(*pairs: Instrument, is_snapshot: bool = True) -> InstrumentsChanged:
    return InstrumentsChanged(is_snapshot, pairs, ())


def test_a_detector_is_told_which_best_prices_moved_since_it_last_looked() -> None:
    bench = Bench()
    bench.snapshot()
    bench.update([(101, 1)], [])
    bench.update([], [(109, 1)])
    bench.update([(99, 1)], [])
    bench.update([(102, 1)], [(108, 1)])
    assert [changed for _, _, changed in bench.calls()] == [
        Changed.BOTH,
        Changed.BID,
        Changed.ASK,
        Changed.NOTHING,
        Changed.BOTH,
    ]


def test_a_wrong_checksum_takes_the_book_out_until_a_fresh_snapshot() -> None:
    bench = Bench(Watcher(at=100))
    bench.snapshot()
    assert len(bench.found) == 1
    bench.corrupt()
    assert bench.book.state is BookState.OUT_OF_SYNC
    assert bench.lost == [PAIR]
    assert bench.calls()[-1] == ("void", PAIR, None)
    bench.feed(BookDelta(PAIR, False, [(105, 1)], [], 1, None))  # whatever it says, it's skipped
    assert len(bench.found) == 1
    bench.snapshot()
    assert bench.calls() == [("book", PAIR, Changed.BOTH)]
    assert len(bench.found) == 2
    engine = bench.engine
    assert (
        engine.tally().right,
        engine.tally().wrong,
        engine.tally().skipped,
        engine.tally().resyncs,
    ) == (2, 1, 1, 1)


def test_the_other_books_go_on_when_one_is_lost() -> None:
    bench = Bench()
    bench.snapshot()
    bench.snapshot(symbol=OTHER)
    bench.corrupt()
    bench.calls()
    bench.update([(101, 1)], [], symbol=OTHER)
    assert bench.calls() == [("book", OTHER, Changed.BID)]


def test_updates_before_the_snapshot_are_ignored() -> None:
    bench = Bench()
    bench.feed(BookDelta(PAIR, False, [(105, 1)], [], 1, None))
    assert PAIR not in bench.engine.books
    bench.snapshot()
    assert bench.book.best_bid == 100
    assert bench.engine.counters == {"before_snapshot": 1}
    assert bench.engine.tally().wrong == 0


@pytest.mark.parametrize("ask", [100, 99], ids=["locked", "crossed"])
def test_a_crossed_or_locked_book_is_not_tradable_while_it_is(ask: int) -> None:
    bench = Bench(Watcher(at=1))
    bench.snapshot()
    bench.calls()
    bench.update([], [(ask, 1)])
    assert bench.calls() == [("void", PAIR, None)]
    bench.update([], [(120, 1)])  # deeper, still crossed
    assert bench.calls() == []
    assert len(bench.found) == 1
    bench.update([], [(ask, 0)])
    assert bench.calls() == [("book", PAIR, Changed.BOTH)]
    assert bench.engine.counters["crossed"] == 2
    assert bench.engine.tally().wrong == 0


def test_a_book_that_stays_crossed_too_long_is_asked_for_anew() -> None:
    clock = ReplayClock(10**18)
    bench = Bench(clock=clock, max_crossed_s=5.0)
    bench.snapshot()
    bench.update([], [(99, 1)])
    clock.move_to(clock.time_ns + 4 * 10**9)
    bench.update([], [(120, 1)])
    assert bench.lost == []
    clock.move_to(clock.time_ns + 2 * 10**9)
    bench.update([], [(121, 1)])
    assert bench.lost == [PAIR]
    assert bench.book.state is BookState.OUT_OF_SYNC


def test_a_one_sided_book_is_not_tradable() -> None:
    bench = Bench()
    bench.snapshot()
    bench.calls()
    bench.update([], [(110, 0)])
    assert bench.calls() == [("void", PAIR, None)]
    bench.update([], [(111, 1)])
    assert bench.calls() == [("book", PAIR, Changed.BOTH)]


def test_a_pair_that_is_not_online_is_not_tradable_while_its_book_goes_on() -> None:
    bench = Bench()
    bench.snapshot()
    bench.calls()
    halted = make_instrument(PAIR, status=InstrumentStatus.CANCEL_ONLY)
    bench.feed(instruments(halted, is_snapshot=False))
    assert ("void", PAIR, None) in bench.calls()
    bench.update([(101, 1)], [])
    assert bench.calls() == []
    assert bench.engine.tally().right == 2
    bench.feed(instruments(make_instrument(PAIR), is_snapshot=False))
    assert bench.calls() == [
        ("instruments", f"{PAIR},{OTHER}", None),
        ("book", PAIR, Changed.BOTH),
    ]


@pytest.mark.parametrize("state", [s for s in VenueState if s is not VenueState.ONLINE])
def test_an_engine_that_is_not_online_takes_every_book_out(state: VenueState) -> None:
    bench = Bench()
    bench.snapshot()
    bench.snapshot(symbol=OTHER)
    bench.calls()
    bench.feed(VenueStateChanged(state))
    assert bench.calls() == [("void", PAIR, None), ("void", OTHER, None)]
    bench.feed(VenueStateChanged(VenueState.ONLINE))
    assert [call[0] for call in bench.calls()] == ["book", "book"]


def test_a_changed_precision_voids_the_book_until_a_snapshot_in_the_new_one() -> None:
    bench = Bench()
    bench.snapshot()
    bench.calls()
    bench.feed(instruments(make_instrument(PAIR, price_precision=3), is_snapshot=False))
    assert ("void", PAIR, None) in bench.calls()
    assert bench.lost == [PAIR]
    bench.feed(BookDelta(PAIR, False, [(1000, 1)], [], 1, None))
    assert bench.engine.tally().skipped == 1
    bench.snapshot(bid=1000, ask=1100)
    assert bench.book.instrument.price_precision == 3
    assert bench.calls() == [("book", PAIR, Changed.BOTH)]


def test_instruments_that_say_nothing_new_rebuild_nothing() -> None:
    bench = Bench()
    bench.snapshot()
    bench.calls()
    bench.feed(instruments(make_instrument(PAIR), is_snapshot=False))
    assert bench.calls() == []


def test_a_pair_that_is_gone_takes_its_book_with_it() -> None:
    bench = Bench()
    bench.snapshot()
    bench.feed(instruments(make_instrument(OTHER)))
    assert bench.engine.books == {}


def test_an_unreadable_message_loses_the_book_but_only_that_one() -> None:
    bench = Bench()
    bench.snapshot()
    bench.snapshot(symbol=OTHER)
    bench.feed(BookUnreadable(PAIR, "price 1.2345 has more than the pair's 2 decimals"))
    assert bench.lost == [PAIR]
    assert bench.engine.books[OTHER].state is BookState.SYNCED


@pytest.mark.parametrize("event", [Unsubscribed(PAIR), ConnectionLost((PAIR,)), ConnectionLost()])
def test_a_book_nobody_keeps_up_to_date_is_history(event: MarketEvent) -> None:
    bench = Bench(Watcher(at=100))
    bench.snapshot()
    bench.calls()
    assert bench.feed(event) == event
    assert bench.calls() == [("void", PAIR, None)]
    bench.feed(BookDelta(PAIR, False, [(105, 1)], [], 1, None))
    assert bench.engine.tally().wrong == 0
    assert not bench.engine.episodes.is_alive(PAIR)


def test_the_depth_is_the_subscriptions_else_the_options_else_the_snapshots() -> None:
    bench = Bench()
    bench.feed(Subscribed(PAIR, 25))
    bench.snapshot()
    assert bench.book.depth == 25
    asked = Bench(depth=100)
    asked.snapshot()
    assert asked.book.depth == 100
    bare = Bench()
    levels = [(1000 - n, 1) for n in range(12)]
    bare.feed(bare.true_delta(PAIR, True, levels[:12], [(2000, 1)]))
    assert bare.book.depth == 12  # what this venue offers for twelve levels


def test_levels_beyond_the_depth_are_cut_after_the_whole_message() -> None:
    bench = Bench()
    bids: list[Level] = [(100 - n, 1) for n in range(10)]
    bench.feed(bench.true_delta(PAIR, True, bids, [(200, 1)]))
    bench.update([(95, 0), (101, 1), (102, 1)], [])
    assert len(bench.book.bids) == 10
    assert [ticks for ticks, _ in bench.book.bids][:3] == [102, 101, 100]


def test_several_books_in_one_frame_are_taken_in_order() -> None:
    bench = Bench()
    first = bench.true_delta(PAIR, True, [(100, 5)], [(110, 5)])
    second = bench.true_delta(OTHER, True, [(10, 5)], [(11, 5)])
    bench.feed(Batch((first, second)))
    assert [symbol for _, symbol, _ in bench.calls()] == [PAIR, OTHER]


def test_every_verified_message_of_the_pair_reports_what_is_there_also_when_only_depth_moved() -> (
    None
):
    bench = Bench(Watcher(at=100))
    bench.snapshot()  # position 2
    bench.update([(90, 1)], [])  # 3: depth only
    bench.update([(100, 0)], [])  # 4: best bid is 90 now
    bench.update([(103, 2)], [])  # 5
    assert [position for position, _ in bench.found] == [2, 3, 5]


def test_an_episode_lives_from_first_to_last_sighting() -> None:
    ended = []
    bench = Bench(Watcher(at=100), on_episode_end=ended.append)
    bench.snapshot(timestamp="2026-09-14T08:21:36.000000Z")
    bench.update([(90, 1)], [], timestamp="2026-09-14T08:21:36.500000Z")
    bench.update([(100, 0)], [], timestamp="2026-09-14T08:21:37.250000Z")
    (episode,) = ended
    assert episode.first_seen == "2026-09-14T08:21:36.000000Z"
    assert episode.last_seen == "2026-09-14T08:21:36.500000Z"
    assert episode.ended == "2026-09-14T08:21:37.250000Z"
    assert episode.lifetime_s == 0.5
    assert episode.sightings == 2
    assert bench.engine.episodes.begun == 1


def test_nothing_is_reported_from_a_message_older_than_the_lag_allowed() -> None:
    clock = ReplayClock(1_789_374_100 * 10**9)  # 2026-09-14T08:21:40Z
    bench = Bench(Watcher(at=100), clock=clock, max_lag_s=2.0)
    bench.snapshot(timestamp="2026-09-14T08:21:39.000000Z")
    assert len(bench.found) == 1
    bench.update([(101, 1)], [], timestamp="2026-09-14T08:21:37.900000Z")
    assert len(bench.found) == 1
    assert bench.engine.counters["stale"] == 1
    assert bench.engine.tally().right == 2  # the book itself goes on


def test_swapped_detectors_learn_every_book_and_report_nothing_by_that() -> None:
    bench = Bench(Watcher(at=100))
    bench.snapshot()
    found = len(bench.found)
    other = Watcher(at=100)
    bench.engine.swap_detectors([other])
    assert other.calls == [("book", PAIR, Changed.BOTH)]
    assert len(bench.found) == found
    bench.engine.swap_detectors([])
    bench.update([(101, 1)], [])
    assert len(bench.found) == found


def test_detectors_are_told_of_other_fees_and_stay_who_they_are() -> None:
    bench = Bench(Watcher(at=100))
    bench.snapshot()
    found = len(bench.found)
    bench.calls()
    bench.engine.on_fees(FeeSchedule(Decimal("0.0026")))
    assert bench.calls() == [("fees", "0.0026", None), ("book", PAIR, Changed.BOTH)]
    assert bench.engine.detectors == (bench.detector,)
    assert len(bench.found) == found


class Broken(Watcher):
    """Raises where it is told to."""

    name = "broken"

    def __init__(self, is_lazy: bool) -> None:
        super().__init__(at=1)
        self.is_lazy = is_lazy

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        if not self.is_lazy:
            raise ZeroDivisionError("a bug")
        return self._sized(book)

    def _sized(self, book: OrderBook) -> Iterator[Opportunity]:
        raise ZeroDivisionError("a bug")
        yield opportunity(book.symbol, None)


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_detector_that_raises_stops_us_by_name_with_the_way_out(is_lazy: bool) -> None:
    bench = Bench(Broken(is_lazy))
    with pytest.raises(PluginError, match=r"broken raised ZeroDivisionError: a bug; .*disable"):
        bench.snapshot()


def test_several_detectors_are_all_asked() -> None:
    bench = Bench(Watcher(at=100))
    other = Watcher(at=100)
    bench.engine.swap_detectors([bench.detector, other])
    bench.snapshot()
    assert len(bench.found) == 2


def test_a_frame_that_is_no_book_comes_back_to_whoever_owns_the_connection() -> None:
    bench = Bench()
    state = VenueStateChanged(VenueState.ONLINE)
    assert bench.feed(state) is state
    assert bench.feed(None) is None
    assert bench.feed(bench.true_delta(PAIR, True, [(1, 1)], [(2, 1)])) is None


def test_a_book_of_a_pair_nobody_named_is_an_error() -> None:
    bench = Bench()
    with pytest.raises(MessageError, match="NEW/USD"):
        bench.feed(BookDelta("NEW/USD", True, [(1, 1)], [(2, 1)], None, None))
