"""Every transport over a real socket: the messages, the endings and the errors are the same."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from arbitrade.errors import ConfigError, VenueUnavailableError
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.wire.choosing import choose_transport
from arbitrade_kraken.wire.opening import (
    AnyWire,
    ConnectionRefusedByVenueError,
    Ending,
    OnBuffer,
    OnEnd,
    OnMessage,
    OpenWire,
)
from arbitrade_kraken.wire.plain import Wire, open_wire

MAX_SIZE = 2 * 1024 * 1024
GOODBYE = b"\x88\x02\x03\xe8"


@pytest.fixture(params=["by message", "from the buffer"])
def opens(transport: Any, request: pytest.FixtureRequest) -> OpenWire:
    """Open connections whose messages come one by one, or are taken from the buffer."""
    chosen = choose_transport(transport)
    if request.param == "by message":
        return chosen

    async def open_with_buffer(
        url: str, on_message: OnMessage, on_end: OnEnd, **options: Any
    ) -> AnyWire:
        return await chosen(url, on_message, on_end, on_buffer=taking(on_message), **options)

    return open_with_buffer


def taking(on_message: OnMessage) -> OnBuffer:
    """Take short text messages out of a buffer as the compiled loop does, and leave some there."""

    def take(buffer: bytearray, begin: int, end: int) -> tuple[int, int]:
        assert 0 <= begin < end <= len(buffer)
        size = buffer[begin + 1] if end - begin > 1 else 126
        stop = begin + 2 + size
        if buffer[begin] != 0x81 or size >= 126 or stop > end or size % 3 == 2:
            return begin, 0
        on_message(bytes(buffer[begin + 2 : stop]))
        return stop, 1

    return take


class Peer:
    """The server's end of one socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._library = ServerProtocol(max_size=None)
        self.upgrade_size = 0

    async def upgrade(self) -> None:
        self._library.receive_data(await self._reader.readuntil(b"\r\n\r\n"))
        (request,) = self._library.events_received()
        assert isinstance(request, Request)
        self._library.send_response(self._library.accept(request))
        answer = b"".join(self._library.data_to_send())
        self.upgrade_size = len(answer)
        self._writer.write(answer)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)  # So that the other end reads it by itself.

    async def heard(self) -> list[Frame]:
        """Return what came until the other end hung up."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while data := await self._reader.read(65_536):
                    self._library.receive_data(data)
            except ConnectionError:
                pass  # Aborted.
        return [event for event in self._library.events_received() if isinstance(event, Frame)]

    def hang_up(self) -> None:
        self._writer.close()


@asynccontextmanager
async def meeting(
    opens: OpenWire,
    on_message: Callable[[bytes], None],
    on_end: Callable[[Ending], None] = lambda ending: None,
    max_size: int = MAX_SIZE,
) -> AsyncIterator[tuple[AnyWire, Peer]]:
    """Open a connection; hang up at the end."""
    met: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        await peer.upgrade()
        met.set_result(peer)

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{port_of(server)}/v2"
        wire = await opens(url, on_message, on_end, max_size=max_size, timeout_s=PATIENCE_S)
        peer = await met
        try:
            yield wire, peer
        finally:
            peer.hang_up()
            await wire.close(5)


async def ending_of(wire: AnyWire) -> Ending:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.shield(wire.ended)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


# ── messages ─────────────────────────────────────────────────────────────────────────────────────

messages = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([125, 126, 127, 65_535, 65_536, 300_000]).map(lambda n: b"x" * n),
)
pieces = st.integers(min_value=1, max_value=4)
sendings = st.lists(st.tuples(messages, pieces, st.sampled_from([1, 2]), st.booleans()), max_size=8)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sent=sendings, cuts=st.lists(st.integers(min_value=1, max_value=5_000), max_size=20))
def test_any_cutting_of_the_bytes_gives_the_same_messages(
    encode: Callable[..., bytes],
    opens: OpenWire,
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
    stream += GOODBYE

    async def run() -> None:
        got: list[bytes] = []
        async with meeting(opens, got.append) as (wire, peer):
            at = 0
            for cut in cuts:
                await peer.send(stream[at : at + cut])
                at += cut
            await peer.send(stream[at:])
            answers = [frame.opcode for frame in await peer.heard()]

        assert got == [message for message, *_ in sent]
        assert all(type(message) is bytes for message in got)
        assert answers == [Opcode.PONG] * pings + [Opcode.CLOSE]
        assert wire.frames == sum(parts for _, parts, *_ in sent) + pings + 1
        with_upgrade = peer.upgrade_size if isinstance(wire, Wire) else 0
        assert wire.bytes == len(stream) + with_upgrade
        assert wire.failure is None

    asyncio.run(run())


async def test_nothing_is_delivered_after_the_owner_hung_up(opens: OpenWire, encode: Any) -> None:
    got: list[bytes] = []
    endings: list[Ending] = []

    def once(message: bytes) -> None:
        got.append(message)
        wire.abort()

    async with meeting(opens, once, endings.append) as (wire, peer):
        await peer.send(encode(b"one") + encode(b"two"))
        await peer.send(encode(b"three"))
        assert (await ending_of(wire)).code == 1006
    assert got == [b"one"]
    assert len(endings) == 1


@pytest.mark.parametrize("first", [0x81, 0x82], ids=["text", "binary"])
async def test_what_the_callback_raises_is_kept_for_the_owner(
    opens: OpenWire, encode: Any, first: int
) -> None:
    got: list[bytes] = []

    def broken(message: bytes) -> None:
        got.append(message)
        raise KeyError(message)

    async with meeting(opens, broken) as (wire, peer):
        await peer.send(encode(b"one", first) + encode(b"two"))
        await ending_of(wire)
    assert isinstance(wire.failure, KeyError)
    assert got == [b"one"]


async def test_what_the_farewell_callback_raises_is_kept_for_the_owner(opens: OpenWire) -> None:
    def broken(ending: Ending) -> None:
        raise KeyError(ending)

    async with meeting(opens, print, broken) as (wire, peer):
        peer.hang_up()
        assert (await ending_of(wire)).code == 1006
    assert isinstance(wire.failure, KeyError)


async def test_every_frame_is_a_sign_of_life(opens: OpenWire) -> None:
    has_come = asyncio.Event()
    async with meeting(opens, lambda message: has_come.set()) as (wire, peer):
        while wire.silent_s < 0.02:
            await asyncio.sleep(0.005)
        before = wire.silent_s
        await peer.send(b"\x89\x01?")
        async with asyncio.timeout(PATIENCE_S):
            while wire.frames == 0:
                await asyncio.sleep(0)
        assert wire.silent_s < before
        await peer.send(b"\x81\x01!")
        async with asyncio.timeout(PATIENCE_S):
            await has_come.wait()
    assert wire.frames == 2


# ── endings ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "breach",
    [
        pytest.param(b"\x81\x82abcdhi", id="masked"),
        pytest.param(b"\x83\x00", id="unknown opcode"),
        pytest.param(b"\x09\x00", id="ping in pieces"),
        pytest.param(b"\x89\x7e\x00\x80" + bytes(128), id="ping too long"),
        pytest.param(b"\x80\x02hi", id="continuation of nothing"),
        pytest.param(b"\x01\x02hi\x81\x02ho", id="message inside another"),
        pytest.param(b"\x88\x02\x00\x01", id="close code of no meaning"),
        pytest.param(b"\x88\x01\x03", id="half a close code"),
        pytest.param(b"\x81\x7f\x00\x00\x00\x00\x00\x20\x00\x01", id="message too big"),
        pytest.param(b"\x01\x7f\x00\x00\x00\x00\x00\x10\x00\x00" + bytes(1 << 20)
        + b"\x80\x7f\x00\x00\x00\x00\x00\x10\x00\x01" + bytes((1 << 20) + 1),
        id="pieces too big"),
    ],
)  # fmt: skip
async def test_a_breach_of_the_rules_ends_it_and_nothing_after_it_is_delivered(
    opens: OpenWire, encode: Any, breach: bytes
) -> None:
    got: list[bytes] = []
    async with meeting(opens, got.append) as (wire, peer):
        await peer.send(encode(b"good") + breach)
        await peer.send(encode(b"late"))
        ending = await ending_of(wire)
    assert got == [b"good"]
    assert ending.code == 1006
    assert ending.reason.startswith("not a WebSocket frame: ")
    assert wire.failure is None


@pytest.mark.parametrize(
    ("goodbye", "ending"),
    [
        (b"\x88\x07\x03\xf1later", Ending(1009, "later")),
        (b"\x88\x02\x0f\xa1", Ending(4001, "")),
        (b"\x88\x05\x03\xf0no!", Ending(1008, "no!")),
        (b"\x88\x00", Ending(1005, "")),
    ],
)
async def test_the_venue_s_goodbye_is_answered_and_its_reason_kept(
    opens: OpenWire, encode: Any, goodbye: bytes, ending: Ending
) -> None:
    got: list[bytes] = []
    async with meeting(opens, got.append) as (wire, peer):
        await peer.send(goodbye + encode(b"too late"))
        (answer,) = await peer.heard()
        assert await ending_of(wire) == ending
    assert got == []
    assert answer.opcode is Opcode.CLOSE
    assert bytes(answer.data)[:2] == goodbye[2:4]


async def test_our_goodbye_waits_for_the_answer_and_no_message_comes_after_it(
    opens: OpenWire, encode: Any
) -> None:
    got: list[bytes] = []
    async with meeting(opens, got.append) as (wire, peer):
        closing = asyncio.create_task(wire.close(5))
        await asyncio.sleep(0)
        await peer.send(encode(b"too late") + GOODBYE)
        await closing
        assert await ending_of(wire) == Ending(1000, "")
        (goodbye,) = await peer.heard()
    assert got == []
    assert bytes(goodbye.data) == b"\x03\xe8"


async def test_sending_on_a_connection_that_is_gone_does_nothing(opens: OpenWire) -> None:
    async with meeting(opens, print) as (wire, peer):
        wire.send(b"before")
        await asyncio.sleep(0)
        wire.abort()
        wire.send(b"after")
        await ending_of(wire)
        wire.send(b"long after")
        assert [bytes(frame.data) for frame in await peer.heard()] == [b"before"]
        assert (await ending_of(wire)).code == 1006


# ── opening ──────────────────────────────────────────────────────────────────────────────────────


async def test_an_address_that_is_none_is_a_matter_of_settings(opens: OpenWire) -> None:
    with pytest.raises(ConfigError, match=r"kraken\.ws_url: 'http://x'"):
        await opens("http://x", print, print, max_size=1000, timeout_s=1)


async def serve(answer: bytes, *, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)


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
    opens: OpenWire, answer: bytes, complaint: str
) -> None:
    async with await serve(answer) as server:
        with pytest.raises(ConnectionRefusedByVenueError, match=complaint) as caught:
            await opens(
                f"ws://127.0.0.1:{port_of(server)}",
                print,
                print,
                max_size=1000,
                timeout_s=PATIENCE_S,
            )
    assert caught.value.is_final == (caught.value.status == 403)


async def test_a_server_that_says_nothing_is_given_up_in_time(opens: OpenWire) -> None:
    async with await serve(b"") as server:
        with pytest.raises(VenueUnavailableError, match=r"within 0\.05 s"):
            await opens(
                f"ws://127.0.0.1:{port_of(server)}", print, print, max_size=1000, timeout_s=0.05
            )


async def test_a_server_that_hangs_up_is_unavailable(opens: OpenWire) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        with pytest.raises(VenueUnavailableError):
            await opens(
                f"ws://127.0.0.1:{port_of(server)}",
                print,
                print,
                max_size=1000,
                timeout_s=PATIENCE_S,
            )


async def test_a_server_that_does_not_say_goodbye_is_hung_up_on(opens: OpenWire) -> None:
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
        wire = await opens(url, print, print, max_size=1000, timeout_s=PATIENCE_S)
        await wire.close(0.05)
        async with asyncio.timeout(PATIENCE_S):
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
    opens: OpenWire, certificate: Path, encode: Any
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
        wire = await opens(
            url, take, lambda ending: None, max_size=MAX_SIZE, timeout_s=PATIENCE_S, tls=trust
        )
        async with asyncio.timeout(PATIENCE_S):
            await has_all.wait()
        await wire.close(5)
        assert wire.ended.done()

        with pytest.raises(ConnectionRefusedByVenueError, match="certificate we don't trust") as no:
            await opens(url, take, lambda ending: None, max_size=MAX_SIZE, timeout_s=PATIENCE_S)
    assert no.value.is_final
    assert got == [5, 900_000]
    assert names == ["localhost"] * 2


# ── which one ────────────────────────────────────────────────────────────────────────────────────


def test_picows_is_refused_by_name_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("arbitrade_kraken.wire.choosing.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"kraken\.transport: 'picows' is not installed"):
        choose_transport("picows")


def test_auto_is_what_measured_faster() -> None:
    assert choose_transport("auto") is choose_transport("websockets") is open_wire


async def test_a_port_where_nobody_listens_is_unavailable(opens: OpenWire) -> None:
    async with await serve(b"") as server:
        port = port_of(server)
    with pytest.raises(VenueUnavailableError, match="can't be reached"):
        await opens(f"ws://127.0.0.1:{port}", print, print, max_size=1000, timeout_s=PATIENCE_S)
