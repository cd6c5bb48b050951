"""REST: signature and nonce, permissions, call counter, and answers always with HTTP 200."""

import asyncio
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from decimal import InvalidOperation

from aiohttp import web

from arbitrade_kraken.simulator.exchange.keys import ApiKey
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.faces.arguments import Arguments
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.rest_account import AccountCalls, Call
from arbitrade_kraken.simulator.faces.rest_orders import OrderCalls
from arbitrade_kraken.simulator.faces.rest_public import PublicCalls
from arbitrade_kraken.simulator.faces.wire import dumps

_NONCE_LIMIT = 1 << 64


class RestFace:
    """Answers REST calls.

    Args:
        restricted: Assets that may not be traded, by country code.
    """

    def __init__(self, face: Face, restricted: Mapping[str, Sequence[str]]) -> None:
        self._face = face
        public = PublicCalls(face, restricted)
        self._public = public.methods
        self._private: dict[str, tuple[tuple[str, ...], Call]] = {
            **AccountCalls(face, public).methods,
            **OrderCalls(face, public).methods,
        }
        self._nonces: defaultdict[str, set[int]] = defaultdict(set)
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)

    async def public(self, request: web.Request) -> web.StreamResponse:
        """Answer a call to `/0/public/…`, by GET or POST."""
        name = request.match_info["method"]
        try:
            self._face.exchange.run_timers()
            self._check_rate(request.remote or "")
            arguments = Arguments.of_query(request.query_string)
            if request.method == "POST" and (body := await request.read()):
                arguments = Arguments.of_body(body, request.content_type)
            answer = self._taken(_found(self._public, name)(arguments))
        except VenueRefusal as refused:
            answer = self._refused(str(refused))
        return await self._send(answer, name, None)

    async def private(self, request: web.Request) -> web.StreamResponse:
        """Answer a call to `/0/private/…`, by POST: who asks, may they, then the call itself."""
        name, account = request.match_info["method"], None
        body = await request.read()
        try:
            self._face.exchange.run_timers()
            _found(self._private, name)
            arguments = Arguments.of_body(body, request.content_type)
            key = self._authenticate(request, body, arguments)
            account = key.account
            if (early := await self._early_fault(name, account)) is not None:
                return early
            answer = self._carry_out(name, key, arguments)
        except VenueRefusal as refused:
            answer = self._refused(str(refused))
        return await self._send(answer, name, account)

    # ── the way in ───────────────────────────────────────────────────────────────────────────────

    def _authenticate(self, request: web.Request, body: bytes, arguments: Arguments) -> ApiKey:
        key = self._face.exchange.accounts.find_key(request.headers.get("API-Key", ""))
        if key is None:
            raise VenueRefusal("EAPI:Invalid key")
        nonce = arguments.text("nonce")
        if nonce is None or not nonce.isdecimal() or int(nonce) >= _NONCE_LIMIT:
            raise VenueRefusal("EAPI:Invalid nonce")
        expected = sign(key.secret, request.path, nonce, body)
        given = request.headers.get("API-Sign", "")
        if not hmac.compare_digest(expected, given.encode()):
            raise VenueRefusal("EAPI:Invalid signature")
        self._use_nonce(key, int(nonce))
        return key

    def _use_nonce(self, key: ApiKey, nonce: int) -> None:
        """Accept a nonce above the last one, or an unused one within the key's window below it."""
        used = self._nonces[key.key]
        if nonce in used or nonce <= key.last_nonce - max(1, key.nonce_window):
            raise VenueRefusal("EAPI:Invalid nonce")
        if nonce <= key.last_nonce and not key.nonce_window:
            raise VenueRefusal("EAPI:Invalid nonce")
        key.last_nonce = max(key.last_nonce, nonce)
        used.add(nonce)
        if len(used) > 1000:
            lowest = key.last_nonce - key.nonce_window
            used.intersection_update([one for one in used if one >= lowest])

    def _carry_out(self, name: str, key: ApiKey, arguments: Arguments) -> dict[str, object]:
        permissions, call = self._private[name]
        if permissions and not key.permissions.intersection(permissions):
            raise VenueRefusal("EGeneral:Permission denied")
        exchange = self._face.exchange
        exchange.calls.charge(key, exchange.accounts.get(key.account).tier, name)
        try:
            return self._taken(call(key, arguments))
        except InvalidOperation:
            # Price × quantity has more digits than any account could pay.
            raise VenueRefusal("EGeneral:Invalid arguments:volume") from None

    def _check_rate(self, address: str) -> None:
        allowed = self._face.wire.public_calls_per_s
        if not allowed:
            return
        recent, now_s = self._recent[address], asyncio.get_running_loop().time()
        while recent and recent[0] <= now_s - 1:
            recent.popleft()
        if len(recent) >= allowed:
            raise VenueRefusal("EGeneral:Too many requests")
        recent.append(now_s)

    # ── the way out ──────────────────────────────────────────────────────────────────────────────

    def _taken(self, result: object) -> dict[str, object]:
        return {"error": [], "result": result}

    def _refused(self, text: str) -> dict[str, object]:
        if self._face.wire.failed_result == "null":
            return {"error": [text], "result": None}
        return {"error": [text]}

    async def _early_fault(self, name: str, account: str) -> web.StreamResponse | None:
        """Let a request go missing before it is carried out."""
        faults = self._face.faults
        if faults.is_quiet:
            return None
        if faults.take("lost_request", method=name, account=account):
            await _never()
        fault = faults.peek("http_error", method=name, account=account)
        if fault is not None and fault.text != "after":
            faults.take("http_error", method=name, account=account)
            return _gateway_error(int(fault.value or 502))
        return None

    async def _send(
        self, answer: dict[str, object], name: str, account: str | None
    ) -> web.StreamResponse:
        faults = self._face.faults
        delay_s = 2 * self._face.delay_s(self._face.wire.network_ms)
        if account is not None and not faults.is_quiet:
            slow = faults.take("slow_response", method=name, account=account)
            if slow is not None:
                delay_s += float(slow.value or 1000) / 1000
            if faults.take("lost_ack", method=name, account=account):
                await _never()
            late = faults.take("http_error", method=name, account=account)
            if late is not None:
                return _gateway_error(int(late.value or 502))
            if faults.take("bad_json", method=name, account=account):
                body = dumps(answer)
                return web.Response(body=body[: len(body) // 2], content_type="application/json")
        if delay_s:
            await asyncio.sleep(delay_s)
        return web.Response(body=dumps(answer), content_type="application/json")


def sign(secret: str, path: str, nonce: str, body: bytes) -> bytes:
    """Return the signature of a private call (the venue's guide "REST authentication")."""
    digest = hashlib.sha256(nonce.encode() + body).digest()
    signature = hmac.new(b64decode(secret), path.encode() + digest, hashlib.sha512)
    return b64encode(signature.digest())


def _found[T](methods: Mapping[str, T], name: str) -> T:
    if name not in methods:
        raise VenueRefusal("EGeneral:Unknown method")
    return methods[name]


def _gateway_error(status: int) -> web.Response:
    text = f"<html><body><h1>{status}</h1></body></html>"
    return web.Response(status=status, text=text, content_type="text/html")


async def _never() -> None:
    """Wait until the client gives up or the server ends."""
    await asyncio.get_running_loop().create_future()
