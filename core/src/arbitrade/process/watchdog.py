"""Notices when the event loop is held up: by a plugin that computes, a disk, a busy machine.

While it stands still nothing of the bot can act, and books are older than they look.  Two things
see it: a beat on the loop, which measures how late it comes, and a thread, which tells where the
loop hangs while it does.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping

import structlog

log = structlog.stdlib.get_logger(__name__)

_DEEPEST = 40


class Watchdog:
    """Watches the event loop `run` is on.  A `Service`.

    Args:
        patience_s: A loop that hasn't beaten for so long is reported, with where it hangs.
        beat_s: Pace of the beat; what is shorter goes unseen.
        on_stall: Called with the seconds so far, from the watching thread, once for each stall.
        now_s: The monotonic clock, in seconds.
        look: Called from the watching thread, every `look_s`, whether the loop beats or not.
        look_s: How often.
    """

    def __init__(
        self,
        *,
        patience_s: float = 2.0,
        beat_s: float = 0.05,
        on_stall: Callable[[float], None] | None = None,
        now_s: Callable[[], float] = time.monotonic,
        look: Callable[[], None] | None = None,
        look_s: float = 0.1,
    ) -> None:
        self._look = look
        self._look_s = look_s if look is not None else patience_s / 4
        self.name = "watchdog"
        self._patience_s = patience_s
        self._beat_s = beat_s
        self._on_stall = on_stall
        self._now_s = now_s
        self._due_s: float | None = None
        """When the next beat should come; None while nothing beats."""
        self._last_lag_s = 0.0
        self._worst_lag_s = 0.0
        self._stall_s = 0.0
        self._checked_s = now_s()
        self._loop_thread = threading.get_ident()
        self._is_stalled = False
        self._stalls = 0
        self._pauses = 0

    @property
    def event_lag_s(self) -> float:
        """How long the loop was last held up, in seconds; O(1).

        Right also in the first callback after a stall, before the beat itself had its turn.
        """
        due = self._due_s
        if due is None:
            return 0.0
        return max(self._now_s() - due, self._last_lag_s, 0.0)

    @property
    def counters(self) -> Mapping[str, int]:
        """Stalls of the loop, pauses of the whole process, and the worst lag in milliseconds."""
        return {
            "watchdog.stalls": self._stalls,
            "watchdog.pauses": self._pauses,
            "watchdog.worst_lag_ms": round(self._worst_lag_s * 1000),
        }

    async def run(self) -> None:
        """Beat and watch until cancelled."""
        ended = threading.Event()
        self._loop_thread = threading.get_ident()
        self.beat()
        watcher = threading.Thread(target=self._watch, args=(ended,), name="watchdog", daemon=True)
        watcher.start()
        try:
            while True:
                await asyncio.sleep(self._beat_s)
                self.beat()
        finally:
            self._due_s = None
            ended.set()
            watcher.join(timeout=1.0)

    def beat(self) -> None:
        """Note that the loop runs; called by `run` on it."""
        now = self._now_s()
        if self._due_s is not None:
            self._last_lag_s = max(now - self._due_s, 0.0)
            self._worst_lag_s = max(self._worst_lag_s, self._last_lag_s)
            if self._last_lag_s > self._patience_s:
                self._stall_s = self._last_lag_s
        self._due_s = now + self._beat_s

    def check(self) -> None:
        """Look whether the loop still beats; called by the thread, some four times a patience."""
        now, due = self._now_s(), self._due_s
        late_s, self._checked_s = now - self._checked_s, now
        if due is None:
            return
        silent_s = now - due
        if silent_s <= self._patience_s:
            if self._is_stalled:
                self._is_stalled = False
                log.warning("event_loop.goes_on", seconds=round(self._stall_s, 3))
            return
        if late_s > self._patience_s:
            # We were not running either: the machine slept, or native code held the interpreter.
            self._pauses += 1
            log.warning("event_loop.process_paused", seconds=round(late_s, 3))
            return
        if not self._is_stalled:
            self._is_stalled = True
            self._report(silent_s)

    def _report(self, silent_s: float) -> None:
        self._stalls += 1
        frame = sys._current_frames().get(self._loop_thread)
        stack = [] if frame is None else traceback.format_stack(frame, _DEEPEST)
        log.error("event_loop.stalled", seconds=round(silent_s, 3), at="".join(stack))
        if self._on_stall is not None:
            self._on_stall(silent_s)

    def _watch(self, ended: threading.Event) -> None:
        self._checked_s = self._now_s()
        while not ended.wait(min(self._look_s, self._patience_s / 4)):
            try:
                if self._look is not None:
                    self._look()
                self.check()
            except Exception:  # whatever a listener or a log does, go on watching
                log.exception("watchdog.failed")
