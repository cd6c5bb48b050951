"""The event loop everything runs on: uvloop or winloop where there is one, else asyncio's own."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Literal, cast

from arbitrade.errors import ConfigError

type LoopName = Literal["auto", "asyncio", "uvloop", "winloop"]
type LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run[T](main: Coroutine[object, object, T], name: LoopName = "auto") -> T:
    """Run a coroutine to its end on a new event loop; Ctrl-C cancels it.

    Args:
        main: What to run.
        name: Which loop; `auto` takes the fastest that is installed.

    Raises:
        ConfigError: The loop that was asked for is not installed.
    """
    try:
        factory = loop_factory(name)
    except ConfigError:
        main.close()
        raise
    return asyncio.run(main, loop_factory=factory)


def loop_factory(name: LoopName = "auto") -> LoopFactory | None:
    """Return what makes the loop; None is asyncio's own choice for this platform.

    Raises:
        ConfigError: The loop that was asked for is not installed.
    """
    if name == "asyncio":
        return None
    wanted = _FAST.get(sys.platform, "uvloop") if name == "auto" else name
    try:
        # Not imported by name: neither exists for every platform.
        module = import_module(wanted)
    except ImportError as error:
        if name == "auto":
            return None
        raise ConfigError(
            f"runtime.event_loop: {name!r} is not installed; install arbitrade[fast], or write "
            '"auto"'
        ) from error
    return cast(LoopFactory, module.new_event_loop)


_FAST = {"win32": "winloop"}
"""The fast loop of each platform where it is not uvloop."""
