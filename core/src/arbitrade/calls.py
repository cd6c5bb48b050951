"""Which plugin's code runs at the moment, so that a thread beside it can tell, and end it.

    before = calls.enter(call)           # a guarded call
    try:
        plugin.does_something()
    finally:
        calls.leave(before)

A call that never returns holds everything up: no frame, no signal, no clock is looked at.  So
`interrupt`, called from another thread, raises `PluginInterruptedError` within it.  That must hit
the plugin's code and nothing of core's, and three things see to it:

- Only a guarded call is interrupted, and only while the innermost Python frame is the plugin's (or
  of a library it uses) and the first frame of core above it is the guard itself.  Where a plugin
  has called back into core, it is tried again later.
- Between looking and raising, the interpreter doesn't change threads: the thread that looks has
  just got the interpreter's lock, and nobody may ask for it back within `_UNDISTURBED_S`.  A thread
  that was made to wait raises right where it stands, before its next instruction.
- Should the call have returned all the same, `leave` waits for an interruption that is on its way
  and takes it back, so it can't arrive in whatever comes after.

What can't be interrupted: a call into C code that doesn't come back (it is when it does), code that
catches `BaseException` in a loop (it is interrupted again), tasks and threads that a plugin starts.
"""

import asyncio
import ctypes
import sys
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

type OnFault = Callable[[str, str, BaseException, object], None]
"""Told the role (`detectors`, `risk_rules`, …) and the name of an object that failed, what it
raised or why its answer is none, and the method that did.  May raise to stop everything."""

REST_S = 1.0
"""What was interrupted on the hot path isn't asked again for so long: in a burst of frames it would
hold everything up once for each, and nothing else would have its turn."""

_UNDISTURBED_S = 0.1
_LAST_S = 0.2
"""For the second cancellation of what swallowed the first one: then it is left."""
_IDLE, _ARMING, _SENT = range(3)
_CORE = str(Path(__file__).parent)
_GUARDS: set[types.CodeType] = set()


class PluginInterruptedError(BaseException):
    """A plugin held everything up and was ended.

    No `Exception`, so that a plugin's own `except` lets it through.
    """

    def __str__(self) -> str:
        """Return why; most often nobody could say it when it was raised."""
        return super().__str__() or "it held everything up for longer than plugins.time_budget_ms"


@attrs.frozen
class Call:
    """What is called.

    Args:
        role: `detectors`, `risk_rules`, `executors`, `alert_sinks` or `services`.
        name: Of the object; empty where one of several is asked.
    """

    role: str
    name: str = ""


def guard[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that calls plugins between `enter` and `leave`."""
    _GUARDS.add(function.__code__)
    return function


def is_core(code: types.CodeType) -> bool:
    """Tell whether code is core's own."""
    return code.co_filename.startswith(_CORE)


class Calls:
    """The guarded call under way on the thread this was made on, if any.

    Attributes:
        call: What it is; None while no plugin is called.  Where it matters, guards set this and
            `count` themselves.
        count: Grows with every call, so that a thread can tell one from the next.
        pending: Whether an interruption is on its way; then only `leave` ends a call.
    """

    __slots__ = ("_thread", "call", "count", "pending")

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self.pending = _IDLE
        self.call: Call | None = None
        self.count = 0

    def enter(self, call: Call) -> Call | None:
        """Note that a plugin is called; return what `leave` has to be given."""
        before, self.call = self.call, call
        self.count += 1
        return before

    def leave(self, before: Call | None = None) -> None:
        """Note that it has returned or raised; nothing interrupts us from here on."""
        while True:
            try:
                self.call = None
                if self.pending != _IDLE:
                    self._take_back()
            except PluginInterruptedError:
                continue  # it came a moment late
            self.call = before
            return

    def frame(self) -> types.FrameType | None:
        """Return the innermost frame of the thread, from any thread."""
        return sys._current_frames().get(self._thread)

    def interrupt(self) -> bool:
        """Raise within the call under way; return False if that can't be done safely now."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(_UNDISTURBED_S)
        try:
            # Whoever waits for the interpreter's lock from now on waits by the new interval.
            time.sleep(0.001)
            self.pending = _ARMING
            if self.call is None or not self._is_in_plugin():
                self.pending = _IDLE
                return False
            _raise_in(self._thread, PluginInterruptedError)
            self.pending = _SENT
            return True
        finally:
            sys.setswitchinterval(before)

    def _is_in_plugin(self) -> bool:
        frame = self.frame()
        if frame is None or frame.f_code in _GUARDS:
            return False
        while frame is not None and frame.f_code not in _GUARDS:
            if is_core(frame.f_code):
                return False
            frame = frame.f_back
        return frame is not None

    def _take_back(self) -> None:
        while self.pending == _ARMING:
            time.sleep(0)
        if self.pending == _SENT:
            _raise_in(self._thread, None)
            self.pending = _IDLE


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    # `pythonapi` keeps the interpreter's lock over the call.
    raised = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


async def awaited[R](
    calls: Calls, call: Call, coroutine: Coroutine[Any, Any, R], *, grace_s: float = 5.0
) -> R:
    """Await a plugin's coroutine, each of its steps a guarded call.

    Cancelled, it may take `grace_s` to clean up; one that goes on after that is left, so whoever
    cancels us never waits longer.

    Raises:
        PluginInterruptedError: A step of it was interrupted.
        RuntimeError: It wanted the process to exit.
    """
    is_left: list[bool] = []
    # A task of its own: when a task awaits another one, cancelling it cancels that one, which may
    # think nothing of it.
    task = asyncio.create_task(_run(calls, call, coroutine, is_left), name=f"{call.role} step")
    task.add_done_callback(_look_at)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=grace_s)
        if not task.done():
            is_left.append(True)
            task.cancel()
            await asyncio.wait({task}, timeout=_LAST_S)
        raise
    return task.result()


async def _run[R](
    calls: Calls, call: Call, coroutine: Coroutine[Any, Any, R], is_left: list[bool]
) -> R:
    return await _steps(calls, call, coroutine, is_left)


def _look_at(task: "asyncio.Task[Any]") -> None:
    """Take note of an error, so that nobody complains that it was never looked at."""
    if not task.cancelled():
        task.exception()


@guard
def _step(
    calls: Calls, call: Call, coroutine: Coroutine[Any, Any, Any], value: Any, error: Any
) -> Any:
    before = calls.enter(call)
    try:
        return coroutine.send(value) if error is None else coroutine.throw(error)
    finally:
        calls.leave(before)


@types.coroutine
def _steps[R](
    calls: Calls, call: Call, coroutine: Coroutine[Any, Any, R], is_left: list[bool]
) -> Generator[Any, Any, R]:
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            try:
                future = _step(calls, call, coroutine, value, error)
            except StopIteration as end:
                result: R = end.value
                return result
            except SystemExit as exits:
                # An event loop would pass it on to whoever runs it.
                raise RuntimeError(f"SystemExit: {exits}") from exits
            try:
                value, error = (yield future), None
            except BaseException as raised:
                if is_left:
                    raise
                value, error = None, raised
    finally:
        # Over already, as a rule; else what it does about being closed is not waited for.
        with suppress(BaseException):
            _close(calls, call, coroutine)


@guard
def _close(calls: Calls, call: Call, coroutine: Coroutine[Any, Any, Any]) -> None:
    before = calls.enter(call)
    try:
        coroutine.close()
    finally:
        calls.leave(before)
