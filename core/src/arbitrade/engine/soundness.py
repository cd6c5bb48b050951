"""Whether what a detector found can be: one look at each opportunity, before anybody counts on it.

A NaN would end whatever compares it first, a float would be money that never was.
"""

from decimal import Decimal

from arbitrade.errors import NonsenseError
from arbitrade.models import Dust, Instruments, Leg, Opportunity, PlannedOrder, Side
from arbitrade.plugins.trials.values import LARGEST, SMALLEST, opportunity_problems

_ZERO = Decimal(0)


def check_sound(found: object, detector: str, instruments: Instruments | None) -> Opportunity:
    """Return an opportunity that can be.  Some 3 µs.

    Raises:
        NonsenseError: It can't; says everything that is wrong with it.
    """
    try:
        if _is_sound(found, detector, instruments):
            assert isinstance(found, Opportunity)
            return found
        problems = list(opportunity_problems(found, detector, instruments))
    except Exception as error:
        # Whatever its parts do when they are looked at, it is not what it should be.
        raise NonsenseError(f"reported what can't be looked at: {error!r:.100}") from None
    if not problems:
        assert isinstance(found, Opportunity)
        return found
    raise NonsenseError("; ".join(problems))


def _is_sound(found: object, detector: str, instruments: Instruments | None) -> bool:
    return (
        type(found) is Opportunity
        and not found.weights  # a basket is rarer, and gets the thorough look
        and found.detector == detector
        and type(found.key) is str
        and found.key != ""
        and _is_amount(found.edge_bps)
        and _is_amount(found.profit)
        and _is_amount(found.lot_profit)
        and _is_amount(found.size)
        and found.size >= _ZERO
        and (found.timestamp is None or type(found.timestamp) is str)
        and (found.blocked is None or type(found.blocked) is str)
        and _are_dust(found.dust)
        and _are_joined(found, instruments)
        and _are_orders(found.orders)
    )


def _is_amount(value: object) -> bool:
    return (
        type(value) is Decimal
        and value.is_finite()
        and (SMALLEST <= value.adjusted() <= LARGEST or not value)
    )


def _are_joined(found: Opportunity, instruments: Instruments | None) -> bool:
    """Tell whether each leg turns its asset into the next one, by pairs that there are."""
    assets, legs = found.assets, found.legs
    if type(assets) is not tuple or type(legs) is not tuple or not legs or instruments is None:
        return False
    if len(assets) != len(legs):
        return False
    holds = assets[0]
    for at, leg in enumerate(legs, 1):
        pair = instruments.get(leg.symbol) if type(leg) is Leg else None
        if pair is None or holds != assets[at - 1]:
            return False
        spends, holds = (pair.quote, pair.base) if leg.side is Side.BUY else (pair.base, pair.quote)
        if spends != assets[at - 1]:
            return False
    return holds == assets[0]


def _are_dust(dust: object) -> bool:
    return type(dust) is tuple and all(
        type(one) is Dust
        and _is_amount(one.amount)
        and one.amount >= _ZERO
        and _is_amount(one.value)
        for one in dust
    )


def _are_orders(orders: object) -> bool:
    return type(orders) is tuple and all(
        type(order) is PlannedOrder
        and _is_amount(order.quantity)
        and order.quantity > _ZERO
        and _is_amount(order.limit_price)
        and order.limit_price > _ZERO
        for order in orders
    )
