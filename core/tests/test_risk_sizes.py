"""Caps: how much may go in, so that no limit is ever passed."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arbitrade.models import Leg, Side
from arbitrade.risk import BalanceLimit, MaximumInFlight, MaximumNotional, MaximumPerAsset, RiskGate
from arbitrade.risk.core_rules import core_rules
from arbitrade.testing.factories import make_book
from arbitrade.testing.risk import FakeRiskView, make_opportunity

FOUND = make_opportunity()
AMOUNTS = st.decimals(Decimal("0.0001"), Decimal(1_000_000), places=8)
SIGNED = st.decimals(Decimal(-1_000_000), Decimal(1_000_000), places=8)
PRICES = st.decimals(Decimal("0.00001"), Decimal(100_000), places=5)


def test_notional_is_converted_by_what_the_start_asset_is_worth():
    # 1000 USD at 1.25 USD for one EUR are 800 EUR.
    found = make_opportunity((Leg("BTC/EUR", Side.BUY), Leg("BTC/EUR", Side.SELL)))
    view = FakeRiskView(prices={"EUR": Decimal("1.25")})
    view.set_limits(maximum_notional=1_000)
    assert MaximumNotional(view).maximum_input(found) == 800


def test_room_in_flight_is_what_open_cycles_leave():
    view = FakeRiskView(prices={"USD": Decimal("0.5")}, in_flight=Decimal(400))
    view.set_limits(maximum_in_flight=500)
    # (500 − 400) / 0.5
    assert MaximumInFlight(view).maximum_input(FOUND) == 200


@pytest.mark.parametrize(
    ("share", "reserve", "allowed"),
    [
        ("1", 0, "1000"),
        ("0.25", 0, "250"),
        ("1", 100, "900"),
        ("0.25", 100, "250"),
        ("0.25", 900, "100"),
    ],
)
def test_balance_allows_its_share_and_spares_the_reserve(share, reserve, allowed):
    view = FakeRiskView(balances={"USD": Decimal(1_000)})
    view.set_limits(balance_share=share, reserve={"USD": reserve})
    assert BalanceLimit(view).maximum_input(FOUND) == Decimal(allowed)


def test_fullest_asset_on_the_way_binds_at_the_higher_of_its_values():
    view = FakeRiskView.around(FOUND)
    view.set_limits(maximum_per_asset=1_000)
    view.exposures = {"BTC": Decimal(400), "ETH": Decimal(500)}
    # At prices of about 1 BTC and ETH are worth no more than what went in: (1000 − 500) / 1.
    assert MaximumPerAsset(view).maximum_input(FOUND) == 500
    # One USD buys 1/1.01 BTC, worth 2.02/1.01 = 2 USD each: (1000 − 400) / 2.
    view.prices = {"BTC": Decimal("2.02")}
    assert MaximumPerAsset(view).maximum_input(FOUND) == 300
    # Without a price for ETH what went in stands for it.
    view.prices = {"ETH": None}
    assert MaximumPerAsset(view).maximum_input(FOUND) == 500


def test_holdings_of_the_start_asset_bind_nothing():
    view = FakeRiskView.around(FOUND)
    view.exposures = {"USD": Decimal(10**9)}
    assert MaximumPerAsset(view).maximum_input(FOUND) == view.limits.maximum_per_asset


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        (MaximumNotional, "maximum_notional"),
        (MaximumInFlight, "maximum_in_flight"),
        (MaximumPerAsset, "maximum_per_asset"),
    ],
)
def test_limit_of_0_is_no_limit(rule, limit):
    view = FakeRiskView(in_flight=Decimal(10**9), exposures={"BTC": Decimal(10**9)})
    view.set_limits(**{limit: 0})
    assert rule(view).maximum_input(FOUND) is None
    assert rule(view).check(FOUND) is None


@given(worth=PRICES, limit=AMOUNTS, used=AMOUNTS)
def test_no_cap_lets_a_limit_be_passed_by_the_last_digit(worth, limit, used):
    view = FakeRiskView.around(FOUND)
    view.prices = {"USD": worth}
    view.in_flight = used
    view.exposures = {"BTC": used}
    view.set_limits(maximum_notional=limit, maximum_in_flight=limit, maximum_per_asset=limit)
    price = Fraction(worth)
    assert Fraction(MaximumNotional(view).maximum_input(FOUND)) * price <= limit
    for rule in (MaximumInFlight(view), MaximumPerAsset(view)):
        allowed = Fraction(rule.maximum_input(FOUND)) * price
        assert allowed + Fraction(used) <= limit or allowed == 0


@given(
    available=SIGNED,
    reserve=AMOUNTS,
    share=st.decimals(0, 1, places=4),
    used=SIGNED,
    limit=AMOUNTS,
    worth=st.one_of(st.none(), PRICES),
)
def test_caps_are_never_negative(available, reserve, share, used, limit, worth):
    view = FakeRiskView.around(FOUND)
    view.balances, view.prices = {"USD": available}, {"USD": worth}
    view.in_flight, view.exposures = used, {"ETH": used}
    view.set_limits(
        reserve={"USD": reserve},
        balance_share=share,
        maximum_notional=limit,
        maximum_in_flight=limit,
        maximum_per_asset=limit,
    )
    gate = RiskGate(core_rules(view))
    caps = gate.caps(FOUND)
    assert set(caps) == {"balance", "maximum_in_flight", "maximum_notional", "maximum_per_asset"}
    assert all(cap >= 0 for cap in caps.values())
    assert gate.cap(FOUND) == (min(caps.values()), min(caps, key=lambda name: (caps[name], name)))


@given(available=SIGNED, reserve=AMOUNTS, share=st.decimals(0, 1, places=4))
def test_balance_refuses_exactly_when_nothing_may_go_in(available, reserve, share):
    view = FakeRiskView(balances={"USD": available})
    view.set_limits(reserve={"USD": reserve}, balance_share=share)
    rule = BalanceLimit(view)
    allowed = rule.maximum_input(FOUND)
    assert (rule.check(FOUND) is None) == (allowed > 0)
    assert allowed <= max(available - reserve, 0)
    assert allowed <= max(available * share, 0)


@given(amount=AMOUNTS, worth=PRICES, used=AMOUNTS)
def test_what_would_allow_an_amount_allows_it(amount, worth, used):
    for rule_type, limit in (
        (MaximumNotional, "maximum_notional"),
        (MaximumInFlight, "maximum_in_flight"),
        (MaximumPerAsset, "maximum_per_asset"),
    ):
        view = FakeRiskView.around(FOUND)
        view.books["BTC/USD"] = make_book("BTC/USD", bids=[("0.70", 1)], asks=[("0.77", 1)])
        view.prices = {"USD": worth}
        view.in_flight, view.exposures = used, {"BTC": used}
        view.set_limits(**{limit: "0.00001"})
        rule = rule_type(view)
        assume(rule.maximum_input(FOUND) < amount)
        (flip,) = rule.allowing(FOUND, amount)
        view.set_limits(**{limit: flip.needed})
        assert rule.maximum_input(FOUND) >= amount * (1 - Decimal("1e-24"))


@given(amount=AMOUNTS, reserve=AMOUNTS, share=st.decimals(Decimal("0.01"), 1, places=4))
def test_balance_that_would_allow_an_amount_allows_it(amount, reserve, share):
    view = FakeRiskView(balances={"USD": Decimal(0)})
    view.set_limits(reserve={"USD": reserve}, balance_share=share)
    (flip,) = BalanceLimit(view).allowing(FOUND, amount)
    assert flip.parameter == "balance.USD"
    view.balances = {"USD": flip.needed}
    assert BalanceLimit(view).maximum_input(FOUND) >= amount * (1 - Decimal("1e-24"))
