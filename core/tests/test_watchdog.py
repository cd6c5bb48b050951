"""F40: an event loop that is held up is noticed while it hangs, and measured afterwards."""

import asyncio
import threading

import attrs
import pytest
import structlog

from arbitrade.process.watchdog import Watchdog
from arbitrade.protocols import Service
from arbitrade.testing.patience import PATIENCE_S


@attrs.define
class Time:
    """A clock that moves when told."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_is_a_service() -> None:
    service: Service = Watchdog()
    assert service.name == "watchdog"


def test_lag_is_zero_while_nothing_beats_and_while_beats_come_in_time() -> None:
    time = Time()
    watchdog = Watchdog(beat_s=0.05, now_s=time)
    time.now += 100
    assert watchdog.event_lag_s == 0
    watchdog.beat()
    time.now += 0.05
    watchdog.beat()
    assert watchdog.event_lag_s == pytest.approx(0)


def test_lag_is_seen_before_the_late_beat_and_kept_until_the_next_one() -> None:
    time = Time()
    watchdog = Watchdog(beat_s=0.05, now_s=time)
    watchdog.beat()
    time.now += 5.05  # a callback took five seconds; what runs next must know
    assert watchdog.event_lag_s == pytest.approx(5)
    watchdog.beat()
    assert watchdog.event_lag_s == pytest.approx(5)
    time.now += 0.05
    watchdog.beat()
    assert watchdog.event_lag_s == pytest.approx(0)
    assert watchdog.counters["watchdog.worst_lag_ms"] == 5000


def test_stall_is_reported_once_and_its_end_too() -> None:
    time, told = Time(), []
    watchdog = Watchdog(patience_s=2, beat_s=0.05, on_stall=told.append, now_s=time)
    with structlog.testing.capture_logs() as logged:
        watchdog.beat()
        for _ in range(20):
            time.now += 0.5
            watchdog.check()
        watchdog.beat()
        watchdog.check()
        watchdog.check()
    assert [entry["event"] for entry in logged] == ["event_loop.stalled", "event_loop.goes_on"]
    assert logged[1]["seconds"] == pytest.approx(9.95)
    assert len(told) == 1
    assert watchdog.counters["watchdog.stalls"] == 1


def test_each_stall_is_counted() -> None:
    time = Time()
    watchdog = Watchdog(patience_s=2, now_s=time)
    for _ in range(3):
        watchdog.beat()
        for _ in range(6):
            time.now += 0.5
            watchdog.check()
        watchdog.beat()
        watchdog.check()
    assert watchdog.counters["watchdog.stalls"] == 3


def test_machine_that_slept_is_no_stall_of_the_loop() -> None:
    time = Time()
    watchdog = Watchdog(patience_s=2, now_s=time)
    watchdog.beat()
    watchdog.check()
    time.now += 3600
    with structlog.testing.capture_logs() as logged:
        watchdog.check()
    assert [entry["event"] for entry in logged] == ["event_loop.process_paused"]
    assert watchdog.counters["watchdog.stalls"] == 0
    assert watchdog.counters["watchdog.pauses"] == 1


async def test_a_loop_that_hangs_is_reported_with_the_place_it_hangs_at() -> None:
    noticed = threading.Event()
    watchdog = Watchdog(patience_s=0.02, beat_s=0.005, on_stall=lambda _: noticed.set())
    task = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0)

    def a_plugin_that_computes() -> None:
        assert noticed.wait(PATIENCE_S)  # holds the loop until the thread has seen it

    with structlog.testing.capture_logs() as logged:
        a_plugin_that_computes()
    assert watchdog.event_lag_s > 0.02
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    stalled = next(entry for entry in logged if entry["event"] == "event_loop.stalled")
    assert "a_plugin_that_computes" in stalled["at"]
    assert watchdog.counters["watchdog.stalls"] >= 1


async def test_its_thread_ends_with_it() -> None:
    before = set(threading.enumerate())
    task = asyncio.create_task(Watchdog(patience_s=0.02).run())
    await asyncio.sleep(0)
    assert set(threading.enumerate()) != before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not [t for t in set(threading.enumerate()) - before if t.name == "watchdog"]
