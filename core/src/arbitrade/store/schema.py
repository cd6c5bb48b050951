"""Brings the tables of a database to what this version wants: applies the migrations, once each.

What was applied is in the table `schema_migration`, with a checksum of the file.  Each owner has a
series of its own, and each file is applied in one transaction with its record: after a crash in the
middle the next start goes on where it stopped.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import structlog

from arbitrade.errors import DatabaseError, DatabaseUnavailableError, SchemaError
from arbitrade.models.migrations import MigrationSeries
from arbitrade.store.failures import CUT, database_errors

_LOCK_KEY = int.from_bytes(sha256(b"arbitrade.schema").digest()[:8], signed=True)
_LOCK_POLL_S, _LOCK_PATIENCE_S = 0.05, 300.0
_TABLE_LOCK_TIMEOUT = "20s"
_NO_TRANSACTION = "-- no-transaction"

_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migration (
        namespace   text        NOT NULL,
        version     integer     NOT NULL CHECK (version > 0),
        name        text        NOT NULL,
        checksum    text        NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
        applied_at  timestamptz NOT NULL DEFAULT now(),
        duration_ms bigint      NOT NULL CHECK (duration_ms >= 0),
        PRIMARY KEY (namespace, version)
    )
"""
_RECORD = """
    INSERT INTO schema_migration (namespace, version, name, checksum, duration_ms)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING applied_at
"""
_RECORDS = """
    SELECT namespace, version, name, checksum, applied_at, duration_ms
    FROM schema_migration ORDER BY namespace, version
"""
# Only plain indexes: that of a partitioned table is invalid until each partition has its own.
_BROKEN_INDEXES = """
    SELECT c.oid::regclass::text AS qualified, c.relname AS name
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT i.indisvalid AND c.relkind = 'i'
"""

log = structlog.get_logger(__name__)


@attrs.frozen
class Migration:
    """One file of a series.

    Args:
        namespace: Owner of the series.
        version: Its number, from 1.
        name: What it is called beside the number.
        checksum: SHA-256 of the text with line ends as on Unix, in hexadecimal.
        sql: The text.
    """

    namespace: str
    version: int
    name: str
    checksum: str
    sql: str = attrs.field(repr=False)

    @property
    def label(self) -> str:
        """Owner and file, for messages."""
        return f"{self.namespace}: migration {self.version:04d}_{self.name}.sql"

    @property
    def is_transactional(self) -> bool:
        """Whether it runs in a transaction; its first line may say that it can't."""
        return not self.sql.startswith(_NO_TRANSACTION)


@attrs.frozen
class Applied:
    """A migration the database has.

    Args:
        namespace: Owner of the series.
        version: Its number, from 1.
        name: What it is called beside the number.
        checksum: SHA-256 of the text it had.
        applied_at: When.
        duration_ms: How long it took.
    """

    namespace: str
    version: int
    name: str
    checksum: str
    applied_at: datetime
    duration_ms: int


async def migrate(
    connection: "asyncpg.Connection", series: Sequence[MigrationSeries]
) -> tuple[Applied, ...]:
    """Apply what the database lacks, and return it.

    Any number of processes may call this at once: one works, the others wait for it.  What was
    applied before an error stays applied.

    Args:
        connection: A connection of its own, outside any transaction.
        series: Whose migrations, in this order.

    Raises:
        PluginError: A series whose files make no sense.
        SchemaError: Files and database don't belong together; nothing was changed.
        DatabaseError: A migration failed, and was undone.
        DatabaseUnavailableError: The connection broke, or a table is in use; retry later.
    """
    wanted = _read(series)
    with database_errors("migrations"):
        async with _alone(connection):
            await connection.execute(_TABLE)
            records = await applied(connection)
            missing = _missing(wanted, records)
            return tuple([await _apply(connection, migration) for migration in missing])


async def pending(
    connection: "asyncpg.Connection", series: Sequence[MigrationSeries]
) -> tuple[Migration, ...]:
    """Return what `migrate` would apply; changes nothing.

    Raises:
        PluginError: A series whose files make no sense.
        SchemaError: Files and database don't belong together.
        DatabaseUnavailableError: The connection broke.
    """
    wanted = _read(series)
    return _missing(wanted, await applied(connection))


async def check_schema(connection: "asyncpg.Connection", series: Sequence[MigrationSeries]) -> None:
    """Make sure that the tables are exactly what this version wants; changes nothing.

    Raises:
        SchemaError: The database is behind (migrate), ahead (upgrade) or different.
        DatabaseUnavailableError: The connection broke.
    """
    missing = await pending(connection, series)
    if missing:
        raise SchemaError(
            f"{missing[0].label} and {len(missing) - 1} more are not applied to the database; run "
            "`arbitrade db migrate`"
            if len(missing) > 1
            else f"{missing[0].label} is not applied to the database; run `arbitrade db migrate`"
        )


async def applied(connection: "asyncpg.Connection") -> tuple[Applied, ...]:
    """Return what the database has, of all owners; nothing for an empty one.

    Raises:
        DatabaseUnavailableError: The connection broke.
    """
    with database_errors("schema_migration"):
        if await connection.fetchval("SELECT to_regclass('schema_migration')") is None:
            return ()
        return tuple(Applied(**record) for record in await connection.fetch(_RECORDS))


def _read(series: Sequence[MigrationSeries]) -> tuple[Migration, ...]:
    names = [one.namespace for one in series]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise SchemaError(
            f"{twins[0]}: has two series of migrations; only the plugin of that name may have one"
        )
    return tuple(
        _read_file(one.namespace, version, path)
        for one in series
        for version, path in enumerate(one.files(), start=1)
    )


def _read_file(namespace: str, version: int, path: Path) -> Migration:
    # A checkout on Windows may have other line ends than the one that was applied.
    text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    name = path.stem.partition("_")[2]
    return Migration(namespace, version, name, sha256(text.encode()).hexdigest(), text)


def _missing(wanted: Sequence[Migration], records: Sequence[Applied]) -> tuple[Migration, ...]:
    """Return what is to be applied, after making sure that the rest is what it was."""
    known = {(record.namespace, record.version): record for record in records}
    files = {(migration.namespace, migration.version): migration for migration in wanted}
    ours = {migration.namespace for migration in wanted}
    for key, record in known.items():
        # Of a plugin that is not there now nothing is expected.
        if record.namespace in ours:
            _check(record, files.get(key))
    newest = {name: max((v for n, v in known if n == name), default=0) for name in ours}
    missing = tuple(one for one in wanted if (one.namespace, one.version) not in known)
    for migration in missing:
        if migration.version < newest[migration.namespace]:
            raise SchemaError(
                f"{migration.label} was never applied, but {newest[migration.namespace]:04d} was; "
                "restore the database from a backup, or take the record of the later one out of "
                "schema_migration if it really was not"
            )
    return missing


def _check(record: Applied, file: Migration | None) -> None:
    label = f"{record.namespace}: migration {record.version:04d}_{record.name}.sql"
    if file is None:
        raise SchemaError(
            f"{label} is in the database and not in this version; the database was used by a later "
            "one: upgrade Arbitrade or the plugin"
        )
    if file.name != record.name or file.checksum != record.checksum:
        raise SchemaError(
            f"{label} was edited after it was applied (now {file.version:04d}_{file.name}.sql, "
            f"checksum {file.checksum[:12]}, applied {record.checksum[:12]}); put the old text "
            "back and make the change in a migration of its own"
        )


@asynccontextmanager
async def _alone(connection: "asyncpg.Connection") -> AsyncIterator[None]:
    """Hold the lock of the schema.

    It is polled: a session that waits inside `pg_advisory_lock` holds a snapshot, and an index that
    is built concurrently would wait for that session in turn.
    """
    with suppress(asyncpg.PostgresError):  # no server on Windows can
        # One of us that is killed lets go soon, not when its statement ends.
        await connection.execute("SET client_connection_check_interval = '1s'")
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
        if time.monotonic() > deadline:
            raise DatabaseUnavailableError(
                f"migrations: another process has been applying them for {_LOCK_PATIENCE_S:.0f} s; "
                "wait for it or end it, then try again"
            )
        await asyncio.sleep(_LOCK_POLL_S)
    try:
        yield
    finally:
        with suppress(*CUT):
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK_KEY)
            await connection.execute("RESET client_connection_check_interval")


async def _apply(connection: "asyncpg.Connection", migration: Migration) -> Applied:
    began = time.monotonic()
    try:
        if migration.is_transactional:
            async with connection.transaction():
                await connection.execute(
                    f"SET LOCAL lock_timeout = '{_TABLE_LOCK_TIMEOUT}'; "
                    "SET LOCAL statement_timeout = 0"
                )
                await connection.execute(migration.sql)
                done = await _record(connection, migration, began)
        else:
            await _drop_broken_indexes(connection, migration)
            await connection.execute(migration.sql)
            done = await _record(connection, migration, began)
    except asyncpg.LockNotAvailableError as error:
        raise DatabaseUnavailableError(
            f"{migration.label}: a table was in use for {_TABLE_LOCK_TIMEOUT} ({error}); stop what "
            "uses the database, then try again"
        ) from error
    except asyncpg.PostgresConnectionError:
        raise
    except asyncpg.PostgresError as error:
        raise DatabaseError(_failure(migration, error)) from error
    log.info("schema.migrated", migration=migration.label, duration_ms=done.duration_ms)
    return done


async def _record(connection: "asyncpg.Connection", migration: Migration, began: float) -> Applied:
    duration_ms = round((time.monotonic() - began) * 1000)
    fields = (migration.namespace, migration.version, migration.name, migration.checksum)
    applied_at = await connection.fetchval(_RECORD, *fields, duration_ms)
    return Applied(*fields, applied_at, duration_ms)


async def _drop_broken_indexes(connection: "asyncpg.Connection", migration: Migration) -> None:
    """Take away what an interrupted attempt at this very file has left half-built."""
    for record in await connection.fetch(_BROKEN_INDEXES):
        if re.search(rf"\b{re.escape(record['name'])}\b", migration.sql):
            await connection.execute(f"DROP INDEX CONCURRENTLY {record['qualified']}")


def _failure(migration: Migration, error: Any) -> str:
    position = str(getattr(error, "position", None) or "")
    line = migration.sql.count("\n", 0, int(position)) + 1 if position.isdigit() else None
    where = f" in line {line}" if line is not None else ""
    detail = f" ({error.detail})" if getattr(error, "detail", None) else ""
    undone = "it was undone" if migration.is_transactional else "look at what it did"
    return (
        f"{migration.label} failed{where}: {error.message or error}{detail}; {undone}.  Mend the "
        "cause, or the file if it was never released, and migrate again"
    )
