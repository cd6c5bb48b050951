"""What every command with an event loop needs of its tasks: signals, services, the first error."""

import asyncio
import signal
from collections.abc import Callable

import structlog

from arbitrade.calls import Call, Calls, OnFault, PluginInterruptedError, awaited
from arbitrade.errors import ArbitradeError
from arbitrade.protocols import Service

log = structlog.stdlib.get_logger(__name__)
_POLL_S = 0.02


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Have `stop` called on Ctrl-C and SIGTERM, also where an event loop can't wait for signals."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


async def guarded(
    service: Service,
    calls: Calls | None = None,
    on_fault: OnFault = lambda role, name, error, source: None,
) -> None:
    """Run a service; one that raises must not take down what it runs beside, and stays ended.

    Args:
        service: Runs until it is cancelled.
        calls: Told while it runs.
        on_fault: Told what it raised, but an error of ours: with that it says why it ends.
    """
    name = service.name
    call = Call("services", name)
    try:
        await awaited(calls if calls is not None else Calls(), call, service.run())
    except ArbitradeError as error:
        # Says what to do; a traceback would only hide that.
        log.error("service.failed", service=name, error=str(error))  # noqa: TRY400
    except (Exception, PluginInterruptedError) as error:
        log.exception("service.failed", service=name, error=str(error))
        on_fault("services", name, error, type(service).run)


async def stopped_or_after(stop: asyncio.Event, seconds: float | None) -> bool:
    """Wait for `stop`, at most `seconds`; return whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that nobody announces."""
    while not holds():  # noqa: ASYNC110 - once or twice a run; an event for each would be worse
        await asyncio.sleep(_POLL_S)


def first_of(group: BaseExceptionGroup[ArbitradeError]) -> ArbitradeError:
    """Return the first error of a group, however deep it is nested."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ArbitradeError)
    return error
