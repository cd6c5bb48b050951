"""Reads opportunities, and what became of them."""

# ruff: noqa: S608  # only names of our own are put into statements

from datetime import datetime

from arbitrade.api.history import (
    MAXIMUM_ROWS,
    Cursor,
    FunnelPoint,
    FunnelStep,
    NearMiss,
    OpportunityFilter,
    OpportunityView,
    Page,
)
from arbitrade.errors import UsageError
from arbitrade.store.metrics import run_funnel
from arbitrade.store.reading import (
    Order,
    Reader,
    Where,
    check_limit,
    maker,
    run_id,
    value_of,
)

_OPPORTUNITY = """
    SELECT run::text AS run, account, number, detector, key, assets, legs, first_seen_at,
           last_seen_at, sightings, edge_bps, best_edge_bps, size, profit, best_profit,
           assets[1] AS asset, outcome, rule, reason, value, limit_value AS limit, also, flips,
           cycle FROM opportunity
"""
_EVERY = ("minute", "hour", "day")


class Opportunities:
    """Opportunities and what became of them, as `OpportunityHistory` says."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(
        self,
        where: OpportunityFilter = OpportunityFilter(),  # noqa: B008  # frozen
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[OpportunityView]:
        """Return opportunities by the time they were first seen."""
        order = Order.numbered("first_seen_at", "number")
        make = maker(OpportunityView)
        return await self._reader.page(make, _OPPORTUNITY, order, _where(where), limit, before)

    async def one(self, run: str, number: int) -> OpportunityView | None:
        """Return one opportunity; None if there is no such one."""
        row = await self._reader.row(
            f"{_OPPORTUNITY} WHERE run = $1 AND number = $2", *(run_id(run), number)
        )
        return None if row is None else value_of(OpportunityView, row)

    async def counts(
        self,
        where: OpportunityFilter = OpportunityFilter(),  # noqa: B008  # frozen
    ) -> list[FunnelStep]:
        """Return how many of the opportunities ended how, the most frequent first."""
        chosen = _where(where)
        rows = await self._reader.rows(
            "SELECT outcome, rule, count(*) AS opportunities, sum(sightings)::bigint AS sightings, "
            f"max(best_edge_bps) AS best_edge_bps FROM opportunity WHERE {chosen.sql} "
            "GROUP BY outcome, rule ORDER BY opportunities DESC, outcome, rule",
            *chosen.values,
        )
        return [value_of(FunnelStep, row) for row in rows]

    async def funnel(self, run: str) -> list[FunnelStep]:
        """Return how many opportunities of a run ended how, the most frequent first."""
        return await run_funnel(self._reader, run)

    async def funnel_points(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        every: str = "minute",
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> list[FunnelPoint]:
        """Return the same over time, oldest first."""
        if every not in _EVERY:
            raise UsageError(f"every: {every!r} is none of {', '.join(_EVERY)}")
        where = Where()
        where.of(run, account)
        where.add("minute >= ?", begin)
        where.add("minute < ?", end)
        rows = await self._reader.rows(
            f"SELECT date_trunc('{every}', minute, 'UTC') AS at, outcome, rule, "
            "sum(opportunities)::bigint AS opportunities, sum(sightings)::bigint AS sightings, "
            f"max(best_edge_bps) AS best_edge_bps FROM risk_decision WHERE {where.sql} "
            f"GROUP BY 1, outcome, rule ORDER BY 1 DESC, outcome DESC, rule DESC "
            f"LIMIT {MAXIMUM_ROWS}",
            *where.values,
        )
        return [value_of(FunnelPoint, row) for row in reversed(rows)]

    async def near_misses(self, run: str, limit: int = 10) -> list[NearMiss]:
        """Return opportunities not taken, those with the highest edge first."""
        check_limit(limit)
        rows = await self._reader.rows(
            f"{_OPPORTUNITY} WHERE run = $1 AND outcome IN ('refused', 'blocked') "
            "ORDER BY best_edge_bps DESC, first_seen_at, number LIMIT $2",
            *(run_id(run), limit),
        )
        return [value_of(NearMiss, row) for row in rows]


def _where(asked: OpportunityFilter) -> Where:
    where = Where()
    where.of(asked.run, asked.account)
    where.among("outcome", asked.outcomes)
    where.add("rule = ?", asked.rule)
    where.add("detector = ?", asked.detector)
    where.add("? = ANY (assets)", asked.asset)
    where.contains("key", asked.key)
    where.add("best_edge_bps >= ?", asked.minimum_edge_bps)
    where.add("best_profit >= ?", asked.minimum_profit)
    where.add("first_seen_at >= ?", asked.begin)
    where.add("first_seen_at < ?", asked.end)
    return where
