"""Cycles on their way from approval to an end, and what an account's trading looks like."""

import enum
from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade.models.opportunity import Leg, Opportunity
from arbitrade.models.order import OrderRequest
from arbitrade.models.plan import LegQuote, Plan


class Mode(enum.Enum):
    """Whose money, and where orders go."""

    LIVE = "live"
    PAPER = "paper"
    REPLAY = "replay"


class TradingState(enum.Enum):
    """What may be done now."""

    ACTIVE = "active"
    """New cycles may begin."""
    REDUCING = "reducing"
    """Only what brings exposure down: cycles under way are finished or unwound."""
    HALTED = "halted"
    """The same, until an operator resumes; survives restarts."""


class CycleState(enum.Enum):
    """Where a cycle stands.  The last four are final."""

    OPEN = "open"
    UNWINDING = "unwinding"
    COMPLETED = "completed"
    """Every leg was taken, back in the start asset."""
    UNWOUND = "unwound"
    """Something went wrong on the way; what was held is back in the start asset."""
    ABORTED_CLEAN = "aborted_clean"
    """Nothing was filled."""
    FLAGGED = "flagged"
    """Something is left in other assets; an alert names it."""

    @property
    def is_final(self) -> bool:
        """True when nothing more happens to the cycle."""
        return self not in (CycleState.OPEN, CycleState.UNWINDING)


@attrs.frozen
class Flip:
    """The smallest change of one parameter that would turn a refusal into an approval.

    Args:
        parameter: Dotted path of a setting (`risk.minimum_edge_bps`), or of a fact
            (`balance.EUR`, `book.age_s`, `fees.taker`).
        current: What it is.
        needed: What it would have to be.
        unit: Of both.
    """

    parameter: str
    current: Decimal
    needed: Decimal
    unit: str = ""

    @property
    def change(self) -> Decimal:
        """How far the current value is from the one needed, with its sign."""
        return self.needed - self.current


@attrs.frozen
class Refused:
    """A risk rule said no.

    Args:
        rule: Name of the rule.
        reason: One sentence for the operator.
        value: What was measured.
        limit: What is allowed.
        flips: Each of these changes alone would make this rule let it pass.
    """

    opportunity: Opportunity
    rule: str
    reason: str
    value: str
    limit: str
    flips: tuple[Flip, ...] = ()


@attrs.frozen
class Approved:
    """An opportunity every risk rule let through, sized.  Only this fits an executor.

    Args:
        opportunity: What was found.
        plan: What is going to be done.
        limits_version: Of the limits it was approved under; it keeps them to its end.
        approved_at_ns: Nanoseconds since the epoch.
    """

    opportunity: Opportunity
    plan: Plan
    limits_version: int = 0
    approved_at_ns: int = 0


class OrderRole(enum.Enum):
    """Why an order was sent."""

    LEG = "leg"
    """A leg of the plan."""
    UNWIND = "unwind"
    """On the way back to the start asset, by core's choice or when a basket is left."""
    FLATTEN = "flatten"
    """An operator's `flatten`."""
    REHEARSAL = "rehearsal"
    """Checked by the venue only."""


@attrs.frozen
class Intent:
    """An order as it is written down before it is sent.

    Args:
        cycle: Which cycle, 0 for none.
        leg: Index in the cycle's plan, or how many orders came before in unwinding.
        role: Why.
        request: What is sent.
        spends: Asset that goes in.
        receives: Asset that comes out.
    """

    cycle: int
    leg: int
    role: OrderRole
    request: OrderRequest
    spends: str
    receives: str


@attrs.frozen
class UnwindCandidate:
    """One way out of an asset.

    Args:
        kind: `finish`, `reverse`, `direct`, `two_hop` or `hold`.
        path: Legs to take, first first; none for `hold`.
        quotes: One for each leg as far as it can be quoted.
        received: Of the start asset; for `hold` what the amount is worth now.
        loss: Cost of what is held minus `received`, in the start asset; negative for a gain.
        blocked: Why it can't be taken; None when it can.
        note: What it would leave behind, or that it is beyond the cap; empty for nothing.
    """

    kind: str
    path: tuple[Leg, ...]
    quotes: tuple[LegQuote, ...]
    received: Decimal
    loss: Decimal
    blocked: str | None = None
    note: str = ""


@attrs.frozen
class UnwindDecision:
    """What the unwind optimiser chose, and between what.

    Args:
        asset: What is held.
        amount: How much.
        cost: What it cost, in the start asset.
        chosen: The way taken; `hold` when none is within the cap.
        candidates: All that were looked at, best first.
        loss_cap: In the start asset.
    """

    asset: str
    amount: Decimal
    cost: Decimal
    chosen: UnwindCandidate
    candidates: tuple[UnwindCandidate, ...]
    loss_cap: Decimal


@attrs.frozen
class Attribution:
    """Where the difference between what a cycle was expected to bring and what it brought went.

    All in the start asset, positive for a loss against the expectation; `expected` minus the sum of
    the terms is `realised`, to the last digit.

    Args:
        expected: Profit of the plan at the decision, dust at zero.
        realised: Start asset received minus spent, after all fees.
        moved_before_send: The books moved between decision and sending.
        moved_send_to_ack: … between sending and acknowledgement.
        moved_ack_to_fill: … between acknowledgement and fill.
        fees: Fees charged above those expected.
        rounding_and_dust: What lots and the ledger's last digit left over.
        depth_misjudged: Filled worse than the book showed at the moment of the fill.
        unwinding: What ways out cost against the plan.
    """

    expected: Decimal
    realised: Decimal
    moved_before_send: Decimal
    moved_send_to_ack: Decimal
    moved_ack_to_fill: Decimal
    fees: Decimal
    rounding_and_dust: Decimal
    depth_misjudged: Decimal
    unwinding: Decimal

    def terms(self) -> Mapping[str, Decimal]:
        """Return the terms by name, in the order of the journey."""
        names = [field.name for field in attrs.fields(type(self))][2:]
        return {name: getattr(self, name) for name in names}
