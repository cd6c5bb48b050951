"""Brings alerts to the sinks: a queue and a task for each."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

import attrs
import structlog

from arbitrade.calls import Call, Calls, OnFault, PluginInterruptedError, awaited
from arbitrade.errors import ArbitradeError
from arbitrade.models import Alert
from arbitrade.protocols import AlertSink


@attrs.define(eq=False)
class _Line:
    """A sink and what waits for it."""

    sink: AlertSink
    name: str
    queue: asyncio.Queue[Alert]
    task: "asyncio.Task[None] | None" = None


class Alerts:
    """Hands alerts to sinks, each at its own pace: a slow or broken one only hurts itself.

    Args:
        sinks: Where alerts go.
        limit: Alerts waiting per sink; the oldest is dropped, and counted, when one more comes.
        timeout_s: A delivery that takes longer is given up and counted as failed.
        calls: Told while a sink runs.
        on_fault: Told what a sink raised.  Not so an error of ours, by which a sink says that it
            couldn't deliver, nor a delivery given up: the address may be away for hours, and the
            sink is still wanted after it.
    """

    def __init__(
        self,
        sinks: Sequence[AlertSink],
        limit: int = 100,
        timeout_s: float = 30.0,
        *,
        calls: Calls | None = None,
        on_fault: OnFault = lambda role, name, error, source: None,
    ) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._calls = calls if calls is not None else Calls()
        self._on_fault = on_fault
        self._group: asyncio.TaskGroup | None = None
        self._lines: dict[str, _Line] = {}
        self.sent = 0
        self.dropped = 0
        self.failed = 0
        self.add(sinks)

    def add(self, sinks: Iterable[AlertSink]) -> None:
        """Hand alerts to more sinks from now on."""
        for sink in sinks:
            name = sink.name
            line = self._lines[name] = _Line(sink, name, asyncio.Queue(self._limit))
            self._start(line)

    def drop(self, names: Iterable[str]) -> None:
        """Hand nothing more to these sinks, and let go of what waits for them."""
        for name in names:
            line = self._lines.pop(name, None)
            if line is None:
                continue
            self.dropped += line.queue.qsize()
            if line.task is not None:
                line.task.cancel()

    def raise_alert(self, alert: Alert, but: Collection[str] = ()) -> None:
        """Queue an alert for every sink; never waits.

        Args:
            alert: What there is to tell.
            but: Names of sinks it doesn't go to: those it is about.
        """
        for line in self._lines.values():
            if line.name in but:
                continue
            if line.queue.full():
                line.queue.get_nowait()
                line.queue.task_done()
                self.dropped += 1
            line.queue.put_nowait(alert)

    async def run(self) -> None:
        """Deliver what is raised, with a task for each sink, until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for line in self._lines.values():
                    self._start(line)
                await asyncio.Event().wait()
        finally:
            self._group = None

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything queued was delivered or given up, at most `timeout_s`."""
        lines = list(self._lines.values())
        try:
            async with asyncio.timeout(timeout_s):
                for line in lines:
                    await line.queue.join()
        except TimeoutError:
            self.dropped += sum(line.queue.qsize() for line in lines)

    def _start(self, line: _Line) -> None:
        if self._group is not None:
            line.task = self._group.create_task(self._deliver(line), name=f"alerts {line.name}")

    async def _deliver(self, line: _Line) -> None:
        log = structlog.stdlib.get_logger(__name__).bind(sink=line.name)
        call = Call("alert_sinks", line.name)
        while True:
            alert = await line.queue.get()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await awaited(self._calls, call, line.sink.send(alert))
                self.sent += 1
            except (Exception, PluginInterruptedError) as error:
                # Whatever a sink raises: an alert must never end what it is about.
                self.failed += 1
                log.warning("alert.failed", title=alert.title, error=_reason(error))
                if not isinstance(error, ArbitradeError | TimeoutError):
                    self._on_fault("alert_sinks", line.name, error, type(line.sink).send)
                if _is_cancelled():
                    return  # it swallowed that
            finally:
                line.queue.task_done()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _reason(error: BaseException) -> str:
    """Return what may be logged: our own errors hold no secrets, foreign ones may quote an URL."""
    return str(error) if isinstance(error, ArbitradeError) else type(error).__name__
