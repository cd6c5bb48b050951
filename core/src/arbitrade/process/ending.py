"""Ends a process in good order when it is asked to, and in any case.

Signals and the end of `--for` are the event loop's to carry out.  A plugin that holds the loop, or
never lets go of a task, would keep the process for ever; so a thread takes the signals, hands them
to the loop, and ends the process itself when nothing comes of that.
"""

import asyncio
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog

log = structlog.stdlib.get_logger(__name__)

EXIT_HELD = 70
"""Exit code of a process that had to be ended from outside its event loop."""

_TICK_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Made and begun on the loop that is to end; `over` once it has nothing more to do.

    Args:
        stop: Called on the loop, once for each signal.
        holder: Says who holds the loop, or did last, for the last line; empty if nobody knows.
        last_words: Writes what can still be written; called from a thread, given a second.
        grace_s: So long the loop may be held up once an end was asked for.
        hurry_s: So long everything may take after a second signal, or after `over`.
        leave: Ends the process, whatever goes on in it.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        holder: Callable[[], str] = str,
        last_words: Callable[[], None] = lambda: None,
        *,
        grace_s: float = 5.0,
        hurry_s: float = 20.0,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._stop = stop
        self._holder = holder
        self._last_words = last_words
        self._grace_s = grace_s
        self._hurry_s = hurry_s
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._inlet, self._outlet = socket.socketpair()
        self._before: dict[signal.Signals, object] = {}
        self._old_fd = -1
        self._ended = threading.Event()
        self._answered_s = time.monotonic()
        self._is_answered = True
        self._asked_s: float | None = None
        self._hurried_s: float | None = None
        self._thread = threading.Thread(target=self._watch, name="ending", daemon=True)

    def begin(self, seconds: float | None = None) -> None:
        """Take signals from now on, and expect the end after `seconds`."""
        if seconds is not None:
            self._asked_s = time.monotonic() + seconds
        self._inlet.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            # The handler itself does nothing.  What counts is the byte the interpreter writes the
            # moment a signal comes, also while the main thread is deep in a call.
            self._before = {number: signal.signal(number, _nothing) for number in _SIGNALS}
            self._old_fd = signal.set_wakeup_fd(self._inlet.fileno(), warn_on_full_buffer=False)
        self._thread.start()

    def over(self) -> None:
        """Give the signals back; what is left of the process has `hurry_s` to end."""
        self._hurried_s = time.monotonic()
        if self._before:
            signal.set_wakeup_fd(self._old_fd, warn_on_full_buffer=False)
            for number, handler in self._before.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # it came from there
            self._before = {}

    def end(self) -> None:
        """Watch no more; after `over`."""
        self._ended.set()
        self._thread.join()

    # ── the thread ───────────────────────────────────────────────────────────────────────────────

    def _watch(self) -> None:
        with self._inlet, self._outlet:
            self._watch_until_ended()

    def _watch_until_ended(self) -> None:
        while not self._ended.is_set():
            readable, _, _ = select.select([self._outlet], [], [], _TICK_S)
            if readable:
                for number in self._outlet.recv(64):
                    if number in _SIGNALS:
                        self._on_signal()
            if self._loop.is_closed():
                return
            self._ping()
            why = self._problem(time.monotonic())
            if why:
                self._die(why)
                return

    def _on_signal(self) -> None:
        now = time.monotonic()
        if self._asked_s is not None and self._asked_s <= now:
            self._hurried_s = self._hurried_s or now
        self._asked_s = min(now, self._asked_s or now)
        self._call(self._stop)

    def _ping(self) -> None:
        if self._is_answered:
            self._is_answered = False
            self._call(self._answer)

    def _answer(self) -> None:
        self._answered_s, self._is_answered = time.monotonic(), True

    def _call(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            log.debug("ending.loop_closed")

    def _problem(self, now: float) -> str:
        silent_s = now - self._answered_s
        asked_s = None if self._asked_s is None else now - self._asked_s
        if asked_s is not None and min(asked_s, silent_s) > self._grace_s:
            return f"the event loop has been held up for {silent_s:.1f} s"
        if self._hurried_s is not None and now - self._hurried_s > self._hurry_s:
            return f"it didn't end within {self._hurry_s:g} s"
        return ""

    def _die(self, why: str) -> None:
        writer = threading.Thread(target=self._last_words, name="last words", daemon=True)
        writer.start()
        writer.join(1.0)
        holder = self._holder() or "nobody knows by whom; the log may tell"
        sys.stderr.write(f"Error: ended from outside: {why} ({holder})\n")
        sys.stderr.flush()
        self._leave(EXIT_HELD)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Keep the default from happening."""
