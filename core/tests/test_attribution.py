"""Where the edge went: every term by its worked example, and the sum to the last digit."""

from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.accounting.attribution import CycleJourney, LegJourney, attribute
from arbitrade.execution.walk import plan_cycle
from arbitrade.models import Attribution, CyclePlan, Leg, LegQuote, Side
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.testing.factories import make_book, make_instruments

D = Decimal
ASSETS = ("USD", "BTC", "ETH")
LEGS = (Leg("BTC/USD", Side.BUY), Leg("ETH/BTC", Side.BUY), Leg("ETH/USD", Side.SELL))
FEES = FeeSchedule(D("0.001"))


def quote(spent: str, received: str, fee: str = "0", fee_asset: str = "USD") -> LegQuote:
    """Return a quote of which only the money matters."""
    return LegQuote(
        symbol="BTC/USD",
        side=Side.BUY,
        quantity=D(1),
        limit_price=D(1),
        worst_price=D(1),
        vwap=D(1),
        spent=D(spent),
        received=D(received),
        fee=D(fee),
        fee_asset=fee_asset,
        left=D(0),
        levels=1,
    )


# The plan: 1000 USD → 2 BTC → 40 ETH → 1010 USD.  A BTC is worth 505 USD, an ETH 25.25.
FIRST = quote("1000", "2", "1", "USD")
SECOND = quote("2", "40", "0.002", "BTC")
THIRD = quote("40", "1010", "1.01", "USD")


def filled(planned: LegQuote, **changes: Any) -> LegJourney:
    """Return a leg that went as planned, but for what a test changes."""
    plain = LegJourney(
        planned,
        planned,
        planned,
        planned,
        planned.spent,
        planned.received,
        {planned.fee_asset: planned.fee},
    )
    return attrs.evolve(plain, **changes)


def attributed(
    first: LegJourney | None = None,
    second: LegJourney | None = None,
    third: LegJourney | None = None,
    **rest: Any,
) -> Attribution:
    legs = (first or filled(FIRST), second or filled(SECOND), third or filled(THIRD))
    return attribute(CycleJourney(ASSETS, legs, **rest))


def terms(found: Attribution) -> dict[str, Decimal]:
    """Return the terms that are not 0."""
    assert found.expected - sum(found.terms().values()) == found.realised
    return {name: value for name, value in found.terms().items() if value}


def test_a_cycle_that_went_as_planned_lost_nothing() -> None:
    found = attributed()
    assert (found.expected, found.realised) == (10, 10)
    assert terms(found) == {}


def test_books_that_moved_are_told_apart_by_when() -> None:
    # The third leg would have brought 1007 at sending, 1004 at the ack, 999 at the fill; and did.
    third = filled(
        THIRD,
        at_send=quote("40", "1007"),
        at_ack=quote("40", "1004"),
        at_fill=quote("40", "999"),
        received=D(999),
        fees={"USD": D("0.999")},
    )
    found = attributed(third=third)
    assert found.realised == -1
    # 0.999 of 999.999 is what 1.01 of 1011.01 is: no more fee than expected.
    assert terms(found) == {
        "moved_before_send": D(3),
        "moved_send_to_ack": D(3),
        "moved_ack_to_fill": D(5),
    }


def test_a_loss_on_an_early_leg_is_carried_on_at_the_plans_rates() -> None:
    # 1.99 BTC instead of 2: 0.01 · 505 = 5.05 USD, and the legs after it go on with less.
    first = filled(FIRST, at_fill=quote("1000", "1.99"), received=D("1.99"))
    second = filled(
        SECOND,
        **dict.fromkeys(("at_send", "at_ack", "at_fill"), quote("1.99", "39.8")),
        spent=D("1.99"),
        received=D("39.8"),
        fees={"BTC": D("0.00199")},
    )
    third = filled(
        THIRD,
        **dict.fromkeys(("at_send", "at_ack", "at_fill"), quote("39.8", "1004.95")),
        spent=D("39.8"),
        received=D("1004.95"),
        fees={"USD": D("1.00495")},
    )
    found = attributed(first, second, third)
    assert found.realised == D("4.95")
    assert terms(found) == {"moved_ack_to_fill": D("5.05")}


def test_what_nobody_knows_goes_to_the_next_that_is_known() -> None:
    third = filled(
        THIRD,
        at_send=None,
        at_ack=quote("40", "1004"),
        at_fill=None,
        received=D(1000),
        fees={},
    )
    found = attributed(third=third)
    # The fee nobody charged: 1.01 / 1011.01 · 1000 = 0.999… less than expected.
    assert round(found.fees, 3) == D("-0.999")
    assert terms(found) == {
        "moved_send_to_ack": D(6),
        "fees": found.fees,
        "depth_misjudged": 4 - found.fees,
    }


def test_a_fill_worse_than_the_book_of_its_moment_is_depth_misjudged() -> None:
    third = filled(THIRD, received=D("1009"), fees={"USD": D("1.009")})
    found = attributed(third=third)
    # Fees fell with the notional: 1.01 · 1010.009 / 1011.01.
    assert found.fees + found.depth_misjudged == 1
    assert abs(found.fees) < D("0.00001")


def test_a_fee_above_the_expected_one_is_a_fee() -> None:
    # 2.01 USD instead of 1.01 came off the same 1011.01.
    third = filled(THIRD, received=D(1009), fees={"USD": D("2.01")})
    assert terms(attributed(third=third)) == {"fees": D(1)}
    # On the first leg it came on top of the same 999: the book isn't to blame either.
    first = filled(FIRST, spent=D(1001), fees={"USD": D(2)})
    assert terms(attributed(first)) == {"fees": D(1)}


def test_a_fee_in_another_asset_than_expected_is_valued_at_the_plans_rates() -> None:
    # The first leg's fee was taken in BTC: 0.01 · 505 = 5.05 USD instead of 1.
    first = filled(FIRST, spent=D(999), received=D("1.99"), fees={"BTC": D("0.01")})
    found = attributed(first)
    assert found.fees == D("4.05")
    assert found.depth_misjudged == 0
    # The 0.01 BTC were missing for the second leg, which spent them all the same.
    assert found.rounding_and_dust == D("-5.05")
    assert found.realised == 11
    terms(found)


def test_a_fee_in_a_third_asset_is_on_top() -> None:
    # 2 USD charged for the leg from BTC to ETH, beside 0.002 BTC.
    second = filled(SECOND, fees={"BTC": D("0.002"), "USD": D(2), "KFEE": D(7)})
    found = attributed(second=second)
    assert found.realised == 8
    assert terms(found) == {"fees": D(2)}


def test_dust_beyond_the_plans_is_dust() -> None:
    # 0.5 ETH were not sold, for 12.625 USD less.
    short = quote("39.5", "997.375", "0.997375")
    third = filled(
        THIRD,
        **dict.fromkeys(("at_send", "at_ack", "at_fill"), short),
        spent=D("39.5"),
        received=D("997.375"),
        fees={"USD": D("0.997375")},
    )
    found = attributed(third=third)
    assert found.realised == D("-2.625")
    assert terms(found) == {"rounding_and_dust": D("12.625")}


def test_dust_of_the_plan_is_expected() -> None:
    second = quote("1.99", "40", "0.002", "BTC")
    # 0.01 BTC of the plan were never to be sold: nothing is lost against it.
    assert terms(attributed(second=filled(second))) == {}


def test_the_ledgers_last_digit_is_rounding() -> None:
    third = filled(THIRD, rounding={"USD": D("-0.00004"), "ETH": D("0.1")})
    found = attributed(third=third)
    assert found.realised == D("9.99996")
    assert terms(found) == {"rounding_and_dust": D("0.00004")}


def test_a_way_out_costs_what_the_plan_would_have_made_of_it() -> None:
    # The third leg was never sent; 40 ETH went back for 980 USD instead of 1010.
    third = LegJourney(THIRD, is_sent=False)
    found = attributed(third=third, unwound={"ETH": D(-40), "USD": D(980)})
    assert found.realised == -20
    assert terms(found) == {"unwinding": D(30)}


def test_what_is_held_on_purpose_counts_as_unwinding() -> None:
    third = LegJourney(THIRD, is_sent=False)
    found = attributed(third=third, held={"ETH": D(40)})
    assert found.realised == -1000
    assert terms(found) == {"unwinding": D(1010)}


def test_an_asset_off_the_plan_is_worth_nothing_to_it() -> None:
    third = LegJourney(THIRD, is_sent=False)
    found = attributed(third=third, unwound={"ETH": D(-40), "SOL": D(5)})
    assert terms(found) == {"unwinding": D(1010)}


def test_a_cycle_of_which_nothing_was_sent_lost_all_before() -> None:
    legs = [LegJourney(planned, is_sent=False) for planned in (FIRST, SECOND, THIRD)]
    found = attributed(*legs)
    assert found.realised == 0
    assert terms(found) == {"moved_before_send": D(10)}


def test_a_first_leg_that_did_not_fill_because_the_book_was_gone() -> None:
    nothing = quote("0", "0")
    first = filled(FIRST, at_ack=nothing, at_fill=nothing, spent=D(0), received=D(0), fees={})
    rest = [LegJourney(planned, is_sent=False) for planned in (SECOND, THIRD)]
    found = attributed(first, *rest)
    assert terms(found) == {"moved_send_to_ack": D(10)}


@pytest.mark.parametrize("convention", FeeConvention)
def test_a_real_plan_carried_out_to_the_letter_lost_nothing_but_fee_rounding(convention) -> None:
    listed = make_instruments("BTC/USD", "ETH/BTC", "ETH/USD")
    held = {
        "BTC/USD": make_book("BTC/USD", asks=[("50000", "0.10"), ("50025", "0.20")]),
        "ETH/BTC": make_book("ETH/BTC", asks=[("0.05", "2"), ("0.06", "3")]),
        "ETH/USD": make_book("ETH/USD", bids=[("3125", "2.5"), ("3018", "3")]),
    }
    fees = attrs.evolve(FEES, charged_in=convention)
    plan: CyclePlan = plan_cycle(
        "key", ASSETS, LEGS, held.get, D(9000), fees, instruments=listed, available=lambda _: D(9e9)
    )
    assert plan.blocked is None
    found = attribute(CycleJourney(ASSETS, [filled(one) for one in plan.quotes]))
    assert found.expected == found.realised == plan.expected_profit
    assert terms(found) == {}


# ── what must always hold ────────────────────────────────────────────────────────────────────────

# Whatever comes in, nonsense included: amounts of any sign and scale.
anything = st.one_of(
    st.integers(0, 10**9).map(D),
    st.integers(-(10**24), 10**24).map(lambda units: D(units).scaleb(-14)),
)
flows = st.dictionaries(st.sampled_from([*ASSETS, "EUR"]), anything, max_size=2)
quotes = st.builds(
    lambda spent, received, fee, asset: attrs.evolve(
        FIRST, spent=spent, received=received, fee=fee, fee_asset=asset
    ),
    *(anything, anything, anything),
    st.sampled_from(ASSETS),
)
journeys = st.builds(
    LegJourney,
    planned=quotes,
    at_send=st.none() | quotes,
    at_ack=st.none() | quotes,
    at_fill=st.none() | quotes,
    spent=anything,
    received=anything,
    fees=flows,
    rounding=flows,
    is_sent=st.booleans(),
)
cycles = st.builds(
    CycleJourney,
    assets=st.just(ASSETS),
    legs=st.tuples(journeys, journeys, journeys),
    unwound=flows,
    held=flows,
)


@given(journey=cycles)
def test_the_terms_sum_to_the_difference_to_the_last_digit(journey: CycleJourney) -> None:
    found = attribute(journey)
    exact = Context(prec=1_000)
    left = found.expected
    for name, value in found.terms().items():
        left = exact.subtract(left, value)
        assert name == "rounding_and_dust" or value.as_tuple().exponent == -18
    assert left == found.realised
    first, second, third = journey.legs
    planned = Fraction(third.planned.received) - Fraction(first.planned.spent)
    assert Fraction(found.expected) == planned
    # Realised is what all orders changed of the start asset, nothing else.
    assert Fraction(found.realised) == (
        Fraction(third.received)
        - Fraction(first.spent)
        - Fraction(second.fees.get("USD", D(0)))
        + sum(Fraction(leg.rounding.get("USD", D(0))) for leg in journey.legs)
        + Fraction(journey.unwound.get("USD", D(0)))
    )


@given(journey=cycles)
def test_rounding_and_dust_is_what_is_left_over_and_not_a_remainder_of_anything_else(
    journey: CycleJourney,
) -> None:
    first, second, third = journey.legs
    rate_3 = Fraction(third.planned.received) / Fraction(third.planned.spent or 1)
    rate_2 = Fraction(second.planned.received) / Fraction(second.planned.spent or 1)
    eth = rate_3 if third.planned.spent else Fraction(0)
    btc = eth * rate_2 if second.planned.spent else Fraction(0)

    def left_over(asset: str, came: LegJourney, went: LegJourney, other: LegJourney) -> Fraction:
        return (
            Fraction(came.received)
            - Fraction(went.spent)
            - Fraction(other.fees.get(asset, D(0)))
            + Fraction(journey.unwound.get(asset, D(0)))
            - Fraction(journey.held.get(asset, D(0)))
            - Fraction(came.planned.received)
            + Fraction(went.planned.spent)
        )

    expected = left_over("BTC", first, second, third) * btc
    expected += left_over("ETH", second, third, first) * eth
    rounding = sum(Fraction(leg.rounding.get("USD", D(0))) for leg in journey.legs)
    held = Fraction(journey.held.get("USD", D(0)))
    found = Fraction(attribute(journey).rounding_and_dust)
    assert abs(found - (expected - rounding - held)) <= Fraction(6, 10**18)
