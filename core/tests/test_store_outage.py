"""The writer against a real server that stops, is killed and comes back.  A server of its own."""

import asyncio
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from arbitrade.journal import FsyncPolicy, Journal
from arbitrade.store.database import set_codecs
from arbitrade.store.embedded.server import EmbeddedPostgres
from arbitrade.store.position import JournalKey, identify
from arbitrade.store.schema import migrate
from arbitrade.store.writer import JournalWriter
from arbitrade.testing.patience import PATIENCE_S, until
from arbitrade.testing.postgres import core_series
from arbitrade.testing.records import LittleRun, make_run


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="arbitrade-outage-"))
    folder.chmod(0o755)  # started by root, the server is another user's
    embedded = EmbeddedPostgres(folder / "postgres")
    await embedded.start()
    try:
        connection = await asyncpg.connect(embedded.dsn)
        await migrate(connection, core_series())
        await connection.close()
        yield embedded
    finally:
        await embedded.stop()
        shutil.rmtree(embedded.folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def postmaster(server: EmbeddedPostgres) -> psutil.Process:
    text = (server.folder / "data" / "postmaster.pid").read_text()
    return psutil.Process(int(text.split()[0]))


def end(server: EmbeddedPostgres, number: int) -> None:
    """End the server and everything it started."""
    process = postmaster(server)
    family = [process, *process.children(recursive=True)]
    process.send_signal(number)
    psutil.wait_procs(family, timeout=PATIENCE_S)


@asynccontextmanager
async def writing(server: EmbeddedPostgres, journal: Journal, folder: Path):
    @asynccontextmanager
    async def session() -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(server.dsn)
        await set_codecs(connection)
        try:
            yield connection
        finally:
            await connection.close()

    async def revive() -> None:
        await server.start()

    writer = JournalWriter(
        session,
        journal,
        lambda: JournalKey("main", identify(folder)),
        revive=revive,
        batch=10,
        poll_s=0.005,
        backoff_s=(0.01, 0.1),
    )
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def assert_whole(server: EmbeddedPostgres, run: LittleRun) -> None:
    connection = await asyncpg.connect(server.dsn)
    try:
        fills = await connection.fetch("SELECT exec_id, cost FROM execution")
        assert {tuple(row) for row in fills} == {(one.exec_id, one.cost) for one in run.fills}
        assert len(fills) == len(run.fills)
        balances = await connection.fetch(
            "SELECT asset, sum(amount) FROM posting WHERE ledger_account = 'wallet' GROUP BY asset"
        )
        assert dict(map(tuple, balances)) == run.balances
        assert await connection.fetchval("SELECT count(*) FROM cycle") == len(run.closed)
        assert await connection.fetchval("SELECT count(*) FROM opportunity") == len(run.seen)
        for table in ("rejected_record", "journal_gap"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
    finally:
        await connection.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)],
    ids=["stopped", "killed"],
)
async def test_f33_a_server_that_goes_in_the_middle_gets_everything_once(
    server: EmbeddedPostgres, tmp_path: Path, number: int
) -> None:
    """F33, F35: fast shutdown or kill -9 of the postmaster between and within batches."""
    run = make_run(seed=31, cycles=30)
    folder = tmp_path / "journal"
    with_journal = Journal(folder, fsync=FsyncPolicy.NEVER)
    with_journal.open()
    for payload in run.payloads:
        with_journal.append(payload)
    async with writing(server, with_journal, folder) as writer:
        for share in (5, 3):
            await until(lambda share=share: writer.last_written_seq > len(run.written) // share)
            killer = threading.Thread(target=end, args=(server, number))
            killer.start()
            await until(lambda: writer.unavailable_since is not None)
            await asyncio.to_thread(killer.join)
        assert await writer.drain(PATIENCE_S), writer.last_error
    await assert_whole(server, run)
    with_journal.close()
