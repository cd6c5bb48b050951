"""Which server is meant, what goes through the connections exactly, and what breaks how."""

import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import asyncpg
import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from arbitrade.config import DatabaseSettings, RuntimeSettings, Settings
from arbitrade.config.load import load_settings
from arbitrade.errors import ConfigError, DatabaseError, DatabaseUnavailableError, SchemaError
from arbitrade.secrets import Secret
from arbitrade.store import database as database_module
from arbitrade.store.database import connect, open_database
from arbitrade.store.embedded.account import server_account
from arbitrade.store.embedded.binaries import find_binaries
from arbitrade.store.embedded.process import Cluster
from arbitrade.store.target import embedded_folder, server_dsn, shown
from arbitrade.testing.patience import PATIENCE_S
from arbitrade.testing.postgres import core_series

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
PASSWORD = "p@ss/word:?#%"
QUOTED = "p%40ss%2Fword%3A%3F%23%25"

in_one_database = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)


@pytest.fixture
def place():
    folder = Path(tempfile.mkdtemp(prefix="arbitrade-database-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def of(dsn: str | None = None, **fields) -> Settings:
    secret = None if dsn is None else Secret(dsn)
    return Settings(database=DatabaseSettings(dsn=secret, **fields))


# ── which one is meant ───────────────────────────────────────────────────────────────────────────


def test_without_any_address_our_own_server_is_meant():
    assert server_dsn(Settings(), {}) is None
    assert server_dsn(Settings(), {"PG_HOST": "", "PG_PASSWORD": ""}) is None


def test_an_address_in_the_settings_beats_the_variables():
    dsn = "postgresql://me:secret@db.example/bot"
    assert server_dsn(of(dsn), {"PG_HOST": "elsewhere"}).reveal() == dsn


def test_the_environment_beats_the_files_and_the_variables(tmp_path):
    (tmp_path / ".secrets.toml").write_text('[database]\ndsn = "postgresql://file/bot"\n')
    (tmp_path / ".secrets.toml").chmod(0o600)
    environ = {"ARBITRADE_DATABASE__DSN": "postgresql://environment/bot", "PG_HOST": "variable"}
    loaded = load_settings(folder=tmp_path, environ=environ)
    assert server_dsn(loaded, environ).reveal() == "postgresql://environment/bot"
    without = load_settings(folder=tmp_path, environ={"PG_HOST": "variable"})
    assert server_dsn(without, {"PG_HOST": "variable"}).reveal() == "postgresql://file/bot"


def test_an_address_in_a_store_of_secrets_counts_as_well():
    stored = {"database.dsn": Secret("postgresql://stored/bot")}
    found = server_dsn(Settings(find_secret=stored.get), {"PG_HOST": "variable"})
    assert found.reveal() == "postgresql://stored/bot"


def test_an_address_in_the_open_is_refused(tmp_path):
    (tmp_path / "settings.toml").write_text('[database]\ndsn = "postgresql://file/bot"\n')
    with pytest.raises(ConfigError, match=r"database\.dsn: a secret in the open"):
        load_settings(folder=tmp_path, environ={})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {
                "PG_HOST": "db.example",
                "PG_PORT": "6543",
                "PG_USER": "me",
                "PG_PASSWORD": PASSWORD,
                "PG_DATABASE": "bot",
            },
            f"postgresql://me:{QUOTED}@db.example:6543/bot",
        ),
        ({"PG_HOST": "db.example"}, "postgresql://db.example:5432/"),
        ({"PG_DATABASE": "bot", "PG_USER": "me"}, "postgresql://me@localhost:5432/bot"),
        ({"PG_HOST": "::1", "PG_DATABASE": "bot"}, "postgresql://[::1]:5432/bot"),
        (
            {"PG_HOST": "/run/postgresql", "PG_USER": "me", "PG_DATABASE": "bot"},
            "postgresql://me@/bot?host=/run/postgresql&port=5432",
        ),
    ],
)
def test_the_variables_name_a_server(environ, expected):
    assert server_dsn(Settings(), environ).reveal() == expected


def test_the_password_may_be_in_a_file(tmp_path):
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "password").chmod(0o600)
    environ = {"PG_HOST": "db", "PG_USER": "me", "PG_PASSWORD_FILE": str(tmp_path / "password")}
    assert server_dsn(Settings(), environ).reveal() == f"postgresql://me:{QUOTED}@db:5432/"
    with pytest.raises(ConfigError, match="both set"):
        server_dsn(Settings(), {**environ, "PG_PASSWORD": "another"})
    with pytest.raises(ConfigError, match="can't read"):
        server_dsn(Settings(), {**environ, "PG_PASSWORD_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize("port", ["x", "0", "70000", "-1", "5432 "])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(ConfigError, match="PG_PORT"):
        server_dsn(Settings(), {"PG_PORT": port})


@pytest.mark.parametrize("dsn", ["mysql://me:canary@db/bot", "canary", "host=db password=canary"])
def test_what_is_no_address_is_refused_without_showing_it(dsn):
    with pytest.raises(ConfigError) as caught:
        server_dsn(of(dsn), {})
    assert "database.dsn" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://me:canary@db:5432/bot", "postgresql://me@db:5432/bot"),
        ("postgresql://db/bot", "postgresql://db/bot"),
        ("postgresql://me:can:ary@a:1,b:2/bot", "postgresql://me@a:1,b:2/bot"),
        (
            "postgresql:///bot?host=/run/pg&password=canary&sslmode=require",
            "postgresql:///bot?host=/run/pg&sslmode=require",
        ),
    ],
)
def test_an_address_is_shown_without_its_password(dsn, expected):
    assert shown(dsn) == expected


def test_our_own_server_is_where_the_settings_say(monkeypatch):
    monkeypatch.setenv("HOME", "/mine")
    monkeypatch.setenv("USERPROFILE", "/mine")
    assert embedded_folder(Settings()) == Path("/mine/.arbitrade/postgres")
    runtime = Settings(runtime=RuntimeSettings(folder="/srv/bot"))
    assert embedded_folder(runtime) == Path("/srv/bot/postgres")
    assert embedded_folder(of(folder="~/pg")) == Path("/mine/pg")
    assert embedded_folder(of(folder="~/pg"), Path("/other")) == Path("/other")


# ── what goes through ────────────────────────────────────────────────────────────────────────────


amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)


@in_one_database
@given(st.lists(amounts, min_size=1, max_size=20))
@example([Decimal("0.00000001"), Decimal("-0"), Decimal("1E+3"), Decimal("1.500")])
@example([Decimal("12345678901234567890.123456789012345678901234567890")])
async def test_money_comes_back_to_the_last_digit(postgres_server, amounts):
    connection = await asyncpg.connect(postgres_server.dsn_of("postgres").reveal())
    try:
        back = await connection.fetchval("SELECT $1::numeric[]", amounts)
    finally:
        await connection.close()
    assert back == amounts


async def test_money_copied_in_bulk_comes_back_to_the_last_digit(database):
    rows = [(Decimal(n) / 3, {"n": str(n)}, datetime(2026, 1, n, tzinfo=UTC)) for n in range(1, 9)]
    async with database.pool.acquire() as connection:
        await connection.execute("CREATE TABLE bulk (amount numeric, extra jsonb, at timestamptz)")
        await connection.copy_records_to_table("bulk", records=rows)
        assert [tuple(row) for row in await connection.fetch("SELECT * FROM bulk")] == rows


async def test_times_are_aware_and_in_utc_to_the_microsecond(database):
    at = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    back = await database.pool.fetchval("SELECT $1::timestamptz", at)
    assert back == at
    assert back.tzinfo is UTC
    assert await database.pool.fetchval("SHOW timezone") == "UTC"


@pytest.mark.parametrize("kind", ["jsonb", "json"])
async def test_json_goes_in_and_comes_out_as_objects(database, kind):
    value = {"legs": [{"symbol": "BTC/USD", "qty": "0.1"}], "none": None, "größe": True}
    assert await database.pool.fetchval(f"SELECT $1::{kind}", value) == value
    field = f"SELECT ($1::{kind}) -> 'legs' -> 0 ->> 'qty'"
    assert await database.pool.fetchval(field, value) == "0.1"


async def test_a_fresh_database_is_empty_and_migrated(database):
    await database.check_schema(core_series())
    assert await database.pool.fetchval("SELECT count(*) FROM run") == 0
    assert not database.is_embedded
    assert "@127.0.0.1:" in database.dsn
    assert database.secret_dsn.reveal() not in database.dsn


async def test_what_one_test_wrote_no_other_sees(postgres_server):
    async with postgres_server.database() as one, postgres_server.database() as two:
        await one.pool.execute("CREATE TABLE mine ()")
        assert await two.pool.fetchval("SELECT to_regclass('mine')") is None
        assert one.dsn != two.dsn


async def test_long_work_has_a_session_without_a_time_limit(postgres_server):
    dsn = postgres_server.create()
    hasty = of(command_timeout_s=0.5)
    async with await connect(dsn, hasty) as database:
        with pytest.raises(TimeoutError):
            await database.pool.execute("SELECT pg_sleep(600)")
        async with database.session() as session:
            await session.execute("SELECT pg_sleep(0.7)")
        assert {one.namespace for one in await database.migrate(core_series())} == {"core"}
    postgres_server.drop(dsn)


async def test_a_schema_that_is_behind_is_told(postgres_server):
    async with postgres_server.database(()) as empty:
        with pytest.raises(SchemaError, match="arbitrade db migrate"):
            await empty.check_schema(core_series())


# ── what breaks ──────────────────────────────────────────────────────────────────────────────────


async def test_a_server_that_is_not_there_is_unavailable():
    dsn = "postgresql://me:canary@127.0.0.1:1/bot"
    with pytest.raises(DatabaseUnavailableError, match=r"postgresql://me@127\.0\.0\.1:1/bot") as e:
        await open_database(of(dsn), environ={})
    assert "canary" not in str(e.value)


async def test_a_wrong_password_and_a_missing_database_are_told_apart(postgres_server):
    right = postgres_server.dsn_of("postgres").reveal()
    user, _, rest = right.partition("@")
    with pytest.raises(DatabaseError, match="refuses the user"):
        await open_database(of(f"{user}wrong@{rest}"), environ={})
    with pytest.raises(DatabaseError, match="has no such database"):
        await open_database(of(postgres_server.dsn_of("nowhere").reveal()), environ={})


async def test_a_server_that_is_too_old_is_refused(postgres_server, monkeypatch):
    monkeypatch.setattr(database_module, "_OLDEST_VERSION", 990_000)
    with pytest.raises(DatabaseError, match=r"is PostgreSQL 18; 14 or later is needed"):
        await open_database(of(postgres_server.dsn_of("postgres").reveal()), environ={})


async def test_a_cancelled_open_leaves_no_server(place):
    opening = asyncio.ensure_future(open_database(Settings(), folder=place / "pg", environ={}))
    await asyncio.wait([opening], timeout=0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert own_server(place / "pg") is None


async def test_our_own_server_is_started_and_stopped_with_the_database(place):
    async with await open_database(Settings(), folder=place / "pg", environ={}) as database:
        assert database.is_embedded
        assert database.dsn.startswith("postgresql://arbitrade@127.0.0.1:")
        assert await database.pool.fetchval("SELECT 1") == 1
    assert own_server(place / "pg") is None


async def test_an_own_server_that_was_killed_is_revived_and_the_pool_reconnects(place):
    async with await open_database(Settings(), folder=place / "pg", environ={}) as database:
        await database.pool.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        process = psutil.Process(own_server(place / "pg").pid)
        process.send_signal(KILL)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            psutil.wait_procs([process], timeout=0.02)
        await database.revive()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    answer = await database.pool.fetchval("SELECT answer FROM kept")
                    break
                except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
                    continue  # a connection of before; the pool replaces it
        assert answer == 42
        await database.revive()
    assert own_server(place / "pg") is None


async def test_closing_does_not_wait_for_ever_for_a_busy_connection(postgres_server, monkeypatch):
    monkeypatch.setattr(database_module, "_CLOSE_TIMEOUT_S", 0.05)
    dsn = postgres_server.create()
    database = await connect(dsn, Settings())
    connection = await database.pool.acquire()
    await database.close()
    with pytest.raises(asyncpg.InterfaceError):
        await connection.fetchval("SELECT 1")
    postgres_server.drop(dsn)


# ── the fixtures themselves ──────────────────────────────────────────────────────────────────────


SESSION = """
import sys
from arbitrade.testing.postgres import PostgresServer

server = PostgresServer()
print(server.embedded.folder, flush=True)
sys.stdin.read()
"""


def test_a_test_session_that_is_killed_leaves_no_server_and_no_files():
    session = subprocess.Popen(
        [sys.executable, "-c", SESSION], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = Path(session.stdout.readline().strip())
    server = psutil.Process(own_server(folder).pid)
    session.send_signal(KILL)
    session.communicate()
    # Somebody else cleans up; the time limit of the test is that of the wait.
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        psutil.wait_procs([server], timeout=0.05)
    while folder.exists():
        psutil.wait_procs([server], timeout=0.05)
    assert not folder.exists()


def own_server(folder: Path):
    data = folder / "data"
    return Cluster(data, find_binaries(), server_account(data)).running()
