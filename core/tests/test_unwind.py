"""Ways out: every one priced, the cheapest within the cap taken, nothing sold that isn't held."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.book import BookState, OrderBook
from arbitrade.execution.unwind import ways_out
from arbitrade.models import (
    Instruments,
    InstrumentStatus,
    Leg,
    Side,
    UnwindCandidate,
    UnwindDecision,
)
from arbitrade.plain_json import from_json, to_json
from arbitrade.pricing import FeeSchedule
from arbitrade.testing.factories import make_book, make_instrument, make_instruments
from arbitrade.testing.strategies import books, fee_schedules, instruments

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
FREE = FeeSchedule(D(0))
LEGS = (Leg("BTC/USD", BUY), Leg("ETH/BTC", BUY), Leg("ETH/USD", SELL))


def market(**changed: OrderBook) -> tuple[Instruments, dict[str, OrderBook]]:
    """Return USD, EUR, BTC and ETH with all their pairs; ETH is held, bought for 100 USD each."""
    held = {
        "BTC/USD": make_book("BTC/USD", bids=[("999", "5")], asks=[("1001", "5")]),
        "ETH/USD": make_book("ETH/USD", bids=[("98", "50")], asks=[("101", "50")]),
        "ETH/BTC": make_book(
            make_instrument("ETH/BTC", price_precision=4),
            bids=[("0.0990", "50")],
            asks=[("0.1010", "50")],
        ),
        "ETH/EUR": make_book("ETH/EUR", bids=[("90", "50")], asks=[("91", "50")]),
        "EUR/USD": make_book("EUR/USD", bids=[("1.10", "9000")], asks=[("1.11", "9000")]),
    }
    for name, book in changed.items():
        held[name.replace("_", "/")] = book
    return make_instruments(*(book.instrument for book in held.values())), held


def decided(
    amount: str = "2",
    cost: str = "200",
    cap: str = "25",
    *,
    asset: str = "ETH",
    remaining: Sequence[Leg] = LEGS[2:],
    done: Sequence[Leg] = LEGS[:2],
    fees: FeeSchedule = FREE,
    listed: Instruments | None = None,
    **options: Any,
) -> UnwindDecision:
    changed = {key: options.pop(key) for key in list(options) if "_" in key and key.isupper()}
    pairs, held = market(**changed)
    return ways_out(
        asset,
        D(amount),
        D(cost),
        "USD",
        remaining,
        done,
        listed or pairs,
        held,
        fees,
        D(cap),
        **options,
    )


def shown(decision: UnwindDecision) -> list[tuple[str, tuple[str, ...], Decimal]]:
    return [
        (one.kind, tuple(leg.symbol for leg in one.path), one.received)
        for one in decision.candidates
    ]


def test_every_way_is_priced_and_the_cheapest_comes_first() -> None:
    decision = decided()
    assert shown(decision) == [
        # 2 · 90 EUR · 1.10 = 198 USD; over BTC 2 · 0.099 · 999 = 197.802; for USD 2 · 98 = 196.
        ("two_hop", ("ETH/EUR", "EUR/USD"), D(198)),
        ("reverse", ("ETH/BTC", "BTC/USD"), D("197.802")),
        ("finish", ("ETH/USD",), D(196)),
        # Worth what the best way would pay at its best prices.
        ("hold", (), D(198)),
    ]
    assert decision.chosen == decision.candidates[0]
    assert [one.loss for one in decision.candidates] == [D(2), D("2.198"), D(4), D(2)]
    assert [leg.side for leg in decision.candidates[1].path] == [SELL, SELL]
    assert (decision.asset, decision.amount, decision.cost) == ("ETH", 2, 200)


def test_a_way_found_twice_keeps_its_first_kind() -> None:
    # From BTC the way back is the pair of BTC and USD itself, and finishing goes over ETH.
    decision = decided("1", "1000", asset="BTC", remaining=LEGS[1:], done=LEGS[:1])
    assert {(one.kind, one.path[0].symbol) for one in decision.candidates if one.path} == {
        ("finish", "ETH/BTC"),
        ("reverse", "BTC/USD"),
    }


def test_an_asset_that_is_not_of_the_plan_has_direct_and_two_hop_ways() -> None:
    decision = decided("100", "112", asset="EUR", remaining=(), done=LEGS[:2])
    assert [one.kind for one in decision.candidates] == ["direct", "two_hop", "hold"]


def test_legs_that_do_not_lead_on_are_passed_over() -> None:
    # Some BTC was left when ETH was bought: back to USD, the second leg has no part in it.
    decision = decided("0.1", "100", asset="BTC", remaining=LEGS[1:], done=LEGS[:2])
    back = next(one for one in decision.candidates if one.kind == "reverse")
    assert back.path == (Leg("BTC/USD", SELL),)


def test_fees_decide_too() -> None:
    # At 2 % a leg one leg beats two: 196 · 0.98 = 192.08 against 198 · 0.98² = 190.16.
    decision = decided(fees=FeeSchedule(D("0.02")))
    assert (decision.chosen.kind, decision.chosen.received) == ("finish", D("192.08"))


@pytest.mark.parametrize(("cap", "kind"), [("2", "two_hop"), ("1.99", "hold")])
def test_a_loss_up_to_the_cap_is_taken_and_beyond_it_the_rest_is_held(cap, kind) -> None:
    decision = decided(cap=cap)
    assert decision.chosen.kind == kind
    assert decision.candidates[0] is decision.chosen
    if kind == "hold":
        assert decision.candidates[1].note == "loss 2 is above the cap 1.99"
        assert [one.kind for one in decision.candidates[1:]] == ["two_hop", "reverse", "finish"]


def test_a_gain_has_a_negative_loss() -> None:
    assert decided(cost="190", cap="0").chosen.loss == D(-8)


def test_without_attempts_left_it_is_held() -> None:
    decision = decided(attempts_left=0)
    assert decision.chosen.kind == "hold"
    assert decision.candidates[1].note == "no attempt is left"


def test_books_that_may_not_be_traded_on_are_no_way_out() -> None:
    stale = make_book("EUR/USD", bids=[("1.10", "9000")], asks=[("1.11", "9000")])
    stale.tradable = False
    decision = decided(EUR_USD=stale)
    assert decision.chosen.kind == "reverse"
    blocked = decision.candidates[-1]
    assert blocked.kind == "two_hop"
    assert blocked.blocked is not None
    assert blocked.blocked.startswith("EUR/USD: its book may not be traded on now")
    # Its first leg was priced; still in sync, it tells what the asset is worth.
    assert len(blocked.quotes) == 1
    assert next(one for one in decision.candidates if one.kind == "hold").received == 198


def test_a_book_out_of_sync_tells_nothing() -> None:
    lost = make_book("EUR/USD", bids=[("9.10", "9000")], asks=[("9.11", "9000")])
    lost.tradable, lost.state = False, BookState.OUT_OF_SYNC
    hold = next(one for one in decided(EUR_USD=lost).candidates if one.kind == "hold")
    assert hold.received == D("197.802")


def test_pairs_that_are_not_online_are_no_way_out() -> None:
    halted = make_book(
        make_instrument("ETH/USD", status=InstrumentStatus.CANCEL_ONLY),
        bids=[("98", "50")],
        asks=[("101", "50")],
    )
    decision = decided(ETH_USD=halted)
    blocked = next(one for one in decision.candidates if one.blocked)
    assert (blocked.kind, blocked.blocked) == (
        "finish",
        "ETH/USD: the pair is cancel_only, not online",
    )
    # Not offered as a hop either.
    decision = decided("1", "1000", asset="BTC", remaining=(), done=(), ETH_USD=halted)
    assert [one.kind for one in decision.candidates] == ["direct", "hold"]


def test_nothing_possible_means_hold_worth_nothing_known() -> None:
    decision = ways_out("ETH", D(2), D(200), "USD", (), (), make_instruments(), {}, FREE, D(25))
    assert decision.candidates == (UnwindCandidate("hold", (), (), D(0), D(200)),)


def test_what_is_in_the_start_asset_already_is_worth_itself() -> None:
    decision = decided("50", "40", asset="USD", remaining=(), done=())
    assert shown(decision) == [("hold", (), D(50))]


def test_what_is_below_a_minimum_blocks_the_way_and_says_so() -> None:
    coarse = make_book(
        make_instrument("EUR/USD", minimum_quantity="500"),
        bids=[("1.10", "9000")],
        asks=[("1.11", "9000")],
    )
    decision = decided(EUR_USD=coarse)
    blocked = decision.candidates[-1]
    assert blocked.blocked == ("EUR/USD: order minimum not met: quantity 180 EUR is below 500")
    assert (blocked.received, blocked.loss) == (0, 200)


def test_only_what_comes_back_counts_and_the_rest_is_named() -> None:
    thin = make_book("ETH/EUR", bids=[("95", "1.5")], asks=[("96", "1")])
    decision = decided(ETH_EUR=thin, cap="100")
    two_hop = next(one for one in decision.candidates if one.kind == "two_hop")
    # 1.5 · 95 · 1.10 = 156.75, half an ETH stays.
    assert (two_hop.received, two_hop.loss) == (D("156.75"), D("43.25"))
    assert two_hop.note == "leaves 0.5 ETH, more than book and wallet allow of ETH/EUR"
    coarse = make_book(
        make_instrument("ETH/EUR", quantity_increment="0.3", minimum_quantity="0.3"),
        bids=[("95", "50")],
        asks=[("96", "1")],
    )
    two_hop = next(one for one in decided(ETH_EUR=coarse).candidates if one.kind == "two_hop")
    # 1.8 ETH are whole lots.
    assert two_hop.received == D("188.1")
    assert two_hop.note == "leaves 0.2 ETH, below the minimum of ETH/EUR"


def test_ways_that_cost_the_same_are_taken_by_kind_then_by_name() -> None:
    def flat(symbol: str, price: str) -> OrderBook:
        return make_book(symbol, bids=[(price, "9000")], asks=[(price, "9000")])

    held = [flat("ETH/USD", "2"), flat("ETH/SOL", "1"), flat("SOL/USD", "2")]
    held += [flat("ETH/ADA", "4"), flat("ADA/USD", "0.5")]
    for order in (held, held[::-1]):
        listed = make_instruments(*(book.instrument for book in order))
        decision = ways_out(
            "ETH", D(1), D(2), "USD", (), (), listed, {b.symbol: b for b in order}, FREE, D(1)
        )
        assert [one.path[0].symbol for one in decision.candidates if one.path] == [
            "ETH/USD",
            "ETH/ADA",
            "ETH/SOL",
        ]


def test_lots_of_other_orders_are_left_to_them() -> None:
    def skip(symbol: str, side: Side) -> int:
        return 49 * 10**8 if (symbol, side) == ("ETH/EUR", SELL) else 0

    two_hop = next(one for one in decided(skip=skip).candidates if one.kind == "two_hop")
    assert two_hop.received == 99


def test_a_buy_on_the_way_may_use_the_wallet_for_its_limit() -> None:
    # USD/EUR has to be bought with EUR; slippage holds more than there is unless the wallet helps.
    held = {"USD/EUR": make_book("USD/EUR", asks=[("1.00", "60"), ("1.01", "60")])}
    listed = make_instruments(*(book.instrument for book in held.values()))

    def received(**options: Any) -> Decimal:
        decision = ways_out(
            "EUR", D(100), D(100), "USD", (), (), listed, held, FREE, D(50), **options
        )
        return decision.candidates[0].received

    # 60 for 60 EUR, 39.60396039 for the other 40; at 1.01 all of it holds 100.6 EUR.
    assert received(available=lambda asset: D(101)) == D("99.60396039")
    # Without more, 100 / 1.01 at the limit: the wallet covers 99.00990099 USD.
    assert received() == received(available=lambda asset: D(0)) == D("99.00990099")


def test_a_decision_is_written_down_with_every_candidate() -> None:
    decision = decided(cap="1")
    assert from_json(to_json(decision), UnwindDecision) == decision


# ── what must always hold ────────────────────────────────────────────────────────────────────────

ASSETS = ("ADA", "BTC", "ETH", "USD")


@st.composite
def situations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw pairs among four assets, their books in any state, and something to get out of."""
    held = {}
    pairs = []
    for one, other in combinations(ASSETS, 2):
        if draw(st.integers(0, 9)) == 0:
            continue
        symbol = f"{one}/{other}" if draw(st.booleans()) else f"{other}/{one}"
        status = draw(st.sampled_from([InstrumentStatus.ONLINE] * 5 + [InstrumentStatus.POST_ONLY]))
        pair = draw(instruments(symbol, statuses=st.just(status)))
        pairs.append(pair)
        book = draw(books(pair, max_levels=3))
        book.tradable = pair.is_online and draw(st.integers(0, 9)) > 0
        if draw(st.integers(0, 9)):
            held[symbol] = book
    return {
        "asset": "ETH",
        "amount": draw(st.decimals(0, 2_000, places=3)),
        "cost": draw(st.decimals(-10, 100_000, places=2)),
        "start": "USD",
        "remaining_legs": [Leg(p.symbol, side) for p in pairs for side in Side][
            draw(st.integers(0, 5)) :
        ],
        "done_legs": draw(
            st.lists(st.sampled_from([Leg(p.symbol, BUY) for p in pairs]), max_size=3)
            if pairs
            else st.just([])
        ),
        "instruments": make_instruments(
            *pairs, assets=draw(st.none() | st.just(dict.fromkeys(ASSETS, 2)))
        ),
        "books": held,
        "fees": draw(fee_schedules([pair.symbol for pair in pairs])),
        "loss_cap": draw(st.decimals(0, 1_000, places=2)),
        "slippage_bps": draw(st.sampled_from([D(0), D(30)])),
    }


@given(situation=situations())
def test_a_decision_is_the_cheapest_way_that_is_allowed(situation: dict[str, Any]) -> None:
    decision = ways_out(**situation)
    cap, amount = situation["loss_cap"], situation["amount"]
    takeable = [
        one
        for one in decision.candidates
        if one.kind != "hold" and one.blocked is None and one.loss <= cap
    ]
    assert decision.chosen == decision.candidates[0]
    if takeable:
        assert decision.chosen.loss == min(one.loss for one in takeable)
    else:
        assert decision.chosen.kind == "hold"
    assert [one.kind for one in decision.candidates].count("hold") == 1
    paths = [one.path for one in decision.candidates]
    assert len(set(paths)) == len(paths)
    for one in decision.candidates:
        assert Fraction(one.loss) == Fraction(situation["cost"]) - Fraction(one.received)
        going_in = amount
        for leg, quote in zip(one.path, one.quotes, strict=False):
            assert situation["books"][leg.symbol].tradable
            assert situation["instruments"][leg.symbol].is_online
            assert quote.spent <= going_in
            going_in = quote.received
        if one.path and one.blocked is None:
            assert len(one.quotes) == len(one.path)
            assert one.received == going_in
        elif one.path:
            assert one.received == 0


@given(situation=situations())
def test_no_way_brings_more_than_hold_says_it_is_worth(situation: dict[str, Any]) -> None:
    decision = ways_out(**situation)
    hold = next(one for one in decision.candidates if one.kind == "hold")
    for one in decision.candidates:
        assert one.received <= hold.received + abs(hold.received) * D("1e-27")


@given(situation=situations())
def test_fees_never_make_a_way_out_cheaper(situation: dict[str, Any]) -> None:
    fees = situation["fees"]
    without = {**situation, "fees": FeeSchedule(D(0), charged_in=fees.charged_in)}
    free = {one.path: one.received for one in ways_out(**without).candidates}
    for one in ways_out(**situation).candidates:
        assert one.received <= free[one.path]


@given(situation=situations())
def test_the_order_pairs_are_listed_in_changes_nothing(situation: dict[str, Any]) -> None:
    listed = situation["instruments"]
    turned = Instruments(list(listed.values())[::-1], listed.assets.values())
    assert ways_out(**situation) == ways_out(**{**situation, "instruments": turned})
