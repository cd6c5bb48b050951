import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_statarb.errors import TooFewObservationsError
from arbitrade_statarb.hedge import Hedge, fit_hedge

# Integers keep the arithmetic of the oracle exact.
series = st.lists(st.tuples(*[st.integers(-1000, 1000)] * 2), min_size=2, max_size=30).filter(
    lambda points: len({x for x, _ in points}) > 1
)


def test_ratio_and_intercept_of_an_exact_line_are_found():
    # y = 3 + 2x
    assert fit_hedge([3, 5, 7, 9], [0, 1, 2, 3]) == Hedge(2.0, 3.0)


def test_ratio_of_a_worked_example_of_least_squares():
    # x̄ = 2, ȳ = 3; Σ(x−x̄)(y−ȳ) = 1+0+2 = 3; Σ(x−x̄)² = 2; ratio 1.5, intercept 3 − 1.5·2 = 0
    assert fit_hedge([2, 2, 5], [1, 2, 3]) == Hedge(1.5, 0.0)


@given(series)
def test_spread_sums_to_zero_over_the_fitted_span(points):
    hedge = fit_hedge([y for _, y in points], [x for x, _ in points])
    total = sum(hedge.spread(y, x) for x, y in points)
    assert total == pytest.approx(0, abs=1e-6)


@given(series, st.floats(-0.5, 0.5), st.floats(-5, 5))
def test_no_other_ratio_or_intercept_has_a_smaller_squared_spread(points, tilt, shift):
    hedge = fit_hedge([y for _, y in points], [x for x, _ in points])
    other = Hedge(hedge.ratio + tilt, hedge.intercept + shift)
    best, rest = (sum(h.spread(y, x) ** 2 for x, y in points) for h in (hedge, other))
    assert best <= rest * (1 + 1e-9) + 1e-6


def test_swapped_instruments_do_not_give_the_reciprocal():
    # y on x is 1.5 (above); x on y: Σxy 3 / Σ(y−ȳ)² 6 = 0.5, not 2/3
    assert fit_hedge([1, 2, 3], [2, 2, 5]).ratio == 0.5


@pytest.mark.parametrize(
    ("dependent", "independent"),
    [([1.0], [1.0]), ([], []), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [5.0, 5.0])],
    ids=["one observation", "none", "different lengths", "price that never changes"],
)
def test_hedge_that_cannot_be_fitted_is_refused(dependent, independent):
    with pytest.raises(TooFewObservationsError, match=r"^hedge: "):
        fit_hedge(dependent, independent)
