"""Tries out what stands beside the trading: alert sinks, stores, services."""

import asyncio

from arbitrade.errors import ArbitradeError
from arbitrade.models import Alert, Severity
from arbitrade.plugins.trials.running import looped, raised
from arbitrade.protocols import AlertSink, OpportunityStore, Service
from arbitrade.synthetic.view import make_opportunity

ALERT = Alert(
    Severity.CRITICAL,
    "a trial of `arbitrade plugins check`",
    "Nothing has happened; wird auch mit „ß“ und 5 € fertig.",
    subject="plugins check",
)

_SERVED_S = 0.1
"""How long a service runs before it is stopped."""

_GRACE_S = 10.0
"""How long it may take to stop."""


def try_sink(sink: AlertSink) -> list[str]:
    """Return what is wrong with a sink; that it reaches nobody is not."""

    async def send() -> list[str]:
        try:
            await asyncio.wait_for(sink.send(ALERT), _GRACE_S)
        except (ArbitradeError, OSError):  # TimeoutError is one of them
            return []
        except Exception as error:
            return [f"{sink.name}.send: {raised(error)}; nobody gets the alert then"]
        return []

    return [_named(sink.name, "send", problem) for problem in looped(send)]


def try_store(store: OpportunityStore) -> list[str]:
    """Return what is wrong with a store that is written to and closed, twice."""
    long = make_opportunity(edge_bps="13.60123456789012345678", size="15020.005")
    blocked = make_opportunity(blocked="below the minimum of ETH/USD")
    calls: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("write", (long, 1)),
        ("write", (blocked, 2)),
        ("close", ()),
        ("close", ()),
    )
    problems = []
    for member, arguments in calls:
        subject = f"{type(store).__name__}.{member}"
        try:
            answer: object = getattr(store, member)(*arguments)
        except Exception as error:
            problems.append(f"{subject}: {raised(error)}; it has to work, close() twice as well")
            continue
        if answer is not None:
            problems.append(f"{subject}: returned {answer!r:.100}; it has to return nothing")
    return list(dict.fromkeys(problems))


def try_service(service: Service) -> list[str]:
    """Return what is wrong with how a service runs for a moment and is stopped."""
    return [_named(service.name, "run", problem) for problem in looped(lambda: served(service))]


async def served(service: Service) -> list[str]:
    """Run a service for a moment in this event loop and stop it; return what is wrong with it."""
    task = asyncio.create_task(service.run())
    await asyncio.wait([task], timeout=_SERVED_S)
    if task.done():
        return _ended_early(task)
    task.cancel()
    await asyncio.wait([task], timeout=_GRACE_S)
    if not task.done():
        return [
            f"went on for {_GRACE_S:g} s after it was cancelled; let CancelledError through, or "
            "the bot can't stop"
        ]
    if task.cancelled():
        return []
    error = task.exception()
    if error is None:
        return ["swallowed its cancellation; clean up in `finally`, or raise it again"]
    return [f"{raised(error)} when it was stopped; only CancelledError may come out then"]


def _ended_early(task: "asyncio.Task[None]") -> list[str]:
    error = task.exception()
    if error is None:
        return ["ended by itself; serve until cancelled, or don't register where there is no use"]
    if isinstance(error, ArbitradeError | OSError):
        return []  # it says itself what is wrong with the place it is tried at
    return [raised(error)]


def _named(name: str, member: str, problem: str) -> str:
    return problem if problem.startswith(f"{name}.{member}") else f"{name}.{member}: {problem}"
