"""The figures of a run, computed in the database: what it won and cost, where the edge went.

Ratios are rounded to eight decimals; everything else is exact.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs

from arbitrade.api.history import FunnelStep, LatencyView, RunMetrics
from arbitrade.models import Attribution
from arbitrade.store.reading import Reader, run_id, value_of

__all__ = ["ATTRIBUTION_NAMES", "run_funnel", "run_latencies", "run_metrics"]

ATTRIBUTION_NAMES = tuple(field.name for field in attrs.fields(Attribution))
"""Expected, realised, then the terms in the order of the journey."""

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


_FUNNEL = """
    SELECT outcome, rule, sum(opportunities)::bigint AS opportunities,
           sum(sightings)::bigint AS sightings, max(best_edge_bps) AS best_edge_bps
    FROM risk_decision WHERE run = $1 GROUP BY outcome, rule
    ORDER BY opportunities DESC, outcome, rule
"""
# Of measurements that begin at the same time the last holds what the others do.
_LATENCIES = """
    SELECT name, sum(count)::bigint AS count,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY p50_us) AS p50_us,
           max(p99_us) AS p99_us, max(maximum_us) AS maximum_us
    FROM (SELECT DISTINCT ON (name, from_at) * FROM latency WHERE run = $1
          ORDER BY name, from_at, at DESC, seq DESC) AS stretch
    GROUP BY name ORDER BY name
"""


async def run_metrics(reader: Reader, run: str) -> RunMetrics:
    """Return the figures of a run.

    Args:
        reader: Should see one moment, so that the figures fit together; `Reader.moment`.
        run: Its id.
    """
    of = run_id(run)
    states = await reader.rows(
        "SELECT state, count(*) FROM cycle WHERE run = $1 GROUP BY state ORDER BY state", of
    )
    cycles = await reader.row(_CYCLES, of)
    flows = await reader.rows(_FLOWS, of)
    expected = await reader.rows(_EXPECTED, of)
    attribution = await reader.rows(_ATTRIBUTION, of)
    filled = await reader.row(_FILLED, of)
    executions = await reader.row(_EXECUTIONS, of)
    return RunMetrics(
        cycles=dict(map(tuple, states)),
        traded=cycles["traded"],
        won=cycles["won"],
        win_rate=cycles["win_rate"],
        profit={row["asset"]: row["flow"] for row in flows},
        residual={row["asset"]: row["residual"] for row in flows if row["residual"]},
        profit_reference=cycles["profit_reference"],
        fees=dict(map(tuple, await reader.rows(_FEES, of))),
        expected={row["start_asset"]: row["expected"] for row in expected},
        realised={row["start_asset"]: row["realised"] for row in expected},
        attribution={row["start_asset"]: _terms(row) for row in attribution},
        orders=dict(map(tuple, await reader.rows(_ORDERS, of))),
        fully_filled=filled["fully_filled"],
        fill_ratio=filled["fill_ratio"],
        executions=executions["executions"],
        anomalies=executions["anomalies"],
        send_to_ack_us=_pair(filled["send_to_ack_us"]),
        funnel=tuple(await run_funnel(reader, run)),
        latencies=tuple(await run_latencies(reader, run)),
    )


async def run_funnel(reader: Reader, run: str) -> list[FunnelStep]:
    """Return how many opportunities of a run ended how, the most frequent first."""
    return [value_of(FunnelStep, row) for row in await reader.rows(_FUNNEL, run_id(run))]


async def run_latencies(reader: Reader, run: str) -> list[LatencyView]:
    """Return each latency of a run over all stretches it was measured in, by name."""
    return [value_of(LatencyView, row) for row in await reader.rows(_LATENCIES, run_id(run))]


def _terms(row: Any) -> Mapping[str, Decimal]:
    return {name: row[name] for name in ATTRIBUTION_NAMES}


def _pair(values: list[Decimal] | None) -> tuple[Decimal, Decimal] | None:
    return None if values is None else (values[0], values[1])
