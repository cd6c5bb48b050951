"""Tries out detectors: books that come, move, go and come back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

import attrs

from arbitrade.book import OrderBook
from arbitrade.models import Changed, Instruments, Opportunity
from arbitrade.plugins.trials.running import raised, timed
from arbitrade.plugins.trials.values import opportunity_problems
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols import Detector
from arbitrade.synthetic.factories import make_book, make_instruments

type MakeDetector = Callable[[Instruments], Detector]
type MakeBooks = Callable[[], list[OrderBook]]

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC")
SAMPLE = make_instruments(*SYMBOLS)
"""Three pairs that form a cycle."""

_PRICES: Mapping[str, tuple[str, str]] = {
    "BTC/USD": ("99", "100"),
    "ETH/BTC": ("0.24", "0.25"),
    "ETH/USD": ("26", "27"),
}
"""Best bid and ask: 100 USD buy a BTC, that buys 4 ETH, those bring 104 USD, before fees."""


def try_detector(make: MakeDetector) -> list[str]:
    """Return everything that is wrong with a detector."""
    checks = (wrong_values, forgotten_voids, forgotten_instruments, lost_when_not_consumed)
    return list(dict.fromkeys(problem for check in checks for problem in check(make)))


def sample_books() -> list[OrderBook]:
    """Return books in sync on which a cycle pays and every spread is wide."""
    return [
        make_book(
            SAMPLE[symbol],
            bids=[(bid, "90"), (_off(bid, "0.9"), "500")],
            asks=[(ask, "90"), (_off(ask, "1.1"), "500")],
            timestamp="2026-01-01T00:00:00.000000Z",
        )
        for symbol, (bid, ask) in _PRICES.items()
    ]


def wrong_values(make: MakeDetector, make_books: MakeBooks = sample_books) -> list[str]:
    """Return what is wrong with what it reports, and what it raises, while a market goes by."""
    trial = _Trial.of(make, make_books())
    for book in trial.books:
        trial.show(book)
    for changed in _moves(trial.books[-1]):
        trial.show(trial.books[-1], changed)
    trial.tell("on_fees", FeeSchedule(Decimal("0.0010")))
    for book in trial.books:
        trial.show(book)
    trial.tell("on_void", "DOGE/USD")  # never heard of
    trial.look_again()
    return trial.problems


def forgotten_voids(make: MakeDetector, make_books: MakeBooks = sample_books) -> list[str]:
    """Return that it reports cycles through a book that is void."""
    trial = _Trial.of(make, make_books())
    for book in trial.books:
        trial.show(book)
    for void in trial.books:
        trial.tell("on_void", void.symbol)
        trial.tell("on_void", void.symbol)
        for book in trial.books:
            if book is not void:
                trial.show_without(void.symbol, book, "on_void", "is void")
        trial.show(void)
    return trial.problems


def forgotten_instruments(make: MakeDetector, make_books: MakeBooks = sample_books) -> list[str]:
    """Return that it reports cycles through a pair that is no longer listed."""
    trial = _Trial.of(make, make_books())
    for book in trial.books:
        trial.show(book)
    *left, gone = trial.books
    trial.tell("on_instruments", Instruments([book.instrument for book in left]))
    for book in left:
        trial.show_without(gone.symbol, book, "on_instruments", "is no longer listed")
    return trial.problems


def lost_when_not_consumed(make: MakeDetector, make_books: MakeBooks = sample_books) -> list[str]:
    """Return that it learns only while somebody iterates over what it returned."""
    heard, unheard = _Trial.of(make, make_books()), _Trial.of(make, make_books())
    for one, other in zip(heard.books[:-1], unheard.books[:-1], strict=True):
        heard.show(one)
        unheard.ask(other, Changed.BOTH)
    if heard.keys(heard.books[-1]) != unheard.keys(unheard.books[-1]):
        unheard.add(
            "on_book",
            "reports something else when what it returned before was not iterated over; take the "
            "book in at once, and leave only the sizing to a generator",
        )
    return unheard.problems


def reports_nothing(make: MakeDetector, make_books: MakeBooks = sample_books) -> list[str]:
    """Return that it reports nothing, where something is to be found."""
    trial = _Trial.of(make, make_books())
    if not [one for book in trial.books for one in trial.show(book)]:
        trial.add("on_book", "reported nothing for these books; bring such as it is about")
    return trial.problems


@attrs.define
class _Trial:
    """A detector, and what was found wrong with it."""

    detector: Detector
    books: list[OrderBook]
    problems: list[str] = attrs.field(factory=list)
    _kept: list[tuple[Opportunity, str]] = attrs.field(factory=list)

    @classmethod
    def of(cls, make: MakeDetector, books: list[OrderBook]) -> "_Trial":
        """Return a fresh detector on these books, of which it has seen none."""
        return cls(make(Instruments([book.instrument for book in books])), books)

    def add(self, member: str, problem: str) -> None:
        """Note what is wrong with what a member did."""
        self.problems.append(f"{self.detector.name}.{member}: {problem}")

    def tell(self, member: str, value: object) -> None:
        """Tell the detector something."""
        with timed(f"{self.detector.name}.{member}"):
            try:
                getattr(self.detector, member)(value)
            except Exception as error:
                self.add(member, raised(error))

    def show(self, book: OrderBook, changed: Changed = Changed.BOTH) -> list[Opportunity]:
        """Show a book and return what is right of what came back."""
        with timed(f"{self.detector.name}.on_book"):
            try:
                found = list(self.ask(book, changed))
            except Exception as error:
                self.add("on_book", raised(error))
                return []
        right = []
        for one in found:
            wrong = list(opportunity_problems(one, self.detector.name, self._instruments()))
            for problem in wrong:
                self.add("on_book", f"reported for {book.symbol}: {problem}")
            if isinstance(one, Opportunity):
                right.append(one)
                self._kept.append((one, repr(one)))
        return right

    def ask(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        """Show a book; what comes back is not looked at yet."""
        try:
            answer: object = self.detector.on_book(book, changed)
        except Exception as error:
            self.add("on_book", raised(error))
            return ()
        if isinstance(answer, Iterable) and not isinstance(answer, str | bytes):
            return answer
        self.add("on_book", f"returned {answer!r:.100}; return an iterable, () for nothing")
        return ()

    def show_without(self, symbol: str, book: OrderBook, told_by: str, why: str) -> None:
        """Show a book, and note if a cycle through another pair is still reported."""
        if any(leg.symbol == symbol for one in self.show(book) for leg in one.legs):
            self.add(
                told_by,
                f"a cycle through {symbol} was reported after it, which {why}; forget its book "
                "until the next on_book",
            )

    def keys(self, book: OrderBook) -> list[str]:
        """Show a book and return the keys of what came back."""
        return [one.key for one in self.show(book)]

    def _instruments(self) -> Instruments:
        return Instruments([book.instrument for book in self.books])

    def look_again(self) -> None:
        """Note what was reported and has changed since."""
        for one, was in self._kept:
            if repr(one) != was:
                self.add(
                    "on_book",
                    f"what it reported changed afterwards, from {was:.80} to {one!r:.80}; make "
                    "everything in an opportunity anew and of tuples",
                )
                return


def _moves(book: OrderBook) -> Iterator[Changed]:
    """Change a book as markets do: deeper, better by a single lot, worse, and as it was."""
    bid, ask = book.best_bid or 1, book.best_ask or 2
    better = bid + (ask - bid) // 2
    yield book.apply([(bid, 10)], [])
    if bid < better < ask:
        yield book.apply([(better, 1)], [])
        yield book.apply([(better, 0)], [])
    yield book.apply([], [(ask, 1)])


def _off(price: str, factor: str) -> Decimal:
    return (Decimal(price) * Decimal(factor)).quantize(Decimal("0.01"))
