"""What services and the operator's commands may see of a running bot: the live read models."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import attrs

from arbitrade.models import CycleState, Mode, TradingState


@attrs.frozen
class Status:
    """How a running command is doing.

    Args:
        command: Which command runs, e.g. `record`.
        started_at: ISO 8601, UTC.
        is_ready: True when it does its job: connected and at least one book in sync.
        books_in_sync: Books that can be trusted now.
        books: Books subscribed.
        counters: Everything that is counted, by dotted name.
        plugins: Name and state (`enabled`, `disabled`, `failed: reason`) of each plugin.
    """

    command: str
    started_at: str
    is_ready: bool
    books_in_sync: int
    books: int
    counters: Mapping[str, int]
    plugins: Mapping[str, str]


class View(Protocol):
    """Access to the read models."""

    def status(self) -> Status:
        """Return the state of things now; cheap."""


@attrs.frozen
class OpenCycle:
    """A cycle under way.

    Args:
        legs: As `buy BTC/USD`, in order.
        held: What it holds now, by asset; the start asset negative while it is out.
        age_s: Since it was approved.
    """

    cycle: int
    key: str
    state: CycleState
    legs: tuple[str, ...]
    held: Mapping[str, Decimal]
    expected_profit: Decimal
    start_asset: str
    age_s: float


@attrs.frozen
class LatencyRow:
    """Percentiles of one latency since the start, in microseconds; None while nothing was timed."""

    name: str
    count: int
    p50_us: float | None
    p99_us: float | None
    p999_us: float | None


@attrs.frozen
class BotState:
    """Everything about a running bot at one moment; what `status`, the live view and pages show.

    Args:
        run: Id of the run.
        uptime_s: Since the start.
        trading_state: What it may do.
        halt_reason: Why it isn't ACTIVE; empty when it is.
        venue_state: The venue's own word.
        is_market_connected: Public connection up and at least one book in sync.
        is_account_ready: Orders may go out; always true for paper.
        account_problem: Why not.
        cycles_watched: Directed cycles the detectors watch.
        funnel: Opportunities by outcome: `seen`, `approved`, `refused`, `blocked`, …
        refusals: Of those refused, by binding rule.
        cycles: Ended cycles by terminal state.
        open_cycles: Under way.
        orders: Sent.
        executions: Booked.
        profit: Realised, by asset.
        profit_reference: The same in the reference asset.
        balances: Of the ledger, by asset.
        ledger_differences: Where ledger and venue disagree now; empty when they agree.
        latencies: By name.
        journal: `ok`, or what is wrong.
        journal_lag: Records that wait for the database.
        database: `ok`, `connecting`, or what is wrong.
        limits: Of risk, as text.
        decisions: Counted.
        decision_hash: Over all of them.
        alerts: The last ones, newest first: severity, title.
        counters: Everything that is counted, by dotted name.
        plugins: Name and state of each plugin.
    """

    run: str
    account: str
    venue: str
    mode: Mode
    version: str
    started_at: str
    uptime_s: float
    trading_state: TradingState
    halt_reason: str
    venue_state: str
    is_market_connected: bool
    is_account_ready: bool
    account_problem: str
    books: int
    books_in_sync: int
    cycles_watched: int
    funnel: Mapping[str, int]
    refusals: Mapping[str, int]
    cycles: Mapping[str, int]
    open_cycles: tuple[OpenCycle, ...]
    orders: int
    executions: int
    profit: Mapping[str, Decimal]
    profit_reference: Decimal
    reference_asset: str
    balances: Mapping[str, Decimal]
    ledger_differences: Mapping[str, Decimal]
    latencies: tuple[LatencyRow, ...]
    hot_path: str
    journal: str
    journal_lag: int
    database: str
    limits: Mapping[str, str]
    decisions: int
    decision_hash: str
    alerts: tuple[tuple[str, str], ...]
    counters: Mapping[str, int]
    plugins: Mapping[str, str]
