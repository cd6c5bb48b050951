"""The runner of migrations on a real server: once each, whole or not at all."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from arbitrade import MigrationSeries
from arbitrade.errors import DatabaseError, DatabaseUnavailableError, PluginError, SchemaError
from arbitrade.store import schema
from arbitrade.store.schema import applied, check_schema, migrate, pending
from arbitrade.testing.postgres import core_series

BELLS = "CREATE TABLE bell (id int PRIMARY KEY);\nINSERT INTO bell VALUES (1), (2);\n"
TUNES = "ALTER TABLE bell ADD COLUMN tune text NOT NULL DEFAULT 'ding';\n"


@pytest.fixture
async def dsn(postgres_server) -> AsyncIterator[str]:
    """Address of a database with nothing in it."""
    made = postgres_server.create()
    yield made.reveal()
    postgres_server.drop(made)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


@pytest.fixture
async def connection(dsn) -> AsyncIterator[asyncpg.Connection]:
    async with connected(dsn) as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bell"
    made.mkdir()
    (made / "0001_bells.sql").write_text(BELLS)
    (made / "0002_tunes.sql").write_text(TUNES)
    return made


@pytest.fixture
def bell(folder: Path) -> tuple[MigrationSeries, ...]:
    return (MigrationSeries("bell", folder),)


def steps(found) -> list[tuple[str, int, str]]:
    return [(one.namespace, one.version, one.name) for one in found]


async def exists(connection: asyncpg.Connection, table: str) -> bool:
    return await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table)


async def test_everything_is_applied_once_in_order(connection, bell):
    assert steps(await pending(connection, bell)) == [("bell", 1, "bells"), ("bell", 2, "tunes")]
    done = await migrate(connection, bell)
    assert steps(done) == [("bell", 1, "bells"), ("bell", 2, "tunes")]
    assert await applied(connection) == done
    assert await migrate(connection, bell) == ()
    assert await pending(connection, bell) == ()
    await check_schema(connection, bell)
    assert await connection.fetchval("SELECT count(*) FROM bell WHERE tune = 'ding'") == 2


async def test_looking_changes_nothing(connection, bell):
    await pending(connection, bell)
    with pytest.raises(SchemaError, match=r"0001_bells\.sql and 1 more .*arbitrade db migrate"):
        await check_schema(connection, bell)
    assert not await exists(connection, "schema_migration")


async def test_cores_own_migrations_apply_to_a_real_server(connection):
    done = await migrate(connection, core_series())
    assert steps(done)[0] == ("core", 1, "initial")
    await check_schema(connection, core_series())
    assert await exists(connection, "run")


async def test_each_owner_has_a_series_of_its_own(connection, bell):
    await migrate(connection, [*core_series(), *bell])
    (newest,) = await connection.fetch(
        "SELECT max(version) AS version FROM schema_migration WHERE namespace = 'bell'"
    )
    assert newest["version"] == 2
    # One that is not there now is nobody's business.
    await check_schema(connection, core_series())
    assert await migrate(connection, core_series()) == ()


async def test_two_series_of_one_owner_are_refused(connection, bell):
    with pytest.raises(SchemaError, match="bell: has two series"):
        await migrate(connection, [*bell, *bell])


async def test_a_new_file_is_applied_beside_the_old_ones(connection, bell, folder):
    await migrate(connection, bell)
    (folder / "0003_more.sql").write_text("INSERT INTO bell VALUES (3)")
    with pytest.raises(SchemaError, match=r"0003_more\.sql is not applied"):
        await check_schema(connection, bell)
    assert steps(await migrate(connection, bell)) == [("bell", 3, "more")]


async def test_functions_and_blocks_run_as_they_are(connection, folder, bell):
    (folder / "0003_function.sql").write_text(
        "CREATE FUNCTION ring() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END; $$;\n"
        "DO $$ BEGIN PERFORM ring(); END $$;\n"
        "SELECT '; -- no end' AS \"semi;colon\";\n"
    )
    await migrate(connection, bell)
    assert await connection.fetchval("SELECT ring()") == 1


async def test_an_edited_file_is_refused_and_nothing_changed(connection, bell, folder):
    await migrate(connection, bell)
    (folder / "0001_bells.sql").write_text(BELLS + "-- changed\n")
    (folder / "0003_more.sql").write_text("CREATE TABLE more ()")
    for refused in (migrate, pending, check_schema):
        with pytest.raises(SchemaError, match=r"0001_bells\.sql was edited after it was applied"):
            await refused(connection, bell)
    assert not await exists(connection, "more")


async def test_a_renamed_file_is_refused(connection, bell, folder):
    await migrate(connection, bell)
    (folder / "0002_tunes.sql").rename(folder / "0002_songs.sql")
    with pytest.raises(SchemaError, match=r"0002_tunes\.sql was edited .*now 0002_songs\.sql"):
        await migrate(connection, bell)


async def test_line_ends_of_windows_make_no_difference(connection, bell, folder):
    await migrate(connection, bell)
    (folder / "0001_bells.sql").write_bytes(BELLS.replace("\n", "\r\n").encode())
    assert await migrate(connection, bell) == ()
    await check_schema(connection, bell)


async def test_a_database_that_is_ahead_wants_an_upgrade(connection, bell, folder):
    await migrate(connection, bell)
    (folder / "0002_tunes.sql").unlink()
    for refused in (migrate, check_schema):
        with pytest.raises(SchemaError, match=r"0002_tunes\.sql is in the database .*upgrade"):
            await refused(connection, bell)


async def test_a_gap_in_what_was_applied_is_refused(connection, bell):
    await migrate(connection, bell)
    await connection.execute("DELETE FROM schema_migration WHERE version = 1")
    with pytest.raises(SchemaError, match=r"0001_bells\.sql was never applied, but 0002 was"):
        await migrate(connection, bell)


async def test_numbers_that_make_no_sense_are_refused_before_anything_runs(
    connection, bell, folder
):
    (folder / "0004_gap.sql").write_text("SELECT 1")
    with pytest.raises(PluginError, match=r"0004_gap\.sql should be 0003"):
        await migrate(connection, bell)
    assert not await exists(connection, "schema_migration")


async def test_a_failing_file_is_undone_and_what_came_before_stays(connection, bell, folder):
    (folder / "0003_broken.sql").write_text("CREATE TABLE half ();\n\nSELECT nothing FROM bell;\n")
    with pytest.raises(DatabaseError, match=r"0003_broken\.sql failed in line 3: .*it was undone"):
        await migrate(connection, bell)
    assert not await exists(connection, "half")
    assert [one.version for one in await applied(connection)] == [1, 2]
    (folder / "0003_broken.sql").write_text("CREATE TABLE whole ();")
    assert steps(await migrate(connection, bell)) == [("bell", 3, "broken")]


async def test_what_needs_no_transaction_says_so_in_its_first_line(connection, bell, folder):
    (folder / "0003_index.sql").write_text(
        "-- no-transaction\nCREATE INDEX CONCURRENTLY bell_tune ON bell (tune);\n"
    )
    await migrate(connection, bell)
    assert await exists(connection, "bell_tune")
    assert await migrate(connection, bell) == ()


async def test_an_index_half_built_by_an_interrupted_start_is_built_anew(connection, bell, folder):
    await migrate(connection, bell)
    await connection.execute("INSERT INTO bell VALUES (3, 'twin'), (4, 'twin')")
    index = "CREATE UNIQUE INDEX CONCURRENTLY bell_tune ON bell (tune)"
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(index)
    assert await exists(connection, "bell_tune")  # and invalid
    await connection.execute("UPDATE bell SET tune = id::text")
    (folder / "0003_index.sql").write_text(f"-- no-transaction\n{index};\n")
    await migrate(connection, bell)
    assert await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'bell_tune'::regclass"
    )


async def test_many_starters_at_once_apply_each_file_once(dsn, bell, folder):
    (folder / "0003_index.sql").write_text(
        "-- no-transaction\nCREATE INDEX CONCURRENTLY bell_tune ON bell (tune);\n"
    )
    (folder / "0004_slow.sql").write_text("SELECT pg_sleep(0.1);\nINSERT INTO bell VALUES (9);\n")
    async with AsyncExitStack() as stack:
        starters = [await stack.enter_async_context(connected(dsn)) for _ in range(6)]
        done = await asyncio.gather(*(migrate(starter, bell) for starter in starters))
        assert sorted(map(len, done)) == [0, 0, 0, 0, 0, 4]
        assert await starters[0].fetchval("SELECT count(*) FROM bell") == 3
        for starter in starters:
            await check_schema(starter, bell)


async def test_the_lock_is_given_back_after_a_failure(dsn, bell, folder):
    (folder / "0003_broken.sql").write_text("nonsense")
    async with connected(dsn) as one, connected(dsn) as two:
        for starter in (one, two, one):
            with pytest.raises(DatabaseError, match="failed in line 1"):
                await migrate(starter, bell)


async def test_a_lock_that_is_never_given_back_is_told(dsn, bell, monkeypatch):
    monkeypatch.setattr(schema, "_LOCK_PATIENCE_S", 0.0)
    async with connected(dsn) as holder, connected(dsn) as starter:
        await holder.execute("SELECT pg_advisory_lock($1)", schema._LOCK_KEY)
        with pytest.raises(DatabaseUnavailableError, match="another process has been applying"):
            await migrate(starter, bell)


async def test_a_table_in_use_is_waited_for_only_so_long(dsn, bell, folder, monkeypatch):
    monkeypatch.setattr(schema, "_TABLE_LOCK_TIMEOUT", "50ms")
    async with connected(dsn) as holder, connected(dsn) as starter:
        await migrate(starter, bell)
        (folder / "0003_alter.sql").write_text("ALTER TABLE bell ADD COLUMN loud bool")
        async with holder.transaction():
            await holder.execute("LOCK TABLE bell")
            with pytest.raises(DatabaseUnavailableError, match="a table was in use for 50ms"):
                await migrate(starter, bell)
        assert steps(await migrate(starter, bell)) == [("bell", 3, "alter")]


async def test_a_connection_that_breaks_is_told_as_such(dsn, bell, folder):
    (folder / "0003_suicide.sql").write_text("SELECT pg_terminate_backend(pg_backend_pid())")
    async with connected(dsn) as starter:
        with pytest.raises(DatabaseUnavailableError, match="try again"):
            await migrate(starter, bell)
    (folder / "0003_suicide.sql").write_text("SELECT 1")
    async with connected(dsn) as starter:
        assert steps(await migrate(starter, bell)) == [("bell", 3, "suicide")]


STARTER = """
import asyncio, sys
from pathlib import Path
import asyncpg
from arbitrade import MigrationSeries
from arbitrade.store.schema import migrate


async def start():
    connection = await asyncpg.connect(sys.argv[1])
    await migrate(connection, [MigrationSeries("bell", Path(sys.argv[2]))])


asyncio.run(start())
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
async def test_f58_a_migration_interrupted_by_kill_9_is_done_by_the_next_start(dsn, bell, folder):
    (folder / "0003_slow.sql").write_text(
        "CREATE TABLE slow ();\nNOTIFY half_way;\nSELECT pg_sleep(60);\n"
    )
    async with connected(dsn) as watcher:
        command = (sys.executable, "-c", STARTER, dsn, str(folder))
        killed = await asyncio.create_subprocess_exec(*command)
        sleeping = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while await watcher.fetchval(sleeping) is None:
            assert killed.returncode is None
            await asyncio.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
        # Its session holds the lock until the server notices, long before its statement ends.
        (folder / "0003_slow.sql").write_text("CREATE TABLE slow ();\n")
        assert steps(await migrate(watcher, bell)) == [("bell", 3, "slow")]
        assert await exists(watcher, "slow")
