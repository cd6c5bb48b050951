"""One client's WebSocket, seen from the venue: frames out, requests in, and its faults."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from aiohttp import ClientConnectionError, WSMsgType, web

HEARTBEAT = b'{"channel":"heartbeat"}'

MAX_REQUEST_BYTES = 4 << 20


class ClientSocket:
    """A WebSocket that a client opened.

    Frames queue without bound for a client that reads slowly, as they do at the venue: nothing is
    dropped, the client only falls behind.

    Args:
        socket: Prepared.
        request: The upgrade.
        number: Counts connections of this server.
        heartbeat_s: Between two heartbeats once something is subscribed.
        idle_s: A socket without subscriptions closes this long after the last request; 0 never.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        request: web.Request,
        number: int,
        heartbeat_s: float,
        idle_s: float,
    ) -> None:
        self.number = number
        self.client = request.remote or ""
        self.sent = 0
        """How many frames were handed to the operating system."""
        self._socket = socket
        self._transport = request.transport
        self._heartbeat_s, self._idle_s = heartbeat_s, idle_s
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._beating: asyncio.TimerHandle | None = None
        self._is_half_open = False
        self._closing: asyncio.Task[None] | None = None

    # ── out ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def waiting(self) -> int:
        """Frames the client hasn't taken yet."""
        return len(self._waiting)

    @property
    def is_half_open(self) -> bool:
        """True once nothing goes through any more in either direction, without a goodbye."""
        return self._is_half_open

    def time_s(self) -> float:
        """Return the time its timers go by."""
        return self._loop.time()

    def send(self, frame: bytes) -> None:
        """Queue a frame.  About 0.2 µs."""
        self._waiting.append(frame)
        self._wake.set()

    def send_at(self, due_s: float, frame: bytes) -> None:
        """Queue a frame at a time of `time_s`; at once if that is 0 or past."""
        self.at(due_s, lambda: self.send(frame))

    def at(self, due_s: float, act: Callable[[], None]) -> None:
        """Call `act` at a time of `time_s` unless the socket is gone by then.

        At once if the time is 0 or past.  What is due later never comes earlier.
        """
        if due_s <= 0 or (not self._timers and due_s <= self._loop.time()):
            act()
            return
        timer: asyncio.TimerHandle

        def run() -> None:
            self._timers.discard(timer)
            act()

        timer = self._loop.call_at(due_s, run)
        self._timers.add(timer)

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        """Call `act` after a delay unless the socket is gone by then; at once without a delay."""
        self.at(self._loop.time() + delay_s if delay_s > 0 else 0.0, act)

    def start_heartbeats(self) -> None:
        """Beat from now on, between data too; more calls change nothing."""
        if self._beating is None and self._heartbeat_s > 0:
            self._beating = self._loop.call_later(self._heartbeat_s, self._beat)

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────

    def close(self, code: int = 1000) -> None:
        """Say goodbye and close; more calls change nothing."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._say_goodbye(code))

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def go_half_open(self) -> None:
        """Go silent: nothing is sent or read any more, and the client isn't told."""
        self._is_half_open = True
        if self._transport is not None:
            self._transport.pause_reading()

    # ── the connection's life ────────────────────────────────────────────────────────────────────

    async def run(self, receive: Callable[[str | bytes], None]) -> None:
        """Serve until either side closes.

        Args:
            receive: Called with each request, between two reads.
        """
        sender = self._loop.create_task(self._send_all())
        self._watch_idleness()
        try:
            async for message in self._socket:
                if self._is_half_open:
                    continue
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._heard_at = self._loop.time()
                    receive(message.data)
        finally:
            for timer in self._timers:
                timer.cancel()
            if self._beating is not None:
                self._beating.cancel()
            sender.cancel()
            if self._closing is not None:
                self._closing.cancel()
            with suppress(asyncio.CancelledError):
                await sender

    async def _send_all(self) -> None:
        waiting, wake, send = self._waiting, self._wake, self._socket.send_frame
        try:
            while True:
                await wake.wait()
                wake.clear()
                while waiting:
                    if self._is_half_open:
                        return
                    await send(waiting.popleft(), WSMsgType.TEXT)
                    self.sent += 1
        except ClientConnectionError:
            return  # the client left; the reader ends too

    def _beat(self) -> None:
        self.send(HEARTBEAT)
        self._beating = self._loop.call_later(self._heartbeat_s, self._beat)

    def _watch_idleness(self) -> None:
        if not self._idle_s:
            return
        silent = self._loop.time() - self._heard_at
        if self._beating is None and silent >= self._idle_s:
            self.close(1001)
            return
        self.after(max(0.001, self._idle_s - silent % self._idle_s), self._watch_idleness)

    async def _say_goodbye(self, code: int) -> None:
        with suppress(ClientConnectionError):
            await self._socket.close(code=code)
