"""Chance: whether a thing that goes wrong now and then goes wrong this time."""

from random import Random


class Chance:
    """Draws from the one source that latencies come from too, so that a seed fixes all of it."""

    def __init__(self, rng: Random) -> None:
        self._random = rng.random

    def happens(self, share: float) -> bool:
        """Tell whether something of this share happens now; a share of 0 draws nothing."""
        return share > 0 and self._random() < share
