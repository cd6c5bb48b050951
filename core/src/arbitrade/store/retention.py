"""Keeps the partitions: makes those of the months to come, drops history, watches the disk.

Money is never dropped: orders, executions, ledger, cycles and audit are in tables without
partitions, which `drop_history` refuses.
"""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
import attrs
import structlog

from arbitrade.errors import ArbitradeError
from arbitrade.models import Alert, Severity
from arbitrade.store.failures import CUT

__all__ = ["Kept", "check_room", "keep_history", "look_after", "partitioned_tables"]

MONTHS_AHEAD = 2
_LOCK_TIMEOUT = "2s"
"""The writer waits behind a lock that is waited for; better to try again later."""
_LATE = 45
"""Days: rows older than this and still in a default partition mean that nobody looked after it."""

_KEPT_BY_MONTH = """
    SELECT c.relname
    FROM pg_partitioned_table p
    JOIN pg_class c ON c.oid = p.partrelid
    JOIN pg_class rest ON rest.oid = p.partdefid AND rest.relname = c.relname || '_default'
    JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partstrat = 'r' AND p.partnatts = 1 AND a.atttypid = 'timestamptz'::regtype
      AND c.relnamespace = current_schema()::regnamespace
    ORDER BY c.relname
"""

type Session = Callable[[], AbstractAsyncContextManager["asyncpg.Connection"]]

log = structlog.stdlib.get_logger(__name__)


@attrs.frozen
class Kept:
    """What looking after the history came to.

    Args:
        made: Partitions made.
        dropped: Partitions dropped.
        deleted: Rows deleted from default partitions.
        postponed: Tables that were in use; the next time will do.
        stray: Rows in default partitions, which belong to months without one of their own.

    Two are added field by field.
    """

    made: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    deleted: int = 0
    postponed: tuple[str, ...] = ()
    stray: int = 0

    def __add__(self, other: "Kept") -> "Kept":
        """Return what both came to."""
        return Kept(
            self.made + other.made,
            self.dropped + other.dropped,
            self.deleted + other.deleted,
            self.postponed + other.postponed,
            self.stray + other.stray,
        )


async def look_after(
    session: Session,
    *,
    retention_days: int,
    folder: Path | None = None,
    on_alert: Callable[[Alert], None] = lambda _: None,
    every_s: float = 86_400.0,
    again_s: float = 600.0,
) -> None:
    """Keep the history and check the room, now and every day, until cancelled.

    Args:
        session: Opens a connection; `Database.session`.
        retention_days: As for `keep_history`.
        folder: As for `check_room`.
        on_alert: Called with what an operator should know.
        every_s: Between two looks.
        again_s: When the database was away, or a table in use.
    """
    while True:
        pause = every_s
        try:
            async with session() as connection:
                kept = await keep_history(
                    connection, retention_days=retention_days, on_alert=on_alert
                )
                await check_room(connection, folder, on_alert=on_alert)
            if kept.postponed:
                pause = again_s
        except (ArbitradeError, *CUT) as error:
            log.warning("history.not_kept", error=str(error) or type(error).__name__)
            pause = again_s
        await asyncio.sleep(pause)


async def partitioned_tables(connection: asyncpg.Connection) -> list[str]:
    """Return the tables that are kept by month, by name.

    A plugin may partition its tables as it likes: only those made like core's are looked after.
    """
    return [row[0] for row in await connection.fetch(_KEPT_BY_MONTH)]


async def keep_history(
    connection: asyncpg.Connection,
    *,
    retention_days: int,
    today: date | None = None,
    on_alert: Callable[[Alert], None] = lambda _: None,
) -> Kept:
    """Make this month's partitions and the next ones; drop those older than the retention.

    Call it at start and once a day.  Takes some milliseconds; a table that is in use is left for
    the next time.

    Args:
        connection: Outside of a transaction.
        retention_days: A month is dropped when all of it is older; 0 keeps everything.
        today: By default that of the clock, in UTC.
        on_alert: Called when this couldn't be done for long.
    """
    today = datetime.now(UTC).date() if today is None else today
    before = today - timedelta(days=retention_days) if retention_days else None
    kept = Kept()
    for table in await partitioned_tables(connection):
        try:
            kept += await _keep_table(connection, table, today, before)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            kept += Kept(postponed=(table,))
        kept += Kept(stray=await _count_stray(connection, table, today))
    log.info(
        "history.kept",
        made=len(kept.made),
        dropped=len(kept.dropped),
        postponed=len(kept.postponed),
    )
    if kept.stray and retention_days:
        on_alert(_stray_alert(kept.stray))
    return kept


async def _keep_table(
    connection: asyncpg.Connection, table: str, today: date, before: date | None
) -> Kept:
    """Make a table's partitions and drop those that end before a day, all or nothing."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        made = await _make(connection, table, today)
        gone = [] if before is None else await _drop(connection, table, before)
    return Kept(
        made=tuple(made),
        dropped=tuple(name for name, rows in gone if rows is None),
        deleted=sum(rows for _, rows in gone if rows is not None),
    )


async def check_room(
    connection: asyncpg.Connection,
    folder: Path | None,
    *,
    least_free_mb: int = 2_000,
    largest_mb: int = 0,
    on_alert: Callable[[Alert], None],
) -> None:
    """Raise an alarm when the database has little room left, or is larger than it should be.

    Args:
        connection: To the database.
        folder: Where its data is, if that is on this machine; None leaves the disk out.
        least_free_mb: Free space below which it is a warning, below a tenth of which an error.
        largest_mb: Size above which it is a warning; 0 for no limit.
        on_alert: Called with each alarm.
    """
    if folder is not None:
        free_mb = (await asyncio.to_thread(shutil.disk_usage, folder)).free >> 20
        if free_mb < least_free_mb:
            is_bad = free_mb < least_free_mb / 10
            on_alert(
                Alert(
                    Severity.ERROR if is_bad else Severity.WARNING,
                    f"the disk of the database has {free_mb:,} MB left",
                    f"{folder}: below {least_free_mb:,} MB.  Make room, or lower "
                    "database.retention_days; when it is full nothing is written any more.",
                    subject="database",
                )
            )
    size_mb = (await connection.fetchval("SELECT pg_database_size(current_database())")) >> 20
    if largest_mb and size_mb > largest_mb:
        on_alert(
            Alert(
                Severity.WARNING,
                f"the database is {size_mb:,} MB large",
                f"More than {largest_mb:,} MB.  Lower database.retention_days, or give it more.",
                subject="database",
            )
        )


async def _make(connection: asyncpg.Connection, table: str, today: date) -> list[str]:
    made = []
    month = today.replace(day=1)
    for _ in range(MONTHS_AHEAD + 1):
        if await connection.fetchval(
            "SELECT ensure_partition($1::text::regclass, $2)", table, month
        ):
            made.append(f"{table}_{month:%Y_%m}")
        month = (month + timedelta(days=32)).replace(day=1)
    return made


async def _drop(
    connection: asyncpg.Connection, table: str, before: date
) -> list[tuple[str, int | None]]:
    rows = await connection.fetch(
        "SELECT dropped, rows_deleted FROM drop_history($1::text::regclass, $2)", table, before
    )
    return [(row[0], row[1]) for row in rows]


async def _count_stray(connection: asyncpg.Connection, table: str, today: date) -> int:
    """Count rows of about now in the default partition; a replay's old times belong there."""
    column = await connection.fetchval("SELECT partition_column($1::text::regclass)", table)
    count: int = await connection.fetchval(
        f"SELECT count(*) FROM {table}_default WHERE {column} > $1 AND {column} < $2",  # noqa: S608
        datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=_LATE),
        datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(days=_LATE),
    )
    return count


def _stray_alert(stray: int) -> Alert:
    return Alert(
        Severity.WARNING,
        f"{stray:,} rows of history lie outside of their month",
        "Partitions were not made in time.  Nothing is lost, but these rows are not dropped month "
        "by month; the next look after the history moves them.",
        subject="database",
    )
