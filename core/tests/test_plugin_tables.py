"""A plugin with a migration writes and reads its own table, within limits."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from arbitrade import MigrationSeries, Service, Settings, hookimpl
from arbitrade.api import Tables, View
from arbitrade.api.history import History
from arbitrade.cli import CommandLine
from arbitrade.errors import DatabaseError, DatabaseUnavailableError, StatementError
from arbitrade.plugins import PluginRegistry
from arbitrade.plugins.checks import SampleView
from arbitrade.store.absent import no_database
from arbitrade.store.database import Database
from arbitrade.store.plugin_tables import PluginTables
from arbitrade.store.repositories import Repositories
from arbitrade.testing.postgres import PostgresServer
from arbitrade.trading.run.keeper import DatabaseKeeper

SQL = """
CREATE TABLE notes_line (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    text text NOT NULL UNIQUE,
    worth numeric,
    tags jsonb NOT NULL DEFAULT '[]'
);
"""
AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


@attrs.frozen
class Notes:
    """A service that keeps notes in a table of its own."""

    tables: Tables
    history: History
    name: str = "notes"

    async def run(self) -> None: ...

    async def keep(self, text: str, worth: Decimal | None = None) -> None:
        async with self.tables.connection() as connection:
            await connection.execute(
                "INSERT INTO notes_line (at, text, worth, tags) VALUES ($1, $2, $3, $4)",
                *(AT, text, worth, ["a", "b"]),
            )

    async def kept(self) -> list[Any]:
        async with self.tables.connection() as connection:
            return await connection.fetch("SELECT * FROM notes_line ORDER BY number")


class NotesPlugin:
    """As a distribution's module would be."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "0001_initial.sql").write_text(SQL)
        self.folder = folder

    @hookimpl
    def arbitrade_register_migrations(self) -> list[MigrationSeries]:
        return [MigrationSeries("notes", self.folder)]

    @hookimpl
    def arbitrade_register_services(
        self, settings: Settings, view: View, history: History, tables: Tables
    ) -> list[Service]:
        return [Notes(tables, history)]


@pytest.fixture
def registry(tmp_path: Path) -> PluginRegistry:
    return PluginRegistry.of({"notes": NotesPlugin(tmp_path / "sql")})


@pytest.fixture
async def database(
    postgres_server: PostgresServer, registry: PluginRegistry
) -> AsyncIterator[Database]:
    async with postgres_server.database(registry.migrations()) as database:
        yield database


def notes(registry: PluginRegistry, database: Database, **limits: float) -> Notes:
    history, tables = Repositories(database.connection), PluginTables(database.connection, **limits)
    (service,) = registry.services(Settings(), SampleView(), history, tables)
    assert isinstance(service, Notes)
    return service


async def test_what_it_writes_it_reads_back_exactly(
    registry: PluginRegistry, database: Database
) -> None:
    service = notes(registry, database)
    await service.keep("first", Decimal("0.123456789012345678901"))
    (row,) = await service.kept()
    assert row == {
        "number": 1,
        "at": AT,
        "text": "first",
        "worth": Decimal("0.123456789012345678901"),
        "tags": ["a", "b"],
    }
    assert await service.history.runs.latest() == []
    async with service.tables.connection() as connection:
        assert await connection.fetchval("SHOW application_name") == "arbitrade notes"
        assert await connection.fetchrow("SELECT 1 WHERE false") is None


async def test_a_transaction_is_kept_whole_or_not_at_all(
    registry: PluginRegistry, database: Database
) -> None:
    service = notes(registry, database)
    sql = "INSERT INTO notes_line (at, text) VALUES ($1, $2)"
    with pytest.raises(StatementError) as refused:
        async with service.tables.connection() as connection, connection.transaction():
            await connection.executemany(sql, [(AT, "one"), (AT, "two")])
            await connection.execute(sql, AT, "one")
    assert refused.value.sqlstate == "23505"
    assert "notes: the server refuses a statement (23505)" in str(refused.value)
    assert await service.kept() == []
    async with service.tables.connection() as connection, connection.transaction():
        await connection.executemany(sql, [(AT, "one"), (AT, "two")])
    assert [row["text"] for row in await service.kept()] == ["one", "two"]


async def test_values_of_the_wrong_kind_are_refused_by_an_error_of_ours(
    registry: PluginRegistry, database: Database
) -> None:
    service = notes(registry, database)
    async with service.tables.connection() as connection:
        with pytest.raises(StatementError, match="notes: the server refuses"):
            await connection.execute("INSERT INTO notes_line (at, text) VALUES ($1, 'x')", "soon")


async def test_a_connection_held_too_long_is_cut_and_its_locks_are_free(
    registry: PluginRegistry, database: Database
) -> None:
    service = notes(registry, database, held_s=0.2)
    with pytest.raises(DatabaseUnavailableError, match=r"notes: held a connection for 0\.2 s"):
        async with service.tables.connection() as connection, connection.transaction():
            await connection.execute("LOCK TABLE run IN ACCESS EXCLUSIVE MODE")
            await asyncio.wait_for(asyncio.Event().wait(), 0.5)
    async with asyncio.timeout(20):
        assert await service.history.runs.latest() == []
    await service.keep("after")
    assert len(await service.kept()) == 1


async def test_a_lock_somebody_else_has_is_not_waited_for(
    registry: PluginRegistry, database: Database
) -> None:
    service = notes(registry, database)
    async with database.session() as other, other.transaction():
        await other.execute("LOCK TABLE notes_line")
        with pytest.raises(StatementError, match="lock timeout"):
            await service.keep("in the way")


async def test_a_third_connection_of_a_plugin_waits_and_another_plugin_has_its_own(
    database: Database,
) -> None:
    tables = PluginTables(database.connection)
    first, second = tables.of("first"), tables.of("second")
    async with first.connection(), first.connection():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), first.connection():
                raise AssertionError("a third one came")
        async with second.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_limits_end_with_the_connection(registry: PluginRegistry, database: Database) -> None:
    service = notes(registry, database)
    for _ in range(database.pool.get_max_size()):
        await service.kept()
    async with database.connection() as connection:
        assert await connection.fetchval("SHOW application_name") == "arbitrade"
        assert await connection.fetchval("SHOW statement_timeout") == "0"


async def test_without_a_database_it_is_told_so() -> None:
    tables = PluginTables(no_database("arbitrade record")).of("notes")
    with pytest.raises(DatabaseError, match="arbitrade record: runs without a database"):
        async with tables.connection():
            raise AssertionError("a connection came")
    keeper = DatabaseKeeper(Settings(), ())
    with pytest.raises(DatabaseUnavailableError, match="not open yet"):
        async with keeper.tables.of("notes").connection():
            raise AssertionError("a connection came")


def test_a_command_of_the_plugin_reaches_the_same_table(
    postgres_server: PostgresServer,
    registry: PluginRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dsn = postgres_server.create(registry.migrations())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARBITRADE_CONFIG", raising=False)
    monkeypatch.setenv("ARBITRADE_SECRETS__KEYRING", "false")
    monkeypatch.setenv("ARBITRADE_DATABASE__DSN", dsn.reveal())
    line = CommandLine()
    line.__dict__["registry"] = registry

    async def work(history: History, tables: Tables) -> tuple[int, int]:
        service = Notes(tables, history)
        await service.keep("from a command")
        return len(await service.kept()), len(await history.runs.latest())

    try:
        assert line.with_database("notes", work) == (1, 0)
    finally:
        postgres_server.drop(dsn)
