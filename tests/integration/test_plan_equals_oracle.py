"""What core plans at the best size, wallets and caps aside, is what the naive oracle orders.

Planning and detecting share the lots of a leg (`arbitrade.lots`) and nothing else: the detector
goes leg by leg in integers, the plan in decimals.  The oracle shares nothing with either.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.book import OrderBook
from arbitrade.engine.assembly import make_engine
from arbitrade.engine.engine import Engine
from arbitrade.execution.walk import plan_cycle
from arbitrade.models import Changed, CyclePlan, Instruments, Opportunity
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.synthetic import MarketSettings, SyntheticMarket
from arbitrade.testing.factories import make_instrument, make_instruments
from arbitrade.testing.oracle import ExpectedOrder, Oracle, OracleBook
from arbitrade.testing.strategies import books, fee_schedules
from arbitrade_kraken.venue import KrakenVenue
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector

MARKET = MarketSettings(pairs=45, frames=600, edge_every=40, seed=5)
MAKERS = (Engine, make_engine)
"""Interpreted, and the fastest there is."""

SHALLOWER = ("notional", "multiple of the increment")
"""What blocks a sighting and makes core's walk end a level earlier."""


def plenty(asset: str) -> Decimal:
    return Decimal(10) ** 15


def planned(
    found: Opportunity, held: Mapping[str, OrderBook], listed: Instruments, fees: FeeSchedule
) -> CyclePlan:
    return plan_cycle(
        found.key,
        found.assets,
        found.legs,
        held.get,
        found.size,
        fees,
        instruments=listed,
        available=plenty,
    )


def check(found: Opportunity, plan: CyclePlan, orders: Sequence[ExpectedOrder]) -> None:
    """Compare a plan at the optimum, and what the detector says of lots, with the oracle."""
    assert plan.spent <= found.size
    # No plan is worth more than the optimum.
    assert plan.expected_profit <= found.profit
    assert (found.blocked is None) == bool(orders)
    if not orders:
        assert plan.blocked or any(word in str(found.blocked) for word in SHALLOWER)
        return
    assert plan.blocked is None
    sent = [quote.order for quote in plan.quotes]
    assert sent == list(found.orders)
    assert orders == tuple(
        (one.symbol, one.side.value, Fraction(one.quantity), Fraction(one.limit_price))
        for one in sent
    )
    assert plan.expected_profit == found.lot_profit
    assert [(part.asset, part.amount) for part in plan.dust] == [
        (part.asset, part.amount) for part in found.dust
    ]


@pytest.mark.parametrize("convention", FeeConvention)
@pytest.mark.parametrize("liquidity", [1.0, 0.002])
def test_a_market_is_planned_as_the_oracle_orders(
    convention: FeeConvention, liquidity: float
) -> None:
    fees = FeeSchedule(Decimal("0.0040"), charged_in=convention)
    oracle = Oracle(fees)
    outcomes = {True: 0, False: 0}
    shown: list[Opportunity] = []
    engines = [
        make(
            KrakenVenue(),
            lambda listed: [TriangularDetector(listed, fees, TriangularSettings())],
            lambda found, position: shown.extend(found),
        )
        for make in MAKERS
    ]
    for frame in SyntheticMarket(attrs.evolve(MARKET, liquidity=liquidity)).frames():
        expected = {one.legs: one.orders for one in oracle.on_frame(frame, 0)}
        for engine in engines:
            engine.on_frame(frame)
            for one in shown:
                assert engine.instruments is not None
                plan = planned(one, engine.books, engine.instruments, fees)
                check(one, plan, expected[tuple((leg.symbol, leg.side.value) for leg in one.legs)])
                outcomes[one.blocked is None] += 1
            shown.clear()
    # Liquid books are planned, thin ones meet lots and minimums.
    assert outcomes[True] > 100 if liquidity == 1 else outcomes[False] > 100


ASSETS = ("USD", "BTC", "ETH")


@st.composite
def markets(draw: st.DrawFn) -> tuple[Instruments, dict[str, OrderBook]]:
    """Draw three pairs with steps of all kinds, written either way, often with a profit in them."""
    held = {}
    for spends, brings in zip(ASSETS, (*ASSETS[1:], ASSETS[0]), strict=True):
        is_buy = draw(st.booleans())
        symbol = f"{brings}/{spends}" if is_buy else f"{spends}/{brings}"
        pair = make_instrument(
            symbol,
            price_precision=1,
            quantity_precision=draw(st.integers(1, 3)),
            price_increment=draw(st.sampled_from(["0.1", "0.1", "0.2"])),
            quantity_increment=draw(st.sampled_from(["0.1", "0.2", "0.3"])),
            minimum_quantity=draw(st.integers(0, 2)),
            minimum_notional=draw(st.integers(0, 2)),
        )
        ticks = (6, 11) if is_buy else (10, 16)
        held[symbol] = draw(books(pair, ticks=ticks, lots=(5_000, 90_000), max_levels=2))
    precisions = draw(st.none() | st.fixed_dictionaries({a: st.integers(0, 4) for a in ASSETS}))
    return make_instruments(*(b.instrument for b in held.values()), assets=precisions), held


def oracle_on(listed: Instruments, held: Mapping[str, OrderBook], fees: FeeSchedule) -> Oracle:
    """Return the oracle with the same books, in its own numbers."""
    oracle = Oracle(fees, instruments=dict(listed))
    for name, asset in listed.assets.items():
        oracle.ledger_steps[name] = Fraction(1, 10**asset.precision)
    for symbol, book in held.items():
        pair, plain = book.instrument, OracleBook(book.depth)
        for ours, theirs in ((book.bids, plain.bids), (book.asks, plain.asks)):
            for ticks, lots in ours:
                price = Decimal(ticks).scaleb(-pair.price_precision)
                theirs[price] = Decimal(lots).scaleb(-pair.quantity_precision)
        oracle.books[symbol] = plain
    return oracle


@settings(max_examples=300)
@given(market=markets(), fees=fee_schedules([f"{a}/{b}" for a in ASSETS for b in ASSETS]))
def test_any_three_books_are_planned_as_the_oracle_orders(market, fees) -> None:
    listed, held = market
    detector = TriangularDetector(listed, fees, TriangularSettings(start_assets=("USD",)))
    found: list[Opportunity] = []
    for book in held.values():
        found = list(detector.on_book(book, Changed.BOTH))
    oracle = oracle_on(listed, held, fees)
    for one in found:
        legs = [(leg.symbol, leg.side) for leg in one.legs]
        check(one, planned(one, held, listed, fees), oracle.orders(legs, Fraction(one.size)))
