"""From the optimal size to orders a venue takes: whole lots, prices on the increment, minimums.

Leg by leg, with the arithmetic of `arbitrade.lots`: each one spends what the leg before really
brought after lots, fees and the rounding of the venue's ledger.  What can't be spent is dust; it is
valued, not forgotten.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from arbitrade.lots import Fill, LegTerms, cut
from arbitrade.models import Dust, PlannedOrder
from arbitrade.pricing import round_price
from arbitrade_triangular.sizing import Optimum, Rung
from arbitrade_triangular.terms import CycleTerms

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
    spent: list[int] = []
    received: list[int] = []
    left_over: list[int] = []
    # What is below a unit buys no lot, so whole units are enough.
    available = optimum.size[0] // optimum.size[1]
    for leg, rungs, ledger_step in zip(terms.legs, optimum.rungs, terms.ledger_steps, strict=True):
        fill, rules = leg.fill(rungs, available), leg.rules
        if excess := fill.lots % rules.lot_step:
            fill = cut(rungs, fill.lots - excess)
        lots, worst_ticks = fill.lots, fill.worst_ticks
        if (
            not lots
            or lots < rules.minimum_lots
            or lots * worst_ticks < rules.minimum_notional
            # Rounded the safe way, such a limit would stop short of the level it has to reach.
            or worst_ticks % rules.tick_step
        ):
            return _blocked(_broken_rule(leg, fill, terms.amount(len(orders), available)))
        orders.append(
            PlannedOrder(leg.pair.symbol, leg.side, lots * rules.lot, worst_ticks * rules.tick)
        )
        spends, brings = leg.spent(fill), leg.received(fill)
        spent.append(spends)
        received.append(brings)
        left_over.append(available - spends)
        available = brings - brings % ledger_step
    gained = available - spent[0]
    dust = _dust(terms, optimum, spent, received, left_over)
    if gained <= 0:
        return _blocked(_loss(terms, gained, dust))
    return LotPlan(tuple(orders), terms.amount(0, gained), dust, None)


def _blocked(reason: str) -> LotPlan:
    return LotPlan((), _ZERO, (), reason)


def _broken_rule(leg: LegTerms, fill: Fill, available: Decimal) -> str:
    """Name the pair, the value and the limit of the first rule that is broken."""
    pair, rules = leg.pair, leg.rules
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
    terms: CycleTerms,
    optimum: Optimum,
    spent: Sequence[int],
    received: Sequence[int],
    left_over: Sequence[int],
) -> tuple[Dust, ...]:
    """Return what legs 2 and 3 could not spend, valued at what the rest of the books would pay.

    Where the orders ended is where the next unit begins; a price seen there may not hold for all of
    the dust, so it is walked on.  With its value no plan is worth more than the optimum.
    """
    assets = terms.cycle.assets
    _, left2, left3 = left_over
    _, rungs2, rungs3 = optimum.rungs
    spent3, out3, scale3 = spent[2] + left3, received[2], 1
    found: tuple[Dust, ...] = ()
    if left3:
        now, per = _output(rungs3, spent3)
        value = terms.amount(0, now - out3 * per, per)
        found = (Dust(assets[2], terms.amount(2, left3), value),)
        out3, scale3 = now, per
    if left2:
        brought, scale = _output(rungs2, spent[1] + left2)
        now, per = _output(rungs3, spent3 * scale + brought - received[1] * scale, scale)
        value = terms.amount(0, now * scale3 - out3 * per, per * scale3)
        found = (Dust(assets[1], terms.amount(1, left2), value), *found)
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
