"""What core plans at the size the detector found is what the detector planned, order by order.

The two share no arithmetic: the detector fills the levels its optimum looked at, core walks the
book.  Caps and wallets aside they must agree, whatever the engine under the books.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

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
from arbitrade.testing.strategies import books, fee_schedules
from arbitrade_kraken.venue import KrakenVenue
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector

# How long an example takes depends on who else uses the machine.
MARKET = MarketSettings(pairs=45, frames=1_200, edge_every=40, seed=5)
ENGINES = {"interpreted": Engine, "fastest": make_engine}

SHALLOWER = ("notional", "multiple of the increment")
"""What blocks the detector's orders and makes core's walk end a level earlier."""


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


def check(found: Opportunity, plan: CyclePlan) -> None:
    """Compare a plan at the optimum with the detector's own orders."""
    assert plan.spent <= found.size
    # No plan is worth more than the optimum.
    assert plan.expected_profit <= found.profit
    if found.blocked is None:
        assert plan.blocked is None
        assert [quote.order for quote in plan.quotes] == list(found.orders)
        assert plan.expected_profit == found.lot_profit
        assert [(part.asset, part.amount) for part in plan.dust] == [
            (part.asset, part.amount) for part in found.dust
        ]
    elif plan.blocked is None:
        assert any(word in found.blocked for word in SHALLOWER)


def check_dust(found: Opportunity, plan: CyclePlan) -> None:
    """Compare what dust is worth: to core the plan's average, to the detector what comes next."""
    for ours, theirs in zip(plan.dust, found.dust, strict=False):
        # The average is the better price, but for the ledger's rounding of what it is taken from.
        assert ours.value > theirs.value * Decimal("0.999")


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("convention", FeeConvention)
@pytest.mark.parametrize("liquidity", [1.0, 0.002])
def test_a_market_is_planned_alike(kind: str, convention: FeeConvention, liquidity: float) -> None:
    fees = FeeSchedule(Decimal("0.0040"), charged_in=convention)
    market = SyntheticMarket(attrs.evolve(MARKET, liquidity=liquidity))
    outcomes = {True: 0, False: 0}

    def act(found: Sequence[Opportunity], position: int) -> None:
        for one in found:
            assert engine.instruments is not None
            check(one, planned(one, engine.books, engine.instruments, fees))
            outcomes[one.blocked is None] += 1

    engine = ENGINES[kind](
        KrakenVenue(),
        lambda listed: [TriangularDetector(listed, fees, TriangularSettings())],
        act,
    )
    for frame in market.frames():
        engine.on_frame(frame)
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


@settings(max_examples=300)
@given(market=markets(), fees=fee_schedules([f"{a}/{b}" for a in ASSETS for b in ASSETS]))
def test_any_three_books_are_planned_alike(market, fees) -> None:
    listed, held = market
    detector = TriangularDetector(listed, fees, TriangularSettings(start_assets=("USD",)))
    found: list[Opportunity] = []
    for book in held.values():
        found = list(detector.on_book(book, Changed.BOTH))
    for one in found:
        check(one, planned(one, held, listed, fees))
