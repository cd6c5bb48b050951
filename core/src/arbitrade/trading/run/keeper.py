"""The database of a run: opened when it can be, brought up to date, and opened again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from arbitrade.config import Settings
from arbitrade.errors import DatabaseUnavailableError
from arbitrade.models.migrations import MigrationSeries
from arbitrade.store.database import Database, open_database
from arbitrade.store.plugin_tables import PluginTables
from arbitrade.store.repositories import Repositories
from arbitrade.store.retention import keep_history

if TYPE_CHECKING:
    import asyncpg

log = structlog.stdlib.get_logger(__name__)


class DatabaseKeeper:
    """Opens the database when it is first needed and whenever it is gone.

    Attributes:
        history: What services read with.
        tables: What they reach their own tables with.  Neither opens the database: a page that is
            looked at must not wait for a server to start.

    Args:
        settings: Which database.
        series: The tables wanted.
        folder: Of our own server, in place of the settings'.
    """

    def __init__(
        self, settings: Settings, series: Sequence[MigrationSeries], folder: Path | None = None
    ) -> None:
        self._settings = settings
        self._series = series
        self._folder = folder
        self._lock = asyncio.Lock()
        self.database: Database | None = None
        self.history = Repositories(self.connection)
        self.tables = PluginTables(self.connection)

    async def open(self) -> Database:
        """Return the database, its tables up to date.

        Raises:
            DatabaseError: It can't be reached, or its tables are of another version.
            ConfigError: The address doesn't fit.
        """
        async with self._lock:
            if self.database is None:
                database = await open_database(self._settings, folder=self._folder)
                try:
                    await database.migrate(self._series)
                    # Before the first row: one that is in a default partition already keeps its
                    # month from being made.
                    async with database.session() as connection:
                        days = self._settings.database.retention_days
                        await keep_history(connection, retention_days=days)
                except BaseException:
                    await database.close()
                    raise
                self.database = database
                log.info("database.open", address=database.dsn, embedded=database.is_embedded)
            return self.database

    @asynccontextmanager
    async def session(self) -> AsyncIterator["asyncpg.Connection"]:
        """Open a connection, and the database before that if need be."""
        database = await self.open()
        async with database.session() as connection:
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.Connection"]:
        """Take a connection for a short while, if the database is open.

        Raises:
            DatabaseUnavailableError: It isn't, or can't be reached.
        """
        if self.database is None:
            raise DatabaseUnavailableError(
                "the database is not open yet, or could not be opened; what happens is kept in the "
                "journal meanwhile, so try again later"
            )
        async with self.database.connection() as connection:
            yield connection

    async def revive(self) -> None:
        """Start our own server again if it died."""
        if self.database is not None:
            await self.database.revive()

    async def close(self) -> None:
        """Let go of it."""
        database, self.database = self.database, None
        if database is not None:
            await database.close()
