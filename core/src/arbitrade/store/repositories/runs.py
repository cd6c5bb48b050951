"""Reads runs, and what was measured in them."""

# ruff: noqa: S608  # only names of our own are put into statements

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from arbitrade.api.history import (
    MAXIMUM_ROWS,
    InstrumentView,
    LatencyPoint,
    LatencyView,
    RunMetrics,
    RunSummary,
    RunView,
)
from arbitrade.errors import UsageError
from arbitrade.store.metrics import run_latencies, run_metrics
from arbitrade.store.reading import Reader, Where, check_limit, run_id, value_of
from arbitrade.store.repositories.money import profit_by_asset
from arbitrade.store.tables import count_rows

_RUN = """
    SELECT id::text AS run, account, mode, venue, version, started_at, ended_at, end_reason,
           decisions, decision_hash, settings_digest
    FROM run
"""


class Runs:
    """Runs, and what was measured in them, as `RunHistory` says."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def latest(self, account: str | None = None, limit: int = 20) -> list[RunView]:
        """Return the last runs, the latest first, of one account or of all."""
        check_limit(limit)
        rows = await self._reader.rows(
            f"{_RUN} WHERE $1::text IS NULL OR account = $1 ORDER BY started_at DESC, id LIMIT $2",
            *(account, limit),
        )
        return [value_of(RunView, row) for row in rows]

    async def find(self, name: str | None = None, account: str | None = None) -> RunView:
        """Return the run whose id begins with `name`; the last one for None."""
        rows = await self._reader.rows(
            f"{_RUN} WHERE ($1::text IS NULL OR account = $1) "
            "AND ($2::text IS NULL OR starts_with(id::text, lower($2))) "
            "ORDER BY started_at DESC, id LIMIT 2",
            *(account, name),
        )
        of = "" if account is None else f" of account {account}"
        if not rows:
            wanted = "no run" if name is None else f"no run {name}"
            raise UsageError(f"the database has {wanted}{of}; see: arbitrade report --last 20")
        if name is not None and len(rows) > 1:
            raise UsageError(f"{name}: more than one run{of} begins so; write more of its id")
        return value_of(RunView, rows[0])

    async def summary(self, run: RunView) -> RunSummary:
        """Return a run in one line."""
        states = await self._reader.rows(
            "SELECT state, count(*) FROM cycle WHERE run = $1 GROUP BY state ORDER BY state",
            run.run,
        )
        counted = await self._reader.row(
            "SELECT (SELECT count(*) FROM trade_order WHERE run = $1), "
            "(SELECT count(*) FROM execution WHERE run = $1), "
            "(SELECT coalesce(sum(opportunities), 0)::bigint FROM risk_decision WHERE run = $1)",
            run.run,
        )
        profit = {one.asset: one.flow for one in await profit_by_asset(self._reader, run.run)}
        return RunSummary(run, dict(map(tuple, states)), profit, *counted)

    async def metrics(self, run: str) -> RunMetrics:
        """Return the figures of a run, all of one moment."""
        async with self._reader.moment() as reader:
            return await run_metrics(reader, run)

    async def settings(self, run: str) -> Mapping[str, Any]:
        """Return the settings a run began with, without secrets; empty if unknown."""
        found = await self._reader.value("SELECT settings FROM run WHERE id = $1", run_id(run))
        return found or {}

    async def instruments(self, run: str) -> list[InstrumentView]:
        """Return the pairs of a run as they were described last, by symbol."""
        rows = await self._reader.rows(
            "SELECT DISTINCT ON (symbol) * FROM instrument WHERE run = $1 "
            "ORDER BY symbol, seq DESC",
            run_id(run),
        )
        return [value_of(InstrumentView, row) for row in rows]

    async def latencies(self, run: str) -> list[LatencyView]:
        """Return each latency of a run over all stretches it was measured in, by name."""
        return await run_latencies(self._reader, run)

    async def latency_points(
        self, run: str, name: str, *, begin: datetime | None = None, end: datetime | None = None
    ) -> list[LatencyPoint]:
        """Return the last measurements of one latency, oldest first."""
        where = Where()
        where.of(run, None)
        where.add("name = ?", name)
        where.add("at >= ?", begin)
        where.add("at < ?", end)
        rows = await self._reader.rows(
            f"SELECT * FROM latency WHERE {where.sql} ORDER BY at DESC, seq DESC "
            f"LIMIT {MAXIMUM_ROWS}",
            *where.values,
        )
        return [value_of(LatencyPoint, row) for row in reversed(rows)]

    async def rows_by_table(self, run: str | None = None) -> dict[str, int]:
        """Return how many rows each table has, of one run or of all; empty tables too."""
        async with self._reader.moment() as reader:
            return await count_rows(reader, run)
