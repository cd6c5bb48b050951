"""A second opinion: the same arithmetic done the slow and obvious way, in fractions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import permutations, product

import attrs
import pytest

from arbitrade.book import OrderBook
from arbitrade.hot import unavailable
from arbitrade.models import Instrument, Instruments, Leg, Side
from arbitrade.pricing import FeeSchedule
from arbitrade_triangular.detector import TriangularDetector

type Segments = list[tuple[Fraction, Fraction]]
"""Per level what a leg needs and what it brings, in whole assets."""


@attrs.frozen
class Answer:
    """What the oracle says about a cycle: product of top rates, best input, best profit."""

    product: Fraction
    size: Fraction
    profit: Fraction


class Oracle:
    """Evaluates the profit at every breakpoint there is and takes the highest."""

    def segments(self, book: OrderBook, side: Side, fees: FeeSchedule) -> Segments:
        pair = book.instrument
        spent, received = fees.charged_in.factors(side, fees.taker_rate(pair.symbol))
        found = []
        for ticks, lots in book.side(side):
            quantity = Fraction(lots, 10**pair.quantity_precision)
            notional = quantity * Fraction(ticks, 10**pair.price_precision)
            if side is Side.BUY:
                found.append((notional * spent, quantity * received))
            else:
                found.append((quantity * spent, notional * received))
        return found

    def answer(
        self, legs: Sequence[Leg], books: Mapping[str, OrderBook], fees: FeeSchedule
    ) -> Answer:
        first, second, third = (self.segments(books[leg.symbol], leg.side, fees) for leg in legs)
        top = Fraction(1)
        for segments in (first, second, third):
            top *= segments[0][1] / segments[0][0]
        inputs = [Fraction(0)]
        inputs += _ends(first)
        inputs += [_inverse(first, b) for b in _ends(second) if b <= _total(first)]
        inputs += [
            _inverse(first, b)
            for c in _ends(third)
            if c <= _total(second) and (b := _inverse(second, c)) <= _total(first)
        ]
        best = (Fraction(0), Fraction(0))
        for size in inputs:
            b = _forward(first, size)
            c = None if b is None else _forward(second, b)
            d = None if c is None else _forward(third, c)
            if d is not None:
                best = max(best, (d - size, -size))
        return Answer(top, -best[1], best[0])

    def end_of(self, legs: Sequence[Segments], levels: Sequence[int]) -> Fraction:
        """Return the input at which the first of these levels is used up."""
        first, second, third = (
            segments[:level] for segments, level in zip(legs, levels, strict=True)
        )
        ends = [_ends(first)[-1]]
        if (b := _ends(second)[-1]) <= _total(first):
            ends.append(_inverse(first, b))
        if (c := _ends(third)[-1]) <= _total(second) and (b := _inverse(second, c)) <= _total(
            first
        ):
            ends.append(_inverse(first, b))
        return min(ends)

    def profit_at(self, legs: Sequence[Segments], size: Fraction) -> Fraction:
        amount: Fraction | None = size
        for segments in legs:
            assert amount is not None
            amount = _forward(segments, amount)
        assert amount is not None
        return amount - size

    def cycles(
        self, instruments: Iterable[Instrument], start_assets: Sequence[str]
    ) -> dict[tuple[Leg, ...], tuple[str, ...]]:
        """Try every three pairs in every order and direction."""
        found = {}
        online = [pair for pair in instruments if pair.is_online]
        for pairs in permutations(online, 3):
            for sides in product(Side, repeat=3):
                flows = [
                    (pair.quote, pair.base) if side is Side.BUY else (pair.base, pair.quote)
                    for pair, side in zip(pairs, sides, strict=True)
                ]
                assets = tuple(source for source, _ in flows)
                joined = all(flows[at][1] == flows[(at + 1) % 3][0] for at in range(3))
                start = next((asset for asset in start_assets if asset in assets), None)
                if joined and len(set(assets)) == 3 and assets[0] == start:
                    legs = tuple(Leg(p.symbol, s) for p, s in zip(pairs, sides, strict=True))
                    found[legs] = assets
        return found


@pytest.fixture(params=["interpreted", "compiled"], scope="module")
def screen(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have every detector screen in Python, or by its compiled stage."""
    if request.param == "interpreted":
        yield
        return
    reason = unavailable("arbitrade_triangular._hot")
    if reason is not None:
        pytest.skip(reason)
    begin = TriangularDetector.on_instruments

    def begin_compiled(detector: TriangularDetector, instruments: Instruments) -> None:
        begin(detector, instruments)
        slots = {symbol: slot for slot, symbol in enumerate(instruments)}
        # The books a detector was shown, as the engine's would be to a compiled one.
        assert detector.compiled_screen(slots, detector._seen) is not None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TriangularDetector, "on_instruments", begin_compiled)
        yield


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle()


def _ends(segments: Segments) -> list[Fraction]:
    total = Fraction(0)
    return [total := total + needed for needed, _ in segments]


def _total(segments: Segments) -> Fraction:
    return sum((brought for _, brought in segments), Fraction(0))


def _forward(segments: Segments, amount: Fraction) -> Fraction | None:
    """Return what `amount` brings, None where the book does not hold enough."""
    brought = Fraction(0)
    for whole_in, whole_out in segments:
        if amount <= whole_in:
            return brought + whole_out * amount / whole_in
        amount -= whole_in
        brought += whole_out
    return brought if amount == 0 else None


def _inverse(segments: Segments, wanted: Fraction) -> Fraction:
    """Return what it takes to be brought `wanted`, at most what the levels give together."""
    needed = Fraction(0)
    for whole_in, whole_out in segments:
        if wanted <= whole_out:
            return needed + whole_in * wanted / whole_out
        wanted -= whole_out
        needed += whole_in
    assert wanted == 0
    return needed
