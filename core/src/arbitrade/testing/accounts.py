"""A handler that remembers what an account told, for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from arbitrade.models import Balance, BalanceChange, ExecutionReport
from arbitrade.protocols import Account
from arbitrade.testing.patience import PATIENCE_S


class AccountRecorder:
    """An `AccountHandler` that keeps everything, and lets a test wait for it."""

    def __init__(self) -> None:
        self.reports: list[ExecutionReport] = []
        self.changes: list[BalanceChange] = []
        self.balances: list[Sequence[Balance]] = []
        self.gaps: list[str] = []
        self.readiness: list[bool] = []
        self._event = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """What was told last."""
        return bool(self.readiness) and self.readiness[-1]

    def reports_of(self, client_id: str) -> list[ExecutionReport]:
        """Return the events of one order, in the order they came."""
        return [report for report in self.reports if report.client_id == client_id]

    def has_ended(self, client_id: str) -> bool:
        """Tell whether an order was reported as ended."""
        return any(report.status.is_final for report in self.reports_of(client_id))

    async def until(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until something that was told makes the condition true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._event.clear()
                await self._event.wait()

    def wake(self) -> None:
        """Have conditions looked at again."""
        self._event.set()

    def on_execution(self, report: ExecutionReport, is_snapshot: bool) -> None:
        """Keep what was told, in order."""
        self.reports.append(report)
        self.wake()

    def on_balance(self, change: BalanceChange) -> None:
        """Keep what was told, in order."""
        self.changes.append(change)
        self.wake()

    def on_balances(self, balances: Sequence[Balance]) -> None:
        """Keep all balances, as told at once."""
        self.balances.append(balances)
        self.wake()

    def on_gap(self, reason: str) -> None:
        """Keep what was told, in order."""
        self.gaps.append(reason)
        self.wake()

    def on_ready(self, is_ready: bool, reason: str = "") -> None:
        """Keep it if it is a change."""
        if is_ready != self.is_ready:
            self.readiness.append(is_ready)
        self.wake()


@asynccontextmanager
async def running_account(account: Account) -> AsyncIterator[AccountRecorder]:
    """Run an account while the context is open, from the moment it is ready on."""
    recorder = AccountRecorder()
    task = asyncio.ensure_future(account.run(recorder))
    task.add_done_callback(lambda _: recorder.wake())
    try:
        await recorder.until(lambda: recorder.is_ready or task.done())
        if task.done():
            task.result()
        yield recorder
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
