"""How a database is: its server, its size, its tables, what was migrated."""

from collections.abc import Sequence

import asyncpg
import attrs

from arbitrade.errors import SchemaError
from arbitrade.models.migrations import MigrationSeries
from arbitrade.store.database import Database
from arbitrade.store.failures import database_errors
from arbitrade.store.schema import applied, pending

_COUNTED_BYTES = 64_000_000
"""Tables up to this size are counted, which takes a tenth of a second; larger ones estimated."""

_TABLES = """
    SELECT root.relname AS name,
           root.oid::regclass::text AS qualified,
           coalesce(sum(stats.n_live_tup), 0)::bigint AS rows,
           sum(pg_total_relation_size(part.oid))::bigint AS bytes,
           min(part.relname) FILTER (
               WHERE part.oid <> root.oid AND part.relname !~ '_default$'
           ) AS oldest_partition
    FROM pg_class part
    JOIN pg_class root ON root.oid = coalesce(pg_partition_root(part.oid), part.oid)
    LEFT JOIN pg_stat_user_tables stats ON stats.relid = part.oid
    WHERE part.relkind IN ('r', 'p') AND part.relnamespace = current_schema()::regnamespace
    GROUP BY root.oid, root.relname
    ORDER BY bytes DESC, name
"""


@attrs.frozen
class TableStatus:
    """One table, with all its partitions.

    Args:
        name: Its name.
        rows: How many.
        is_estimate: Whether that is the server's estimate.
        bytes: On disk, indexes included.
        oldest_partition: Name of the first one that isn't the default; None without any.
    """

    name: str
    rows: int
    is_estimate: bool
    bytes: int
    oldest_partition: str | None


@attrs.frozen
class SeriesStatus:
    """The migrations of one owner.

    Args:
        namespace: Who.
        applied: How many the database has.
        pending: How many it lacks.
        problem: Why they don't belong together; None if they do.
    """

    namespace: str
    applied: int
    pending: int
    problem: str | None = None


@attrs.frozen
class DatabaseStatus:
    """What `arbitrade db status` shows.

    Args:
        dsn: The address, without its password.
        is_embedded: Whether the server is our own.
        folder: Of our own server's data; None for another server.
        server_version: Such as `18.6`.
        bytes: Size of the database on disk.
        series: Migrations by owner.
        tables: The largest first.
    """

    dsn: str
    is_embedded: bool
    folder: str | None
    server_version: str
    bytes: int
    series: tuple[SeriesStatus, ...]
    tables: tuple[TableStatus, ...]


async def database_status(database: Database, series: Sequence[MigrationSeries]) -> DatabaseStatus:
    """Look at a database; changes nothing.

    Raises:
        DatabaseUnavailableError: The connection broke.
    """
    with database_errors(database.dsn):
        async with database.pool.acquire() as connection:
            return DatabaseStatus(
                dsn=database.dsn,
                is_embedded=database.is_embedded,
                folder=str(database.embedded.folder) if database.embedded is not None else None,
                server_version=(await connection.fetchval("SHOW server_version")).split()[0],
                bytes=await connection.fetchval("SELECT pg_database_size(current_database())"),
                series=await _series_status(connection, series),
                tables=await table_status(connection),
            )


async def table_status(connection: "asyncpg.Connection") -> tuple[TableStatus, ...]:
    """Return every table of the schema, the largest first."""
    found = []
    for row in await connection.fetch(_TABLES):
        is_small = row["bytes"] <= _COUNTED_BYTES
        count = f"SELECT count(*) FROM {row['qualified']}"  # noqa: S608  # quoted by the server
        found.append(
            TableStatus(
                name=row["name"],
                rows=await connection.fetchval(count) if is_small else row["rows"],
                is_estimate=not is_small,
                bytes=row["bytes"],
                oldest_partition=row["oldest_partition"],
            )
        )
    return tuple(found)


async def _series_status(
    connection: "asyncpg.Connection", series: Sequence[MigrationSeries]
) -> tuple[SeriesStatus, ...]:
    records = await applied(connection)
    counts = {one.namespace: 0 for one in series}
    for record in records:
        counts[record.namespace] = counts.get(record.namespace, 0) + 1
    found = []
    for name, done in counts.items():
        own = [one for one in series if one.namespace == name]
        try:
            found.append(SeriesStatus(name, done, len(await pending(connection, own))))
        except SchemaError as error:
            found.append(SeriesStatus(name, done, 0, str(error)))
    return tuple(found)
