"""Whole lots of a book within an amount: the one arithmetic of detecting and of planning.

Exact, in integers.  A leg turns an amount of one asset into an amount of another.  With t the ticks
and n the lots of a level, s and r what the fee multiplies spending and receiving by, P and Q the
decimals of price and quantity, the level converts

    a buy:   s·t·n·10^-(P+Q) of the quote asset   into   r·n·10^-Q of the base asset
    a sell:  s·n·10^-Q of the base asset          into   r·t·n·10^-(P+Q) of the quote asset

All factors are rational, so either asset has a unit, one part in so many, in which every level is a
pair of integers.  Amounts become units by rounding down, lots are what units pay for, rounded down:
no rounding here creates money.
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from math import ceil, lcm
from typing import NamedTuple

import attrs

from arbitrade.models import Instrument, Side
from arbitrade.pricing import FeeConvention

type Held = tuple[int, int, *tuple[int, ...]]
"""A level as a book holds it: ticks, lots, and whatever else somebody keeps with it."""


@attrs.frozen
class OrderRules:
    """A venue's rules for orders on a pair, in ticks and lots.

    Args:
        lot_step: Quantities are multiples of it, and the ledger can hold what they buy.
        tick_step: Limit prices are multiples of it.
        lot: Quantity of one lot.
        tick: Price of one tick.
        minimum_lots: Smallest quantity.
        minimum_notional: Smallest ticks × lots.
    """

    lot_step: int
    tick_step: int
    lot: Decimal
    tick: Decimal
    minimum_lots: int
    minimum_notional: int


class Fill(NamedTuple):
    """Lots taken from the front of a side.

    Args:
        lots: Of all levels together.
        cost: Σ ticks × lots.
        worst_ticks: Price of the last level touched; of no lots, the best price there is.
        levels: Touched.
        last_lots: Taken from the last level.
    """

    lots: int
    cost: int
    worst_ticks: int
    levels: int
    last_lots: int


@attrs.frozen
class LegTerms:
    """What does not depend on book and amount.

    Args:
        pair: The instrument.
        side: What the order does with the base asset.
        is_buy: The same as a flag; enums are slow to compare in a hot loop.
        spend: Input units per lot, for a buy per tick and lot.
        spend_scale: Input units in one of the asset that goes in.
        receive: Output units per lot, for a sell per tick and lot.
        receive_scale: Output units in one of the asset that comes out.
        rules: What an order has to obey.
    """

    pair: Instrument
    side: Side
    is_buy: bool
    spend: int
    spend_scale: int
    receive: int
    receive_scale: int
    rules: OrderRules

    @property
    def spends(self) -> str:
        """The asset that goes in."""
        return self.pair.quote if self.is_buy else self.pair.base

    def units(self, amount: Decimal) -> int:
        """Return an amount of the asset that goes in, in units, rounded down; 0 for less than 0."""
        if amount <= 0:
            return 0
        numerator, denominator = amount.as_integer_ratio()
        return numerator * self.spend_scale // denominator

    def fill(self, levels: Iterable[Held], available: int, wallet: int | None = None) -> Fill:
        """Return as many lots as can be paid for, not yet on the lot step.  O(levels touched).

        Takes what the levels hold and no more.  The fee has to leave something on either side; of
        no lots the worst price is 0.

        Args:
            levels: What there is to take, best first.
            available: Most that may go in, in units.
            wallet: Most the venue may hold for the order, in units.  For all the lots of a buy,
                not only for the last level's, it holds the limit that reaches the last level.
        """
        spend, is_buy = self.spend, self.is_buy
        budget = available // spend
        cover = None
        if wallet is not None:
            if is_buy:
                cover = wallet // spend
            else:
                budget = min(budget, wallet // spend)
        lots = cost = worst_ticks = count = taken = 0
        for level in levels:
            ticks, held = level[0], level[1]
            part = held
            # PERF: multiplied first; a division for every level costs 1 µs of 13 a cycle.
            if is_buy:
                if cost + ticks * held > budget:
                    part = (budget - cost) // ticks
            elif lots + held > budget:
                part = budget - lots
            if cover is not None:
                part = min(part, cover // self.least_limit(ticks) - lots)
            if part <= 0:
                break
            lots += part
            cost += ticks * part
            worst_ticks = ticks
            count += 1
            taken = part
            if part < held:
                break
        # PERF: no list of what was taken, which costs 1 µs of 13 a cycle; `cut` walks once more.
        return Fill(lots, cost, worst_ticks, count, taken)

    def spent(self, fill: Fill) -> int:
        """Return what goes in, in units."""
        return (fill.cost if self.is_buy else fill.lots) * self.spend

    def received(self, fill: Fill) -> int:
        """Return what comes out, in units, before the venue's ledger rounds it."""
        return (fill.lots if self.is_buy else fill.cost) * self.receive

    def least_limit(self, ticks: int) -> int:
        """Return the limit nearest to a price, on the tick step, that still reaches it."""
        step = self.rules.tick_step
        return -(-ticks // step) * step if self.is_buy else ticks // step * step


def cut(levels: Iterable[Held], lots: int) -> Fill:
    """Return the fill of the first so many lots.  O(levels touched)."""
    left, cost, worst_ticks, count, taken = lots, 0, 0, 0, 0
    for level in levels:
        ticks, held = level[0], level[1]
        if not left:
            worst_ticks = worst_ticks or ticks
            break
        taken = held if held < left else left
        left -= taken
        cost += ticks * taken
        worst_ticks = ticks
        count += 1
    return Fill(lots - left, cost, worst_ticks, count, taken)


def leg_terms(
    pair: Instrument,
    side: Side,
    convention: FeeConvention,
    fee_rate: Decimal,
    base_step: Decimal | None = None,
) -> LegTerms:
    """Return the constants of a leg by itself.  About 15 µs: keep them.

    Legs that follow each other without rounding in between need a unit in common; whoever joins
    them multiplies `spend` and `receive` and their scales.

    Args:
        pair: The instrument.
        side: What the order does with the base asset.
        convention: Where the fee is taken.
        fee_rate: Fraction of the notional; ``Decimal("0.0040")`` is 40 bps.
        base_step: Smallest amount the venue's ledger keeps of the base asset, None if not known.
    """
    spend, receive = convention.factors(side, fee_rate)
    is_buy = side is Side.BUY
    lots = 10**pair.quantity_precision
    costs = lots * 10**pair.price_precision
    return LegTerms(
        pair=pair,
        side=side,
        is_buy=is_buy,
        spend=spend.numerator,
        spend_scale=spend.denominator * (costs if is_buy else lots),
        receive=receive.numerator,
        receive_scale=receive.denominator * (lots if is_buy else costs),
        rules=order_rules(pair, base_step),
    )


def order_rules(pair: Instrument, base_step: Decimal | None = None) -> OrderRules:
    """Return a pair's rules; its lot step is coarser where the ledger can't hold finer amounts.

    Args:
        pair: The instrument.
        base_step: Smallest amount the venue's ledger keeps of the base asset, None if not known.
    """
    ticks, lots = 10**pair.price_precision, 10**pair.quantity_precision
    return OrderRules(
        lot_step=_common_multiple(pair.quantity_increment * lots, (base_step or 0) * lots),
        tick_step=_common_multiple(pair.price_increment * ticks),
        lot=Decimal(1).scaleb(-pair.quantity_precision),
        tick=Decimal(1).scaleb(-pair.price_precision),
        minimum_lots=ceil(pair.minimum_quantity * lots),
        minimum_notional=ceil(pair.minimum_notional * ticks * lots),
    )


def _common_multiple(*steps: Decimal | int) -> int:
    """Return the smallest whole number that is a multiple of every step; 0 is no step."""
    return lcm(*(Fraction(step).numerator for step in steps if step))
