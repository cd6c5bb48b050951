"""Rate counters of the simulated exchange against the numbers of the venue's guide."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.clock import ReplayClock
from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.keys import ApiKey, VerificationTier
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.orders import (
    Amendment,
    Edit,
    NewOrder,
    OrderRef,
    VenueRefusal,
)
from arbitrade_kraken.simulator.exchange.rates import (
    LIMITS,
    CallCounters,
    DecayingCounter,
    amend_points,
    cancel_points,
    edit_points,
)
from arbitrade_kraken.simulator.exchange.still import StillMarket

SECOND = 1_000_000_000
SYMBOL = "BTC/USD"


def make(tier: VerificationTier) -> Exchange:
    exchange = Exchange(ListedPairs.load().only([SYMBOL]), StillMarket(), ReplayClock(SECOND))
    exchange.hand.open_account("alice", {"USD": D(100_000)}, tier=tier)
    return exchange


def add(exchange: Exchange) -> OrderRef:
    order = NewOrder(symbol=SYMBOL, side=Side.BUY, quantity=D("0.001"), limit_price=D(50_000))
    placed = exchange.add_order("alice", order).order
    assert placed is not None
    return OrderRef(order_id=placed.order_id)


def wait(exchange: Exchange, seconds: float) -> None:
    exchange.clock.time_ns += int(seconds * SECOND)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("age_s", "amend", "edit", "cancel"),
    [
        (0, 3, 6, 8), (4.999, 3, 6, 8), (5, 2, 5, 6), (10, 1, 4, 5), (15, 0, 2, 4), (45, 0, 1, 2),
        (90, 0, 0, 1), (300, 0, 0, 0),
    ],
)  # fmt: skip
def test_points_follow_the_age_of_the_order(
    age_s: float, amend: int, edit: int, cancel: int
) -> None:
    age = int(age_s * SECOND)
    assert [amend_points(age), edit_points(age), cancel_points(age)] == [amend, edit, cancel]


def test_add_amend_after_seven_and_cancel_after_another_36_seconds_add_eight() -> None:
    exchange = make(VerificationTier.INTERMEDIATE)
    points = D(0)

    def charged(before: D) -> D:
        return exchange.inquiry.rate_counter("alice", SYMBOL) - before

    def now() -> D:
        return exchange.inquiry.rate_counter("alice", SYMBOL)

    before = now()
    ref = add(exchange)
    points += charged(before)
    wait(exchange, 7)
    before = now()
    exchange.amend_order("alice", Amendment(ref=ref, quantity=D("0.002")))
    points += charged(before)
    wait(exchange, 36)
    before = now()
    exchange.cancel_orders("alice", [ref])
    points += charged(before)
    assert points == 1 + (1 + 2) + 4


def test_fifty_adds_at_once_decay_to_26_6_in_ten_seconds_on_intermediate() -> None:
    exchange = make(VerificationTier.INTERMEDIATE)
    for _ in range(50):
        add(exchange)
    wait(exchange, 10)
    assert exchange.inquiry.rate_counter("alice", SYMBOL) == D("26.6")


@pytest.mark.parametrize(
    ("tier", "threshold", "decay", "open_orders"),
    [
        (VerificationTier.STARTER, 60, "1.00", 60),
        (VerificationTier.INTERMEDIATE, 125, "2.34", 80),
        (VerificationTier.PRO, 180, "3.75", 225),
    ],
)
def test_tiers_have_the_published_limits(
    tier: VerificationTier, threshold: int, decay: str, open_orders: int
) -> None:
    limits = LIMITS[tier]
    assert (limits.threshold, limits.decay, limits.open_orders) == (
        threshold,
        D(decay),
        open_orders,
    )
    assert make(tier).accounts.get("alice").max_rate_count == threshold


def test_the_fixed_point_is_charged_even_if_validation_fails() -> None:
    exchange = make(VerificationTier.STARTER)
    bad = NewOrder(symbol=SYMBOL, side=Side.BUY, quantity=D("0.00001"), limit_price=D(50_000))
    with pytest.raises(VenueRefusal):
        exchange.add_order("alice", bad)
    assert exchange.inquiry.rate_counter("alice", SYMBOL) == 1


def test_batches_cost_half_a_point_an_order_and_their_cancel_the_sum() -> None:
    exchange = make(VerificationTier.INTERMEDIATE)
    order = NewOrder(symbol=SYMBOL, side=Side.BUY, quantity=D("0.001"), limit_price=D(50_000))
    rows = exchange.add_batch("alice", [order] * 15)
    assert exchange.inquiry.rate_counter("alice", SYMBOL) == D("7.5")
    refs = [OrderRef(order_id=row.order.order_id) for row in rows if row.order]
    # 7.5 + 15 × 8 = 127.5 is over 125 and is carried out all the same.
    assert exchange.cancel_batch("alice", refs) == 15
    assert exchange.inquiry.rate_counter("alice", SYMBOL) == D("127.5")


def test_an_amend_makes_an_order_young_again_and_an_edit_costs_more() -> None:
    exchange = make(VerificationTier.PRO)
    ref = add(exchange)
    wait(exchange, 400)
    exchange.amend_order("alice", Amendment(ref=ref, quantity=D("0.002")))
    assert exchange.inquiry.rate_counter("alice", SYMBOL) == 1
    edited = exchange.edit_order("alice", Edit(ref=ref, symbol=SYMBOL, quantity=D("0.003")))
    assert exchange.inquiry.rate_counter("alice", SYMBOL) == 1 + 1 + 6
    assert edited.order is not None


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60 * SECOND)), max_size=30),
    st.sampled_from(list(LIMITS.values())),
)
def test_a_counter_is_never_negative_and_decays_evenly(
    steps: list[tuple[int, int]], limits: object
) -> None:
    decay = limits.decay  # type: ignore[attr-defined]
    counter, now, expected = DecayingCounter(decay), 0, D(0)
    for points, passed in steps:
        now += passed
        expected = max(D(0), expected - decay * passed / SECOND) + points
        counter.add(D(points), now)
        assert counter.at(now) >= points >= 0
        assert abs(counter.at(now) - expected) < D("1e-15")


@pytest.mark.parametrize(
    ("tier", "calls", "decay"),
    [
        (VerificationTier.STARTER, 15, 0.33),
        (VerificationTier.INTERMEDIATE, 20, 0.5),
        (VerificationTier.PRO, 20, 1),
    ],
)
def test_rest_calls_are_counted_a_key_and_calling_on_prolongs_it(
    tier: VerificationTier, calls: int, decay: float
) -> None:
    clock = ReplayClock(SECOND)
    counters = CallCounters(clock)
    key = ApiKey("k", "alice", "public", "secret", frozenset())
    for _ in range(calls):
        counters.charge(key, tier, "Balance")
    for _ in range(3):
        with pytest.raises(VenueRefusal, match="EAPI:Rate limit exceeded"):
            counters.charge(key, tier, "Balance")
    counters.charge(key, tier, "AddOrder")  # counted by the engine instead
    clock.time_ns += int(4.1 / decay * SECOND)
    counters.charge(key, tier, "Balance")
    other = ApiKey("o", "alice", "other", "secret", frozenset())
    counters.charge(other, tier, "Ledgers")
    assert counters.value(other) == 4
