"""`Wire`: whatever way the bytes are cut, the messages are the ones that were sent."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from arbitrade.errors import ConfigError, VenueUnavailableError
from arbitrade_kraken.transport import ConnectionRefusedByVenueError, Wire, open_wire

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


async def test_nothing_is_delivered_after_the_owner_hung_up(encode: Any) -> None:
    got: list[bytes] = []

    def once(message: bytes) -> None:
        got.append(message)
        wire.abort()

    wire, cable = make_wire(once)
    receive(wire, cable.upgrade() + encode(b"one") + encode(b"two"))
    receive(wire, encode(b"three"))

    assert got == [b"one"]
    assert cable.is_hung_up


async def test_what_the_callback_raises_is_kept_for_the_owner(encode: Any) -> None:
    def broken(message: bytes) -> None:
        raise KeyError(message)

    wire, cable = make_wire(broken)
    receive(wire, cable.upgrade() + encode(b"one") + encode(b"two"))

    assert isinstance(wire.failure, KeyError)
    assert cable.is_hung_up


async def test_the_buffer_of_a_huge_message_is_given_back(encode: Any) -> None:
    sizes: list[int] = []
    library = ClientProtocol(parse_uri("ws://venue.test/v2"), max_size=64 * 1024 * 1024)
    wire = Wire(library, lambda message: sizes.append(len(message)), lambda ending: None)
    cable = Cable()
    wire.connection_made(cable)
    receive(wire, cable.upgrade() + encode(b"x" * 6_000_000) + encode(b"y"))

    assert sizes == [6_000_000, 1]
    assert len(wire.get_buffer(-1)) == 256 * 1024


async def test_a_message_inside_an_unfinished_one_is_not_taken_even_in_a_read_of_its_own(
    encode: Any,
) -> None:
    got: list[bytes] = []
    wire, cable = make_wire(got.append)
    receive(wire, cable.upgrade() + encode(b"begun", 0x01))
    receive(wire, encode(b"whole"))

    assert got == []
    assert cable.is_hung_up


async def test_the_venue_s_goodbye_is_answered_and_its_reason_kept(encode: Any) -> None:
    got: list[bytes] = []
    wire, cable = make_wire(got.append)
    receive(wire, cable.upgrade() + b"\x88\x07\x03\xf1later" + encode(b"too late"))
    wire.connection_lost(None)

    assert got == []
    assert [frame.opcode for frame in cable.heard()] == [Opcode.CLOSE]
    assert (wire.ended.result().code, wire.ended.result().reason) == (1009, "later")


async def test_sending_on_a_connection_that_is_gone_does_nothing() -> None:
    wire, cable = make_wire(lambda message: None)
    receive(wire, cable.upgrade())
    wire.send(b"before")
    wire.abort()
    wire.send(b"after")
    wire.connection_lost(None)

    assert [bytes(frame.data) for frame in cable.heard()] == [b"before"]
    assert wire.ended.result().code == 1006


async def test_an_address_that_is_none_is_a_matter_of_settings() -> None:
    with pytest.raises(ConfigError, match=r"kraken\.ws_url: 'http://x'"):
        await open_wire("http://x", print, print, max_size=1000, timeout_s=1)


async def serve(answer: bytes, *, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "HTTP 403"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "HTTP 301"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no WebSocket server"),
        (
            b"HTTP/1.1 101 Yes\r\nUpgrade: chess\r\nConnection: upgrade\r\n\r\n",
            "no WebSocket server",
        ),
    ],
)
async def test_an_answer_that_is_no_upgrade_is_told_with_its_reason(
    answer: bytes, complaint: str
) -> None:
    async with await serve(answer) as server:
        with pytest.raises(ConnectionRefusedByVenueError, match=complaint) as caught:
            await open_wire(
                f"ws://127.0.0.1:{port_of(server)}", print, print, max_size=1000, timeout_s=5
            )
    assert caught.value.is_final == (caught.value.status == 403)


async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    async with await serve(b"") as server:
        with pytest.raises(VenueUnavailableError, match=r"within 0\.05 s"):
            await open_wire(
                f"ws://127.0.0.1:{port_of(server)}", print, print, max_size=1000, timeout_s=0.05
            )


async def test_a_server_that_hangs_up_is_unavailable() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        with pytest.raises(VenueUnavailableError):
            await open_wire(
                f"ws://127.0.0.1:{port_of(server)}", print, print, max_size=1000, timeout_s=5
            )


async def test_a_server_that_does_not_say_goodbye_is_hung_up_on() -> None:
    library = ServerProtocol()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        library.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = library.events_received()
        assert isinstance(request, Request)
        library.send_response(library.accept(request))
        writer.write(b"".join(library.data_to_send()))
        await reader.read()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{port_of(server)}"
        wire = await open_wire(url, print, print, max_size=1000, timeout_s=5)
        await wire.close(0.05)
        async with asyncio.timeout(5):
            await wire.ended


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost` that nobody but this test trusts, its key beside it."""
    pytest.importorskip("cryptography", reason="makes the certificate; comes with core's vault")
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls_is_spoken_with_the_server_s_name_in_the_greeting(
    certificate: Path, encode: Any
) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: names.append(name)
    library = ServerProtocol()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        library.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = library.events_received()
        assert isinstance(request, Request)
        library.send_response(library.accept(request))
        big = encode(b"y" * 900_000)
        writer.write(b"".join(library.data_to_send()) + encode(b"hello") + big)
        await reader.read(64)  # Our goodbye; this server just hangs up.
        writer.close()

    got: list[int] = []
    has_all = asyncio.Event()

    def take(message: bytes) -> None:
        got.append(len(message))
        if len(got) == 2:
            has_all.set()

    trust = ssl.create_default_context(cafile=certificate)
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as server:
        url = f"wss://localhost:{port_of(server)}/v2"
        wire = await open_wire(
            url, take, lambda ending: None, max_size=MAX_SIZE, timeout_s=5, tls=trust
        )
        async with asyncio.timeout(5):
            await has_all.wait()
        await wire.close(5)
        assert wire.ended.done()

        with pytest.raises(ConnectionRefusedByVenueError, match="certificate we don't trust") as no:
            await open_wire(url, take, lambda ending: None, max_size=MAX_SIZE, timeout_s=5)
    assert no.value.is_final
    assert got == [5, 900_000]
    assert names == ["localhost"] * 2
