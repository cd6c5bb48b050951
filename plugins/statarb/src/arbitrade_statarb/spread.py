"""How far a spread is from its mean, and how fast it comes back.  Pure; for research, so floats."""

import math
import statistics
from collections import deque
from collections.abc import Sequence

import attrs

from arbitrade_statarb.errors import TooFewObservationsError


@attrs.define
class RollingZScore:
    """Z-score of the newest observation among the last `window`, itself included.

    The deviation is the sample's (n − 1).  Sums are exact (`statistics`), so nothing drifts however
    long it runs; O(window) for each observation.

    Args:
        window: How many observations count, at least two.
    """

    window: int
    _recent: deque[float] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.window < 2:
            raise TooFewObservationsError(
                f"z-score: a window of {self.window} has no deviation; take at least 2"
            )
        self._recent = deque(maxlen=self.window)

    def update(self, value: float) -> float | None:
        """Take an observation and return its z-score.

        None until the window is full, and while all observations in it are equal.
        """
        self._recent.append(value)
        if len(self._recent) < self.window:
            return None
        deviation = statistics.stdev(self._recent)
        if deviation == 0:
            return None
        return (value - statistics.fmean(self._recent)) / deviation


def fit_persistence(spread: Sequence[float]) -> float:
    """Return φ of the first-order autoregression xₜ = c + φ·xₜ₋₁ + ε, by least squares.  O(n).

    Biased towards zero in short samples.

    Args:
        spread: (n,) equally spaced observations, oldest first.

    Raises:
        TooFewObservationsError: Fewer than three, or all but the last are equal.
    """
    try:
        return statistics.linear_regression(spread[:-1], spread[1:]).slope
    except statistics.StatisticsError as error:
        raise TooFewObservationsError(
            f"persistence: none from {len(spread)} observations ({error}); take a longer span"
        ) from error


def half_life(persistence: float) -> float:
    """Return after how many observations half of a deviation is left: −ln 2 / ln φ.

    The common shortcut −ln 2 / (φ − 1) is its first-order approximation and too long: 6.93 instead
    of 6.58 at φ = 0.9.  Infinite for φ ≥ 1 (no mean reversion), 0 for φ ≤ 0 (gone at once).
    """
    if persistence >= 1:
        return math.inf
    if persistence <= 0:
        return 0.0
    return -math.log(2) / math.log(persistence)


def half_life_of_reversion(speed: float) -> float:
    """Return ln 2 / α of an Ornstein-Uhlenbeck process dX = α(θ − X)dt + η dW.

    In the unit of time `speed` is counted per; infinite for a speed of zero or below.
    """
    return math.log(2) / speed if speed > 0 else math.inf
