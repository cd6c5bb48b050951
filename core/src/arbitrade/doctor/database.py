"""What `arbitrade doctor` says of the database, without starting or making anything."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from arbitrade.config import Settings
from arbitrade.doctor.finding import Finding, Health
from arbitrade.errors import ArbitradeError, SchemaError
from arbitrade.models.migrations import MigrationSeries
from arbitrade.secrets import Secret
from arbitrade.store.embedded.account import reachable_folder, server_account
from arbitrade.store.embedded.binaries import find_binaries
from arbitrade.store.embedded.process import Cluster
from arbitrade.store.failures import database_errors
from arbitrade.store.schema import check_schema
from arbitrade.store.target import embedded_folder, server_dsn, shown

_CHECK = "database"
_PATIENCE_S = 5.0


def examine_database(settings: Settings, series: Sequence[MigrationSeries]) -> Finding:
    """Say whether the database can be used: the server that is named, or our own."""
    try:
        dsn = server_dsn(settings)
        if dsn is None:
            return _own(embedded_folder(settings), series)
        version = asyncio.run(_ask(dsn, series))
        return Finding(_CHECK, Health.GOOD, f"PostgreSQL {version} at {shown(dsn.reveal())}")
    except SchemaError as error:
        return Finding(_CHECK, Health.NOTE, str(error))
    except ArbitradeError as error:
        return Finding(_CHECK, Health.BROKEN, str(error))


def _own(wanted: Path, series: Sequence[MigrationSeries]) -> Finding:
    binaries, folder = find_binaries(), reachable_folder(wanted)
    data = folder / "data"
    cluster = Cluster(data, binaries, server_account(data))
    own = f"our own PostgreSQL {binaries.version} ({binaries.origin})"
    if not cluster.exists():
        return Finding(_CHECK, Health.GOOD, f"{own}; {folder} is made at first use")
    cluster.check_version()
    running = cluster.running()
    if running is None:
        return Finding(_CHECK, Health.GOOD, f"{own} in {folder}, not running now")
    asyncio.run(_ask(cluster.dsn(running.port), series))
    return Finding(_CHECK, Health.GOOD, f"{own} in {folder}, running, tables up to date")


async def _ask(dsn: Secret, series: Sequence[MigrationSeries]) -> str:
    """Connect to a server, make sure of its tables, and return its version."""
    where = shown(dsn.reveal())
    with database_errors(where):
        async with asyncio.timeout(_PATIENCE_S):
            connection = await asyncpg.connect(dsn.reveal(), timeout=_PATIENCE_S)
            try:
                await check_schema(connection, series)
                version = str(await connection.fetchval("SHOW server_version"))
            finally:
                connection.terminate()
    return version.split()[0]
