"""Histories and tables for suites of services: of a real database, or of none.

With the fixtures of `arbitrade.testing.postgres`:

    @pytest.fixture
    async def database(postgres_server):
        series = (*core_series(), *arbitrade_register_migrations())
        async with postgres_server.database(series) as database:
            yield database

    async def test_what_is_kept_is_found(database):
        service = Notes(make_tables(database, "notes"))

`arbitrade.testing.records.make_run` makes a run to be read, `store_run` writes it.
"""

from arbitrade.api import Tables
from arbitrade.api.history import History
from arbitrade.store.absent import no_database
from arbitrade.store.database import Database
from arbitrade.store.plugin_tables import PluginTables
from arbitrade.store.repositories import Repositories

__all__ = ["make_history", "make_tables"]


def make_history(database: Database | None = None) -> History:
    """Return the history of a database; without one, what a service gets beside `record`."""
    return Repositories(no_database("a test") if database is None else database.connection)


def make_tables(database: Database | None = None, plugin: str = "test") -> Tables:
    """Return a plugin's way to its tables, with the limits it has in earnest."""
    connections = no_database("a test") if database is None else database.connection
    return PluginTables(connections).of(plugin)
