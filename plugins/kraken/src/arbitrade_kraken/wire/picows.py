"""The same wire as in `plain`, read by picows: its compiled parser in place of ours.

picows cuts frames in C and calls `PicowsWire.on_ws_frame` for each from inside the read.  What
it leaves to its user is done here: fragments are put together, pings are answered, messages out of
order and goodbyes end the connection.  Where messages are wanted straight from the buffer,
`BufferReader` of `buffer_reader` reads in its place.  Needs the extra `fast`.

PERF: docs/performance.md, "Wire", has the comparison with `plain.Wire`.
"""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from typing import cast

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSInvalidStatusError,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSTransport,
    ws_connect,
)

from arbitrade.errors import VenueUnavailableError
from arbitrade_kraken.wire.buffer_reader import Behind, BufferReader
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
_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_PING, _CLOSE = WSMsgType.PING, WSMsgType.CLOSE
_DATA = (_TEXT, _BINARY, _CONTINUATION)
_NO_STATUS, _ABNORMAL = 1005, 1006
"""What an ending without a code, or without a goodbye, is counted as (RFC 6455, 7.4.1)."""

# Everything it has to say is said by the feed, once and in our words.
_silent = logging.getLogger(__name__)
_silent.setLevel(logging.CRITICAL)


class PicowsWire(WSListener):
    """The client's end of one WebSocket.

    picows' buffer doubles while the kernel has more than fits, up to what the kernel keeps for a
    socket or one message takes, and is not given back before the connection ends.

    Args:
        on_message: Called with each text or binary message, from inside the read.  What it raises
            ends the connection and stands in `failure`.
        on_end: Called once, after the last message, when an open connection is gone.  What it
            raises stands in `failure` too.
        max_size: Largest message taken, in bytes.
        on_buffer: Asked first, once `read_through` was called; see `OpenWire`.
    """

    def __init__(
        self,
        on_message: OnMessage,
        on_end: OnEnd,
        max_size: int,
        on_buffer: OnBuffer | None = None,
    ) -> None:
        super().__init__()
        self._on_buffer = on_buffer
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_end = on_end
        self._max_size = max_size
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        self._held = 0
        self._is_plain = True
        self._is_done = False
        self._is_leaving = False
        self._goodbye: Ending | None = None
        self._retrieving: asyncio.Task[None] | None = None
        self._heard_at = self._loop.time()
        self.ended: asyncio.Future[Ending] = self._loop.create_future()
        self.failure: Exception | None = None
        self._tail: int | None = None
        self.frames = 0
        self.bytes = 0
        """Received in frames, heads included; the answer to the upgrade is not."""

    @property
    def never_opened(self) -> bool:
        """True until the upgrade."""
        return self._transport is None

    @property
    def silent_s(self) -> float:
        """Seconds since the last complete frame of any kind, ours excluded."""
        return self._loop.time() - self._heard_at

    # ── what the owner does ──────────────────────────────────────────────────────────────────────

    def send(self, message: bytes) -> None:
        """Send one text message.  Ignored when the connection is on its way out."""
        if not self._is_done and self._transport is not None:
            self._transport.send(_TEXT, message)

    async def close(self, timeout_s: float) -> None:
        """Say goodbye, and hang up after `timeout_s` whatever the other side does.  Idempotent."""
        if not self._is_done and self._transport is not None:
            self._is_leaving = True
            self._transport.send_close(WSCloseCode.OK)
        self._stop()
        await await_goodbye(self, timeout_s)

    def abort(self) -> None:
        """Hang up now.  No message is delivered from here on.  Idempotent."""
        self._stop()
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # ── what picows calls ────────────────────────────────────────────────────────────────────────

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take the upgraded connection, and drop it where nobody waits for it any more."""
        self._transport = transport
        self._heard_at = self._loop.time()
        if self._is_done:
            self.abort()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Deliver a message that is one frame, the usual case, or see what else it is."""
        # A reserved bit is not looked for: we agreed on no extension, and what one makes of a
        # payload does not decode.
        if frame.msg_type is _TEXT and frame.fin and self._is_plain:
            message = frame.get_payload_as_bytes()
            self.frames += 1
            size = len(message)
            self.bytes += size + (4 if 125 < size < 65_536 else _head(size))
            if transport.is_close_frame_sent and not self._is_before_breach(frame):
                return
            try:
                self._on_message(message)
            except Exception as problem:
                self.failure = problem  # The owner raises it; picows would only log it.
                self.abort()
        else:
            self._take(transport, frame)
        if frame.last_in_buffer:
            self._tail = frame.tail_size
            self._heard_at = self._loop.time()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell the owner how it ended."""
        self._is_done, self._is_plain = True, False
        ending = self._goodbye
        if ending is None:
            ending = Ending(_ABNORMAL, "the venue closed the socket")
            # No attribute access: where nobody said goodbye there is no handshake to ask.
            sent = getattr(transport.close_handshake, "sent", None)
            if sent is not None and not self._is_leaving:
                ending = Ending(_ABNORMAL, f"not a WebSocket frame: {sent.reason}")
                # picows keeps it in a future that complains when nobody looks.
                self._retrieving = self._loop.create_task(_retrieve(transport))
        self.ended.set_result(ending)
        try:
            self._on_end(ending)
        except Exception as problem:
            self.failure = problem

    def _is_before_breach(self, frame: WSFrame) -> bool:
        """Tell, after a frame against the rules, whether this is the good one just before it.

        picows looks one frame ahead, says goodbye by itself when it doesn't like that one, and goes
        on parsing what comes until it hangs up a hundredth of a second later.
        """
        self._stop()
        return bool(frame.last_in_buffer) and frame.tail_size > 0

    # ── messages straight from the buffer ────────────────────────────────────────────────────────

    def read_through(self) -> None:
        """Have what comes from now on offered to `on_buffer` before picows sees it."""
        if self._on_buffer is not None and self._transport is not None and not self.ended.done():
            socket_end = self._transport.underlying_transport
            behind = cast(Behind, socket_end.get_protocol())
            socket_end.set_protocol(BufferReader(self, behind))

    def take_tail(self) -> int | None:
        """Return the bytes picows holds behind the last frame it delivered; see `Reader`."""
        tail, self._tail = self._tail, None
        return tail

    @property
    def is_ending(self) -> bool:
        """True when a goodbye was said by whomever, or nobody listens any more."""
        return self._is_done or self._transport is None or self._transport.is_close_frame_sent

    def offer(self, buffer: bytearray, begin: int, end: int) -> int:
        """Let whole messages be taken from where a frame begins; return where the rest begins."""
        take = self._on_buffer
        if take is None or not self._is_plain:
            return begin
        try:
            rest, taken = take(buffer, begin, end)
        except Exception as problem:
            self.failure = problem
            self.abort()
            return begin
        if taken:
            self.frames += taken
            self.bytes += rest - begin
            self._heard_at = self._loop.time()
        return rest

    # ── frames that are more than a message ──────────────────────────────────────────────────────

    def _take(self, transport: WSTransport, frame: WSFrame) -> None:
        kind, payload = frame.msg_type, frame.get_payload_as_bytes()
        self.frames += 1
        self.bytes += len(payload) + _head(len(payload))
        if kind is _CLOSE and self._goodbye is None:
            code = int.from_bytes(payload[:2]) or _NO_STATUS
            self._goodbye = Ending(code, payload[2:].decode())  # picows has checked both.
        if self._is_done:
            if kind is _CLOSE:
                transport.disconnect()  # The answer to our goodbye.
        elif transport.is_close_frame_sent and not self._is_before_breach(frame):
            pass
        elif kind is _PING:
            transport.send_pong(payload)
        elif kind is _CLOSE:
            self._stop()
            transport.send(_CLOSE, payload)
            transport.disconnect()
        elif kind in _DATA:
            self._piece(transport, kind, payload, is_last=bool(frame.fin))

    def _piece(
        self, transport: WSTransport, kind: WSMsgType, payload: bytes, *, is_last: bool
    ) -> None:
        """Put a message together that comes in several frames, or is binary."""
        if (kind is _CONTINUATION) != bool(self._parts):
            self._refuse(transport, WSCloseCode.PROTOCOL_ERROR, "a message inside another")
            return
        self._parts.append(payload)
        self._held += len(payload)
        self._is_plain = is_last
        if self._held > self._max_size:
            self._refuse(transport, WSCloseCode.MESSAGE_TOO_BIG, "a message of too many frames")
        elif is_last:
            message = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
            try:
                self._on_message(message)
            except Exception as problem:
                self.failure = problem
                self.abort()

    def _refuse(self, transport: WSTransport, code: WSCloseCode, reason: str) -> None:
        self._stop()
        transport.send_close(code, reason)
        transport.disconnect()

    def _stop(self) -> None:
        """Deliver nothing any more."""
        self._is_done, self._is_plain = True, False


async def open_picows_wire(
    url: str,
    on_message: OnMessage,
    on_end: OnEnd,
    *,
    max_size: int,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
    on_buffer: OnBuffer | None = None,
) -> PicowsWire:
    """Connect and upgrade; see `OpenWire`.

    What comes together with the answer to the upgrade goes to `on_message` in any case.
    """
    uri = parse_address(url)
    wire = PicowsWire(on_message, on_end, max_size, on_buffer)
    sockets: list[socket.socket] = []

    async def reach(_: WSParsedURL) -> socket.socket:
        sockets.append(await _reach(uri.host, uri.port))
        return sockets[-1]

    try:
        async with asyncio.timeout(timeout_s):
            await ws_connect(
                lambda *_: wire,
                url,
                ssl_context=(tls or system_trust()) if uri.secure else None,
                websocket_handshake_timeout=None,  # Ours includes reaching the server.
                logger_name=_silent,
                enable_auto_pong=False,  # So that pings are seen, and counted as signs of life.
                max_frame_size=max_size,
                max_redirects=0,
                read_buffer_init_size=_BUFFER,
                socket_factory=reach,
            )
    except BaseException as error:
        wire.abort()
        for reached in sockets:
            with suppress(OSError):
                # picows has no handle on a connection before its upgrade; this ends it as well.
                reached.shutdown(socket.SHUT_RDWR)
        translated = _why_not_opened(error, uri.host) or why_unreachable(error, url, timeout_s)
        if translated is None:
            raise
        raise translated from error
    if wire.never_opened:
        raise VenueUnavailableError(f"kraken: {uri.host} hung up before the upgrade")
    wire.read_through()
    return wire


async def _reach(host: str, port: int) -> socket.socket:
    """Return a socket connected to the first of the host's addresses that answers."""
    loop = asyncio.get_running_loop()
    problem = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        try:
            reached = socket.socket(family, kind, protocol)
        except OSError as error:
            problem = error
            continue
        try:
            reached.setblocking(False)
            await loop.sock_connect(reached, address)
        except OSError as error:
            reached.close()
            problem = error
        except BaseException:
            reached.close()
            raise
        else:
            return reached
    raise problem


def _why_not_opened(error: BaseException, host: str) -> VenueUnavailableError | None:
    """Return what an exception of picows means; None if it is none of its."""
    if isinstance(error, WSInvalidStatusError) and error.response is not None:
        return not_upgraded(host, error.response.status)
    if isinstance(error, WSHandshakeError):
        return ConnectionRefusedByVenueError(f"kraken: {host} is no WebSocket server: {error}")
    if isinstance(error, WSError):
        return VenueUnavailableError(f"kraken: {host} can't be reached: {error}")
    return None


def _head(size: int) -> int:
    """Return how many bytes stand before a payload of so many."""
    return 2 if size < 126 else 4 if size < 65_536 else 10


async def _retrieve(transport: WSTransport) -> None:
    with suppress(Exception):
        await transport.wait_disconnected()
