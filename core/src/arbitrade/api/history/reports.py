"""The figures of a run, and all that `arbitrade report` tells about one."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade.api.history.cycles import CycleDetail, CycleView
from arbitrade.api.history.opportunities import FunnelStep, NearMiss
from arbitrade.api.history.runs import LatencyView, RunView


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
