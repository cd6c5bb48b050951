"""How much of one instrument hedges another.  Pure; for research, so floats."""

import statistics
from collections.abc import Sequence

import attrs

from arbitrade_statarb.errors import TooFewObservationsError


@attrs.frozen
class Hedge:
    """A fixed combination of two instruments: dependent − intercept − ratio · independent.

    Args:
        ratio: Units of the independent instrument sold for each unit of the dependent one bought.
        intercept: What the spread would be around without it, in units of the dependent's price.
    """

    ratio: float
    intercept: float

    def spread(self, dependent: float, independent: float) -> float:
        """Return the hedged spread at these two prices, around zero over the fitted span."""
        return dependent - self.intercept - self.ratio * independent


def fit_hedge(dependent: Sequence[float], independent: Sequence[float]) -> Hedge:
    """Fit a hedge by ordinary least squares of `dependent` on `independent`, with intercept.

    Which of the two is the dependent one matters: swapped, the ratio is not the reciprocal.  O(n).

    Args:
        dependent: (n,) prices or log prices, oldest first.
        independent: (n,) the same of the other instrument, at the same times.

    Raises:
        TooFewObservationsError: Fewer than two observations, different lengths, or an independent
            instrument whose price never changes.
    """
    if len(dependent) != len(independent):
        raise TooFewObservationsError(
            f"hedge: {len(dependent)} observations against {len(independent)}; "
            "both instruments need one at each time"
        )
    try:
        slope, intercept = statistics.linear_regression(independent, dependent)
    except statistics.StatisticsError as error:
        raise TooFewObservationsError(
            f"hedge: no ratio from {len(dependent)} observations ({error}); take a longer span"
        ) from error
    return Hedge(slope, intercept)
