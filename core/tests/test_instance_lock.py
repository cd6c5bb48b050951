"""F56: a second bot on an account refuses to start, wherever it comes from."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import structlog

from arbitrade.control.database_lock import DatabaseLock
from arbitrade.control.instance_lock import InstanceLock
from arbitrade.control.places import lock_folder
from arbitrade.errors import DatabaseUnavailableError, UsageError
from arbitrade.secrets import Secret
from arbitrade.testing.patience import PATIENCE_S, until
from arbitrade.testing.postgres import PostgresServer

KEY = Secret("an API key of nobody")

HOLDING = """
import sys, time
from pathlib import Path
from arbitrade.control.instance_lock import InstanceLock

lock = InstanceLock(Path(sys.argv[1]), "kraken", "main")
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_second_bot_is_told_who_has_the_account(tmp_path: Path) -> None:
    first, second = (InstanceLock(tmp_path, "kraken", "main") for _ in range(2))
    first.acquire()
    first.acquire()
    assert first.is_held
    with pytest.raises(UsageError) as caught:
        second.acquire()
    assert f"process {os.getpid()}" in str(caught.value)
    assert "stop that bot first" in str(caught.value)
    assert not second.is_held
    first.release()
    first.release()
    with second:
        assert second.is_held
    assert not second.is_held


def test_other_accounts_and_venues_are_free(tmp_path: Path) -> None:
    with (
        InstanceLock(tmp_path, "kraken", "main"),
        InstanceLock(tmp_path, "kraken", "second"),
        InstanceLock(tmp_path, "simulated", "main"),
        InstanceLock(tmp_path, "kraken", "../main"),
    ):
        assert all(path.parent == tmp_path for path in tmp_path.iterdir())


def test_one_key_under_two_names_is_noticed_and_nowhere_to_be_read(tmp_path: Path) -> None:
    with InstanceLock(tmp_path, "kraken", "main", KEY):
        with pytest.raises(UsageError, match=r"this API key .* as 'main'") as caught:
            InstanceLock(tmp_path, "kraken", "other name", KEY).acquire()
        written = str(caught.value) + "".join(
            path.name + path.read_text() for path in tmp_path.iterdir()
        )
        assert KEY.reveal() not in written
        # The name that was refused is free again for a key of its own.
        with InstanceLock(tmp_path, "kraken", "other name", Secret("another key of nobody")):
            pass


def test_lock_depends_on_neither_the_current_nor_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert lock_folder() == tmp_path / ".arbitrade" / "locks"
    (tmp_path / "elsewhere").mkdir()
    with InstanceLock(None, "kraken", "main"):
        monkeypatch.chdir(tmp_path / "elsewhere")
        monkeypatch.setenv("ARBITRADE_RUNTIME__FOLDER", str(tmp_path / "elsewhere"))
        with pytest.raises(UsageError, match="already traded"):
            InstanceLock(None, "kraken", "main").acquire()


def test_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(UsageError, match=f"process {holder.pid} "):
            InstanceLock(tmp_path, "kraken", "main").acquire()
        holder.kill()
        holder.wait()
        with InstanceLock(tmp_path, "kraken", "main") as lock:
            assert lock.is_held


def test_holder_s_note_that_is_damaged_does_not_hide_the_lock(tmp_path: Path) -> None:
    with InstanceLock(tmp_path, "kraken", "main"):
        (tmp_path / "kraken-main.json").write_text("{")
        with pytest.raises(UsageError, match="another process"):
            InstanceLock(tmp_path, "kraken", "main").acquire()


def test_without_a_place_for_locks_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="local disk"):
        InstanceLock(tmp_path / "file", "kraken", "main").acquire()


# ── the advisory lock ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def dsn(postgres_server: PostgresServer) -> Secret:
    """Return a database of the test's own."""
    return postgres_server.create()


@asynccontextmanager
async def watching(lock: DatabaseLock) -> AsyncIterator[None]:
    """Run a lock's watch, and give the lock back."""
    task = asyncio.create_task(lock.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await lock.release()


def make_lock(
    dsn: Secret, lost: list[str], account: str = "main", key: Secret | None = None
) -> DatabaseLock:
    """Return a lock that looks often."""
    return DatabaseLock(dsn, "kraken", account, key, on_lost=lost.append, check_s=0.01)


async def end_sessions(dsn: Secret) -> None:
    """Have the server end the sessions that hold locks."""
    admin = await asyncpg.connect(dsn.reveal())
    try:
        await admin.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'arbitrade-lock%' AND datname = current_database()"
        )
    finally:
        await admin.close()


async def test_second_bot_on_the_database_is_told_who_has_the_account(dsn: Secret) -> None:
    lost: list[str] = []
    first, second = make_lock(dsn, lost), make_lock(dsn, lost)
    await first.acquire()
    await first.acquire()
    assert first.is_held
    with pytest.raises(UsageError, match=f"process {os.getpid()}@"):
        await second.acquire()
    assert not second.is_held
    other = make_lock(dsn, lost, "other")
    await other.acquire()
    await other.release()
    await first.release()
    assert not first.is_held
    await second.acquire()
    await second.release()
    assert lost == []


async def test_one_key_under_two_names_collides_on_the_database(dsn: Secret) -> None:
    first, second = make_lock(dsn, [], "main", KEY), make_lock(dsn, [], "other", KEY)
    await first.acquire()
    with pytest.raises(UsageError, match="this API key"):
        await second.acquire()
    await first.release()
    await second.acquire()
    await second.release()


async def test_lock_of_a_killed_process_is_free_on_the_database(dsn: Secret) -> None:
    code = (
        "import asyncio, sys\n"
        "from arbitrade.control.database_lock import DatabaseLock\n"
        "async def main():\n"
        "    lock = DatabaseLock(sys.argv[1], 'kraken', 'main', on_lost=print)\n"
        "    await lock.acquire()\n"
        "    print('held', flush=True)\n"
        "    await asyncio.sleep(3600)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, dsn.reveal()]
    holder = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert (await holder.stdout.readline()).strip() == b"held"
    lock = make_lock(dsn, [])
    with pytest.raises(UsageError):
        await lock.acquire()
    holder.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    await holder.wait()
    async with asyncio.timeout(PATIENCE_S):
        while not lock.is_held:  # the server notices a moment later
            try:
                await lock.acquire()
            except UsageError:
                await asyncio.sleep(0.01)
    await lock.release()


async def test_lock_that_is_lost_while_the_server_goes_on_is_told_once(dsn: Secret) -> None:
    lost: list[str] = []
    lock = make_lock(dsn, lost)
    await lock.acquire()
    async with watching(lock):
        await end_sessions(dsn)
        await until(lambda: bool(lost) and lock.is_held)  # taken again, but somebody must look
        assert "ended the session" in lost[0]
        assert lock.losses == 1


async def test_lock_that_another_bot_has_by_now_is_lost(dsn: Secret) -> None:
    lost: list[str] = []
    lock, other = make_lock(dsn, lost), make_lock(dsn, [])
    await lock.acquire()
    await end_sessions(dsn)
    await until(lambda: not lock.is_held)
    await other.acquire()
    async with watching(lock):
        await until(lambda: bool(lost))
        assert "already traded by process" in lost[0]
        assert not lock.is_held
        await other.release()
        await until(lambda: lock.is_held)
        assert lock.losses == 1


async def test_unlocking_behind_our_back_is_noticed(dsn: Secret) -> None:
    """As a pooler does that gives a session to somebody else after each transaction."""
    lost: list[str] = []
    lock = make_lock(dsn, lost)
    await lock.acquire()
    assert lock._connection is not None
    await lock._connection.execute("SELECT pg_advisory_unlock_all()")
    async with watching(lock):
        await until(lambda: bool(lost))
        assert "pooler" in lost[0]


def events(logged: list[MutableMapping[str, Any]]) -> list[str]:
    """Return the names of log events."""
    return [entry["event"] for entry in logged]


async def test_server_that_went_away_is_no_loss_and_the_lock_is_taken_when_it_is_back(
    postgres_server: PostgresServer, dsn: Secret
) -> None:
    """What keeps others out meanwhile is the lock file; a restart also ends their sessions."""
    admin = await asyncpg.connect(postgres_server.dsn_of("postgres").reveal())
    name = dsn.reveal().rpartition("/")[2]
    lost: list[str] = []
    lock = make_lock(dsn, lost)
    await lock.acquire()
    try:
        with structlog.testing.capture_logs() as logged:
            async with watching(lock):
                # To this database alone, because other tests need the server.
                await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                await admin.fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                    name,
                )
                await until(lambda: "database_lock.unreachable" in events(logged))
                assert not lock.is_held
                await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
                await until(lambda: lock.is_held)
                assert lost == []
    finally:
        await admin.close()


class Wire:
    """A way to the server that can be cut without either end noticing."""

    def __init__(self, dsn: Secret) -> None:
        self._there = urlsplit(dsn.reveal())
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def dsn(self) -> Secret:
        """The same database, by way of the wire."""
        port = self._server.sockets[0].getsockname()[1]
        there = f"{self._there.username}:{self._there.password}@127.0.0.1:{port}"
        return Secret(urlunsplit(self._there._replace(netloc=there)))

    def cut(self) -> None:
        """Let nothing through any more."""
        self._whole.clear()

    def mend(self) -> None:
        """Let new connections through; those that were there stay dead."""
        for task in self._tasks:
            task.cancel()
        self._whole.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._there.hostname, self._there.port)
        self._writers += [writer, there[1]]
        for source, target in ((reader, there[1]), (there[0], writer)):
            self._tasks.append(asyncio.create_task(self._carry(source, target)))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            await self._whole.wait()
            target.write(piece)
        target.close()


async def test_silent_server_is_no_loss_and_our_own_old_session_gives_way(dsn: Secret) -> None:
    lost: list[str] = []
    async with Wire(dsn) as wire:
        lock = DatabaseLock(
            wire.dsn, "kraken", "main", on_lost=lost.append, check_s=0.01, timeout_s=1.0
        )
        with structlog.testing.capture_logs() as logged:
            async with watching(lock):
                await until(lambda: lock.is_held)
                wire.cut()
                await until(lambda: "database_lock.no_answer" in events(logged))
                assert lock.is_held  # slow is not lost
                await until(lambda: not lock.is_held)
                # The server hasn't noticed: nobody else gets the lock, and neither do we at first.
                with pytest.raises(UsageError, match="already traded by process"):
                    await make_lock(dsn, []).acquire()
                wire.mend()
                await until(lambda: lock.is_held)
                assert lost == []


async def test_without_a_database_it_says_so_and_takes_the_lock_later() -> None:
    lost: list[str] = []
    nowhere = Secret("postgresql://somebody:very-private@127.0.0.1:1/arbitrade")
    lock = make_lock(nowhere, lost)
    with pytest.raises(DatabaseUnavailableError, match="arbitrade db status") as caught:
        await lock.acquire()
    assert "very-private" not in str(caught.value)
    assert not lock.is_held
    async with watching(lock):
        await asyncio.sleep(0)
    assert lost == []
