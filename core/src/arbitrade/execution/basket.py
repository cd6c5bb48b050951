"""From a basket's weights and books to the orders it is entered by: pure and exact."""

from collections.abc import Callable, Sequence
from decimal import ROUND_UP, Context, Decimal
from fractions import Fraction

import attrs

from arbitrade.book import OrderBook
from arbitrade.execution.exact import EXACT, ROUNDED_ONCE, ZERO, plain
from arbitrade.execution.walk import Conditions, why_not_tradable
from arbitrade.models import BasketPlan, Instrument, Leg, LegQuote, Opportunity, Side
from arbitrade.pricing import rate_at

_UP = Context(prec=28, rounding=ROUND_UP)


def plan_basket(
    opportunity: Opportunity,
    books: Callable[[str], OrderBook | None],
    amount: Decimal,
    conditions: Conditions,
    *,
    cap: str = "",
) -> BasketPlan:
    """Return a basket sized for `amount` of its start asset, split by its weights.

    Where a book or the wallet gives a leg less than its part, the others are made smaller too, so
    that the weights hold to within a lot.  Blocked when a leg is, when a book may not be traded on,
    and when the opportunity is no basket.

    Args:
        opportunity: With weights.
        books: Return a pair's book, None where there is none.
        amount: Most that may be put in: spent on purchases, and sold out of what there is.
        conditions: Of all quotes; without `available` there is all it takes.
        cap: What bound `amount` below the optimum; kept in the plan.
    """
    plan = BasketPlan(
        opportunity.key,
        opportunity.assets,
        opportunity.legs,
        opportunity.weights,
        (),
        ZERO,
        ZERO,
        cap=cap,
    )
    problem = why_no_basket(opportunity)
    if problem is not None:
        return attrs.evolve(plan, blocked=f"{opportunity.key}: {problem}")
    parts, blocked = _parts(opportunity, books, amount)
    quotes: list[LegQuote] = []
    if blocked is None:
        quotes, blocked = _quote_all(opportunity.legs, books, parts, conditions)
    if blocked is None:
        # Every leg gets the part the weakest one could have of its own.
        share = min(
            _share(books(quote.symbol), quote, part, conditions)
            for quote, part in zip(quotes, parts, strict=True)
        )
        smaller = [min(part, _up(Fraction(part) * share)) for part in parts]
        quotes, blocked = _quote_all(opportunity.legs, books, smaller, conditions)
    if blocked is not None:
        return attrs.evolve(plan, quotes=tuple(quotes), blocked=blocked)
    spent = _put_in(opportunity.weights, quotes)
    expected = ROUNDED_ONCE.divide(EXACT.multiply(opportunity.profit, spent), opportunity.size)
    return attrs.evolve(plan, quotes=tuple(quotes), spent=spent, expected_profit=expected)


def why_no_basket(opportunity: Opportunity) -> str | None:
    """Return why an opportunity is no basket that could be sized; None when it is one."""
    assets, weights = opportunity.assets, opportunity.weights
    if not len(assets) - 1 == len(opportunity.legs) == len(weights):
        return (
            f"it has {len(opportunity.legs)} legs and {len(weights)} weights for the assets "
            f"{', '.join(assets)}; there has to be one of each for every asset after the first"
        )
    if len(set(assets)) < len(assets):
        return f"its assets {', '.join(assets)} name one twice; give each a leg of its own"
    if not all(weight.is_finite() and weight for weight in weights):
        return f"a weight of {', '.join(map(str, weights))} is none; leave such a leg out"
    total = sum((abs(weight) for weight in weights), ZERO)
    if total > 1:
        return f"its weights come to {plain(total)} without signs; they may be 1 at most"
    if opportunity.size <= 0:
        return f"its size is {plain(opportunity.size)}; it has to be above 0"
    return None


def why_wrong_leg(
    leg: Leg, pair: Instrument, start: str, asset: str, weight: Decimal
) -> str | None:
    """Return why a leg does not do what its weight says; None when it does."""
    spends, brings = (pair.quote, pair.base) if leg.side is Side.BUY else (pair.base, pair.quote)
    wanted = (start, asset) if weight > 0 else (asset, start)
    if (spends, brings) == wanted:
        return None
    return (
        f"to {leg.side.value} {leg.symbol} turns {spends} into {brings}, but its assets and the "
        f"weight {plain(weight)} say {wanted[0]} into {wanted[1]}"
    )


def _parts(
    opportunity: Opportunity, books: Callable[[str], OrderBook | None], amount: Decimal
) -> tuple[list[Decimal], str | None]:
    """Return what goes into each leg, in the asset it spends; and why not, if it can't be told."""
    start, parts = opportunity.assets[0], list[Decimal]()
    legs = zip(opportunity.legs, opportunity.assets[1:], opportunity.weights, strict=True)
    for leg, asset, weight in legs:
        book = books(leg.symbol)
        reason = why_not_tradable(leg.symbol, book)
        if book is None or reason is not None:
            return parts, reason
        reason = why_wrong_leg(leg, book.instrument, start, asset, weight)
        if reason is not None:
            return parts, f"{opportunity.key}: {reason}"
        best = book.side(leg.side).best
        if not best:
            return parts, f"{leg.symbol}: the book is empty on the side that is taken"
        part = EXACT.multiply(amount, abs(weight))
        if weight < 0:
            # At the best price: it brings no more than its part of the amount.
            rate = rate_at(leg.side, best, book.instrument.price_precision)
            part = _up(Fraction(part) / rate)
        parts.append(part)
    return parts, None


def _quote_all(
    legs: Sequence[Leg],
    books: Callable[[str], OrderBook | None],
    parts: Sequence[Decimal],
    conditions: Conditions,
) -> tuple[list[LegQuote], str | None]:
    """Return the quotes up to the first that is blocked; each finds the wallet without the last."""
    taken: dict[str, Decimal] = {}
    free = conditions.available
    if free is not None:
        wallet = free
        conditions = attrs.evolve(
            conditions, available=lambda asset: max(ZERO, wallet(asset) - taken.get(asset, ZERO))
        )
    quotes: list[LegQuote] = []
    for leg, part in zip(legs, parts, strict=True):
        book = books(leg.symbol)
        assert book is not None
        quote = conditions.first(book, leg.side, part)
        quotes.append(quote)
        if quote.blocked is not None:
            return quotes, quote.blocked
        pair = book.instrument
        spends = pair.quote if leg.side is Side.BUY else pair.base
        taken[spends] = taken.get(spends, ZERO) + quote.spent_at_limit
    return quotes, None


def _share(
    book: OrderBook | None, quote: LegQuote, part: Decimal, conditions: Conditions
) -> Fraction:
    """Return how much of its part a leg could have; 1 where only rounding to lots is in the way."""
    assert book is not None
    pair = book.instrument
    lot = Fraction(max(pair.quantity_increment, conditions.step_of(pair.base) or ZERO))
    one_more = lot * Fraction(quote.spent) / Fraction(quote.quantity)
    return min(Fraction(1), (Fraction(quote.spent) + one_more) / Fraction(part))


def _put_in(weights: Sequence[Decimal], quotes: Sequence[LegQuote]) -> Decimal:
    """Return what purchases cost and sales bring, in the start asset."""
    return sum(
        (
            quote.spent if weight > 0 else quote.received
            for weight, quote in zip(weights, quotes, strict=True)
        ),
        ZERO,
    )


def _up(value: Fraction) -> Decimal:
    """Return a quotient that is at most one part in 10^28 too large, so that no lot is lost."""
    return _UP.divide(Decimal(value.numerator), Decimal(value.denominator))
