"""The venue's counters, as documented."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_kraken.account.trading_budget import TradingBudget, amend_points, cancel_points
from arbitrade_kraken.rest.call_budget import CallBudget


class Now:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.mark.parametrize(
    ("age_s", "cancel", "amend"),
    [
        (0, 8, 4),
        (4.9, 8, 4),
        (5, 6, 3),
        (10, 5, 2),
        (15, 4, 1),
        (45, 2, 1),
        (90, 1, 1),
        (300, 0, 1),
    ],
)
def test_cancels_and_amends_cost_by_age(age_s: float, cancel: int, amend: int) -> None:
    assert (cancel_points(age_s), amend_points(age_s)) == (cancel, amend)


def test_documented_example_adds_up_without_decay() -> None:
    """Add, amend after 7 s, cancel 36 s later: 1 + (1 + 2) + 4 = 8, less 43 s of decay."""
    now = Now()
    budget = TradingBudget(now, "starter")
    budget.added("SOL/EUR", 1, ["a"])
    assert budget.points("SOL/EUR") == 1
    now.s = 7
    budget.amended("SOL/EUR", "a")
    assert budget.points("SOL/EUR") == 3  # The 1 has decayed by now.
    now.s = 43
    budget.cancelled("SOL/EUR", "a")
    assert budget.points("SOL/EUR") == 4


def test_fifty_orders_have_decayed_as_documented_after_ten_seconds() -> None:
    now = Now()
    budget = TradingBudget(now)
    assert budget.learn(125) == "intermediate"
    for _ in range(50):
        budget.added("SOL/EUR", 1)
    now.s = 10
    assert budget.points("SOL/EUR") == pytest.approx(26.6)


def test_pairs_count_apart_and_the_whole_account_can_be_halted() -> None:
    now = Now()
    budget = TradingBudget(now)
    budget.exceeded("SOL/EUR")
    assert budget.refusal("SOL/EUR") is not None
    assert budget.refusal("SOL/USD") is None
    budget.exceeded_everywhere(5.0)
    assert budget.refusal("SOL/USD") is not None
    now.s = 61
    assert budget.refusal("SOL/EUR") is None


def test_orders_that_ended_by_themselves_need_no_room_any_more() -> None:
    budget = TradingBudget(Now())
    budget.added("SOL/EUR", 1, ["a"])
    for _ in range(43):
        budget.added("SOL/EUR", 1)
    assert budget.refusal("SOL/EUR") is not None
    budget.ended("SOL/EUR", "a")
    assert budget.refusal("SOL/EUR") is None


@given(
    st.lists(st.tuples(st.sampled_from(["add", "rest", "wait"]), st.floats(0, 30)), max_size=200)
)
def test_there_is_always_room_to_cancel_everything(steps: list[tuple[str, float]]) -> None:
    """Whatever was let out: cancelling all of it at once stays below the threshold."""
    now = Now()
    budget = TradingBudget(now, "starter")
    resting: list[str] = []
    for number, (step, seconds) in enumerate(steps):
        if step == "wait":
            now.s += seconds
        elif budget.refusal("SOL/EUR", 1, int(step == "rest")) is None:
            ids = [str(number)] if step == "rest" else []
            budget.added("SOL/EUR", 1, ids)
            resting += ids
    for client_id in resting:
        budget.cancelled("SOL/EUR", client_id)
    assert budget.points("SOL/EUR") <= 60


def test_last_points_are_for_calls_that_matter() -> None:
    now = Now()
    budget = CallBudget("starter", now)
    assert [budget.try_take(1, matters=False) for _ in range(9)] == [0.0] * 9
    assert budget.try_take(1, matters=False) == pytest.approx(1 / 0.33)
    assert [budget.try_take(1, matters=True) for _ in range(5)] == [0.0] * 5
    assert budget.try_take(1, matters=True) > 0
    now.s = 100
    assert budget.points == 0


def test_full_counter_is_left_alone_for_a_while() -> None:
    now = Now()
    budget = CallBudget("pro", now)
    budget.exceeded(30)
    assert budget.try_take(1, matters=True) == 30
    now.s = 30
    assert budget.try_take(1, matters=True) == 0
