"""Finds the cycles above the threshold, at a cost of about a microsecond for a book change.

Screening is in floats: a pair is two directed edges, each with a rate that has the fee folded in.
Rates of books we must not look at are 0, so no product through them reaches anything.  When an edge
improves, a cycle through it comes alive if rate · (product of the other two) exceeds the threshold;
when it worsens only cycles that are alive already can change.

A guard band decides what floats can't: screening lets everything pass that is not clearly below the
threshold, and sizing, which is exact, drops what is not strictly above it.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

import attrs

from arbitrade.book import BookSide, OrderBook
from arbitrade.hot import load
from arbitrade.models import Changed, Instruments, Opportunity, Side
from arbitrade.pricing import FeeSchedule
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.graph import Cycle, find_cycles
from arbitrade_triangular.orders import plan_lots
from arbitrade_triangular.sightings import Sightings
from arbitrade_triangular.sizing import optimal_size
from arbitrade_triangular.terms import CycleTerms, TermsTable, ratio

if TYPE_CHECKING:
    from arbitrade_triangular._hot import CompiledScreen

NAME = "triangular"
_COMPILED = "arbitrade_triangular._hot"

_GUARD = 1e-12
"""Relative width of the guard band.  The dozen roundings on the way lose less than 1e-14."""

_NOTHING: tuple[Opportunity, ...] = ()
_SAME, _BID, _ASK = Changed.NOTHING, Changed.BID, Changed.ASK


class TriangularDetector:
    """Satisfies `arbitrade.protocols.Detector`.

    Args:
        instruments: Pairs as the venue reports them; only those online make cycles.
        fees: Taker fees and the asset they are taken in.
        settings: Start assets and threshold.
    """

    def __init__(
        self, instruments: Instruments, fees: FeeSchedule, settings: TriangularSettings
    ) -> None:
        self._table = TermsTable(instruments, fees)
        self._settings = settings
        threshold = 1 + Fraction(settings.min_edge_bps) / 10_000
        self._threshold = threshold.numerator, threshold.denominator
        self._floor = float(threshold) * (1 - _GUARD)
        self._books: Mapping[str, OrderBook] = {}
        self.on_instruments(instruments)

    @property
    def name(self) -> str:
        """Always "triangular"."""
        return NAME

    @property
    def cycles(self) -> tuple[Cycle, ...]:
        """Every directed cycle that is watched, in the order they are reported in."""
        return self._cycles

    @property
    def cycle_count(self) -> int:
        """Directed cycles watched now."""
        return len(self._cycles)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The pairs that take part in a cycle; no other book is worth receiving for us."""
        return tuple(self._pairs)

    def on_instruments(self, instruments: Instruments) -> None:
        """Find the cycles anew and forget every book.

        For 1,400 pairs some 0.1 s the first time, 20 ms when only a few of them changed.
        """
        self._table.update(instruments)
        self._cycles = find_cycles(instruments.values(), self._settings.start_assets)
        self._terms: list[CycleTerms | None] = [None] * len(self._cycles)
        self._sightings = Sightings()
        self._rates: list[float] = []
        self._pairs: dict[str, _Pair] = {}
        self._screen: CompiledScreen | None = None
        for cycle in self._cycles:
            for leg in cycle.legs:
                if leg.symbol not in self._pairs:
                    self._add_pair(leg.symbol)
        self._index_edges()

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        """Return every cycle through this pair that is above the threshold now, in their order.

        A change that leads nowhere allocates nothing and costs one multiplication for each cycle
        through an edge that improved.
        """
        pair = self._pairs.get(book.symbol)
        if pair is None:
            return _NOTHING
        if pair.book is not book:
            pair.book = book
            changed = Changed.BOTH
        if self._screen is not None:
            bid, ask = book.best_bid or 0, book.best_ask or 0
            if self._screen.move(pair.buy // 2, bid, ask, int(changed)):
                return self.live_opportunities(book)
            return _NOTHING
        if changed is not _SAME:
            # PERF: spelled out for either side; a method for both costs another 0.1 µs a change.
            rates = self._rates
            if changed is not _BID:
                keys = book.asks.window
                rate = pair.buy_factor / keys[0] if keys else 0.0
                edge = pair.buy
                before, rates[edge] = rates[edge], rate
                if rate > before:
                    bound = self._floor / rate
                    for one, other in self._others[edge]:
                        if rates[one] * rates[other] > bound:
                            self._admit(edge, bound)
                            break
                elif pair.live:
                    self._expel(pair)
            if changed is not _ASK:
                # Bid keys are negated ticks, and so is the factor.
                keys = book.bids.window
                rate = pair.sell_factor * keys[0] if keys else 0.0
                edge = pair.sell
                before, rates[edge] = rates[edge], rate
                if rate > before:
                    bound = self._floor / rate
                    for one, other in self._others[edge]:
                        if rates[one] * rates[other] > bound:
                            self._admit(edge, bound)
                            break
                elif pair.live:
                    self._expel(pair)
        if pair.live:
            return self._above_threshold(tuple(pair.live), book.timestamp)
        return _NOTHING

    def on_void(self, symbol: str) -> None:
        """Take a pair's rates out, and with them every cycle through it."""
        pair = self._pairs.get(symbol)
        if pair is None:
            return
        if self._screen is not None:
            self._screen.void(pair.buy // 2)
            pair.book = None
            return
        if pair.book is None:
            return
        pair.book = None
        self._rates[pair.buy] = self._rates[pair.sell] = 0.0
        self._expel(pair)

    def compiled_screen(
        self, slots: Mapping[str, int], books: Mapping[str, OrderBook]
    ) -> "CompiledScreen | None":
        """Return the compiled stage that screens from now on, None where nothing is compiled."""
        module = load(_COMPILED)
        if module is None:
            return None
        factors = [
            factor
            for pair in self._pairs.values()
            for factor in (pair.buy_factor, -pair.sell_factor)
        ]
        others = [list(rest) for rest in self._others]
        through = [list(indexes) for indexes in self._through]
        screen: CompiledScreen = module.CompiledScreen(
            factors, others, through, self._edges, self._floor
        )
        places = {symbol: place for place, symbol in enumerate(self._pairs)}
        screen.use_slots([places.get(symbol, -1) for symbol in slots])
        self._screen, self._books = screen, books
        for symbol, place in places.items():
            book = books.get(symbol)
            # What the loop verified was never shown to `on_book`, so the books have to tell.
            if book is not None and book.tradable:
                bid, ask = book.best_bid or 0, book.best_ask or 0
                screen.move(place, bid, ask, int(Changed.BOTH))
        return screen

    def live_opportunities(self, book: OrderBook) -> Iterable[Opportunity]:
        """Return what the compiled stage let pass through this book's pair, sized."""
        pair = self._pairs.get(book.symbol)
        if pair is None or self._screen is None:
            return _NOTHING
        live = self._screen.live(pair.buy // 2)
        return self._above_threshold(live, book.timestamp) if live else _NOTHING

    def _add_pair(self, symbol: str) -> None:
        buy = len(self._rates)
        self._rates += (0.0, 0.0)
        buy_factor, sell_factor = self._table.rate_factors(symbol)
        self._pairs[symbol] = _Pair(buy, buy + 1, buy_factor, -sell_factor)

    def _index_edges(self) -> None:
        """Note the edges of each cycle; and of each edge its cycles with their other two."""
        self._edges = [
            (
                self._pairs[first.symbol].edge(first.side),
                self._pairs[second.symbol].edge(second.side),
                self._pairs[third.symbol].edge(third.side),
            )
            for first, second, third in (cycle.legs for cycle in self._cycles)
        ]
        others: list[list[tuple[int, int]]] = [[] for _ in self._rates]
        through: list[list[int]] = [[] for _ in self._rates]
        for index, (first, second, third) in enumerate(self._edges):
            others[first].append((second, third))
            others[second].append((first, third))
            others[third].append((first, second))
            for edge in (first, second, third):
                through[edge].append(index)
        self._others = [tuple(rest) for rest in others]
        self._through = [tuple(indexes) for indexes in through]

    def _admit(self, edge: int, bound: float) -> None:
        """Put the cycles through an edge that improved among the live ones of their pairs."""
        rates = self._rates
        for index, (one, other) in zip(self._through[edge], self._others[edge], strict=True):
            if rates[one] * rates[other] > bound:
                for leg in self._cycles[index].legs:
                    live = self._pairs[leg.symbol].live
                    if index not in live:
                        insort(live, index)

    def _expel(self, pair: "_Pair") -> None:
        """Drop the live cycles of a pair that are clearly not above the threshold any more."""
        rates = self._rates
        for index in tuple(pair.live):
            first, second, third = self._edges[index]
            if rates[first] * rates[second] * rates[third] <= self._floor:
                for leg in self._cycles[index].legs:
                    self._pairs[leg.symbol].live.remove(index)

    def _above_threshold(self, live: Iterable[int], timestamp: str | None) -> Iterator[Opportunity]:
        for index in live:
            found = self._sized(index, timestamp)
            if found is not None:
                yield found

    def _sized(self, index: int, timestamp: str | None) -> Opportunity | None:
        """Return what a live cycle offers, None if it was let pass by the guard band only."""
        terms = self._terms[index]
        if terms is None:
            # Most cycles never get near the threshold, so theirs are never worked out.
            terms = self._terms[index] = self._table.of(self._cycles[index])
        sides = self._sides(terms)
        again = self._sightings.again(index, sides, timestamp)
        if again is not None:
            return again
        optimum = optimal_size(terms, sides, self._threshold)
        if optimum is None:
            return None
        plan = plan_lots(terms, optimum)
        (spent, spent_per), (back, back_per) = optimum.size, optimum.output
        scale = terms.legs[0].spend_scale
        cycle = terms.cycle
        found = Opportunity(
            detector=NAME,
            key=cycle.key,
            assets=cycle.assets,
            legs=cycle.legs,
            edge_bps=optimum.edge_bps,
            size=ratio(spent, spent_per * scale),
            profit=ratio(back * spent_per - spent * back_per, back_per * spent_per * scale),
            orders=plan.orders,
            lot_profit=plan.profit,
            dust=plan.dust,
            blocked=plan.blocked,
            timestamp=timestamp,
        )
        self._sightings.keep(index, sides, optimum, found)
        return found

    def _sides(self, terms: CycleTerms) -> list[BookSide]:
        """Return what the legs of a live cycle take from."""
        sides = []
        for leg in terms.legs:
            symbol = leg.pair.symbol
            book = self._books[symbol] if self._screen is not None else self._pairs[symbol].book
            assert book is not None, f"{terms.cycle.key} is live without {symbol}"
            sides.append(book.asks if leg.is_buy else book.bids)
        return sides


@attrs.define(eq=False)
class _Pair:
    """A pair's place in the rates, and what is alive on it.

    Args:
        buy: Index of the rate of buying; rate = buy_factor / ticks of the best ask.
        sell: Index of the rate of selling; rate = sell_factor · negated ticks of the best bid.
        book: As last seen; None while void.
        live: Indexes of the cycles through this pair that screening let pass, ascending.
    """

    buy: int
    sell: int
    buy_factor: float
    sell_factor: float
    book: OrderBook | None = None
    live: list[int] = attrs.field(factory=list)

    def edge(self, side: Side) -> int:
        return self.buy if side is Side.BUY else self.sell
