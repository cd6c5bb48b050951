"""What sessions of both hosts share: requests in, answers out, faults of the socket."""

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Any

import orjson

from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.faces import wire
from arbitrade_kraken.simulator.faces.client_socket import ClientSocket
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.wire import Message, WireError

ORDER_METHODS = frozenset(
    (
        "add_order", "amend_order", "edit_order", "cancel_order", "cancel_all",
        "cancel_all_orders_after", "batch_add", "batch_cancel",
    )
)  # fmt: skip
PRIVATE_CHANNELS = frozenset(("executions", "balances"))
PUBLIC_CHANNELS = frozenset(("instrument", "book", "ticker", "trade", "ohlc"))

_REQ_ID_LIMIT = 1 << 63


class SocketSession(ABC):
    """One socket's conversation.

    Args:
        host: `public` or `private`, what faults call a socket's channel when they mean all of it.
    """

    host: str

    def __init__(self, face: Face, socket: ClientSocket) -> None:
        self.face = face
        self.socket = socket
        self._latest_s = 0.0

    @property
    def account(self) -> str | None:
        """Whose socket it is, once that is known."""
        return None

    def receive(self, content: str | bytes) -> None:
        """Take one request.  Nothing a client sends closes the socket."""
        time_in = self.face.time()
        try:
            request = wire.loads(content)
        except ValueError:
            self.answer(wire.refusal({}, "Malformed request", time_in, self.face.time()))
            return
        if not isinstance(request, dict):
            self.answer(wire.refusal({}, "Malformed request", time_in, self.face.time()))
            return
        try:
            self._check_envelope(request)
            self.face.exchange.run_timers()
            self.handle(request, time_in)
        except (WireError, VenueRefusal) as refused:
            self.refuse(request, refused, time_in)

    @abstractmethod
    def handle(self, request: Message, time_in: str) -> None:
        """Carry out a request.

        Raises:
            WireError: The venue refuses it.
            VenueRefusal: The exchange refuses it.
        """

    def pong(self, request: Message, time_in: str) -> None:
        """Answer a ping, which is no request: it has no `success` and no result."""
        pong: dict[str, object] = {"method": "pong"}
        if "req_id" in request:
            pong["req_id"] = request["req_id"]
        pong |= {"time_in": time_in, "time_out": self.face.time()}
        self.answer(orjson.dumps(pong))

    def refuse(self, request: Message, refused: WireError | VenueRefusal, time_in: str) -> None:
        """Send a refusal in the venue's words."""
        extra = refused.extra if isinstance(refused, WireError) else None
        frame = wire.refusal(request, str(refused), time_in, self.face.time(), extra)
        self.answer(frame, str(request.get("method")))

    def succeed(self, request: Message, result: object, time_in: str) -> None:
        """Send the answer to a request that went well."""
        frame = wire.success(request, result, time_in, self.face.time())
        self.answer(frame, str(request["method"]))

    def answer(self, frame: bytes, method: str | None = None) -> None:
        """Send an answer, late or never if a fault says so; answers keep their order otherwise."""
        due_s = self.arrival_s()
        faults = self.face.faults
        if not faults.is_quiet:
            if faults.take("lost_ack", method=method, account=self.account):
                return
            slow = faults.take("slow_response", method=method, account=self.account)
            if slow is not None:
                self.socket.send_at(self.later(due_s, slow.value), frame)
                return
        self.socket.send_at(due_s, frame)

    def arrival_s(self) -> float:
        """Return when what is sent now arrives, in the link's time; 0 for at once.

        Later frames never overtake earlier ones.
        """
        delay_s = self.face.delay_s(self.face.wire.network_ms)
        if not delay_s:
            return 0.0
        self._latest_s = max(self._latest_s + 1e-6, self.socket.time_s() + delay_s)
        return self._latest_s

    def later(self, due_s: float, milliseconds: Decimal | None) -> float:
        """Return a time so much later, a second if nothing is said."""
        extra_s = float(1000 if milliseconds is None else milliseconds) / 1000
        return (due_s or self.socket.time_s()) + extra_s

    def mangle(self, frame: bytes, channel: str, symbol: str | None = None) -> list[bytes]:
        """Return what arrives of a frame while faults are at work: nothing, it, more, or less."""
        faults, account = self.face.faults, self.account
        if faults.take("unknown_fields", channel=channel, symbol=symbol, account=account):
            frame = with_unknown_fields(frame)
        if faults.take("bad_json", channel=channel, symbol=symbol, account=account):
            return [frame[: len(frame) // 2]]
        if faults.take("duplicate_message", channel=channel, symbol=symbol, account=account):
            return [frame, frame]
        return [frame]

    def break_socket(self) -> None:
        """Let the faults of sockets act on this one."""
        faults = self.face.faults
        if faults.take("disconnect", channel=self.host, account=self.account):
            self.socket.abort()
        elif not self.socket.is_half_open and faults.take(
            "half_open", channel=self.host, account=self.account
        ):
            self.socket.go_half_open()

    @staticmethod
    def _check_envelope(request: dict[str, Any]) -> None:
        req_id = request.get("req_id")
        if req_id is not None and (type(req_id) is not int or abs(req_id) >= _REQ_ID_LIMIT):
            del request["req_id"]
            raise WireError("Req_id field must be a number_integer")
        if not isinstance(request.get("method"), str):
            request.pop("method", None)
            raise WireError("Method field must be a string")
        params = request.get("params", {})
        if not isinstance(params, dict):
            raise WireError("Params field must be an object")
        if not isinstance(params.get("channel", ""), str):
            raise WireError("Channel field must be a string")


def with_unknown_fields(frame: bytes) -> bytes:
    """Return a frame with fields that no documentation knows."""
    extra = b'{"extra_field":{"bids":[1],"list":[null,"text"]},"revision":7,'
    return extra + frame.lstrip()[1:]
