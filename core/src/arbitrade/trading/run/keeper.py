"""The database of a run: opened when it can be, brought up to date, and opened again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from arbitrade.config import Settings
from arbitrade.models.migrations import MigrationSeries
from arbitrade.store.database import Database, open_database
from arbitrade.store.retention import keep_history

if TYPE_CHECKING:
    import asyncpg

log = structlog.stdlib.get_logger(__name__)


class DatabaseKeeper:
    """Opens the database when it is first needed and whenever it is gone.

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

    async def revive(self) -> None:
        """Start our own server again if it died."""
        if self.database is not None:
            await self.database.revive()

    async def close(self) -> None:
        """Let go of it."""
        database, self.database = self.database, None
        if database is not None:
            await database.close()
