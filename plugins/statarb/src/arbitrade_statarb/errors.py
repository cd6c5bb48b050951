"""What goes wrong in the statistics."""

from arbitrade import ArbitradeError


class TooFewObservationsError(ArbitradeError):
    """A statistic was asked of fewer observations than it needs, or of ones that never differ."""
