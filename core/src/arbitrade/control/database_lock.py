"""The advisory lock: keeps a second bot off an account wherever it runs, by way of PostgreSQL."""

import asyncio
import hashlib
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import structlog

from arbitrade.control.instance_lock import lock_names, taken_message
from arbitrade.errors import ArbitradeError, DatabaseUnavailableError, UsageError
from arbitrade.secrets import Secret
from arbitrade.store.failures import CUT

log = structlog.stdlib.get_logger(__name__)

_PATIENCE = 3
"""Questions in a row without an answer before the connection is given up."""

_APPLICATION = "arbitrade-lock"

_KEEPALIVE = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""So that the lock of a machine that died is free after half a minute, not after hours."""

_OURS = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()
"""
_HOLDER = """
    SELECT activity.pid, activity.application_name, activity.client_addr::text AS address,
           activity.backend_start AS since
    FROM pg_locks AS locks JOIN pg_stat_activity AS activity USING (pid)
    WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
      AND locks.classid::bigint = ($1::bigint >> 32) & 4294967295
      AND locks.objid::bigint = $1::bigint & 4294967295
"""


class DatabaseLock:
    """Holds the advisory lock of an account on a connection of its own.

    A database that can't be reached is no reason to stop: the lock file (`InstanceLock`) still
    holds, and `run` takes the lock when the database is back.  But a lock that was *lost* is one:
    somebody ended our session while the server went on, or another bot has the lock by now.

    Args:
        dsn: Which database; both bots have to use the same one.
        venue: Whose account.
        account: Its name.
        key: The API key; two names for one key collide.
        on_lost: Called with the reason when the lock is lost; stop trading.
        check_s: How often `run` looks whether it still stands.
        timeout_s: How long the database may take to answer; one that is slow is no loss.
    """

    def __init__(
        self,
        dsn: Secret | str,
        venue: str,
        account: str,
        key: Secret | str | None = None,
        *,
        on_lost: Callable[[str], None],
        check_s: float = 2.0,
        timeout_s: float = 10.0,
    ) -> None:
        self.name = "database lock"
        self._dsn = dsn if isinstance(dsn, Secret) else Secret(dsn)
        self._subject = f"{venue}/{account}"
        self._locks = {name: _number(name) for name in lock_names(venue, account, key)}
        self._on_lost = on_lost
        self._check_s = check_s
        self._timeout_s = timeout_s
        self._unanswered = 0
        self._who = f"{_APPLICATION} {os.getpid()}@{socket.gethostname()}"[:50]
        self._who += f" {secrets.token_hex(4)}"
        self._connection: asyncpg.Connection | None = None
        self._gone = asyncio.Event()
        self._is_refused = False
        self.losses = 0

    @property
    def is_held(self) -> bool:
        """Whether we have it, as far as we know."""
        return self._connection is not None and not self._connection.is_closed()

    async def acquire(self) -> None:
        """Take the lock or refuse, without waiting for whoever has it.  Idempotent.

        Raises:
            UsageError: Another bot has it; the message says who.
            DatabaseUnavailableError: The database can't be reached now; `run` goes on trying.
        """
        if self.is_held:
            return
        connection = await self._connect()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._take(connection)
        except BaseException as error:
            await _close(connection)
            if isinstance(error, CUT):
                raise DatabaseUnavailableError(
                    f"{self._subject}: the database gave no lock ({_reason(error)}); retry later"
                ) from error
            raise
        self._gone.clear()
        connection.add_termination_listener(self._on_terminated)
        self._connection = connection

    async def run(self) -> None:
        """Watch the lock, and take it again once it is gone, until cancelled.

        `on_lost` is called from here, at most once for each loss.
        """
        while True:
            if self._connection is not None:  # also when it has just been closed on us
                await self._watch()
            else:
                await self._try_again()
            await self._pause()

    async def release(self) -> None:
        """Give the lock back.  Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.remove_termination_listener(self._on_terminated)
            await _close(connection)

    async def _take(self, connection: asyncpg.Connection) -> None:
        for name, number in self._locks.items():
            # Never the function that waits: it would keep a snapshot open and block migrations.
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", number):
                continue
            holder = await connection.fetchrow(_HOLDER, number)
            if holder is not None and holder["application_name"] == self._who:
                # Of a connection that broke without the server noticing.
                await connection.execute("SELECT pg_terminate_backend($1)", holder["pid"])
                raise _StillOursError(
                    f"{self._subject}: an earlier session of ours still has the lock; retry later"
                )
            raise UsageError(taken_message(name, _described(holder)))

    async def _watch(self) -> None:
        """Ask whether the lock stands; also a pooler in between may have taken it away."""
        connection = self._connection
        assert connection is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                ours = await connection.fetchval(_OURS)
        except CUT as error:
            if isinstance(error, TimeoutError) and not connection.is_closed():
                await self._on_silence()
                return
            reason = _reason(error)
        else:
            self._unanswered = 0
            if ours >= len(self._locks):
                return
            reason = "the session has it no more; connect without a pooler in transaction mode"
        await self._on_gone(reason)

    async def _on_silence(self) -> None:
        """Wait for a slow database, which still has our lock, but not for a dead connection."""
        self._unanswered += 1
        log.warning("database_lock.no_answer", subject=self._subject, times=self._unanswered)
        if self._unanswered >= _PATIENCE:
            self._unanswered = 0
            await self.release()

    async def _on_gone(self, reason: str) -> None:
        """Tell a server that went away from one that took our lock away.

        The first is an outage: its locks are gone for everybody, and the lock file still holds.
        """
        ended = f"{self._subject}: the database ended the session of the lock ({reason})"
        await self.release()
        try:
            await self.acquire()
        except _StillOursError:
            self._lose(ended)
        except DatabaseUnavailableError as error:
            log.warning("database_lock.unreachable", subject=self._subject, error=str(error))
        except UsageError as error:
            self._is_refused = True
            self._lose(f"{ended}; {error}")
        else:
            self._lose(ended)

    async def _try_again(self) -> None:
        """Take the lock after an outage; somebody else may have been quicker."""
        try:
            await self.acquire()
        except DatabaseUnavailableError:
            return
        except UsageError as error:
            if not self._is_refused:
                self._is_refused = True
                self._lose(str(error))
            return
        self._is_refused = False
        log.info("database_lock.taken", subject=self._subject)

    def _lose(self, reason: str) -> None:
        self.losses += 1
        log.error("database_lock.lost", subject=self._subject, reason=reason)
        self._on_lost(reason)

    def _on_terminated(self, connection: object) -> None:
        self._gone.set()

    async def _pause(self) -> None:
        """Wait for the next look; not at all when the connection has just ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._check_s):
                await self._gone.wait()
                self._gone.clear()

    async def _connect(self) -> asyncpg.Connection:
        try:
            return await asyncpg.connect(
                self._dsn.reveal(),
                timeout=self._timeout_s,
                server_settings={"application_name": self._who, **_KEEPALIVE},
            )
        except (*CUT, ValueError) as error:
            raise DatabaseUnavailableError(
                f"{self._subject}: no connection to the database for the lock ({_reason(error)}); "
                "see whether PostgreSQL runs: arbitrade db status"
            ) from None  # its traceback may show the address


class _StillOursError(DatabaseUnavailableError):
    """The server is there, and hasn't noticed yet that our connection isn't."""


def _described(holder: "asyncpg.Record | None") -> str | None:
    if holder is None:
        return None
    process = str(holder["application_name"]).removeprefix(_APPLICATION).strip() or "a session"
    place = holder["address"] or "a local socket"
    return f"process {process} from {place} since {holder['since']}"


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=2)
    except CUT:
        connection.terminate()


def _reason(error: BaseException) -> str:
    """Return what may be shown: errors of ours and of the server, but not an address."""
    if isinstance(error, ArbitradeError | asyncpg.PostgresError):
        return str(error)
    return getattr(error, "strerror", None) or type(error).__name__


def _number(name: str) -> int:
    """Return a lock's number for PostgreSQL: 64 bits with a sign."""
    digest = hashlib.sha256(f"arbitrade instance {name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
