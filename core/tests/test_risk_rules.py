"""Each rule of core at its border: what just passes, and what just doesn't."""

import inspect
from collections.abc import Callable
from decimal import Decimal

import attrs
import pytest

from arbitrade import Leg, Side
from arbitrade.book import BookState
from arbitrade.config import Settings
from arbitrade.models import Instruments, InstrumentStatus, TradingState, VenueState
from arbitrade.plugins import PluginRegistry
from arbitrade.protocols import RiskView
from arbitrade.risk import MinimumEdge, RiskGate
from arbitrade.risk.core_rules import core_rules
from arbitrade.risk.quiet import QuietView
from arbitrade.testing.factories import make_book, make_instrument
from arbitrade.testing.risk import FakeRiskView, make_opportunity

FOUND = make_opportunity()
SECOND = 1_000_000_000
NAMES = (
    "account_ready",
    "balance",
    "book_age",
    "circuit_breaker",
    "clock_skew",
    "concurrent_cycles",
    "cooldown",
    "daily_loss",
    "decision_age",
    "drawdown",
    "event_lag",
    "instrument_status",
    "journal",
    "maximum_in_flight",
    "maximum_notional",
    "maximum_per_asset",
    "minimum_edge",
    "order_rate",
    "same_cycle",
    "shared_books",
    "trading_state",
)

type Scene = Callable[[FakeRiskView], object]


def limits(**values: object) -> Scene:
    return lambda view: view.set_limits(**values)


def facts(**values: object) -> Scene:
    def apply(view: FakeRiskView) -> None:
        for name, value in values.items():
            setattr(view, name, value)

    return apply


def scene(*parts: Scene) -> Scene:
    def apply(view: FakeRiskView) -> None:
        for part in parts:
            part(view)

    return apply


def failed_ago(seconds: str) -> Scene:
    def apply(view: FakeRiskView) -> None:
        view.failed = {FOUND.key: view.now_ns - int(Decimal(seconds) * SECOND)}

    return apply


def tripped(failures: int, seconds_ago: str, open_cycles: int = 0) -> Scene:
    def apply(view: FakeRiskView) -> None:
        view.set_limits(maximum_failures=3, retry_after_s=60)
        view.consecutive_failures = failures
        view.last_failure_ns = view.now_ns - int(Decimal(seconds_ago) * SECOND)
        view.open_cycles = open_cycles

    return apply


def book(**changes: object) -> Scene:
    def apply(view: FakeRiskView) -> None:
        for name, value in changes.items():
            setattr(view.books["ETH/BTC"], name, value)

    return apply


def offline(view: FakeRiskView) -> None:
    pair = make_instrument("ETH/BTC", status=InstrumentStatus.CANCEL_ONLY)
    view.books["ETH/BTC"] = make_book(pair, bids=[("0.99", 1)], asks=[("1.01", 1)])


BORDERS: list[tuple[str, Scene, Scene]] = [
    # rule, what passes, what doesn't
    ("account_ready", facts(), facts(is_account_ready=False, account_problem="not reconciled")),
    (
        "balance",
        scene(facts(balances={"USD": Decimal("10.00000001")}), limits(reserve={"USD": 10})),
        scene(facts(balances={"USD": Decimal(10)}), limits(reserve={"USD": 10})),
    ),
    (
        "balance",
        facts(balances={"USD": Decimal("0.01")}),
        facts(balances={"USD": Decimal(0)}),
    ),
    ("balance", limits(balance_share="0.0001"), limits(balance_share=0)),
    (
        "book_age",
        scene(limits(maximum_book_age_s=4), facts(ages={"ETH/BTC": 4.0})),
        scene(limits(maximum_book_age_s=4), facts(ages={"ETH/BTC": 4.0000001})),
    ),
    (
        "book_age",
        scene(limits(maximum_book_age_s=0), facts(ages={"ETH/BTC": None})),
        scene(limits(maximum_book_age_s=4), facts(ages={"ETH/BTC": None})),
    ),
    ("circuit_breaker", tripped(2, "0"), tripped(3, "0")),
    ("circuit_breaker", tripped(3, "60"), tripped(3, "59.999999999")),
    ("circuit_breaker", tripped(9, "60"), tripped(9, "60", open_cycles=1)),
    (
        "circuit_breaker",
        scene(tripped(9, "0"), limits(maximum_failures=0)),
        scene(tripped(9, "60"), facts(last_failure_ns=None)),
    ),
    (
        "clock_skew",
        scene(limits(maximum_clock_skew_s=1), facts(clock_skew_s=-1.0)),
        scene(limits(maximum_clock_skew_s=1), facts(clock_skew_s=-1.0000001)),
    ),
    (
        "clock_skew",
        scene(limits(maximum_clock_skew_s=0), facts(clock_skew_s=99.0)),
        facts(clock_skew_s=float("inf")),
    ),
    (
        "concurrent_cycles",
        scene(limits(maximum_cycles=3), facts(open_cycles=2)),
        scene(limits(maximum_cycles=3), facts(open_cycles=3)),
    ),
    ("concurrent_cycles", limits(maximum_cycles=1), limits(maximum_cycles=0)),
    ("cooldown", failed_ago("10"), failed_ago("9.999999999")),
    (
        "daily_loss",
        scene(limits(maximum_daily_loss=100), facts(realised_today=Decimal("-99.99999999"))),
        scene(limits(maximum_daily_loss=100), facts(realised_today=Decimal(-100))),
    ),
    (
        "daily_loss",
        scene(limits(maximum_daily_loss=0), facts(realised_today=Decimal(-10_000))),
        facts(realised_today=Decimal(-10_000)),
    ),
    ("decision_age", facts(decision_age_s=2.0), facts(decision_age_s=2.0000001)),
    (
        "decision_age",
        scene(limits(maximum_decision_age_s=0), facts(decision_age_s=None)),
        facts(decision_age_s=None),
    ),
    (
        "drawdown",
        scene(limits(maximum_drawdown=200), facts(drawdown=Decimal("199.99999999"))),
        scene(limits(maximum_drawdown=200), facts(drawdown=Decimal(200))),
    ),
    ("event_lag", facts(event_lag_s=1.0), facts(event_lag_s=1.0000001)),
    ("instrument_status", facts(), facts(venue_state=VenueState.POST_ONLY)),
    ("instrument_status", facts(), book(state=BookState.OUT_OF_SYNC)),
    ("instrument_status", facts(), book(tradable=False)),
    ("instrument_status", facts(), offline),
    ("instrument_status", facts(), lambda view: view.books.pop("ETH/BTC")),
    ("journal", facts(), facts(journal_problem="the disk is full")),
    (
        "maximum_in_flight",
        scene(limits(maximum_in_flight=500), facts(in_flight=Decimal("499.99999999"))),
        scene(limits(maximum_in_flight=500), facts(in_flight=Decimal(500))),
    ),
    (
        "maximum_in_flight",
        scene(limits(maximum_in_flight=0), facts(prices={"USD": None})),
        facts(prices={"USD": None}),
    ),
    (
        "maximum_notional",
        scene(limits(maximum_notional=0), facts(prices={"USD": None})),
        facts(prices={"USD": None}),
    ),
    (
        "maximum_per_asset",
        scene(limits(maximum_per_asset=50), facts(exposures={"ETH": Decimal("49.99999999")})),
        scene(limits(maximum_per_asset=50), facts(exposures={"ETH": Decimal(50)})),
    ),
    (
        "maximum_per_asset",
        facts(exposures={"USD": Decimal(10**9)}, prices={"BTC": None}),
        facts(prices={"USD": None}),
    ),
    (
        "minimum_edge",
        limits(minimum_edge_bps="9.9999999999999999999999999"),
        limits(minimum_edge_bps=10),
    ),
    (
        "order_rate",
        scene(limits(maximum_orders_per_minute=60), facts(orders_last_minute=57)),
        scene(limits(maximum_orders_per_minute=60), facts(orders_last_minute=58)),
    ),
    ("order_rate", limits(maximum_orders_per_minute=0), limits(maximum_orders_per_minute=2)),
    ("same_cycle", facts(open_keys={"another"}), facts(open_keys={FOUND.key})),
    (
        "shared_books",
        scene(limits(share_books=True), facts(symbols_in_use={"ETH/BTC"})),
        facts(symbols_in_use={"ETH/BTC"}),
    ),
    ("shared_books", facts(symbols_in_use={"XRP/BTC"}), facts(symbols_in_use={"BTC/USD"})),
    ("trading_state", facts(), facts(trading_state=TradingState.REDUCING, halt_reason="ending")),
    ("trading_state", facts(), facts(trading_state=TradingState.HALTED, halt_reason="operator")),
]


def judged(name: str, *scenes: Scene):
    """Return what one rule says in such a scene."""
    view = FakeRiskView.around(FOUND)
    (rule,) = (each for each in core_rules(view) if each.name == name)
    for part in scenes:
        part(view)
    return rule.check(FOUND)


@pytest.mark.parametrize(("name", "passing", "_"), BORDERS)
def test_rule_lets_pass_what_is_just_within_its_border(name, passing, _):
    assert judged(name, passing) is None


@pytest.mark.parametrize(("name", "_", "refusing"), BORDERS)
def test_rule_refuses_what_is_just_beyond_and_says_why(name, _, refusing):
    refused = judged(name, refusing)
    assert refused is not None
    assert refused.opportunity is FOUND
    assert refused.rule == name
    assert refused.reason
    assert refused.value
    assert refused.limit


def test_every_rule_of_core_has_a_border_here():
    assert {name for name, _, _ in BORDERS} == set(NAMES)


def test_rules_of_core_are_these_and_live_trading_can_require_each_it_names():
    view = FakeRiskView()
    gate = RiskGate(core_rules(view))
    assert gate.names == NAMES
    assert gate.missing(Settings().live.required_rules) == ()


def test_rules_of_core_come_through_arbitrade_register_risk_rules():
    view = FakeRiskView()
    rules = PluginRegistry.of([]).risk_rules(Settings(), Instruments(), view)
    assert [rule.name for rule in rules] == list(NAMES)
    assert MinimumEdge(view) in rules


def test_a_changed_limit_counts_from_the_next_check_on():
    view = FakeRiskView.around(FOUND)
    rule = MinimumEdge(view)
    assert rule.check(FOUND) is None
    view.set_limits(minimum_edge_bps=10)
    assert rule.check(FOUND) is not None
    view.set_limits(minimum_edge_bps="9.9")
    assert rule.check(FOUND) is None


def test_refusal_of_a_thin_edge_names_the_setting_the_value_and_the_limit():
    refused = judged("minimum_edge", limits(minimum_edge_bps="12.5"))
    assert "risk.minimum_edge_bps" in refused.reason
    assert (refused.value, refused.limit) == ("10.0000 bps", "12.5 bps")


def test_refusals_of_states_carry_the_reason_given():
    halted = facts(trading_state=TradingState.HALTED, halt_reason="ledger differs")
    assert judged("trading_state", halted).reason == "trading is halted: ledger differs"
    unready = facts(is_account_ready=False, account_problem="dead man's switch is not armed")
    assert "dead man's switch" in judged("account_ready", unready).reason


def test_refusal_names_the_leg_whose_pair_cannot_be_traded():
    refused = judged("instrument_status", offline)
    assert "ETH/BTC" in refused.reason
    assert refused.value == "ETH/BTC cancel_only"
    assert refused.flips == ()


@pytest.mark.parametrize("name", ["maximum_notional", "maximum_in_flight", "maximum_per_asset"])
def test_what_cannot_be_valued_is_refused_with_no_cap_to_trust(name):
    view = FakeRiskView.around(FOUND)
    view.prices = {"USD": None}
    (rule,) = (each for each in core_rules(view) if each.name == name)
    refused = rule.check(FOUND)
    assert "no book tells what USD is worth" in refused.reason
    assert refused.flips == ()
    assert rule.maximum_input(FOUND) == 0


@pytest.mark.parametrize(
    "scene_of_nan",
    [
        facts(clock_skew_s=float("nan")),
        facts(decision_age_s=float("nan")),
        facts(event_lag_s=float("nan")),
        scene(limits(maximum_book_age_s=1), facts(ages={"ETH/BTC": float("nan")})),
        facts(realised_today=Decimal("nan")),
        facts(drawdown=Decimal("nan")),
        facts(in_flight=Decimal("nan")),
        facts(exposures={"BTC": Decimal("nan")}),
        facts(balances={"USD": Decimal("nan")}),
        facts(prices={"USD": Decimal("nan")}),
    ],
)
def test_what_is_not_a_number_never_passes_the_gate(scene_of_nan):
    view = FakeRiskView.around(FOUND)
    scene_of_nan(view)
    refused = RiskGate(core_rules(view)).check(FOUND)
    assert refused is not None
    assert "InvalidOperation" in refused.reason


# ── half-open ────────────────────────────────────────────────────────────────────────────────────


def test_breaker_tries_exactly_one_cycle_whose_end_decides():
    view = FakeRiskView.around(FOUND)
    view.set_limits(maximum_failures=3, retry_after_s=60)
    (rule,) = (each for each in core_rules(view) if each.name == "circuit_breaker")
    view.consecutive_failures, view.last_failure_ns = 3, view.now_ns
    assert rule.check(FOUND) is not None  # paused

    view.now_ns += 60 * SECOND
    assert rule.check(FOUND) is None  # half-open
    view.open_cycles = 1
    assert rule.check(FOUND) is not None  # the try is under way

    view.open_cycles, view.consecutive_failures, view.last_failure_ns = 0, 4, view.now_ns
    assert rule.check(FOUND) is not None  # it failed: a new pause
    view.now_ns += 60 * SECOND
    assert rule.check(FOUND) is None

    view.consecutive_failures = 0
    view.open_cycles = 2
    assert rule.check(FOUND) is None  # it completed: closed again


# ── views ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("view", [QuietView(), FakeRiskView()], ids=["quiet", "fake"])
def test_view_has_everything_rules_may_look_at(view):
    for name, member in inspect.getmembers(RiskView):
        if not name.startswith("_") and (isinstance(member, property) or callable(member)):
            assert hasattr(view, name), name
    for name in ("limits", "now_ns"):
        assert hasattr(view, name)


def test_in_a_quiet_view_only_what_there_is_to_trade_is_missing():
    refusals = RiskGate(core_rules(QuietView())).check_all(FOUND)
    assert [refused.rule for refused in refusals] == ["balance", "instrument_status"]


def test_every_fact_of_the_fake_view_can_be_set():
    view = FakeRiskView()
    for field in attrs.fields(FakeRiskView):
        setattr(view, field.name, getattr(view, field.name))


def test_cycle_of_two_legs_is_judged_as_well():
    legs = (Leg("BTC/USD", Side.BUY), Leg("BTC/EUR", Side.SELL))
    found = make_opportunity(legs)
    assert found.assets == ("USD", "BTC")
    assert RiskGate(core_rules(FakeRiskView.around(found))).check(found) is None
