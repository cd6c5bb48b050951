"""What is reported after any sequence of changes is what looking at everything anew would find."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade import Detector
from arbitrade.book import OrderBook
from arbitrade.models import Changed, Instruments, InstrumentStatus, Opportunity
from arbitrade.pricing import FeeConvention, FeeSchedule, net_edge_bps, to_decimal
from arbitrade.testing.contracts import DetectorContract
from arbitrade.testing.factories import make_book, make_instrument, make_instruments, make_levels
from arbitrade.testing.strategies import book_levels, fee_schedules, level_changes
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector

pytestmark = pytest.mark.usefixtures("screen")

FREE = FeeSchedule(Decimal(0))
DOLLARS = TriangularSettings(start_assets=("USD",))


def triangle(bid: str = "110") -> tuple[TriangularDetector, dict[str, OrderBook]]:
    """One BTC for 100 USD, one ETH for one BTC, `bid` USD for one ETH; backwards it loses half."""
    listed = make_instruments("BTC/USD", "ETH/BTC", "ETH/USD")
    held = {
        "BTC/USD": make_book(listed["BTC/USD"], asks=[("100", "1")], bids=[("50", "1")]),
        "ETH/BTC": make_book(listed["ETH/BTC"], asks=[("1", "1")], bids=[("0.5", "1")]),
        "ETH/USD": make_book(listed["ETH/USD"], asks=[("200", "1")], bids=[(bid, "1")]),
    }
    return TriangularDetector(listed, FREE, DOLLARS), held


def see(detector: TriangularDetector, held: dict[str, OrderBook]) -> list[Opportunity]:
    found: list[Opportunity] = []
    for book in held.values():
        found = list(detector.on_book(book, Changed.BOTH))
    return found


def apply(
    book: OrderBook, *, bids: Iterable[tuple[str, str]] = (), asks: Iterable[tuple[str, str]] = ()
) -> Changed:
    return book.apply(make_levels(book.instrument, bids), make_levels(book.instrument, asks))


class TestContract(DetectorContract):
    @pytest.fixture
    def make_detector(self) -> Callable[[Instruments], Detector]:
        return lambda instruments: TriangularDetector(instruments, FREE, DOLLARS)


def test_nothing_is_found_until_all_three_books_were_seen() -> None:
    detector, held = triangle()
    counts = [len(list(detector.on_book(book, Changed.BOTH))) for book in held.values()]
    assert counts == [0, 0, 1]


def test_a_change_that_leads_nowhere_returns_the_one_shared_empty_tuple() -> None:
    detector, held = triangle("99.99")
    answers = [detector.on_book(book, Changed.BOTH) for book in held.values()]
    answers += [detector.on_book(held["ETH/USD"], changed) for changed in Changed]
    assert all(answer is answers[0] for answer in answers)
    assert answers[0] == ()


def test_a_live_cycle_is_sized_again_when_only_depth_changed() -> None:
    detector, held = triangle()
    (first,) = see(detector, held)
    # Another BTC at 101 and more of the rest: the second one brings 110 for 101.
    for symbol, levels in {
        "BTC/USD": {"asks": [("101", "1")]},
        "ETH/BTC": {"asks": [("1", "2")]},
        "ETH/USD": {"bids": [("110", "2")]},
    }.items():
        changed = apply(held[symbol], **levels)
        assert changed is Changed.NOTHING
        (now,) = detector.on_book(held[symbol], changed)
    assert (first.size, first.profit) == (100, 10)
    assert (now.size, now.profit) == (201, 19)
    assert now.edge_bps == first.edge_bps == 1000


def test_a_live_cycle_is_reported_when_the_other_side_of_a_book_moves() -> None:
    detector, held = triangle()
    see(detector, held)
    changed = apply(held["BTC/USD"], bids=[("60", "1")])
    assert changed is Changed.BID
    assert [now.key for now in detector.on_book(held["BTC/USD"], changed)] == ["USD>BTC>ETH"]


def test_a_cycle_ends_when_its_edge_falls_to_the_threshold() -> None:
    detector, held = triangle()
    see(detector, held)
    # 110 → 100 leaves exactly nothing, and the threshold has to be exceeded.
    changed = apply(held["ETH/USD"], bids=[("110", "0"), ("100", "1")])
    assert not list(detector.on_book(held["ETH/USD"], changed))
    assert not list(detector.on_book(held["BTC/USD"], Changed.NOTHING))
    changed = apply(held["ETH/USD"], bids=[("100.01", "1")])
    assert len(list(detector.on_book(held["ETH/USD"], changed))) == 1
    assert len(list(detector.on_book(held["BTC/USD"], Changed.NOTHING))) == 1


@pytest.mark.parametrize("void", ["BTC/USD", "ETH/BTC", "ETH/USD"])
def test_a_void_book_ends_its_cycles_on_every_pair_until_it_is_seen_again(void: str) -> None:
    detector, held = triangle()
    see(detector, held)
    detector.on_void(void)
    detector.on_void(void)
    detector.on_void("DOGE/USD")
    for symbol in held.keys() - {void}:
        assert detector.on_book(held[symbol], Changed.BOTH) == ()
    assert len(list(detector.on_book(held[void], Changed.BOTH))) == 1


@pytest.mark.parametrize(
    ("symbol", "side", "price", "worse"),
    [
        ("BTC/USD", "asks", "100", "120"),
        ("ETH/BTC", "asks", "1", "1.2"),
        ("ETH/USD", "bids", "110", "90"),
    ],
)
def test_a_cycle_that_ended_costs_nothing_any_more(symbol, side, price, worse) -> None:
    detector, held = triangle()
    nothing = detector.on_book(make_book("DOGE/USD"), Changed.BOTH)
    see(detector, held)
    changed = apply(held[symbol], **{side: [(price, "0"), (worse, "1")]})
    assert detector.on_book(held[symbol], changed) is nothing
    for book in held.values():
        assert detector.on_book(book, Changed.NOTHING) is nothing


def test_a_book_of_a_pair_in_no_cycle_is_passed_over() -> None:
    detector, _ = triangle()
    assert detector.on_book(make_book("DOGE/USD"), Changed.BOTH) == ()
    assert detector.symbols == ("BTC/USD", "ETH/BTC", "ETH/USD")


def test_new_instruments_make_every_book_void_and_can_end_cycles() -> None:
    detector, held = triangle()
    see(detector, held)
    offline = make_instrument("BTC/USD", status=InstrumentStatus.CANCEL_ONLY)
    detector.on_instruments(make_instruments(offline, "ETH/BTC", "ETH/USD"))
    assert detector.cycles == ()
    assert see(detector, held) == []
    detector.on_instruments(make_instruments("BTC/USD", "ETH/BTC", "ETH/USD"))
    assert [cycle.key for cycle in detector.cycles] == ["USD>BTC>ETH", "USD>ETH>BTC"]
    assert detector.on_book(held["ETH/USD"], Changed.BOTH) == ()
    assert len(see(detector, held)) == 1


def test_other_fees_void_what_was_found_and_hold_from_then_on() -> None:
    detector, held = triangle()
    see(detector, held)
    detector.on_fees(FeeSchedule(Decimal("0.01")))
    assert detector.on_book(held["ETH/USD"], Changed.NOTHING) == ()
    # 1.1 · 0.99 / 1.01² = 1.0675424
    assert [f"{now.edge_bps:.3f}" for now in see(detector, held)] == ["675.424"]


def test_cycles_of_one_frame_are_reported_in_the_order_of_the_graph() -> None:
    # EUR is dear against every coin, so that one change of EUR/USD brings all of them alive.
    coins = ("SOL", "ADA", "BTC", "ETH", "DOT")
    symbols = [f"{coin}/{money}" for coin in coins for money in ("EUR", "USD")]
    listed = make_instruments("EUR/USD", *symbols)
    detector = TriangularDetector(listed, FREE, DOLLARS)
    for symbol in symbols:
        book = make_book(listed[symbol], bids=[("99", "1")], asks=[("100", "1")])
        assert list(detector.on_book(book, Changed.BOTH)) == []
    euro = make_book(listed["EUR/USD"], bids=[("1.10", "1000")], asks=[("1.11", "1000")])
    found = [now.key for now in detector.on_book(euro, Changed.BOTH)]
    assert found == [f"USD>{coin}>EUR" for coin in sorted(coins)]
    assert found == [c.key for c in detector.cycles if c.key in found]


def test_an_edge_within_the_guard_band_of_the_threshold_is_decided_exactly() -> None:
    # Buy at 100000 and sell one tick of 10⁻¹⁰ higher: 10⁻¹⁵, hardly more than a float can tell.
    listed = make_instruments(
        *(make_instrument(s, price_precision=10) for s in ("BTC/USD", "ETH/BTC", "ETH/USD"))
    )
    detector = TriangularDetector(listed, FREE, DOLLARS)
    held = {
        "BTC/USD": make_book(listed["BTC/USD"], asks=[("100000", "1")], bids=[("1", "1")]),
        "ETH/BTC": make_book(listed["ETH/BTC"], asks=[("1", "1")], bids=[("0.5", "1")]),
        "ETH/USD": make_book(listed["ETH/USD"], asks=[("300000", "1")], bids=[("100000", "1")]),
    }
    assert see(detector, held) == []
    changed = apply(held["ETH/USD"], bids=[("100000.0000000001", "1")])
    (now,) = detector.on_book(held["ETH/USD"], changed)
    assert now.edge_bps == Decimal("1e-11")
    assert (now.size, now.profit) == (100_000, Decimal("1e-10"))


def test_the_threshold_of_the_settings_holds() -> None:
    listed = make_instruments("BTC/USD", "ETH/BTC", "ETH/USD")
    _, held = triangle()
    for bps, count in (("999.9", 1), ("1000", 0)):
        wanted = attrs.evolve(DOLLARS, min_edge_bps=Decimal(bps))
        assert len(see(TriangularDetector(listed, FREE, wanted), held)) == count


# ── against the oracle ───────────────────────────────────────────────────────────────────────────

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "BTC/EUR", "EUR/ETH", "EUR/USD", "USD/BTC")
STARTS = ("USD", "ETH")
ONLINE, OFFLINE = InstrumentStatus.ONLINE, InstrumentStatus.CANCEL_ONLY
RULES = st.tuples(st.sampled_from((ONLINE,) * 5 + (OFFLINE,)), st.sampled_from((2, 2, 2, 3)))
"""Status and decimals of prices and quantities of a pair."""

EVENTS = st.one_of(
    st.tuples(st.just("update"), st.sampled_from(SYMBOLS), level_changes(), level_changes()),
    st.tuples(st.just("update"), st.sampled_from(SYMBOLS), level_changes(), level_changes()),
    st.tuples(st.just("snapshot"), st.sampled_from(SYMBOLS), book_levels()),
    st.tuples(st.just("void"), st.sampled_from(SYMBOLS)),
    st.tuples(st.just("instruments"), st.lists(RULES, min_size=7, max_size=7)),
    st.tuples(st.just("fees"), fee_schedules(SYMBOLS, maximum=Decimal("0.0020"))),
)


def listed(rules: Iterable[tuple[InstrumentStatus, int]]) -> Instruments:
    return make_instruments(
        *(
            make_instrument(
                symbol, status=status, price_precision=decimals, quantity_precision=decimals
            )
            for symbol, (status, decimals) in zip(SYMBOLS, rules, strict=True)
        )
    )


class Market:
    """Books and the detector on them, driven as the engine does; knows what is void."""

    def __init__(self, detector: TriangularDetector, pairs: Instruments, fees: FeeSchedule) -> None:
        self.detector = detector
        self.pairs = pairs
        self.fees = fees
        self.books = {symbol: make_book(pairs[symbol]) for symbol in SYMBOLS}
        self.seen: set[str] = set()

    def play(self, event: tuple) -> list[Opportunity]:
        """Carry out an event; return what the detector reports for the pair it was about."""
        kind, *rest = event
        if kind == "instruments":
            self.pairs = listed(rest[0])
            for symbol, old in self.books.items():
                # The same ticks and lots, which mean something else where decimals changed.
                self.books[symbol] = make_book(self.pairs[symbol])
                self.books[symbol].load(old.bids, old.asks)
            self.detector.on_instruments(self.pairs)
            self.seen.clear()
            return []
        if kind == "fees":
            self.fees = rest[0]
            self.detector.on_fees(self.fees)
            self.seen.clear()
            return []
        symbol = rest[0]
        if kind == "void":
            self.detector.on_void(symbol)
            self.seen.discard(symbol)
            return []
        book = self.books[symbol]
        if kind == "snapshot":
            book.load(*rest[1])
            changed = Changed.BOTH
        else:
            changed = book.apply(rest[1], rest[2])
        if book.is_one_sided or book.is_crossed or not self.pairs[symbol].is_online:
            self.detector.on_void(symbol)
            self.seen.discard(symbol)
            return []
        if symbol not in self.seen:
            changed = Changed.BOTH
        self.seen.add(symbol)
        return list(self.detector.on_book(book, changed))


@given(
    snapshots=st.tuples(*(book_levels() for _ in SYMBOLS)),
    events=st.lists(EVENTS, max_size=12),
    fees=fee_schedules(SYMBOLS, maximum=Decimal("0.0020")),
    min_edge_bps=st.sampled_from(("0", "0", "100", "-100")).map(Decimal),
)
def test_any_sequence_of_changes_reports_what_a_look_at_everything_would(
    oracle, snapshots, events, fees, min_edge_bps
) -> None:
    pairs = listed([(ONLINE, 2)] * len(SYMBOLS))
    wanted = TriangularSettings(start_assets=STARTS, min_edge_bps=min_edge_bps)
    market = Market(TriangularDetector(pairs, fees, wanted), pairs, fees)
    first = [("snapshot", symbol, one) for symbol, one in zip(SYMBOLS, snapshots, strict=True)]
    threshold = 1 + Fraction(min_edge_bps) / 10_000
    cycles = oracle.cycles(pairs.values(), STARTS)
    for event in (*first, *events):
        found = market.play(event)
        if event[0] == "instruments":
            cycles = oracle.cycles(market.pairs.values(), STARTS)
        expected = {}
        for legs in cycles:
            if all(leg.symbol in market.seen for leg in legs):
                one = oracle.answer(legs, market.books, market.fees)
                if one.product > threshold:
                    rounded = net_edge_bps(one.product), to_decimal(one.size)
                    expected[legs] = (cycles[legs], *rounded, to_decimal(one.profit))
        if event[0] not in {"instruments", "fees"}:
            assert _facts(found) == _through(event[1], expected, market.seen)
        for symbol in market.seen:
            again = list(market.detector.on_book(market.books[symbol], Changed.NOTHING))
            assert _facts(again) == _through(symbol, expected, market.seen)
            order = {one.legs: at for at, one in enumerate(market.detector.cycles)}
            indexes = [order[now.legs] for now in again]
            assert indexes == sorted(indexes)


def _facts(found: Iterable[Opportunity]) -> dict:
    return {now.legs: (now.assets, now.edge_bps, now.size, now.profit) for now in found}


def _through(symbol: str, expected: dict, seen: set[str]) -> dict:
    return {
        legs: facts
        for legs, facts in expected.items()
        if symbol in seen and any(leg.symbol == symbol for leg in legs)
    }


def test_fee_conventions_are_taken_from_the_schedule() -> None:
    listed_ = make_instruments("BTC/USD", "ETH/BTC", "ETH/USD")
    _, held = triangle()
    edges = set()
    for convention in FeeConvention:
        fees = FeeSchedule(Decimal("0.01"), charged_in=convention)
        (now,) = see(TriangularDetector(listed_, fees, DOLLARS), held)
        edges.add(f"{now.edge_bps:.4f}")
    # 1.1 · 0.99³ = 1.0673289; 1.1 · 0.99 / 1.01² = 1.06754240; 1.1 / 1.01³ = 1.06764916
    assert edges == {"673.2890", "675.4240", "676.4916"}


def test_a_pair_without_a_live_cycle_shows_nothing_not_even_an_empty_iterator() -> None:
    """What is true counts as found: the engine would look at the message's age for it."""
    detector, held = triangle(bid="50")
    see(detector, held)
    for symbol in ("BTC/USD", "ETH/USD"):
        assert not detector.live_opportunities(held[symbol])
    assert not detector.live_opportunities(make_book("SOL/USD"))
