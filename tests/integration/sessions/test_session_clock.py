"""Time that is wrong, and time that is lost: F39, F40."""

import asyncio
import time
from datetime import datetime
from decimal import Decimal

import pytest

from arbitrade.records import IntentWritten
from arbitrade.trading.run.clock import RunClock

HOUR_NS = 3_600_000_000_000


class Wall:
    """A wall clock that can be set."""

    def __init__(self, off_ns: int = 0) -> None:
        self.off_ns = off_ns

    def __call__(self) -> int:
        return time.time_ns() + self.off_ns


def compute() -> None:
    """Hold the event loop up, as a plugin that computes."""
    time.sleep(3.0)


@pytest.mark.parametrize("step_ns", [HOUR_NS, -HOUR_NS], ids=["ahead", "back"])
async def test_f39_a_wall_clock_that_is_set_stops_new_cycles_and_spoils_no_deadline(bench, step_ns):
    wall = Wall()
    async with bench.running(clock=RunClock(wall_ns=wall)) as bot:
        await bot.until_more_cycles()
        bench.inject("slow_response", method="add_order", value=Decimal(150), for_ms=0)
        await bot.until(lambda: bool(bot.state.cycles), "an open cycle")
        wall.off_ns = step_ns
        # The cycle under way goes to its end: the venue takes its deadlines.
        await bot.until(lambda: not bot.state.cycles, "its end")
        bench.faults.clear()
        await bot.until(lambda: bot.has_alert("error: the clock is off by"), "an alert")
        await bot.refuses_everything("clock_skew", 3)
        wall.off_ns = 0
        await bot.until_more_cycles()
        assert bot.has_alert("info: the clock is right again")
    await bench.assert_whole(bot)
    assert bot.state.portfolio.cycles["flagged"] == 0
    deadlines = [one.intent.request.deadline for one in bot.records(IntentWritten)]
    now_s = time.time()
    assert all(isinstance(at, datetime) and abs(at.timestamp() - now_s) < 600 for at in deadlines)


async def test_f39_a_clock_three_seconds_off_the_venues_trades_nothing_and_says_so(bench):
    async with bench.running(clock=RunClock(wall_ns=Wall(-3_000_000_000))) as bot:
        await bot.wait_frames(150)
        assert bot.begun == 0
        assert bot.has_alert("error: the clock is off by")
        refused = bot.refusals["clock_skew"] + bot.refusals["decision_age"]
        assert refused > 0 or bot.session.parts.rig.engine.counters.get("stale", 0) > 0
    await bench.assert_whole(bot)
    assert bench.orders() == {}


async def test_f40_an_event_loop_that_was_held_up_decides_nothing_on_what_waited(bench):
    limits = {"risk": {"maximum_event_lag_s": "0.5"}, "kraken": {"max_lag_s": 0.5}}
    async with bench.running(limits) as bot:
        await bot.until_more_cycles()
        begun = bot.begun
        compute()
        # What waited is read in the loop's next turns; what begins later began on fresh books.
        for _ in range(5):
            await asyncio.sleep(0)
        assert bot.begun <= begun + 1
        await bot.until(lambda: bot.session.parts.watchdog.event_lag_s < 0.5, "the loop's return")
        lags = [alert for alert in bot.alerts() if "event loop was held up" in alert]
        assert len(lags) == 1
        assert bot.session.state().counters["watchdog.stalls"] == 1
        await bot.until_more_cycles()
    await bench.assert_whole(bot)
