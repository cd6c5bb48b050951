"""A cycle, or a basket, under way: its orders, what its fills did, and what it may still spend."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

import attrs

from arbitrade.config.risk import RiskLimits
from arbitrade.models import (
    Approved,
    BasketPlan,
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
UNWINDING = "core_unwinding"
"""The note that keeps a restart from handing back to an executor what core is getting out of."""


@attrs.define(eq=False)
class Cycle:
    """State of one cycle, or of one basket: of whatever ends in the asset it began with.

    Args:
        number: In its run.
        run: Of which run; records about it go there.
        reserves: What it may still spend, by asset; nobody else may.
        executor: Name of who carries it out.
        needs_inventory: Whether that executor sends all legs at once, from what is there.
        orders: In the order they were written down.
        decisions: Of the unwind optimiser.
        is_recovered: True when a crash lay in between.
        may_resume: Whether its executor can go on after a crash, or after the end of the run.
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
    may_resume: bool = False
    notes: dict[str, Mapping[str, str]] = attrs.field(factory=dict)
    """The last note of each name, for an executor that goes on after a crash."""
    is_executing: bool = False
    """Its executor carries it; core does otherwise."""
    deadline_ns: int | None = None
    """When its executor must have ended it; None for a basket, which is meant to be held."""

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
        """Key of its opportunity: two with the same key are the same cycle through the market."""
        return self.approved.opportunity.key

    @property
    def symbols(self) -> tuple[str, ...]:
        """The pairs of its plan, then those of its orders elsewhere."""
        names = [leg.symbol for leg in self.approved.plan.legs]
        return tuple(dict.fromkeys(names + [o.intent.request.symbol for o in self.orders]))

    @property
    def is_basket(self) -> bool:
        """True for a basket."""
        return isinstance(self.approved.plan, BasketPlan)

    @property
    def is_at_rest(self) -> bool:
        """True while nothing is on its way and a later run could go on with it."""
        return (
            self.may_resume
            and self.state is CycleState.OPEN
            and all(order.is_settled for order in self.orders)
        )

    @property
    def symbols_in_use(self) -> Collection[str]:
        """Pairs whose books it takes from: a basket that is only held takes from none."""
        if not self.is_basket:
            return self.symbols
        return {o.intent.request.symbol for o in self.orders if not o.is_settled}

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
        if self.is_basket:
            # What a sale brought is set aside to buy back; it does not make up for a purchase.
            taken = sum((o.spent for o in self.orders if o.intent.spends == asset), ZERO)
        else:
            taken = -min(ZERO, self.flows().get(asset, ZERO))
        return max(ZERO, self.reserves.get(asset, ZERO) - taken)

    def exposed(self, asset: str) -> Decimal:
        """Return what it holds or may come to hold of an asset; of a basket, also what it owes."""
        held, planned = self.holdings().get(asset, ZERO), self.approved.plan.comes_to_hold(asset)
        return max(abs(held), abs(planned)) if self.is_basket else max(held, planned)


def token_of(run: str) -> str:
    """Return what the client ids of a run's orders begin with."""
    return run.replace("-", "")[:8]


def done_legs(cycle: Cycle) -> Sequence[Leg]:
    """Return the legs of the plan that brought something, in order."""
    filled = {order.intent.leg for order in cycle.orders if order.intent.role is OrderRole.LEG}
    legs = cycle.approved.plan.legs
    return [leg for index, leg in enumerate(legs) if index in filled]
