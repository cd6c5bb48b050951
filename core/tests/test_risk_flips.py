"""What would have flipped it: the change that is named is enough, and half of it is not."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.config.risk import RiskLimits
from arbitrade.models import Flip, Leg, Opportunity, Side
from arbitrade.pricing import FeeConvention, FeeSchedule, net_edge_bps
from arbitrade.risk.amounts import above, below, step
from arbitrade.risk.core_rules import core_rules
from arbitrade.testing.factories import make_book, make_instrument
from arbitrade.testing.risk import TRIANGLE, FakeRiskView, make_opportunity

SECOND = 1_000_000_000
FOUND = make_opportunity()

AMOUNTS = st.decimals(Decimal("0.01"), Decimal(100_000), places=6)
EXCESSES = st.decimals(Decimal(0), Decimal(10_000), places=8)
SECONDS = st.decimals(Decimal("0.001"), Decimal(1_000), places=9)
COUNTS = st.integers(1, 90)


def rule_named(name: str, view: FakeRiskView):
    (rule,) = (each for each in core_rules(view) if each.name == name)
    return rule


def edge_of(opportunity: Opportunity, view: FakeRiskView) -> Decimal:
    """Return the net edge at the best prices, worked out by itself."""
    rate = Fraction(1)
    for leg in opportunity.legs:
        book = view.books[leg.symbol]
        price = Fraction(book.side(leg.side).best, 10**book.instrument.price_precision)
        fee = view.fees.taker_rate(leg.symbol)
        spent, received = view.fees.charged_in.factors(leg.side, fee)
        rate *= (1 / price if leg.side is Side.BUY else price) * received / spent
    return net_edge_bps(rate)


def apply(view: FakeRiskView, flip: Flip, value: Decimal) -> None:
    """Set what a flip is about to a value."""
    area, _, name = flip.parameter.partition(".")
    if flip.parameter in FACTS:
        FACTS[flip.parameter](view, value)
    elif area == "balance":
        view.balances = {**view.balances, name: value}
    elif area == "exposure":
        view.exposures = {**view.exposures, name: value}
    elif name.startswith("reserve."):
        asset = name.removeprefix("reserve.")
        view.set_limits(reserve={**view.limits.reserve, asset: value})
    elif name.startswith("overrides."):
        symbol = name.removeprefix("overrides.")
        view.fees = attrs.evolve(view.fees, overrides={**view.fees.overrides, symbol: value})
    else:
        assert area == "risk"
        kind = attrs.fields_dict(RiskLimits)[name].type
        if kind in (bool, "bool"):
            view.set_limits(**{name: bool(value)})
        elif kind in (int, "int"):
            view.set_limits(**{name: int(value)})
        else:
            view.set_limits(**{name: value})


def _cap_ages(view: FakeRiskView, value: Decimal) -> None:
    view.ages = {symbol: min(age, value) for symbol, age in view.ages.items()}


def _set_time(view: FakeRiskView, value: Decimal) -> None:
    since = view.failed.get(FOUND.key, view.last_failure_ns)
    view.now_ns = since + int(value * SECOND)


def _setter(name: str, kind: Callable[[Decimal], object] = Decimal):
    return lambda view, value: setattr(view, name, kind(value))


FACTS: dict[str, Callable[[FakeRiskView, Decimal], object]] = {
    "book.age_s": _cap_ages,
    "clock.skew_s": _setter("clock_skew_s"),
    "cycles.open": _setter("open_cycles", int),
    "decision.age_s": _setter("decision_age_s"),
    "failures.in_a_row": _setter("consecutive_failures", int),
    "in_flight": _setter("in_flight"),
    "loop.lag_s": _setter("event_lag_s"),
    "orders.last_minute": _setter("orders_last_minute", int),
    "profit.drawdown": _setter("drawdown"),
    "profit.today": _setter("realised_today"),
    "time_s": _set_time,
    "fees.taker": lambda view, value: setattr(view, "fees", attrs.evolve(view.fees, taker=value)),
}


# ── scenes that refuse ───────────────────────────────────────────────────────────────────────────


@st.composite
def refusing_scenes(draw) -> tuple[str, FakeRiskView]:
    """Return a rule's name, and a view in which it refuses."""
    name = draw(st.sampled_from(sorted(SCENES)))
    view = FakeRiskView.around(FOUND)
    SCENES[name](view, draw)
    return name, view


def _balance(view, draw):
    reserve = draw(st.one_of(st.just(Decimal(0)), AMOUNTS))
    short = draw(EXCESSES)
    view.balances = {"USD": reserve - short}
    view.set_limits(reserve={"USD": reserve}, balance_share=draw(st.sampled_from(["0.1", "1"])))


def _share(view, draw):
    view.set_limits(balance_share=0)


def _late(limit: str, fact: str):
    def scene(view, draw):
        limit_s, excess = draw(SECONDS), draw(SECONDS)
        view.set_limits(**{limit: limit_s})
        late = float(limit_s + excess)
        if fact == "ages":
            view.ages = {"BTC/USD": late, "ETH/USD": float(limit_s) / 2, "ETH/BTC": 0.0}
        else:
            setattr(view, fact, late)

    return scene


def _breaker(view, draw):
    limit, more = draw(COUNTS), draw(st.integers(0, 9))
    pause, waited = draw(SECONDS), draw(SECONDS)
    view.set_limits(maximum_failures=limit, retry_after_s=pause)
    view.consecutive_failures = limit + more
    view.last_failure_ns = view.now_ns - int(waited * SECOND)
    view.open_cycles = draw(st.integers(0, 3)) if waited < pause else draw(st.integers(1, 3))


def _cycles(view, draw):
    limit = draw(st.integers(0, 90))
    view.set_limits(maximum_cycles=limit)
    view.open_cycles = limit + draw(st.integers(0, 9))


def _cooldown(view, draw):
    pause = draw(SECONDS)
    waited = pause * draw(st.decimals(0, Decimal("0.99"), places=2))
    view.set_limits(cooldown_s=pause)
    view.failed = {FOUND.key: view.now_ns - int(waited * SECOND)}


def _loss(view, draw):
    limit = draw(AMOUNTS)
    view.set_limits(maximum_daily_loss=limit)
    view.realised_today = -limit - draw(EXCESSES)


def _drawdown(view, draw):
    limit = draw(AMOUNTS)
    view.set_limits(maximum_drawdown=limit)
    view.drawdown = limit + draw(EXCESSES)


def _in_flight(view, draw):
    limit = draw(AMOUNTS)
    view.set_limits(maximum_in_flight=limit)
    view.in_flight = limit + draw(EXCESSES)


def _per_asset(view, draw):
    limit = draw(AMOUNTS)
    view.set_limits(maximum_per_asset=limit)
    view.exposures = {"BTC": limit + draw(EXCESSES), "ETH": limit - draw(EXCESSES)}


def _orders(view, draw):
    limit = draw(COUNTS)
    view.set_limits(maximum_orders_per_minute=limit)
    view.orders_last_minute = max(0, limit - 2) + draw(st.integers(0, 9))


def _shared(view, draw):
    view.symbols_in_use = {draw(st.sampled_from(TRIANGLE)).symbol}


def _edge(view, draw):
    view.set_limits(minimum_edge_bps=10 + draw(EXCESSES))


SCENES = {
    "balance": _balance,
    "balance of no share": _share,
    "book_age": _late("maximum_book_age_s", "ages"),
    "circuit_breaker": _breaker,
    "clock_skew": _late("maximum_clock_skew_s", "clock_skew_s"),
    "concurrent_cycles": _cycles,
    "cooldown": _cooldown,
    "daily_loss": _loss,
    "decision_age": _late("maximum_decision_age_s", "decision_age_s"),
    "drawdown": _drawdown,
    "event_lag": _late("maximum_event_lag_s", "event_lag_s"),
    "maximum_in_flight": _in_flight,
    "maximum_per_asset": _per_asset,
    "minimum_edge": _edge,
    "order_rate": _orders,
    "shared_books": _shared,
}


def kept(view: FakeRiskView) -> FakeRiskView:
    return attrs.evolve(view)


@given(refusing_scenes())
def test_each_flip_alone_makes_the_rule_pass_and_half_of_it_does_not(scene):
    name, view = scene
    rule_name = name.split()[0]
    refused = rule_named(rule_name, view).check(FOUND)
    assert refused is not None
    for flip in refused.flips:
        enough = kept(view)
        apply(enough, flip, flip.needed)
        assert rule_named(rule_name, enough).check(FOUND) is None, flip
        if abs(flip.change) <= 4 * step(max(flip.current, flip.needed, key=abs)):
            continue  # on the border there is nothing smaller on the grid
        half = kept(view)
        apply(half, flip, _half(flip))
        assert rule_named(rule_name, half).check(FOUND) is not None, flip


def _half(flip: Flip) -> Decimal:
    is_count = flip.unit == "" and flip.parameter != "risk.balance_share"
    half = flip.change / 2
    # Half a cycle is none: what counts is rounded to what holds now.
    return flip.current + (Decimal(int(half)) if is_count else half)


@pytest.mark.parametrize("name", sorted(SCENES))
@given(data=st.data())
def test_rules_with_a_number_to_change_name_at_least_one_flip(name, data):
    view = FakeRiskView.around(FOUND)
    SCENES[name](view, data.draw)
    assert rule_named(name.split()[0], view).check(FOUND).flips


@given(st.decimals(-(10**12), 10**12, allow_nan=False, places=9))
def test_next_value_beyond_is_strictly_beyond_and_hardly(value):
    assert 0 < above(value) - value <= step(value)
    assert 0 < value - below(value) <= step(value)


def test_limit_that_cannot_be_set_so_far_is_no_flip():
    view = FakeRiskView.around(FOUND)
    view.set_limits(maximum_cycles=100)
    view.open_cycles = 100
    refused = rule_named("concurrent_cycles", view).check(FOUND)
    assert [flip.parameter for flip in refused.flips] == ["cycles.open"]


def test_no_single_change_is_named_where_two_are_needed():
    view = FakeRiskView.around(FOUND)
    view.set_limits(balance_share=0, reserve={"USD": 50})
    view.balances = {"USD": Decimal(50)}
    assert rule_named("balance", view).check(FOUND).flips == ()


# ── the fee that would do ────────────────────────────────────────────────────────────────────────

TICKS = st.integers(9_000, 11_000)
FEES = st.decimals(Decimal("-0.005"), Decimal("0.05"), places=5)
LEGS = st.sampled_from(
    [
        TRIANGLE,
        (Leg("ETH/USD", Side.BUY), Leg("ETH/BTC", Side.SELL), Leg("BTC/USD", Side.SELL)),
        (Leg("BTC/USD", Side.BUY), Leg("BTC/EUR", Side.SELL), Leg("USD/EUR", Side.BUY)),
    ]
)


@st.composite
def thin_edges(draw, *, are_all_overridden: bool = False) -> tuple[FakeRiskView, Opportunity]:
    """Return a triangle on books, and a view whose limit its edge doesn't exceed."""
    legs = draw(LEGS)
    symbols = [leg.symbol for leg in legs]
    overridden = set(symbols) if are_all_overridden else draw(st.sets(st.sampled_from(symbols)))
    view = FakeRiskView(
        fees=FeeSchedule(
            draw(FEES),
            overrides={symbol: draw(FEES) for symbol in sorted(overridden)},
            charged_in=draw(st.sampled_from(FeeConvention)),
        ),
        books={},
    )
    for symbol in symbols:
        bid = Decimal(draw(TICKS)).scaleb(-4)
        pair = make_instrument(symbol, price_precision=4)
        view.books[symbol] = make_book(pair, bids=[(bid, 1)], asks=[(bid + Decimal("0.0001"), 1)])
    found = make_opportunity(legs)
    found = attrs.evolve(found, edge_bps=edge_of(found, view))
    view.limits = attrs.evolve(view.limits, minimum_edge_bps=found.edge_bps + draw(EXCESSES) / 10)
    return view, found


@given(thin_edges())
def test_each_fee_alone_lifts_the_edge_strictly_above_the_limit_and_half_way_does_not(scene):
    view, found = scene
    refused = rule_named("minimum_edge", view).check(found)
    for flip in refused.flips:
        if not flip.parameter.startswith("fees."):
            continue
        assert Decimal("-0.01") <= flip.needed < flip.current
        for value, is_enough in ((flip.needed, True), (flip.current + flip.change / 2, False)):
            if not is_enough and abs(flip.change) < Decimal("1e-11"):
                continue
            changed = kept(view)
            apply(changed, flip, value)
            again = attrs.evolve(found, edge_bps=edge_of(found, changed))
            passes = rule_named("minimum_edge", changed).check(again) is None
            assert passes is is_enough, flip


@given(thin_edges())
def test_fee_named_is_the_highest_there_is(scene):
    view, found = scene
    for flip in rule_named("minimum_edge", view).check(found).flips:
        if flip.parameter.startswith("fees."):
            higher = kept(view)
            apply(higher, flip, flip.needed + Decimal("1e-12"))
            again = attrs.evolve(found, edge_bps=edge_of(found, higher))
            assert rule_named("minimum_edge", higher).check(again) is not None


def test_fee_of_a_worked_example():
    """Books at 1, 1 and 1.03: 1.03·(1−f) / (1+f)² is above 1 for fees below 0.99 %."""
    view = FakeRiskView(fees=FeeSchedule(Decimal("0.0100")))
    for symbol, price in (("BTC/USD", "1.00"), ("ETH/BTC", "1.00"), ("ETH/USD", "1.03")):
        view.books[symbol] = make_book(symbol, bids=[(price, 1)], asks=[(price, 1)])
    found = make_opportunity()
    found = attrs.evolve(found, edge_bps=edge_of(found, view))
    assert found.edge_bps < 0
    _, fee = rule_named("minimum_edge", view).check(found).flips
    assert fee.parameter == "fees.taker"
    # 1.03·(1−f) = (1+f)²  ⇒  f² + 3.03·f − 0.03 = 0  ⇒  f = (√(3.03² + 0.12) − 3.03) / 2
    root = ((Decimal("3.03") ** 2 + Decimal("0.12")).sqrt() - Decimal("3.03")) / 2
    assert 0 < root - fee.needed <= Decimal("1e-12")


@given(thin_edges())
def test_fee_is_not_named_when_the_edge_is_not_what_the_books_show(scene):
    view, found = scene
    other = attrs.evolve(found, edge_bps=found.edge_bps - 1)
    names = [flip.parameter for flip in rule_named("minimum_edge", view).check(other).flips]
    assert not [name for name in names if name.startswith("fees.")]


@given(thin_edges(are_all_overridden=True))
def test_pairs_with_fees_of_their_own_are_not_moved_by_the_common_one(scene):
    view, found = scene
    names = {flip.parameter for flip in rule_named("minimum_edge", view).check(found).flips}
    assert "fees.taker" not in names
