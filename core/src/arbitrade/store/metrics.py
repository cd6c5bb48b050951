"""The figures of a run, computed in the database: what it won and cost, where the edge went."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import asyncpg
import attrs

from arbitrade.store.repositories import ATTRIBUTION_NAMES, Repositories
from arbitrade.store.views import FunnelStep, LatencyView

__all__ = ["RunMetrics", "run_metrics"]

RATIO_DIGITS = 8
"""Decimals of ratios; everything else is exact."""


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


_CYCLES = """
    SELECT count(*) FILTER (WHERE is_traded) AS traded,
           count(*) FILTER (WHERE is_traded AND profit > 0) AS won,
           round((count(*) FILTER (WHERE is_traded AND profit > 0))::numeric
                 / nullif(count(*) FILTER (WHERE is_traded), 0), 8) AS win_rate,
           coalesce(sum(profit_reference), 0) AS profit_reference
    FROM (SELECT *, closed_at IS NOT NULL AND state <> 'aborted_clean' AS is_traded
          FROM cycle WHERE run = $1) AS one
"""
_FLOWS = """
    SELECT asset, sum(flow) AS flow, sum(residual) AS residual
    FROM cycle_flow WHERE run = $1 GROUP BY asset ORDER BY asset
"""
_FEES = """
    SELECT asset, sum(amount) AS amount FROM execution_fee WHERE run = $1
    GROUP BY asset ORDER BY asset
"""
_EXPECTED = """
    SELECT start_asset, coalesce(sum(expected_profit), 0) AS expected, sum(profit) AS realised
    FROM cycle WHERE run = $1 AND closed_at IS NOT NULL GROUP BY start_asset ORDER BY start_asset
"""
_ATTRIBUTION = f"""
    SELECT c.start_asset, {", ".join(f"sum({name}) AS {name}" for name in ATTRIBUTION_NAMES)}
    FROM attribution a JOIN cycle c ON c.run = a.run AND c.number = a.cycle
    WHERE a.run = $1 GROUP BY c.start_asset ORDER BY c.start_asset
"""  # noqa: S608  # our names
_ORDERS = """
    SELECT coalesce(outcome, 'unanswered') AS outcome, count(*) FROM trade_order WHERE run = $1
    GROUP BY 1 ORDER BY 1
"""
_FILLED = """
    SELECT count(*) FILTER (WHERE filled_quantity = quantity) AS fully_filled,
           round(avg(filled_quantity / quantity) FILTER (WHERE outcome = 'accepted'), 8)
               AS fill_ratio,
           percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (
               ORDER BY 1000000 * extract(epoch FROM answered_at - sent_at)
           ) FILTER (WHERE sent_at IS NOT NULL AND answered_at IS NOT NULL) AS send_to_ack_us
    FROM trade_order WHERE run = $1
"""
_EXECUTIONS = """
    SELECT count(*) AS executions, count(*) FILTER (WHERE is_anomaly) AS anomalies
    FROM execution WHERE run = $1
"""


async def run_metrics(pool: "asyncpg.Pool", run: str) -> RunMetrics:
    """Return the figures of a run, all from one moment of the database."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        repositories = Repositories(connection)
        states = await connection.fetch(
            "SELECT state, count(*) FROM cycle WHERE run = $1 GROUP BY state ORDER BY state", run
        )
        cycles = await connection.fetchrow(_CYCLES, run)
        flows = await connection.fetch(_FLOWS, run)
        expected = await connection.fetch(_EXPECTED, run)
        attribution = await connection.fetch(_ATTRIBUTION, run)
        filled = await connection.fetchrow(_FILLED, run)
        executions = await connection.fetchrow(_EXECUTIONS, run)
        return RunMetrics(
            cycles=dict(map(tuple, states)),
            traded=cycles["traded"],
            won=cycles["won"],
            win_rate=cycles["win_rate"],
            profit={row["asset"]: row["flow"] for row in flows},
            residual={row["asset"]: row["residual"] for row in flows if row["residual"]},
            profit_reference=cycles["profit_reference"],
            fees=dict(map(tuple, await connection.fetch(_FEES, run))),
            expected={row["start_asset"]: row["expected"] for row in expected},
            realised={row["start_asset"]: row["realised"] for row in expected},
            attribution={row["start_asset"]: _terms(row) for row in attribution},
            orders=dict(map(tuple, await connection.fetch(_ORDERS, run))),
            fully_filled=filled["fully_filled"],
            fill_ratio=filled["fill_ratio"],
            executions=executions["executions"],
            anomalies=executions["anomalies"],
            send_to_ack_us=_pair(filled["send_to_ack_us"]),
            funnel=tuple(await repositories.funnel(run)),
            latencies=tuple(await repositories.latencies(run)),
        )


def _terms(row: Any) -> Mapping[str, Decimal]:
    return {name: row[name] for name in ATTRIBUTION_NAMES}


def _pair(values: list[Decimal] | None) -> tuple[Decimal, Decimal] | None:
    return None if values is None else (values[0], values[1])
