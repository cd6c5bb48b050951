"""The gateway to a venue's account."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import structlog

from arbitrade.errors import (
    ArbitradeError,
    AuthenticationError,
    JournalError,
    VenueUnavailableError,
)
from arbitrade.journal import Journal
from arbitrade.models import (
    Accepted,
    BalanceChange,
    ExecutionReport,
    Intent,
    OrderOutcome,
    Rejected,
    Side,
    Unknown,
)
from arbitrade.process.latency import Latency, timer_overhead_ns
from arbitrade.protocols import Account
from arbitrade.trading.machine.events import (
    BalanceMoved,
    BalancesTold,
    Execution,
    LookUpFailed,
    OrderAnswer,
    OrderFound,
    Reconciled,
    TradingEvent,
)

log = structlog.stdlib.get_logger(__name__)
_ASK_S = 30.0
_REFUSED_NS = 60_000_000_000


class LiveGateway:
    """Sends orders once their intents are durable, and asks the venue what became of them.

    Args:
        account: At the venue.
        journal: Tells when an intent is durable.
        tell: Takes events.
        now_ns: The run's time as it flows.
        began_ns: When the frame or event at hand came, by `time.perf_counter_ns`.
        is_frame: Whether it is a frame of the market.
        on_refused: Called with the reason when the venue refuses our key.
    """

    def __init__(
        self,
        account: Account,
        journal: Journal,
        tell: Callable[[TradingEvent], None],
        now_ns: Callable[[], int],
        began_ns: Callable[[], int],
        is_frame: Callable[[], bool],
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._account = account
        self._journal = journal
        self._tell = tell
        self._now_ns = now_ns
        self._began_ns = began_ns
        self._is_frame = is_frame
        self._on_refused = on_refused
        self._refusal = ""
        self._refused_until_ns = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, Intent] = {}
        self.to_order = Latency(timer_overhead_ns())
        """From the frame that caused an order to its bytes being written."""
        self.event_to_order = Latency(timer_overhead_ns())
        """The same from an answer, a fill or a timer."""
        self.to_durable = Latency(timer_overhead_ns())
        """From an intent being written to being durable."""
        self.to_ack = Latency(timer_overhead_ns())
        """From an order's bytes being written to the venue's answer."""

    def begin(self, balances: Mapping[str, Decimal]) -> None:
        """Nothing to take over: the venue tells what it holds."""

    def send(self, intent: Intent, sequence: int) -> None:
        """Send an order once its intent is durable."""
        began, written = self._began_ns(), time.perf_counter_ns()
        to_order = self.to_order if self._is_frame() else self.event_to_order

        def go() -> None:
            self._waiting.pop(intent.request.client_id, None)
            self.to_durable.add(time.perf_counter_ns() - written)
            # Started at once: when this returns, the bytes are with the operating system (asyncio's
            # and uvloop's transports write at once while nothing waits to be written).
            self._start(self._add(intent), f"order {intent.request.client_id}")
            to_order.add(time.perf_counter_ns() - began)

        try:
            if self._journal.is_durable(sequence):
                go()
            else:
                self._waiting[intent.request.client_id] = intent
                self._journal.on_durable(sequence, go)
        except (JournalError, ValueError) as error:
            # A value error: the journal had no room for the intent, so there is no such entry.
            self._waiting.pop(intent.request.client_id, None)
            self._tell(OrderAnswer(intent.request.client_id, "not_sent", "", str(error)))

    def fail_waiting(self, reason: str) -> None:
        """Tell that what waits will never be sent: its intents will never be durable."""
        waiting, self._waiting = self._waiting, {}
        for client_id in waiting:
            self._tell(OrderAnswer(client_id, "not_sent", "", reason))

    def cancel(self, client_ids: Sequence[str]) -> None:
        """Cancel orders at the venue; what comes of it is told by their executions."""
        self._start(self._cancel(tuple(client_ids)), "cancel")

    def look_up(self, client_id: str) -> None:
        """Ask what became of an order."""
        self._start(self._look_up(client_id), f"look up {client_id}")

    def reconcile(self, since_ns: int | None) -> None:
        """Ask for balances, and for what moved them since."""
        self._start(self._reconcile(since_ns), "reconcile")

    def taken(self, symbol: str, side: Side) -> int:
        """Return 0: the venue's book shows what is there."""
        return 0

    def latencies(self) -> Mapping[str, Latency]:
        """Return what was measured on the way of orders, by name."""
        return {
            "tick_to_order": self.to_order,
            "event_to_order": self.event_to_order,
            "intent_to_durable": self.to_durable,
            "order_to_answer": self.to_ack,
        }

    async def close(self) -> None:
        """Let what is under way come to its end or be cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.Task(coroutine, loop=loop, name=name, eager_start=True)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _add(self, intent: Intent) -> None:
        client_id, sent = intent.request.client_id, self._now_ns()
        outcome: OrderOutcome
        try:
            outcome = await self._account.add(intent.request)
        except ArbitradeError as error:
            outcome = Unknown(client_id, str(error))
        self.to_ack.add(self._now_ns() - sent)
        if isinstance(outcome, Rejected) and isinstance(outcome.error, AuthenticationError):
            self._refused(outcome.error)
        self._tell(_answer(outcome, sent))

    async def _cancel(self, client_ids: tuple[str, ...]) -> None:
        try:
            await self._account.cancel(client_ids)
        except ArbitradeError as error:
            log.warning("order.cancel_failed", client_ids=client_ids, error=str(error))

    async def _look_up(self, client_id: str) -> None:
        if self._now_ns() < self._refused_until_ns:
            self._tell(LookUpFailed(client_id, self._refusal))
            return
        try:
            async with asyncio.timeout(_ASK_S):
                state = await self._account.resolve(client_id)
        except (ArbitradeError, TimeoutError) as error:
            self._refused(error)
            self._tell(LookUpFailed(client_id, str(error) or "no answer in time"))
            return
        self._tell(OrderFound(client_id, state))

    async def _reconcile(self, since_ns: int | None) -> None:
        rows: Sequence[BalanceChange] = ()
        fills: Sequence[ExecutionReport] = ()
        if self._now_ns() < self._refused_until_ns:
            self._tell(Reconciled(self._refusal))
            return
        try:
            async with asyncio.timeout(_ASK_S):
                balances = await self._account.balances()
                if since_ns is not None:
                    since = datetime.fromtimestamp(since_ns / 1e9, UTC).isoformat()
                    rows = await self._account.ledger_since(since)
                    fills = await self._account.fills_since(since)
        except (ArbitradeError, TimeoutError) as error:
            self._refused(error)
            self._tell(Reconciled(str(error) or "no answer in time"))
            return
        except Exception as error:
            # Whoever asked waits for this answer before asking again.
            log.exception("account.reconciling_failed", error=repr(error))
            self._tell(Reconciled(repr(error)))
            return
        for report in fills:
            self._tell(Execution(report, is_snapshot=True))
        for row in rows:
            self._tell(BalanceMoved(row))
        self._tell(BalancesTold(tuple(balances)))
        self._tell(Reconciled())

    def _refused(self, error: Exception) -> None:
        """Ask nothing for a while if it is us who are refused: venues lock out who goes on."""
        if isinstance(error, AuthenticationError):
            self._refusal = str(error)
            self._refused_until_ns = self._now_ns() + _REFUSED_NS
            self._on_refused(self._refusal)


def _answer(outcome: OrderOutcome, sent_ns: int) -> OrderAnswer:
    match outcome:
        case Accepted():
            return OrderAnswer(outcome.client_id, "accepted", outcome.order_id, sent_ns=sent_ns)
        case Rejected():
            is_connection = isinstance(outcome.error, VenueUnavailableError)
            return OrderAnswer(
                outcome.client_id,
                "rejected",
                reason=outcome.reason,
                is_connection=is_connection,
            )
        case Unknown():
            return OrderAnswer(outcome.client_id, "unknown", reason=outcome.reason)
