"""Partitions are there in time, history goes in time, and money never does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from arbitrade.models import Alert, Severity
from arbitrade.store import retention
from arbitrade.store.database import Database
from arbitrade.store.retention import (
    MONTHS_AHEAD,
    check_room,
    keep_history,
    look_after,
    partitioned_tables,
)
from arbitrade.testing.patience import PATIENCE_S

TODAY = date(2026, 11, 22)
RUN = "11111111-1111-4111-8111-111111111111"


async def put(database: Database, seq: int, at: datetime) -> None:
    await database.pool.execute(
        "INSERT INTO run (id, account, mode, venue, started_at, version, settings_digest) "
        "VALUES ($1, 'main', 'paper', 'kraken', $2, '0', repeat('0', 64)) ON CONFLICT DO NOTHING",
        *(RUN, at),
    )
    await database.pool.execute(
        "INSERT INTO cycle_note (run, account, seq, at, cycle, what, fields) "
        "VALUES ($1, 'main', $2, $3, 1, 'x', '{}'::jsonb)",
        *(RUN, seq, at),
    )


async def keep(database: Database, retention_days: int = 0, today: date = TODAY, **options):
    async with database.session() as connection:
        return await keep_history(connection, retention_days=retention_days, today=today, **options)


async def where(database: Database) -> dict[int, str]:
    rows = await database.pool.fetch(
        "SELECT seq, tableoid::regclass::text FROM cycle_note ORDER BY seq"
    )
    return dict(map(tuple, rows))


async def test_partitions_of_this_month_and_the_next_two_are_made_once(database: Database) -> None:
    kept = await keep(database)
    async with database.session() as connection:
        tables = await partitioned_tables(connection)
    assert set(kept.made) == {
        f"{table}_{month}" for table in tables for month in ("2026_11", "2026_12", "2027_01")
    }
    assert (await keep(database)).made == ()


async def test_rows_find_the_partition_of_their_month_at_its_very_edges(database: Database) -> None:
    await keep(database)
    december = datetime(2026, 12, 1, tzinfo=UTC)
    await put(database, 1, december - timedelta(microseconds=1))
    await put(database, 2, december)
    assert await where(database) == {1: "cycle_note_2026_11", 2: "cycle_note_2026_12"}


async def test_rows_that_came_before_their_partition_move_into_it(database: Database) -> None:
    await put(database, 1, datetime(2026, 11, 3, tzinfo=UTC))
    await put(database, 2, datetime(2024, 5, 1, tzinfo=UTC))  # of a replay
    assert set((await where(database)).values()) == {"cycle_note_default"}
    kept = await keep(database)
    assert await where(database) == {1: "cycle_note_2026_11", 2: "cycle_note_default"}
    assert kept.stray == 0


async def test_what_is_older_than_the_retention_goes_and_not_a_day_sooner(
    database: Database,
) -> None:
    await keep(database, today=date(2026, 1, 15))
    await put(database, 1, datetime(2026, 1, 31, tzinfo=UTC))
    await put(database, 2, datetime(2026, 2, 1, tzinfo=UTC))
    await put(database, 3, datetime(2025, 1, 1, tzinfo=UTC))  # in the default partition
    kept = await keep(database, 30, date(2026, 3, 2))
    assert "cycle_note_2026_01" not in kept.dropped  # January's last day is not 30 days old
    assert await where(database) == {1: "cycle_note_2026_01", 2: "cycle_note_2026_02"}
    assert kept.deleted == 1
    kept = await keep(database, 30, date(2026, 3, 3))
    assert "cycle_note_2026_01" in kept.dropped
    assert await where(database) == {2: "cycle_note_2026_02"}


async def test_without_retention_everything_stays(database: Database) -> None:
    await put(database, 1, datetime(2020, 1, 1, tzinfo=UTC))
    await keep(database, 0)
    assert await where(database) == {1: "cycle_note_default"}


@pytest.mark.parametrize("table", ["execution", "trade_order", "posting", "audit", "cycle"])
async def test_money_and_audit_are_refused_by_name(database: Database, table: str) -> None:
    with pytest.raises(asyncpg.RaiseError, match="what is in it is kept"):
        await database.pool.fetch("SELECT drop_history($1::text::regclass, '2100-01-01')", table)


async def test_a_table_in_use_is_left_for_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_LOCK_TIMEOUT", "50ms")
    async with database.session() as other, other.transaction():
        await other.execute("LOCK TABLE latency IN ACCESS SHARE MODE")
        await other.execute("LOCK TABLE latency_default IN ROW EXCLUSIVE MODE")
        kept = await keep(database)
    assert kept.postponed == ("latency",)
    assert "cycle_note_2026_11" in kept.made
    assert "latency_2026_11" in (await keep(database)).made


async def test_rows_left_outside_of_their_month_raise_an_alarm(database: Database) -> None:
    await keep(database)
    await put(database, 1, datetime(2026, 10, 20, tzinfo=UTC))
    alerts: list[Alert] = []
    kept = await keep(database, 400, on_alert=alerts.append)
    assert kept.stray == 1
    assert "1 rows of history lie outside of their month" in alerts[0].title


@pytest.mark.parametrize(
    ("least_mb", "severity"), [(0, None), (1 << 40, Severity.ERROR)], ids=["room", "none"]
)
async def test_a_full_disk_is_told_before_it_is_full(
    database: Database, tmp_path: Path, least_mb: int, severity: Severity | None
) -> None:
    alerts: list[Alert] = []
    async with database.session() as connection:
        await check_room(connection, tmp_path, least_free_mb=least_mb, on_alert=alerts.append)
    assert [alert.severity for alert in alerts] == ([] if severity is None else [severity])


async def test_a_database_beyond_its_size_is_told(database: Database) -> None:
    alerts: list[Alert] = []
    async with database.session() as connection:
        await check_room(connection, None, largest_mb=1, on_alert=alerts.append)
    assert "MB large" in alerts[0].title


async def test_looking_after_it_goes_on_when_the_database_was_away(database: Database) -> None:
    attempts: list[bool] = []

    @asynccontextmanager
    async def session() -> AsyncIterator[asyncpg.Connection]:
        attempts.append(True)
        if len(attempts) < 3:
            raise ConnectionRefusedError("refused")
        async with database.session() as connection:
            yield connection

    made = "SELECT count(*) FROM pg_class WHERE relispartition AND relname ~ '^latency_2.*\\d$'"
    task = asyncio.create_task(look_after(session, retention_days=0, again_s=0.0))
    async with asyncio.timeout(PATIENCE_S), database.session() as connection:
        while await connection.fetchval(made) <= MONTHS_AHEAD:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(attempts) == 3


async def test_a_table_that_is_partitioned_in_another_way_is_left_alone(
    database: Database,
) -> None:
    before = await partitioned_tables(database.pool)
    await database.pool.execute(
        "CREATE TABLE notes_by_kind (kind text) PARTITION BY LIST (kind);"
        "CREATE TABLE notes_by_time (at timestamptz) PARTITION BY RANGE (at);"
        "CREATE TABLE notes_by_number (n bigint) PARTITION BY RANGE (n);"
        "CREATE TABLE notes_by_number_default PARTITION OF notes_by_number DEFAULT;"
        "CREATE TABLE notes_by_month (at timestamptz) PARTITION BY RANGE (at);"
        "CREATE TABLE notes_by_month_default PARTITION OF notes_by_month DEFAULT"
    )
    assert await partitioned_tables(database.pool) == sorted([*before, "notes_by_month"])
    async with database.session() as connection:
        kept = await keep_history(connection, retention_days=30)
    assert any(name.startswith("notes_by_month_") for name in kept.made)
