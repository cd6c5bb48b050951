"""From a book change to the cycles above the threshold: screened in floats, sized exactly.

The hot path of this distribution.  What screening lets pass is sized, unless it shows what it
showed last, and comes with its orders in whole lots or with what stands in their way.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from arbitrade.book import BookSide, OrderBook
from arbitrade.hot import load
from arbitrade.models import Changed, Instruments, Opportunity
from arbitrade.pricing import FeeSchedule
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.graph import DirectedCycle, find_cycles
from arbitrade_triangular.orders import plan_lots
from arbitrade_triangular.screening import Edges, Screen, floor_of, index_edges
from arbitrade_triangular.sightings import Sightings
from arbitrade_triangular.sizing import optimal_size
from arbitrade_triangular.terms import CycleTerms, TermsTable, ratio

if TYPE_CHECKING:
    from arbitrade_triangular._hot import CompiledScreen

NAME = "triangular"
_COMPILED = "arbitrade_triangular._hot"

_NOTHING: tuple[Opportunity, ...] = ()


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
        self._floor = floor_of(threshold)
        self.on_instruments(instruments)

    @property
    def name(self) -> str:
        """The detector's name in settings, opportunities and reports: "triangular"."""
        return NAME

    @property
    def cycles(self) -> tuple[DirectedCycle, ...]:
        """Every directed cycle that is watched, in the order they are reported in."""
        return self._cycles

    @property
    def cycle_count(self) -> int:
        """Directed cycles watched now."""
        return len(self._cycles)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The pairs that take part in a cycle; no other book is worth receiving for us."""
        return tuple(self._places)

    def on_instruments(self, instruments: Instruments) -> None:
        """Find the cycles anew and forget every book.

        For 1,400 pairs some 0.1 s the first time, 20 ms when only a few of them changed.
        """
        self._instruments = instruments
        self._table.update(instruments)
        self._cycles = find_cycles(instruments.values(), self._settings.start_assets)
        self._terms: list[CycleTerms | None] = [None] * len(self._cycles)
        self._sightings = Sightings()
        self._places: dict[str, int] = {}
        for cycle in self._cycles:
            for leg in cycle.legs:
                self._places.setdefault(leg.symbol, len(self._places))
        self._edges = self._index_edges()
        self._screen: Screen | CompiledScreen = Screen(self._edges, self._floor)
        self._seen: dict[str, OrderBook] = {}
        self._books: Mapping[str, OrderBook] = self._seen

    def on_fees(self, fees: FeeSchedule) -> None:
        """Work out every rate anew; as dear as `on_instruments` is the first time."""
        self._table = TermsTable(self._instruments, fees)
        self.on_instruments(self._instruments)

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        """Return every cycle through this pair that is above the threshold now, in their order."""
        symbol = book.symbol
        place = self._places.get(symbol)
        if place is None:
            return _NOTHING
        if self._seen.get(symbol) is not book:
            self._seen[symbol] = book
            changed = Changed.BOTH
        # PERF: `best_bid` and `best_ask` are two properties deep, which is 0.2 µs a change.
        bids, asks = book.bids.window, book.asks.window
        bid, ask = -bids[0] if bids else 0, asks[0] if asks else 0
        if self._screen.move(place, bid, ask, changed):
            return self._above_threshold(self._screen.live(place), book.timestamp)
        return _NOTHING

    def on_void(self, symbol: str) -> None:
        """Take a pair's rates out, and with them every cycle through it."""
        place = self._places.get(symbol)
        if place is not None:
            self._seen.pop(symbol, None)
            self._screen.void(place)

    def compiled_screen(
        self, slots: Mapping[str, int], books: Mapping[str, OrderBook]
    ) -> "CompiledScreen | None":
        """Return the compiled stage that screens from now on, None where nothing is compiled."""
        module = load(_COMPILED)
        if module is None:
            return None
        screen: CompiledScreen = module.CompiledScreen(*self._edges, self._floor)
        screen.use_slots([self._places.get(symbol, -1) for symbol in slots])
        self._screen, self._books = screen, books
        for symbol, place in self._places.items():
            book = books.get(symbol)
            # What the loop verified was never shown to `on_book`, so the books have to tell.
            if book is not None and book.tradable:
                bid, ask = book.best_bid or 0, book.best_ask or 0
                screen.move(place, bid, ask, int(Changed.BOTH))
        return screen

    def live_opportunities(self, book: OrderBook) -> Iterable[Opportunity]:
        """Return what the compiled stage let pass through this book's pair, sized."""
        place = self._places.get(book.symbol)
        live = () if place is None else self._screen.live(place)
        # An iterator is always true, and the engine takes what is true for something found.
        return self._above_threshold(live, book.timestamp) if live else _NOTHING

    def _index_edges(self) -> Edges:
        factors: list[float] = []
        for symbol in self._places:
            factors += self._table.rate_factors(symbol)
        return index_edges(self._cycles, self._places, factors)

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
        books = self._books
        return [
            books[leg.pair.symbol].asks if leg.is_buy else books[leg.pair.symbol].bids
            for leg in terms.legs
        ]
