"""The gate fails closed, whatever a rule does."""

from collections.abc import Callable
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.errors import PluginError
from arbitrade.models import Opportunity, Refused
from arbitrade.risk import Cap, RiskGate
from arbitrade.risk.core_rules import core_rules
from arbitrade.testing.risk import FakeRiskView, make_opportunity

FOUND = make_opportunity()


@attrs.define
class Rule:
    """Says what it is told to."""

    name: str
    says: object = None
    asked: int = 0

    def check(self, opportunity: Opportunity) -> Refused | None:
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@attrs.define
class Sizing(Rule):
    """Caps at what it is told to."""

    caps_at: object = None

    def maximum_input(self, opportunity: Opportunity) -> Decimal | None:
        if isinstance(self.caps_at, Exception):
            raise self.caps_at
        return self.caps_at


def no(name: str) -> Rule:
    return Rule(name, Refused(FOUND, name, "no", "1", "0"))


def raises(error: Exception) -> Callable[[], Rule]:
    return lambda: Rule("b", error)


# ── what passes ──────────────────────────────────────────────────────────────────────────────────


def test_rules_are_asked_by_name_until_one_refuses():
    a, b, c = Rule("a"), no("b"), no("c")
    gate = RiskGate([c, a, b])
    assert gate.names == ("a", "b", "c")
    assert gate.rules == (a, b, c)
    refused = gate.check(FOUND)
    assert refused is b.says
    assert (a.asked, b.asked, c.asked) == (1, 1, 0)


def test_what_no_rule_refuses_passes_with_the_smallest_cap():
    gate = RiskGate(
        [Rule("a"), Sizing("b", caps_at=Decimal(7)), Sizing("c", caps_at=Decimal(5)), Sizing("d")]
    )
    assert gate.check(FOUND) is None
    assert gate.judge(FOUND) == Cap(Decimal(5), "c")
    assert gate.cap(FOUND) == (Decimal(5), "c")
    assert gate.caps(FOUND) == {"b": 7, "c": 5}


def test_without_caps_there_is_no_limit():
    gate = RiskGate([Rule("a"), Sizing("b")])
    assert gate.judge(FOUND) == Cap(None, "")
    assert gate.cap(FOUND) == (None, "")


def test_of_equal_caps_the_first_by_name_is_named():
    gate = RiskGate([Sizing("z", caps_at=Decimal(5)), Sizing("c", caps_at=Decimal("5.0"))])
    assert gate.judge(FOUND).rule == "c"
    assert gate.cap(FOUND)[1] == "c"


def test_cap_of_0_is_a_refusal():
    refused = RiskGate([Sizing("a", caps_at=Decimal(0))]).check(FOUND)
    assert (refused.rule, refused.value) == ("a", "0 USD")


def test_core_lets_what_is_in_order_pass_up_to_its_smallest_cap():
    gate = RiskGate(core_rules(FakeRiskView.around(FOUND)))
    assert gate.judge(FOUND) == Cap(Decimal(1_000), "maximum_notional")
    assert gate.check_all(FOUND) == ()


# ── rules that fail ──────────────────────────────────────────────────────────────────────────────

BROKEN = [
    Rule("b", ValueError("oops")),
    Rule("b", ZeroDivisionError()),
    Rule("b", True),
    Rule("b", "no"),
    Rule("b", ()),
    Sizing("b", caps_at=ValueError("oops")),
    Sizing("b", caps_at=Decimal("NaN")),
    Sizing("b", caps_at=Decimal("sNaN")),
    Sizing("b", caps_at=Decimal("Infinity")),
    Sizing("b", caps_at=Decimal("-0.01")),
    Sizing("b", caps_at=1.5),
    Sizing("b", caps_at=100),
    Sizing("b", caps_at="100"),
]


@pytest.mark.parametrize("broken", BROKEN, ids=repr)
def test_rule_that_raises_or_answers_nonsense_refuses_for_as_long_as_it_does(broken):
    failed = []
    gate = RiskGate([Rule("a"), broken, Rule("c")], lambda name, error: failed.append(name))
    for turn in range(1, 6):
        refused = gate.check(FOUND)
        assert refused.rule == "b"
        assert "failed" in refused.reason
        assert gate.failures == {"b": turn}
        assert failed == ["b"] * turn
    assert gate.names == ("a", "b", "c")


@pytest.mark.parametrize("broken", BROKEN, ids=repr)
def test_rule_that_fails_is_one_refusal_among_all(broken):
    gate = RiskGate([no("a"), broken, no("c")])
    assert [refused.rule for refused in gate.check_all(FOUND)] == ["a", "b", "c"]


@pytest.mark.parametrize("broken", [rule for rule in BROKEN if isinstance(rule, Sizing)], ids=repr)
def test_cap_of_a_rule_that_fails_is_0(broken):
    gate = RiskGate([Sizing("a", caps_at=Decimal(5)), broken])
    assert gate.cap(FOUND) == (Decimal(0), "b")


def test_what_a_rule_raised_is_reported_as_it_was():
    told = []
    error = ValueError("a key of the environment is missing")
    gate = RiskGate([Rule("a", error)], lambda *what: told.append(what))
    assert "ValueError: a key of the environment is missing" in gate.check(FOUND).reason
    assert told == [("a", error)]


def test_nonsense_is_reported_with_the_rule_and_what_was_wanted():
    told = []
    RiskGate([Rule("a", True)], lambda name, error: told.append(error)).check(FOUND)
    (error,) = told
    assert isinstance(error, PluginError)
    assert str(error) == "risk rule a: check returned True, not a Refused or None"


def test_long_error_is_cut_in_the_reason():
    assert len(RiskGate([Rule("a", ValueError("x" * 9_999))]).check(FOUND).reason) < 300


def test_failures_in_a_row_are_over_when_the_rule_works_again():
    rule = Rule("a", ValueError("oops"))
    gate = RiskGate([rule])
    gate.check(FOUND)
    gate.check_all(FOUND)
    assert gate.failures == {"a": 2}
    rule.says = Refused(FOUND, "a", "no", "1", "0")
    gate.check(FOUND)
    assert gate.failures == {}
    rule.says = ValueError("oops")
    gate.check(FOUND)
    rule.says = None
    assert gate.check(FOUND) is None
    assert gate.failures == {}


def test_what_ends_the_program_is_not_taken_for_a_failure():
    class Stop(Rule):
        def check(self, opportunity):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RiskGate([Stop("a")]).check(FOUND)


# ── which rules ──────────────────────────────────────────────────────────────────────────────────


def test_names_are_unique_and_the_rules_stay_when_they_would_not_be():
    gate = RiskGate([Rule("a")])
    with pytest.raises(PluginError, match="more than one is called b"):
        gate.swap([Rule("b"), Rule("c"), Rule("b")])
    assert gate.names == ("a",)
    with pytest.raises(PluginError):
        RiskGate([Rule("a"), Rule("a")])


def test_rules_are_swapped_between_two_checks():
    gate = RiskGate([no("a")])
    assert gate.check(FOUND) is not None
    gate.swap([Rule("b")])
    assert gate.check(FOUND) is None
    assert gate.names == ("b",)


def test_failures_are_kept_over_a_swap_for_rules_that_stay():
    gate = RiskGate([Rule("a", ValueError()), Rule("b", ValueError())])
    gate.check_all(FOUND)
    gate.swap([Rule("b", ValueError()), Rule("c")])
    assert gate.failures == {"b": 1}


def test_missing_names_what_is_required_and_not_there():
    gate = RiskGate([Rule("a"), Rule("c")])
    assert gate.missing(("d", "c", "b")) == ("d", "b")
    assert gate.missing(()) == ()


@given(
    order=st.permutations(range(21)),
    edge=st.sampled_from([0, 50]),
    failures=st.sampled_from([0, 9]),
    is_ready=st.booleans(),
    balance=st.sampled_from([0, 10]),
)
def test_everything_in_the_way_does_not_depend_on_the_order_of_rules(
    order, edge, failures, is_ready, balance
):
    view = FakeRiskView.around(FOUND)
    view.set_limits(minimum_edge_bps=edge)
    view.consecutive_failures, view.is_account_ready = failures, is_ready
    view.balances = {"USD": Decimal(balance)}
    rules = core_rules(view)
    plain, mixed = RiskGate(rules), RiskGate([rules[at] for at in order])
    everything = plain.check_all(FOUND)
    assert mixed.check_all(FOUND) == everything
    assert mixed.check(FOUND) == (everything[0] if everything else None)
    assert mixed.judge(FOUND) == plain.judge(FOUND)
    assert len({refused.rule for refused in everything}) == len(everything)
