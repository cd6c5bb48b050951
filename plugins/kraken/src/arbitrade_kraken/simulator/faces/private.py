"""The private host: tokens, `executions`, `balances`, order methods."""

from collections import defaultdict

from arbitrade_kraken.simulator.exchange.events import (
    EngineChanged,
    ExchangeEvent,
    LedgerEntry,
    OrderEvent,
)
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.faces import frames
from arbitrade_kraken.simulator.faces.client_socket import ClientSocket
from arbitrade_kraken.simulator.faces.face import Face, SocketToken
from arbitrade_kraken.simulator.faces.order_methods import MethodAnswer, OrderMethods
from arbitrade_kraken.simulator.faces.reports import Reports
from arbitrade_kraken.simulator.faces.session import (
    ORDER_METHODS,
    PRIVATE_CHANNELS,
    PUBLIC_CHANNELS,
    SocketSession,
    with_unknown_fields,
)
from arbitrade_kraken.simulator.faces.wire import (
    Fields,
    Message,
    WireError,
    dumps,
    refusal,
    success,
)

PUBLIC_HERE = "Public market data subscriptions are unavailable on this endpoint. Try ws.kraken.com"
_STATUS_CHANGES = ("pending_new", "amended", "restated", "status")
_REORDERABLE = ("amend_order", "cancel_order")
_SNAPSHOT_FILLS = 50
_HELD_AT_MOST_S = 0.2


class PrivateFace:
    """All private sockets, and which of them hear the events of which account."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.methods = OrderMethods(face)
        self.reports = Reports(face)
        self.sessions: set[PrivateSession] = set()
        self.requesting: PrivateSession | None = None
        """The session whose request is being carried out now, if its answer goes first."""
        self._by_account: defaultdict[str, dict[PrivateSession, None]] = defaultdict(dict)
        face.exchange.listen(self._on_event)

    def open(self, socket: ClientSocket, connection_id: int) -> "PrivateSession":
        """Begin a conversation: the engine's status is the first frame."""
        session = PrivateSession(self, socket, connection_id)
        self.sessions.add(session)
        socket.send(frames.status_frame(self.face.exchange.engine_state, connection_id))
        return session

    def close(self, session: "PrivateSession") -> None:
        """Forget a socket that is gone; nobody's events go to it any more."""
        self.sessions.discard(session)
        for sessions in self._by_account.values():
            sessions.pop(session, None)

    def listen(self, account: str, session: "PrivateSession") -> None:
        """Hand the account's events to a session."""
        self._by_account[account][session] = None

    def _on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, OrderEvent):
            for session in list(self._by_account.get(event.account, ())):
                session.on_execution(event)
        elif isinstance(event, LedgerEntry):
            for session in list(self._by_account.get(event.account, ())):
                session.on_ledger(event)
        elif isinstance(event, EngineChanged):
            for session in self.sessions:
                session.socket.send(frames.status_frame(event.state, session.connection_id))


class PrivateSession(SocketSession):
    """One private socket: whose it is, what it subscribed to, and what its orders cause."""

    host = "private"

    def __init__(self, private: PrivateFace, socket: ClientSocket, connection_id: int) -> None:
        super().__init__(private.face, socket)
        self.connection_id = connection_id
        self._private = private
        self._account: str | None = None
        self._executions: Message | None = None
        """Parameters of the subscription to `executions`."""
        self._has_balances = False
        self._sequences = {"executions": 0, "balances": 0}
        self._held: list[tuple[str, bytes]] = []
        """Messages that wait for the answer to the request that caused them."""
        self._swapped: bytes | None = None
        """A message that waits to be overtaken by the next one."""
        self._last_add_s = 0.0
        self._last_any_s = 0.0

    @property
    def account(self) -> str | None:
        """Whose token the socket was last used with."""
        return self._account

    def handle(self, request: Message, time_in: str) -> None:
        """Carry out a request; see `SocketSession.handle`."""
        method, params = request["method"], request.get("params", {})
        if method == "ping":
            self.pong(request, time_in)
        elif method in ("subscribe", "unsubscribe"):
            self._subscription(request, time_in)
        elif method in ORDER_METHODS:
            token = self.face.check_token(params.get("token"), self.socket.number)
            self._account = token.key.account
            self._order_method(request, token, time_in)
        else:
            raise WireError("Unsupported method")

    # ── channels ─────────────────────────────────────────────────────────────────────────────────

    def _subscription(self, request: Message, time_in: str) -> None:
        params = request.get("params", {})
        channel = params.get("channel")
        if channel in PUBLIC_CHANNELS:
            raise WireError(PUBLIC_HERE)
        if channel not in PRIVATE_CHANNELS:
            raise WireError("Subscription name invalid")
        try:
            token = self.face.check_token(params.get("token"), self.socket.number)
        except VenueRefusal as refused:
            extra = {"channel": channel, "status": "error"}
            self.answer(refusal(request, str(refused), time_in, self.face.time(), extra))
            return
        account = self._account = token.key.account
        faults = self.face.faults
        if not faults.is_quiet and faults.take(
            "lost_request", method=request["method"], channel=channel, account=account
        ):
            return
        if request["method"] == "unsubscribe":
            self._unsubscribe(request, channel, time_in)
        elif channel == "executions":
            self._subscribe_executions(request, token, time_in)
        else:
            self._subscribe_balances(request, token, time_in)

    def _subscribe_executions(self, request: Message, token: SocketToken, time_in: str) -> None:
        if self._executions is not None:
            raise WireError(self.face.wire.already_subscribed, channel="executions")
        params, account = request["params"], token.key.account
        snap_orders = bool(params.get("snap_orders", params.get("snapshot", True)))
        snap_trades = bool(params.get("snap_trades", params.get("snapshot_trades", False)))
        self._stand(token)
        self._executions = params
        self._sequences["executions"] = 0
        exchange = self.face.exchange
        # From here on events are sent; the snapshot below comes before any of them, because nothing
        # else runs in between.
        result = {
            "channel": "executions",
            "maxratecount": exchange.accounts.get(account).max_rate_count,
            "snap_orders": snap_orders,
            "snap_trades": snap_trades,
        }
        self.succeed(request, result, time_in)
        if params.get("users") == "all":
            return  # master accounts get no snapshot
        reports = self._private.reports
        rows: list[Fields] = []
        if snap_orders:
            rows += [reports.open_order(order) for order in exchange.inquiry.open_orders(account)]
        past: list[Fields] = []
        if snap_trades:
            fills = exchange.inquiry.fills(account)[-_SNAPSHOT_FILLS:]
            past = [reports.past_fill(fill) for fill in fills]
        self._deliver("executions", rows + past, "snapshot")
        faults = self.face.faults
        if past and not faults.is_quiet and faults.take("duplicate_snapshot_trades"):
            self._deliver("executions", past)

    def _subscribe_balances(self, request: Message, token: SocketToken, time_in: str) -> None:
        if self._has_balances:
            raise WireError(self.face.wire.already_subscribed, channel="balances")
        wants_snapshot = request["params"].get("snapshot", True)
        self._stand(token)
        self._has_balances = True
        self._sequences["balances"] = 0
        self.succeed(request, {"channel": "balances", "snapshot": wants_snapshot}, time_in)
        if wants_snapshot:
            holdings = self.face.exchange.inquiry.holdings(token.key.account)
            rows = [self._private.reports.holding(holding) for holding in holdings.values()]
            self._deliver("balances", rows, "snapshot")

    def _unsubscribe(self, request: Message, channel: str, time_in: str) -> None:
        stands = self._executions is not None if channel == "executions" else self._has_balances
        if not stands:
            raise WireError(self.face.wire.not_subscribed, channel=channel)
        if channel == "executions":
            self._executions = None
        else:
            self._has_balances = False
        self.succeed(request, {"channel": channel}, time_in)

    def _stand(self, token: SocketToken) -> None:
        """A subscription stands: the token stays good on this socket, and the heart beats."""
        token.sockets.add(self.socket.number)
        self._private.listen(token.key.account, self)
        self.socket.start_heartbeats()

    # ── events ───────────────────────────────────────────────────────────────────────────────────

    def on_execution(self, event: OrderEvent) -> None:
        """Report an event of an order."""
        params = self._executions
        if params is None:
            return
        if params.get("order_status") is False and event.exec_type in _STATUS_CHANGES:
            return
        row = self._private.reports.event(event)
        if params.get("ratecounter"):
            row[self.face.wire.rate_counter_field] = event.rate_counter
        self._deliver("executions", [row])

    def on_ledger(self, entry: LedgerEntry) -> None:
        """Report a change of a balance: a trade makes two messages."""
        if self._has_balances:
            self._deliver("balances", [self._private.reports.ledger_entry(entry)])

    def _deliver(self, channel: str, rows: list[Fields], kind: str = "update") -> None:
        self._sequences[channel] += 1
        message = {
            "channel": channel,
            "type": kind,
            "data": rows,
            "sequence": self._sequences[channel],
        }
        frame = dumps(message)
        if self._private.requesting is self:
            self._held.append((channel, frame))
        else:
            self._send(channel, frame)

    def _send(self, channel: str, frame: bytes) -> None:
        """Send a message of a private channel, through whatever goes wrong."""
        if self.face.wire.unknown_fields:
            frame = with_unknown_fields(frame)
        due_s = self.arrival_s()
        faults, account = self.face.faults, self._account
        if faults.is_quiet and self._swapped is None:
            self.socket.send_at(due_s, frame)
            return
        if faults.take("sequence_gap", channel=channel, account=account):
            return
        late = faults.take("delayed_executions", channel=channel, account=account)
        if late is not None:
            due_s = self.later(due_s, late.value)
        arriving = self.mangle(frame, channel)
        if self._swapped is not None:
            arriving.append(self._swapped)
            self._swapped = None
        elif faults.take("reordered_executions", channel=channel, account=account):
            self._swapped = frame
            self.socket.after(_HELD_AT_MOST_S, self._release)
            return
        for one in arriving:
            self.socket.send_at(due_s, one)

    def _release(self) -> None:
        """Send the message that waited to be overtaken: nothing came in time."""
        if self._swapped is not None:
            self.socket.send(self._swapped)
            self._swapped = None

    # ── orders ───────────────────────────────────────────────────────────────────────────────────

    def _order_method(self, request: Message, token: SocketToken, time_in: str) -> None:
        faults, method = self.face.faults, request["method"]
        if not faults.is_quiet and faults.take(
            "lost_request", method=method, account=token.key.account
        ):
            return
        received_ns = self.face.now_ns()
        self.socket.at(
            self._due_s(method), lambda: self._carry_out(request, token, time_in, received_ns)
        )

    def _due_s(self, method: str) -> float:
        """Return when a request reaches the engine, and with that which ones overtake which.

        Amends and cancels may change places; nothing overtakes an order.
        """
        wire, now_s = self.face.wire, self.socket.time_s()
        delay_s = self.face.delay_s(wire.processing_ms)
        if not delay_s and self._last_any_s <= now_s:
            return 0.0
        may_overtake = wire.reorder_unacknowledged and method in _REORDERABLE
        not_before = self._last_add_s if may_overtake else self._last_any_s
        due_s = max(now_s + delay_s, not_before + 1e-6)
        self._last_any_s = max(self._last_any_s, due_s)
        if method not in _REORDERABLE:
            self._last_add_s = due_s
        return due_s

    def _carry_out(
        self, request: Message, token: SocketToken, time_in: str, received_ns: int
    ) -> None:
        private, faults = self._private, self.face.faults
        account, method = token.key.account, request["method"]
        early = self.face.wire.executions_first or (
            not faults.is_quiet
            and faults.take("early_executions", method=method, account=account) is not None
        )
        # While it is set, what the request causes waits: its answer goes first, as recorded.
        private.requesting = None if early else self
        try:
            answers = private.methods.carry_out(request, token.key, received_ns)
        except (WireError, VenueRefusal) as refused:
            answers = [MethodAnswer(refusal=str(refused))]
        finally:
            private.requesting = None
        for answer in answers:
            self._answer(request, answer, time_in)
        held, self._held = self._held, []
        for channel, frame in held:
            self._send(channel, frame)

    def _answer(self, request: Message, answer: MethodAnswer, time_in: str) -> None:
        time_out, method = self.face.time(), str(request["method"])
        if answer.refusal is not None:
            frame = refusal(request, answer.refusal, time_in, time_out, answer.extra)
        elif not answer.success:
            message: Fields = {"method": method, "result": answer.result, "success": False}
            if "req_id" in request:
                message["req_id"] = request["req_id"]
            frame = dumps(message | answer.extra | {"time_in": time_in, "time_out": time_out})
        else:
            frame = success(request, answer.result, time_in, time_out, answer.extra)
        self.answer(frame, method)
