"""Brings alerts to the sinks: a queue and a task for each."""

import asyncio
from collections.abc import Sequence

import structlog

from arbitrade.errors import ArbitradeError
from arbitrade.models import Alert
from arbitrade.protocols import AlertSink


class Alerts:
    """Hands alerts to sinks, each at its own pace: a slow or broken one only hurts itself.

    Args:
        sinks: Where alerts go.
        limit: Alerts waiting per sink; the oldest is dropped, and counted, when one more comes.
        timeout_s: A delivery that takes longer is given up and counted as failed.
    """

    def __init__(
        self, sinks: Sequence[AlertSink], limit: int = 100, timeout_s: float = 30.0
    ) -> None:
        self._queues = [(sink, asyncio.Queue[Alert](limit)) for sink in sinks]
        self._timeout_s = timeout_s
        self.sent = 0
        self.dropped = 0
        self.failed = 0

    def raise_alert(self, alert: Alert) -> None:
        """Queue an alert for every sink; never waits."""
        for _, queue in self._queues:
            if queue.full():
                queue.get_nowait()
                queue.task_done()
                self.dropped += 1
            queue.put_nowait(alert)

    async def run(self) -> None:
        """Deliver what is raised, with a task for each sink, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for sink, queue in self._queues:
                group.create_task(self._deliver(sink, queue), name=f"alerts {sink.name}")

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything queued was delivered or given up, at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                for _, queue in self._queues:
                    await queue.join()
        except TimeoutError:
            self.dropped += sum(queue.qsize() for _, queue in self._queues)

    async def _deliver(self, sink: AlertSink, queue: asyncio.Queue[Alert]) -> None:
        log = structlog.stdlib.get_logger(__name__).bind(sink=sink.name)
        while True:
            alert = await queue.get()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await sink.send(alert)
                self.sent += 1
            except Exception as error:
                # Whatever a sink raises: an alert must never end what it is about.
                self.failed += 1
                log.warning("alert.failed", title=alert.title, error=_reason(error))
            finally:
                queue.task_done()


def _reason(error: Exception) -> str:
    """Return what may be logged: our own errors hold no secrets, foreign ones may quote an URL."""
    return str(error) if isinstance(error, ArbitradeError) else type(error).__name__
