"""Types of command-line arguments: durations, rates, lists."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

import click

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class DurationType(click.ParamType[float]):
    """Seconds, written `30s`, `10m`, `2h`, `1d` or plain `30`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds that a length such as `30s`, `10m` or `2h` stands for."""
        if isinstance(value, int | float):
            return float(value)
        match = _DURATION.match(str(value).strip())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is not a duration; write 30s, 10m, 2h or 1d", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


class DecimalType(click.ParamType[Decimal]):
    """An exact decimal number within bounds."""

    name = "number"

    def __init__(self, minimum: str | None = None, maximum: str | None = None) -> None:
        self._minimum = None if minimum is None else Decimal(minimum)
        self._maximum = None if maximum is None else Decimal(maximum)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Return the exact number that was typed, never by way of a float."""
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not a decimal number", param, ctx)
        if not number.is_finite():
            self.fail(f"{value!r} is not a finite number", param, ctx)
        if self._minimum is not None and number < self._minimum:
            self.fail(f"{value} is below {self._minimum}", param, ctx)
        if self._maximum is not None and number > self._maximum:
            self.fail(f"{value} is above {self._maximum}", param, ctx)
        return number


class NamesType(click.ParamType[tuple[str, ...]]):
    """Names separated by commas."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names in order, upper case, without empty or repeated ones."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(n.strip().upper() for n in str(value).split(",") if n.strip()))
        if not names:
            self.fail(f"{value!r} names nothing; write USD,EUR", param, ctx)
        return names


DURATION = DurationType()
NAMES = NamesType()
