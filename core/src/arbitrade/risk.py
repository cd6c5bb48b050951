"""Core's own risk rules, registered through the same hook as everyone's."""

from decimal import Decimal

import attrs

from arbitrade.models import Opportunity, Refused


@attrs.frozen
class MinimumEdge:
    """Refuses an opportunity whose net edge is not above a limit.

    Detectors have thresholds of their own, below which they don't report; this is the one for
    trading.

    Args:
        minimum_edge_bps: Basis points after fees; the edge has to be strictly above it.
    """

    minimum_edge_bps: Decimal
    name: str = "minimum_edge"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal unless the net edge is strictly above the limit."""
        if opportunity.edge_bps > self.minimum_edge_bps:
            return None
        return Refused(
            opportunity,
            self.name,
            "the net edge is not above risk.minimum_edge_bps",
            value=f"{opportunity.edge_bps:.4f} bps",
            limit=f"{self.minimum_edge_bps} bps",
        )
