"""The roles of risk: what a rule is asked, and what it may look at.

Part of the public API through `arbitrade.protocols`.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Protocol, runtime_checkable

from arbitrade.book import OrderBook
from arbitrade.config.risk import RiskLimits
from arbitrade.models import Opportunity, Refused, TradingState, VenueState
from arbitrade.pricing import FeeSchedule


class RiskView(Protocol):
    """What rules may look at; read-only, the same in live, paper and replay.

    Everything is as of the event being handled.  Amounts "in the reference asset" are valued at the
    books as they are, `risk.reference_asset` says in what.

    Large because each fact a rule may go by is one member, and a rule asks for few of them.
    """

    @property
    def now_ns(self) -> int:
        """Time of the event being handled, nanoseconds since the epoch; never goes back."""

    @property
    def limits(self) -> RiskLimits:
        """The limits as they are now; they can be changed at run time."""

    @property
    def limits_version(self) -> int:
        """Counts the changes of the limits."""

    @property
    def fees(self) -> FeeSchedule:
        """What orders cost, pair by pair, as a fraction of the notional."""

    @property
    def trading_state(self) -> TradingState:
        """What may be done."""

    @property
    def halt_reason(self) -> str:
        """Why it is not ACTIVE; empty when it is."""

    @property
    def venue_state(self) -> VenueState:
        """State of the venue's matching engine."""

    def book(self, symbol: str) -> OrderBook | None:
        """Return a book, None while there is none."""

    def book_age_s(self, symbol: str) -> float | None:
        """Return seconds since the venue's time of a book's last message; None without one."""

    @property
    def decision_age_s(self) -> float | None:
        """Seconds between the venue's time of the message at hand and now; None without one."""

    def available(self, asset: str) -> Decimal:
        """Return what new cycles may spend: balance less holds, less what open cycles reserve."""

    def value(self, asset: str, amount: Decimal) -> Decimal | None:
        """Return an amount in the reference asset; None when no book tells."""

    # ── what is under way ────────────────────────────────────────────────────────────────────────

    @property
    def open_cycles(self) -> int:
        """Cycles begun and not ended."""

    @property
    def symbols_in_use(self) -> Collection[str]:
        """Pairs of open cycles."""

    def is_open(self, key: str) -> bool:
        """Tell whether a cycle with this opportunity key is under way."""

    @property
    def in_flight(self) -> Decimal:
        """Planned input of open cycles, in the reference asset."""

    def exposure(self, asset: str) -> Decimal:
        """Return what open cycles hold or may come to hold of an asset, in the reference asset."""

    # ── what was ─────────────────────────────────────────────────────────────────────────────────

    def failed_at_ns(self, key: str) -> int | None:
        """Return when a cycle last ended other than COMPLETED, None if it never did."""

    @property
    def consecutive_failures(self) -> int:
        """Cycles in a row that ended other than COMPLETED."""

    @property
    def last_failure_ns(self) -> int | None:
        """When the last of them ended."""

    @property
    def orders_last_minute(self) -> int:
        """Orders sent in the last sixty seconds."""

    @property
    def realised_today(self) -> Decimal:
        """Realised profit since midnight UTC, in the reference asset; negative for a loss."""

    @property
    def drawdown(self) -> Decimal:
        """How far realised profit is below its peak, in the reference asset; never negative."""

    # ── health ───────────────────────────────────────────────────────────────────────────────────

    @property
    def is_account_ready(self) -> bool:
        """Private connection up, reconciled, dead man's switch armed."""

    @property
    def account_problem(self) -> str:
        """Why it is not ready; empty when it is."""

    @property
    def clock_skew_s(self) -> float:
        """How far the wall clock is from the run's clock or the venue's, whichever is worse."""

    @property
    def journal_problem(self) -> str:
        """Why no intent can be written down; empty when one can."""

    @property
    def event_lag_s(self) -> float:
        """How late the event loop handled the last timer."""


class RiskRule(Protocol):
    """One reason not to trade."""

    @property
    def name(self) -> str:
        """Unique among the rules of a run."""

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return why not, None to let it pass.  Fast and without side effects.

        What it raises counts as a refusal, and after a while as its end: fail closed.
        """


@runtime_checkable
class SizeRule(RiskRule, Protocol):
    """A rule that would rather have it smaller than not at all."""

    def maximum_input(self, opportunity: Opportunity) -> Decimal | None:
        """Return the most that may go in, in the start asset; None for no limit."""
