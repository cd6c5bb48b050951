"""Where the difference between what a cycle was expected to bring and what it brought went.

Every amount is carried to the start asset with the plan's own after-fee rates of the legs that
follow: with rᵢ = received/spent of leg i in the plan, one unit of the asset leg i spends is worth
Wᵢ = rᵢ·…·rₙ; the start asset is worth itself.  A leg's *value* is then

    V = received·W(what it brings) − spent·W(what it spends)

In the plan V₁ + … + Vₙ is the expected profit plus the dust, each leg after the first giving 0.
Along each leg's journey V is known at checkpoints (the plan; the books at sending, at the
acknowledgement, at the fill; the fill itself), and the terms are the differences between
neighbours, so whatever happens between is counted once.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import attrs

from arbitrade.execution.exact import EXACT, ZERO
from arbitrade.models import Attribution, LegQuote

_DECIMALS = 18
_STRETCHES = ("before_send", "to_ack", "to_fill", "fees", "depth")


@attrs.frozen
class LegJourney:
    """One leg from plan to fill.

    A quote that is None is not known, as after a crash: that term is 0, and the difference goes to
    the next one that is known.

    Args:
        planned: The plan's quote.
        at_send: What the same input would have brought on the books when the order was sent.
        at_ack: … when it was acknowledged.
        at_fill: … when it was filled, or ended without a fill.
        spent: Of the asset that goes in, as the executions say, fees in it included.
        received: Of the asset that comes out, less fees in it.
        fees: As charged, by asset.  Those in neither of the two assets are on top.
        rounding: By asset, what the venue's ledger booked beyond that, in our favour positive.
        is_sent: False for an order that never left: all it would have brought was lost before.
    """

    planned: LegQuote
    at_send: LegQuote | None = None
    at_ack: LegQuote | None = None
    at_fill: LegQuote | None = None
    spent: Decimal = ZERO
    received: Decimal = ZERO
    fees: Mapping[str, Decimal] = attrs.field(factory=dict)
    rounding: Mapping[str, Decimal] = attrs.field(factory=dict)
    is_sent: bool = True


@attrs.frozen
class CycleJourney:
    """A whole cycle from plan to end.

    Args:
        assets: Of the plan, start asset first.
        legs: In the plan's order, one for each of its quotes.
        unwound: What all orders on ways out changed, by asset, fees and rounding included: of the
            start asset what they brought, of others minus what they took.
        held: What was left on purpose because no way out was within the cap, by asset.
    """

    assets: Sequence[str]
    legs: Sequence[LegJourney]
    unwound: Mapping[str, Decimal] = attrs.field(factory=dict)
    held: Mapping[str, Decimal] = attrs.field(factory=dict)


def attribute(journey: CycleJourney) -> Attribution:
    """Return the terms; `expected` minus their sum is `realised`, to the last digit.

    Why that is exact: `expected` and `realised` are sums of amounts, without any rounding.  The
    terms but `rounding_and_dust` are exact fractions until each is rounded, once, to 18 decimals.
    `rounding_and_dust` is what then remains of the difference, a decimal too.  That it is what its
    name says follows from the telescoping sums: Σ V of the plan is expected + dust planned, Σ V of
    the fills and ways out is realised + what is left over, all valued at W, so the remainder is

        (left over and not held on purpose) − (dust planned) − (ledger's rounding in start asset)

    where what is left over is counted as executions say.  O(legs).
    """
    worth = _worth(journey)
    sums = dict.fromkeys(_STRETCHES, Fraction(0))
    for leg, (spends, brings) in zip(journey.legs, _ends(journey.assets), strict=True):
        for name, loss in _leg_losses(leg, spends, brings, worth).items():
            sums[name] += loss
    given_up = _valued(journey.held, worth) - _valued(journey.unwound, worth)
    terms = {name: _round(value) for name, value in (sums | {"unwinding": given_up}).items()}
    expected, realised = _expected(journey), _realised(journey)
    rest = EXACT.subtract(expected, realised)
    for value in terms.values():
        rest = EXACT.subtract(rest, value)
    return Attribution(
        expected=expected,
        realised=realised,
        moved_before_send=terms["before_send"],
        moved_send_to_ack=terms["to_ack"],
        moved_ack_to_fill=terms["to_fill"],
        fees=terms["fees"],
        rounding_and_dust=rest,
        depth_misjudged=terms["depth"],
        unwinding=terms["unwinding"],
    )


def _ends(assets: Sequence[str]) -> list[tuple[str, str]]:
    """Return what each leg spends and what it brings."""
    return list(zip(assets, (*assets[1:], assets[0]), strict=True))


def _worth(journey: CycleJourney) -> dict[str, Fraction]:
    """Return what one unit of each asset is worth in the start asset, by the plan."""
    worth: dict[str, Fraction] = {}
    product = Fraction(1)
    for asset, leg in list(zip(journey.assets, journey.legs, strict=True))[:0:-1]:
        plan = leg.planned
        product *= Fraction(plan.received) / Fraction(plan.spent) if plan.spent else 0
        worth[asset] = product
    worth[journey.assets[0]] = Fraction(1)
    return worth


def _leg_losses(
    leg: LegJourney, spends: str, brings: str, worth: Mapping[str, Fraction]
) -> dict[str, Fraction]:
    """Return what a leg lost on each stretch of its journey, in the start asset."""

    def value(spent: Decimal, received: Decimal) -> Fraction:
        return Fraction(received) * worth[brings] - Fraction(spent) * worth[spends]

    losses: dict[str, Fraction] = {}
    last = value(leg.planned.spent, leg.planned.received)
    checkpoints = ("before_send", leg.at_send), ("to_ack", leg.at_ack), ("to_fill", leg.at_fill)
    for name, quote in checkpoints:
        now = last if quote is None else value(quote.spent, quote.received)
        losses[name], last = last - now, now
    on_top = {asset: fee for asset, fee in leg.fees.items() if asset not in (spends, brings)}
    fills = value(leg.spent, leg.received) - _valued(on_top, worth)
    if not leg.is_sent:
        losses["before_send"] += last - fills
        return losses
    losses["fees"] = _excess_fees(leg, spends, worth)
    losses["depth"] = last - fills - losses["fees"]
    return losses


def _excess_fees(leg: LegJourney, spends: str, worth: Mapping[str, Fraction]) -> Fraction:
    """Return the fees charged above what the plan's rate would have made of the same fills."""
    plan, asset = leg.planned, leg.planned.fee_asset
    fee = Fraction(plan.fee)
    if asset == spends:
        planned = Fraction(plan.spent) - fee
        filled = Fraction(leg.spent) - Fraction(leg.fees.get(asset, ZERO))
    else:
        planned = Fraction(plan.received) + fee
        filled = Fraction(leg.received) + Fraction(leg.fees.get(asset, ZERO))
    expected = fee / planned * filled if planned else Fraction(0)
    return _valued(leg.fees, worth) - expected * worth.get(asset, 0)


def _valued(amounts: Mapping[str, Decimal], worth: Mapping[str, Fraction]) -> Fraction:
    """Return amounts by asset in the start asset; assets that are not the plan's count nothing."""
    return sum(
        (Fraction(amount) * worth.get(asset, 0) for asset, amount in amounts.items()), Fraction(0)
    )


def _expected(journey: CycleJourney) -> Decimal:
    return EXACT.subtract(journey.legs[-1].planned.received, journey.legs[0].planned.spent)


def _realised(journey: CycleJourney) -> Decimal:
    """Return what all orders changed of the start asset."""
    start = journey.assets[0]
    total = journey.unwound.get(start, ZERO)
    for leg, (spends, brings) in zip(journey.legs, _ends(journey.assets), strict=True):
        total = EXACT.add(total, leg.rounding.get(start, ZERO))
        if spends == start:
            total = EXACT.subtract(total, leg.spent)
        elif brings == start:
            total = EXACT.add(total, leg.received)
        else:
            total = EXACT.subtract(total, leg.fees.get(start, ZERO))
    return total


def _round(value: Fraction) -> Decimal:
    return Decimal(round(value * 10**_DECIMALS)).scaleb(-_DECIMALS, EXACT)
