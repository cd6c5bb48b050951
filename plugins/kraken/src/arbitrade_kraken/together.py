"""Coroutines that live and die together."""

import asyncio
from collections.abc import Coroutine


async def together(*coroutines: Coroutine[object, object, None]) -> None:
    """Run all until each has returned or one fails; none outlives the call.

    Not a `TaskGroup`: when a child fails while its owner is being cancelled, a group raises the
    child's error and the cancellation is lost, so that whoever goes on after errors can't be ended.

    Raises:
        Exception: What the first that failed raised, as it is.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
