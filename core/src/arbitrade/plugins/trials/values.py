"""What is wrong with a value that a plugin gave."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from arbitrade.execution.basket import why_no_basket, why_wrong_leg
from arbitrade.models import (
    CycleState,
    Dust,
    Flip,
    Instruments,
    Leg,
    Opportunity,
    PlannedOrder,
    Refused,
    Side,
)

ZERO = Decimal(0)
SMALLEST, LARGEST = -60, 40
"""Powers of ten beyond which nothing in a market is; exact arithmetic would take for ever there."""


def number_problems(what: str, value: object, least: Decimal | None = None) -> Iterator[str]:
    """Yield what is wrong with an amount, a price or an edge: exact, finite, not below `least`."""
    if isinstance(value, float):
        yield f"{what} is the float {value!r}; make it a Decimal, of integers or of text"
    elif not isinstance(value, Decimal):
        yield f"{what} is {value!r}; it has to be a Decimal"
    elif not value.is_finite():
        yield f"{what} is {value}; leave out what can't be worked out"
    elif value and not SMALLEST <= value.adjusted() <= LARGEST:
        yield f"{what} is {value:.3E}; no market has that"
    elif least is not None and value < least:
        yield f"{what} is {value}; it can't be below {least}"


def text_problems(what: str, value: object) -> Iterator[str]:
    """Yield what is wrong with a text that must say something."""
    if not isinstance(value, str) or not value.strip():
        yield f"{what} is {value!r}; it has to be text that says something"


def opportunity_problems(
    found: object, detector: str, instruments: Instruments | None = None
) -> Iterator[str]:
    """Yield what is wrong with what a detector reported."""
    if not isinstance(found, Opportunity):
        yield f"{found!r:.100} is no Opportunity; report arbitrade.Opportunity"
        return
    if found.detector != detector:
        yield f"its detector is {found.detector!r}; it has to be the detector's name, {detector!r}"
    yield from text_problems("its key", found.key)
    yield from number_problems("its edge_bps", found.edge_bps)
    yield from number_problems("its size", found.size, ZERO)
    yield from number_problems("its profit", found.profit)
    yield from number_problems("its lot_profit", found.lot_profit)
    if found.blocked is not None:
        yield from text_problems("its blocked", found.blocked)
    timestamp: object = found.timestamp
    if timestamp is not None and not isinstance(timestamp, str):
        yield f"its timestamp is {timestamp!r}; hand on the book's, as the venue wrote it"
    if found.is_basket:
        yield from _basket_problems(found, instruments)
    else:
        yield from _leg_problems(found, instruments)
    yield from _order_problems(found)


def _leg_problems(found: Opportunity, instruments: Instruments | None) -> Iterator[str]:
    for name, kind in (("assets", str), ("legs", Leg)):
        value: object = getattr(found, name)
        if not isinstance(value, tuple) or not all(isinstance(one, kind) for one in value):
            yield f"its {name} are {value!r:.100}; they have to be a tuple of {kind.__name__}"
            return
    if not found.legs or len(found.legs) != len(found.assets):
        yield (
            f"it has {len(found.legs)} legs and the assets {', '.join(found.assets) or 'none'}; "
            "leg i turns assets[i] into the next one, the last into the first"
        )
        return
    for index, leg in enumerate(found.legs):
        side: object = leg.side
        if not isinstance(side, Side):
            yield f"its leg {leg.symbol} has the side {side!r}; it has to be a Side"
            return
        pair = None if instruments is None else instruments.get(leg.symbol)
        if instruments is not None and pair is None:
            yield f"its leg {leg.symbol} is no instrument of the venue; use only those it was given"
        elif pair is not None:
            spends, brings = (pair.quote, pair.base)[:: 1 if leg.side is Side.BUY else -1]
            wanted = found.assets[index], found.assets[(index + 1) % len(found.assets)]
            if (spends, brings) != wanted:
                yield (
                    f"its leg to {leg.side.value} {leg.symbol} turns {spends} into {brings}, but "
                    f"its assets say {wanted[0]} into {wanted[1]}"
                )


def _basket_problems(found: Opportunity, instruments: Instruments | None) -> Iterator[str]:
    wrong_numbers = [one for each in found.weights for one in number_problems("a weight", each)]
    yield from wrong_numbers
    problem = None if wrong_numbers else why_no_basket(found)
    if problem is not None:
        yield problem
    if problem is not None or wrong_numbers:
        return
    start, *assets = found.assets
    for leg, asset, weight in zip(found.legs, assets, found.weights, strict=True):
        pair = None if instruments is None else instruments.get(leg.symbol)
        if instruments is not None and pair is None:
            yield f"its leg {leg.symbol} is no instrument of the venue; use only those it was given"
        wrong = None if pair is None else why_wrong_leg(leg, pair, start, asset, weight)
        if wrong is not None:
            yield f"its leg {wrong}"


def _order_problems(found: Opportunity) -> Iterator[str]:
    for order in _each("orders", found.orders, PlannedOrder):
        yield from order if isinstance(order, list) else order_problems(order)
    for dust in _each("dust", found.dust, Dust):
        if isinstance(dust, list):
            yield from dust
        else:
            yield from number_problems(f"its dust of {dust.asset}", dust.amount, ZERO)
            yield from number_problems(f"the value of its dust of {dust.asset}", dust.value)


def order_problems(order: object) -> Iterator[str]:
    """Yield what is wrong with an order before a venue sees it."""
    if not isinstance(order, PlannedOrder):
        yield f"{order!r:.100} is no order; make it a PlannedOrder"
        return
    subject = f"its order to {order.side.value} {order.symbol}"
    yield from number_problems(f"the quantity of {subject}", order.quantity, ZERO)
    yield from number_problems(f"the limit_price of {subject}", order.limit_price, ZERO)
    if not order.quantity or not order.limit_price:
        yield f"{subject} is of {order.quantity} at {order.limit_price}; leave it out"


def refusal_problems(refused: object, rule: str, opportunity: Opportunity) -> Iterator[str]:
    """Yield what is wrong with a rule's refusal."""
    if not isinstance(refused, Refused):
        yield f"returned {refused!r:.100}; return a Refused, or None to let it pass"
        return
    if refused.rule != rule:
        yield f"its rule is {refused.rule!r}; it has to be the rule's name, {rule!r}"
    if refused.opportunity is not opportunity:
        yield "its opportunity is another one; hand on the one that was judged"
    for name in ("reason", "value", "limit"):
        yield from text_problems(f"its {name}", getattr(refused, name))
    for flip in _each("flips", refused.flips, Flip):
        if isinstance(flip, list):
            yield from flip
            continue
        yield from text_problems("the parameter of a flip", flip.parameter)
        yield from number_problems(f"what the flip of {flip.parameter} has now", flip.current)
        yield from number_problems(f"what the flip of {flip.parameter} needs", flip.needed)
        if flip.current == flip.needed:
            yield f"its flip of {flip.parameter} changes nothing: {flip.current} to {flip.needed}"


def cap_problems(cap: object) -> Iterator[str]:
    """Yield what is wrong with the most that a rule lets in."""
    if cap is not None:
        yield from number_problems("the cap", cap, ZERO)


def state_problems(state: object) -> Iterator[str]:
    """Yield what is wrong with how an executor says that a cycle ended."""
    if not isinstance(state, CycleState):
        yield f"returned {state!r}; return a CycleState"
    elif not state.is_final:
        yield f"returned {state}, which is no end; finish the cycle, or `await desk.unwind(why)`"


def _each[T](name: str, values: object, kind: type[T]) -> Iterator[T | list[str]]:
    """Yield the values that are what they should be, and in a list what is wrong with the rest."""
    if not isinstance(values, Iterable) or not isinstance(values, tuple):
        yield [f"its {name} are {values!r:.100}; they have to be a tuple of {kind.__name__}"]
        return
    for value in values:
        if isinstance(value, kind):
            yield value
        else:
            yield [f"one of its {name} is {value!r:.100}; it has to be a {kind.__name__}"]
