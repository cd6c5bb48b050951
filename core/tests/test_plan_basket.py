"""Baskets sized: parts by weight, lots, what the weakest leg can have, and what is no basket."""

from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.execution.basket import plan_basket
from arbitrade.execution.walk import Conditions
from arbitrade.models import Approved, BasketPlan, CyclePlan, Opportunity
from arbitrade.models.plain import from_json, to_json
from arbitrade.pricing import FeeSchedule
from arbitrade.risk import (
    BalanceLimit,
    MaximumNotional,
    MaximumPerAsset,
    SharedBooks,
    smallest_input,
)
from arbitrade.risk.edge import fee_flips
from arbitrade.testing.factories import make_book, make_instrument
from arbitrade.testing.risk import FakeRiskView, make_basket, make_opportunity

D = Decimal
FREE = FeeSchedule(D(0))
PAIRED = make_basket({"BTC/USD": "0.5", "ETH/USD": "-0.5"}, size=200, edge_bps=100)


def make_books(btc: str = "90", eth: str = "90") -> dict:
    return {
        "BTC/USD": make_book("BTC/USD", bids=[("99", btc)], asks=[("100", btc)]),
        "ETH/USD": make_book("ETH/USD", bids=[("25", eth)], asks=[("26", eth)]),
    }


def planned(found=PAIRED, amount="200", books=None, fees=FREE, wallet=None, **given) -> BasketPlan:
    conditions = Conditions(
        fees, lambda _: None, available=None if wallet is None else wallet.__getitem__, **given
    )
    books = make_books() if books is None else books
    return plan_basket(found, books.get, D(amount), conditions)


def test_each_leg_has_its_part_of_the_amount():
    plan = planned()
    # 100 USD buy 1 BTC at 100; 4 ETH at 25 bring 100 USD.
    assert [quote.quantity for quote in plan.quotes] == [1, 4]
    assert (plan.spent, plan.expected_profit, plan.received) == (200, 2, 202)
    assert plan.holds() == {"BTC": 1, "ETH": -4}
    assert plan.inputs() == {"USD": 100, "ETH": 4}
    assert plan.blocked is None


def test_expected_profit_is_the_detectors_in_proportion_to_the_size():
    assert planned(amount="50").expected_profit == D("0.5")


def test_limit_beyond_the_worst_price_is_reserved():
    plan = planned(slippage_bps=D(100), wallet={"USD": D(500), "ETH": D(4)})
    assert plan.inputs() == {"USD": 101, "ETH": 4}


@pytest.mark.parametrize(
    ("books", "wallet"),
    [
        (make_books(eth="1"), None),
        (make_books(btc="0.25"), None),
        (None, {"USD": D(1_000), "ETH": D(1)}),
        (None, {"USD": D(25), "ETH": D(100)}),
    ],
)
def test_whole_basket_is_as_small_as_its_weakest_leg(books, wallet):
    plan = planned(books=books, wallet=wallet)
    # A quarter of each: of what the book or the wallet has there is no more.  To within a lot.
    assert [round(quote.quantity, 6) for quote in plan.quotes] == [D("0.25"), 1]
    assert round(plan.spent, 4) == 50


def test_two_purchases_share_one_wallet_at_their_limits():
    found = make_basket({"BTC/USD": "0.5", "ETH/USD": "0.5"}, size=200)
    plan = planned(found, wallet={"USD": D(150)}, slippage_bps=D(100))
    assert plan.blocked is None
    assert sum(quote.quantity * quote.limit_price for quote in plan.quotes) <= 150


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": (D("0.5"),)}, "1 weights"),
        ({"assets": ("USD", "BTC", "BTC")}, "name one twice"),
        ({"weights": (D("0.5"), D(0))}, "is none"),
        ({"weights": (D("0.5"), D("NaN"))}, "is none"),
        ({"weights": (D(1), D("-0.5"))}, "come to 1.5"),
        ({"size": D(0)}, "size is 0"),
        ({"weights": (D("0.5"), D("0.5"))}, "turns ETH into USD"),
        ({"assets": ("USD", "BTC", "SOL")}, "say SOL into USD"),
    ],
)
def test_what_is_no_basket_is_blocked_with_the_reason(changes, reason):
    plan = planned(attrs.evolve(PAIRED, **changes))
    assert reason in plan.blocked
    assert plan.spent == 0


def test_leg_below_its_minimum_blocks_the_basket():
    pair = make_instrument("ETH/USD", minimum_quantity="0.5")
    books = make_books() | {"ETH/USD": make_book(pair, bids=[("25", 9)], asks=[("26", 9)])}
    assert planned(amount="25", books=books).blocked is None
    assert "minimum" in planned(amount="24", books=books).blocked


def test_book_that_is_gone_blocks_the_basket():
    books = make_books()
    del books["ETH/USD"]
    assert "no book" in planned(books=books).blocked


@given(
    amount=st.decimals("0.01", 5_000, places=2),
    weight=st.decimals("0.01", "0.99", places=2),
    btc=st.decimals("0.001", 60, places=3),
    eth=st.decimals("0.001", 60, places=3),
    wallet=st.decimals(0, 5_000, places=2),
    inventory=st.decimals(0, 60, places=4),
    slippage=st.sampled_from([D(0), D(30), D(300)]),
)
def test_no_plan_takes_more_than_the_amount_the_wallet_or_the_books_have(
    amount, weight, btc, eth, wallet, inventory, slippage
):
    found = attrs.evolve(PAIRED, weights=(weight, weight - 1))
    fees = FeeSchedule(D("0.004"))
    books, free = make_books(str(btc), str(eth)), {"USD": wallet, "ETH": inventory}
    plan = planned(found, str(amount), books, fees, free, slippage_bps=slippage)
    if plan.blocked is not None:
        return
    bought, sold = plan.quotes
    assert plan.spent <= amount
    assert bought.spent <= amount * weight
    assert bought.quantity * bought.limit_price <= wallet
    assert sold.spent <= inventory
    assert bought.quantity <= btc
    assert sold.quantity <= eth


# ── written down ─────────────────────────────────────────────────────────────────────────────────


def test_approved_basket_is_written_down_and_read_back():
    approved = Approved(PAIRED, planned(), 3, 5)
    fields = to_json(approved)
    assert from_json(fields, Approved) == approved


def test_cycle_written_down_before_there_were_baskets_is_read_back():
    found = make_opportunity()
    plan = CyclePlan(found.key, found.assets, found.legs, (), D(1), D(2))
    fields = to_json(Approved(found, plan))
    del fields["opportunity"]["weights"]
    assert "weights" not in fields["plan"]
    assert from_json(fields, Approved) == Approved(found, plan)


# ── judged ───────────────────────────────────────────────────────────────────────────────────────


def make_view(**given: object) -> FakeRiskView:
    view = FakeRiskView(books=make_books(), prices={"BTC": D(99), "ETH": D(25)}, fees=FREE)
    view.set_limits(**given)
    return view


def test_balance_of_what_is_sold_caps_a_basket_as_the_start_assets_does():
    view = make_view(reserve={"ETH": "1"})
    view.balances = {"USD": D(1_000), "ETH": D(3)}
    # 2 ETH may go, worth 50 USD, which are half of 100.
    assert BalanceLimit(view).maximum_input(PAIRED) == 100
    view.balances = {"USD": D(30), "ETH": D(300)}
    assert BalanceLimit(view).maximum_input(PAIRED) == 60
    assert BalanceLimit(view).check(PAIRED) is None


def test_basket_is_refused_where_there_is_nothing_of_what_it_sells():
    view = make_view()
    view.balances = {"USD": D(1_000), "ETH": D(0)}
    refused = BalanceLimit(view).check(PAIRED)
    assert refused is not None
    assert refused.value == "0 ETH available"


def test_basket_that_only_sells_needs_nothing_of_the_start_asset():
    view = make_view()
    view.balances = {"USD": D(0), "ETH": D(4)}
    found = make_basket({"ETH/USD": "-1"})
    assert BalanceLimit(view).maximum_input(found) == 100


def test_notional_counts_both_sides_of_a_basket():
    view = make_view(maximum_notional="80")
    assert MaximumNotional(view).maximum_input(PAIRED) == 80
    assert planned(amount="80").spent == 80


def test_each_asset_of_a_basket_has_its_own_room():
    view = make_view(maximum_per_asset="60")
    view.exposures = {"ETH": D(20)}
    # ETH has room for 40 USD, and a half of what goes in is ETH.
    assert MaximumPerAsset(view).maximum_input(PAIRED) == 80
    view.exposures = {"ETH": D(60)}
    assert MaximumPerAsset(view).check(PAIRED) is not None


def test_pair_in_use_is_shared_by_no_basket():
    view = make_view()
    view.symbols_in_use = ["ETH/USD"]
    assert SharedBooks(view).check(PAIRED) is not None


def test_no_fee_is_named_that_would_flip_an_estimate():
    assert fee_flips(PAIRED, make_view(), D(1_000)) == ()


def test_least_size_of_a_basket_is_enough_for_every_leg():
    view = make_view()
    found: Opportunity = attrs.evolve(PAIRED, weights=(D("0.9"), D("-0.1")))
    least = smallest_input(found, view)
    assert least is not None
    assert planned(found, str(least)).blocked is None
    assert planned(found, str(least * D("0.98"))).blocked is not None
