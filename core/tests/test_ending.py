"""A process ends when it is asked to, whatever its event loop does."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from arbitrade.process.ending import EXIT_HELD, Ending


class Exit:
    """Takes the exit code in place of the operating system."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.came = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.came.set()


@pytest.fixture
async def make():
    made: list[Ending] = []

    def make(leave: Exit, stop: Callable[[], None] = lambda: None, **seconds: float) -> Ending:
        ending = Ending(stop, lambda: "plugin bell at bell.py:3", leave=leave, **seconds)
        made.append(ending)
        return ending

    yield make
    for ending in made:
        ending.over()
        ending.end()


async def test_a_loop_held_up_after_the_time_is_over_ends_the_process(make, capfd) -> None:
    leave = Exit()
    make(leave, grace_s=0.1).begin(seconds=0.0)
    assert leave.came.wait(60)  # holds the loop, as a plugin would
    assert leave.codes == [EXIT_HELD]
    assert "plugin bell at bell.py:3" in capfd.readouterr().err


async def test_a_loop_held_up_while_nobody_wants_an_end_is_left_alone(make) -> None:
    leave = Exit()
    make(leave, grace_s=0.1).begin()
    time.sleep(0.5)  # noqa: ASYNC251 - holding the loop is what this is about
    assert leave.codes == []


async def test_what_is_left_after_everything_is_over_has_its_time(make) -> None:
    leave = Exit()
    ending = make(leave, hurry_s=0.2)
    ending.begin()
    ending.over()
    while not leave.codes:
        await asyncio.sleep(0.01)
    assert leave.codes == [EXIT_HELD]
