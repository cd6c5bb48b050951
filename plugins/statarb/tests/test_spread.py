import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_statarb.errors import TooFewObservationsError
from arbitrade_statarb.spread import (
    RollingZScore,
    fit_persistence,
    half_life,
    half_life_of_reversion,
)


def test_half_life_of_a_persistence_of_nine_tenths_is_6_5788():
    assert round(half_life(0.9), 4) == 6.5788


def test_common_shortcut_overstates_the_half_life():
    assert round(-math.log(2) / (0.9 - 1), 4) == 6.9315
    assert half_life(0.9) < 6.9315


@given(st.floats(0.01, 0.999))
def test_half_of_a_deviation_is_left_after_the_half_life(persistence):
    assert persistence ** half_life(persistence) == pytest.approx(0.5)


@given(st.floats(0.01, 0.99))
def test_discrete_and_continuous_half_life_agree_when_persistence_is_exp_of_minus_speed(speed):
    assert half_life(math.exp(-speed)) == pytest.approx(half_life_of_reversion(speed))


def test_half_life_of_the_published_reversion_speed():
    # ln 2 / 180.9670
    assert half_life_of_reversion(180.9670) == pytest.approx(0.00383024)


@pytest.mark.parametrize("persistence", [1.0, 1.2])
def test_spread_that_does_not_revert_has_an_infinite_half_life(persistence):
    assert half_life(persistence) == math.inf
    assert half_life_of_reversion(0.0) == math.inf


def test_spread_that_alternates_has_no_half_life():
    assert half_life(-0.3) == 0.0


def test_persistence_of_a_noiseless_decay_is_found_exactly():
    assert fit_persistence([1024.0 * 0.5**step for step in range(8)]) == pytest.approx(0.5)


def test_mean_of_the_spread_does_not_change_its_persistence():
    decay = [0.9**step for step in range(50)]
    assert fit_persistence([7 + x for x in decay]) == pytest.approx(0.9)
    assert half_life(fit_persistence(decay)) == pytest.approx(6.5788, abs=1e-4)


@pytest.mark.parametrize("spread", [[], [1.0], [1.0, 2.0], [3.0, 3.0, 3.0, 4.0]])
def test_persistence_without_enough_variation_is_refused(spread):
    with pytest.raises(TooFewObservationsError, match=r"^persistence: "):
        fit_persistence(spread)


def test_z_score_of_a_worked_example():
    # mean of 1, 2, 3 is 2; sample deviation 1; (3 − 2) / 1
    score = RollingZScore(3)
    assert [score.update(x) for x in (1.0, 2.0, 3.0)] == [None, None, 1.0]
    # the window moves on: 2, 3, 7 has mean 4 and deviation √7
    assert score.update(7.0) == pytest.approx(3 / math.sqrt(7))


def test_z_score_of_a_flat_window_is_none():
    score = RollingZScore(2)
    assert [score.update(x) for x in (5.0, 5.0, 5.0)] == [None, None, None]


def test_window_of_one_is_refused():
    with pytest.raises(TooFewObservationsError, match="window of 1"):
        RollingZScore(1)


@given(st.lists(st.integers(-10_000, 10_000), min_size=5, max_size=60), st.integers(2, 5))
def test_z_score_depends_on_the_last_window_only(values, window):
    score = RollingZScore(window)
    newest = [score.update(value) for value in values][-1]
    recent = values[-window:]
    if len(set(recent)) == 1:
        assert newest is None
        return
    assert newest == pytest.approx(
        (recent[-1] - statistics.mean(recent)) / statistics.stdev(recent)
    )


@given(st.lists(st.integers(-1000, 1000), min_size=6, max_size=20), st.integers(1, 100))
def test_z_score_does_not_depend_on_the_unit_of_the_spread(values, factor):
    plain, scaled = RollingZScore(4), RollingZScore(4)
    for value in values:
        one, other = plain.update(value), scaled.update(value * factor)
        assert (one is None) == (other is None)
        assert one is None or other == pytest.approx(one)
