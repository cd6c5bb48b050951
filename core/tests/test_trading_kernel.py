"""Coroutines run by events: stepped when something happened or time came, never otherwise."""

import asyncio

import pytest

from arbitrade.trading.machine.kernel import Process, Timers, Wait


class Ends:
    """Takes how processes ended."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, Exception | None]] = []

    def __call__(self, result: object, error: Exception | None) -> None:
        self.seen.append((result, error))


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_process_waits_until_its_condition_holds(ends):
    ready: list[int] = []

    async def work() -> bool:
        return await Wait(lambda: bool(ready))

    process = Process(work(), ends)
    process.step(0)
    process.step(10**18)
    assert ends.seen == []
    ready.append(1)
    process.step(0)
    assert ends.seen == [(True, None)]


def test_wait_that_runs_out_says_that_it_did_not_hold(ends):
    async def work() -> bool:
        return await Wait(lambda: False, 100)

    process = Process(work(), ends)
    process.step(99)
    assert ends.seen == []
    process.step(100)
    assert ends.seen == [(False, None)]


def test_process_runs_on_as_far_as_it_goes_in_one_step(ends):
    async def work() -> list[bool]:
        return [await Wait(lambda: True), await Wait(lambda: True), await Wait(lambda: False, 5)]

    Process(work(), ends).step(5)
    assert ends.seen == [([True, True, False], None)]


def test_error_ends_the_process_and_not_its_caller(ends):
    error = RuntimeError("broken")

    async def work() -> None:
        raise error

    process = Process(work(), ends)
    process.step(0)
    process.step(0)
    assert ends.seen == [(None, error)]


def test_condition_that_raises_ends_the_process_as_well(ends):
    tidied = []

    def broken() -> bool:
        raise RuntimeError("broken")

    async def work() -> None:
        try:
            await Wait(broken)
        finally:
            tidied.append(1)

    Process(work(), ends).step(0)
    ((result, error),) = ends.seen
    assert (result, str(error), tidied) == (None, "broken", [1])


async def test_awaiting_anything_else_ends_the_process(ends):
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    Process(work(), ends).step(0)
    assert isinstance(ends.seen[0][1], TypeError)


def test_step_within_a_step_does_nothing(ends):
    depth = []

    async def work() -> str:
        depth.append(1)
        process.step(0)
        await Wait(lambda: True)
        return "done"

    process = Process(work(), ends)
    process.step(0)
    assert (depth, ends.seen) == ([1], [("done", None)])


def test_process_given_up_tidies_up_and_tells_nobody(ends):
    tidied = []

    async def work() -> None:
        try:
            await Wait(lambda: False)
        finally:
            tidied.append(1)

    process = Process(work(), ends)
    process.step(0)
    process.stop()
    process.step(10**18)
    assert (tidied, ends.seen) == ([1], [])


def test_timers_run_in_order_of_time_then_of_being_set():
    timers, called = Timers(), []
    for name, due in (("b", 20), ("a", 10), ("c", 20), ("later", 21)):
        timers.at(due, lambda name=name: called.append(name))
    assert timers.next_ns == 10
    assert timers.run(20) == 3
    assert (called, timers.next_ns) == (["a", "b", "c"], 21)


def test_timer_that_is_set_by_a_timer_and_due_runs_at_once():
    timers, called = Timers(), []
    timers.at(10, lambda: timers.at(5, lambda: called.append("second")))
    assert timers.run(10) == 2
    assert called == ["second"]
    assert timers.next_ns is None


def test_timer_that_raises_is_gone_and_keeps_no_other_from_running():
    timers, called = Timers(), []

    def fail() -> None:
        raise RuntimeError

    timers.at(1, fail)
    timers.at(2, lambda: called.append(1))
    with pytest.raises(RuntimeError):
        timers.run(5)
    timers.run(5)
    assert called == [1]
