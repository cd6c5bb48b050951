"""Runs coroutines by events instead of by an event loop: deterministic, and the same in a replay.

A process is a coroutine that awaits `Wait`s.  It is stepped when something it may wait for
happened, and on timers; between two steps nothing of it runs.  No asyncio is involved: `step` is an
ordinary call that returns when the process waits again or has ended.
"""

from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from heapq import heappop, heappush

import attrs

from arbitrade.calls import Call, Calls, PluginInterruptedError, guard


class Wait:
    """Waits until a condition holds or a time has come; `await` returns whether it held.

    Args:
        is_over: Asked after every event that may have changed it; cheap.
        until_ns: By the run's clock; None for no limit.
    """

    __slots__ = ("is_over", "until_ns")

    def __init__(self, is_over: Callable[[], bool], until_ns: int | None = None) -> None:
        self.is_over = is_over
        self.until_ns = until_ns

    def __await__(self) -> Generator["Wait", bool, bool]:
        return (yield self)


@attrs.define(eq=False)
class Process[R]:
    """One coroutine on its way.

    Args:
        coroutine: What runs.
        on_end: Called once with the result or the error.
        calls: Told while the coroutine runs.
        call: What is told, where it is a plugin's.
    """

    coroutine: Coroutine[Wait, bool, R]
    on_end: Callable[[R | None, BaseException | None], None]
    calls: Calls = attrs.field(factory=Calls)
    call: Call | None = None
    wait: Wait | None = None
    is_over: bool = False
    _is_stepping: bool = False

    def step(self, now_ns: int) -> None:
        """Run on as far as it goes."""
        if self._is_stepping or self.is_over:
            return
        self._is_stepping = True
        try:
            self._run(now_ns)
        finally:
            self._is_stepping = False

    def stop(self) -> None:
        """Give it up; its `finally` blocks run, and whatever they raise is of no interest."""
        self.is_over = True
        with suppress(Exception, PluginInterruptedError):
            self._close()

    def _run(self, now_ns: int) -> None:
        while True:
            wait, held = self.wait, False
            try:
                if wait is not None:
                    held = wait.is_over()
                    if not held and (wait.until_ns is None or now_ns < wait.until_ns):
                        return
                self.wait = _checked(self._send(held if wait is not None else None))
            except StopIteration as end:
                self.is_over = True
                self.on_end(end.value, None)
                return
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                # Whatever an executor raises ends its cycle, not the run.
                self.stop()
                self.on_end(None, error)
                return

    @guard
    def _send(self, held: bool | None) -> object:
        before = self.calls.call if self.call is None else self.calls.enter(self.call)
        try:
            return self.coroutine.send(held)  # type: ignore[arg-type]
        finally:
            self.calls.leave(before)

    @guard
    def _close(self) -> None:
        before = self.calls.call if self.call is None else self.calls.enter(self.call)
        try:
            self.coroutine.close()
        finally:
            self.calls.leave(before)


def _checked(awaited: object) -> Wait:
    """Return what a coroutine awaits.

    Raises:
        TypeError: It is something only an event loop could wait for.
    """
    if isinstance(awaited, Wait):
        return awaited
    raise TypeError(f"awaits {awaited!r}; only what its desk gives can be awaited")


class Timers:
    """Calls in order of time, then of being set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    @property
    def next_ns(self) -> int | None:
        """When the next one is due, None without any."""
        return self._heap[0][0] if self._heap else None

    def at(self, due_ns: int, call: Callable[[], None]) -> None:
        """Have `call` called by the first `run` at or after `due_ns`."""
        self._count += 1
        heappush(self._heap, (due_ns, self._count, call))

    def run(self, now_ns: int) -> int:
        """Call what is due, also what becomes due by it; return how many."""
        done = 0
        while self._heap and self._heap[0][0] <= now_ns:
            _, _, call = heappop(self._heap)
            call()
            done += 1
        return done
