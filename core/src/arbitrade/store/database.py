"""The way to PostgreSQL for everything that isn't on the hot path: one pool, exact types."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import asyncpg
import orjson

from arbitrade.errors import DatabaseError, DatabaseUnavailableError
from arbitrade.models.migrations import MigrationSeries
from arbitrade.secrets import Secret
from arbitrade.store.embedded.server import EmbeddedPostgres
from arbitrade.store.failures import CUT, database_errors
from arbitrade.store.schema import Applied, check_schema, migrate
from arbitrade.store.target import embedded_folder, server_dsn, shown

if TYPE_CHECKING:
    from arbitrade.config import Settings

_APPLICATION = "arbitrade"
_OLDEST_VERSION = 140_000
_CONNECT_TIMEOUT_S, _CLOSE_TIMEOUT_S = 15.0, 10.0
_BUSY_S = 10.0


class Database:
    """A PostgreSQL database, connected.  `open_database` makes it.

    Money is `Decimal`, exact to the last digit both ways; times are aware and in UTC; `jsonb` and
    `json` are what orjson reads and writes, so money goes in there as text.

    Args:
        dsn: The address, with its password.
        pool: Connections to it.
        embedded: The server, if it is our own.
    """

    def __init__(
        self, dsn: Secret, pool: "asyncpg.Pool", embedded: EmbeddedPostgres | None
    ) -> None:
        self.pool = pool
        self.embedded = embedded
        self._dsn = dsn

    @property
    def dsn(self) -> str:
        """The address without the password, for logs and messages."""
        return shown(self._dsn.reveal())

    @property
    def secret_dsn(self) -> Secret:
        """The address with the password, for programs of PostgreSQL."""
        return self._dsn

    @property
    def is_embedded(self) -> bool:
        """Whether the server is our own."""
        return self.embedded is not None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.Connection"]:
        """Take a connection of the pool for a short while; a query that takes long is given up.

        Raises:
            DatabaseUnavailableError: None can be made, or all have been in use for ten seconds.
        """
        with database_errors(self.dsn):
            connection = await self._acquire()
            try:
                yield connection
            finally:
                await self.pool.release(connection)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["asyncpg.Connection"]:
        """Open a connection outside of the pool and without a time limit, for long work.

        Raises:
            DatabaseUnavailableError: It can't be made.
        """
        with database_errors(self.dsn):
            connection = await asyncpg.connect(self._dsn.reveal(), **_connection_options(None))
            await set_codecs(connection)
        try:
            yield connection
        finally:
            await connection.close(timeout=_CLOSE_TIMEOUT_S)

    async def migrate(self, series: Sequence[MigrationSeries]) -> tuple[Applied, ...]:
        """Bring the tables up to date; see `schema.migrate`."""
        async with self.session() as connection:
            return await migrate(connection, series)

    async def check_schema(self, series: Sequence[MigrationSeries]) -> None:
        """Make sure that the tables are what this version wants; see `schema.check_schema`."""
        async with self.session() as connection:
            await check_schema(connection, series)

    async def revive(self) -> None:
        """Start our own server again if it died; the pool then reconnects by itself.

        Does nothing for a server of somebody else's.

        Raises:
            DatabaseError: It doesn't come up, or came up at another port, because something else
                took the old one meanwhile; open the database anew.
        """
        if self.embedded is None:
            return
        dsn = await self.embedded.start()
        if dsn != self._dsn.reveal():
            raise DatabaseError(
                f"{self.dsn}: came back as {shown(dsn)}, because the port was taken; start again"
            )

    async def close(self) -> None:
        """Close the connections, the busy ones after a grace period; give the server up."""
        try:
            await _close_pool(self.pool)
        finally:
            if self.embedded is not None:
                await self.embedded.stop()

    async def _acquire(self) -> "asyncpg.Connection":
        try:
            return await self.pool.acquire(timeout=_BUSY_S)
        except TimeoutError:
            if self.pool.get_size() < self.pool.get_max_size():
                raise  # it is the server that doesn't answer
            raise DatabaseUnavailableError(
                f"{self.dsn}: all {self.pool.get_size()} connections have been in use for "
                f"{_BUSY_S:g} s; try again, or raise database.pool_size"
            ) from None

    async def __aenter__(self) -> Self:
        """Return it, connected as it is."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections and give the server up, as `close` does."""
        await self.close()


async def open_database(
    settings: "Settings",
    *,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Database:
    """Connect to the database the settings name, starting our own server if they name none.

    ``async with await open_database(settings) as database:``

    Args:
        settings: Sections `database` and `runtime` are read.
        folder: Where our own server's data is, in place of what the settings say.
        environ: The environment; by default that of the process.

    Raises:
        ConfigError: The address doesn't fit.
        DatabaseUnavailableError: The server can't be reached; retry later.
        DatabaseError: It refuses us, is too old, or our own can't be started.
    """
    dsn = server_dsn(settings, os.environ if environ is None else environ)
    if dsn is not None:
        return await connect(dsn, settings)
    embedded = EmbeddedPostgres(embedded_folder(settings, folder))
    own = Secret(await embedded.start())
    try:
        return await connect(own, settings, embedded)
    except BaseException:
        await embedded.stop()
        raise


async def connect(
    dsn: Secret, settings: "Settings", embedded: EmbeddedPostgres | None = None
) -> Database:
    """Connect to a database whose address is known; see `open_database`."""
    options = _connection_options(settings.database.command_timeout_s)
    with database_errors(shown(dsn.reveal())):
        pool = await asyncpg.create_pool(
            dsn.reveal(),
            min_size=1,
            max_size=settings.database.pool_size,
            init=set_codecs,
            **options,
        )
    database = Database(dsn, pool, embedded)
    try:
        await _check_version(database)
    except BaseException:
        pool.terminate()
        raise
    return database


async def set_codecs(connection: "asyncpg.Connection") -> None:
    """Have JSON read and written by orjson.

    In the binary format, because `COPY` knows no other.
    """
    for kind, head in (("jsonb", b"\x01"), ("json", b"")):
        await connection.set_type_codec(
            kind,
            schema="pg_catalog",
            encoder=lambda value, head=head: head + orjson.dumps(value),
            decoder=lambda raw, head=head: orjson.loads(raw[len(head) :]),
            format="binary",
        )


def _connection_options(command_timeout_s: float | None) -> dict[str, Any]:
    return {
        "timeout": _CONNECT_TIMEOUT_S,
        "command_timeout": command_timeout_s,
        "server_settings": {"application_name": _APPLICATION, "timezone": "UTC", "jit": "off"},
    }


async def _check_version(database: Database) -> None:
    with database_errors(database.dsn):
        version = int(await database.pool.fetchval("SHOW server_version_num"))
    if version < _OLDEST_VERSION:
        raise DatabaseError(
            f"{database.dsn}: is PostgreSQL {version // 10_000}; 14 or later is needed, so upgrade "
            "the server"
        )


async def _close_pool(pool: "asyncpg.Pool") -> None:
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await pool.close()
    except CUT:
        pool.terminate()
