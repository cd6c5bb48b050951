"""Everything `History` can be asked, through the protocol alone, with and without a database."""

import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_type_hints

import asyncpg
import attrs
import pytest

from arbitrade.api.history import (
    MAXIMUM_ROWS,
    AuditFilter,
    Cursor,
    CycleFilter,
    History,
    OpportunityFilter,
    OrderFilter,
    Page,
    RunView,
)
from arbitrade.config import DatabaseSettings, Settings
from arbitrade.errors import DatabaseError, DatabaseUnavailableError, SchemaError, UsageError
from arbitrade.models import Severity
from arbitrade.store import database as store_database
from arbitrade.store.absent import no_database
from arbitrade.store.database import Database
from arbitrade.store.repositories import Repositories
from arbitrade.testing.history import make_history
from arbitrade.testing.postgres import PostgresServer, core_series
from arbitrade.testing.records import LittleRun, make_run, store_run
from arbitrade.trading.run.keeper import DatabaseKeeper

NOBODY = "00000000-0000-4000-8000-000000000000"


async def collected(stream: Any) -> list[Any]:
    return [one async for one in stream]


def run_view(run: LittleRun) -> RunView:
    at = datetime.fromtimestamp(0, UTC)
    return RunView(run.run, run.account, "paper", "kraken", "0", at, None, None, None, None, "")


type Question = Callable[[History, LittleRun], Awaitable[Any]]

QUESTIONS: Mapping[str, Question] = {
    "runs.latest": lambda h, r: h.runs.latest(r.account),
    "runs.find": lambda h, r: h.runs.find(r.run),
    "runs.summary": lambda h, r: h.runs.summary(run_view(r)),
    "runs.metrics": lambda h, r: h.runs.metrics(r.run),
    "runs.settings": lambda h, r: h.runs.settings(r.run),
    "runs.instruments": lambda h, r: h.runs.instruments(r.run),
    "runs.latencies": lambda h, r: h.runs.latencies(r.run),
    "runs.latency_points": lambda h, r: h.runs.latency_points(r.run, "send_to_ack"),
    "runs.rows_by_table": lambda h, r: h.runs.rows_by_table(r.run),
    "cycles.page": lambda h, r: h.cycles.page(CycleFilter(run=r.run)),
    "cycles.figures": lambda h, r: h.cycles.figures(CycleFilter(run=r.run)),
    "cycles.detail": lambda h, r: h.cycles.detail(r.run, 1),
    "cycles.orders": lambda h, r: h.cycles.orders(OrderFilter(run=r.run)),
    "cycles.executions": lambda h, r: h.cycles.executions(r.run),
    "cycles.all_executions": lambda h, r: collected(h.cycles.all_executions(r.account)),
    "opportunities.page": lambda h, r: h.opportunities.page(OpportunityFilter(run=r.run)),
    "opportunities.one": lambda h, r: h.opportunities.one(r.run, 1),
    "opportunities.counts": lambda h, r: h.opportunities.counts(OpportunityFilter(run=r.run)),
    "opportunities.funnel": lambda h, r: h.opportunities.funnel(r.run),
    "opportunities.funnel_points": lambda h, r: h.opportunities.funnel_points(r.run),
    "opportunities.near_misses": lambda h, r: h.opportunities.near_misses(r.run),
    "money.profit": lambda h, r: h.money.profit(r.run),
    "money.profit_points": lambda h, r: h.money.profit_points(r.run),
    "money.balance_points": lambda h, r: h.money.balance_points(r.run),
    "money.ledger": lambda h, r: h.money.ledger(r.account),
    "money.balances": lambda h, r: h.money.balances(r.run),
    "money.comparisons": lambda h, r: h.money.comparisons(r.run),
    "money.postings": lambda h, r: collected(h.money.postings(r.account)),
    "events.alerts": lambda h, r: h.events.alerts(r.run),
    "events.audit": lambda h, r: h.events.audit(AuditFilter(run=r.run)),
    "events.all_audit": lambda h, r: collected(h.events.all_audit(r.account)),
    "events.verify_audit": lambda h, r: h.events.verify_audit(r.account),
    "events.plugin_changes": lambda h, r: h.events.plugin_changes(r.run),
    "events.limits": lambda h, r: h.events.limits(r.run),
    "events.journal_gaps": lambda h, r: h.events.journal_gaps(r.account),
    "events.rejected_records": lambda h, r: h.events.rejected_records(r.account),
    "report": lambda h, r: h.report(run_view(r), with_legs=True),
}
EMPTY = {"events.journal_gaps", "events.rejected_records"}
"""What has nothing to tell while all is well."""


def everything_asked() -> set[str]:
    """Return each method of `History`, by subject."""
    found = {name for name, member in vars(History).items() if inspect.iscoroutinefunction(member)}
    for subject, member in vars(History).items():
        if isinstance(member, property):
            role = get_type_hints(member.fget)["return"]
            found |= {
                f"{subject}.{name}"
                for name, one in vars(role).items()
                if inspect.isfunction(one) and not name.startswith("_")
            }
    return found


def test_every_question_there_is_is_asked_here() -> None:
    assert set(QUESTIONS) == everything_asked()


@pytest.fixture
async def run(database: Database) -> LittleRun:
    run = make_run(seed=4, cycles=7, refused=20)
    async with database.session() as connection:
        await store_run(connection, run)
    return run


@pytest.fixture
def history(database: Database) -> History:
    return make_history(database)


# ── every question ───────────────────────────────────────────────────────────────────────────────


async def test_each_is_answered_and_of_a_run_that_is_not_there_with_nothing(
    history: History, run: LittleRun
) -> None:
    nobody = attrs.evolve(run, run=NOBODY, account="nobody")
    for name, ask in QUESTIONS.items():
        answer = await ask(history, run)
        rows = answer.rows if isinstance(answer, Page) else answer
        assert bool(rows) is (name not in EMPTY), name
        if name not in ("runs.find", "runs.summary", "runs.metrics", "report"):
            nothing = await ask(history, nobody)
            rows = nothing.rows if isinstance(nothing, Page) else nothing
            if name == "events.verify_audit":
                assert (rows.entries, rows.faults) == (0, ())
            elif name == "runs.rows_by_table":
                assert not any(rows.values())
            else:
                assert not rows, name


async def test_an_id_that_can_be_none_of_a_run_finds_nothing(history: History) -> None:
    assert (await history.cycles.page(CycleFilter(run="../etc"))).rows == ()
    assert await history.opportunities.one("'; DROP TABLE run", 1) is None
    assert (await history.runs.metrics("?")).cycles == {}


async def test_what_no_column_can_hold_is_refused_by_an_error_of_ours(history: History) -> None:
    with pytest.raises(UsageError, match="can't hold"):
        await history.cycles.detail(NOBODY, 10**30)
    with pytest.raises(UsageError, match="can't hold"):
        await history.opportunities.page(OpportunityFilter(key="a\x00b"))


@pytest.mark.parametrize("name", QUESTIONS)
async def test_without_a_database_each_raises_an_error_of_ours(name: str) -> None:
    absent: History = Repositories(no_database("arbitrade record"))
    with pytest.raises(DatabaseError, match="arbitrade record: runs without a database"):
        await QUESTIONS[name](absent, make_run(cycles=0, refused=0))


@pytest.mark.parametrize("name", QUESTIONS)
async def test_before_the_database_of_a_run_is_open_each_says_so(name: str) -> None:
    keeper = DatabaseKeeper(Settings(), ())
    with pytest.raises(DatabaseUnavailableError, match="the database is not open yet"):
        await QUESTIONS[name](keeper.history, make_run(cycles=0, refused=0))


async def test_the_history_of_a_run_is_there_from_when_its_database_is_open(
    postgres_server: PostgresServer,
) -> None:
    dsn = postgres_server.create()
    keeper = DatabaseKeeper(Settings(database=DatabaseSettings(dsn=dsn)), core_series())
    try:
        with pytest.raises(DatabaseUnavailableError, match="not open yet"):
            await keeper.history.runs.latest()
        await keeper.open()
        assert await keeper.history.runs.latest() == []
        async with keeper.tables.of("notes").connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM run") == 0
    finally:
        await keeper.close()
        postgres_server.drop(dsn)
    with pytest.raises(DatabaseUnavailableError, match="not open yet"):
        await keeper.history.runs.latest()


async def test_a_database_that_goes_away_is_an_error_of_ours_and_one_that_is_back_answers(
    history: History, database: Database, run: LittleRun
) -> None:
    assert await history.runs.latest()
    pool = database.pool
    try:
        database.pool = await asyncpg.create_pool(  # nobody listens there
            host="127.0.0.1", port=1, min_size=0, timeout=5
        )
        with pytest.raises(DatabaseUnavailableError, match="can't be reached"):
            await history.runs.latest()
    finally:
        database.pool = pool
    assert await history.runs.latest()


async def test_connections_that_are_all_in_use_are_waited_for_only_so_long(
    history: History, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_database, "_BUSY_S", 0.05)
    async with contextlib.AsyncExitStack() as held:
        for _ in range(database.pool.get_max_size()):
            await held.enter_async_context(database.connection())
        with pytest.raises(DatabaseUnavailableError, match="all 4 connections have been in use"):
            await history.runs.latest()
    assert await history.runs.latest() == []


async def test_tables_of_another_version_are_named_with_what_to_do(
    history: History, database: Database, run: LittleRun
) -> None:
    await database.pool.execute("ALTER TABLE alert RENAME TO alert_of_old")
    with pytest.raises(SchemaError, match="arbitrade db migrate"):
        await history.events.alerts()


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


async def test_pages_hold_each_row_once_the_latest_first(history: History, run: LittleRun) -> None:
    async def opportunities(limit: int, before: Cursor | None) -> Page[Any]:
        return await history.opportunities.page(limit=limit, before=before)

    async def fills(limit: int, before: Cursor | None) -> Page[Any]:
        return await history.cycles.executions(limit=limit, before=before)

    async def audit(limit: int, before: Cursor | None) -> Page[Any]:
        return await history.events.audit(limit=limit, before=before)

    for ask, at in ((opportunities, "first_seen_at"), (fills, "booked_at"), (audit, "at")):
        whole = (await ask(MAXIMUM_ROWS, None)).rows
        assert [getattr(one, at) for one in whole] == sorted(
            (getattr(one, at) for one in whole), reverse=True
        )
        paged: list[Any] = []
        page = await ask(3, None)
        while page.next is not None:
            paged += page.rows
            page = await ask(3, Cursor.parse(str(page.next)))
        assert (*paged, *page.rows) == whole


async def test_rows_of_the_same_moment_are_told_apart_by_their_numbers(
    history: History, database: Database, run: LittleRun
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await database.pool.execute("UPDATE opportunity SET first_seen_at = $1", at)
    seen: list[int] = []
    before = None
    while True:
        page = await history.opportunities.page(limit=4, before=before)
        seen += [one.number for one in page.rows]
        before = page.next
        if before is None:
            break
    assert seen == sorted((one.opportunity for one in run.seen), reverse=True)


@pytest.mark.parametrize("limit", [0, -1, MAXIMUM_ROWS + 1])
async def test_a_page_of_no_or_too_many_rows_is_refused(history: History, limit: int) -> None:
    with pytest.raises(UsageError, match=f"limit {limit}: ask for 1 to {MAXIMUM_ROWS}"):
        await history.cycles.page(limit=limit)


@pytest.mark.parametrize("text", ["", "yesterday~1", "2026-11-30T12:00:00~1", "2026-11-30T12:00Z"])
def test_a_cursor_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not one that a page ended with"):
        Cursor.parse(text)


# ── filters ──────────────────────────────────────────────────────────────────────────────────────


async def test_each_filter_of_opportunities_keeps_what_fits(
    history: History, run: LittleRun
) -> None:
    everything = (await history.opportunities.page(limit=MAXIMUM_ROWS)).rows
    middle = everything[len(everything) // 2]
    filters: Sequence[tuple[OpportunityFilter, Callable[[Any], bool]]] = [
        (OpportunityFilter(account="main"), lambda one: one.account == "main"),
        (OpportunityFilter(outcomes=("blocked",)), lambda one: one.outcome == "blocked"),
        (OpportunityFilter(rule=""), lambda one: one.rule == ""),
        (OpportunityFilter(rule="balance"), lambda one: one.rule == "balance"),
        (OpportunityFilter(detector="nobody"), lambda one: one.detector == "nobody"),
        (OpportunityFilter(asset="BTC"), lambda one: "BTC" in one.assets),
        (OpportunityFilter(key="usd"), lambda one: "usd" in one.key.lower()),
        (
            OpportunityFilter(minimum_edge_bps=Decimal(1)),
            lambda one: one.best_edge_bps >= Decimal(1),
        ),
        (OpportunityFilter(minimum_profit=Decimal(0)), lambda one: one.best_profit >= 0),
        (
            OpportunityFilter(begin=middle.first_seen_at),
            lambda one: one.first_seen_at >= middle.first_seen_at,
        ),
        (
            OpportunityFilter(end=middle.first_seen_at),
            lambda one: one.first_seen_at < middle.first_seen_at,
        ),
    ]
    for where, fits in filters:
        wanted = [one for one in everything if fits(one)]
        assert list((await history.opportunities.page(where, limit=MAXIMUM_ROWS)).rows) == wanted
        counted = await history.opportunities.counts(where)
        assert sum(one.opportunities for one in counted) == len(wanted), where


async def test_figures_of_cycles_are_sums_of_the_cycles_they_stand_over(
    history: History, run: LittleRun
) -> None:
    for where in (CycleFilter(), CycleFilter(is_won=True), CycleFilter(states=("completed",))):
        rows = (await history.cycles.page(where, limit=MAXIMUM_ROWS)).rows
        (figures,) = await history.cycles.figures(where)
        closed = [one for one in rows if one.closed_at is not None]
        profits = [one.profit for one in closed if one.profit is not None]
        assert (figures.cycles, figures.closed) == (len(rows), len(closed))
        assert figures.completed == sum(one.state == "completed" for one in rows)
        assert figures.profit == sum(profits)
        assert figures.gains == sum(one for one in profits if one > 0)
        assert figures.losses == -sum(one for one in profits if one < 0)
        assert figures.profit == figures.gains - figures.losses
        durations = [one.closed_at - one.opened_at for one in closed if one.closed_at]
        mean = sum(durations, timedelta()).total_seconds() / len(durations)
        assert figures.mean_duration_s is not None
        assert float(figures.mean_duration_s) == pytest.approx(mean, abs=1e-5)


async def test_orders_are_found_by_pair_role_and_whether_they_have_ended(
    history: History, run: LittleRun
) -> None:
    everything = (await history.cycles.orders(limit=MAXIMUM_ROWS)).rows
    for where in (
        OrderFilter(role="unwind"),
        OrderFilter(symbol=everything[0].symbol),
        OrderFilter(is_finished=False),
        OrderFilter(account="main", is_finished=True),
    ):
        wanted = [
            one
            for one in everything
            if (where.role is None or one.role == where.role)
            and (where.symbol is None or one.symbol == where.symbol)
            and (where.is_finished is None or (one.ended_at is not None) is where.is_finished)
        ]
        assert list((await history.cycles.orders(where, limit=MAXIMUM_ROWS)).rows) == wanted


async def test_alerts_audit_and_comparisons_are_found_by_what_they_say(
    history: History, run: LittleRun
) -> None:
    assert (await history.events.alerts(minimum_severity=Severity.CRITICAL + 1)).rows == ()
    begun = await history.events.audit(AuditFilter(action="run_started", text=run.run.upper()))
    assert [one.action for one in begun.rows] == ["run_started"]
    assert (await history.events.audit(AuditFilter(actor="nobody"))).rows == ()
    equal = await history.money.comparisons(is_equal=True, limit=MAXIMUM_ROWS)
    unequal = await history.money.comparisons(is_equal=False, limit=MAXIMUM_ROWS)
    every = await history.money.comparisons(limit=MAXIMUM_ROWS)
    assert {one.verdict for one in equal.rows} <= {"equal"}
    assert len(equal.rows) + len(unequal.rows) == len(every.rows)


# ── over time ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("every", ["minute", "hour", "day"])
async def test_the_funnel_over_time_adds_up_to_the_funnel(
    history: History, run: LittleRun, every: str
) -> None:
    points = await history.opportunities.funnel_points(run.run, every=every)
    whole = {(one.outcome, one.rule): one for one in await history.opportunities.funnel(run.run)}
    for key, step in whole.items():
        parts = [one for one in points if (one.outcome, one.rule) == key]
        assert sum(one.opportunities for one in parts) == step.opportunities
        assert max(one.best_edge_bps for one in parts) == step.best_edge_bps
    assert [one.at for one in points] == sorted(one.at for one in points)
    with pytest.raises(UsageError, match="every: 'week' is none of minute, hour, day"):
        await history.opportunities.funnel_points(run.run, every="week")


async def test_points_are_oldest_first_and_thinned_to_the_last_of_each_stretch(
    history: History, run: LittleRun
) -> None:
    for ask in (history.money.profit_points, history.money.balance_points):
        every = await ask(run.run)
        assert [one.at for one in every] == sorted(one.at for one in every)
        last_of = {int(one.at.timestamp() // 3600): one for one in every}
        assert await ask(run.run, every_s=3600) == list(last_of.values())
        assert await ask(run.run, begin=every[-1].at) == every[-1:]
        assert await ask(run.run, end=every[-1].at) == every[:-1]


# ── the chain ────────────────────────────────────────────────────────────────────────────────────


async def test_the_audit_is_verified_and_a_change_is_found(
    history: History, database: Database, run: LittleRun
) -> None:
    entries = [one async for one in history.events.all_audit("main")]
    verdict = await history.events.verify_audit("main")
    assert (verdict.entries, verdict.faults) == (len(entries), ())
    assert (verdict.last_entry, verdict.last_hash) == (entries[-1].entry, entries[-1].hash)
    await database.pool.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
    await database.pool.execute("UPDATE audit SET detail = 'no' WHERE entry = 2")
    (fault,) = (await history.events.verify_audit("main")).faults
    assert (fault.entry, "was changed" in fault.text) == (2, True)
