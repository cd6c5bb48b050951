"""A book whose levels lie elsewhere has the face of one that keeps them itself."""

from hypothesis import given
from hypothesis import strategies as st

from arbitrade import OrderBook
from arbitrade.book import BookState
from arbitrade.engine.compiled_book import CompiledBook
from arbitrade.models import Level
from arbitrade.testing.factories import make_instrument

PAIR = make_instrument("BTC/USD")
BIG = 1 << 63


class PythonStore:
    """What the compiled loop is to a book, in Python."""

    def __init__(self) -> None:
        self.words: dict[tuple[int, int], int] = {}
        self.sides: dict[tuple[int, bool], list[Level]] = {}
        self.times: dict[int, str | None] = {}

    def open(self, slot: int, depth: int) -> None:
        self.words = {key: 0 for key in self.words if key[0] != slot}
        self.sides[slot, False] = self.sides[slot, True] = []
        self.times[slot] = None

    def get(self, slot: int, word: int) -> int:
        return self.words.get((slot, word), 0)

    def put(self, slot: int, word: int, value: int) -> None:
        self.words[slot, word] = int(value)

    def levels(self, slot: int, asks: bool, begin: int = 0, count: int = 1_000_000) -> list[Level]:
        return self.sides[slot, asks][begin : begin + count]

    def load(self, slot: int, bids: list[Level], asks: list[Level]) -> None:
        assert all(n < BIG for side in (bids, asks) for level in side for n in level)
        self.sides[slot, False], self.sides[slot, True] = list(bids), list(asks)
        self.words[slot, 0], self.words[slot, 1] = len(bids), len(asks)

    def timestamp(self, slot: int) -> str | None:
        return self.times[slot]

    def stamp(self, slot: int, timestamp: str | None) -> None:
        self.times[slot] = timestamp


def pair_of_books(depth: int = 10) -> tuple[OrderBook, CompiledBook]:
    return OrderBook(PAIR, depth), CompiledBook(PAIR, depth, PythonStore(), 0)


levels = st.lists(
    st.tuples(st.integers(1, 40), st.one_of(st.just(0), st.integers(1, 99), st.just(BIG))),
    max_size=30,
)


@given(bids=levels, asks=levels, updates=st.lists(st.tuples(levels, levels), max_size=8))
def test_every_change_leads_to_the_same_book(
    bids: list[Level], asks: list[Level], updates: list[tuple[list[Level], list[Level]]]
) -> None:
    plain, compiled = pair_of_books()
    for book in (plain, compiled):
        book.load(bids, asks)
    for update in updates:
        assert plain.apply(*update) == compiled.apply(*update)
        assert list(plain.bids) == list(compiled.bids)
        assert list(plain.asks) == list(compiled.asks)
        assert (len(plain.bids), len(plain.asks)) == (len(compiled.bids), len(compiled.asks))
        assert plain.bids.first(3, 1) == compiled.bids.first(3, 1)
        assert dict(plain.asks.levels) == compiled.asks.levels
        assert plain.bids.digits() == compiled.bids.digits()
        assert plain.asks.digits() == compiled.asks.digits()
        assert plain.bids.window == compiled.bids.window
        assert (plain.best_bid, plain.best_ask) == (compiled.best_bid, compiled.best_ask)
        assert plain.is_crossed == compiled.is_crossed


def test_state_and_time_survive_a_move_of_the_levels_to_python_and_back() -> None:
    _, book = pair_of_books()
    book.load([(10, 1)], [(11, 1)])
    book.state, book.timestamp, book.tradable = BookState.SYNCED, "then", True
    book.apply([(9, BIG)], [])
    assert list(book.bids) == [(10, 1), (9, BIG)]
    assert (book.state, book.timestamp, book.tradable) == (BookState.SYNCED, "then", True)
    book.timestamp = "later"
    book.load([(10, 2)], [(11, 2)])
    assert list(book.bids) == [(10, 2)]
    assert (book.state, book.timestamp, book.tradable) == (BookState.SYNCED, "later", True)


def test_a_retired_book_keeps_its_levels() -> None:
    _, book = pair_of_books()
    book.load([(10, 1)], [(11, 1)])
    book.state = BookState.SYNCED
    book.retire()
    assert list(book.bids) == [(10, 1)]
    assert book.state is BookState.SYNCED
