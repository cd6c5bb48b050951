"""Reads in front of picows: whole messages go straight to whoever takes them from a buffer.

picows hands its user one frame at a time and keeps its buffer for itself.  A compiled engine wants
the buffer.  So once a connection is open, `BufferReader` takes the place of picows' own protocol on
the socket: it offers what it reads, and hands picows, frame by frame, what nobody took.  Pings,
fragments, goodbyes, breaches of the rules, everything that is sent and the ending stay picows'
business.

PERF: docs/performance.md, "Wire".
"""

import asyncio
from typing import Protocol

_BUFFER = 256 * 1024
_MIN_FREE = 72 * 1024
"""Room for the rest of the longest frame that is waited for."""
_WAIT = 64 * 1024 + 4
_WHOLE_TEXT = 0x81


class Reader(Protocol):
    """The wire whose socket is read here."""

    def take_tail(self) -> int | None:
        """Return how many bytes picows holds behind the last frame it delivered.

        None when it has delivered no frame since the last call.
        """

    @property
    def is_ending(self) -> bool:
        """True once either side has said goodbye; nothing is offered from then on."""

    def offer(self, buffer: bytearray, begin: int, end: int) -> int:
        """Let whole messages be taken from where a frame begins; return where the rest begins."""


class Behind(Protocol):
    """picows' own protocol, which has read until now and may hold the beginning of a frame."""

    def get_buffer(self, sizehint: int, /) -> memoryview:
        """Return where to write."""

    def buffer_updated(self, nbytes: int, /) -> None:
        """Go on with so many bytes more."""

    def connection_lost(self, exc: Exception | None, /) -> None:
        """Take that the socket is gone, with the error that ended it or None."""

    def eof_received(self) -> bool | None:
        """Take that the other side sends nothing any more; tell whether to keep the socket."""

    def pause_writing(self) -> None:
        """Stop writing: too much is waiting to be sent."""

    def resume_writing(self) -> None:
        """Go on writing: what was waiting has been sent."""


class BufferReader(asyncio.BufferedProtocol):
    """The protocol of a socket whose WebSocket is open.

    Args:
        wire: Whose frames these are.
        behind: Gets what nobody took.
    """

    def __init__(self, wire: Reader, behind: Behind) -> None:
        wire.take_tail()  # What comes from now on counts.
        self._wire = wire
        self._behind = behind
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._begin = 0
        self._end = 0
        self._is_aligned = False
        self._given = 0
        """Bytes from `_begin` on that picows has already."""
        self._owed = 0
        """Bytes still to come of a frame that picows was given the beginning of."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the free part of the buffer."""
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Offer what is complete now, hand on the rest."""
        self._end += nbytes
        if self._is_aligned:
            self._cut()
        else:
            self._align()
        self._make_room()

    # What is not reading stays the business of picows, which must not notice that it was replaced.

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on to picows that the socket is gone."""
        self._behind.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Hand on to picows that nothing comes any more."""
        return self._behind.eof_received()

    def pause_writing(self) -> None:
        """Hand on to picows that too much waits to be sent."""
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        """Hand on to picows that it may send again."""
        self._behind.resume_writing()

    def _align(self) -> None:
        """Hand everything on until picows delivers a frame; what is behind it we know then."""
        begin, end = self._begin, self._end
        while begin < end:
            begin += self._hand_on(begin, end)
            tail = self._wire.take_tail()
            if tail is not None:
                self._is_aligned = True
                self._begin, self._given = begin - tail, tail
                self._cut()
                return
        self._begin = end

    def _cut(self) -> None:
        """Go from frame to frame.  About 2 µs for one that nobody took."""
        wire, buffer, end = self._wire, self._buffer, self._end
        begin, given = self._begin, self._given
        while begin + given < end:
            if self._owed:
                stop = min(begin + self._owed, end)
                self._owed -= stop - begin
            elif wire.is_ending:
                stop = end
            else:
                if not given:
                    begin = wire.offer(buffer, begin, end)
                size = _frame_size(buffer, begin, end)
                if not size:
                    break
                stop = begin + size
                if stop > end:
                    if buffer[begin] == _WHOLE_TEXT and size <= _WAIT and not given:
                        break
                    self._owed = stop - end
                    stop = end
            at = begin + given
            while at < stop:
                at += self._hand_on(at, stop)
            begin, given = stop, 0
        self._begin, self._given = begin, given

    def _hand_on(self, begin: int, end: int) -> int:
        """Give picows as much as it has room for; return how much that was."""
        room = self._behind.get_buffer(-1)
        part = min(len(room), end - begin)
        room[:part] = self._view[begin : begin + part]
        self._behind.buffer_updated(part)
        return part

    def _make_room(self) -> None:
        """Keep space for the next read, and for the rest of a frame that is waited for."""
        begin, end = self._begin, self._end
        if begin == end:
            self._begin = self._end = 0
        elif len(self._buffer) - end < _MIN_FREE:
            held = end - begin
            self._buffer[:held] = self._buffer[begin:end]
            self._begin, self._end = 0, held


def _frame_size(buffer: bytearray, begin: int, end: int) -> int:
    """Return the bytes of a frame from the server, its head included; 0 while that is not there."""
    held = end - begin
    if held < 2:
        return 0
    size = buffer[begin + 1] & 0x7F
    if size < 126:
        return 2 + size
    head = 4 if size == 126 else 10
    return head + int.from_bytes(buffer[begin + 2 : begin + head]) if held >= head else 0
