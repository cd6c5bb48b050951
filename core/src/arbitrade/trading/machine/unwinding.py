"""Getting out of what a cycle holds, order by order, each time by the way that is cheapest then."""

from decimal import Decimal
from typing import TYPE_CHECKING

from arbitrade.models import CycleState, PlannedOrder
from arbitrade.protocols.execution import held_assets

if TYPE_CHECKING:
    from arbitrade.trading.machine.cycles import Cycle
    from arbitrade.trading.machine.desk import Desk
    from arbitrade.trading.machine.machine import Machine

ZERO = Decimal(0)
_RECONNECT_S = 30.0
_BLIND_NS = 30_000_000_000
"""How long books that are out of sync may keep us from getting out."""
_BLIND_STEP_S = 0.1
_RETRY_S = 0.25
"""Between two attempts on the same book: what refused the last one has to change first."""
_MOST_ORDERS = 64
"""Of one unwinding, whatever comes of them."""


async def unwind(desk: "Desk", machine: "Machine", cycle: "Cycle", reason: str) -> CycleState:
    """Bring everything back to the start asset within the loss cap; return how the cycle ended."""
    unsettled = [order for order in cycle.orders if not order.is_settled]
    await desk.settled(*unsettled)
    if not cycle.holdings():
        return CycleState.ABORTED_CLEAN
    attempts = refusals = 0
    most = len(cycle.orders) + _MOST_ORDERS
    blind_until_ns = desk.now_ns + _BLIND_NS
    while attempts < machine.unwind_attempts and len(cycle.orders) < most:
        step = _next_step(desk, machine, cycle, reason)
        if step is None:
            if await _sighted(desk, machine, cycle, blind_until_ns):
                continue
            break
        ticket = desk.place(len(cycle.orders), step, cycle.way_role)
        await desk.settled(ticket)
        if ticket.filled_quantity:
            # It got on, if only in part: what is left has all attempts again.
            attempts = refusals = 0
        elif machine.is_connection_refusal(ticket.client_id):
            # Nothing reached the venue, so nothing was tried.
            refusals += 1
            await desk.until_account_ready(_RECONNECT_S)
            await desk.pause(_RETRY_S * refusals)
        else:
            attempts += 1
            if attempts < machine.unwind_attempts:
                await desk.pause(_RETRY_S * attempts)
    return _verdict(desk, cycle)


def _next_step(
    desk: "Desk", machine: "Machine", cycle: "Cycle", reason: str
) -> PlannedOrder | None:
    """Return the next order on the way back, None when there is none worth sending."""
    deficit = _deficit(desk, cycle)
    if deficit is not None:
        order = machine.buy_back(cycle, *deficit)
        if order is not None:
            return order
    for asset, amount in held_assets(desk):
        decision = machine.way_out(cycle, asset, amount, reason)
        chosen = decision.chosen
        if chosen.kind != "hold" and chosen.quotes and not chosen.quotes[0].blocked:
            return chosen.quotes[0].order
    return None


async def _sighted(desk: "Desk", machine: "Machine", cycle: "Cycle", until_ns: int) -> bool:
    """Wait for a book on a way out that can't be traded on now; return whether one came back.

    Holding what could be brought back a second later is the dearest way of all.
    """
    dark = [symbol for symbol in _ways(desk, machine, cycle) if not _is_lit(desk, symbol)]
    while dark and desk.now_ns < until_ns:
        await desk.pause(_BLIND_STEP_S)
        if any(_is_lit(desk, symbol) for symbol in dark):
            return True
    return False


def _ways(desk: "Desk", machine: "Machine", cycle: "Cycle") -> set[str]:
    """Return the pairs online that lead from what is held or missing to the start asset."""
    held = {a for a, v in cycle.holdings().items() if a != cycle.start and not desk.is_dust(a, v)}
    online = [pair for pair in machine.instruments.values() if pair.is_online]
    first = [pair for pair in online if {pair.base, pair.quote} & held]
    between = {asset for pair in first for asset in (pair.base, pair.quote)} | held
    wanted = {frozenset((asset, cycle.start)) for asset in between}
    last = [pair for pair in online if frozenset((pair.base, pair.quote)) in wanted]
    ends = {asset for pair in last for asset in (pair.base, pair.quote)}
    return {
        pair.symbol
        for pair in (*first, *last)
        if desk.book(pair.symbol) is not None and {pair.base, pair.quote} <= ends
    }


def _is_lit(desk: "Desk", symbol: str) -> bool:
    book = desk.book(symbol)
    return book is not None and book.tradable


def _deficit(desk: "Desk", cycle: "Cycle") -> tuple[str, Decimal] | None:
    """Return what was spent of our inventory on the way and has to be bought back."""
    for asset, amount in sorted(cycle.holdings().items()):
        if asset != cycle.start and amount < 0 and not desk.is_dust(asset, amount):
            return asset, -amount
    return None


def _verdict(desk: "Desk", cycle: "Cycle") -> CycleState:
    left = {asset: amount for asset, amount in cycle.holdings().items() if asset != cycle.start}
    worth_it = [asset for asset, amount in left.items() if not desk.is_dust(asset, amount)]
    if worth_it:
        cycle.reason = f"{cycle.reason}; left: " + ", ".join(
            f"{left[asset]} {asset}" for asset in worth_it
        )
        return CycleState.FLAGGED
    return CycleState.UNWOUND
