"""How long tests wait for what has to come.

There is one number for all, far above what a busy machine needs: who waits in vain waits for it
once, and who doesn't never notices.  A test that says how *quickly* something happens compares
events, not seconds.
"""

import asyncio
from collections.abc import Callable

__all__ = ["PATIENCE_S", "until"]

PATIENCE_S = 120.0


async def until(holds: Callable[[], bool], what: str = "", *, every_s: float = 0.005) -> None:
    """Wait until something holds that nobody announces.

    Args:
        holds: Is asked again and again.
        what: In words, for the message.
        every_s: How long between two looks.

    Raises:
        AssertionError: It didn't come.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110  # nobody sets an event
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what or holds}") from None
