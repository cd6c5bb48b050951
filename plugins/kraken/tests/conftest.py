"""A scripted Kraken on loopback, markets with true checksums, and a handler to feed."""

import asyncio
import socket
import struct
import zlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import attrs
import orjson
import pytest
from aiohttp import web
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from arbitrade import Secret
from arbitrade.book import BookState
from arbitrade.engine.assembly import make_engine
from arbitrade.engine.compiled import CompiledEngine
from arbitrade.engine.engine import Engine
from arbitrade.hot import LOOP, unavailable
from arbitrade.models import (
    Balance,
    BalanceChange,
    BookDelta,
    Changed,
    ConnectionLost,
    ExecutionReport,
    Instruments,
    Leg,
    MarketEvent,
    Opportunity,
    Side,
)
from arbitrade.protocols import FeedHandler
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.account.account import KrakenAccount, make_account
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.config import KrakenSettings
from arbitrade_kraken.market.decoder import KrakenDecoder
from arbitrade_kraken.market.feed import KrakenFeed
from arbitrade_kraken.rest.signing import sign
from arbitrade_kraken.venue import KrakenVenue

CYCLE = ("BTC/USD", "ETH/BTC", "ETH/USD")


class Pulse:
    """Wakes whoever waits for a condition whenever something happened."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._event.clear()
                await self._event.wait()


# ── the market ───────────────────────────────────────────────────────────────────────────────────


@attrs.define
class Pair:
    """The venue's own book of one pair, deeper than anybody subscribes to."""

    symbol: str
    price_precision: int
    quantity_precision: int
    bids: dict[int, int]
    asks: dict[int, int]
    status: str = "online"
    clock: int = 0
    depth: int = 10

    @classmethod
    def around(cls, symbol: str, mid: int, prices: int, quantities: int = 8) -> "Pair":
        lots = 10**quantities
        return cls(
            symbol,
            prices,
            quantities,
            {mid - 1 - i: lots * (i + 1) + i for i in range(20)},
            {mid + 1 + i: lots * (i + 2) + i for i in range(20)},
        )

    def row(self) -> dict[str, Any]:
        base, quote = self.symbol.split("/")
        return {
            "symbol": self.symbol,
            "base": base,
            "quote": quote,
            "status": self.status,
            "qty_precision": self.quantity_precision,
            "qty_increment": 10.0**-self.quantity_precision,
            "price_precision": self.price_precision,
            "cost_precision": 8,
            "cost_min": 0.5,
            "price_increment": 10.0**-self.price_precision,
            "qty_min": 0.0001,
        }

    def view(self, depth: int) -> tuple[dict[int, int], dict[int, int]]:
        return (
            dict(sorted(self.bids.items(), reverse=True)[:depth]),
            dict(sorted(self.asks.items())[:depth]),
        )

    def checksum(self) -> int:
        bids, asks = self.view(10)
        levels = [*asks.items(), *bids.items()]
        return zlib.crc32("".join(f"{ticks}{lots}" for ticks, lots in levels).encode())

    def snapshot(self, **changes: Any) -> bytes:
        bids, asks = self.view(self.depth)
        return self._frame("snapshot", bids.items(), asks.items(), **changes)

    def update(self, changes: Iterable[tuple[str, int, int]], **options: Any) -> bytes:
        """Change ("bid" | "ask", ticks, lots) levels; say only what a subscriber has to be told."""
        before = self.view(self.depth)
        sides = {"bid": self.bids, "ask": self.asks}
        told: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}
        for side, ticks, lots in changes:
            sides[side].pop(ticks, None)
            if lots:
                sides[side][ticks] = lots
            told[side][ticks] = lots
        after = self.view(self.depth)
        for side, old, new in zip(("bid", "ask"), before, after, strict=True):
            entries = told[side]
            # Levels that come into view are told, levels that are pushed out are not.
            entries.update({t: n for t, n in new.items() if old.get(t) != n})
            for ticks in [t for t in entries if t not in old and t not in new]:
                del entries[ticks]
            for ticks in [t for t, n in entries.items() if n and t not in new]:
                del entries[ticks]
        return self._frame("update", told["bid"].items(), told["ask"].items(), **options)

    def random_update(self, random: Random) -> bytes:
        """Change one to three levels near the touch; never crosses the book."""
        changes = []
        for _ in range(random.randint(1, 3)):
            side = random.choice(("bid", "ask"))
            book, best = (
                (self.bids, max(self.bids)) if side == "bid" else (self.asks, min(self.asks))
            )
            sign = -1 if side == "bid" else 1
            if len(book) > self.depth + 4 and random.random() < 0.4:
                changes.append((side, random.choice(sorted(book)), 0))
                continue
            ticks = best + sign * random.randint(-1, 12)
            other = min(self.asks) if side == "bid" else max(self.bids)
            if sign * (ticks - other) > 0 and ticks > 0:
                changes.append((side, ticks, random.randint(1, 10**self.quantity_precision)))
        return self.update({(s, t): (s, t, n) for s, t, n in changes}.values())

    def _frame(
        self,
        kind: str,
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
        *,
        checksum: int | None = None,
        timestamp: str | None = None,
    ) -> bytes:
        self.clock += 1
        stamp = timestamp or f"2026-09-14T08:21:37.{self.clock % 1_000_000:06d}Z"
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{self.symbol}",'
            f'"bids":[{self._levels(bids)}],"asks":[{self._levels(asks)}],'
            f'"checksum":{self.checksum() if checksum is None else checksum},'
            f'"timestamp":"{stamp}"}}]}}'
        ).encode()

    def _levels(self, levels: Iterable[tuple[int, int]]) -> str:
        return ",".join(
            f'{{"price":{fixed(ticks, self.price_precision)},'
            f'"qty":{fixed(lots, self.quantity_precision)}}}'
            for ticks, lots in levels
        )


def fixed(units: int, precision: int) -> str:
    digits = str(units).zfill(precision + 1)
    return f"{digits[:-precision]}.{digits[-precision:]}" if precision else digits


def make_market() -> dict[str, Pair]:
    pairs = (
        Pair.around("BTC/USD", 450_000, 1),
        Pair.around("ETH/BTC", 31_350, 6),
        Pair.around("ETH/USD", 310_000, 2),
        Pair.around("SOL/EUR", 17_230, 2),
    )
    return {pair.symbol: pair for pair in pairs}


# ── the server ───────────────────────────────────────────────────────────────────────────────────


class Visitor(asyncio.Protocol):
    """The server's end of one socket."""

    def __init__(self, server: "ScriptedKraken") -> None:
        self.server = server
        self.library = ServerProtocol(max_size=None)
        self.transport: asyncio.Transport
        self.is_open = False
        self.is_gone = False
        self.books: dict[str, int] = {}
        self.requests: list[dict[str, Any]] = []
        self.beats: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.library.receive_data(data)
        for event in self.library.events_received():
            if isinstance(event, Request):
                self._upgrade(event)
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                message = orjson.loads(event.data)
                self.requests.append(message)
                self.server.requests.append(message)
                self.server.answer(self, message)
        self._flush()
        self.server.pulse.beat()

    def eof_received(self) -> None:
        self.library.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_gone = True
        self.stop_heartbeat()
        self.server.pulse.beat()

    def send(self, *messages: bytes | dict[str, Any]) -> None:
        """Send text frames, all in one write."""
        self.send_raw(b"".join(encode(as_bytes(message)) for message in messages))

    def send_raw(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    async def send_torn(self, message: bytes) -> None:
        """Send a frame one byte a segment."""
        for byte in encode(message):
            self.send_raw(bytes((byte,)))
            await asyncio.sleep(0)

    def send_fragmented(self, message: bytes, pieces: int) -> None:
        """Send a message in frames, a ping between them as the protocol allows."""
        size = -(-len(message) // pieces)
        for index in range(pieces):
            opcode = (1 if index == 0 else 0) | (0x80 if index == pieces - 1 else 0)
            self.send_raw(encode(message[index * size : (index + 1) * size], opcode))
            self.send_raw(b"\x89\x02hi")

    @property
    def is_usable(self) -> bool:
        """False once either side has begun to end it."""
        return not self.is_gone and self.library.state is State.OPEN

    def close(self, code: int, reason: str = "") -> None:
        self.library.send_close(code, reason)
        self._flush()

    def reset(self) -> None:
        """Send RST: what was written may be lost, the peer gets an error."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.is_gone = True
        self.transport.abort()

    def stop_heartbeat(self) -> None:
        if self.beats is not None:
            self.beats.cancel()
            self.beats = None

    def _upgrade(self, request: Request) -> None:
        server = self.server
        server.attempts += 1
        if server.refuse_upgrades:
            status = server.refuse_upgrades.popleft()
            response = self.library.reject(status, "not now\n")
            self.library.send_response(response)
            self._flush()
            return
        response = self.library.accept(request)
        self.library.send_response(response)
        self._flush()
        self.is_open = True
        server.visitors.append(self)
        if server.greets:
            self.send(status_frame(server.system))

    def heartbeat(self) -> None:
        """Start with the first subscription, as the venue does."""
        if self.server.heartbeat_s and not self.is_gone:
            self.send(b'{"channel":"heartbeat"}')
            loop = asyncio.get_running_loop()
            self.beats = loop.call_later(self.server.heartbeat_s, self.heartbeat)

    def _flush(self) -> None:
        for data in self.library.data_to_send():
            if data:
                self.send_raw(data)
            else:
                self.transport.close()


class ScriptedKraken:
    """Answers like the venue; tests change its attributes to make it misbehave."""

    def __init__(self, pulse: Pulse, market: dict[str, Pair]) -> None:
        self.pulse = pulse
        self.market = market
        self.url = ""
        self.visitors: list[Visitor] = []
        self.requests: list[dict[str, Any]] = []
        self.attempts = 0
        self.refuse_upgrades: deque[int] = deque()
        self.refused: dict[str, str] = {}
        self.greets = True
        self.system = "online"
        self.heartbeat_s = 0.05
        self.hold_snapshots = False
        self.script: Callable[[Visitor, dict[str, Any]], bool] = lambda visitor, message: False

    def of(self, symbol: str) -> Visitor:
        """Return the newest socket that carries a book."""
        return next(v for v in reversed(self.visitors) if symbol in v.books and not v.is_gone)

    def books_asked(self, method: str) -> list[str]:
        """Return symbols in the order they were asked for."""
        return [
            symbol
            for message in self.requests
            if message["method"] == method and message["params"]["channel"] == "book"
            for symbol in message["params"]["symbol"]
        ]

    def answer(self, visitor: Visitor, message: dict[str, Any]) -> None:
        if self.script(visitor, message):
            return
        method, request_id = message["method"], message.get("req_id")
        if method == "ping":
            visitor.send({"method": "pong", "req_id": request_id})
            return
        params = message["params"]
        if params["channel"] == "instrument":
            visitor.send(
                {
                    "method": method,
                    "req_id": request_id,
                    "success": True,
                    "result": {"channel": "instrument", "snapshot": True, "warnings": ["…"]},
                },
                self.instruments(),
            )
        else:
            for symbol in params["symbol"]:
                visitor.send(*self.book_answer(visitor, method, symbol, params, request_id))
        if visitor.beats is None:
            visitor.heartbeat()

    def book_answer(
        self, visitor: Visitor, method: str, symbol: str, params: dict[str, Any], request_id: Any
    ) -> Sequence[bytes | dict[str, Any]]:
        reason = self.refused.get(symbol)
        if reason is None and symbol not in self.market:
            reason = f"Currency pair not supported {symbol}"
        if reason is not None:
            refusal = {"method": method, "req_id": request_id, "success": False, "error": reason}
            return [{**refusal, "symbol": symbol}]
        result = {"channel": "book", "symbol": symbol, "depth": params["depth"], "snapshot": True}
        ack = {"method": method, "req_id": request_id, "success": True, "result": result}
        if method == "unsubscribe":
            visitor.books.pop(symbol, None)
            return [ack]
        visitor.books[symbol] = self.market[symbol].depth = params["depth"]
        return [ack] if self.hold_snapshots else [ack, self.market[symbol].snapshot()]

    def instruments(self, kind: str = "snapshot", symbols: Iterable[str] = ()) -> dict[str, Any]:
        pairs = [self.market[s] for s in symbols] or list(self.market.values())
        data = {"assets": [], "pairs": [pair.row() for pair in pairs]}
        return {"channel": "instrument", "type": kind, "data": data}


def encode(payload: bytes, first: int = 0x81) -> bytes:
    """Return one unmasked frame."""
    size = len(payload)
    if size < 126:
        head = bytes((first, size))
    elif size < 65_536:
        head = bytes((first, 126)) + size.to_bytes(2)
    else:
        head = bytes((first, 127)) + size.to_bytes(8)
    return head + payload


def as_bytes(message: bytes | dict[str, Any]) -> bytes:
    return message if isinstance(message, bytes) else orjson.dumps(message)


def status_frame(system: str) -> dict[str, Any]:
    row = {"version": "2.0.10", "system": system, "api_version": "v2", "connection_id": 2**63 + 5}
    return {"channel": "status", "type": "update", "data": [row]}


# ── who gets the frames ──────────────────────────────────────────────────────────────────────────


class Listener:
    """Decodes and remembers; checks nothing."""

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.decoder = KrakenDecoder()
        self.frames: list[tuple[int, bytes]] = []
        self.sent: list[tuple[int, bytes]] = []
        self.lost: list[tuple[int, ConnectionLost]] = []
        self.snapshots: Counter[str] = Counter()
        self.updates: Counter[str] = Counter()

    def on_frame(self, connection: int, frame: bytes) -> MarketEvent | None:
        self.pulse.beat()
        self.frames.append((connection, frame))
        event = self.decoder.decode(frame)
        if isinstance(event, BookDelta):
            (self.snapshots if event.is_snapshot else self.updates)[event.symbol] += 1
            return None
        return event

    def on_sent(self, connection: int, frame: bytes) -> None:
        self.sent.append((connection, frame))

    def on_event(self, connection: int, event: MarketEvent) -> None:
        assert isinstance(event, ConnectionLost)
        self.lost.append((connection, event))
        self.pulse.beat()


class Watcher:
    """A detector that reports its one cycle on every book message while all its books are good."""

    name = "watcher"

    def __init__(self) -> None:
        self.good: set[str] = set()

    def on_instruments(self, instruments: Instruments) -> None:
        self.good.clear()

    def on_fees(self, fees: Any) -> None: ...

    def on_book(self, book: Any, changed: Changed) -> Iterable[Opportunity]:
        self.good.add(book.symbol)
        if book.symbol not in CYCLE or not self.good.issuperset(CYCLE):
            return ()
        return (cycle_opportunity(book.timestamp),)

    def on_void(self, symbol: str) -> None:
        self.good.discard(symbol)


def cycle_opportunity(timestamp: str | None) -> Opportunity:
    from decimal import Decimal

    one = Decimal(1)
    first, second, last = CYCLE
    legs = (Leg(first, Side.BUY), Leg(second, Side.BUY), Leg(last, Side.SELL))
    return Opportunity(
        detector="watcher",
        key="watched",
        assets=("USD", "BTC", "ETH"),
        legs=legs,
        edge_bps=one,
        size=one,
        profit=one,
        orders=(),
        lot_profit=one,
        dust=(),
        blocked=None,
        timestamp=timestamp,
    )


class Trader(Listener):
    """A real engine behind the feed: decoder, books, checksums, gates, one detector."""

    def __init__(self, pulse: Pulse, make: Callable[..., Engine], **options: Any) -> None:
        super().__init__(pulse)
        self.watcher = Watcher()
        self.decisions: list[str | None] = []
        self.good_at_decision: list[bool] = []
        self.engine = make(KrakenVenue(), lambda _: (self.watcher,), self._act, **options)

    def _act(self, opportunities: Sequence[Opportunity], position: int) -> None:
        books = self.engine.books
        for opportunity in opportunities:
            self.decisions.append(opportunity.timestamp)
            self.good_at_decision.append(
                all(books[s].state is BookState.SYNCED and books[s].tradable for s in CYCLE)
            )

    def on_frame(self, connection: int, frame: bytes) -> MarketEvent | None:
        self.pulse.beat()
        self.frames.append((connection, frame))
        return self.engine.on_frame(frame)

    def on_event(self, connection: int, event: MarketEvent) -> None:
        super().on_event(connection, event)
        self.engine.on_event(event)

    def is_synced(self, *symbols: str) -> bool:
        books = self.engine.books
        return all(s in books and books[s].state is BookState.SYNCED for s in symbols)

    def updates_seen(self) -> int:
        """Return how many book updates came."""
        return sum(b'"channel":"book","type":"update"' in frame for _, frame in self.frames)

    def equals(self, pair: Pair) -> bool:
        """Is our book the venue's, level by level?"""
        book = self.engine.books[pair.symbol]
        bids, asks = pair.view(pair.depth)
        return list(book.bids) == list(bids.items()) and list(book.asks) == list(asks.items())


class BufferTrader(Trader):
    """Takes book messages straight out of the receive buffer."""

    def on_buffer(
        self, connection: int, buffer: bytearray, begin: int, end: int
    ) -> tuple[int, int]:
        assert isinstance(self.engine, CompiledEngine)
        rest, taken = self.engine.on_buffer(buffer, begin, end)
        self.pulse.beat()
        before = len(self.frames)
        while begin < rest:
            length = buffer[begin + 1]
            begin += 2
            if length == 126:
                length = int.from_bytes(buffer[begin : begin + 2])
                begin += 2
            self.frames.append((connection, bytes(buffer[begin : begin + length])))
            begin += length
        assert (begin, len(self.frames) - before) == (rest, taken)
        return rest, taken


# ── fixtures ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
def market() -> dict[str, Pair]:
    return make_market()


@pytest.fixture
async def kraken(pulse: Pulse, market: dict[str, Pair]) -> AsyncIterator[ScriptedKraken]:
    server = ScriptedKraken(pulse, market)
    loop = asyncio.get_running_loop()
    sockets: list[Visitor] = []

    def meet() -> Visitor:
        sockets.append(Visitor(server))
        return sockets[-1]

    listening = await loop.create_server(meet, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"ws://127.0.0.1:{port}/v2"
    yield server
    listening.close()
    for visitor in sockets:
        visitor.stop_heartbeat()
        visitor.transport.abort()
    await listening.wait_closed()


@pytest.fixture(name="encode", scope="session")
def encode_fixture() -> Callable[..., bytes]:
    return encode


@pytest.fixture
def listener(pulse: Pulse) -> Listener:
    return Listener(pulse)


@pytest.fixture(params=["interpreted", "compiled", "from the buffer"])
def make_trader(request: pytest.FixtureRequest, pulse: Pulse) -> Callable[..., Trader]:
    """Every engine: what a trader does must not depend on which one it has."""
    if request.param == "interpreted":
        return lambda **options: Trader(pulse, Engine, **options)
    for stage in (LOOP, "arbitrade_kraken._hot"):
        reason = unavailable(stage)
        if reason is not None:
            pytest.skip(reason)
    kind = BufferTrader if request.param == "from the buffer" else Trader
    return lambda **options: kind(pulse, make_engine, **options)


@pytest.fixture
def trader(make_trader: Callable[..., Trader]) -> Trader:
    return make_trader()


@pytest.fixture(params=["websockets", "picows"])
def transport(request: pytest.FixtureRequest) -> str:
    """Everything that goes over a socket goes over each transport."""
    name: str = request.param
    if name == "picows":
        pytest.importorskip("picows", reason="comes with the extra `fast`")
    return name


@pytest.fixture
def quick(kraken: ScriptedKraken, transport: str) -> Callable[..., KrakenSettings]:
    """Settings for the scripted server with waits that tests can afford."""

    def make(**changes: Any) -> KrakenSettings:
        values: dict[str, Any] = {
            "ws_url": kraken.url,
            "transport": transport,
            "silence_s": 30.0,
            "answer_timeout_s": 30.0,
            "connect_timeout_s": 30.0,
            "reconnect_s": 0.02,
            "reconnect_max_s": 0.1,
            "busy_wait_s": 0.02,
            "maintenance_wait_s": 0.02,
            "resync_s": 0.02,
            "resync_max_s": 0.1,
            "requests_per_s": 1000.0,
            "close_timeout_s": 0.5,
        }
        return KrakenSettings(**{**values, **changes})

    return make


type Running = Callable[..., Any]


@pytest.fixture
def running(quick: Callable[..., KrakenSettings]) -> Running:
    """Run a feed for the length of a `async with`; its failure fails the block."""

    @asynccontextmanager
    async def run(
        handler: FeedHandler,
        symbols: Collection[str] | Callable[[Instruments], Collection[str]] | None = None,
        depth: int = 10,
        **settings: Any,
    ) -> AsyncIterator[KrakenFeed]:
        choose: Callable[[Instruments], Collection[str]]
        if callable(symbols):
            choose = symbols
        elif symbols is not None:
            choose = lambda _: symbols  # noqa: E731
        else:
            choose = tuple
        feed = KrakenFeed(quick(**settings), choose, handler, depth, random=Random(7))
        if isinstance(handler, Trader):
            handler.engine.on_out_of_sync = feed.resync
        task = asyncio.create_task(feed.run())
        task.add_done_callback(lambda _: handler.pulse.beat())  # type: ignore[attr-defined]
        try:
            yield feed
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return run


# ── an account on loopback ───────────────────────────────────────────────────────────────────────


API_KEY = "CanaryKey/9rT2wXq7LmZ4vB8nJs5Kd1Hf6Pg3Yc0Ua"
API_SECRET = "Q2FuYXJ5U2VjcmV0K0R1bW15K0tleStGb3IrVGVzdHMrT25seStXaXRoK0VuZXJneQ=="
PERMISSIONS = [
    "query-funds",
    "query-open-trades",
    "query-closed-trades",
    "query-ledger",
    "modify-trades",
    "close-trades",
    "create-ws-token",
]


class ScriptedAccount:
    """Kraken's private side, REST and WebSocket on one port; tests make it misbehave.

    `rest` has what each endpoint answers: a result, or a function of the fields that returns one;
    a `web.Response` is sent as it is, a `str` becomes an error.  `answers` is the same for methods
    of the WebSocket, a `None` there swallows the request.
    """

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.rest_url = ""
        self.ws_url = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.nonces: list[int] = []
        self.requests: list[dict[str, Any]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.tokens: list[str] = []
        self.stale: set[str] = set()
        self.attempts = 0
        self.system = "online"
        self.status: dict[str, Any] = {}
        self.subscribed: dict[str, web.WebSocketResponse] = {}
        self.sequences: Counter[str] = Counter()
        self.snapshots: dict[str, list[dict[str, Any]]] = {"executions": [], "balances": []}
        self.maxratecount = 125
        self.answers: dict[str, Any] = {}
        self.orders = 0
        self.rest: dict[str, Any] = {
            "GetApiKeyInfo": {"apiKeyName": "bot", "nonceWindow": 0, "permissions": PERMISSIONS},
            "GetWebSocketsToken": self._token,
            "BalanceEx": {"ZEUR": {"balance": "500.0000", "hold_trade": "120.5000"}},
            "OpenOrders": {"open": {}},
            "ClosedOrders": {"closed": {}, "count": 0},
            "QueryOrders": {},
            "Ledgers": {"ledger": {}, "count": 0},
            "Assets": {
                name: {"aclass": "currency", "altname": name, "decimals": decimals}
                for name, decimals in {"ZEUR": 4, "ZUSD": 4, "SOL": 10, "XXBT": 10}.items()
            },
            "CancelAllOrdersAfter": {"currentTime": "now", "triggerTime": "later"},
            "AssetPairs": {
                "SOLEUR": _asset_pair("SOLEUR", "SOL/EUR", "SOL", "ZEUR"),
                "XXBTZUSD": _asset_pair("XBTUSD", "XBT/USD", "XXBT", "ZUSD"),
            },
        }

    def calls_of(self, method: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.calls if name == method]

    def requests_of(self, method: str) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["method"] == method]

    async def emit(self, channel: str, *rows: dict[str, Any], skip: int = 0) -> None:
        """Send rows as one update, `skip` sequence numbers further on than it should be."""
        self.sequences[channel] += 1 + skip
        await self.send(self.subscribed[channel], self.event(channel, "update", rows))

    async def emit_again(self, channel: str, *rows: dict[str, Any]) -> None:
        """Send rows under the number that was used last."""
        await self.send(self.subscribed[channel], self.event(channel, "update", rows))

    def event(self, channel: str, kind: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
        sequence = self.sequences[channel]
        return {"channel": channel, "type": kind, "data": list(rows), "sequence": sequence}

    async def send(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        if not socket.closed:
            await socket.send_str(orjson.dumps(message).decode())

    async def push_status(self, system: str, **fields: Any) -> None:
        self.system, self.status = system, fields
        for one in self.sockets:
            await self.send(one, self._status_frame())

    # ── REST ─────────────────────────────────────────────────────────────────────────────────────

    async def serve_rest(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        fields = dict(request.query)
        if request.method == "POST":
            body = (await request.read()).decode()
            is_json = request.content_type == "application/json"
            fields = orjson.loads(body) if is_json else dict(parse_qsl(body))
            nonce = int(fields["nonce"])
            signature = sign(request.path, nonce, body, API_SECRET)
            assert request.headers["API-Key"] == API_KEY
            assert request.headers["API-Sign"] == signature
            self.nonces.append(nonce)
        assert request.headers["User-Agent"].startswith("arbitrade-kraken/")
        self.calls.append((method, fields))
        self.pulse.beat()
        answer = self.rest.get(method, "EGeneral:Unknown method")
        answer = answer(fields) if callable(answer) else answer
        if hasattr(answer, "__await__"):
            answer = await answer
        if isinstance(answer, web.StreamResponse):
            return answer  # type: ignore[return-value]
        if isinstance(answer, str):
            return web.json_response({"error": [answer]})
        return web.json_response({"error": [], "result": answer})

    def _token(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.tokens.append(f"CanaryToken{len(self.tokens)}kT3vYw0mQe8RzLhB5nPsXc1uJd7aFgIoV2t")
        return {"token": self.tokens[-1], "expires": 900}

    # ── WebSocket ────────────────────────────────────────────────────────────────────────────────

    async def serve_ws(self, request: web.Request) -> web.WebSocketResponse:
        self.attempts += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        await self.send(socket, self._status_frame())
        beats = asyncio.create_task(self._beat(socket))
        try:
            async for message in socket:
                await self._answer(socket, orjson.loads(message.data))
                self.pulse.beat()
        finally:
            beats.cancel()
        self.pulse.beat()
        return socket

    def _status_frame(self) -> dict[str, Any]:
        frame = status_frame(self.system)
        frame["data"][0].update(self.status)
        return frame

    async def _beat(self, socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            await asyncio.sleep(0.05)
            if socket in self.subscribed.values():
                await self.send(socket, {"channel": "heartbeat"})

    async def _answer(self, socket: web.WebSocketResponse, request: dict[str, Any]) -> None:
        method, params = request["method"], request.get("params", {})
        self.requests.append(request)
        if method == "ping":
            await self.send(socket, {"method": "pong", "req_id": request["req_id"]})
            return
        head = {"method": method, "req_id": request["req_id"]}
        if params["token"] in self.stale or params["token"] not in self.tokens:
            await self.send(socket, {**head, "success": False, "error": "ESession:Invalid session"})
            return
        answer = self.answers.get(method, self._default)
        answer = answer(request) if callable(answer) else answer
        if hasattr(answer, "__await__"):
            answer = await answer
        if answer is None:
            return
        if isinstance(answer, str):
            await self.send(socket, {**head, "success": False, "error": answer})
            return
        await self.send(socket, {**head, "success": True, **answer})
        channel = params.get("channel")
        if method == "subscribe":
            self.subscribed[channel] = socket
            self.sequences[channel] = 1
            await self.send(socket, self.event(channel, "snapshot", self.snapshots[channel]))
        elif method == "unsubscribe":
            self.subscribed.pop(channel, None)

    def _default(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request["params"]
        if method == "subscribe" and params["channel"] == "executions":
            return {"result": {"channel": "executions", "maxratecount": self.maxratecount}}
        if method == "add_order":
            self.orders += 1
            return {"result": {"order_id": f"O{self.orders}", "cl_ord_id": params["cl_ord_id"]}}
        if method == "cancel_all":
            return {"result": {"count": 3}}
        if method == "cancel_all_orders_after":
            return {"result": {"currentTime": "now", "triggerTime": "later"}}
        return {"result": {}}


def _asset_pair(altname: str, wsname: str, base: str, quote: str) -> dict[str, Any]:
    return {
        "altname": altname,
        "wsname": wsname,
        "aclass_base": "currency",
        "aclass_quote": "currency",
        "base": base,
        "quote": quote,
        "pair_decimals": 2,
        "cost_decimals": 5,
        "lot_decimals": 8,
        "fees": [],
        "fees_maker": [],
        "ordermin": "0.06",
        "costmin": "0.45",
        "tick_size": "0.01",
        "status": "online",
    }


class Owner:
    """An account's handler that remembers everything."""

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.reports: list[ExecutionReport] = []
        self.in_snapshot: list[bool] = []
        self.changes: list[BalanceChange] = []
        self.balances: list[Sequence[Balance]] = []
        self.gaps: list[str] = []
        self.readiness: list[bool] = []

    @property
    def is_ready(self) -> bool:
        return bool(self.readiness) and self.readiness[-1]

    def kinds(self) -> list[str]:
        return [report.kind for report in self.reports]

    def on_execution(self, report: ExecutionReport, is_snapshot: bool) -> None:
        self.reports.append(report)
        self.in_snapshot.append(is_snapshot)
        self.pulse.beat()

    def on_balance(self, change: BalanceChange) -> None:
        self.changes.append(change)
        self.pulse.beat()

    def on_balances(self, balances: Sequence[Balance]) -> None:
        self.balances.append(balances)
        self.pulse.beat()

    def on_gap(self, reason: str) -> None:
        self.gaps.append(reason)
        self.pulse.beat()

    def on_ready(self, is_ready: bool, reason: str = "") -> None:
        if is_ready != self.is_ready:
            self.readiness.append(is_ready)
        self.pulse.beat()


@pytest.fixture
async def venue_account(pulse: Pulse) -> AsyncIterator[ScriptedAccount]:
    server = ScriptedAccount(pulse)
    app = web.Application()
    app.router.add_route("*", "/0/{kind:public|private}/{method}", server.serve_rest)
    app.router.add_get("/v2", server.serve_ws)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.rest_url, server.ws_url = f"http://{host}:{port}", f"ws://{host}:{port}/v2"
    yield server
    for one in server.sockets:
        await one.close()
    await runner.cleanup()


@pytest.fixture
def owner(pulse: Pulse) -> Owner:
    return Owner(pulse)


@pytest.fixture
def account_settings(
    venue_account: ScriptedAccount, transport: str, tmp_path: Path
) -> Callable[..., KrakenAccountSettings]:
    """Settings for the scripted account with waits that tests can afford."""

    def make(**changes: Any) -> KrakenAccountSettings:
        values: dict[str, Any] = {
            "api_key": Secret(API_KEY),
            "api_secret": Secret(API_SECRET),
            "rest_url": venue_account.rest_url,
            "ws_auth_url": venue_account.ws_url,
            "transport": transport,
            "nonce_folder": str(tmp_path),
            "tier": "pro",
            "rest_timeout_s": 30.0,
            "order_timeout_s": 30.0,
            "reconnect_s": 0.02,
            "reconnect_max_s": 0.1,
            "busy_wait_s": 0.02,
            "close_timeout_s": 0.5,
            "dead_man_every_s": 5.0,
            "resolve_settle_s": 0.05,
        }
        return KrakenAccountSettings(**{**values, **changes})

    return make


@pytest.fixture
def trading(
    account_settings: Callable[..., KrakenAccountSettings], owner: Owner
) -> Callable[..., Any]:
    """Run an account for the length of an `async with`, from the moment it is ready on."""

    @asynccontextmanager
    async def run(wait: bool = True, **changes: Any) -> AsyncIterator[KrakenAccount]:
        account = make_account(account_settings(**changes))
        task = asyncio.create_task(account.run(owner))
        task.add_done_callback(lambda _: owner.pulse.beat())
        try:
            if wait:
                await owner.pulse.until(lambda: owner.is_ready or task.done())
            if task.done():
                task.result()
            yield account
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return run
