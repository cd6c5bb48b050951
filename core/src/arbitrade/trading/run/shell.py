"""Between the world and the machine: pins the time, records, hands over, one thing at a time.

Everything that reaches the machine comes through here: frames of the market as a `FeedHandler`,
the account as an `AccountHandler`, timers, commands.  What comes while an event is being handled
waits for its turn, so that events are handled in the order they are recorded.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import structlog

from arbitrade.engine.compiled import CompiledEngine
from arbitrade.engine.engine import Engine
from arbitrade.models import (
    Balance,
    BalanceChange,
    ConnectionLost,
    ExecutionReport,
    MarketEvent,
    Opportunity,
)
from arbitrade.process.latency import Latency, timer_overhead_ns
from arbitrade.recording.control import write_control
from arbitrade.trading.machine.events import (
    AccountGap,
    AccountReadiness,
    BalanceMoved,
    BalancesTold,
    Commanded,
    Decided,
    Execution,
    RunBegan,
    TimeCame,
    TradingEvent,
)
from arbitrade.trading.machine.trader import Trader
from arbitrade.trading.run.clock import RunClock
from arbitrade.trading.run.tape import Tape

log = structlog.stdlib.get_logger(__name__)

_PAUSE_NS = 2_500_000_000
"""Twice as long as a venue's socket is ever silent; then we or the line stood still."""


class Door(Protocol):
    """Who is told of what comes in beside the machine; called after the machine was."""

    def on_connection_lost(self, connection: int, event: ConnectionLost) -> None:
        """Take that a connection of the market is lost."""

    def on_account_ready(self, is_ready: bool, reason: str) -> None:
        """Take that orders may go out, or no more."""

    def on_failure(self, error: Exception) -> None:
        """Take what handling an event raised, none of which is to be expected."""


class Shell:
    """Hands frames and events to the machine.

    Args:
        clock: The machine's time.
        tape: Where everything is recorded.
        door: Who is told beside the machine; None raises what handling an event raised.
    """

    def __init__(self, clock: RunClock, tape: Tape, door: Door | None = None) -> None:
        self._clock = clock
        self._tape = tape
        self._door = door
        self._queue: deque[TradingEvent] = deque()
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._last_ns = 0
        self.frame_began_ns = 0
        """When the frame at hand came, by `time.perf_counter_ns`."""
        self.event_began_ns = 0
        self.is_in_frame = False
        """Whether what is being handled is a frame."""
        self.decisions = Latency(timer_overhead_ns())
        """From a frame's bytes to everything it showed decided, orders written down included."""
        self.frames = 0

    def attach(self, trader: Trader, engine: Engine) -> None:
        """Learn whom to tell.  They need our `act` and `tell` to be made, so they come after us."""
        self._trader = trader
        self._engine = engine

    # ── the market ───────────────────────────────────────────────────────────────────────────────

    def act(self, opportunities: Sequence[Opportunity], position: int) -> None:
        """Have the machine decide; called by the engine within a frame."""
        self._is_busy = self.is_in_frame = True
        try:
            self._trader.on_opportunities(opportunities, position)
        finally:
            self._is_busy = self.is_in_frame = False
        self.decisions.add(time.perf_counter_ns() - self.frame_began_ns)

    def on_frame(self, connection: int, frame: bytes) -> MarketEvent | None:
        """Take one frame of the market."""
        engine = self._engine
        self.frame_began_ns = self.event_began_ns = time.perf_counter_ns()
        now = self._tick()
        self._trader.at(now)
        engine.position = self._tape.lines + 1
        event = engine.on_frame(frame)
        self.frames += 1
        self._tape.frame(frame, connection, now)
        self._settle()
        return event

    def on_sent(self, connection: int, frame: bytes) -> None:
        """Record a request of ours."""
        self._tape.frame(frame, connection, self._clock.tick(), received=False)

    def on_event(self, connection: int, event: MarketEvent) -> None:
        """Take what no frame said: a lost connection."""
        engine = self._engine
        now = self._clock.tick()
        self._trader.at(now)
        engine.on_event(event)
        if isinstance(event, ConnectionLost):
            self._tape.control(write_control(event), connection, now)
            if self._door is not None:
                self._door.on_connection_lost(connection, event)
        self._settle()

    # ── the account ──────────────────────────────────────────────────────────────────────────────

    def on_execution(self, report: ExecutionReport, is_snapshot: bool) -> None:
        """Take one event of an order."""
        self.tell(Execution(report, is_snapshot))

    def on_balance(self, change: BalanceChange) -> None:
        """Take one change of a balance."""
        self.tell(BalanceMoved(change))

    def on_balances(self, balances: Sequence[Balance]) -> None:
        """Take all balances, as the venue told them at once."""
        self.tell(BalancesTold(tuple(balances)))

    def on_gap(self, reason: str) -> None:
        """Take that something was missed."""
        self.tell(AccountGap(reason))

    def on_ready(self, is_ready: bool, reason: str = "") -> None:
        """Take that orders may go out, or no more."""
        if not is_ready:
            reason = reason or "the private connection is not ready"
        self.tell(AccountReadiness(is_ready, reason))
        if self._door is not None:
            self._door.on_account_ready(is_ready, reason)

    def decided(self, decided: Decided) -> None:
        """Record a decision, among the events that led to it."""
        self._tape.event(decided, self._clock.now_ns())

    # ── events ───────────────────────────────────────────────────────────────────────────────────

    def tell(self, event: TradingEvent) -> None:
        """Record an event and have it handled: now, or when the one at hand is done."""
        self._queue.append(event)
        if not self._is_busy:
            self._settle()

    def _tick(self) -> int:
        """Let the time go on; after a long pause the machine hears of that before anything else.

        A process that was stopped goes on with what piled up meanwhile, as if it were new.
        """
        now = self._clock.tick()
        paused_ns, self._last_ns = now - (self._last_ns or now), now
        if paused_ns > _PAUSE_NS:
            log.warning("shell.paused", seconds=round(paused_ns / 1e9, 1))
            reason = f"nothing was heard for {paused_ns / 1e9:.1f} s"
            self.tell(Commanded("reconcile", "arbitrade", {"reason": reason}))
            now = self._clock.tick()
        return now

    def _settle(self) -> None:
        """Handle what waits, then set the alarm for the next timer."""
        queue = self._queue
        while queue:
            event = queue.popleft()
            self.event_began_ns = time.perf_counter_ns()
            now = self._clock.tick()
            self._tape.event(event, now)
            self._is_busy = True
            try:
                self._trader.at(now)
                self._trader.on_event(event)
            except Exception as error:
                # The next event and the next timer must come all the same: orders may be out.
                # Except where a run begins: with half of what it should know it must not go on.
                if self._door is None or isinstance(event, RunBegan):
                    raise
                log.exception("trading.event_failed", kind=event.kind)
                self._door.on_failure(error)
            finally:
                self._is_busy = False
        due = self._trader.next_timer_ns
        if due is None or (self._timer is not None and self._timer_ns <= due):
            return
        self._set_alarm(due)

    def _set_alarm(self, due_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, (due_ns - self._clock.real_ns()) / 1e9)
        self._timer_ns = due_ns
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_alarm)

    def _on_alarm(self) -> None:
        self._timer = None
        if self._trader.next_timer_ns is None:
            return
        if self._clock.real_ns() < self._timer_ns:
            # The event loop's clock runs a little ahead of ours.
            self._settle()
            return
        self.tell(TimeCame())

    def close(self) -> None:
        """Set no alarm any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class BufferShell(Shell):
    """A shell that takes book messages straight out of the receive buffer; nothing is recorded."""

    def on_buffer(
        self, connection: int, buffer: bytearray, begin: int, end: int
    ) -> tuple[int, int]:
        """Take what it can of WebSocket frames; return where the rest begins, and how many."""
        engine = self._engine
        assert isinstance(engine, CompiledEngine)
        self.frame_began_ns = self.event_began_ns = time.perf_counter_ns()
        self._trader.at(self._tick())
        taken = engine.on_buffer(buffer, begin, end)
        self.frames += taken[1]
        self._settle()
        return taken
