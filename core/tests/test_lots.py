"""Whole lots of a book: as many as amount and wallet pay for, and what the venue asks of them."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.book import OrderBook
from arbitrade.lots import Fill, cut, leg_terms, order_rules
from arbitrade.models import Level, Side
from arbitrade.pricing import FeeConvention
from arbitrade.testing.factories import make_instrument
from arbitrade.testing.strategies import books, fee_rates

D = Decimal


def one_by_one(
    book: OrderBook,
    side: Side,
    factor: Fraction,
    amount: Fraction,
    wallet: Fraction | None,
) -> list[Level]:
    """Take lot after lot while amount and wallet pay for one more, in fractions."""
    pair = book.instrument
    lot, tick = Fraction(1, 10**pair.quantity_precision), Fraction(1, 10**pair.price_precision)
    step = Fraction(pair.price_increment)
    is_buy = side is Side.BUY
    taken: list[Level] = []
    quantity = cost = Fraction(0)
    for ticks, held in book.side(side):
        price, lots = ticks * tick, 0
        limit = -(-price // step) * step
        while lots < held:
            more, costs = quantity + lot, cost + price * lot
            needed = (costs if is_buy else more) * factor
            blocked = (more * limit if is_buy else more) * factor
            if needed > amount or (wallet is not None and blocked > wallet):
                break
            quantity, cost, lots = more, costs, lots + 1
        if lots:
            taken.append((ticks, lots))
        if lots < held:
            break
    return taken


@given(
    book=books(lots=(1, 25), max_levels=4),
    side=st.sampled_from(Side),
    convention=st.sampled_from(FeeConvention),
    fee_rate=fee_rates(),
    amount=st.decimals(0, 20_000, places=6),
    wallet=st.none() | st.decimals(0, 20_000, places=3),
)
def test_as_many_lots_are_taken_as_are_paid_for_one_by_one(
    book: OrderBook,
    side: Side,
    convention: FeeConvention,
    fee_rate: Decimal,
    amount: Decimal,
    wallet: Decimal | None,
) -> None:
    leg = leg_terms(book.instrument, side, convention, fee_rate)
    # Around what the book holds, so that most amounts end within it.
    amount, wallet = amount.scaleb(-2), None if wallet is None else wallet.scaleb(-2)
    units = None if wallet is None else leg.units(wallet)
    fill = leg.fill(book.side(side), leg.units(amount), units)
    spend, receive = convention.factors(side, fee_rate)
    most = None if wallet is None else Fraction(wallet)
    assert_is(fill, one_by_one(book, side, spend, Fraction(amount), most))
    quantity = Fraction(fill.lots, 10**book.instrument.quantity_precision)
    notional = Fraction(
        fill.cost, 10 ** (book.instrument.price_precision + book.instrument.quantity_precision)
    )
    goes_in, comes_out = (notional, quantity) if side is Side.BUY else (quantity, notional)
    assert Fraction(leg.spent(fill), leg.spend_scale) == goes_in * spend <= amount
    assert Fraction(leg.received(fill), leg.receive_scale) == comes_out * receive


def assert_is(fill: Fill, levels: Sequence[Level]) -> None:
    """Compare with a list of what is taken, best first."""
    assert fill.lots == sum(lots for _, lots in levels)
    assert fill.cost == sum(ticks * lots for ticks, lots in levels)
    assert fill.levels == len(levels)
    assert (fill.worst_ticks, fill.last_lots) == (levels[-1] if levels else (0, 0))


@given(book=books(), side=st.sampled_from(Side), share=st.fractions(0, 1))
def test_a_cut_is_what_a_walk_of_so_many_lots_takes(
    book: OrderBook, side: Side, share: Fraction
) -> None:
    held = list(book.side(side))
    lots = int(sum(lots for _, lots in held) * share)
    walk = book.walk(side, lots)
    fill = cut(held, lots)
    assert (fill.lots, fill.cost, fill.levels) == (lots, walk.cost_units, walk.levels)
    assert fill.last_lots == lots - sum(lots for _, lots in held[: max(fill.levels - 1, 0)])
    # Of what was cut to nothing the best price is still told.
    assert fill.worst_ticks == (walk.worst_ticks or held[0][0])


def test_a_cut_takes_no_more_than_there_is() -> None:
    assert cut([(100, 2), (101, 3)], 9) == Fill(5, 503, 101, 2, 3)
    assert cut([], 9) == Fill(0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("increment", "base_step", "lot_step"),
    [
        ("0.001", None, 1),
        ("0.004", None, 4),
        # The ledger keeps hundredths, so 0.004 is ordered by the 0.02: five of them, two of those.
        ("0.004", "0.01", 20),
        ("0.001", "0.00001", 1),
        ("0", None, 1),
    ],
)
def test_lots_are_stepped_by_increment_and_ledger(
    increment: str, base_step: str | None, lot_step: int
) -> None:
    pair = make_instrument("BTC/USD", quantity_precision=3, quantity_increment=increment)
    assert order_rules(pair, base_step and D(base_step)).lot_step == lot_step


def test_minimums_that_are_no_whole_lots_are_rounded_up() -> None:
    pair = make_instrument(
        "BTC/USD",
        price_precision=1,
        quantity_precision=2,
        price_increment="0.5",
        minimum_quantity="0.015",
        minimum_notional="0.0015",
    )
    rules = order_rules(pair)
    # 1.5 lots of 0.01, 1.5 units of 0.1 · 0.01; half a dollar is five ticks.
    assert (rules.minimum_lots, rules.minimum_notional, rules.tick_step) == (2, 2, 5)
    assert (rules.lot, rules.tick) == (D("0.01"), D("0.1"))


def test_a_limit_reaches_its_price_from_the_far_side() -> None:
    pair = make_instrument("BTC/USD", price_precision=1, price_increment="0.5")
    buy, sell = (leg_terms(pair, side, FeeConvention.QUOTE, D(0)) for side in Side)
    assert [buy.least_limit(ticks) for ticks in (100, 101, 105)] == [100, 105, 105]
    assert [sell.least_limit(ticks) for ticks in (100, 101, 105)] == [100, 100, 105]


def test_an_amount_below_nothing_pays_for_nothing() -> None:
    leg = leg_terms(make_instrument("BTC/USD"), Side.BUY, FeeConvention.QUOTE, D("0.004"))
    assert leg.units(D(-1)) == 0
    assert leg.fill([(100, 5)], leg.units(D(-1))) == Fill(0, 0, 0, 0, 0)
