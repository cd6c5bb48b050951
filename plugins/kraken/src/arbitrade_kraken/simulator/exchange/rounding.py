"""Rounding of money, as the venue's reports and ledger show it."""

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, localcontext

ZERO = Decimal(0)


def to_nearest(amount: Decimal, decimals: int, mode: str = ROUND_HALF_UP) -> Decimal:
    """Return `amount` with exactly so many decimals."""
    with localcontext(prec=60):
        return amount.quantize(Decimal(1).scaleb(-decimals), rounding=mode)


def up(amount: Decimal, decimals: int) -> Decimal:
    """Return `amount` with so many decimals, never less than it was."""
    return to_nearest(amount, decimals, ROUND_CEILING)


def product(*factors: Decimal) -> Decimal:
    """Return the exact product; `Decimal` alone would round it to 28 digits."""
    with localcontext(prec=120):
        result = Decimal(1)
        for factor in factors:
            result *= factor
        return result


def decimals_of(amount: Decimal) -> int:
    """Return how many decimals a number needs; trailing zeros don't count."""
    with localcontext(prec=60):
        exponent = amount.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def is_multiple(amount: Decimal, step: Decimal) -> bool:
    """True when `amount` is a whole number of steps."""
    with localcontext(prec=80):
        return amount % step == 0
