"""Plans that lots or minimums block, and the least that would do, checked with the planner."""

from decimal import Decimal

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arbitrade.execution.walk import plan_cycle
from arbitrade.models import CyclePlan, Instruments, Leg, Opportunity, Side
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.risk import refuse_blocked, smallest_input
from arbitrade.risk.core_rules import core_rules
from arbitrade.testing.factories import make_book, make_instrument, make_instruments
from arbitrade.testing.risk import FakeRiskView, make_opportunity

GRAIN = Decimal("1e-20")


class Market:
    """A triangle with a wide profit; the minimum notional is that of its pairs in USD."""

    def __init__(self, minimum_notional: int = 0, **pair: object) -> None:
        made = {
            symbol: make_instrument(
                symbol,
                price_precision=4,
                quantity_precision=4,
                minimum_notional=minimum_notional if symbol.endswith("/USD") else 0,
                **pair,
            )
            for symbol in ("BTC/USD", "ETH/BTC", "ETH/USD")
        }
        self.instruments: Instruments = make_instruments(
            *made.values(), assets={"USD": 4, "BTC": 8, "ETH": 8}
        )
        self.view = FakeRiskView(
            fees=FeeSchedule(Decimal("0.0040")),
            books={
                symbol: make_book(made[symbol], bids=bids, asks=asks)
                for symbol, bids, asks in (
                    ("BTC/USD", [("99.9", 5)], [("100", "0.5"), ("100.5", 50)]),
                    ("ETH/BTC", [("0.0499", 5)], [("0.05", 2), ("0.0501", 500)]),
                    ("ETH/USD", [("5.3", 3), ("5.28", 900)], [("5.4", 5)]),
                )
            },
        )

    def plan(self, found: Opportunity, amount: Decimal) -> CyclePlan:
        return plan_cycle(
            found.key,
            found.assets,
            found.legs,
            self.view.book,
            amount,
            self.view.fees,
            instruments=self.instruments,
        )

    def refusal(self, found: Opportunity, amount: Decimal):
        plan = self.plan(found, amount)
        assert plan.blocked is not None
        return refuse_blocked(
            found,
            plan,
            self.view,
            instruments=self.instruments,
            rules=core_rules(self.view),
            replan=lambda changed: self.plan(found, changed),
        )


def test_cap_below_the_minimum_is_flipped_by_the_setting_that_caps():
    market = Market(minimum_notional=50)
    market.view.set_limits(maximum_notional=20)
    found = make_opportunity(size=500)
    refused = market.refusal(found, Decimal(20))
    assert (refused.rule, refused.value) == ("lots", "20 USD may go in")
    assert "minimum" in refused.reason
    (flip,) = refused.flips
    assert (flip.parameter, flip.current) == ("risk.maximum_notional", 20)
    assert market.plan(found, flip.needed).blocked is None
    assert market.plan(found, flip.current + flip.change / 2).blocked is not None


def test_balance_below_the_minimum_is_flipped_by_the_balance_that_is_needed():
    market = Market(minimum_notional=50)
    market.view.balances = {"USD": Decimal(40)}
    market.view.set_limits(balance_share="0.5", reserve={"USD": 10})
    found = make_opportunity(size=500)
    (flip,) = market.refusal(found, Decimal(20)).flips
    assert (flip.parameter, flip.current) == ("balance.USD", 40)
    market.view.balances = {"USD": flip.needed}
    least = smallest_input(found, market.view, market.instruments)
    (balance,) = (rule for rule in core_rules(market.view) if rule.name == "balance")
    assert least <= balance.maximum_input(found) <= least * (1 + GRAIN)


def test_opportunity_too_small_by_itself_is_flipped_by_its_size():
    market = Market(minimum_notional=50)
    found = make_opportunity(size=20)
    (flip,) = market.refusal(found, Decimal(20)).flips
    assert (flip.parameter, flip.current, flip.unit) == ("size", 20, "USD")
    assert market.plan(found, flip.needed).blocked is None


def test_two_caps_in_the_way_name_no_single_change():
    market = Market(minimum_notional=50)
    market.view.set_limits(maximum_notional=20)
    market.view.balances = {"USD": Decimal(20)}
    refused = market.refusal(make_opportunity(size=500), Decimal(20))
    assert refused.flips == ()
    assert "is the least" in refused.limit


def test_what_is_not_the_size_s_fault_names_no_change():
    market = Market()
    market.view.fees = FeeSchedule(Decimal("0.0300"))  # fees eat the profit at any size
    refused = market.refusal(make_opportunity(size=500), Decimal(500))
    assert refused.flips == ()
    assert "whole lots leave" in refused.reason


def test_books_too_thin_for_the_minimum_name_no_change():
    market = Market(minimum_quantity=100_000)
    assert smallest_input(make_opportunity(), market.view, market.instruments) is None
    assert market.refusal(make_opportunity(size=500), Decimal(500)).flips == ()


def test_plan_that_lots_leave_too_thin_is_flipped_by_the_edge_that_is_asked_for():
    market = Market()
    found = make_opportunity(size=50)
    plan = market.plan(found, Decimal(50))
    assert plan.blocked is None
    edge = plan.expected_profit * 10_000 / plan.spent
    market.view.set_limits(minimum_edge_bps=edge + 10)
    refused = refuse_blocked(found, plan, market.view, instruments=market.instruments)
    (flip,) = refused.flips
    assert (flip.parameter, flip.current) == ("risk.minimum_edge_bps", edge + 10)
    assert plan.expected_profit * 10_000 > flip.needed * plan.spent
    assert plan.expected_profit * 10_000 <= (flip.current + flip.change / 2) * plan.spent
    assert "minimum_edge_bps" in refused.reason


def test_reason_of_the_detector_stands_where_the_plan_has_none():
    market = Market()
    found = make_opportunity(blocked="both orders have to rest")
    plan = attrs.evolve(market.plan(found, Decimal(100)), blocked=None)
    assert refuse_blocked(found, plan, market.view).reason == "both orders have to rest"


def test_least_size_of_a_worked_example():
    # ETH/BTC needs 1 ETH: 0.05 BTC · 1.004 = 0.0502 BTC, in lots of 0.01 BTC 0.06, and those cost
    # 6 USD · 1.004 = 6.024 USD.
    market = Market()
    pairs = {
        symbol: attrs.evolve(book.instrument, quantity_increment=Decimal("0.01"))
        for symbol, book in market.view.books.items()
    }
    pairs["ETH/BTC"] = attrs.evolve(pairs["ETH/BTC"], minimum_quantity=Decimal(1))
    for symbol, book in market.view.books.items():
        book.instrument = pairs[symbol]
    assert smallest_input(make_opportunity(), market.view) == Decimal("6.024")


@pytest.mark.parametrize("convention", FeeConvention)
@given(
    minimum=st.integers(0, 400),
    notional=st.integers(0, 60),
    increment=st.sampled_from(["0.0001", "0.001", "0.05", "0.25"]),
    slippage=st.sampled_from([0, 5, 80]),
    start=st.sampled_from(["USD", "BTC"]),
)
def test_least_size_reaches_every_minimum_and_anything_less_misses_one(
    convention, minimum, notional, increment, slippage, start
):
    market = Market(quantity_increment=increment)
    market.view.fees = FeeSchedule(Decimal("0.0040"), charged_in=convention)
    book = market.view.books["ETH/USD"]
    book.instrument = attrs.evolve(
        book.instrument,
        minimum_quantity=Decimal(minimum) / 100,
        minimum_notional=Decimal(notional),
    )
    legs = [
        Leg("BTC/USD", Side.BUY),
        Leg("ETH/BTC", Side.BUY),
        Leg("ETH/USD", Side.SELL),
    ]
    if start == "BTC":
        legs = [*legs[1:], legs[0]]
    found = make_opportunity(legs)
    bps = Decimal(slippage)
    least = smallest_input(found, market.view, market.instruments, slippage_bps=bps)
    assume(least is not None)

    def blocked(amount: Decimal) -> str | None:
        return plan_cycle(
            found.key,
            found.assets,
            found.legs,
            market.view.book,
            amount,
            market.view.fees,
            instruments=market.instruments,
            slippage_bps=bps,
            # A full wallet: only lots and minimums count, not what a limit price ties up.
            available=lambda asset: Decimal(1_000_000),
        ).blocked

    reason = blocked(least)
    assert reason is None or "whole lots leave" in reason
    reason = blocked(least * (1 - Decimal("1e-9")))
    assert reason is not None
