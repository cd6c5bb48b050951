"""Latencies as settings write them: a constant, or a distribution to draw from."""

import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from random import Random

import attrs

from arbitrade.errors import ConfigError

_NS_PER_MS = 1_000_000
_LONGEST_MS = Decimal(86_400_000)
_SHORTEST_MEDIAN_MS = Decimal("0.000001")
_WIDEST_SIGMA = Decimal(10)
_WRITTEN = re.compile(r"\s*(?:([a-z]+)\s*\(([^()]*)\)|([^()]+))\s*", re.IGNORECASE)
_EXAMPLES = "write 20, uniform(5,20), normal(20,5) or lognormal(20,0.5)"


@attrs.frozen
class Delay:
    """A time between two moments, in milliseconds.

    Args:
        kind: `constant`, `uniform`, `normal` or `lognormal`.
        first: The constant, the lower end, the mean, the median; in milliseconds.
        second: The upper end, the standard deviation (both in milliseconds), or the sigma of the
            logarithm; unused for a constant.
    """

    kind: str
    first: Decimal
    second: Decimal = Decimal(0)

    def draw(self, rng: Random) -> int:
        """Return one in nanoseconds, never below 0 nor above a day; a constant draws nothing."""
        if self.kind == "constant":
            return int(self.first * _NS_PER_MS)
        drawn_ms = _DRAWS[self.kind](rng, float(self.first), float(self.second))
        return round(min(max(drawn_ms, 0.0), float(_LONGEST_MS)) * _NS_PER_MS)

    def __str__(self) -> str:
        """Return it as settings write it."""
        if self.kind == "constant":
            return f"{self.first:f}"
        return f"{self.kind}({self.first:f},{self.second:f})"


def parse_latency(text: str, setting: str) -> Delay:
    """Return the latency a setting describes, in milliseconds.

    Args:
        text: `20`, `uniform(5,20)`, `normal(20,5)` (mean, standard deviation; below 0 is 0) or
            `lognormal(20,0.5)` (median, sigma of the logarithm).
        setting: Its path, for the error.

    Raises:
        ConfigError: It is none of these, or out of range; names the setting.
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ConfigError(f"{setting}: {text!r} is no latency; {_EXAMPLES}")
    name, arguments, constant = written.groups()
    kind = "constant" if name is None else name.lower()
    wanted = 1 if name is None else 2
    values = _numbers(constant if name is None else arguments)
    if values is None or len(values) != wanted or (name is not None and kind not in _DRAWS):
        raise ConfigError(f"{setting}: {text!r} is no latency; {_EXAMPLES}")
    latency = Delay(kind, *values)
    problem = _problem(latency)
    if problem is not None:
        raise ConfigError(f"{setting}: {text!r}: {problem}; {_EXAMPLES}")
    return latency


def _numbers(text: str) -> list[Decimal] | None:
    try:
        values = [Decimal(part.strip()) for part in text.split(",")]
    except InvalidOperation:
        return None
    return values if all(value.is_finite() for value in values) else None


def _problem(latency: Delay) -> str | None:
    """Say what of a latency is out of range, None when nothing is."""
    first, second = latency.first, latency.second
    if first < 0 or second < 0:
        return f"{min(first, second)} is below 0"
    in_ms = (first,) if latency.kind in ("constant", "lognormal") else (first, second)
    if max(in_ms) > _LONGEST_MS:
        return f"{max(in_ms)} ms is more than a day"
    if latency.kind == "uniform" and first > second:
        return f"the lower end {first} is above the upper end {second}"
    if latency.kind == "lognormal" and first < _SHORTEST_MEDIAN_MS:
        return f"the median {first} is below a nanosecond, which leaves nothing to draw"
    if latency.kind == "lognormal" and second > _WIDEST_SIGMA:
        return f"sigma {second} is above {_WIDEST_SIGMA}"
    return None


_DRAWS: dict[str, Callable[[Random, float, float], float]] = {
    "uniform": lambda rng, low, high: rng.uniform(low, high),
    "normal": lambda rng, mean, deviation: rng.normalvariate(mean, deviation),
    "lognormal": lambda rng, median, sigma: rng.lognormvariate(math.log(median), sigma),
}
