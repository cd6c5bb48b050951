"""Reads what was stored: runs, cycles, opportunities, profit, ledger, audit.

Each method is one question and one to a few statements, answered by indexes.  `limit` is what one
page holds; `before` is the number the page before ended with.
"""

# ruff: noqa: S608  # only names of our own are put into statements

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import attrs

from arbitrade.accounting.audit import AuditEntry
from arbitrade.api.history import (
    AlertView,
    BalanceView,
    BookView,
    CandidateView,
    CycleDetail,
    CycleView,
    ExecutionView,
    FeeView,
    FlowView,
    FunnelStep,
    LatencyView,
    LedgerBalance,
    LegView,
    NearMiss,
    NoteView,
    OrderView,
    PostingView,
    ProfitView,
    RunSummary,
    RunView,
    UnwindView,
)
from arbitrade.errors import UsageError
from arbitrade.models import Attribution

__all__ = ["Repositories"]

_PAGE = 1000
ATTRIBUTION_NAMES = tuple(field.name for field in attrs.fields(Attribution))
"""Expected, realised, then the terms in the order of the journey."""
_RUN = """
    id::text AS run, account, mode, venue, version, started_at, ended_at, end_reason, decisions,
    decision_hash, settings_digest
"""
_CYCLE = """
    run::text AS run, account, number, key, start_asset, executor, state, opened_at, closed_at,
    edge_bps, size, planned_spent, expected_profit, profit, profit_reference, cap, reason,
    is_recovered
"""


class Repositories:
    """The read side of the database.

    Args:
        pool: Connections; `Database.pool`.
    """

    def __init__(self, pool: "asyncpg.Pool") -> None:
        self._pool = pool

    @property
    def pool(self) -> "asyncpg.Pool":
        """What it reads with."""
        return self._pool

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────

    async def runs(self, account: str | None = None, limit: int = 20) -> list[RunView]:
        """Return the last runs, the latest first, of one account or of all."""
        rows = await self._pool.fetch(
            f"SELECT {_RUN} FROM run WHERE $1::text IS NULL OR account = $1 "
            "ORDER BY started_at DESC, id LIMIT $2",
            *(account, limit),
        )
        return [_as(RunView, row) for row in rows]

    async def find_run(self, name: str | None, account: str | None = None) -> RunView:
        """Return the run whose id begins with `name`; the last one for None.

        Raises:
            UsageError: There is none, or more than one.
        """
        rows = await self._pool.fetch(
            f"SELECT {_RUN} FROM run WHERE ($1::text IS NULL OR account = $1) "
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
        return _as(RunView, rows[0])

    async def summary(self, run: RunView) -> RunSummary:
        """Return a run in one line."""
        states = await self._pool.fetch(
            "SELECT state, count(*) FROM cycle WHERE run = $1 GROUP BY state ORDER BY state",
            run.run,
        )
        counted = await self._pool.fetchrow(
            "SELECT (SELECT count(*) FROM trade_order WHERE run = $1), "
            "(SELECT count(*) FROM execution WHERE run = $1), "
            "(SELECT coalesce(sum(opportunities), 0)::bigint FROM risk_decision WHERE run = $1)",
            run.run,
        )
        profit = {one.asset: one.flow for one in await self.profit(run.run)}
        return RunSummary(run, dict(map(tuple, states)), profit, *counted)

    # ── cycles ───────────────────────────────────────────────────────────────────────────────────

    async def cycles(
        self, run: str, state: str | None = None, limit: int = 50, before: int | None = None
    ) -> list[CycleView]:
        """Return cycles of a run, the latest first, with numbers below `before`."""
        rows = await self._pool.fetch(
            f"SELECT {_CYCLE} FROM cycle WHERE run = $1 AND ($2::text IS NULL OR state = $2) "
            "AND ($3::bigint IS NULL OR number < $3) ORDER BY number DESC LIMIT $4",
            *(run, state, before, limit),
        )
        return [_as(CycleView, row) for row in rows]

    async def cycle(self, run: str, number: int) -> CycleDetail | None:
        """Return everything about a cycle; None if there is no such one."""
        fetch = self._pool.fetch
        row = await self._pool.fetchrow(
            f"SELECT {_CYCLE} FROM cycle WHERE run = $1 AND number = $2", *(run, number)
        )
        if row is None:
            return None
        of = (run, number)
        flows = await fetch(
            "SELECT * FROM cycle_flow WHERE run = $1 AND cycle = $2 ORDER BY asset", *of
        )
        legs = await fetch(
            "SELECT * FROM leg_outcome WHERE run = $1 AND cycle = $2 ORDER BY leg", *of
        )
        orders = await fetch(
            "SELECT * FROM trade_order WHERE run = $1 AND cycle = $2 "
            "ORDER BY intended_at, client_id",
            *of,
        )
        return CycleDetail(
            cycle=_as(CycleView, row),
            flows=tuple(_as(FlowView, one) for one in flows),
            legs=tuple(_as(LegView, one) for one in legs),
            orders=tuple(_as(OrderView, one) for one in orders),
            executions=tuple(await self._executions_of(*of)),
            unwinds=tuple(await self._unwinds(*of)),
            attribution=await self._attribution(*of),
            books=tuple(await self._books(*of)),
            notes=tuple(await self._notes(*of)),
        )

    async def orders(self, run: str, limit: int = 50) -> list[OrderView]:
        """Return orders of a run, the latest first."""
        rows = await self._pool.fetch(
            "SELECT * FROM trade_order WHERE run = $1 ORDER BY intended_at DESC, client_id "
            "LIMIT $2",
            *(run, limit),
        )
        return [_as(OrderView, row) for row in rows]

    async def unfinished_orders(self, account: str) -> list[OrderView]:
        """Return orders of which no end is known, the oldest first."""
        rows = await self._pool.fetch(
            "SELECT * FROM trade_order WHERE account = $1 AND ended_at IS NULL "
            "ORDER BY intended_at, client_id",
            account,
        )
        return [_as(OrderView, row) for row in rows]

    # ── opportunities ────────────────────────────────────────────────────────────────────────────

    async def funnel(self, run: str) -> list[FunnelStep]:
        """Return how many opportunities ended how, the most frequent first."""
        rows = await self._pool.fetch(
            "SELECT outcome, rule, sum(opportunities)::bigint AS opportunities, "
            "sum(sightings)::bigint AS sightings, max(best_edge_bps) AS best_edge_bps "
            "FROM risk_decision WHERE run = $1 GROUP BY outcome, rule "
            "ORDER BY opportunities DESC, outcome, rule",
            run,
        )
        return [_as(FunnelStep, row) for row in rows]

    async def near_misses(self, run: str, limit: int = 10) -> list[NearMiss]:
        """Return opportunities not taken, those with the highest edge first."""
        rows = await self._pool.fetch(
            "SELECT *, assets[1] AS asset, limit_value AS limit FROM opportunity WHERE run = $1 "
            "AND outcome IN ('refused', 'blocked') "
            "ORDER BY best_edge_bps DESC, first_seen_at, number LIMIT $2",
            *(run, limit),
        )
        return [_as(NearMiss, row) for row in rows]

    # ── money ────────────────────────────────────────────────────────────────────────────────────

    async def profit(
        self, run: str | None = None, *, account: str | None = None, by: str | None = None
    ) -> list[ProfitView]:
        """Return what closed cycles changed, by asset.

        Args:
            run: Of one run, or of all.
            account: Of one account, or of all.
            by: None, `day` (UTC, when the cycle closed) or `key`.

        Raises:
            ValueError: `by` is something else.
        """
        split = _SPLITS.get(by)
        if split is None:
            raise ValueError(f"by: {by!r} is none of day, key")
        rows = await self._pool.fetch(
            f"SELECT f.asset, sum(f.flow) AS flow, count(*) AS cycles{split} "
            "FROM cycle_flow f JOIN cycle c ON c.run = f.run AND c.number = f.cycle "
            "WHERE ($1::uuid IS NULL OR f.run = $1) AND ($2::text IS NULL OR f.account = $2) "
            f"GROUP BY f.asset{_GROUPS[by]} ORDER BY {_GROUPS[by].strip(', ') or 'asset'}, asset",
            *(run, account),
        )
        return [_as(ProfitView, row) for row in rows]

    async def ledger(self, account: str, run: str | None = None) -> list[LedgerBalance]:
        """Return the balances of an account's ledger, or what a run changed of them."""
        rows = await self._pool.fetch(
            "SELECT ledger_account, asset, sum(amount) AS balance FROM posting "
            "WHERE account = $1 AND ($2::uuid IS NULL OR run = $2) "
            "GROUP BY ledger_account, asset ORDER BY asset, ledger_account",
            *(account, run),
        )
        return [_as(LedgerBalance, row) for row in rows]

    async def balances(self, run: str) -> list[BalanceView]:
        """Return the last comparison with the venue in a run, asset by asset."""
        rows = await self._pool.fetch(
            "SELECT DISTINCT ON (asset) asset, at, venue_balance, ledger_balance, difference, "
            "verdict FROM balance WHERE run = $1 ORDER BY asset, at DESC, seq DESC",
            run,
        )
        return [_as(BalanceView, row) for row in rows]

    async def executions(
        self,
        account: str | None = None,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[ExecutionView]:
        """Yield fills booked from `begin` on and before `end`, oldest first, without a limit."""
        sql = (
            f"SELECT {_EXECUTION} FROM execution e WHERE ($1::text IS NULL OR account = $1) "
            "AND ($2::timestamptz IS NULL OR booked_at >= $2) "
            "AND ($3::timestamptz IS NULL OR booked_at < $3) "
            "ORDER BY booked_at, account, exec_id"
        )
        async for row in self._stream(sql, account, begin, end):
            yield _execution(row)

    async def postings(
        self,
        account: str | None = None,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[PostingView]:
        """Yield lines of the ledger, oldest first, without a limit."""
        sql = (
            "SELECT t.run::text AS run, t.account, t.at, t.transaction, p.line, t.reason, t.cycle, "
            "t.proof, p.ledger_account, p.asset, p.amount FROM ledger_transaction t "
            "JOIN posting p ON p.account = t.account AND p.transaction = t.transaction "
            "WHERE ($1::text IS NULL OR t.account = $1) "
            "AND ($2::timestamptz IS NULL OR t.at >= $2) "
            "AND ($3::timestamptz IS NULL OR t.at < $3) "
            "ORDER BY t.at, t.account, t.transaction, p.line"
        )
        async for row in self._stream(sql, account, begin, end):
            yield _as(PostingView, row)

    # ── what happened ────────────────────────────────────────────────────────────────────────────

    async def audit(self, account: str | None = None) -> AsyncIterator[AuditEntry]:
        """Yield audit entries in the order they were written, of one account or of all."""
        sql = (
            "SELECT run::text AS run, account, time_ns, entry, actor, action, subject, detail, "
            "previous_hash, hash FROM audit WHERE $1::text IS NULL OR account = $1 ORDER BY id"
        )
        async for row in self._stream(sql, account):
            yield _as(AuditEntry, row)

    async def last_audit(self, account: str) -> AuditEntry | None:
        """Return the end of an account's chain, which a new run goes on from."""
        row = await self._pool.fetchrow(
            "SELECT run::text AS run, account, time_ns, entry, actor, action, subject, detail, "
            "previous_hash, hash FROM audit WHERE account = $1 ORDER BY id DESC LIMIT 1",
            account,
        )
        return None if row is None else _as(AuditEntry, row)

    async def latencies(self, run: str) -> list[LatencyView]:
        """Return latencies of a run, by name.

        Of measurements that begin at the same time the last holds what the others do.
        """
        rows = await self._pool.fetch(
            "SELECT name, sum(count)::bigint AS count, "
            "percentile_disc(0.5) WITHIN GROUP (ORDER BY p50_us) AS p50_us, "
            "max(p99_us) AS p99_us, max(maximum_us) AS maximum_us "
            "FROM (SELECT DISTINCT ON (name, from_at) * FROM latency WHERE run = $1 "
            "ORDER BY name, from_at, at DESC, seq DESC) AS stretch GROUP BY name ORDER BY name",
            run,
        )
        return [_as(LatencyView, row) for row in rows]

    async def alerts(
        self, account: str | None = None, run: str | None = None, limit: int = 50
    ) -> list[AlertView]:
        """Return alerts, the latest first."""
        rows = await self._pool.fetch(
            "SELECT run::text AS run, account, number, at, severity, title, body, subject "
            "FROM alert WHERE ($1::text IS NULL OR account = $1) "
            "AND ($2::uuid IS NULL OR run = $2) ORDER BY at DESC, number DESC LIMIT $3",
            *(account, run, limit),
        )
        return [_as(AlertView, row) for row in rows]

    async def rows_by_table(self, run: str | None = None) -> dict[str, int]:
        """Return how many rows each table has, of one run or of all; empty tables too."""
        tables = await self._pool.fetch(
            "SELECT c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid "
            "AND a.attname = 'run' AND a.atttypid = 'uuid'::regtype) FROM pg_class c "
            "WHERE c.relnamespace = current_schema::regnamespace AND c.relkind IN ('r', 'p') "
            "AND NOT c.relispartition AND c.relname <> 'schema_migration' ORDER BY c.relname"
        )
        counts: dict[str, int] = {}
        for name, has_run in tables:
            column = "id" if name == "run" else "run" if has_run else None
            if run is None:
                counts[name] = await self._pool.fetchval(f"SELECT count(*) FROM {name}")
            elif column is not None:
                sql = f"SELECT count(*) FROM {name} WHERE {column} = $1"
                counts[name] = await self._pool.fetchval(sql, run)
        return counts

    # ── parts of a cycle ─────────────────────────────────────────────────────────────────────────

    async def _executions_of(self, run: str, cycle: int) -> list[ExecutionView]:
        rows = await self._pool.fetch(
            f"SELECT {_EXECUTION} FROM execution e WHERE run = $1 AND cycle = $2 "
            "ORDER BY booked_at, exec_id",
            *(run, cycle),
        )
        return [_execution(row) for row in rows]

    async def _unwinds(self, run: str, cycle: int) -> list[UnwindView]:
        rows = await self._pool.fetch(
            "SELECT * FROM unwind_decision WHERE run = $1 AND cycle = $2 ORDER BY seq",
            *(run, cycle),
        )
        ways = await self._pool.fetch(
            "SELECT * FROM unwind_candidate WHERE run = $1 AND seq = ANY ($2) ORDER BY seq, rank",
            *(run, [row["seq"] for row in rows]),
        )
        found: dict[int, list[CandidateView]] = {}
        for way in ways:
            found.setdefault(way["seq"], []).append(_as(CandidateView, way))
        return [_as(UnwindView, row, candidates=tuple(found.get(row["seq"], ()))) for row in rows]

    async def _attribution(self, run: str, cycle: int) -> Mapping[str, Decimal]:
        row = await self._pool.fetchrow(
            "SELECT * FROM attribution WHERE run = $1 AND cycle = $2", *(run, cycle)
        )
        return {} if row is None else {name: row[name] for name in ATTRIBUTION_NAMES}

    async def _books(self, run: str, cycle: int) -> list[BookView]:
        rows = await self._pool.fetch(
            "SELECT * FROM book_snapshot WHERE run = $1 AND cycle = $2 ORDER BY seq", *(run, cycle)
        )
        return [
            _as(
                BookView,
                row,
                bids=tuple(zip(row["bid_prices"], row["bid_quantities"], strict=True)),
                asks=tuple(zip(row["ask_prices"], row["ask_quantities"], strict=True)),
            )
            for row in rows
        ]

    async def _notes(self, run: str, cycle: int) -> list[NoteView]:
        rows = await self._pool.fetch(
            "SELECT * FROM cycle_note WHERE run = $1 AND cycle = $2 ORDER BY seq", *(run, cycle)
        )
        return [_as(NoteView, row) for row in rows]

    async def _stream(self, sql: str, *values: object) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            async for row in connection.cursor(sql, *values, prefetch=_PAGE):
                yield row


_EXECUTION = """
    run::text AS run, account, exec_id, order_id, client_id, cycle, leg, booked_at, venue_at,
    symbol, side, quantity, price, cost, is_maker, is_anomaly,
    ARRAY(SELECT asset FROM execution_fee f WHERE f.account = e.account AND f.exec_id = e.exec_id
          ORDER BY line) AS fee_assets,
    ARRAY(SELECT amount FROM execution_fee f WHERE f.account = e.account AND f.exec_id = e.exec_id
          ORDER BY line) AS fee_amounts
"""
_SPLITS: Mapping[str | None, str] = {
    None: "",
    "day": ", (c.closed_at AT TIME ZONE 'UTC')::date AS day",
    "key": ", c.key",
}
_GROUPS: Mapping[str | None, str] = {None: "", "day": ", day", "key": ", key"}


def _execution(row: Any) -> ExecutionView:
    fees = zip(row["fee_assets"], row["fee_amounts"], strict=True)
    return _as(ExecutionView, row, fees=tuple(FeeView(*fee) for fee in fees))


def _as[T: attrs.AttrsInstance](cls: type[T], row: Any, **made: object) -> T:
    """Return a row as a value whose fields are called like its columns."""
    values: dict[str, Any] = dict(made)
    for field in attrs.fields(cls):
        if field.name in values or (field.name not in row and field.default is not attrs.NOTHING):
            continue
        value = row[field.name]
        if isinstance(value, UUID):
            value = str(value)
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)
