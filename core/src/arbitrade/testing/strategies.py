"""Hypothesis strategies for markets: instruments, books, changes to them, fees.

Prices are drawn as ticks from a narrow range, so that small examples hold ties, exact products and
books that touch: what arithmetic gets wrong.  Everything shrinks towards few levels and no fee.
"""

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import strategies as st

from arbitrade.book import OrderBook
from arbitrade.models import Instrument, InstrumentStatus, Level
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.testing.factories import make_book, make_instrument

TICKS = (80, 120)
LOTS = (1, 500)
DEPTH = 10


@st.composite
def instruments(
    draw: st.DrawFn,
    symbol: str = "BTC/USD",
    *,
    statuses: st.SearchStrategy[InstrumentStatus] | None = None,
) -> Instrument:
    """Draw a pair with some precisions, increments of one or more steps, and small minimums."""
    price_precision = draw(st.integers(0, 4))
    quantity_precision = draw(st.integers(0, 4))
    return make_instrument(
        symbol,
        status=InstrumentStatus.ONLINE if statuses is None else draw(statuses),
        price_precision=price_precision,
        quantity_precision=quantity_precision,
        price_increment=Decimal(draw(st.sampled_from((1, 1, 5)))).scaleb(-price_precision),
        quantity_increment=Decimal(draw(st.sampled_from((1, 1, 10)))).scaleb(-quantity_precision),
        minimum_quantity=Decimal(draw(st.integers(0, 20))).scaleb(-quantity_precision),
        minimum_notional=Decimal(draw(st.integers(0, 20))).scaleb(-quantity_precision),
    )


@st.composite
def book_levels(
    draw: st.DrawFn,
    *,
    ticks: tuple[int, int] = TICKS,
    lots: tuple[int, int] = LOTS,
    min_levels: int = 1,
    max_levels: int = 6,
) -> tuple[list[Level], list[Level]]:
    """Draw bids and asks, best first, the best bid below the best ask."""
    low, high = ticks
    first_ask = draw(st.integers(low + max_levels, high - max_levels))
    bid_ticks = draw(
        st.sets(st.integers(low, first_ask - 1), min_size=min_levels, max_size=max_levels)
    )
    ask_ticks = draw(
        st.sets(st.integers(first_ask, high), min_size=min_levels, max_size=max_levels)
    )
    quantity = st.integers(*lots)
    return (
        [(price, draw(quantity)) for price in sorted(bid_ticks, reverse=True)],
        [(price, draw(quantity)) for price in sorted(ask_ticks)],
    )


@st.composite
def books(
    draw: st.DrawFn,
    instrument: Instrument | None = None,
    *,
    depth: int = DEPTH,
    ticks: tuple[int, int] = TICKS,
    lots: tuple[int, int] = LOTS,
    max_levels: int = 6,
) -> OrderBook:
    """Draw a book in sync, tradable, not crossed, with levels on both sides."""
    pair = draw(instruments()) if instrument is None else instrument
    book = make_book(pair, depth=depth)
    bids, asks = draw(book_levels(ticks=ticks, lots=lots, max_levels=min(depth, max_levels)))
    book.load(bids, asks)
    return book


def level_changes(
    *, ticks: tuple[int, int] = TICKS, lots: tuple[int, int] = LOTS, max_size: int = 3
) -> st.SearchStrategy[list[Level]]:
    """Draw one side of an update: levels set, moved or removed, in any order.

    Nothing keeps the book that takes them from being crossed or emptied.
    """
    return st.lists(
        st.tuples(st.integers(*ticks), st.one_of(st.just(0), st.integers(*lots))),
        max_size=max_size,
    )


def fee_rates(maximum: Decimal = Decimal("0.0100")) -> st.SearchStrategy[Decimal]:
    """Draw a taker fee of whole tenths of a basis point, from nothing up."""
    return st.integers(0, int(maximum * 100_000)).map(lambda tenths: Decimal(tenths).scaleb(-5))


@st.composite
def fee_schedules(
    draw: st.DrawFn, symbols: Sequence[str] = (), *, maximum: Decimal = Decimal("0.0100")
) -> FeeSchedule:
    """Draw fees with overrides for some of `symbols`, taken in any of the ways venues do."""
    rates = fee_rates(maximum)
    return FeeSchedule(
        taker=draw(rates),
        overrides={symbol: draw(rates) for symbol in symbols if draw(st.booleans())},
        charged_in=draw(st.sampled_from(FeeConvention)),
    )
