"""The public host: `status` first, subscriptions, books, and the other market channels."""

from collections import defaultdict, deque
from collections.abc import Hashable
from typing import Protocol

from arbitrade_kraken.simulator.exchange.events import (
    BookChanged,
    EngineChanged,
    ExchangeEvent,
    PairChanged,
    PublicTrade,
)
from arbitrade_kraken.simulator.faces import channels, frames
from arbitrade_kraken.simulator.faces.client_socket import ClientSocket
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.session import (
    ORDER_METHODS,
    PRIVATE_CHANNELS,
    PUBLIC_CHANNELS,
    SocketSession,
    with_unknown_fields,
)
from arbitrade_kraken.simulator.faces.wire import Message, WireError

DEPTHS = (10, 25, 100, 500, 1000)
PRIVATE_HERE = "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"

type Topic = tuple[Hashable, ...]
"""The identity of a subscription: ("book", symbol, depth), ("ticker", symbol, trigger), …"""


class Subscriber(Protocol):
    """Who hears what happens in a topic: a socket, as a rule."""

    def deliver(self, frame: bytes, channel: str, symbol: str | None = None) -> None:
        """Take a frame of a channel."""


class PublicFace:
    """All public sockets, and what they are subscribed to."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.sessions: set[PublicSession] = set()
        self._listeners: defaultdict[Topic, dict[Subscriber, None]] = defaultdict(dict)
        self._decimals: dict[str, tuple[int, int]] = {}
        self._market = channels.MarketChannels(face)
        self.frames = 0
        """Frames of market data sent, over all sockets."""
        face.exchange.listen(self._on_event)

    def open(self, socket: ClientSocket, connection_id: int) -> "PublicSession":
        """Begin a conversation: the engine's status is the first frame."""
        session = PublicSession(self, socket, connection_id)
        self.sessions.add(session)
        socket.send(frames.status_frame(self.face.exchange.engine_state, connection_id))
        return session

    def close(self, session: "PublicSession") -> None:
        """Forget a socket."""
        self.sessions.discard(session)
        for topic in list(session.topics):
            self.remove(topic, session)

    # ── who listens to what ──────────────────────────────────────────────────────────────────────

    def add(self, topic: Topic, session: Subscriber) -> None:
        """Send what happens in a topic from now on."""
        self._listeners[topic][session] = None
        if (watched := _watched(topic)) is not None:
            self.face.exchange.watch(*watched)

    def remove(self, topic: Topic, session: Subscriber) -> None:
        """Undo `add`; nothing if it wasn't."""
        listeners = self._listeners.get(topic)
        if not listeners or session not in listeners:
            return
        del listeners[session]
        if not listeners:
            del self._listeners[topic]
        if (watched := _watched(topic)) is not None:
            self.face.exchange.unwatch(*watched)

    def snapshot(self, topic: Topic) -> bytes | None:
        """Return what a new subscriber gets first; None where there is no such thing."""
        if topic[0] == "book":
            book = self.face.exchange.book(str(topic[1]), int(str(topic[2])))
            return frames.book_frame(
                "snapshot",
                book.symbol,
                book.bids,
                book.asks,
                self._decimals_of(book.symbol),
                book.checksum,
                self.face.text_of(book.time_ns),
            )
        return self._market.snapshot(topic)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    def _on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, BookChanged):
            self._on_book(event)
        elif isinstance(event, PublicTrade):
            self._on_trade(event)
        elif isinstance(event, PairChanged):
            self._decimals.pop(event.symbol, None)
            self._tell(("instrument",), self._market.instrument_update(event.symbol))
        elif isinstance(event, EngineChanged):
            for session in self.sessions:
                session.deliver(frames.status_frame(event.state, session.connection_id), "status")

    def _on_book(self, event: BookChanged) -> None:
        symbol, depth = event.symbol, event.depth
        listeners = self._listeners.get(("book", symbol, depth))
        if listeners:
            faults = self.face.faults
            if faults.is_quiet or not faults.take("dropped_frame", symbol=symbol, channel="book"):
                frame = frames.book_frame(
                    "update",
                    symbol,
                    event.bids,
                    event.asks,
                    self._decimals_of(symbol),
                    event.checksum,
                    self.face.text_of(event.time_ns),
                )
                self.frames += len(listeners)
                for session in listeners:
                    session.deliver(frame, "book", symbol)
        if depth == 10 and (topic := ("ticker", symbol, "bbo")) in self._listeners:
            frame_or_none = self._market.best_changed(symbol)
            if frame_or_none is not None:
                self._tell(topic, frame_or_none, symbol)

    def _on_trade(self, trade: PublicTrade) -> None:
        symbol = trade.symbol
        self._market.count(trade)
        topics: list[Topic] = [("trade", symbol), ("ticker", symbol, "trades")]
        topics += [("ohlc", symbol, minutes) for minutes in channels.INTERVALS]
        for topic in topics:
            if topic in self._listeners:
                self._tell(topic, self._market.trade_update(topic, trade), symbol)

    def _tell(self, topic: Topic, frame: bytes, symbol: str | None = None) -> None:
        for session in self._listeners.get(topic, ()):
            self.frames += 1
            session.deliver(frame, str(topic[0]), symbol)

    def _decimals_of(self, symbol: str) -> tuple[int, int]:
        known = self._decimals.get(symbol)
        if known is None:
            pair = self.face.exchange.pair(symbol)
            known = self._decimals[symbol] = (pair.price_decimals, pair.lot_decimals)
        return known


class PublicSession(SocketSession):
    """One public socket."""

    host = "public"

    def __init__(self, public: PublicFace, socket: ClientSocket, connection_id: int) -> None:
        super().__init__(public.face, socket)
        self.topics: set[Topic] = set()
        self.connection_id = connection_id
        self._public = public
        self._recent: deque[float] = deque()

    def handle(self, request: Message, time_in: str) -> None:
        """Carry out a request; see `SocketSession.handle`."""
        method, params = request["method"], request.get("params", {})
        if method == "ping":
            self.pong(request, time_in)
            return
        if method in ORDER_METHODS or params.get("channel") in PRIVATE_CHANNELS:
            raise WireError(PRIVATE_HERE)
        if method not in ("subscribe", "unsubscribe"):
            raise WireError("Unsupported method")
        self._check_rate()
        if params.get("channel") not in PUBLIC_CHANNELS:
            raise WireError("Subscription name invalid")
        if not self.face.faults.is_quiet and self.face.faults.take("lost_request", method=method):
            return
        if params["channel"] == "instrument":
            self._one(request, ("instrument",), {"channel": "instrument"}, time_in)
            return
        for symbol in self._symbols(params):
            try:
                self._check_listed(symbol)
                topic, result = _topic(params, symbol)
                self._one(request, topic, result, time_in)
            except WireError as refused:
                self.refuse(request, refused, time_in)

    def deliver(self, frame: bytes, channel: str, symbol: str | None = None) -> None:
        """Send a frame of a channel."""
        if self.face.wire.unknown_fields:
            frame = with_unknown_fields(frame)
        frames_sent = [frame]
        if not self.face.faults.is_quiet:
            frames_sent = self.mangle(frame, channel, symbol)
        due_s = self.arrival_s()
        for one in frames_sent:
            self.socket.send_at(due_s, one)

    def _one(self, request: Message, topic: Topic, result: dict[str, object], time_in: str) -> None:
        """Subscribe to one topic, or end that."""
        if request["method"] == "unsubscribe":
            self._end(request, topic, result, time_in)
            return
        if topic in self.topics:
            raise WireError(self.face.wire.already_subscribed, **_named(result))
        wants_snapshot = request["params"].get("snapshot", topic[0] != "trade")
        if not isinstance(wants_snapshot, bool):
            raise WireError("Snapshot field must be a boolean")
        self.topics.add(topic)
        result["snapshot"] = wants_snapshot
        result |= channels.warnings(str(topic[0]))
        self.succeed(request, result, time_in)
        self.socket.start_heartbeats()
        if not wants_snapshot:
            self._public.add(topic, self)
            return
        delay_s = self.face.delay_s(self.face.wire.snapshot_ms)
        self.socket.after(delay_s, lambda: self._begin(topic))

    def _begin(self, topic: Topic) -> None:
        """Send the snapshot and everything after it."""
        if topic not in self.topics:
            return  # unsubscribed meanwhile
        self._public.add(topic, self)
        frame = self._public.snapshot(topic)
        if frame is not None:
            symbol = str(topic[1]) if len(topic) > 1 else None
            self.deliver(frame, f"{topic[0]}", symbol)

    def _end(self, request: Message, topic: Topic, result: dict[str, object], time_in: str) -> None:
        if topic not in self.topics:
            raise WireError(self.face.wire.not_subscribed, **_named(result))
        self.topics.discard(topic)
        self._public.remove(topic, self)
        self.succeed(request, result, time_in)

    def _symbols(self, params: Message) -> list[str]:
        depth = params.get("depth", 10)
        if params["channel"] == "book" and (type(depth) is not int or depth not in DEPTHS):
            raise WireError("Subscription depth not supported")
        symbols = params.get("symbol")
        if not isinstance(symbols, list) or not symbols:
            raise WireError("Symbol(s) not found")
        return list(dict.fromkeys(map(str, symbols)))

    def _check_listed(self, symbol: str) -> None:
        if symbol not in self.face.exchange.listed.pairs:
            raise WireError(f"Currency pair not supported {symbol}", symbol=symbol)

    def _check_rate(self) -> None:
        allowed = self.face.wire.requests_per_s
        if not allowed:
            return
        now_s = self.socket.time_s()
        while self._recent and self._recent[0] <= now_s - 1:
            self._recent.popleft()
        if len(self._recent) >= allowed:
            raise WireError("Exceeded msg rate")
        self._recent.append(now_s)


def _topic(params: Message, symbol: str) -> tuple[Topic, dict[str, object]]:
    """Return a subscription's identity, and what its acknowledgement says of it."""
    channel = params["channel"]
    result: dict[str, object] = {"channel": channel}
    if channel == "book":
        depth = params.get("depth", 10)
        return ("book", symbol, depth), result | {"depth": depth, "symbol": symbol}
    if channel == "ticker":
        trigger = params.get("event_trigger", "trades")
        if trigger not in ("trades", "bbo"):
            raise WireError("Event trigger not supported", symbol=symbol)
        result |= {"event_trigger": trigger, "symbol": symbol}
        return ("ticker", symbol, trigger), result
    if channel == "ohlc":
        interval = params.get("interval", 1)
        if type(interval) is not int or interval not in channels.INTERVALS:
            raise WireError("Subscription ohlc interval not supported", symbol=symbol)
        return ("ohlc", symbol, interval), result | {"interval": interval, "symbol": symbol}
    return ("trade", symbol), result | {"symbol": symbol}


def _named(result: dict[str, object]) -> dict[str, object]:
    return {"symbol": result["symbol"]} if "symbol" in result else {}


def _watched(topic: Topic) -> tuple[str, int] | None:
    """Return the book the exchange has to report for a topic."""
    if topic[0] == "book":
        return str(topic[1]), int(str(topic[2]))
    if topic[0] == "ticker" and topic[2] == "bbo":
        return str(topic[1]), 10
    return None
