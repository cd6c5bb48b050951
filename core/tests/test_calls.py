"""Guarded calls: seen from a thread, interrupted within the plugin's code and nowhere else."""

import asyncio
import threading
import time

import pytest

from arbitrade.calls import Call, Calls, PluginInterruptedError, awaited, guard, is_core

SINK = Call("alert_sinks", "bell")


@guard
def guarded(calls: Calls, plugin) -> BaseException | None:
    before = calls.enter(SINK)
    try:
        plugin()
        calls.leave(before)
    except BaseException as error:
        calls.leave(before)
        return error
    return None


class Interrupter:
    """Interrupts whatever it can, from a thread, until it is told to stop."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._ended = threading.Event()
        self.done = 0

    def __enter__(self) -> "Interrupter":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.done += self._calls.interrupt()


def loops() -> None:
    while True:
        pass


def test_a_loop_without_end_is_interrupted() -> None:
    calls = Calls()
    with Interrupter(calls):
        error = guarded(calls, loops)
    assert isinstance(error, PluginInterruptedError)
    assert calls.call is None


def test_nothing_is_interrupted_but_the_plugin() -> None:
    """Interruptions all the time, and none of them ever arrives outside a guarded call."""
    calls, errors, kept = Calls(), 0, 0
    with Interrupter(calls) as interrupter:
        until = time.monotonic() + 60
        while interrupter.done < 20 and time.monotonic() < until:
            errors += guarded(calls, lambda: sum(range(2_000))) is not None
            for number in range(200):  # core's own work
                kept += number
    assert interrupter.done >= 20
    assert errors <= interrupter.done
    assert kept % sum(range(200)) == 0


def test_what_a_plugin_calls_of_core_is_not_interrupted() -> None:
    calls, seen = Calls(), []

    def ask() -> None:
        # `frame` and what it calls stand for core: the innermost frame is ours there.
        seen.append(calls.frame())

    assert guarded(calls, ask) is None
    assert seen
    assert is_core(Calls.interrupt.__code__)
    assert not is_core(ask.__code__)


def test_no_call_no_interruption() -> None:
    assert not Calls().interrupt()


async def test_each_step_of_a_coroutine_is_a_call_and_waiting_is_none() -> None:
    calls, seen = Calls(), []
    goes_on = asyncio.Event()

    async def send() -> str:
        seen.append(calls.call)
        await goes_on.wait()
        seen.append(calls.call)
        return "sent"

    task = asyncio.create_task(awaited(calls, SINK, send()))
    while not seen:
        await asyncio.sleep(0)
    assert calls.call is None
    goes_on.set()
    assert await task == "sent"
    assert seen == [SINK, SINK]
    assert calls.count >= 2


async def test_a_coroutine_that_goes_on_after_its_end_is_left() -> None:
    ran = []

    async def stay() -> None:
        while True:
            ran.append(1)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ran.append(2)

    task = asyncio.create_task(awaited(Calls(), SINK, stay(), grace_s=0.01))
    while not ran:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timeouts_of_a_plugins_own_are_its_own() -> None:
    async def patient() -> int:
        count = 0
        for _ in range(3):
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.Event().wait()
            except TimeoutError:
                count += 1
        return count

    assert await awaited(Calls(), SINK, patient()) == 3


async def test_a_plugin_that_wants_to_exit_only_fails() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        await awaited(Calls(), SINK, leave())
