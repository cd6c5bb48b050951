"""The public host: `status` first, subscriptions, books, and the other market channels."""

from collections import deque

from arbitrade_kraken.simulator.exchange.events import EngineChanged, ExchangeEvent
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
from arbitrade_kraken.simulator.faces.topics import MarketTopics, Topic
from arbitrade_kraken.simulator.faces.wire import Message, WireError

DEPTHS = (10, 25, 100, 500, 1000)
PRIVATE_HERE = "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"


class PublicFace:
    """All public sockets; what they subscribe to is kept by `market`."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.sessions: set[PublicSession] = set()
        self.market = MarketTopics(face)
        face.exchange.listen(self._on_event)

    def open(self, socket: ClientSocket, connection_id: int) -> "PublicSession":
        """Begin a conversation: the engine's status is the first frame."""
        session = PublicSession(self, socket, connection_id)
        self.sessions.add(session)
        socket.send(frames.status_frame(self.face.exchange.engine_state, connection_id))
        return session

    def close(self, session: "PublicSession") -> None:
        """Forget a socket that is gone, with everything it subscribed to."""
        self.sessions.discard(session)
        for topic in list(session.topics):
            self.market.remove(topic, session)

    def _on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, EngineChanged):
            for session in self.sessions:
                session.deliver(frames.status_frame(event.state, session.connection_id), "status")


class PublicSession(SocketSession):
    """One public socket: what it asked for, and how frames reach it."""

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
            self._public.market.add(topic, self)
            return
        delay_s = self.face.delay_s(self.face.wire.snapshot_ms)
        self.socket.after(delay_s, lambda: self._begin(topic))

    def _begin(self, topic: Topic) -> None:
        """Send the snapshot and everything after it."""
        if topic not in self.topics:
            return  # unsubscribed meanwhile
        self._public.market.add(topic, self)
        frame = self._public.market.snapshot(topic)
        if frame is not None:
            symbol = str(topic[1]) if len(topic) > 1 else None
            self.deliver(frame, f"{topic[0]}", symbol)

    def _end(self, request: Message, topic: Topic, result: dict[str, object], time_in: str) -> None:
        if topic not in self.topics:
            raise WireError(self.face.wire.not_subscribed, **_named(result))
        self.topics.discard(topic)
        self._public.market.remove(topic, self)
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
