"""Kill -9 at the worst moments: F1 to F5 of the fault matrix, then one point after the other."""

import asyncio
from decimal import Decimal

from chaos_bench import Bench, Bot

from arbitrade.models import CycleState, OrderRole
from arbitrade.records import CycleClosed, ExecutionBooked, IntentWritten, OrderEnded
from arbitrade.testing.patience import PATIENCE_S

ONE = {"RISK__MAXIMUM_CYCLES": "1"}
# Each with the passing that is meant: the later one hits a bot that is under way.
POINTS = (
    ("after transaction", 1),  # the ledger has just been opened
    ("before answer", 2),
    ("before execution", 2),
    ("before leg 3", 1),
    ("before cycle_closed", 1),
    ("after database", 4),
    ("torn write", 12),
    ("after run_started", 1),
)
LONG = (
    ("after transaction", 3),
    ("before intent", 2),
    ("after intent", 4),
    ("before send", 2),
    ("after send", 3),
    ("before fill", 2),
    ("after transaction", 9),
    ("after execution", 3),
    ("booked", 2),
    ("before order_ended", 2),
    ("after cycle_closed", 1),
    ("before database", 4),
    ("before sync", 12),
    ("after audit", 1),
)


async def test_f1_killed_before_the_intent_is_durable_nothing_was_sent(bench: Bench) -> None:
    bench.settings |= ONE
    await bench.killed_at("before intent", settled=True)
    assert bench.orders() == []
    bot = await bench.recovered()
    closed = _recovered(bench)
    assert closed.state is CycleState.ABORTED_CLEAN
    await bench.check(await _trade_and_stop(bench, bot))


async def test_f2_killed_between_intent_and_send_the_order_is_never_sent(bench: Bench) -> None:
    bench.settings |= ONE
    await bench.killed_at("before send", settled=True)
    assert bench.orders() == []
    intent = _intents(bench)[-1]
    bot = await bench.recovered()
    closed = _recovered(bench)
    assert closed.state is CycleState.ABORTED_CLEAN
    assert "order.looked_up" in bot.events
    report = await _trade_and_stop(bench, bot)
    await bench.check(report)
    (ended,) = [end for end in _ends(bench) if end.client_id == intent.intent.request.client_id]
    assert (ended.status, ended.filled_quantity) == (None, 0)
    assert ended.client_id not in {order.client_id for order in bench.orders()}


async def test_f3_killed_between_send_and_answer_the_order_is_adopted(bench: Bench) -> None:
    bench.settings |= ONE
    # Sent and carried out, and neither answer nor fill ever comes back.
    bot = await bench.recovered()
    bench.fault("lost_ack", method="add_order", for_ms=0)
    bench.fault("delayed_executions", value=Decimal(60_000), for_ms=0)
    await _until_ordered(bench, len(bench.orders()) + 1)
    bot.kill()
    await bot.ended()
    bench.venue.faults.clear()
    bot = await bench.recovered()
    closed = _recovered(bench)
    assert closed.state in (CycleState.UNWOUND, CycleState.COMPLETED)
    assert {one.cycle for one in _fills(bench)} >= {closed.cycle}
    assert 0 not in {one.cycle for one in _fills(bench)}, "taken for somebody else's"
    await bench.check(await _trade_and_stop(bench, bot))


async def test_f4_killed_between_two_legs_what_was_bought_is_brought_back(bench: Bench) -> None:
    bench.settings |= ONE
    await bench.killed_at("before leg 2", settled=True)
    bought = bench.venue.exchange.inquiry.fills("main")[0]
    bot = await bench.recovered()
    closed = _recovered(bench)
    assert closed.state is CycleState.UNWOUND
    assert "recovered" in closed.reason
    pair = bench.venue.exchange.pair(bought.symbol)
    for asset, amount in closed.residual.items():
        assert amount < bought.quantity * Decimal("0.01"), (asset, pair)
    await bench.check(await _trade_and_stop(bench, bot))


async def test_f5_killed_twice_while_unwinding_no_more_is_sold_than_was_held(bench: Bench) -> None:
    bench.settings |= ONE
    await bench.killed_at("before leg 2", settled=True)
    held = bench.venue.exchange.inquiry.fills("main")
    # A third of each order fills, so that the way back takes several.
    bench.fault("partial_fill", value=Decimal("0.34"), for_ms=0)
    await bench.killed_at("way back filled", settled=True)
    await bench.killed_at("way back filled", settled=False)
    bench.venue.faults.clear()
    bot = await bench.recovered()
    closed = _recovered(bench)
    assert closed.state is CycleState.UNWOUND
    assert len(bench.venue.exchange.inquiry.fills("main")) >= len(held) + 2
    back = [one.intent for one in _intents(bench) if one.intent.role is OrderRole.UNWIND]
    assert {one.cycle for one in back} >= {closed.cycle}
    for asset, amount in closed.flows.items():
        assert asset == closed.start_asset or amount >= 0, f"more {asset} was sold than was held"
    await bench.check(await _trade_and_stop(bench, bot))


async def test_killed_at_one_point_after_the_other_all_adds_up(bench: Bench, is_long: bool) -> None:
    for number, (point, nth) in enumerate((*POINTS, *(LONG if is_long else ()))):
        # Alternately the disk has everything that was written, and what it happens to have.
        await bench.killed_at(point, nth, settled=number % 2 == 0)
    found = await bench.check(await _trade_and_stop(bench))
    assert found.fills


async def _trade_and_stop(bench: Bench, bot: Bot | None = None) -> dict[str, object]:
    """Let a bot end a few cycles, then stop it in good order."""
    bot = await bench.recovered() if bot is None else bot
    await bot.until_state(lambda state: sum(state.cycles.values()) >= 3)
    return await bot.stopped()


def _recovered(bench: Bench) -> CycleClosed:
    """Return how the first cycle ended that a start found under way."""
    closed = [
        one.record
        for _, one in bench.journal()
        if isinstance(one.record, CycleClosed) and one.record.is_recovered
    ]
    return closed[0]


def _intents(bench: Bench) -> list[IntentWritten]:
    return [one.record for _, one in bench.journal() if isinstance(one.record, IntentWritten)]


def _ends(bench: Bench) -> list[OrderEnded]:
    return [one.record for _, one in bench.journal() if isinstance(one.record, OrderEnded)]


def _fills(bench: Bench) -> list[ExecutionBooked]:
    return [one.record for _, one in bench.journal() if isinstance(one.record, ExecutionBooked)]


async def _until_ordered(bench: Bench, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(bench.orders()) < count:
            await asyncio.sleep(0.002)
