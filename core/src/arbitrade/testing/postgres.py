"""A real PostgreSQL for tests: one server a session, one fresh database a test, about 30 ms each.

Import the fixtures in the suite's `conftest.py`:

    from arbitrade.testing.postgres import database, postgres_server

    __all__ = ["database", "postgres_server"]

The server is our embedded one, in a temporary folder of its own.  It ends with the session, also
if that is killed: a small process of its own waits for that.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from arbitrade.config import DatabaseSettings, Settings
from arbitrade.models.migrations import MigrationSeries
from arbitrade.plugins.builtin import arbitrade_register_migrations
from arbitrade.secrets import Secret
from arbitrade.store.database import Database, connect
from arbitrade.store.embedded.server import EmbeddedPostgres
from arbitrade.store.schema import migrate
from arbitrade.testing.patience import PATIENCE_S

__all__ = ["PostgresServer", "core_series", "database", "postgres_server"]

# What is committed survives a crash of the server all the same, only not one of the machine.
_QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_POOL_SIZE = 4


def core_series() -> tuple[MigrationSeries, ...]:
    """Return the migrations of core."""
    return tuple(arbitrade_register_migrations())


class PostgresServer:
    """A server for the length of a test session; `postgres_server` hands it out.

    Works from any event loop and from none: it has a thread of its own.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="arbitrade-postgres-"))
        self._folder.chmod(0o755)  # started by root, the server is another user's
        self._embedded = EmbeddedPostgres(self._folder / "postgres", options=_QUICK)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._reaper = _start_reaper(self._folder / "postgres")
        self._templates: dict[tuple[MigrationSeries, ...], str] = {}
        self._made = 0
        self._turn = asyncio.Lock()
        try:
            self._call(self._embedded.start())
            self._admin = self._call(asyncpg.connect(self.dsn_of("postgres").reveal()))
        except BaseException:
            self.close()
            raise

    @property
    def embedded(self) -> EmbeddedPostgres:
        """The server itself, for tests that stop it and start it again."""
        return self._embedded

    def dsn_of(self, name: str) -> Secret:
        """Return the address of one of its databases."""
        return Secret(urlunsplit(urlsplit(self._embedded.dsn)._replace(path=f"/{name}")))

    def create(self, series: Sequence[MigrationSeries] = ()) -> Secret:
        """Make a database, migrated as the series say, and return its address.  20 ms."""
        return self._call(self._create(tuple(series)))

    def drop(self, dsn: Secret) -> None:
        """Remove a database, whoever is connected to it."""
        self._call(self._drop(dsn))

    @asynccontextmanager
    async def database(
        self, series: Sequence[MigrationSeries] | None = None, *, pool_size: int = _POOL_SIZE
    ) -> AsyncIterator[Database]:
        """Make a database, connect to it, and remove it at the end.

        Args:
            series: Migrations it has; None for core's.
            pool_size: Most connections.
        """
        wanted = core_series() if series is None else tuple(series)
        dsn = await self._await(self._create(wanted))
        try:
            settings = Settings(database=DatabaseSettings(pool_size=pool_size))
            async with await connect(dsn, settings) as database:
                yield database
        finally:
            await self._await(self._drop(dsn))

    def close(self) -> None:
        """Stop the server and remove everything.  Idempotent."""
        if self._loop.is_closed():
            return
        with suppress(Exception):
            self._call(self._admin.close())
        try:
            self._call(self._embedded.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
            self._loop.close()
            _end_reaper(self._reaper)
            shutil.rmtree(self._embedded.folder, ignore_errors=True)
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _create(self, series: tuple[MigrationSeries, ...]) -> Secret:
        async with self._turn:
            template = self._templates.get(series)
            if template is None:
                template = await self._make_template(series)
            self._made += 1
            name = f"test_{self._made}"
            await self._admin.execute(
                f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG"
            )
        return self.dsn_of(name)

    async def _make_template(self, series: tuple[MigrationSeries, ...]) -> str:
        name = f"template_{len(self._templates)}"
        await self._admin.execute(f"CREATE DATABASE {name}")
        if series:
            connection = await asyncpg.connect(self.dsn_of(name).reveal())
            try:
                await migrate(connection, series)
            finally:
                await connection.close()
        self._templates[series] = name
        return name

    async def _drop(self, dsn: Secret) -> None:
        name = urlsplit(dsn.reveal()).path.removeprefix("/")
        async with self._turn:
            await self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _call[T](self, work: "Coroutine[Any, Any, T] | Awaitable[T]") -> T:
        return asyncio.run_coroutine_threadsafe(_awaited(work), self._loop).result(PATIENCE_S)

    async def _await[T](self, work: "Coroutine[Any, Any, T]") -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


_SERVER = pytest.StashKey[PostgresServer]()


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """Return a running PostgreSQL, the same for every suite of the session."""
    stash = request.config.stash
    if _SERVER not in stash:
        server = stash[_SERVER] = PostgresServer()
        request.config.add_cleanup(server.close)
    return stash[_SERVER]


@pytest_asyncio.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    """Return a database of the test's own, connected, with core's tables and nothing in them."""
    async with postgres_server.database() as fresh:
        yield fresh


async def _awaited[T](work: Awaitable[T]) -> T:
    return await work


def _start_reaper(folder: Path) -> "subprocess.Popen[bytes]":
    """Start what stops the server when this process is killed: its standard input then ends."""
    return subprocess.Popen(  # noqa: S603  # ourselves
        [sys.executable, "-m", __name__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end_reaper(reaper: "subprocess.Popen[bytes]") -> None:
    assert reaper.stdin is not None
    reaper.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        reaper.wait(PATIENCE_S)


def _reap(folder: Path) -> None:
    """Wait for the end of standard input, then stop what runs in a folder and remove it."""
    sys.stdin.buffer.read()
    if not folder.parent.is_dir():
        return
    from arbitrade.store.embedded.account import (
        reachable_binaries,
        reachable_folder,
        server_account,
    )
    from arbitrade.store.embedded.binaries import find_binaries
    from arbitrade.store.embedded.process import Cluster

    data = reachable_folder(folder) / "data"
    account = server_account(data)
    Cluster(data, reachable_binaries(find_binaries(), account), account).stop()
    shutil.rmtree(data.parent, ignore_errors=True)
    shutil.rmtree(folder.parent, ignore_errors=True)


if __name__ == "__main__":
    _reap(Path(sys.argv[1]))
