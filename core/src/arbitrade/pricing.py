"""Pure arithmetic of prices, fees and increments.  Exact: `Decimal` or integers, no floats."""

import enum
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from fractions import Fraction

import attrs

from arbitrade.models import Side

BPS = Decimal(10_000)
"""Basis points in one."""


class FeeConvention(enum.Enum):
    """In which asset a fee is taken, hence what a leg needs and what it brings.

    With f the fee rate, p the price, q the quantity in base:

    ================ ======================= =======================
    convention       a buy                   a sell
    ================ ======================= =======================
    `quote`          costs p·q·(1+f) quote   brings p·q·(1−f) quote
    `kraken_default` costs p·q·(1+f) quote   costs q·(1+f) base
    `proceeds`       brings q·(1−f) base     brings p·q·(1−f) quote
    ================ ======================= =======================
    """

    QUOTE = "quote"
    KRAKEN_DEFAULT = "kraken_default"
    PROCEEDS = "proceeds"

    def factors(self, side: Side, fee_rate: Decimal) -> tuple[Fraction, Fraction]:
        """Return (spent, received): what multiplies a leg's input and its output, exactly."""
        fee = Fraction(fee_rate)
        if side is Side.BUY:
            return (
                (Fraction(1), 1 - fee) if self is FeeConvention.PROCEEDS else (1 + fee, Fraction(1))
            )
        return (
            (1 + fee, Fraction(1))
            if self is FeeConvention.KRAKEN_DEFAULT
            else (Fraction(1), 1 - fee)
        )


@attrs.frozen
class FeeSchedule:
    """Fee rates by pair, as fractions of the notional.

    Args:
        taker: Rate of pairs without an override; ``Decimal("0.0040")`` is 40 bps.
        maker: The same for resting orders.
        overrides: Taker rate by symbol.
        charged_in: Where the fee is taken.
    """

    taker: Decimal
    maker: Decimal = Decimal("0.0025")
    overrides: Mapping[str, Decimal] = attrs.field(factory=dict)
    charged_in: FeeConvention = FeeConvention.QUOTE

    def taker_rate(self, symbol: str) -> Decimal:
        """Return the taker fee of a pair, a fraction of the notional."""
        return self.overrides.get(symbol, self.taker)


def round_down(value: Decimal, increment: Decimal) -> Decimal:
    """Return the largest multiple of `increment` not above `value`, for `value` ≥ 0.  Exact."""
    return (value / increment).to_integral_value(ROUND_DOWN) * increment


def round_price(price: Decimal, increment: Decimal, side: Side) -> Decimal:
    """Return `price` on the increment, moved in the safe direction.

    Safe is never worse than `price`: down for a buy, up for a sell.
    """
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return (price / increment).to_integral_value(rounding) * increment


def rate_at(side: Side, ticks: int, price_precision: int) -> Fraction:
    """Return what one unit of what goes in becomes at a price, before fees."""
    price = Fraction(ticks, 10**price_precision)
    return 1 / price if side is Side.BUY else price


def net_edge_bps(gross: Fraction) -> Decimal:
    """Return a product of after-fee rates as an edge in basis points, to 28 digits.

    edge = (Π rᵢ − 1) · 10⁴, with rᵢ the units of the next asset per unit of the last after the fee.
    """
    return to_decimal((gross - 1) * 10_000)


def to_decimal(value: Fraction) -> Decimal:
    """Return the nearest `Decimal` of 28 significant digits (the default context's precision)."""
    return Decimal(value.numerator) / Decimal(value.denominator)
