"""The executor that trades nothing."""

import attrs
import structlog

from arbitrade.models import Approved


@attrs.frozen
class ObserveExecutor:
    """Logs what would be sent and sends nothing: no orders, no simulated fills, no profit."""

    name: str = "observe"

    async def execute(self, approved: Approved) -> None:
        """Log the orders of one approved opportunity."""
        found = approved.opportunity
        structlog.stdlib.get_logger(__name__).info(
            "execution.observed",
            opportunity=found.key,
            edge_bps=str(found.edge_bps),
            would_send=[
                f"{order.side.value} {order.quantity} {order.symbol} at {order.limit_price}"
                for order in found.orders
            ],
            blocked=found.blocked,
        )
