"""Leg by leg: each is sized by what the one before really brought."""

from collections.abc import Sequence
from decimal import Decimal

import attrs

from arbitrade.errors import ArbitradeError
from arbitrade.models import CycleState, Leg, PlannedOrder
from arbitrade.protocols.execution import CycleDesk, Ticket, held_assets

ZERO = Decimal(0)
BPS = Decimal(10_000)


@attrs.frozen
class SequentialExecutor:
    """Sends a leg when the one before has settled.

    After each leg the rest of the cycle is walked on the books as they are then.  If it still
    returns more than `minimum_edge_bps` on what is out, it is finished; if not, the cheapest way
    out is taken, which may well be to finish it.

    Args:
        minimum_edge_bps: Least edge to go on with.
    """

    minimum_edge_bps: Decimal = ZERO
    name: str = "sequential"
    needs_inventory: bool = False

    async def execute(self, desk: CycleDesk) -> CycleState:
        """Carry out the plan of one cycle."""
        plan = desk.approved.plan
        first = desk.place(0, plan.quotes[0].order)
        await desk.settled(first)
        if not first.filled_quantity:
            desk.note("not_filled", leg=0, why=first.rejection or "nothing at the limit price")
            return CycleState.ABORTED_CLEAN
        for index in range(1, len(plan.legs)):
            amount = desk.held().get(plan.assets[index], ZERO)
            order = self._next_order(desk, plan.legs[index:], amount)
            if isinstance(order, str):
                return await desk.unwind(f"leg {index + 1}: {order}")
            ticket = await send_leg(desk, index, order)
            if not ticket.filled_quantity:
                why = ticket.rejection or "nothing was filled at the limit price"
                return await desk.unwind(f"leg {index + 1}: {why}")
        if any(not desk.is_dust(asset, amount) for asset, amount in held_assets(desk)):
            # Lots leave dust behind; a part that wasn't filled is more, and goes back.
            return await desk.unwind("what partial fills left")
        return CycleState.COMPLETED

    def _next_order(
        self, desk: CycleDesk, legs: Sequence[Leg], amount: Decimal
    ) -> PlannedOrder | str:
        """Return the next leg's order, or why the cycle is not worth going on with."""
        out = -desk.held().get(desk.approved.plan.assets[0], ZERO)
        first: PlannedOrder | None = None
        for leg in legs:
            try:
                quote = desk.quote(leg, amount)
            except ArbitradeError as error:
                return str(error)
            if quote.blocked is not None:
                return quote.blocked
            first = first or quote.order
            amount = quote.received
        assert first is not None
        if (amount - out) * BPS <= self.minimum_edge_bps * out:
            return f"the rest would bring {amount:f} for {out:f}, so it is not worth going on"
        return first


async def send_leg(desk: CycleDesk, index: int, order: PlannedOrder) -> Ticket:
    """Send one leg; one refused for want of funds is tried once more, a lot smaller.

    A fee taken in another asset than asked for leaves less than expected.
    """
    ticket = desk.place(index, order)
    await desk.settled(ticket)
    if ticket.filled_quantity or "nsufficient" not in ticket.rejection:
        return ticket
    step = desk.instrument(order.symbol).quantity_increment
    desk.note("insufficient_funds", leg=index, held=dict(desk.held()), why=ticket.rejection)
    smaller = attrs.evolve(order, quantity=order.quantity - step)
    if smaller.quantity <= 0:
        return ticket
    again = desk.place(index, smaller)
    await desk.settled(again)
    return again
