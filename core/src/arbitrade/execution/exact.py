"""Decimals without rounding: the contexts quotes and ledgers are computed in, and their texts."""

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from fractions import Fraction

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Sums, differences and products without any rounding; never divide in it."""

ROUNDED_ONCE = Context(prec=28)
"""For quotients, which have no exact decimal."""

ZERO = Decimal(0)

_EIGHT_DIGITS = Context(prec=8)


def terminating(value: Fraction) -> Decimal:
    """Return one plus or minus a decimal rate as the decimal it is."""
    places = 0
    while 10**places % value.denominator:
        places += 1
    return Decimal(value.numerator * (10**places // value.denominator)).scaleb(-places, EXACT)


def round_to_step(value: Decimal, step: Decimal | None) -> Decimal:
    """Return the largest multiple of a step not above `value` ≥ 0; without a step, `value`."""
    if step is None:
        return value
    return EXACT.multiply(EXACT.divide_int(value, step), step)


def plain(value: Decimal) -> str:
    """Return a number without exponent or trailing zeros."""
    return f"{value.normalize(EXACT):f}"


def short(value: Decimal) -> str:
    """Return a number to eight digits, for a sentence."""
    return plain(_EIGHT_DIGITS.plus(value))
