"""A plugin's way to the tables its own migrations made."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

type Row = Mapping[str, Any]
"""A row: values by column, amounts as `Decimal`, times aware and in UTC, JSON as Python values."""


class TableConnection(Protocol):
    """A connection for plain SQL; `$1`, `$2`, … in a statement stand for the values.

    One statement at a time.  Each raises `StatementError` if the server refuses the statement, and
    `DatabaseUnavailableError` if it takes too long or the connection is gone.
    """

    async def execute(self, sql: str, *values: object) -> None:
        """Carry out a statement."""

    async def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Carry out a statement once for each row of values, all of them or none."""

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Return all rows of a statement."""

    async def fetchrow(self, sql: str, *values: object) -> Row | None:
        """Return its first row; None without any."""

    async def fetchval(self, sql: str, *values: object) -> Any:
        """Return the first column of its first row; None without any."""

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Make what is done inside one whole: kept at the end, undone if anything raises."""


class Tables(Protocol):
    """Opens connections to the database for the tables of one plugin.

    Nothing here waits for trading or is waited for: the bot's own writing has a connection of its
    own, and what a plugin does is limited, so that a lock it forgets is soon let go.

    - A statement may take five seconds, and wait one of them for a lock.
    - A connection is held for at most ten seconds; then it is cut, and what was not committed is
      undone.  So wait for nothing else while you have one.
    - A plugin has two at a time; a third waits.
    """

    def connection(self) -> AbstractAsyncContextManager[TableConnection]:
        """Open one: ``async with tables.connection() as connection:``.

        Raises:
            DatabaseUnavailableError: The database can't be reached, or isn't open yet; retry later.
            DatabaseError: The command runs without a database.
        """


class TablesByPlugin(Protocol):
    """Hands each plugin its `Tables`."""

    def of(self, plugin: str) -> Tables:
        """Return those of a plugin, by its name."""
