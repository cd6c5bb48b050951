"""Alerts: every sink at its own pace."""

import asyncio
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from arbitrade import Alert, Severity
from arbitrade.alerts.dispatch import Alerts
from arbitrade.errors import ArbitradeError


class Sink:
    def __init__(self, name: str, gate: asyncio.Event | None = None, fails: bool = False) -> None:
        self.name = name
        self.gate = gate
        self.fails = fails
        self.got: list[str] = []

    async def send(self, alert: Alert) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise OSError("unreachable")
        self.got.append(alert.title)


def alert(title: str) -> Alert:
    return Alert(Severity.WARNING, title)


async def test_a_slow_or_broken_sink_only_hurts_itself() -> None:
    gate = asyncio.Event()
    quick, slow, broken = Sink("quick"), Sink("slow", gate), Sink("broken", fails=True)
    alerts = Alerts([slow, broken, quick], limit=2)
    task = asyncio.create_task(alerts.run())
    for title in "abcde":
        alerts.raise_alert(alert(title))
        # The slow one never empties its queue; the others get room between alerts.
        for _ in range(5):
            await asyncio.sleep(0)
    assert quick.got == list("abcde")
    gate.set()
    await alerts.drain(5)
    assert slow.got == ["a", "d", "e"]  # one in hand, the two newest kept
    assert alerts.dropped == 2
    assert alerts.failed == 5
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ArbitradeError("address 1 (Mail) did not answer"), "address 1 (Mail) did not answer"),
        (OSError("https://chat.example/bot-token"), "OSError"),
    ],
    ids=["ours", "foreign"],
)
async def test_a_failure_is_logged_with_our_own_words_and_never_with_foreign_ones(
    error: Exception, logged: str
) -> None:
    class Refusing(Sink):
        async def send(self, alert: Alert) -> None:
            raise error

    alerts = Alerts([Refusing("refusing")])
    with capture_logs() as logs:
        task = asyncio.create_task(alerts.run())
        alerts.raise_alert(alert("a"))
        await alerts.drain(5)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert [log["error"] for log in logs if log["event"] == "alert.failed"] == [logged]


async def test_draining_gives_up_after_its_time_and_counts_what_is_left() -> None:
    alerts = Alerts([Sink("stuck", asyncio.Event())])
    task = asyncio.create_task(alerts.run())
    for title in "abc":
        alerts.raise_alert(alert(title))
    await alerts.drain(0.01)
    assert alerts.dropped == 2
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_sink_that_hangs_is_given_up_after_its_time() -> None:
    alerts = Alerts([Sink("stuck", asyncio.Event())], timeout_s=0.01)
    task = asyncio.create_task(alerts.run())
    alerts.raise_alert(alert("a"))
    await alerts.drain(5)
    assert alerts.failed == 1
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
