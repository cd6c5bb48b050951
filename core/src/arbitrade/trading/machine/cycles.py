"""A cycle under way: its orders, what its fills did, and what it may still spend."""

from collections.abc import Sequence
from decimal import Decimal

import attrs

from arbitrade.config.risk import RiskLimits
from arbitrade.models import (
    Approved,
    CycleState,
    Leg,
    OrderRole,
    UnwindDecision,
)
from arbitrade.trading.machine.kernel import Process
from arbitrade.trading.machine.orders import TrackedOrder

ZERO = Decimal(0)
OPERATOR = "operator"
"""Who carries out what no executor began."""
BROUGHT = "brought"
"""The note that says what an operator's cycle was given; without it a restart would buy it back."""


@attrs.define(eq=False)
class Cycle:
    """State of one cycle.

    Args:
        number: In its run.
        run: Of which run; records about it go there.
        reserves: What it may still spend, by asset; nobody else may.
        executor: Name of who carries it out.
        needs_inventory: Whether that executor sends all legs at once, from what is there.
        orders: In the order they were written down.
        decisions: Of the unwind optimiser.
        is_recovered: True when a crash lay in between.
    """

    number: int
    run: str
    approved: Approved
    limits: RiskLimits
    opened_ns: int
    reserves: dict[str, Decimal]
    executor: str = OPERATOR
    needs_inventory: bool = False
    process: Process[CycleState] | None = None
    orders: list[TrackedOrder] = attrs.field(factory=list)
    decisions: list[UnwindDecision] = attrs.field(factory=list)
    state: CycleState = CycleState.OPEN
    reason: str = ""
    is_recovered: bool = False
    brought: dict[str, Decimal] = attrs.field(factory=dict)
    """What it was given to bring back, by an operator; no fill of its own."""
    way_role: OrderRole = OrderRole.UNWIND
    deadline_ns: int | None = None
    """When its executor must have ended it; None once core carries it."""

    @property
    def tag(self) -> str:
        """What the client ids of its orders begin with; unique among all runs."""
        return f"{token_of(self.run)}-{self.number:x}"

    @property
    def start(self) -> str:
        """The asset it starts from and ends in."""
        return self.approved.plan.assets[0]

    @property
    def key(self) -> str:
        """Of its opportunity."""
        return self.approved.opportunity.key

    @property
    def symbols(self) -> tuple[str, ...]:
        """The pairs of its plan, then those of its orders elsewhere."""
        names = [leg.symbol for leg in self.approved.plan.legs]
        return tuple(dict.fromkeys(names + [o.intent.request.symbol for o in self.orders]))

    def flows(self) -> dict[str, Decimal]:
        """Return what its fills changed by asset, fees included; zeros left out."""
        total: dict[str, Decimal] = {}
        for order in self.orders:
            for asset, amount in order.flows.items():
                total[asset] = total.get(asset, ZERO) + amount
        return {asset: amount for asset, amount in total.items() if amount}

    def holdings(self) -> dict[str, Decimal]:
        """Return what it has to answer for: its fills, and what it was given."""
        total = self.flows()
        for asset, amount in self.brought.items():
            total[asset] = total.get(asset, ZERO) + amount
        return {asset: amount for asset, amount in total.items() if amount}

    def reserved(self, asset: str) -> Decimal:
        """Return what it may still spend of an asset beyond what its fills already took."""
        taken = -min(ZERO, self.flows().get(asset, ZERO))
        return max(ZERO, self.reserves.get(asset, ZERO) - taken)


def token_of(run: str) -> str:
    """Return what the client ids of a run's orders begin with."""
    return run.replace("-", "")[:8]


def done_legs(cycle: Cycle) -> Sequence[Leg]:
    """Return the legs of the plan that brought something, in order."""
    filled = {order.intent.leg for order in cycle.orders if order.intent.role is OrderRole.LEG}
    legs = cycle.approved.plan.legs
    return [leg for index, leg in enumerate(legs) if index in filled]
