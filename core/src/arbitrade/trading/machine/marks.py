"""The journey of a cycle's orders, for attribution; and the orders no executor places."""

from decimal import ROUND_UP, Decimal
from itertools import islice
from typing import TYPE_CHECKING

import attrs

from arbitrade.accounting.attribution import CycleJourney, LegJourney
from arbitrade.accounting.portfolio import OPERATOR_KEY
from arbitrade.book import OrderBook
from arbitrade.config.risk import RiskLimits
from arbitrade.errors import ArbitradeError
from arbitrade.execution.walk import net_flow, quote_leg
from arbitrade.models import (
    Approved,
    CyclePlan,
    CycleState,
    Leg,
    LegQuote,
    Opportunity,
    OrderRole,
    PlannedOrder,
    Side,
)
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.orders import TrackedOrder

if TYPE_CHECKING:
    from arbitrade.trading.machine.machine import Machine

ZERO = Decimal(0)
_LEVELS = 25


# ── what the books said on the way ───────────────────────────────────────────────────────────────


def mark(machine: "Machine", cycle: Cycle, order: TrackedOrder, moment: str) -> None:
    """Note the book an order takes from, as it is now."""
    intent = order.intent
    if intent.role is not OrderRole.LEG or moment in order.moments:
        return
    if not order.moments:
        order.amount = _input(machine, cycle, order)
    book = machine.books().get(intent.request.symbol)
    if book is not None and book.tradable:
        order.moments[moment] = tuple(islice(book.side(intent.request.side), _LEVELS))


def mark_of(machine: "Machine", order: TrackedOrder, moment: str) -> None:
    """Do so for an order of any cycle under way."""
    if isinstance(order.owner, Cycle):
        mark(machine, order.owner, order, moment)


def _input(machine: "Machine", cycle: Cycle, order: TrackedOrder) -> Decimal:
    intent, plan = order.intent, cycle.approved.plan
    planned = plan.quotes[intent.leg].spent
    if intent.leg == 0 or machine.executor.needs_inventory:
        return planned
    held = cycle.flows().get(intent.spends, ZERO)
    return held if held > 0 else planned


def journey(machine: "Machine", cycle: Cycle) -> CycleJourney:
    """Return a closed cycle's journey."""
    plan = cycle.approved.plan
    legs = []
    for index, quote in enumerate(plan.quotes):
        orders = [
            order
            for order in cycle.orders
            if order.intent.role is OrderRole.LEG and order.intent.leg == index
        ]
        legs.append(_leg(machine, quote, orders))
    unwound: dict[str, Decimal] = {}
    for order in cycle.orders:
        if order.intent.role is not OrderRole.LEG:
            for asset, amount in order.flows.items():
                unwound[asset] = unwound.get(asset, ZERO) + amount
    flagged = cycle.state is CycleState.FLAGGED
    left = {a: v for a, v in cycle.flows().items() if a != cycle.start and flagged and v > 0}
    return CycleJourney(plan.assets, tuple(legs), unwound, left)


def _leg(machine: "Machine", planned: LegQuote, orders: list[TrackedOrder]) -> LegJourney:
    if not orders:
        return LegJourney(planned, is_sent=False)
    last = orders[-1]
    if not any(order.fills for order in orders):
        # It left and brought nothing: all of it was lost on the way, no book can say where.
        return LegJourney(planned)
    reported: dict[str, Decimal] = {}
    fees: dict[str, Decimal] = {}
    booked: dict[str, Decimal] = {}
    for order in orders:
        pair = machine.instruments[order.intent.request.symbol]
        for fill in order.fills.values():
            for asset, amount in net_flow(fill, pair, order.intent.request.side).items():
                reported[asset] = reported.get(asset, ZERO) + amount
            for fee in fill.fees:
                fees[fee.asset] = fees.get(fee.asset, ZERO) + fee.amount
        for asset, amount in order.flows.items():
            booked[asset] = booked.get(asset, ZERO) + amount
    rounding = {asset: amount - reported.get(asset, ZERO) for asset, amount in booked.items()}
    return LegJourney(
        planned,
        at_send=_quote(machine, last, "send"),
        at_ack=_quote(machine, last, "ack"),
        at_fill=_quote(machine, last, "fill"),
        spent=-reported.get(last.intent.spends, ZERO),
        received=reported.get(last.intent.receives, ZERO),
        fees=fees,
        rounding={asset: amount for asset, amount in rounding.items() if amount},
    )


def _quote(machine: "Machine", order: TrackedOrder, moment: str) -> LegQuote | None:
    """Return what the order's input would have brought at a moment, our own fills undone.

    What the order itself took is gone from the book by then and no movement of the market.
    """
    then, before = order.moments.get(moment), order.moments.get("send")
    if then is None or before is None:
        return None
    request, levels = order.intent.request, dict(then)
    pair, shown = machine.instruments[request.symbol], dict(before)
    for fill in order.fills.values():
        ticks = int(fill.last_price.scaleb(pair.price_precision))
        lots = levels.get(ticks, 0) + int(fill.last_quantity.scaleb(pair.quantity_precision))
        levels[ticks] = max(levels.get(ticks, 0), min(lots, shown.get(ticks, 0)))
    rows = [(ticks, lots) for ticks, lots in levels.items() if lots]
    book = OrderBook(pair, len(rows))
    book.load(*(([], rows) if request.side is Side.BUY else (rows, [])))
    quote = quote_leg(
        book,
        request.side,
        order.amount,
        machine.fees,
        base_step=machine.step_of(pair.base),
        quote_step=machine.step_of(pair.quote),
        skip_lots=order.skip_lots,
        # Holds are no part of what it would have brought.
        available=order.amount * 2,
    )
    return None if quote.blocked else quote


# ── orders on nobody's plan ──────────────────────────────────────────────────────────────────────


def buy_back(machine: "Machine", cycle: Cycle, asset: str, amount: Decimal) -> PlannedOrder | None:
    """Return the order that turns the start asset into just enough of another, None if none can."""
    leg = _direct(machine, cycle.start, asset)
    rate = machine.valuation.rate(cycle.start, asset)
    if leg is None or not rate:
        return None
    # Two hundredths above what it costs at the best price cover fees and depth; what is more than
    # needed is cut off.
    enough = min(amount / rate * Decimal("1.02"), machine.available(cycle.start, but=cycle))
    try:
        quote = machine.quote(leg, enough, cycle)
    except ArbitradeError:
        return None
    if quote.blocked is not None or not quote.received:
        return None
    if _loss(machine, cycle, asset, quote) > machine.loss_cap(cycle):
        return None
    pair = machine.instruments[leg.symbol]
    lots = (quote.quantity * min(Decimal(1), amount / quote.received)) / pair.quantity_increment
    quantity = lots.to_integral_value(ROUND_UP) * pair.quantity_increment
    quantity = max(min(quantity, quote.quantity), pair.minimum_quantity)
    return attrs.evolve(quote.order, quantity=quantity)


def _loss(machine: "Machine", cycle: Cycle, asset: str, quote: LegQuote) -> Decimal:
    """Return what buying costs above what the same would sell for; 0 where nobody bids."""
    worth = machine.valuation.value(asset, quote.received, cycle.start)
    return ZERO if worth is None else quote.spent - worth


def _direct(machine: "Machine", spends: str, receives: str) -> Leg | None:
    for pair in machine.instruments.values():
        if (pair.base, pair.quote) == (receives, spends):
            return Leg(pair.symbol, Side.BUY)
        if (pair.base, pair.quote) == (spends, receives):
            return Leg(pair.symbol, Side.SELL)
    return None


def flatten(
    machine: "Machine", asset: str, amount: Decimal, target: str, limits: RiskLimits
) -> Cycle:
    """Begin a cycle that only brings an amount to `target`; the machine runs it."""
    opportunity = Opportunity(
        detector="operator",
        key=f"{OPERATOR_KEY}{asset}>{target}",
        assets=(target, asset),
        legs=(),
        edge_bps=ZERO,
        size=ZERO,
        profit=ZERO,
        orders=(),
        lot_profit=ZERO,
        dust=(),
        blocked=None,
        timestamp=None,
    )
    plan = CyclePlan(opportunity.key, (target, asset), (), (), ZERO, ZERO)
    approved = Approved(opportunity, plan, 0, machine.now_ns)
    machine.last_cycle += 1
    cycle = Cycle(
        machine.last_cycle, machine.run, approved, limits, machine.now_ns, {asset: amount}
    )
    cycle.brought = {asset: amount}
    cycle.way_role = OrderRole.FLATTEN
    machine.start_unwinding(cycle, "flatten")
    return cycle
