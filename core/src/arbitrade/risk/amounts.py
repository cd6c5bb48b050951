"""Arithmetic that rules share: rounding that never lets more through, flips, amounts as text.

Flips name the smallest change.  Where a limit has to be reached that is the limit itself; where it
has to be exceeded there is no smallest, so it is the next point of a grid that is far below
everything that is traded: twelve digits behind the leading one, at least twelve decimals.
"""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_UP, Context, Decimal
from typing import Final

import attrs

from arbitrade.config.fields import describe
from arbitrade.config.risk import RiskLimits
from arbitrade.models import Flip
from arbitrade.protocols.risk import RiskView

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
DIGITS: Final = 12
"""Of the grid: 10^-12 for values below 10."""

DOWN: Final = Context(prec=28, rounding=ROUND_DOWN)
UP: Final = Context(prec=28, rounding=ROUND_UP)

_RANGES: Final = {field.name: describe(field) for field in attrs.fields(RiskLimits)}
_NANO: Final = Decimal("1e-9")


# ── the next value beyond ────────────────────────────────────────────────────────────────────────


def step(value: Decimal) -> Decimal:
    """Return the grid's step around a value."""
    return Decimal(1).scaleb(max(value.adjusted(), 0) - DIGITS)


def above(value: Decimal) -> Decimal:
    """Return the smallest value on the grid strictly above `value`."""
    grid = step(value)
    on_grid = value.quantize(grid, ROUND_FLOOR)
    return on_grid + grid


def below(value: Decimal) -> Decimal:
    """Return the largest value on the grid strictly below `value`."""
    grid = step(value)
    on_grid = value.quantize(grid, ROUND_CEILING)
    return on_grid - grid


# ── flips ────────────────────────────────────────────────────────────────────────────────────────


def limit_flip(name: str, current: Decimal, needed: Decimal, unit: str = "") -> tuple[Flip, ...]:
    """Return the flip of a limit; none when the limit can't be set to what is needed."""
    allowed = _RANGES[name]
    is_low = allowed.minimum is not None and needed < allowed.minimum
    is_high = allowed.maximum is not None and needed > allowed.maximum
    return () if is_low or is_high else (Flip(f"risk.{name}", current, needed, unit),)


def count_flip(name: str, current: int, needed: int) -> tuple[Flip, ...]:
    """Return the flip of a limit that counts."""
    return limit_flip(name, Decimal(current), Decimal(needed))


def seconds(value: float) -> Decimal | None:
    """Return a duration rounded up to the nanosecond; None when it is none."""
    exact = Decimal(value)
    return exact.quantize(_NANO, ROUND_CEILING) if exact.is_finite() else None


def elapsed_s(now_ns: int, since_ns: int) -> Decimal:
    """Return exact seconds between two times."""
    return Decimal(now_ns - since_ns).scaleb(-9)


# ── values across assets ─────────────────────────────────────────────────────────────────────────


def worth_of_one(view: RiskView, asset: str) -> Decimal | None:
    """Return one unit of an asset in the reference asset; None when that can't be told.

    Valuing is linear, so that one look-up serves every amount.
    """
    worth = view.value(asset, ONE)
    return worth if worth is not None and worth > 0 else None


# ── text ─────────────────────────────────────────────────────────────────────────────────────────


def plain(value: Decimal) -> str:
    """Return a number as people write it, in up to twelve significant digits."""
    if not value.is_finite():
        return str(value)
    return f"{value.normalize(_SHORT):f}"


_SHORT: Final = Context(prec=DIGITS)
