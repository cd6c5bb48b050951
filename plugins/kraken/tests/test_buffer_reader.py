"""`BufferReader` without picows: every frame arrives once, in order, buffered or not."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_kraken.wire.buffer_reader import BufferReader

GOODBYE = b"\x88\x02\x03\xe8"


class Parser:
    """What stands behind a front, and the wire it belongs to: cuts frames as picows does.

    Args:
        takes: Whether a whole text message is taken when it is offered.
        room: Bytes it has room for at once.
    """

    def __init__(self, takes: Callable[[bytes], bool], room: int) -> None:
        self._takes = takes
        self._room = bytearray(room)
        self._held = b""
        self._tail: int | None = None
        self.frames: list[bytes] = []
        self.offered: list[bytes] = []
        self.is_ending = False
        self.is_over = False

    def get_buffer(self, sizehint: int, /) -> memoryview:
        return memoryview(self._room)

    def buffer_updated(self, nbytes: int, /) -> None:
        self._held += self._room[:nbytes]
        while size := whole(self._held):
            self.frames.append(self._held[:size])
            self._held = self._held[size:]
            self._tail = len(self._held)
            self.is_ending = self.is_ending or self.frames[-1] == GOODBYE

    def connection_lost(self, exc: Exception | None, /) -> None:
        self.is_over = True

    def eof_received(self) -> bool | None:
        return False

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def take_tail(self) -> int | None:
        tail, self._tail = self._tail, None
        return tail

    def offer(self, buffer: bytearray, begin: int, end: int) -> int:
        assert not self.is_ending
        while size := whole(bytes(buffer[begin:end])):
            frame = bytes(buffer[begin : begin + size])
            if frame[0] != 0x81 or size > 64 * 1024 or not self._takes(frame):
                break
            self.frames.append(frame)
            self.offered.append(frame)
            begin += size
        return begin


def whole(data: bytes) -> int:
    """Return the size of the frame data begins with; 0 if it is not there whole."""
    if len(data) < 2:
        return 0
    size, head = data[1], 2
    if size >= 126:
        head = 4 if size == 126 else 10
        size = int.from_bytes(data[2:head])
    return head + size if len(data) >= head + size else 0


def receive(front: BufferReader, data: bytes) -> None:
    while data:
        room = front.get_buffer(-1)
        assert len(room) > 0
        part = data[: len(room)]
        room[: len(part)] = part
        front.buffer_updated(len(part))
        data = data[len(part) :]


sizes = st.one_of(
    st.integers(min_value=0, max_value=200),
    st.sampled_from([125, 126, 127, 65_535, 65_536, 300_000]),
)
firsts = st.sampled_from([0x81, 0x81, 0x81, 0x89, 0x01, 0x80])


@settings(max_examples=200, deadline=None)
@given(
    sent=st.lists(st.tuples(sizes, firsts), max_size=12),
    late=st.lists(sizes, max_size=3),
    opened_with=st.integers(min_value=0, max_value=700),
    cuts=st.lists(st.integers(min_value=1, max_value=5_000), max_size=60),
    refused=st.integers(min_value=1, max_value=5),
    room=st.sampled_from([1_000, 300_000]),
)
def test_every_frame_comes_once_and_in_order_however_the_bytes_are_cut(
    encode: Callable[..., bytes],
    sent: list[tuple[int, int]],
    late: list[int],
    opened_with: int,
    cuts: list[int],
    refused: int,
    room: int,
) -> None:
    frames = [
        encode(bytes(min(size, 125) if first == 0x89 else size), first) for size, first in sent
    ]
    frames += [GOODBYE, *(encode(bytes(size)) for size in late)]
    stream = b"".join(frames)
    parser = Parser(lambda frame: len(frame) % refused != 1, room)
    # What came with the answer to the upgrade was read before there was a front.
    for at in range(0, min(opened_with, len(stream)), room):
        early = stream[:opened_with][at : at + room]
        parser.get_buffer(-1)[: len(early)] = early
        parser.buffer_updated(len(early))
    front = BufferReader(parser, parser)

    at = opened_with
    for cut in cuts:
        receive(front, stream[at : at + cut])
        at += cut
    receive(front, stream[at:])
    front.connection_lost(None)

    assert parser.frames == frames
    assert parser.is_over


def test_from_the_second_frame_on_everything_is_offered(encode: Callable[..., bytes]) -> None:
    parser = Parser(lambda frame: True, 1_000)
    front = BufferReader(parser, parser)
    frames = [encode(b"%d" % number) for number in range(5)]

    receive(front, frames[0])
    receive(front, b"".join(frames[1:]))

    assert parser.offered == frames[1:]
