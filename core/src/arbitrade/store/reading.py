"""How the read side asks: statements put together, rows as values, failures as errors of ours."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import attrs

from arbitrade.api.history import MAXIMUM_ROWS, Cursor, Page
from arbitrade.errors import SchemaError, UsageError
from arbitrade.store.failures import database_errors

type Connections = Callable[[], AbstractAsyncContextManager["asyncpg.Connection"]]

_FETCHED = 1000
"""Rows fetched at once by a stream."""


class Reader:
    """Asks the database; what the driver raises comes out as an error of ours.

    Args:
        connections: Opens a connection for one question; `Database.connection`.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def rows(self, sql: str, *values: object) -> list[Any]:
        """Return all rows of a statement."""
        async with self._connection() as connection:
            found: list[Any] = await connection.fetch(sql, *values)
            return found

    async def row(self, sql: str, *values: object) -> Any:
        """Return its first row; None without any."""
        async with self._connection() as connection:
            return await connection.fetchrow(sql, *values)

    async def value(self, sql: str, *values: object) -> Any:
        """Return the first column of its first row; None without any."""
        async with self._connection() as connection:
            return await connection.fetchval(sql, *values)

    async def stream(self, sql: str, *values: object) -> AsyncIterator[Any]:
        """Yield its rows, a thousand at a time; the connection is held until the end."""
        async with self._connection() as connection, connection.transaction(readonly=True):
            async for row in connection.cursor(sql, *values, prefetch=_FETCHED):
                yield row

    @asynccontextmanager
    async def moment(self) -> AsyncIterator["Reader"]:
        """Open a reader all of whose questions see the database as it is now."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):

            @asynccontextmanager
            async def the_same() -> AsyncIterator["asyncpg.Connection"]:
                yield connection

            yield Reader(the_same)

    async def page[T: attrs.AttrsInstance](
        self,
        make: Callable[[Any], T],
        select: str,
        order: "Order",
        where: "Where",
        limit: int,
        before: Cursor | None,
    ) -> Page[T]:
        """Return a page of rows, the latest first.

        Args:
            make: Makes a value of a row.
            select: Columns and tables, as far as `FROM …`.
            order: By what it is sorted.
            where: Which rows.
            limit: Most rows.
            before: Where the page before ended.

        Raises:
            UsageError: `limit` is not between 1 and `MAXIMUM_ROWS`.
        """
        check_limit(limit)
        if before is not None:
            # The first condition follows from the second, and an index can answer it.
            where.add(f"{order.at} <= ?", before.at)
            where.add(f"({order.at}, {order.tie}) < (?, ?)", before.at, before.tie)
        head, _, tables = select.partition(" FROM ")
        sql = (
            f"{head}, {order.at} AS page_at, {order.tie} AS page_tie FROM {tables} "
            f"WHERE {where.sql} ORDER BY {order.at} DESC, {order.tie} DESC LIMIT {limit + 1:d}"
        )
        found = await self.rows(sql, *where.values)
        is_last = len(found) <= limit
        shown = found[:limit]
        end = None if is_last else Cursor(shown[-1]["page_at"], shown[-1]["page_tie"])
        return Page(tuple(make(row) for row in shown), end)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.Connection"]:
        try:
            with database_errors("the database"):
                async with self._connections() as connection:
                    yield connection
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
            raise SchemaError(
                f"the database: its tables are not those of this version ({error}); run "
                "`arbitrade db migrate`"
            ) from error
        except asyncpg.DataError as error:
            raise UsageError(
                f"the database was asked for something it can't hold ({error}); ask for less"
            ) from error


class Where:
    """Conditions of a statement, all of which must hold; what has no value asks nothing.

    Put together instead of `$1 IS NULL OR …`, so that the server plans for what is really asked.
    """

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[object] = []

    def add(self, condition: str, *values: object) -> None:
        """Add a condition with a `?` for each value; nothing if a value is None."""
        if any(value is None for value in values):
            return
        for value in values:
            self.values.append(value)
            condition = condition.replace("?", f"${len(self.values)}", 1)
        self._conditions.append(condition)

    def among(self, column: str, values: Sequence[str]) -> None:
        """Add that a column has one of these values; nothing if there are none."""
        if values:
            self.add(f"{column} = ANY (?)", list(values))

    def contains(self, column: str, text: str | None) -> None:
        """Add that a column contains a text, in any case."""
        if text:
            self.add(f"position(lower(?) IN lower({column})) > 0", text)

    def of(self, run: str | None, account: str | None, table: str = "") -> None:
        """Add that a row is of a run and of an account; an id that is none finds nothing.

        A run belongs to one account.  The server doesn't know that, and its indexes by time begin
        with the account: so the account is asked for too.
        """
        prefix = f"{table}." if table else ""
        self.add(f"{prefix}account = ?", account)
        if run is None:
            return
        known = run_id(run)
        if known is None:
            self._conditions.append("FALSE")
            return
        self.add(f"{prefix}run = ?", known)
        if account is None:
            of_run = "SELECT one.account FROM run one WHERE one.id = ?"
            self.add(f"{prefix}account = ({of_run})", known)

    @property
    def sql(self) -> str:
        """The conditions, joined; `TRUE` without any."""
        return " AND ".join(self._conditions) or "TRUE"


@attrs.frozen
class Order:
    """By what a list is sorted.

    Args:
        at: A column with a time.
        tie: An expression that is text and tells rows of the same time apart.
    """

    at: str
    tie: str

    @classmethod
    def numbered(cls, at: str, number: str, of: str = "") -> "Order":
        """Sort by a time, then by run and a number in it."""
        prefix = f"{of}." if of else ""
        return cls(
            f"{prefix}{at}", f"{prefix}run::text || '/' || lpad({prefix}{number}::text, 19, '0')"
        )


def run_id(run: str) -> UUID | None:
    """Return the id of a run as the driver wants it; None if it can be none."""
    try:
        return UUID(run)
    except ValueError:
        return None


def check_limit(limit: int) -> None:
    """Raise `UsageError` unless a page may have so many rows."""
    if not 1 <= limit <= MAXIMUM_ROWS:
        raise UsageError(f"limit {limit}: ask for 1 to {MAXIMUM_ROWS} rows at once")


def value_of[T: attrs.AttrsInstance](cls: type[T], row: Any, **made: object) -> T:
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


def maker[T: attrs.AttrsInstance](cls: type[T]) -> Callable[[Any], T]:
    """Return what makes values of a class of rows."""
    return lambda row: value_of(cls, row)


def grouped[T](pairs: Sequence[tuple[Any, T]]) -> Mapping[Any, list[T]]:
    """Return values by what they belong to, in order."""
    found: dict[Any, list[T]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found
