"""What an opportunity has to bring, and what fee would make it bring that."""

import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import attrs

from arbitrade.models import Flip, Leg, Opportunity, Refused, Side
from arbitrade.pricing import BPS, FeeConvention, FeeSchedule, net_edge_bps
from arbitrade.protocols.risk import RiskView
from arbitrade.risk.amounts import below, limit_flip, plain

FEE_DIGITS = 12
"""Decimals of the fee a flip names."""
LOWEST_FEE, HIGHEST_FEE = Decimal("-0.01"), Decimal("0.2")
"""What the settings take."""

_MARGIN = Fraction(1, 10**20)
"""Edges are rounded to 28 digits; what exceeds a limit by less than this might not any more."""
_SAME_EDGE_BPS = Decimal("1e-9")


@attrs.frozen
class MinimumEdge:
    """Refuses an opportunity whose net edge is not strictly above `risk.minimum_edge_bps`.

    Detectors have thresholds of their own, below which they don't report; this is the one for
    trading.
    """

    view: RiskView
    name: str = "minimum_edge"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal unless the net edge is strictly above the limit."""
        limit = self.view.limits.minimum_edge_bps
        edge = opportunity.edge_bps
        if edge > limit:
            return None
        return Refused(
            opportunity,
            self.name,
            "the net edge is not above risk.minimum_edge_bps",
            value=f"{edge:.4f} bps",
            limit=f"{plain(limit)} bps",
            flips=(
                *limit_flip("minimum_edge_bps", limit, below(edge), "bps"),
                *fee_flips(opportunity, self.view, limit),
            ),
        )


def fee_flips(opportunity: Opportunity, view: RiskView, minimum_bps: Decimal) -> tuple[Flip, ...]:
    """Return the highest fees that, each alone, lift the edge strictly above a minimum.

    `fees.taker` moves the pairs without an override; each pair with one has a flip of its own.
    None where the legs at the books' best prices don't explain the edge, because the detector
    reckons otherwise or the books have moved on; for a basket, whose legs are only the way in.
    Tens of microseconds.
    """
    if opportunity.is_basket:
        return ()
    net = _net_rate(opportunity, view)
    if net is None or abs(net_edge_bps(net) - opportunity.edge_bps) > _SAME_EDGE_BPS:
        return ()
    wanted = 1 + Fraction(minimum_bps) / Fraction(BPS) + _MARGIN
    return tuple(_flips(opportunity.legs, view.fees, net, wanted))


def highest_fee(on_input: int, off_output: int, rate: Fraction, wanted: Fraction) -> Decimal | None:
    """Return the highest fee f, to 12 decimals, with rate · (1−f)^b / (1+f)^a > wanted.

    Exact; None when not even the lowest fee the settings take does it.

    Args:
        on_input: a, legs whose fee comes on top of what goes in.
        off_output: b, legs whose fee comes off what they bring.
        rate: Product of the rates without these fees.
        wanted: What has to be exceeded.
    """
    one = 10**FEE_DIGITS
    gain = rate.numerator * wanted.denominator * one**on_input
    cost = rate.denominator * wanted.numerator * one**off_output
    low, high = int(LOWEST_FEE * one), int(HIGHEST_FEE * one)

    def is_enough(fee: int) -> bool:
        return bool(gain * (one - fee) ** off_output > cost * (one + fee) ** on_input)

    if not is_enough(low):
        return None
    if is_enough(high):
        return HIGHEST_FEE
    # PERF: floats get within two steps, which saves 35 of 40 halvings; exact is what follows.
    near = int(_solve(on_input, off_output, math.log(rate / wanted)) * one)
    if low < near - 2 and near + 2 < high and is_enough(near - 2) and not is_enough(near + 2):
        low, high = near - 2, near + 2
    while high - low > 1:
        middle = (low + high) // 2
        if is_enough(middle):
            low = middle
        else:
            high = middle
    return Decimal(low).scaleb(-FEE_DIGITS)


def _flips(
    legs: tuple[Leg, ...], fees: FeeSchedule, net: Fraction, wanted: Fraction
) -> Iterator[Flip]:
    plain_legs = [leg for leg in legs if leg.symbol not in fees.overrides]
    overridden = sorted({leg.symbol for leg in legs} & set(fees.overrides))
    groups = [("fees.taker", fees.taker, plain_legs)] if plain_legs else []
    groups += [
        (f"fees.overrides.{s}", fees.overrides[s], [leg for leg in legs if leg.symbol == s])
        for s in overridden
    ]
    for parameter, current, moved in groups:
        rate = net
        for leg in moved:
            rate /= _kept(fees, leg)
        on_input = sum(_is_on_input(fees.charged_in, leg.side) for leg in moved)
        needed = highest_fee(on_input, len(moved) - on_input, rate, wanted)
        if needed is not None:
            yield Flip(parameter, current, needed, "fraction of the notional")


def _solve(on_input: int, off_output: int, log_ratio: float) -> float:
    """Return about the fee f with (1+f)^a / (1−f)^b = e^ratio, by Newton's method."""
    fee = 0.0
    for _ in range(6):
        value = log_ratio + off_output * math.log1p(-fee) - on_input * math.log1p(fee)
        fee += value / (off_output / (1 - fee) + on_input / (1 + fee))
        fee = min(max(fee, -0.5), 0.5)
    return fee


def _net_rate(opportunity: Opportunity, view: RiskView) -> Fraction | None:
    """Return the product of the legs' best prices after fees; None without a book's side."""
    up = down = 1
    fees = view.fees
    for leg in opportunity.legs:
        book = view.book(leg.symbol)
        ticks = None if book is None else book.side(leg.side).best
        if book is None or not ticks:
            return None
        tick = 10**book.instrument.price_precision
        # Whole numbers: a fraction would look for common factors at each step.
        kept = _kept(fees, leg)
        is_buy = leg.side is Side.BUY
        up *= (tick if is_buy else ticks) * kept.numerator
        down *= (ticks if is_buy else tick) * kept.denominator
    return Fraction(up, down)


def _kept(fees: FeeSchedule, leg: Leg) -> Fraction:
    spent, received = fees.charged_in.factors(leg.side, fees.taker_rate(leg.symbol))
    return received / spent


def _is_on_input(convention: FeeConvention, side: Side) -> bool:
    spent, _ = convention.factors(side, Decimal(1))
    return spent != 1
