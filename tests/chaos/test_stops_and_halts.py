"""Stopped, frozen, halted, started twice: F41, F43, F44, F56 and F57 of the fault matrix."""

import asyncio
import signal
import time
from decimal import Decimal
from pathlib import Path

import asyncpg
from chaos_bench import ACCOUNT, Bench, Bot, Proxy

from arbitrade.control.kill_switch import read_halt
from arbitrade.models import Side, TradingState
from arbitrade.records import Audited, BalanceCompared, CycleClosed, CycleOpened
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.simulator.exchange.orders import NewOrder

ONE = {"RISK__MAXIMUM_CYCLES": "1"}
HALT_S = 0.05
_MOST_HALTS = 20
_LITTLE = 100
_WRONG_USAGE = 2


# ── frozen ───────────────────────────────────────────────────────────────────────────────────────


async def test_f41_frozen_until_the_dead_mans_switch_fired_it_asks_before_it_decides(
    bench: Bench,
) -> None:
    bench.settings |= {"KRAKEN__DEAD_MAN_S": "4", "KRAKEN__DEAD_MAN_EVERY_S": "0.5"}
    bot = await bench.recovered()
    resting = _rest_an_order(bench)
    await bot.until_state(lambda state: sum(state.cycles.values()) >= 1)
    bot.signal(signal.SIGSTOP)
    async with asyncio.timeout(PATIENCE_S):
        while bench.venue.exchange.inquiry.open_orders(ACCOUNT):
            await asyncio.sleep(0.01)
    assert resting not in {
        order.order_id for order in bench.venue.exchange.inquiry.open_orders(ACCOUNT)
    }
    goes_on_ns = time.time_ns()
    bot.signal(signal.SIGCONT)
    await bot.until_state(lambda state: state.cycles != {} and _has_opened_since(bench, goes_on_ns))
    report = await bot.stopped()
    journal = [one for _, one in bench.journal() if one.time_ns >= goes_on_ns]
    kinds = [type(one.record) for one in journal]
    assert kinds.index(BalanceCompared) < kinds.index(CycleOpened)
    await bench.check(report)


def _rest_an_order(bench: Bench) -> str:
    """Let an order of somebody else stand far from the market; return the venue's id of it."""
    exchange = bench.venue.exchange
    placed = exchange.add_order(
        ACCOUNT,
        NewOrder(
            symbol="BTC/USD",
            side=Side.BUY,
            quantity=Decimal("0.001"),
            limit_price=Decimal("1000.0"),
        ),
    )
    return placed.order.order_id


def _has_opened_since(bench: Bench, time_ns: int) -> bool:
    return any(
        isinstance(one.record, CycleOpened) and one.time_ns >= time_ns for _, one in bench.journal()
    )


# ── halted ───────────────────────────────────────────────────────────────────────────────────────


async def test_f43_halted_during_a_leg_it_ends_the_cycle_and_begins_none(bench: Bench) -> None:
    bench.settings |= ONE
    bot = await bench.recovered()
    bench.fault("delayed_executions", value=Decimal(150), for_ms=0)
    # The best of several: what is measured is the way, not how busy the machine is.
    told_s = [await _halt_in_a_cycle(bench, bot) for _ in range(3)]
    while min(told_s) > HALT_S and len(told_s) < _MOST_HALTS:
        told_s.append(await _halt_in_a_cycle(bench, bot))
    assert min(told_s) <= HALT_S, f"halted after {told_s} s"
    await bot.command("halt", reason="for good")
    bench.venue.faults.clear()
    await bot.until_state(lambda state: not state.open_cycles)
    bot.kill()
    await bot.ended()
    again = await bench.start()
    state = await again.until_state(
        lambda now: now.is_account_ready and now.funnel.get("seen", 0) > 20
    )
    assert (state.trading_state, state.halt_reason) == (TradingState.HALTED, "for good")
    assert state.orders == 0
    assert "trading.active" not in again.events
    assert (await again.command("resume", reason="looked at it")).is_done
    await again.until_state(lambda now: sum(now.cycles.values()) >= 1)
    await bench.check(await again.stopped())
    acts = [one.record for _, one in bench.journal() if isinstance(one.record, Audited)]
    assert [act.action for act in acts if act.action in ("halt", "resume")] == [
        *["halt", "resume"] * len(told_s),
        *["halt", "resume"],
    ]


async def _halt_in_a_cycle(bench: Bench, bot: Bot) -> float:
    """Halt while a cycle holds something, see it end, resume; return how long that took to hold."""
    await bot.until_state(lambda state: any(len(one.held) > 1 for one in state.open_cycles))
    asked_ns = time.time_ns()
    assert (await bot.command("halt", reason="stop it")).is_done
    state = await bot.until_state(lambda now: not now.open_cycles)
    assert state.trading_state is TradingState.HALTED
    assert (await bot.command("resume", reason="go on")).is_done
    journal = bench.journal()
    halts = [
        (seq, one.time_ns)
        for seq, one in journal
        if isinstance(one.record, Audited) and one.record.action == "halt"
    ]
    resumes = [
        seq
        for seq, one in journal
        if isinstance(one.record, Audited) and one.record.action == "resume"
    ]
    begin, end = halts[-1][0], resumes[-1] if resumes else journal[-1][0] + 1
    for seq, one in journal:
        assert not (begin < seq < end and isinstance(one.record, CycleOpened))
    closed = [one for seq, one in journal if seq > begin and isinstance(one.record, CycleClosed)]
    assert closed
    return (halts[-1][1] - asked_ns) / 1e9


async def test_f44_the_kill_switch_works_without_database_and_alerts(bench: Bench) -> None:
    async with Proxy.before(bench) as proxy:
        bench.settings |= {
            "PLUGINS__ENABLED": '["kraken", "triangular", "alerts"]',
            "ALERTS__URLS": f"json://127.0.0.1:{proxy.dead_port}/",
        }
        bot = await bench.recovered()
        await bot.until_state(lambda state: sum(state.cycles.values()) >= 1)
        proxy.cut()
        assert (await bot.command("halt", reason="everything is down")).is_done
        state = await bot.until_state(lambda now: not now.open_cycles)
        assert state.trading_state is TradingState.HALTED
        halt = read_halt(bench.state_folder, ACCOUNT)
        assert halt is not None
        assert halt.reason == "everything is down"
        proxy.mend()
        await _until_stored(bot)
        await bench.check(await bot.stopped())


async def _until_stored(bot: Bot) -> None:
    """Wait until the database has nearly everything: a bot's end waits only so long for that."""
    await bot.until_state(
        lambda now: not now.open_cycles and now.database == "ok" and now.journal_lag < _LITTLE
    )


# ── started twice ────────────────────────────────────────────────────────────────────────────────


async def test_f56_a_second_bot_refuses_with_and_without_the_database(bench: Bench) -> None:
    async with Proxy.before(bench) as proxy:
        bot = await bench.recovered()
        elsewhere = bench.folder / "elsewhere"
        elsewhere.mkdir()
        second = await bench.start()
        assert await second.ended() == _WRONG_USAGE
        assert "already traded" in second.last_words()
        # Another user or machine does not see the lock file; the database does.
        third = await _start_elsewhere(bench, elsewhere)
        assert await third.ended() == _WRONG_USAGE
        assert "already traded" in third.last_words()
        proxy.cut()
        fourth = await bench.start()
        assert await fourth.ended() == _WRONG_USAGE
        assert "already traded" in fourth.last_words()
        proxy.mend()
        await bot.command("halt", reason="so that the database catches up")
        await _until_stored(bot)
        await bench.check(await bot.stopped())


async def test_f56_a_bot_that_loses_the_lock_halts(bench: Bench) -> None:
    bot = await bench.recovered()
    connection = await asyncpg.connect(bench.dsn.reveal())
    try:
        ended = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'arbitrade-lock%' AND datname = current_database()"
        )
    finally:
        await connection.close()
    assert len(ended) == 1
    state = await bot.until_state(lambda now: now.trading_state is TradingState.HALTED)
    assert "lock" in state.halt_reason
    await bot.until_state(lambda now: not now.open_cycles)
    await bench.check(await bot.stopped())


async def _start_elsewhere(bench: Bench, folder: Path) -> Bot:
    return await bench.start(
        HOME=str(folder), RUNTIME__FOLDER=str(folder / "state"), KRAKEN__NONCE_FOLDER=str(folder)
    )


# ── stopped ──────────────────────────────────────────────────────────────────────────────────────


async def test_f57_asked_to_end_during_a_cycle_it_leaves_nothing_open(bench: Bench) -> None:
    bot = await bench.recovered()
    bench.fault("delayed_executions", value=Decimal(150), for_ms=0)
    await bot.until_state(lambda state: any(len(one.held) > 1 for one in state.open_cycles))
    report = await bot.stopped()
    assert report["ended_because"] == "stopped by a signal"
    await bench.check(report)


async def test_f57_asked_twice_it_ends_sooner_and_the_next_start_goes_on(bench: Bench) -> None:
    bench.settings |= {**ONE, "EXECUTION__SETTLE_TIMEOUT_S": "60", "KRAKEN__ORDER_TIMEOUT_S": "60"}
    bot = await bench.recovered()
    # Nothing is ever heard of the next orders, so that their cycle can't end by itself.
    bench.fault("lost_ack", method="add_order", for_ms=0)
    bench.fault("delayed_executions", value=Decimal(60_000), for_ms=0)
    known = len(bench.orders())
    await bot.until_state(lambda state: bool(state.open_cycles) and len(bench.orders()) > known)
    bot.signal(signal.SIGTERM)
    await bot.until_state(lambda state: state.trading_state is TradingState.REDUCING)
    assert bot.process.returncode is None
    bot.signal(signal.SIGTERM)
    assert await bot.ended() == 0, bot.last_words()
    bench.venue.faults.clear()
    opened = {one.record.cycle for _, one in bench.journal() if isinstance(one.record, CycleOpened)}
    closed = {one.record.cycle for _, one in bench.journal() if isinstance(one.record, CycleClosed)}
    assert len(opened - closed) == 1
    assert [one.kind for _, one in bench.journal()].count("run_ended") == 1
    bench.settings.clear()
    again = await bench.recovered()
    await again.until_state(lambda state: sum(state.cycles.values()) >= 1)
    await bench.check(await again.stopped())
