"""Lets plugins at their own tables, within limits that keep them out of the way of trading."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from arbitrade.api import Row, TableConnection, Tables
from arbitrade.errors import DatabaseUnavailableError, StatementError
from arbitrade.store.failures import database_errors
from arbitrade.store.reading import Connections

__all__ = ["PluginTables"]

_STATEMENT_S, _LOCK_S, _HELD_S = 5, 1, 10
_AT_A_TIME = 2


class PluginTables:
    """Hands each plugin its `Tables`, and always the same ones.

    Args:
        connections: Opens connections; `Database.connection`, or whatever raises a `DatabaseError`
            where there is none.
        held_s: How long a plugin may hold one.
    """

    def __init__(self, connections: Connections, held_s: float = _HELD_S) -> None:
        self._connections = connections
        self._held_s = held_s
        self._made: dict[str, _Tables] = {}

    def of(self, plugin: str) -> Tables:
        """Return those of a plugin, by its name."""
        if plugin not in self._made:
            self._made[plugin] = _Tables(plugin, self._connections, self._held_s)
        return self._made[plugin]


class _Tables:
    """The `Tables` of one plugin."""

    def __init__(self, plugin: str, connections: Connections, held_s: float) -> None:
        self._plugin = plugin
        self._connections = connections
        self._held_s = held_s
        self._turn = asyncio.Semaphore(_AT_A_TIME)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[TableConnection]:
        """Open one, with its limits set; giving it back takes them off again."""
        async with self._turn, self._connections() as raw:
            await raw.execute(
                "SELECT set_config('application_name', $1, false), "
                "set_config('statement_timeout', $2, false), "
                "set_config('lock_timeout', $3, false), "
                "set_config('idle_in_transaction_session_timeout', $4, false)",
                *(f"arbitrade {self._plugin}", f"{_STATEMENT_S}s", f"{_LOCK_S}s"),
                f"{round(self._held_s * 1000)}ms",
            )
            opened = _Connection(self._plugin, raw)
            # A plugin that forgets a transaction, or waits for something else in it, would keep
            # its locks; only cutting the line frees them whatever the plugin does.
            timer = asyncio.get_running_loop().call_later(self._held_s, opened.cut, self._held_s)
            try:
                yield opened
            finally:
                timer.cancel()


class _Connection:
    """A connection of the pool with nothing but SQL, for as long as the plugin may have it."""

    def __init__(self, plugin: str, raw: "asyncpg.Connection") -> None:
        self._plugin = plugin
        self._raw = raw
        self._cut_after_s: float | None = None

    def cut(self, after_s: float) -> None:
        """Cut the line: whatever the plugin waits for, its next statement fails."""
        self._cut_after_s = after_s
        self._raw.terminate()

    async def execute(self, sql: str, *values: object) -> None:
        """Carry out a statement."""
        async with self._errors():
            await self._raw.execute(sql, *values)

    async def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Carry out a statement once for each row of values, all of them or none."""
        async with self._errors():
            await self._raw.executemany(sql, rows)

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Return all rows of a statement."""
        async with self._errors():
            return [dict(row) for row in await self._raw.fetch(sql, *values)]

    async def fetchrow(self, sql: str, *values: object) -> Row | None:
        """Return its first row; None without any."""
        async with self._errors():
            row = await self._raw.fetchrow(sql, *values)
            return None if row is None else dict(row)

    async def fetchval(self, sql: str, *values: object) -> object:
        """Return the first column of its first row; None without any."""
        async with self._errors():
            return await self._raw.fetchval(sql, *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Make what is done inside one whole: kept at the end, undone if anything raises."""
        async with self._errors(), self._raw.transaction():
            yield

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        try:
            with database_errors(self._plugin):
                yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise self._refused(error) from error
        except DatabaseUnavailableError as error:
            if self._cut_after_s is None:
                raise
            raise DatabaseUnavailableError(
                f"{self._plugin}: held a connection for {self._cut_after_s:g} s, so it was cut and "
                "what was not committed is undone; wait for nothing else while you have one"
            ) from error

    def _refused(self, error: Exception) -> StatementError:
        sqlstate = str(getattr(error, "sqlstate", None) or "")
        code = f" ({sqlstate})" if sqlstate else ""
        return StatementError(
            f"{self._plugin}: the server refuses a statement{code}: {error}; correct it", sqlstate
        )
