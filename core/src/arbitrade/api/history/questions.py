"""What can be asked of the database: `History`, by subject.

Every method is safe to call from the event loop of a running bot: it waits for the database only,
and what it returns is built in small portions.  Lists that can grow come as pages, latest first, of
at most `MAXIMUM_ROWS` rows; a `limit` outside of 1 to `MAXIMUM_ROWS` is a `UsageError`, and so is a
number or text that no column can hold.  An id of a run that is none finds nothing.  Name the run or
the account where you can: without either the whole table is sorted, about a second for a million
rows.

Each of them raises `DatabaseUnavailableError` while the database can't be reached, takes too long,
or is not open yet, and `DatabaseError` where the command runs without one or the server refuses.
A page that shows history says so and tries again later; nothing is lost meanwhile.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from arbitrade.api.history.cycles import (
    CycleDetail,
    CycleFigures,
    CycleFilter,
    CycleView,
    ExecutionView,
    OrderFilter,
    OrderView,
)
from arbitrade.api.history.events import (
    AlertView,
    AuditFilter,
    AuditVerdict,
    AuditView,
    JournalGap,
    LimitsView,
    PluginChange,
    RejectedRecord,
)
from arbitrade.api.history.money import (
    BalancePoint,
    BalanceView,
    LedgerBalance,
    PostingView,
    ProfitPoint,
    ProfitView,
)
from arbitrade.api.history.opportunities import (
    FunnelPoint,
    FunnelStep,
    NearMiss,
    OpportunityFilter,
    OpportunityView,
)
from arbitrade.api.history.paging import Cursor, Page
from arbitrade.api.history.reports import RunMetrics, RunReport
from arbitrade.api.history.runs import (
    InstrumentView,
    LatencyPoint,
    LatencyView,
    RunSummary,
    RunView,
)


class RunHistory(Protocol):
    """Runs, and what was measured in them."""

    async def latest(self, account: str | None = None, limit: int = 20) -> list[RunView]:
        """Return the last runs, the latest first, of one account or of all."""

    async def find(self, name: str | None = None, account: str | None = None) -> RunView:
        """Return the run whose id begins with `name`; the last one for None.

        Raises:
            UsageError: There is none, or more than one.
        """

    async def summary(self, run: RunView) -> RunSummary:
        """Return a run in one line."""

    async def metrics(self, run: str) -> RunMetrics:
        """Return the figures of a run, all of one moment; tens of milliseconds for a long one."""

    async def settings(self, run: str) -> Mapping[str, Any]:
        """Return the settings a run began with, without secrets, by section; empty if unknown."""

    async def instruments(self, run: str) -> list[InstrumentView]:
        """Return the pairs of a run as they were described last, by symbol."""

    async def latencies(self, run: str) -> list[LatencyView]:
        """Return each latency of a run over all stretches it was measured in, by name."""

    async def latency_points(
        self, run: str, name: str, *, begin: datetime | None = None, end: datetime | None = None
    ) -> list[LatencyPoint]:
        """Return the last `MAXIMUM_ROWS` measurements of one latency, oldest first.

        Args:
            run: Of which run.
            name: Of the latency, such as `tick_to_decision`.
            begin: That ended at this time or later.
            end: That ended before this time.
        """

    async def rows_by_table(self, run: str | None = None) -> dict[str, int]:
        """Return how many rows each table has, of one run or of all; empty tables too.

        Counts every row, so it takes seconds on a large database.
        """


class CycleHistory(Protocol):
    """Cycles, orders and fills."""

    async def page(
        self, where: CycleFilter = ..., *, limit: int = 50, before: Cursor | None = None
    ) -> Page[CycleView]:
        """Return cycles by the time they were opened."""

    async def figures(self, where: CycleFilter = ...) -> list[CycleFigures]:
        """Return counts and sums of the cycles, one line a start asset, in order of its name."""

    async def detail(self, run: str, number: int) -> CycleDetail | None:
        """Return everything about a cycle; None if there is no such one.

        Legs are in trading order, orders and fills in that of time, ways out best first.
        """

    async def orders(
        self, where: OrderFilter = ..., *, limit: int = 50, before: Cursor | None = None
    ) -> Page[OrderView]:
        """Return orders by the time they were intended, those of no cycle too."""

    async def executions(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[ExecutionView]:
        """Return fills by the time they were booked."""

    def all_executions(
        self,
        account: str | None = None,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[ExecutionView]:
        """Yield fills booked from `begin` on and before `end`, oldest first, without a limit.

        Holds a connection while it is iterated over; for exports.
        """


class OpportunityHistory(Protocol):
    """Opportunities and what became of them; gone when older than `database.retention_days`."""

    async def page(
        self, where: OpportunityFilter = ..., *, limit: int = 50, before: Cursor | None = None
    ) -> Page[OpportunityView]:
        """Return opportunities by the time they were first seen."""

    async def one(self, run: str, number: int) -> OpportunityView | None:
        """Return one opportunity; None if there is no such one."""

    async def counts(self, where: OpportunityFilter = ...) -> list[FunnelStep]:
        """Return how many of the opportunities ended how, the most frequent first."""

    async def funnel(self, run: str) -> list[FunnelStep]:
        """Return how many opportunities of a run ended how, the most frequent first.

        From counts that are kept by the minute, so it is quick, and right for long runs too.
        """

    async def funnel_points(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        every: str = "minute",
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> list[FunnelPoint]:
        """Return the same over time, oldest first; the last `MAXIMUM_ROWS` points.

        Args:
            run: Of one run, or of all.
            account: Of one account, or of all.
            every: `minute`, `hour` or `day` (UTC): how long a stretch is.
            begin: From this time on.
            end: Before this time.

        Raises:
            UsageError: `every` is something else.
        """

    async def near_misses(self, run: str, limit: int = 10) -> list[NearMiss]:
        """Return opportunities not taken, those with the highest edge first."""


class MoneyHistory(Protocol):
    """Profit, the ledger, and how it compares with the venue.  Amounts are exact."""

    async def profit(
        self, run: str | None = None, *, account: str | None = None, by: str | None = None
    ) -> list[ProfitView]:
        """Return what closed cycles changed, by asset.

        Args:
            run: Of one run, or of all.
            account: Of one account, or of all.
            by: None, `day` (UTC, when the cycle closed) or `key`.

        Raises:
            UsageError: `by` is something else.
        """

    async def profit_points(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        every_s: float = 0,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> list[ProfitPoint]:
        """Return profit over time, oldest first; the last `MAXIMUM_ROWS` points.

        Args:
            run: Of one run, or of all.
            account: Of one account, or of all.
            every_s: Of each run the last point in each stretch of so many seconds; 0 for all.
            begin: From this time on.
            end: Before this time.
        """

    async def balance_points(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        every_s: float = 0,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> list[BalancePoint]:
        """Return balances over time, as `profit_points` does with profit."""

    async def ledger(self, account: str, run: str | None = None) -> list[LedgerBalance]:
        """Return the balances of an account's ledger, or what a run changed of them, by asset."""

    async def balances(self, run: str) -> list[BalanceView]:
        """Return the last comparison with the venue in a run, asset by asset."""

    async def comparisons(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        is_equal: bool | None = None,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[BalanceView]:
        """Return comparisons with the venue; `is_equal` False for those that differed."""

    def postings(
        self,
        account: str | None = None,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[PostingView]:
        """Yield lines of the ledger, oldest first, without a limit.

        Holds a connection while it is iterated over; for exports.
        """


class EventHistory(Protocol):
    """What happened beside trading: alerts, audit, plugins, limits, the journal itself."""

    async def alerts(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        minimum_severity: int = 0,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[AlertView]:
        """Return alerts at least as severe as this, a number of `Severity`."""

    async def audit(
        self, where: AuditFilter = ..., *, limit: int = 50, before: Cursor | None = None
    ) -> Page[AuditView]:
        """Return audit entries by the time they were written."""

    def all_audit(self, account: str | None = None) -> AsyncIterator[AuditView]:
        """Yield audit entries in the order they were written, of one account or of all.

        Holds a connection while it is iterated over; for exports.
        """

    async def verify_audit(self, account: str) -> AuditVerdict:
        """Follow an account's chain from its beginning; some 20 µs an entry, in small portions."""

    async def plugin_changes(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[PluginChange]:
        """Return when plugins were enabled, disabled or put aside."""

    async def limits(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[LimitsView]:
        """Return the versions of the limits; what follows another run's begins anew with 1."""

    async def journal_gaps(self, account: str) -> list[JournalGap]:
        """Return the last `MAXIMUM_ROWS` stretches of the journal the database never got."""

    async def rejected_records(self, account: str) -> list[RejectedRecord]:
        """Return the last `MAXIMUM_ROWS` records that were set aside; there should be none."""


class History(Protocol):
    """Everything that is kept in the database, to be read: by subject."""

    @property
    def runs(self) -> RunHistory:
        """Runs, and what was measured in them."""

    @property
    def cycles(self) -> CycleHistory:
        """Cycles, orders and fills."""

    @property
    def opportunities(self) -> OpportunityHistory:
        """Opportunities and what became of them."""

    @property
    def money(self) -> MoneyHistory:
        """Profit, the ledger, and how it compares with the venue."""

    @property
    def events(self) -> EventHistory:
        """What happened beside trading."""

    async def report(
        self,
        run: RunView,
        *,
        with_cycles: bool = False,
        with_legs: bool = False,
        near_misses: int = 5,
    ) -> RunReport:
        """Return a run, told, as `arbitrade report` does.

        Args:
            run: Which.
            with_cycles: Also every cycle.
            with_legs: Also every leg, order and fill; one question a cycle, so it takes time.
            near_misses: How many opportunities that were nearly taken.
        """
