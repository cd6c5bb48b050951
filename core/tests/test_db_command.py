"""`arbitrade db` on a real server, and what `doctor` says of it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import asyncpg
import psutil
import pytest
from click.testing import CliRunner

from arbitrade import MigrationSeries, hookimpl
from arbitrade.cli import CommandLine, arbitrade
from arbitrade.config import Settings
from arbitrade.errors import DatabaseError
from arbitrade.plugins import PluginRegistry
from arbitrade.secrets import Secret
from arbitrade.store.backup import back_up, restore
from arbitrade.store.clients import ClientTarget, client_program
from arbitrade.store.database import connect
from arbitrade.store.embedded.account import server_account
from arbitrade.store.embedded.binaries import find_binaries
from arbitrade.store.embedded.process import Cluster
from arbitrade.testing.postgres import core_series

VARIABLES = ("HOST", "PORT", "USER", "PASSWORD", "PASSWORD_FILE", "DATABASE")
RUN = """
    INSERT INTO run (id, account, mode, venue, started_at, version, settings_digest)
    VALUES ($1, 'main', 'paper', 'kraken', now(), '0.1', repeat('0', 64))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs `arbitrade …` with these plugins, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARBITRADE_CONFIG", raising=False)
    monkeypatch.setenv("ARBITRADE_SECRETS__KEYRING", "false")
    for name in VARIABLES:
        monkeypatch.delenv(f"PG_{name}", raising=False)

    def run(*arguments, plugins=()):
        line = CommandLine()
        line.registry = PluginRegistry.of(dict(plugins))
        return CliRunner().invoke(arbitrade, arguments, obj=line)

    return run


@pytest.fixture
def server(postgres_server, monkeypatch):
    """Return the address of an empty database, which the settings name."""
    dsn = postgres_server.create()
    monkeypatch.setenv("ARBITRADE_DATABASE__DSN", dsn.reveal())
    yield dsn.reveal()
    postgres_server.drop(dsn)


@pytest.fixture
def state(monkeypatch):
    """Return a folder for a server of our own, that other accounts can get to."""
    folder = Path(tempfile.mkdtemp(prefix="arbitrade-state-"))
    folder.chmod(0o755)
    monkeypatch.setenv("ARBITRADE_RUNTIME__FOLDER", str(folder))
    monkeypatch.delenv("ARBITRADE_DATABASE__DSN", raising=False)
    yield folder
    if (folder / "postgres" / "data").exists():
        own_cluster(folder).stop()
    shutil.rmtree(folder)


def own_cluster(state: Path) -> Cluster:
    data = state / "postgres" / "data"
    return Cluster(data, find_binaries(), server_account(data))


async def ask(dsn: str, query: str, *arguments):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


# The commands have an event loop of their own, so the tests that call them have none.


def run_sync(work):
    return asyncio.run(work)


def test_migrate_says_what_it_applied_and_then_that_there_is_nothing_to_do(run, server):
    first = run("db", "migrate")
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[0].startswith("core 0001_initial  ")
    assert run("db", "migrate").stdout == "Nothing to do; the tables are up to date.\n"
    assert json.loads(run("db", "migrate", "--json").stdout) == {"applied": []}


def test_migrate_applies_the_series_of_plugins_too(run, server, tmp_path):
    (tmp_path / "bell").mkdir()
    (tmp_path / "bell" / "0001_bells.sql").write_text("CREATE TABLE bell ()")

    class Bell:
        @hookimpl
        def arbitrade_register_migrations(self):
            return [MigrationSeries("bell", tmp_path / "bell")]

    done = json.loads(run("db", "migrate", "--json", plugins={"bell": Bell()}).stdout)["applied"]
    assert [(one["namespace"], one["version"]) for one in done][-1] == ("bell", 1)
    series = json.loads(run("db", "status", "--json", plugins={"bell": Bell()}).stdout)["series"]
    assert {one["namespace"]: one["applied"] for one in series}["bell"] == 1


def test_status_of_an_empty_database_ends_with_1_and_the_next_step(run, server):
    result = run("db", "status", "--json")
    assert result.exit_code == 1
    assert "run `arbitrade db migrate`" in result.stderr
    found = json.loads(result.stdout)
    assert found["tables"] == []
    assert found["series"][0]["pending"] == len(core_series()[0].files())


def test_status_tells_server_size_schema_and_rows(run, server):
    run("db", "migrate")
    run_sync(ask(server, RUN, uuid.uuid4()))
    result = run("db", "status", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["is_embedded"] is False
    assert found["folder"] is None
    assert re.fullmatch(r"\d+(\.\d+)+", found["server_version"])
    assert found["bytes"] > 1_000_000
    assert {one["name"]: one["rows"] for one in found["tables"]}["run"] == 1
    assert run("db", "status").stdout.count("\n  run ") == 1


def test_status_of_tables_a_later_version_made_wants_an_upgrade(run, server):
    run("db", "migrate")
    later = "INSERT INTO schema_migration VALUES ('core', 999, 'later', repeat('0', 64), now(), 1)"
    run_sync(ask(server, later))
    result = run("db", "status")
    assert result.exit_code == 1
    assert "upgrade Arbitrade" in result.stderr
    assert run("db", "migrate").exit_code == 1


def test_no_output_has_the_password(run, server):
    password = re.search(r":([^:@/]+)@", server)[1]
    for arguments in (("status",), ("status", "--json"), ("migrate",), ("backup", "a.dump")):
        result = run("db", *arguments)
        assert password not in result.output
    assert password not in run("config", "show").output


def test_a_server_that_is_away_is_one_line(run, monkeypatch):
    monkeypatch.setenv("PG_HOST", "127.0.0.1")
    monkeypatch.setenv("PG_PORT", "1")
    monkeypatch.setenv("PG_PASSWORD", "canary-canary")
    result = run("db", "status")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: postgresql://127.0.0.1:1/: PostgreSQL can't be reached")
    assert "canary" not in result.output


# ── backup and restore ───────────────────────────────────────────────────────────────────────────


def test_a_backup_brings_back_what_was_there(run, server):
    run("db", "migrate")
    kept, later = uuid.uuid4(), uuid.uuid4()
    run_sync(ask(server, RUN, kept))
    done = run("db", "backup", "bot.dump", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"file": "bot.dump", "bytes": Path("bot.dump").stat().st_size}
    run_sync(ask(server, RUN, later))
    run_sync(ask(server, "CREATE TABLE extra AS SELECT 1"))
    refused = run("db", "restore", "bot.dump")
    assert refused.exit_code == 2
    assert "is not empty" in refused.stderr
    assert run_sync(ask(server, "SELECT count(*) FROM run")) == 2
    restored = run("db", "restore", "bot.dump", "--force")
    assert restored.exit_code == 0, restored.output
    assert run_sync(ask(server, "SELECT array_agg(id) FROM run")) == [kept]
    assert run_sync(ask(server, "SELECT to_regclass('extra')")) is None
    assert run("db", "status").exit_code == 0
    # And what is in it goes on working: types, functions, partitions.
    assert run("db", "migrate").exit_code == 0


def test_a_backup_can_be_restored_into_an_empty_or_a_fresh_database(run, server):
    run("db", "migrate")
    run_sync(ask(server, RUN, uuid.uuid4()))
    run("db", "backup", "bot.dump")
    run_sync(ask(server, "DROP SCHEMA public CASCADE"))
    run_sync(ask(server, "CREATE SCHEMA public"))
    assert run("db", "restore", "bot.dump").exit_code == 0
    assert run_sync(ask(server, "SELECT count(*) FROM run")) == 1
    run_sync(ask(server, "DROP SCHEMA public CASCADE"))
    run_sync(ask(server, "CREATE SCHEMA public"))
    run("db", "migrate")
    assert run("db", "restore", "bot.dump").exit_code == 0
    assert run_sync(ask(server, "SELECT count(*) FROM run")) == 1


def test_a_backup_is_for_us_alone_and_replaces_nothing_unasked(run, server):
    run("db", "migrate")
    run("db", "backup", "bot.dump")
    before = Path("bot.dump").read_bytes()
    if os.name == "posix":
        assert Path("bot.dump").stat().st_mode & 0o777 == 0o600
    refused = run("db", "backup", "bot.dump")
    assert refused.exit_code == 2
    assert "give --force" in refused.stderr
    assert Path("bot.dump").read_bytes() == before
    assert run("db", "backup", "bot.dump", "--force").exit_code == 0
    assert [path.name for path in Path().glob("bot.dump*")] == ["bot.dump"]


def test_a_backup_that_was_cut_short_or_changed_is_refused(run, server):
    run("db", "migrate")
    run_sync(ask(server, RUN, uuid.uuid4()))
    run("db", "backup", "bot.dump")
    whole = Path("bot.dump").read_bytes()
    broken = [whole[: len(whole) * part // 10] for part in range(1, 10)]
    broken += [whole[:-1], whole + b"x", whole[:5000] + b"\0" + whole[5001:], b"", b"no backup"]
    for content in broken:
        Path("broken.dump").write_bytes(content)
        result = run("db", "restore", "broken.dump", "--force")
        assert result.exit_code == 2
        assert "was cut short or changed" in result.stderr
        assert run_sync(ask(server, "SELECT count(*) FROM run")) == 1
    assert run("db", "restore", "missing.dump").exit_code == 2


async def test_a_restore_that_fails_in_the_middle_changes_nothing(
    postgres_server, tmp_path, monkeypatch
):
    async with postgres_server.database() as source, postgres_server.database() as target:
        await source.pool.execute("CREATE TABLE zebra (stripes int)")
        await source.pool.execute("INSERT INTO zebra SELECT generate_series(1, 9)")
        await back_up(source, tmp_path / "bot.dump")
        await target.pool.execute(RUN, uuid.uuid4())
        await target.pool.execute("CREATE SCHEMA other")
        # The zebras come last, when everything else has been dropped and made again.
        await target.pool.execute(
            "CREATE FUNCTION other.refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF to_regclass('public.zebra') IS NOT NULL THEN RAISE 'no zebras'; END IF; "
            "END $$"
        )
        await target.pool.execute(
            "CREATE EVENT TRIGGER no_zebra ON ddl_command_end EXECUTE FUNCTION other.refuse()"
        )
        with pytest.raises(DatabaseError, match=r"nothing was changed: .*no zebras"):
            await restore(target, tmp_path / "bot.dump", force=True)
        assert await target.pool.fetchval("SELECT count(*) FROM run") == 1
        await target.check_schema(core_series())


async def test_a_restore_is_refused_while_a_bot_is_connected(postgres_server, tmp_path):
    dsn = postgres_server.create(core_series())
    async with await connect(dsn, Settings()) as mine:
        await back_up(mine, tmp_path / "bot.dump")
        async with await connect(dsn, Settings()):
            with pytest.raises(DatabaseError, match=r"in use by 1 session.*stop the bot"):
                await restore(mine, tmp_path / "bot.dump", force=True)
    postgres_server.drop(dsn)


# ── psql ─────────────────────────────────────────────────────────────────────────────────────────


def main(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "arbitrade", "db", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_shell_hands_its_arguments_to_psql_and_its_exit_code_back(run, server):
    done = main("shell", "--", "-At", "-c", "SELECT 40 + 2, current_setting('application_name')")
    assert (done.stdout, done.returncode) == ("42|arbitrade-shell\n", 0)
    failed = main("shell", "--", "-v", "ON_ERROR_STOP=1", "-c", "SELECT nothing")
    assert failed.returncode == 1
    assert "nothing" in failed.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's arguments")
def test_the_password_is_among_nobodys_arguments(run, server):
    password = re.search(r":([^:@/]+)@", server)[1]
    command = [sys.executable, "-m", "arbitrade", "db", "shell", "--", "-c", r"\! cat"]
    shell = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        me = psutil.Process(shell.pid)
        while not any(child.name() == "cat" for child in me.children(recursive=True)):
            assert shell.poll() is None
            psutil.wait_procs([me], timeout=0.02)
        family = [me, *me.children(recursive=True)]
        assert any("psql" in one.name() for one in family)
        assert all(password not in " ".join(one.cmdline()) for one in family)
    finally:
        shell.communicate()


@pytest.mark.parametrize(
    ("dsn", "address", "password"),
    [
        ("postgresql://me:p%40ss@db:1/bot", "postgresql://me@db:1/bot", "p@ss"),
        ("postgresql://me@/bot?host=/run/pg", "postgresql://me@/bot?host=/run/pg", None),
        (
            "postgresql://db/bot?password=x%20y&sslmode=require",
            "postgresql://db/bot?sslmode=require",
            "x y",
        ),
    ],
)
def test_programs_get_the_password_by_the_environment(dsn, address, password, monkeypatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    target = ClientTarget.of(Secret(dsn), "test")
    assert target.address == address
    assert target.environment.get("PGPASSWORD") == password
    assert "p@ss" not in repr(target)


def test_a_program_that_is_nowhere_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatabaseError, match="pg_nothing: is not installed"):
        client_program("pg_nothing")


# ── a server of our own ──────────────────────────────────────────────────────────────────────────


def test_looking_at_a_database_of_our_own_that_was_never_used_makes_none(run, state):
    for command in (("status",), ("backup", "a.dump")):
        result = run("db", *command)
        assert result.exit_code == 1
        assert "no database yet" in result.stderr
    assert list(state.iterdir()) == []


def test_a_database_of_our_own_is_made_by_migrate_and_no_server_stays(run, state):
    assert run("db", "migrate").exit_code == 0
    assert own_cluster(state).running() is None
    result = run("db", "status", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["is_embedded"] is True
    assert found["folder"] == str(state / "postgres")
    assert own_cluster(state).running() is None
    assert "embedded, in" in run("db", "status").stdout


def database_line(result) -> dict[str, str]:
    (found,) = (one for one in json.loads(result.stdout)["checks"] if one["check"] == "database")
    return found


def test_doctor_starts_and_makes_nothing(run, state):
    found = database_line(run("doctor", "--json"))
    assert found["health"] == "good"
    assert "is made at first use" in found["text"]
    assert list(state.iterdir()) == []
    run("db", "migrate")
    found = database_line(run("doctor", "--json"))
    assert found["health"] == "good"
    assert "not running now" in found["text"]
    assert own_cluster(state).running() is None
    (state / "postgres" / "data" / "PG_VERSION").write_text("17\n")
    found = database_line(run("doctor", "--json"))
    assert found["health"] == "broken"
    assert "made by PostgreSQL 17" in found["text"]


def test_doctor_looks_at_a_server_of_our_own_that_runs(run, state):
    run("db", "migrate")
    cluster = own_cluster(state)
    cluster.start()
    try:
        found = database_line(run("doctor", "--json"))
        assert found["health"] == "good"
        assert "running, tables up to date" in found["text"]
    finally:
        cluster.stop()


def test_doctor_asks_the_server_that_is_named(run, server, monkeypatch):
    found = database_line(run("doctor", "--json"))
    assert found["health"] == "note"
    assert "run `arbitrade db migrate`" in found["text"]
    run("db", "migrate")
    assert database_line(run("doctor", "--json"))["health"] == "good"
    monkeypatch.setenv("ARBITRADE_DATABASE__DSN", "postgresql://me:canary@127.0.0.1:1/bot")
    found = database_line(run("doctor", "--json"))
    assert found["health"] == "broken"
    assert "can't be reached" in found["text"]
    assert "canary" not in found["text"]


@pytest.mark.parametrize("command", ["status", "migrate", "shell", "backup", "restore"])
def test_every_command_of_db_has_help_with_examples(run, command):
    result = run("db", command, "--help")
    assert result.exit_code == 0
    assert f"arbitrade db {command}" in result.stdout
