"""From the optimal size to orders a venue takes: whole lots, prices on the increment, minimums.

Leg by leg: each one spends what the leg before really brought after lots, fees and the rounding of
the venue's ledger.  What can't be spent is dust; it is valued, not forgotten.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from arbitrade.models import Dust, PlannedOrder
from arbitrade.pricing import round_price
from arbitrade_triangular.sizing import Optimum, Rung
from arbitrade_triangular.terms import CycleTerms, LegTerms, ratio

_ZERO = Decimal(0)


class LotPlan(NamedTuple):
    """The three orders, or why there are none.

    Args:
        orders: In trading order; empty when `blocked`.
        profit: What they bring above what they spend, in the start asset, dust not counted.
        dust: What they leave over.
        blocked: Subject, value and limit of what stands in the way; None when nothing does.
    """

    orders: tuple[PlannedOrder, ...]
    profit: Decimal
    dust: tuple[Dust, ...]
    blocked: str | None


class Fill(NamedTuple):
    """What an order of whole lots takes from a book.

    Args:
        lots: Quantity.
        spent: Input units it needs.
        received: Output units it brings, before the ledger rounds them.
        worst_ticks: Price of the last level touched.
    """

    lots: int
    spent: int
    received: int
    worst_ticks: int


def plan_lots(terms: CycleTerms, optimum: Optimum) -> LotPlan:
    """Return the orders for an optimum, each quantity rounded down to its lot step.

    Never spends more than the optimum's size, never takes more than the books hold.
    """
    if not optimum.size[0]:
        return _blocked(
            f"{terms.cycle.key}: at an edge of {optimum.edge_bps:.4f} bps no size is profitable; "
            "the limit is above 0"
        )
    orders: list[PlannedOrder] = []
    fills: list[Fill] = []
    left_over: list[int] = []
    # What is below a unit buys no lot, so whole units are enough.
    available = optimum.size[0] // optimum.size[1]
    for leg, rungs in zip(terms.legs, optimum.rungs, strict=True):
        fill = fill_lots(leg, rungs, available)
        lots, spent, received, worst_ticks = fill
        rules = leg.rules
        if (
            not lots
            or lots < rules.minimum_lots
            or lots * worst_ticks < rules.minimum_notional
            # Rounded the safe way, such a limit would stop short of the level it has to reach.
            or worst_ticks % rules.tick_step
        ):
            return _blocked(_broken_rule(leg, fill, terms.amount(len(fills), available)))
        orders.append(
            PlannedOrder(
                leg.instrument.symbol, leg.side, lots * rules.lot, worst_ticks * rules.tick
            )
        )
        fills.append(fill)
        left_over.append(available - spent)
        available = received - received % leg.ledger_step
    gained = available - fills[0].spent
    dust = _dust(terms, optimum, fills, left_over)
    if gained <= 0:
        return _blocked(_loss(terms, gained, dust))
    return LotPlan(tuple(orders), ratio(gained, terms.scales[0]), dust, None)


def fill_lots(leg: LegTerms, rungs: Sequence[Rung], available: int) -> Fill:
    """Return the fill of as many whole lot steps as `available` input units pay for."""
    lots = spent = received = worst_ticks = 0
    for ticks, held, whole_in, whole_out in rungs:
        if spent + whole_in > available:
            unit_in = ticks * leg.spend if leg.is_buy else leg.spend
            part = (available - spent) // unit_in
            if part:
                lots += part
                spent += part * unit_in
                received += part * (leg.receive if leg.is_buy else ticks * leg.receive)
                worst_ticks = ticks
            break
        lots += held
        spent += whole_in
        received += whole_out
        worst_ticks = ticks
    if excess := lots % leg.rules.lot_step:
        return _fill_exactly(leg, rungs, lots - excess)
    return Fill(lots, spent, received, worst_ticks)


def _fill_exactly(leg: LegTerms, rungs: Sequence[Rung], lots: int) -> Fill:
    spent = received = worst_ticks = 0
    left = lots
    for ticks, held, _, _ in rungs:
        if not left:
            break
        part = min(left, held)
        spent += part * (ticks * leg.spend if leg.is_buy else leg.spend)
        received += part * (leg.receive if leg.is_buy else ticks * leg.receive)
        worst_ticks = ticks
        left -= part
    return Fill(lots, spent, received, worst_ticks)


def _blocked(reason: str) -> LotPlan:
    return LotPlan((), _ZERO, (), reason)


def _broken_rule(leg: LegTerms, fill: Fill, available: Decimal) -> str:
    """Name the pair, the value and the limit of the first rule that is broken."""
    pair, rules = leg.instrument, leg.rules
    quantity, price = fill.lots * rules.lot, fill.worst_ticks * rules.tick
    if not fill.lots:
        step = _plain(rules.lot_step * rules.lot)
        reason = f"{_short(available)} {leg.spends} does not reach one lot of {step} {pair.base}"
    elif fill.lots < rules.minimum_lots:
        minimum = _plain(pair.minimum_quantity)
        reason = f"quantity {_plain(quantity)} is below the minimum {minimum}"
    elif fill.lots * fill.worst_ticks < rules.minimum_notional:
        notional, minimum = _plain(price * quantity), _plain(pair.minimum_notional)
        reason = f"notional {notional} {pair.quote} is below the minimum {minimum}"
    else:
        increment = _plain(pair.price_increment)
        safe = _plain(round_price(price, pair.price_increment, leg.side))
        reason = (
            f"price {_plain(price)} is not a multiple of the increment {increment}; "
            f"{safe} would not reach it"
        )
    return f"{pair.symbol}: {reason}"


def _dust(
    terms: CycleTerms, optimum: Optimum, fills: Sequence[Fill], left_over: Sequence[int]
) -> tuple[Dust, ...]:
    """Return what legs 2 and 3 could not spend, valued at what the rest of the books would pay.

    Where the orders ended is where the next unit begins; a price seen there may not hold for all of
    the dust, so it is walked on.  With its value no plan is worth more than the optimum.
    """
    assets, scales = terms.cycle.assets, terms.scales
    _, second, third = fills
    _, left2, left3 = left_over
    _, rungs2, rungs3 = optimum.rungs
    spent3, out3, scale3 = third.spent + left3, third.received, 1
    found: tuple[Dust, ...] = ()
    if left3:
        now, per = _output(rungs3, spent3)
        value = ratio(now - out3 * per, per * scales[0])
        found = (Dust(assets[2], ratio(left3, scales[2]), value),)
        out3, scale3 = now, per
    if left2:
        brought, scale = _output(rungs2, second.spent + left2)
        now, per = _output(rungs3, spent3 * scale + brought - second.received * scale, scale)
        value = ratio(now * scale3 - out3 * per, per * scale3 * scales[0])
        found = (Dust(assets[1], ratio(left2, scales[1]), value), *found)
    return found


def _output(rungs: Sequence[Rung], amount: int, scale: int = 1) -> tuple[int, int]:
    """Return what amount/scale input units bring, in any fraction of lots."""
    brought = 0
    for _, _, whole_in, whole_out in rungs:
        whole = whole_in * scale
        if amount < whole:
            return brought * whole + whole_out * amount, whole
        amount -= whole
        brought += whole_out
    return brought, 1


def _loss(terms: CycleTerms, gained: int, dust: Sequence[Dust]) -> str:
    start = terms.cycle.assets[0]
    value = sum((part.value for part in dust), _ZERO)
    return (
        f"{terms.cycle.key}: rounding to lots leaves {_short(terms.amount(0, gained))} {start} "
        f"and dust worth {_short(value)} {start}; the limit is above 0"
    )


def _plain(value: Decimal) -> str:
    """Return a number without exponent or trailing zeros."""
    return f"{value.normalize():f}"


def _short(value: Decimal) -> str:
    return f"{value:.8g}"
