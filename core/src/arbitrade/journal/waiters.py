"""Who waits for which record to be durable, called back in the order of the records."""

import asyncio
import heapq
from collections.abc import Callable
from functools import partial
from itertools import count

from arbitrade.errors import JournalFailedError

type Failed = Callable[[JournalFailedError], None]


class Waiters:
    """Calls on the event loop, once per commit for everybody it concerns.

    All methods but `wake` belong to the loop's thread.

    Args:
        durable_seq: Returns the last durable number.
        failure: Returns the error that ended the journal, if one did.
    """

    def __init__(
        self, durable_seq: Callable[[], int], failure: Callable[[], JournalFailedError | None]
    ) -> None:
        self._durable_seq = durable_seq
        self._failure = failure
        self._loop: asyncio.AbstractEventLoop | None = None
        # Numbers come almost always in order, which costs a heap next to nothing.
        self._waiting: list[tuple[int, int, Callable[[], None], Failed | None]] = []
        self._listeners: list[Failed] = []
        self._order = count()
        self._is_announcing = False

    def add(self, seq: int, call: Callable[[], None], failed: Failed | None = None) -> None:
        """Have `call` called when a record is durable, `failed` when it won't ever be."""
        is_over = self._loop is not None and self._loop.is_closed()
        if seq > self._durable_seq() and (is_over or not self._waiting):
            self._loop = asyncio.get_running_loop()
        heapq.heappush(self._waiting, (seq, next(self._order), call, failed))
        # Asked after it was put in: a commit that ended in between has seen it, or is seen here.
        if seq <= self._durable_seq() or self._failure() is not None:
            self.announce()

    def listen(self, call: Failed) -> None:
        """Have somebody told of a failure, once."""
        self._loop = asyncio.get_running_loop()
        self._listeners.append(call)
        if self._failure() is not None:
            self.announce()

    def close(self) -> None:
        """Tell whoever still waits; nothing has failed, so listeners are not called."""
        self._listeners.clear()
        self.wake()

    def wake(self, *, failed: bool = False) -> None:
        """Have the loop call whoever needn't wait any more.  From any thread."""
        loop = self._loop
        if loop is None or not (self._waiting or (failed and self._listeners)):
            return
        try:
            loop.call_soon_threadsafe(self.announce)
        except RuntimeError:
            return  # The loop is closed: nobody waits any more.

    def announce(self) -> None:
        """Call everybody whose record is durable; tell the others if there is no hope."""
        if self._is_announcing:
            return  # Somebody who was called asks for more: the call below gets to it.
        self._is_announcing = True
        try:
            waiting = self._waiting
            while waiting and waiting[0][0] <= self._durable_seq():
                self._call(heapq.heappop(waiting)[2])
            if (failure := self._failure()) is not None:
                self._give_up(failure)
        finally:
            self._is_announcing = False

    def _give_up(self, failure: JournalFailedError) -> None:
        waiting, self._waiting = self._waiting, []
        listeners, self._listeners = self._listeners, []
        for _, _, _, failed in waiting:
            if failed is not None:
                failed(failure)
        for listener in listeners:
            self._call(partial(listener, failure))

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            if self._loop is None:
                raise  # Called at once, where no loop runs.
            # One who fails must not keep the others waiting.
            self._loop.call_exception_handler(
                {"message": "journal: a call for a durable record failed", "exception": error}
            )
