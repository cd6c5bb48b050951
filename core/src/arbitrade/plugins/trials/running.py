"""Runs what may raise, block, or never end, and says which it did and where."""

import asyncio
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PATIENCE_S = 30.0
"""How long a trial may take; a trial that is done right takes milliseconds."""

BLOCKED_S = 2.5
"""How long one call may take that must not block.  Right ones take microseconds, and a machine that
is busy with other things gets the rest."""


class TrialOverError(BaseException):
    """Ends a trial that would take too long.  No `Exception`, so that `except` lets it through."""


class ForeignAwaitError(Exception):
    """A coroutine that may await nothing but its desk awaited something else."""


def within(seconds: float, act: Callable[[], list[str]]) -> list[str]:
    """Return what `act` found; that it did not end, or what it raised, is a finding too.

    It runs in a thread of its own, which is left behind when it doesn't end.
    """
    found: list[str] = []

    def run() -> None:
        try:
            found.extend(act())
        except TrialOverError as error:
            found.append(str(error))
        except Exception as error:
            found.append(raised(error))

    thread = threading.Thread(target=run, name="trial", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return [*found, f"it did not end within {seconds:g} s; it waits for something, or loops"]
    return found


def raised(error: BaseException) -> str:
    """Return what was raised and where, in half a sentence."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}: {error}{where}"


@contextmanager
def timed(what: str) -> Iterator[None]:
    """See that what is inside takes no longer than anything on the hot path may.

    Raises:
        TrialOverError: It did, and would so each time.
    """
    began = time.perf_counter()
    yield
    took_s = time.perf_counter() - began
    if took_s > BLOCKED_S:
        raise TrialOverError(
            f"{what} took {took_s:.1f} s; everything waits for it, so do the work at the start"
        )


def stepped[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine comes to that awaits only what is there at once.

    Raises:
        ForeignAwaitError: It awaited something that an event loop would have to bring.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    except RuntimeError as error:
        if "event loop" in str(error):
            raise ForeignAwaitError(str(error)) from error
        raise
    with suppress(BaseException):
        coroutine.close()
    raise ForeignAwaitError(repr(awaited))


def looped(act: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Return what `act` found in an event loop of its own, and that it held the loop up if so."""
    return asyncio.run(unblocked(act))


async def unblocked(act: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """Return what `act` found, and that it held the event loop up if so."""
    longest_s = 0.0
    task = asyncio.ensure_future(act())
    while not task.done():
        began = time.perf_counter()
        await asyncio.wait([task], timeout=0.02)
        longest_s = max(longest_s, time.perf_counter() - began)
    found = await task
    if longest_s > BLOCKED_S:
        found.append(
            f"it held the event loop up for {longest_s:.1f} s, and the whole bot with it; await, "
            "or use asyncio.to_thread"
        )
    return found
