"""What is read back from the database, as values.  Times are aware and in UTC, amounts exact."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import attrs


@attrs.frozen
class RunView:
    """A run; `ended_at` is None while it runs, or if it ended without a word."""

    run: str
    account: str
    mode: str
    venue: str
    version: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    decisions: int | None
    decision_hash: str | None
    settings_digest: str


@attrs.frozen
class RunSummary:
    """A run in one line: cycles by state, profit by asset, how much of what."""

    run: RunView
    cycles: Mapping[str, int]
    profit: Mapping[str, Decimal]
    orders: int
    executions: int
    opportunities: int


@attrs.frozen
class CycleView:
    """A cycle; amounts in its start asset.  Of the plan all is None if its record was lost."""

    run: str
    account: str
    number: int
    key: str | None
    start_asset: str | None
    executor: str | None
    state: str
    opened_at: datetime
    closed_at: datetime | None
    edge_bps: Decimal | None
    size: Decimal | None
    planned_spent: Decimal | None
    expected_profit: Decimal | None
    profit: Decimal | None
    profit_reference: Decimal | None
    cap: str | None
    reason: str | None
    is_recovered: bool


@attrs.frozen
class FlowView:
    """What a cycle changed of an asset, and what of that is left outside of the start asset."""

    asset: str
    flow: Decimal
    residual: Decimal


@attrs.frozen
class LegView:
    """A leg: the plan, and the sum of the orders sent for it."""

    leg: int
    symbol: str
    side: str
    quantity: Decimal | None
    limit_price: Decimal | None
    vwap: Decimal | None
    spent: Decimal | None
    received: Decimal | None
    fee: Decimal | None
    fee_asset: str | None
    blocked: str | None
    orders: int
    filled_quantity: Decimal
    filled_cost: Decimal
    actual_spent: Decimal
    actual_received: Decimal

    @property
    def filled_price(self) -> Decimal | None:
        """Average price of what was filled; None if nothing was."""
        return self.filled_cost / self.filled_quantity if self.filled_quantity else None

    @property
    def slippage_bps(self) -> Decimal | None:
        """Average price against the plan's, in basis points; positive is worse."""
        price = self.filled_price
        if price is None or not self.vwap:
            return None
        worse = price - self.vwap if self.side == "buy" else self.vwap - price
        return worse / self.vwap * 10_000


@attrs.frozen
class OrderView:
    """An order from intent to end; answer and end are None before they come."""

    client_id: str
    order_id: str | None
    cycle: int | None
    leg: int
    role: str
    symbol: str
    side: str
    quantity: Decimal
    limit_price: Decimal | None
    intended_at: datetime
    sent_at: datetime | None
    outcome: str | None
    answered_at: datetime | None
    answer_reason: str | None
    status: str | None
    ended_at: datetime | None
    end_reason: str | None
    filled_quantity: Decimal | None
    filled_cost: Decimal | None
    spent: Decimal | None
    received: Decimal | None


@attrs.frozen
class FeeView:
    """A fee; negative for a rebate."""

    asset: str
    amount: Decimal


@attrs.frozen
class ExecutionView:
    """A fill as it was booked."""

    run: str
    account: str
    exec_id: str
    order_id: str
    client_id: str | None
    cycle: int | None
    leg: int
    booked_at: datetime
    venue_at: datetime | None
    symbol: str | None
    side: str | None
    quantity: Decimal
    price: Decimal
    cost: Decimal
    is_maker: bool | None
    is_anomaly: bool
    fees: tuple[FeeView, ...] = ()


@attrs.frozen
class CandidateView:
    """A way out that was looked at."""

    kind: str
    path: Sequence[Mapping[str, str]]
    received: Decimal
    loss: Decimal
    blocked: str | None
    is_chosen: bool


@attrs.frozen
class UnwindView:
    """How a cycle got out of an asset, and between what it chose."""

    at: datetime
    reason: str
    asset: str
    amount: Decimal
    cost: Decimal
    loss_cap: Decimal
    chosen: str
    candidates: tuple[CandidateView, ...]


@attrs.frozen
class BookView:
    """A book at a moment; levels are (price, quantity), best first."""

    at: datetime
    symbol: str
    moment: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


@attrs.frozen
class NoteView:
    """What an executor wrote."""

    at: datetime
    what: str
    fields: Mapping[str, str]


@attrs.frozen
class CycleDetail:
    """All there is about a cycle.  `attribution`: the terms by name, also expected and realised."""

    cycle: CycleView
    flows: tuple[FlowView, ...]
    legs: tuple[LegView, ...]
    orders: tuple[OrderView, ...]
    executions: tuple[ExecutionView, ...]
    unwinds: tuple[UnwindView, ...]
    attribution: Mapping[str, Decimal]
    books: tuple[BookView, ...]
    notes: tuple[NoteView, ...]


@attrs.frozen
class FunnelStep:
    """How many opportunities ended how, by which rule."""

    outcome: str
    rule: str
    opportunities: int
    sightings: int
    best_edge_bps: Decimal


@attrs.frozen
class NearMiss:
    """An opportunity that was not taken; each change in `flips` alone would have let it pass."""

    number: int
    key: str
    first_seen_at: datetime
    last_seen_at: datetime
    sightings: int
    best_edge_bps: Decimal
    best_profit: Decimal
    asset: str
    outcome: str
    rule: str
    reason: str
    value: str
    limit: str
    also: tuple[str, ...]
    flips: tuple[Mapping[str, Any], ...]


@attrs.frozen
class ProfitView:
    """What closed cycles changed of an asset, on a day or with a key, or altogether."""

    asset: str
    flow: Decimal
    cycles: int
    day: date | None = None
    key: str | None = None


@attrs.frozen
class LedgerBalance:
    """A balance of an account of the ledger."""

    ledger_account: str
    asset: str
    balance: Decimal


@attrs.frozen
class BalanceView:
    """The last comparison of an asset with the venue."""

    asset: str
    at: datetime
    venue_balance: Decimal
    ledger_balance: Decimal
    difference: Decimal
    verdict: str


@attrs.frozen
class PostingView:
    """A line of the ledger with its transaction."""

    run: str
    account: str
    at: datetime
    transaction: str
    line: int
    reason: str
    cycle: int | None
    proof: str
    ledger_account: str
    asset: str
    amount: Decimal


@attrs.frozen
class LatencyView:
    """A latency over the stretches it was measured in, in microseconds.

    Args:
        p50_us: Median of their medians.
        p99_us: The worst of theirs.
    """

    name: str
    count: int
    p50_us: Decimal
    p99_us: Decimal
    maximum_us: Decimal


@attrs.frozen
class AlertView:
    """An alert; severity as in `Severity`."""

    run: str
    account: str
    number: int
    at: datetime
    severity: int
    title: str
    body: str
    subject: str


@attrs.frozen
class RunMetrics:
    """Figures of a run.  Amounts are exact, by asset.

    Args:
        cycles: By state, open ones included.
        traded: Closed cycles in which anything was filled.
        won: Of these, with a profit above zero.
        win_rate: won / traded; None before the first.
        profit: What closed cycles changed of each asset, fees included.
        residual: Of that, what is left outside of start assets.
        profit_reference: In the reference asset, where a book told.
        fees: Charged for all fills of the run.
        expected: Profit of the plans of closed cycles, by start asset.
        realised: Their profit, by start asset.
        attribution: Where the difference went, by start asset; of cycles that have one.
        orders: By what became of sending them; `unanswered` for those without a word.
        fully_filled: Orders filled whole.
        fill_ratio: Mean of filled / asked over orders the venue took; None before the first.
        executions: Fills.
        anomalies: Of these, worse than their limit or not ours.
        send_to_ack_us: Median and 99th percentile over orders with both times; None without any.
        funnel: What became of opportunities, and by which rule.
        latencies: As they were measured.
    """

    cycles: Mapping[str, int]
    traded: int
    won: int
    win_rate: Decimal | None
    profit: Mapping[str, Decimal]
    residual: Mapping[str, Decimal]
    profit_reference: Decimal
    fees: Mapping[str, Decimal]
    expected: Mapping[str, Decimal]
    realised: Mapping[str, Decimal]
    attribution: Mapping[str, Mapping[str, Decimal]]
    orders: Mapping[str, int]
    fully_filled: int
    fill_ratio: Decimal | None
    executions: int
    anomalies: int
    send_to_ack_us: tuple[Decimal, Decimal] | None
    funnel: tuple[FunnelStep, ...]
    latencies: tuple[LatencyView, ...]


@attrs.frozen
class LedgerLine:
    """An asset in the ledger of a run: `wallet` is the sum of what stands before it.

    Args:
        opening: What the run began with.
        trading: What fills changed, without fees.
        fees: What they cost; negative.
        rounding: What the venue's ledger rounded.
        external: Deposits, withdrawals and the like.
        wallet: What the run's transactions come to.
        venue: What the venue had at the last comparison; None if there was none.
        difference: Venue minus ledger then.
        verdict: Of that comparison.
    """

    asset: str
    opening: Decimal
    trading: Decimal
    fees: Decimal
    rounding: Decimal
    external: Decimal
    wallet: Decimal
    venue: Decimal | None
    difference: Decimal | None
    verdict: str | None


@attrs.frozen
class RunReport:
    """A run, told.

    Args:
        cycles: The latest first; empty unless asked for.
        details: The same with legs, orders and attribution; empty unless asked for.
    """

    run: RunView
    metrics: RunMetrics
    near_misses: tuple[NearMiss, ...]
    ledger: tuple[LedgerLine, ...]
    cycles: tuple[CycleView, ...] = ()
    details: tuple[CycleDetail, ...] = ()
