"""Coroutines that live and die together.

Not a `TaskGroup`: when a child fails while its owner is being cancelled, a group raises the child's
error and the cancellation is lost, so that whoever goes on after errors can't be ended.
"""

import asyncio
from collections.abc import Coroutine, Iterable

type _Work = Coroutine[object, object, None]


async def together(*coroutines: _Work) -> None:
    """Run all until each has returned or one fails; none outlives the call.

    Raises:
        Exception: What the first that failed raised, as it is.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await _until_done(tasks, tasks)
    finally:
        await _ended(tasks)


async def while_running(work: _Work, *beside: _Work) -> None:
    """Run `work` to its end, and the others beside it only so long; none outlives the call.

    Raises:
        Exception: What the first that failed raised, as it is.
    """
    working = asyncio.ensure_future(work)
    tasks = [working, *(asyncio.ensure_future(coroutine) for coroutine in beside)]
    try:
        await _until_done([working], tasks)
    finally:
        await _ended(tasks)


async def _until_done(
    awaited: "Iterable[asyncio.Future[None]]", tasks: "Iterable[asyncio.Future[None]]"
) -> None:
    pending = set(tasks)
    while not all(task.done() for task in awaited):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


async def _ended(tasks: "Iterable[asyncio.Future[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
