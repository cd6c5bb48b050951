"""The PostgreSQL we start ourselves, when nobody names a server.

One server for each folder, shared by all processes that use it.  Each holds a *lease*: a session
of its own on that server, so that a process that is killed drops out of the count by itself, on
every operating system.  Who gives up the last lease stops the server.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import structlog
from filelock import FileLock, Timeout

from arbitrade.errors import DatabaseError, DatabaseUnavailableError
from arbitrade.secrets import Secret
from arbitrade.store.embedded.account import (
    ServerAccount,
    is_common,
    make_common_folder,
    reachable_binaries,
    reachable_folder,
    server_account,
)
from arbitrade.store.embedded.binaries import find_binaries
from arbitrade.store.embedded.postmaster import Postmaster
from arbitrade.store.embedded.process import DATABASE, USER, Cluster
from arbitrade.store.failures import CUT, database_errors

LEASE = "arbitrade-lease"
"""Name of the sessions that keep the server running."""

_LOCK_TIMEOUT_S, _CONNECT_TIMEOUT_S = 120.0, 30.0
_LOCK_POLL_S, _LOOK_PAUSE_S, _LOOKS = 0.02, 0.05, 4

# A bot whose lease was cut when the server was killed still counts by its other sessions.
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE 'arbitrade%' AND pid <> pg_backend_pid()
"""

log = structlog.get_logger(__name__)


class EmbeddedPostgres:
    """A PostgreSQL server in a folder of ours, running as long as anybody holds it.

    Listens on 127.0.0.1 only, at a port of its own; the password of its one user is in a file that
    nobody else can read.  As root the server runs as another account, and the data may be in
    another place: see `folder`.

    Args:
        folder: Where the data is, or is going to be; made when missing.
        options: Settings of the server, such as ``{"fsync": "off"}`` in tests; they hold from its
            next start on.
    """

    def __init__(self, folder: Path, *, options: Mapping[str, str] | None = None) -> None:
        self._wanted = folder
        self._options = dict(options or {})
        self._folder: Path | None = None
        self._lease: asyncpg.Connection | None = None
        self._dsn: Secret | None = None

    @property
    def dsn(self) -> str:
        """What `start` returned last; with the password, so never log it."""
        if self._dsn is None:
            raise DatabaseError(f"{self._wanted}: the embedded PostgreSQL was not started")
        return self._dsn.reveal()

    @property
    def folder(self) -> Path:
        """Where the data really is: below /var/lib/arbitrade if the server can't get to it."""
        if self._folder is None:
            self._folder = reachable_folder(self._wanted)
        return self._folder

    @property
    def is_held(self) -> bool:
        """Whether we hold a lease on a server that runs."""
        return self._lease is not None and not self._lease.is_closed()

    async def start(self) -> str:
        """Start the server or attach to it, and hold it until `stop`.

        Half a second on a new folder, a tenth on an old one, a hundredth where it runs already.
        Called again it starts a server that died, on its old port if that is free.

        Returns:
            The DSN, with its password: never log it.

        Raises:
            DatabaseError: There is no PostgreSQL, or the folder can't be used as it is.
            DatabaseUnavailableError: The server doesn't come up; retry later.
        """
        cluster = await asyncio.to_thread(self._prepare)
        async with self._locked(cluster.account):
            was_running = cluster.running() is not None
            try:
                server = await _finish(lambda: _bring_up(cluster))
                self._dsn = cluster.dsn(server.port)
                with database_errors(f"{cluster.data} at 127.0.0.1:{server.port}"):
                    if not (was_running and await self._is_alive()):
                        self._lease = await _take_lease(cluster, server.port)
                    await _make_database(self._lease)
            except BaseException:
                if not was_running and not self.is_held:
                    await _finish(cluster.stop)  # nobody would ever do it
                raise
        return self._dsn.reveal()

    async def stop(self) -> None:
        """Give up the lease; stop the server if it was the last one.  Idempotent.

        Raises:
            DatabaseUnavailableError: The server doesn't end.
        """
        lease, self._lease = self._lease, None
        if lease is None:
            return
        cluster = await asyncio.to_thread(self._prepare)
        async with self._locked(cluster.account):
            is_last = await _is_last(lease)
            with suppress(Exception):  # the server may be gone, and with it the lease
                await lease.close(timeout=5)
            if is_last:
                await _finish(cluster.stop)

    async def __aenter__(self) -> Self:
        """Start the server, or join the one that runs; `dsn` tells where it is."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the server up, as `stop` does."""
        await self.stop()

    async def _is_alive(self) -> bool:
        """Ask the server through our lease, which may have been cut without our noticing."""
        if self._lease is None or self._lease.is_closed():
            return False
        try:
            await self._lease.execute("SELECT 1", timeout=_CONNECT_TIMEOUT_S)
        except CUT:
            self._lease.terminate()
            return False
        return True

    def _prepare(self) -> Cluster:
        """Find the programs, make the folder and settle whose rights are used."""
        folder, binaries = self.folder, find_binaries()
        if is_common(folder):
            make_common_folder()
            if not folder.is_dir():
                log.info("embedded.folder_elsewhere", wanted=str(self._wanted), folder=str(folder))
        account = server_account(folder / "data")
        try:
            if not folder.is_dir():
                _make_parents(folder.parent)
                folder.mkdir(mode=0o700, exist_ok=True)
                if account is not None:
                    account.own(folder)
        except OSError as error:
            raise DatabaseError(
                f"{folder}: can't be made ({error.strerror}); set database.folder to a folder you "
                "may write to"
            ) from error
        blocked = None if account is None else account.blocked_at(folder)
        if account is not None and blocked is not None:
            raise DatabaseError(
                f"{folder}: PostgreSQL runs as account {account.name}, which can't pass {blocked}; "
                f"allow that (chmod o+x {blocked}), or set database.folder to another folder"
            )
        programs = reachable_binaries(binaries, account)
        return Cluster(folder / "data", programs, account, self._options)

    @asynccontextmanager
    async def _locked(self, account: ServerAccount | None) -> AsyncIterator[None]:
        """Hold the lock of the folder; only around start and stop."""
        path = self.folder / "lock"
        lock = FileLock(path, thread_local=False)
        try:
            async with asyncio.timeout(_LOCK_TIMEOUT_S):
                await _acquire(lock)
            if account is not None:
                account.own(path)  # so that its owner may start the server as well
        except TimeoutError:
            raise DatabaseUnavailableError(
                f"{self.folder}: another process has been starting or stopping PostgreSQL there "
                f"for {_LOCK_TIMEOUT_S:.0f} s; look for it, then try again"
            ) from None
        except OSError as error:
            raise DatabaseError(
                f"{self.folder}: can't be written ({error.strerror}); give it to this user "
                "(chown -R), or set database.folder to another folder"
            ) from error
        try:
            yield
        finally:
            lock.release()


async def _acquire(lock: FileLock) -> None:
    """Ask for a lock again and again; a thread that waits for it could not be cancelled."""
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            await asyncio.sleep(_LOCK_POLL_S)
        else:
            return


def _make_parents(folder: Path) -> None:
    """Make the folders above, open to pass for the account even under a strict umask."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        place.chmod(0o755)


def _bring_up(cluster: Cluster) -> Postmaster:
    cluster.create()
    return cluster.start()


async def _finish[T](work: Callable[[], T]) -> T:
    """Run what blocks in a thread, to its end even if we are cancelled: the lock goes with it."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):  # again; each step in there ends by itself
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # nobody else will ask
        raise


async def _take_lease(cluster: Cluster, port: int) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1",
        port=port,
        user=USER,
        password=cluster.password().reveal(),
        database="postgres",
        timeout=_CONNECT_TIMEOUT_S,
        ssl=False,
        server_settings={"application_name": LEASE},
    )


async def _make_database(lease: asyncpg.Connection | None) -> None:
    assert lease is not None
    exists = await lease.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE)
    if not exists:
        await lease.execute(f"CREATE DATABASE {DATABASE}")


async def _is_last(lease: asyncpg.Connection) -> bool:
    """Tell whether nobody else uses the server; if that can't be found out, it has died."""
    try:
        for _ in range(_LOOKS):
            if not await lease.fetchval(_OTHERS, timeout=_CONNECT_TIMEOUT_S):
                return True
            # Sessions that were closed, or whose process was killed, end a moment later.
            await asyncio.sleep(_LOOK_PAUSE_S)
    except CUT:
        return False
    return False
