"""Why a cycle within all limits still can't be ordered: lots and minimums, and what would do."""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Protocol, runtime_checkable

import attrs

from arbitrade.book import OrderBook
from arbitrade.lots import order_rules
from arbitrade.models import Flip, Instruments, Leg, Opportunity, Plan, Refused, Side
from arbitrade.pricing import BPS, FeeSchedule, rate_at
from arbitrade.protocols.risk import RiskRule, RiskView, SizeRule
from arbitrade.risk.amounts import UP, ZERO, below, limit_flip, plain

RULE = "lots"
"""What stands for the rule's name in such a refusal."""

_HALVINGS = 30


@runtime_checkable
class FlippableCap(SizeRule, Protocol):
    """A size rule that can tell what would lift its cap."""

    def allowing(self, opportunity: Opportunity, amount: Decimal) -> tuple[Flip, ...]:
        """Return what, each alone, would let `amount` of the start asset in."""


def refuse_blocked(
    opportunity: Opportunity,
    plan: Plan,
    view: RiskView,
    *,
    instruments: Instruments | None = None,
    rules: Iterable[RiskRule] = (),
    slippage_bps: Decimal = ZERO,
    replan: Callable[[Decimal], Plan] | None = None,
) -> Refused:
    """Return the refusal of a plan that can't be ordered, with the least size that would do.

    Where a cap keeps the size too small and lifting it alone is enough, its setting or balance is
    a flip; where all of the opportunity is too small, `size` is.  A plan that is not blocked but
    brings no more than `risk.minimum_edge_bps` is flipped by that.  No flips when it is not the
    size that blocks.  About 50 µs; with `replan` up to thirty plans more: ask once an episode.

    Args:
        opportunity: What was found.
        plan: What could not be made of it.
        view: The books and fees it was planned on.
        instruments: For the decimals balances are kept in, where they are known.
        rules: The rules of the run; those with a cap are asked.
        slippage_bps: What the plan was made with.
        replan: Return the plan for another input; makes sure that the flips are true.
    """
    thin = _refuse_thin(opportunity, plan, view)
    if thin is not None:
        return thin
    asset = opportunity.assets[0]
    caps = _caps(opportunity, rules)
    allowed = min([opportunity.size, *(amount for _, amount in caps)])
    reason = plan.blocked or opportunity.blocked or "no order can be made of it"
    least = smallest_input(opportunity, view, instruments, slippage_bps=slippage_bps)
    if replan is not None:
        least = _confirmed(least, opportunity.size, allowed, replan)
    if least is None or least <= allowed:
        limit = "whole lots above the minimums, at a profit"
        return Refused(opportunity, RULE, reason, f"{plain(allowed)} {asset} may go in", limit)
    return Refused(
        opportunity,
        RULE,
        reason,
        value=f"{plain(allowed)} {asset} may go in",
        limit=f"{plain(least)} {asset} is the least",
        flips=_flips(opportunity, caps, least),
    )


def _refuse_thin(opportunity: Opportunity, plan: Plan, view: RiskView) -> Refused | None:
    """Return the refusal of a plan that could be ordered and brings too little; None for others."""
    if plan.blocked is not None or not plan.spent:
        return None
    edge = plan.expected_profit * BPS / plan.spent
    limit = view.limits.minimum_edge_bps
    if edge > limit:
        return None
    return Refused(
        opportunity,
        RULE,
        "what whole lots and caps leave of the edge is not above risk.minimum_edge_bps",
        value=f"{edge:.4f} bps",
        limit=f"{plain(limit)} bps",
        flips=limit_flip("minimum_edge_bps", limit, below(edge), "bps"),
    )


def smallest_input(
    opportunity: Opportunity,
    view: RiskView,
    instruments: Instruments | None = None,
    *,
    slippage_bps: Decimal = ZERO,
) -> Decimal | None:
    """Return the least of the start asset with which every leg reaches its lots and minimums.

    Worked out backwards: the last leg's smallest order, what it needs, the smallest order of the
    leg before that brings it, and so on.  None when the books don't hold that much.  Looks at no
    profit.  Of a basket: the size at which the part of every leg is enough for its smallest order.
    """
    if opportunity.is_basket:
        return _smallest_basket(opportunity, view, instruments, slippage_bps)
    needed = Fraction(0)
    for at in reversed(range(len(opportunity.legs))):
        leg = opportunity.legs[at]
        book = view.book(leg.symbol)
        if book is None:
            return None
        brought = opportunity.assets[(at + 1) % len(opportunity.assets)]
        base_scale = _ledger_scale(book.instrument.base, instruments)
        wanted = _wanted(
            book,
            leg,
            _on_ledger(needed, _ledger_scale(brought, instruments)),
            view.fees,
            base_scale,
            slippage_bps,
        )
        least = None if wanted is None else _least_input(book, leg, wanted, view.fees)
        if least is None:
            return None
        needed = least
    return UP.divide(Decimal(needed.numerator), Decimal(needed.denominator))


def _smallest_basket(
    opportunity: Opportunity,
    view: RiskView,
    instruments: Instruments | None,
    slippage_bps: Decimal,
) -> Decimal | None:
    needed = Fraction(0)
    for leg, weight in zip(opportunity.legs, opportunity.weights, strict=False):
        book = view.book(leg.symbol)
        best = None if book is None else book.side(leg.side).best
        if book is None or not best:
            return None
        base_scale = _ledger_scale(book.instrument.base, instruments)
        wanted = _wanted(book, leg, Fraction(0), view.fees, base_scale, slippage_bps)
        least = None if wanted is None else _least_input(book, leg, wanted, view.fees)
        if least is None:
            return None
        if weight < 0:
            least *= rate_at(leg.side, best, book.instrument.price_precision)
        needed = max(needed, least / Fraction(abs(weight)))
    return UP.divide(Decimal(needed.numerator), Decimal(needed.denominator))


# ── the smallest order of one leg ────────────────────────────────────────────────────────────────


@attrs.frozen
class _Wanted:
    """What an order has to reach.

    Args:
        lots: Its quantity.
        notional: Its worth at the limit price, in ticks × lots.
        brings: Lots for a buy, ticks × lots for a sell.
        step: Its quantity is a multiple of so many lots.
        tick_step: Its price of so many ticks.
        kept: What slippage leaves of the worst price in the limit of a sell.
    """

    lots: int
    notional: int
    brings: Fraction
    step: int
    tick_step: int
    kept: Fraction


def _wanted(
    book: OrderBook,
    leg: Leg,
    brings: Fraction,
    fees: FeeSchedule,
    base_scale: int,
    slippage_bps: Decimal,
) -> _Wanted | None:
    pair, is_buy = book.instrument, leg.side is Side.BUY
    _, received = fees.charged_in.factors(leg.side, fees.taker_rate(leg.symbol))
    if received <= 0:
        return None
    ticks, lots = 10**pair.price_precision, 10**pair.quantity_precision
    rules = order_rules(pair, Decimal(1) / base_scale if base_scale else None)
    return _Wanted(
        lots=rules.minimum_lots,
        notional=rules.minimum_notional,
        brings=brings / received * (lots if is_buy else lots * ticks),
        step=rules.lot_step,
        tick_step=rules.tick_step,
        kept=Fraction(1) if is_buy else 1 - Fraction(slippage_bps / BPS),
    )


def _least_input(book: OrderBook, leg: Leg, wanted: _Wanted, fees: FeeSchedule) -> Fraction | None:
    """Return what the smallest order that is enough needs; None beyond the book."""
    filled = _fill(book, leg, wanted)
    if filled is None:
        return None
    lots, cost = filled
    pair = book.instrument
    spent, _ = fees.charged_in.factors(leg.side, fees.taker_rate(leg.symbol))
    if leg.side is Side.BUY:
        return Fraction(cost, 10 ** (pair.price_precision + pair.quantity_precision)) * spent
    return Fraction(lots, 10**pair.quantity_precision) * spent


def _fill(book: OrderBook, leg: Leg, wanted: _Wanted) -> tuple[int, int] | None:
    """Return lots and their cost in ticks × lots of the smallest order that is enough."""
    is_buy = leg.side is Side.BUY
    before = cost = 0
    for ticks, held in book.side(leg.side):
        limit = max(ceil(ticks * wanted.kept / wanted.tick_step) * wanted.tick_step, 1)
        by_notional = ceil(Fraction(wanted.notional, min(limit, ticks)))
        missing = wanted.brings if is_buy else before + (wanted.brings - cost) / ticks
        lots = max(wanted.lots, by_notional, ceil(missing), before, 1)
        lots += -lots % wanted.step
        if lots <= before + held:
            return lots, cost + (lots - before) * ticks
        before += held
        cost += held * ticks
    return None


def _ledger_scale(asset: str, instruments: Instruments | None) -> int:
    """Return how many parts of one the ledger keeps; 0 when that is not known."""
    known = None if instruments is None else instruments.assets.get(asset)
    return 0 if known is None else 10**known.precision


def _on_ledger(amount: Fraction, scale: int) -> Fraction:
    """Return the least amount that is still as much after the ledger rounded it down."""
    return Fraction(ceil(amount * scale), scale) if scale else amount


# ── what would change it ─────────────────────────────────────────────────────────────────────────


def _confirmed(
    least: Decimal | None,
    largest: Decimal,
    blocked_at: Decimal,
    replan: Callable[[Decimal], Plan],
) -> Decimal | None:
    """Return the least input that a plan can be made of; None when there is none to be found.

    Beyond lots and minimums a plan has to leave a profit, and a wallet has to hold the limit price,
    so the answer may lie above what minimums alone ask for.
    """

    def is_fine(amount: Decimal) -> bool:
        return replan(amount).blocked is None

    if least is not None and least > blocked_at and is_fine(least):
        return least
    if largest <= blocked_at or not is_fine(largest):
        # More than the opportunity is worth would be needed, which loses by itself.
        return None
    low, high = blocked_at, largest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if is_fine(middle):
            high = middle
        else:
            low = middle
    return high


def _caps(opportunity: Opportunity, rules: Iterable[RiskRule]) -> list[tuple[SizeRule, Decimal]]:
    found = []
    for rule in rules:
        if not isinstance(rule, SizeRule):
            continue
        # The gate has told already what a rule does wrong; here it is only not asked.
        with suppress(Exception):
            amount: object = rule.maximum_input(opportunity)
            if isinstance(amount, Decimal) and amount.is_finite():
                found.append((rule, amount))
    return found


def _flips(
    opportunity: Opportunity, caps: Collection[tuple[SizeRule, Decimal]], least: Decimal
) -> tuple[Flip, ...]:
    """Return what alone would be enough: nothing when two things are in the way."""
    short = [rule for rule, amount in caps if amount < least]
    if opportunity.size < least:
        start = opportunity.assets[0]
        return () if short else (Flip("size", opportunity.size, least, start),)
    if len(short) != 1 or not isinstance(short[0], FlippableCap):
        return ()
    with suppress(Exception):
        return short[0].allowing(opportunity, least)
    return ()
