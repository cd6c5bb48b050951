"""`OrderBook` against a plain model: two dicts, sorted whenever somebody looks."""

import json
from collections.abc import Sequence
from decimal import Decimal
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.book import BookState, OrderBook
from arbitrade.models import Changed, Level, Side
from arbitrade.synthetic import MarketSettings, SyntheticMarket
from arbitrade.testing.factories import make_instrument

DEPTHS = st.sampled_from([1, 3, 10, 12, 25])

# Few prices, so that messages hit the same ones, remove what is not there and run out of levels.
TICKS = st.integers(1, 40)
LOTS = st.one_of(st.just(0), st.integers(1, 9), st.integers(2**51, 2**60))
LEVELS = st.lists(st.tuples(TICKS, LOTS), max_size=14)
MESSAGES = st.lists(st.tuples(LEVELS, LEVELS), max_size=25)


class PlainBook:
    """What the venue's documentation says, word for word."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def apply(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        for side, changes, best_first in (
            (self.bids, bids, True),
            (self.asks, asks, False),
        ):
            for ticks, lots in changes:
                if lots:
                    side[ticks] = lots
                else:
                    side.pop(ticks, None)
            for ticks in sorted(side, reverse=best_first)[self.depth :]:
                del side[ticks]

    def levels(self) -> tuple[list[Level], list[Level]]:
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


def digits(levels: Sequence[Level]) -> bytes:
    return "".join(f"{ticks}{lots}" for ticks, lots in levels[:10]).encode()


def new_book(depth: int = 10) -> OrderBook:
    return OrderBook(make_instrument(), depth)


def levels_of(book: OrderBook) -> tuple[list[Level], list[Level]]:
    return list(book.bids), list(book.asks)


@given(depth=DEPTHS, snapshot=st.tuples(LEVELS, LEVELS), messages=MESSAGES)
def test_book_equals_the_plain_model_after_any_messages(
    depth: int, snapshot: tuple[list[Level], list[Level]], messages: list[tuple[list[Level], ...]]
) -> None:
    book, model = new_book(depth), PlainBook(depth)
    book.load(*snapshot)
    model.apply(*snapshot)
    assert levels_of(book) == model.levels()
    for bids, asks in messages:
        before = model.levels()
        changed = book.apply(bids, asks)
        model.apply(bids, asks)
        after = model.levels()
        assert levels_of(book) == after
        for flag, side in ((Changed.BID, 0), (Changed.ASK, 1)):
            was = before[side][0][0] if before[side] else None
            now = after[side][0][0] if after[side] else None
            assert (flag in changed) == (was != now)


@given(depth=DEPTHS, messages=MESSAGES)
def test_window_and_digits_are_what_recomputing_them_gives(
    depth: int, messages: list[tuple[list[Level], list[Level]]]
) -> None:
    book, model = new_book(depth), PlainBook(depth)
    for bids, asks in messages:
        book.apply(bids, asks)
        model.apply(bids, asks)
        model_bids, model_asks = model.levels()
        assert book.bids.digits() == digits(model_bids)
        assert book.asks.digits() == digits(model_asks)
        assert book.bids.window == [-ticks for ticks, _ in model_bids[:10]]
        assert book.asks.window == [ticks for ticks, _ in model_asks[:10]]
        assert book.best_bid == (model_bids[0][0] if model_bids else None)
        assert book.best_ask == (model_asks[0][0] if model_asks else None)
        for begin, count in ((0, 2), (1, 1), (8, 4), (11, 30), (99, 1)):
            assert book.bids.first(count, begin) == model_bids[begin : begin + count]
            assert book.asks.first(count, begin) == model_asks[begin : begin + count]
        assert len(book.bids) == len(model_bids)
        assert book.is_one_sided == (not model_bids or not model_asks)


@given(depth=DEPTHS, messages=MESSAGES)
def test_replaying_deltas_gives_the_book_a_snapshot_of_their_result_gives(
    depth: int, messages: list[tuple[list[Level], list[Level]]]
) -> None:
    replayed, loaded = new_book(depth), new_book(depth)
    for bids, asks in messages:
        replayed.apply(bids, asks)
    loaded.load(*levels_of(replayed))
    assert levels_of(loaded) == levels_of(replayed)
    assert loaded.bids.digits() == replayed.bids.digits()
    assert loaded.asks.digits() == replayed.asks.digits()


@given(messages=MESSAGES)
def test_book_is_never_crossed_by_valid_deltas(
    messages: list[tuple[list[Level], list[Level]]],
) -> None:
    """Bids that stay below every ask can't cross, whatever the order of messages."""
    book = new_book()
    for bids, asks in messages:
        book.apply(bids, [(ticks + 40, lots) for ticks, lots in asks])
        assert not book.is_crossed


def test_bid_at_the_ask_is_locked_which_counts_as_crossed() -> None:
    book = new_book()
    book.load([(99, 1)], [(100, 1)])
    assert not book.is_crossed
    book.apply([(100, 1)], [])
    assert book.is_crossed


def test_level_that_falls_out_of_the_window_does_not_come_back_as_a_ghost() -> None:
    book = new_book(10)
    book.load([], [(ticks, 5) for ticks in range(100, 110)])
    book.apply([], [(99, 5)])
    assert [ticks for ticks, _ in book.asks] == list(range(99, 109))
    book.apply([], [(99, 0)])
    assert [ticks for ticks, _ in book.asks] == list(range(100, 109))


def test_cut_happens_once_after_the_whole_message() -> None:
    """A better level comes in before a worse one goes: nothing may be lost between the two."""
    book = new_book(10)
    book.load([], [(ticks, 5) for ticks in range(100, 110)])
    book.apply([], [(98, 1), (99, 1), (100, 0), (101, 0)])
    assert [ticks for ticks, _ in book.asks] == [98, 99, *range(102, 110)]


def test_later_of_two_entries_for_one_price_counts() -> None:
    book = new_book()
    book.load([(99, 1), (99, 2)], [(100, 1)])
    book.apply([(98, 7), (98, 0)], [(101, 0), (101, 3)])
    assert levels_of(book) == ([(99, 2)], [(100, 1), (101, 3)])


def test_new_book_waits_for_its_snapshot() -> None:
    book = new_book()
    assert book.state is BookState.WAITING
    assert not book.tradable
    assert book.is_one_sided
    assert not book.is_crossed


def test_cleared_book_holds_nothing() -> None:
    book = new_book()
    book.load([(99, 1)], [(100, 1)])
    book.clear()
    assert levels_of(book) == ([], [])
    assert book.bids.digits() == b""


@given(levels=st.dictionaries(TICKS, st.integers(1, 50), max_size=14), lots=st.integers(0, 800))
def test_walk_takes_the_best_levels_first_and_adds_up(levels: dict[int, int], lots: int) -> None:
    book = new_book(25)
    book.load([], list(levels.items()))
    walk = book.walk(Side.BUY, lots)
    units = [ticks for ticks, held in sorted(levels.items()) for _ in range(held)][:lots]
    assert walk.lots == len(units)
    assert walk.cost_units == sum(units)
    assert walk.worst_ticks == (units[-1] if units else None)
    assert walk.levels == len(set(units))


def test_volume_weighted_price_of_a_sale_comes_from_the_bids() -> None:
    book = new_book()
    book.load([(99, 2), (97, 10)], [(100, 1)])
    walk = book.walk(Side.SELL, 5)
    # 2 lots at 99 and 3 at 97: (198 + 291) / 5 = 97.8 ticks.
    assert Decimal(walk.cost_units) / walk.lots == Decimal("97.8")
    assert walk.worst_ticks == 97


def checksum(book: OrderBook) -> int:
    return crc32(book.bids.digits(), crc32(book.asks.digits()))


def scaled(levels: Sequence[tuple[str, str]], precision: int) -> list[Level]:
    return [
        (int(Decimal(price).scaleb(precision)), int(Decimal(quantity).scaleb(8)))
        for price, quantity in levels
    ]


def test_checksum_of_the_venues_published_example_is_reproduced() -> None:
    asks = [
        ("45285.2", "0.00100000"),
        ("45286.4", "1.54571953"),
        ("45286.6", "1.54571109"),
        ("45289.6", "1.54560911"),
        ("45290.2", "0.15890660"),
        ("45291.8", "1.54553491"),
        ("45294.7", "0.04454749"),
        ("45296.1", "0.35380000"),
        ("45297.5", "0.09945542"),
        ("45299.5", "0.18772827"),
    ]
    bids = [
        ("45283.5", "0.10000000"),
        ("45283.4", "1.54582015"),
        ("45282.1", "0.10000000"),
        ("45281.0", "0.10000000"),
        ("45280.3", "1.54592586"),
        ("45279.0", "0.07990000"),
        ("45277.6", "0.03310103"),
        ("45277.5", "0.30000000"),
        ("45277.3", "1.54602737"),
        ("45276.6", "0.15445238"),
    ]
    book = new_book()
    book.load(scaled(bids, 1), scaled(asks, 1))
    assert book.asks.digits().startswith(b"452852100000")
    assert checksum(book) == 3310070434


def test_checksum_of_a_book_with_few_levels_holds_on_snapshot_and_update() -> None:
    book = new_book()
    book.load(
        scaled([("172.28", "3.07500000"), ("172.25", "41.00000000"), ("172.10", "0.06000000")], 2),
        scaled([("172.31", "14.20000000"), ("172.33", "0.58100000"), ("172.40", "210")], 2),
    )
    assert checksum(book) == 2006718726
    book.apply(
        scaled([("172.29", "1.25000000")], 2),
        scaled([("172.31", "0.00000000"), ("172.41", "5.00000000")], 2),
    )
    assert checksum(book) == 4111740976


@pytest.mark.parametrize("depth", [10, 25])
def test_book_follows_a_synthetic_market_through_every_frame(depth: int) -> None:
    """Truth and checksums come from the market, which shares no code with the book."""
    market = SyntheticMarket(MarketSettings(seed=11, pairs=12, frames=2_000, depth=depth))
    books: dict[str, OrderBook] = {}
    verified = 0
    for frame in market.frames():
        message = json.loads(frame, parse_float=Decimal)
        if message.get("channel") != "book":
            continue
        (entry,) = message["data"]
        pair = market.instruments[entry["symbol"]]
        bids, asks = (
            [
                (
                    int(Decimal(level["price"]).scaleb(pair.price_precision)),
                    int(Decimal(level["qty"]).scaleb(pair.quantity_precision)),
                )
                for level in entry[side]
            ]
            for side in ("bids", "asks")
        )
        book = books.setdefault(pair.symbol, OrderBook(pair, depth))
        (book.load if message["type"] == "snapshot" else book.apply)(bids, asks)
        assert levels_of(book) == market.levels(pair.symbol)
        assert checksum(book) == entry["checksum"]
        verified += 1
    assert verified > 2_000
