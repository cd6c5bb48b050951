"""The database away, slow, killed or older, under a whole run: F32 to F36."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import asyncpg

from arbitrade.api import BotState
from arbitrade.errors import DatabaseError
from arbitrade.journal import read_journal
from arbitrade.models import Mode
from arbitrade.records import CycleOpened, decode
from arbitrade.store.backup import back_up, restore
from arbitrade.store.database import open_database

PAPER = {"paper": {"send_ms": "2", "ack_ms": "2"}}
GRACE = {"journal": {"database_grace_s": 1.0}}
LITTLE = 100
"""Records that may wait while a bot trades: its end waits for them, but not for thousands."""


def has_caught_up(state: BotState) -> bool:
    return state.database == "ok" and state.journal_lag < LITTLE


async def test_f32_live_trading_does_not_start_without_its_database(bench):
    bench.proxy.go_down()
    async with bench.running(is_ready=False) as bot:
        await bot.until_over()
    assert isinstance(bot.error, DatabaseError)
    assert "can't be reached" in str(bot.error)
    assert "127.0.0.1" in str(bot.error)
    assert bench.exchange.inquiry.closed_orders("main") == ()
    assert bot.begun == 0
    # Nothing is left that would keep the next one from starting.
    bench.proxy.come_back()
    async with bench.running() as again:
        await again.until_more_cycles()
    await bench.assert_whole(again)


async def test_f32_paper_trading_goes_on_into_the_journal_and_everything_is_stored_later(bench):
    bench.proxy.go_down()
    async with bench.running(PAPER, Mode.PAPER) as bot:
        await bot.until_more_cycles()
        state = bot.session.state()
        assert state.database != "ok"
        assert state.journal_lag > 0
        assert bot.has_alert("error: the database is not there")
        bench.proxy.come_back()
        await bot.until(lambda: has_caught_up(bot.session.state()), "the database")
    assert bot.error is None
    bench.assert_cycles_ended(bot)
    await bench.assert_stored(bot)
    assert bot.report.rows["cycle"] == len(bot.records(CycleOpened))


async def test_f33_without_the_database_cycles_go_on_for_the_grace_period_and_no_longer(bench):
    async with bench.running(GRACE) as bot:
        await bot.until_more_cycles()
        bench.proxy.go_down()
        await bot.until_more_cycles(1)
        await bot.until(lambda: bot.refusals["journal"] > 3, "refusals")
        await bot.until(lambda: not bot.state.cycles, "no open cycle")
        begun = bot.begun
        await bot.until(lambda: bot.refusals["journal"] > 6, "refusals")
        assert bot.begun == begun
        assert "has been away for over 1 s" in bot.session.state().journal
        assert bot.has_alert("error: the journal has a problem")
        # An outage of the server is no loss of the lock: the lock file still holds.
        assert bot.halt_reason == ""
        bench.proxy.come_back()
        await bot.until_more_cycles()
        assert bot.session.state().journal == "ok"
    await bench.assert_whole(bot)


async def test_f33_a_run_that_ends_while_the_database_is_away_is_stored_by_the_next(bench):
    async with bench.running() as bot:
        await bot.until_more_cycles()
        bench.proxy.go_down()
        await bot.until_more_cycles()
    assert bot.error is None
    bench.assert_money(bot)
    assert await bench.count("execution") < len(bench.exchange.inquiry.fills("main"))
    bench.proxy.come_back()
    async with bench.running() as again:
        await again.until_more_cycles()
    await bench.assert_whole(again)


async def test_f34_a_locked_table_does_not_hold_up_trading(bench):
    async with bench.running() as bot:
        await bot.until_more_cycles()
        other = await asyncpg.connect(bench.dsn_past_proxy)
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE trade_order IN ACCESS EXCLUSIVE MODE")
                await bot.until_more_cycles(4)
                assert bot.session.state().journal_lag > 0
        finally:
            await other.close()
        await bot.until_more_cycles(1)
    await bench.assert_whole(bot)


async def test_f34_a_database_that_answers_nothing_counts_as_away(bench):
    changes = {"journal": {"database_grace_s": 0.5}}
    async with bench.running(changes) as bot:
        await bot.until_more_cycles()
        bench.proxy.hold()
        await bot.until_more_cycles(2)
        await bot.until(lambda: bot.refusals["journal"] > 3, "refusals, some seconds later")
        bench.proxy.come_back()
        await bot.until_more_cycles()
    await bench.assert_whole(bot)


async def test_f35_our_own_server_killed_with_kill_9_comes_back_with_every_row_once(bench):
    changes = {"database": {"dsn": None, "folder": str(bench.folder / "postgres")}, **PAPER}
    async with bench.running(changes, Mode.PAPER) as bot:
        await bot.until_more_cycles()
        database = bot.session.parts.ground.keeper.database
        assert database is not None
        assert database.embedded is not None
        await bot.until(lambda: bot.session.parts.ground.writer.last_written_seq > 0, "rows")
        folder = Path(database.embedded.folder) / "data" / "postmaster.pid"
        os.kill(int(folder.read_text().split()[0]), signal.SIGKILL)
        await bot.until(lambda: not bot.session.parts.ground.writer.is_connected, "its end")
        await bot.until_more_cycles()
        await bot.until(lambda: bot.session.parts.ground.writer.is_connected, "its return")
        await bot.until_more_cycles()
        assert bot.halt_reason == ""
        await bot.until(lambda: bot.session.parts.ground.writer.lag_records < 20, "what waited")
        dsn = database.secret_dsn.reveal()
        seq = bot.session.parts.ground.writer.last_written_seq
        connection = await asyncpg.connect(dsn)
        try:
            stored = await connection.fetchval("SELECT count(*) FROM trade_order")
        finally:
            await connection.close()
    written = [decode(entry.payload) for entry in read_journal(bot.folder / "journal" / "main")]
    assert stored >= len([one for one in written[:seq] if one.kind == "intent"])
    assert bot.report.rows["trade_order"] == len([o for o in written if o.kind == "intent"])
    assert bot.report.rows["rejected_record"] == 0
    # For root it is not where it was asked for, but where other accounts may look.
    shutil.rmtree(database.embedded.folder, ignore_errors=True)


async def test_f35_rows_an_older_database_lacks_are_written_again_from_the_journal(bench):
    file = bench.folder / "older.dump"
    async with bench.running() as bot:
        await bot.until_more_cycles()
    _, settings = bench.settings_of()
    async with await open_database(settings) as database:
        await back_up(database, file)
    async with bench.running() as bot:
        await bot.until_more_cycles(3)
    async with await open_database(settings) as database:
        await restore(database, file, force=True)
    assert await bench.count("execution") < len(bench.exchange.inquiry.fills("main"))
    async with bench.running() as again:
        await again.until_more_cycles()
    await bench.assert_whole(again)


async def test_f36_a_connection_reset_in_the_middle_of_a_commit_stores_every_row_once(bench):
    async with bench.running() as bot:
        for cuts in range(1, 4):
            bench.proxy.cut_at(b"COMMIT")
            await bot.until(lambda cuts=cuts: bench.proxy.cuts >= cuts, "a cut")
            await bot.until_more_cycles(1)
        assert bot.halt_reason == "" or "database lock" in bot.halt_reason
    await bench.assert_whole(bot)


async def test_f36_sessions_that_the_server_ends_store_every_row_once(bench):
    async with bench.running() as bot:
        sql = await bench.sql()
        for _ in range(3):
            await bot.until(lambda: bot.session.parts.ground.writer.is_connected, "the database")
            while not await sql.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'arbitrade' AND datname = current_database()"
            ):
                await asyncio.sleep(0.01)
            await bot.until_more_cycles(1)
        assert bot.halt_reason == ""
    await bench.assert_whole(bot)
