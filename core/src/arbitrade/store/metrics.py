"""The figures of a run, computed in the database: what it won and cost, where the edge went."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import asyncpg

from arbitrade.api.history import RunMetrics
from arbitrade.store.repositories import ATTRIBUTION_NAMES, Repositories

__all__ = ["RunMetrics", "run_metrics"]

RATIO_DIGITS = 8
"""Decimals of ratios; everything else is exact."""


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
