"""All legs at once, where balances allow: no leg waits for another's fill."""

from decimal import Decimal
from typing import Literal

import attrs

from arbitrade.execution.sequential import SequentialExecutor
from arbitrade.models import CycleState, LegQuote, Plan
from arbitrade.protocols.execution import CycleDesk

ZERO = Decimal(0)


@attrs.frozen
class ParallelExecutor:
    """Sends every leg in the same moment, each from what the account has of its asset.

    Where an asset is not there in full, legs are sent one by one instead.  What a leg that didn't
    fill leaves out of balance is bought or sold back.

    Args:
        leg_order: Which goes first; the others follow at once.
        fallback: For when balances don't allow it.
    """

    leg_order: Literal["as_found", "least_liquid_first"] = "as_found"
    fallback: SequentialExecutor = attrs.field(factory=SequentialExecutor)
    name: str = "parallel"
    needs_inventory: bool = True

    async def execute(self, desk: CycleDesk) -> CycleState:
        """Carry out the plan of one cycle."""
        plan = desk.approved.plan
        short = self._short(desk, plan)
        if short:
            desk.note("one_by_one", short_of=short)
            return await self.fallback.execute(desk)
        tickets = [desk.place(index, plan.quotes[index].order) for index in self._order(desk, plan)]
        await desk.settled(*tickets)
        if not any(ticket.filled_quantity for ticket in tickets):
            return CycleState.ABORTED_CLEAN
        if all(ticket.filled_quantity == ticket.order.quantity for ticket in tickets):
            return CycleState.COMPLETED
        missing = ", ".join(
            f"{ticket.order.symbol} {ticket.filled_quantity} of {ticket.order.quantity}"
            for ticket in tickets
            if ticket.filled_quantity != ticket.order.quantity
        )
        return await desk.unwind(f"not filled in full: {missing}")

    def _order(self, desk: CycleDesk, plan: Plan) -> list[int]:
        indexes = list(range(len(plan.legs)))
        if self.leg_order == "least_liquid_first":
            indexes.sort(key=lambda index: (_cover(desk, plan.quotes[index]), index))
        return indexes

    def _short(self, desk: CycleDesk, plan: Plan) -> str:
        """Return the first asset there is too little of, empty when there is enough."""
        for asset, quote in zip(plan.assets[1:], plan.quotes[1:], strict=True):
            # For a buy the venue holds what it may cost at the limit.
            if desk.available(asset) < quote.spent_at_limit:
                return asset
        return ""


def _cover(desk: CycleDesk, quote: LegQuote) -> Decimal:
    """Return how many times over the best level covers an order."""
    book = desk.book(quote.symbol)
    best = None if book is None else next(iter(book.side(quote.side)), None)
    if book is None or best is None or not quote.quantity:
        return ZERO
    return Decimal(best[1]).scaleb(-book.instrument.quantity_precision) / quote.quantity
