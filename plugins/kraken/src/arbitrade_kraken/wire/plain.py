"""One WebSocket to the venue: bytes off the socket, messages to a callback, nothing in between.

`Wire` is an asyncio protocol that reads into one buffer of its own and hands every message to a
callback from inside the read: no queue, no task switch.  Complete unfragmented text frames, all the
venue sends in a normal second, are cut out of the buffer here; the upgrade, control frames,
fragments, everything malformed and all we send are the business of websockets' Sans-I/O protocol.

PERF: docs/performance.md, "Wire", has the comparison with websockets' own asyncio connection.
"""

import asyncio
import ssl
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from arbitrade.errors import VenueUnavailableError
from arbitrade_kraken.wire.opening import (
    ConnectionRefusedByVenueError,
    Ending,
    OnBuffer,
    OnEnd,
    OnMessage,
    await_goodbye,
    not_upgraded,
    parse_address,
    system_trust,
    why_unreachable,
)

_BUFFER = 256 * 1024
_MIN_FREE = 64 * 1024
_SPARE_ABOVE = 4 * 1024 * 1024
"""A buffer that grew beyond this for one frame is given back once it is empty."""
_MAX_HEAD = 64 * 1024
_WHOLE_TEXT = 0x81
"""First byte of a text frame that is a whole message, no extension bits."""


class Wire(asyncio.BufferedProtocol):
    """The client's end of one WebSocket.

    Args:
        library: Sans-I/O protocol of this connection, not yet connected.
        on_message: Called with each text or binary message, from inside the read.  What it raises
            ends the connection and stands in `failure`.
        on_end: Called once, after the last message, when the connection is gone.  What it raises
            stands in `failure` too.
        on_buffer: Asked first, with the buffer and what of it is filled; takes the frames it can
            and tells where the rest begins and how many it took.
    """

    def __init__(
        self,
        library: ClientProtocol,
        on_message: OnMessage,
        on_end: OnEnd,
        on_buffer: OnBuffer | None = None,
    ) -> None:
        self._library = library
        self._on_buffer = on_buffer
        self._max_size = library.max_message_size or 0
        self._on_message = on_message
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._begin = 0
        self._end = 0
        self._parts: list[bytes] = []
        self._has_head = False
        self._is_open = False
        self._is_done = False
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[Ending] = self._loop.create_future()
        self.failure: Exception | None = None
        self._heard_at = self._loop.time()
        self.frames = 0
        self.bytes = 0

    @property
    def silent_s(self) -> float:
        """Seconds since the last complete frame of any kind, ours excluded."""
        return self._loop.time() - self._heard_at

    # ── what the owner does ──────────────────────────────────────────────────────────────────────

    def send(self, message: bytes) -> None:
        """Send one text message.  Ignored when the connection is on its way out."""
        if self._is_done or self._library.state is not State.OPEN:
            return
        self._library.send_text(message)
        self._flush()

    async def close(self, timeout_s: float) -> None:
        """Say goodbye, and hang up after `timeout_s` whatever the other side does.  Idempotent."""
        if not self._is_done and self._library.state is State.OPEN:
            self._library.send_close(1000)
            self._flush()
        self._is_done = True
        await await_goodbye(self, timeout_s)

    def abort(self) -> None:
        """Hang up now.  No message is delivered from here on.  Idempotent."""
        self._is_done = True
        if self._transport is not None:
            self._transport.abort()

    # ── what asyncio calls ───────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance.
        self._library.send_request(self._library.connect())
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the free part of the buffer."""
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Deliver what is complete now, keep the rest."""
        self.bytes += nbytes
        self._end += nbytes
        if self._is_done:
            self._drain()
            return
        try:
            if not self._is_open:
                self._upgrade()
            if self._is_open:
                self._cut()
        except Exception as problem:
            self.failure = problem  # The owner raises it; asyncio would only log it.
            self.abort()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner how it ended."""
        self._is_done = True
        library = self._library
        library.receive_eof()
        received = library.close_rcvd
        if received is not None:
            ending = Ending(received.code, received.reason)
        elif library.parser_exc is not None and not isinstance(library.parser_exc, EOFError):
            ending = Ending(1006, f"not a WebSocket frame: {library.parser_exc}")
        else:
            ending = Ending(1006, f"{exc}" if exc else "the venue closed the socket")
        if not self.opened.done():
            self.opened.set_exception(_refusal(library, ending))
            self.opened.exception()  # Retrieved: whoever waited may have given up.
        self.ended.set_result(ending)
        try:
            self._on_end(ending)
        except Exception as problem:
            self.failure = problem

    # ── from bytes to messages ───────────────────────────────────────────────────────────────────

    def _upgrade(self) -> None:
        """Give the library the answer's head, and only that: frames after it are ours to cut."""
        if not self._has_head:
            found = self._buffer.find(b"\r\n\r\n", self._begin, self._end)
            if found < 0 and self._end - self._begin < _MAX_HEAD:
                return
            self._has_head = True
            self._feed(self._end if found < 0 else found + 4)
        if self._library.state is State.CONNECTING:
            self._feed(self._end)  # The body of an answer that is no upgrade.
        if self._library.state is State.OPEN:
            self._is_open = True
            self._heard_at = self._loop.time()
            if not self.opened.done():
                self.opened.set_result(None)

    def _feed(self, stop: int) -> None:
        """Give the library the buffer up to `stop`, and forget what it makes of it."""
        if stop > self._begin:
            self._library.receive_data(bytes(self._view[self._begin : stop]))
            self._begin = stop
            self._library.events_received()
            self._flush()

    def _drain(self) -> None:
        """After the last message: wait for the other side's goodbye, ignore the rest."""
        if self._library.state is State.CLOSING:
            self._feed(self._end)
            if self._library.close_rcvd is not None and self._transport is not None:
                self._transport.close()
        self._begin = self._end = 0

    def _cut(self) -> None:
        """Cut complete frames out of the buffer.  About 0.7 µs a frame."""
        buffer, view, end = self._buffer, self._view, self._end
        on_message = self._on_message
        is_whole = self._library.current_size is None
        begin, frames = self._begin, 0
        take = self._on_buffer
        try:
            while end - begin >= 2:
                # Offered again after every frame it left here: the next one may be for it.
                if take is not None and is_whole and buffer[begin] == _WHOLE_TEXT:
                    begin, taken = take(buffer, begin, end)
                    frames += taken
                    if self._is_done or end - begin < 2:
                        break
                length = buffer[begin + 1]
                start = begin + 2
                if length >= 126:
                    if length == 126:
                        start += 2
                        if end < start:
                            break
                        length = buffer[begin + 2] << 8 | buffer[begin + 3]
                    elif length == 127:
                        start += 8
                        if end < start:
                            break
                        length = int.from_bytes(view[begin + 2 : start])
                    else:
                        length = self._max_size + 1  # Masked, which a server must not do.
                    if length > self._max_size:
                        # Not waited for: the library refuses it from its head, with the close code
                        # that belongs to it.
                        frame, begin = begin, end
                        self._pass_on(view[frame:end])
                        break
                stop = start + length
                if stop > end:
                    break
                frame, begin = begin, stop
                frames += 1
                if buffer[frame] == _WHOLE_TEXT and is_whole:
                    on_message(bytes(view[start:stop]))
                else:
                    # Within a fragmented message even a whole text is a breach of the rules.
                    self._pass_on(view[frame:stop])
                    is_whole = self._library.current_size is None
                if self._is_done:
                    break
        finally:
            self._begin = begin
            if frames:
                self.frames += frames
                self._heard_at = self._loop.time()

    def _pass_on(self, frame: memoryview) -> None:
        """Let the library deal with a frame: control, fragment, binary, or against the rules."""
        library = self._library
        library.receive_data(bytes(frame))
        for event in library.events_received():
            if isinstance(event, Frame) and event.opcode in _DATA:
                self._parts.append(bytes(event.data))
                if event.fin:
                    message = b"".join(self._parts)
                    self._parts.clear()
                    if not self._is_done:
                        self._on_message(message)
        self._flush()
        if library.state is not State.OPEN:
            # Goodbye was said or the rules were broken: nothing after it counts.
            self._is_done = True
            if self._transport is not None:
                self._transport.close()

    def _make_room(self) -> None:
        """Keep space for the next read, and for the rest of a frame that has begun."""
        begin, end = self._begin, self._end
        if begin == end:
            self._begin = self._end = 0
            if len(self._buffer) > _SPARE_ABOVE:
                self._replace_buffer(_BUFFER)
        elif len(self._buffer) - end < _MIN_FREE:
            held = end - begin
            if held + _MIN_FREE > len(self._buffer):
                self._replace_buffer(2 * len(self._buffer))
            else:
                self._buffer[:held] = self._buffer[begin:end]
            self._begin, self._end = 0, held

    def _replace_buffer(self, size: int) -> None:
        # A new one, because asyncio may still hold a view on the old one.
        held = bytes(self._view[self._begin : self._end])
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)
        self._buffer[: len(held)] = held

    def _flush(self) -> None:
        transport = self._transport
        for data in self._library.data_to_send():
            if transport is None or transport.is_closing():
                continue
            if data:
                transport.write(data)
            else:
                transport.close()


async def open_wire(
    url: str,
    on_message: OnMessage,
    on_end: OnEnd,
    *,
    max_size: int,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
    on_buffer: OnBuffer | None = None,
) -> Wire:
    """Connect and upgrade; see `OpenWire`."""
    uri = parse_address(url)
    # No extensions: compression costs more than it saves here.
    library = ClientProtocol(uri, max_size=max_size)
    # At DEBUG it writes the beginning of every frame, and of a private one the token with it.
    library.debug = False
    wire = Wire(library, on_message, on_end, on_buffer)
    context = (tls or system_trust()) if uri.secure else None
    try:
        async with asyncio.timeout(timeout_s):
            # With a context asyncio sends the host as SNI, which the venue's CDN insists on.
            await asyncio.get_running_loop().create_connection(
                lambda: wire, uri.host, uri.port, ssl=context
            )
            await asyncio.shield(wire.opened)
    except BaseException as error:
        wire.abort()
        translated = why_unreachable(error, url, timeout_s)
        if translated is None:
            raise
        raise translated from error
    return wire


_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


def _refusal(library: ClientProtocol, ending: Ending) -> VenueUnavailableError:
    """Return why the upgrade failed, in words."""
    host = library.uri.host
    problem = library.handshake_exc
    if isinstance(problem, InvalidStatus):
        return not_upgraded(host, problem.response.status_code)
    if isinstance(problem, InvalidHandshake):
        return ConnectionRefusedByVenueError(f"kraken: {host} is no WebSocket server: {problem}")
    return VenueUnavailableError(f"kraken: {host} hung up before the upgrade: {ending.reason}")
