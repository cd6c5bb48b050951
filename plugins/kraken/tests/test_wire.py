"""`Wire` without a socket: whatever way the bytes are cut, the messages are what was sent."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from arbitrade_kraken.wire.plain import Wire

MAX_SIZE = 2 * 1024 * 1024


class Cable(asyncio.Transport):
    """The other side of a `Wire` without a socket; the server's Sans-I/O protocol at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.server = ServerProtocol(max_size=None)
        self.is_hung_up = False

    def write(self, data: Any) -> None:
        self.server.receive_data(bytes(data))

    def close(self) -> None:
        self.is_hung_up = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_hung_up

    def upgrade(self) -> bytes:
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        self.server.send_response(self.server.accept(request))
        return b"".join(self.server.data_to_send())

    def heard(self) -> list[Frame]:
        return [event for event in self.server.events_received() if isinstance(event, Frame)]


def receive(wire: Wire, data: bytes) -> None:
    """Do what a socket does: fill as much as there is room for."""
    while data:
        room = wire.get_buffer(-1)
        assert len(room) > 0
        part = data[: len(room)]
        room[: len(part)] = part
        wire.buffer_updated(len(part))
        data = data[len(part) :]


def make_wire(on_message: Callable[[bytes], None]) -> tuple[Wire, Cable]:
    library = ClientProtocol(parse_uri("ws://venue.test/v2"), max_size=MAX_SIZE)
    wire, cable = Wire(library, on_message, lambda ending: None), Cable()
    wire.connection_made(cable)
    return wire, cable


messages = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([125, 126, 127, 65_535, 65_536, 300_000]).map(lambda n: b"x" * n),
)
pieces = st.integers(min_value=1, max_value=4)
sendings = st.lists(st.tuples(messages, pieces, st.sampled_from([1, 2]), st.booleans()), max_size=8)


@settings(max_examples=150, deadline=None)
@given(sent=sendings, cuts=st.lists(st.integers(min_value=1, max_value=5_000), max_size=60))
def test_any_cutting_of_the_bytes_gives_the_same_messages(
    encode: Callable[..., bytes],
    sent: list[tuple[bytes, int, int, bool]],
    cuts: list[int],
) -> None:
    stream, pings = b"", 0
    for message, parts, opcode, with_ping in sent:
        size = -(-len(message) // parts) or 1
        for index in range(parts):
            first = (opcode if index == 0 else 0) | (0x80 if index == parts - 1 else 0)
            stream += encode(message[index * size : (index + 1) * size], first)
            if with_ping:
                stream += b"\x89\x01?"
                pings += 1

    async def run() -> None:
        got: list[bytes] = []
        wire, cable = make_wire(got.append)
        data = cable.upgrade() + stream
        at = 0
        for cut in cuts:
            receive(wire, data[at : at + cut])
            at += cut
        receive(wire, data[at:])

        assert got == [message for message, *_ in sent]
        assert all(type(message) is bytes for message in got)
        assert [frame.opcode for frame in cable.heard()] == [Opcode.PONG] * pings
        assert wire.frames == sum(parts for _, parts, *_ in sent) + pings
        assert wire.bytes == len(data)
        wire.connection_lost(None)

    asyncio.run(run())


async def test_the_buffer_of_a_huge_message_is_given_back(encode: Any) -> None:
    sizes: list[int] = []
    library = ClientProtocol(parse_uri("ws://venue.test/v2"), max_size=64 * 1024 * 1024)
    wire = Wire(library, lambda message: sizes.append(len(message)), lambda ending: None)
    cable = Cable()
    wire.connection_made(cable)
    receive(wire, cable.upgrade() + encode(b"x" * 6_000_000) + encode(b"y"))

    assert sizes == [6_000_000, 1]
    assert len(wire.get_buffer(-1)) == 256 * 1024
