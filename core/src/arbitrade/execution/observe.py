"""The executor that trades nothing."""

import attrs
import structlog

from arbitrade.models import CycleState, Plan
from arbitrade.protocols.execution import CycleDesk


@attrs.frozen
class ObserveExecutor:
    """Logs what would be sent and sends nothing: no orders, no simulated fills, no profit."""

    name: str = "observe"
    needs_inventory: bool = False

    def takes(self, plan: Plan) -> bool:
        """Return True: whatever is planned can be logged."""
        return True

    async def execute(self, desk: CycleDesk) -> CycleState:
        """Log the orders of one approved opportunity."""
        found, plan = desk.approved.opportunity, desk.approved.plan
        structlog.stdlib.get_logger(__name__).info(
            "execution.observed",
            opportunity=found.key,
            edge_bps=str(found.edge_bps),
            would_send=[
                f"{quote.side.value} {quote.quantity} {quote.symbol} at {quote.limit_price}"
                for quote in plan.quotes
            ],
            blocked=plan.blocked,
        )
        return CycleState.ABORTED_CLEAN
