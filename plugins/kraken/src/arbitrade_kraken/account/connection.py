"""The private WebSocket: token, subscriptions, answers by request id, numbers without gaps.

Every frame we send here carries a token.  None is handed to anybody, and the WebSocket library is
kept from writing what it sends to its debug log.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, Protocol

import structlog
from websockets.client import ClientProtocol

from arbitrade.errors import (
    AuthenticationError,
    MessageError,
    VenueUnavailableError,
)
from arbitrade.models import VenueState
from arbitrade.protocols import Clock
from arbitrade_kraken.account import messages
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.account.messages import Value, VenueAnswer
from arbitrade_kraken.account.sequences import Arrival, MessageSequence
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.market.requests import ping
from arbitrade_kraken.rest.answers import WebSocketToken
from arbitrade_kraken.together import together
from arbitrade_kraken.token_bucket import TokenBucket
from arbitrade_kraken.venue_errors import TokenExpiredError, make_error
from arbitrade_kraken.wire.opening import (
    AnyWire,
    ConnectionRefusedByVenueError,
    Ending,
    OnEnd,
    OnMessage,
)
from arbitrade_kraken.wire.plain import Wire, open_wire

log = structlog.stdlib.get_logger(__name__)

EXECUTIONS = "executions"
BALANCES = "balances"

_SUBSCRIPTIONS: Mapping[str, Mapping[str, Value]] = {
    # Defaults are documented in two ways, so everything is said.
    EXECUTIONS: {
        "channel": EXECUTIONS,
        "snap_orders": True,
        "snap_trades": True,
        "order_status": True,
        "ratecounter": True,
    },
    BALANCES: {"channel": BALANCES, "snapshot": True},
}
_ATTEMPTS_PER_10_MINUTES = 40
"""Beside the budget of the market data's connections; the venue bans above about 150."""
_WINDOW_S = 600.0
_POLICY_VIOLATION = 1008
_TOO_MANY = frozenset({429, 503})
_WRONG_HOST = "unavailable on this endpoint"
_BAD_TOKENS_MOST = 3
"""So many fresh tokens refused in a row: it isn't the token's age."""


class NotSentError(VenueUnavailableError):
    """There is no private connection: nothing was sent."""


class UnansweredError(VenueUnavailableError):
    """Sent, and no answer came: whether it was done is unknown."""


class PrivateListener(Protocol):
    """Who the private connection reports to.  Called between two socket reads."""

    def on_executions(self, message: Mapping[str, Any], *, is_snapshot: bool) -> None:
        """Take a message of the channel `executions`."""

    def on_balances(self, message: Mapping[str, Any], *, is_snapshot: bool) -> None:
        """Take a message of the channel `balances`."""

    def on_subscribed(self, channel: str, result: Mapping[str, Any]) -> None:
        """Take the acknowledgement of a subscription."""

    def on_status(self, state: VenueState, row: Mapping[str, Any]) -> None:
        """Take the state of the engine, with what else the frame says."""

    def on_missed(self, reason: str) -> None:
        """Messages were lost; snapshots of all that counts will come."""

    def on_standing(self, is_standing: bool) -> None:
        """Both subscriptions have their snapshots, or don't any more."""

    def attend(self) -> Coroutine[object, object, None]:
        """Run while there is a connection, from the first snapshots on; cancelled with it."""


class PrivateConnection:
    """Keeps one private WebSocket.

    Args:
        settings: Address, limits, waits.
        fetch_token: Returns a fresh token.
        listener: Who is told.
        clock: For durations.
        random: For jitter.
        tls: Certificates to trust; None for the system's.
    """

    def __init__(
        self,
        settings: KrakenAccountSettings,
        fetch_token: Callable[[], Awaitable[WebSocketToken]],
        listener: PrivateListener,
        clock: Clock,
        random: Random,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._fetch_token = fetch_token
        self._listener = listener
        self._clock = clock
        self._random = random
        self._tls = tls
        self._token: WebSocketToken | None = None
        self._token_refused = asyncio.Event()
        self._wire: AnyWire | None = None
        self._waiting: dict[int, asyncio.Future[VenueAnswer]] = {}
        self._ids = count(1)
        self._wake = asyncio.Event()
        self._sequences: dict[str, MessageSequence] = {}
        self._snapshots: set[str] = set()
        self._torn: set[str] = set()
        self._is_greeted = False
        self._is_standing = False
        self._has_stood = False
        self._is_failing = False
        self._bad_tokens = 0
        self._sent_at = 0.0
        self._attempts = TokenBucket.per_window(_ATTEMPTS_PER_10_MINUTES, _WINDOW_S, self._now)
        self._backoff = Backoff(
            settings.reconnect_s,
            settings.reconnect_max_s,
            random,
            quick=settings.reconnect_quick,
            calm_s=settings.reconnect_max_s,
        )
        self.counters: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<PrivateConnection {self._settings.account} standing={self._is_standing}>"

    @property
    def is_standing(self) -> bool:
        """True while both subscriptions are complete."""
        return self._is_standing

    async def run(self) -> None:
        """Connect and subscribe until cancelled; reconnects by itself.

        Raises:
            AuthenticationError: The key is refused, or may not do this.
            VenueUnavailableError: The venue refuses the connection for good.
        """
        while True:
            least_s = 0.0
            try:
                wait_s = self._attempts.take()
                if wait_s > 0:
                    log.warning("kraken.private_attempts_used_up", wait_s=round(wait_s, 1))
                    await asyncio.sleep(wait_s)
                await self._session()
            except ConnectionRefusedByVenueError as refused:
                if refused.is_final:
                    raise self._give_up(str(refused)) from refused
                if refused.status in _TOO_MANY:
                    least_s = self._settings.busy_wait_s
                self._say_failing(str(refused))
            except (_LostError, VenueUnavailableError, MessageError) as lost:
                self._say_failing(str(lost))
            # Spread upwards, so that the least stays the least.
            least_s *= self._random.uniform(1.0, 1.5)
            await asyncio.sleep(max(self._backoff.next(self._now()), least_s))
            self.counters["private_reconnects"] += 1

    async def request(
        self, method: str, params: Mapping[str, Value], timeout_s: float
    ) -> VenueAnswer:
        """Send a request and return its answer, a refusal too.

        Raises:
            NotSentError: There is no connection.
            UnansweredError: The connection ended, or the time did, before an answer came.
        """
        wire, token = self._wire, self._token
        if wire is None or token is None or not self._is_greeted or wire.ended.done():
            raise NotSentError(f"kraken: {method} not sent: no private connection now")
        request_id = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            self._send(wire, messages.request(method, params, token.value, request_id))
            async with asyncio.timeout(timeout_s):
                answer: VenueAnswer = await future
        except TimeoutError as error:
            self.counters["private_unanswered"] += 1
            raise UnansweredError(f"no answer to {method} within {timeout_s:g} s") from error
        finally:
            self._waiting.pop(request_id, None)
        if answer.error is not None and isinstance(
            make_error(method, answer.error), TokenExpiredError
        ):
            self._token_refused.set()
        return answer

    # ── one socket ───────────────────────────────────────────────────────────────────────────────

    async def _session(self) -> None:
        settings = self._settings
        self._is_greeted = False
        self._token_refused.clear()
        self._snapshots.clear()
        self._torn.clear()
        # Anew for each connection: a token that has been used before may be refused.
        self._token = await self._fetch_token()
        wire = await open_wire(
            settings.ws_auth_url,
            self._on_frame,
            self._on_end,
            max_size=settings.max_frame_mb * 1024 * 1024,
            timeout_s=settings.connect_timeout_s,
            tls=self._tls,
            make_wire=_quiet_wire,
        )
        self._wire = wire
        self._sent_at = self._now()
        try:
            await self._until(wire, lambda: self._is_greeted, "status")
            await together(self._watch(wire), self._carry(wire))
        finally:
            self._fall()
            self._wire = None
            self._fail_waiting("the private connection was closed")
            await wire.close(settings.close_timeout_s)

    async def _carry(self, wire: AnyWire) -> None:
        for channel in _SUBSCRIPTIONS:
            await self._subscribe(wire, channel)
        self._stand()
        await together(self._mend(wire), self._renew_token(), self._listener.attend())

    async def _subscribe(self, wire: AnyWire, channel: str) -> None:
        self._sequences[channel] = MessageSequence()
        answer = await self.request(
            "subscribe", _SUBSCRIPTIONS[channel], self._settings.answer_timeout_s
        )
        if answer.error is not None:
            self._raise_refused(channel, answer.error)
        self._bad_tokens = 0
        result = answer.result if isinstance(answer.result, Mapping) else {}
        self._listener.on_subscribed(channel, result)
        await self._until(wire, lambda: channel in self._snapshots, f"snapshot of {channel}")

    def _raise_refused(self, channel: str, text: str) -> None:
        if _WRONG_HOST in text:
            raise ConnectionRefusedByVenueError(f"kraken: {text}", is_final=True)
        error = make_error(f"subscribe {channel}", text)
        if isinstance(error, TokenExpiredError):
            self._bad_tokens += 1
            if self._bad_tokens >= _BAD_TOKENS_MOST:
                raise AuthenticationError(
                    f"kraken: {_BAD_TOKENS_MOST} fresh tokens in a row were refused ({text}); "
                    "check that the API key may use WebSockets"
                )
        raise error

    async def _watch(self, wire: AnyWire) -> None:
        """Notice when the socket is dead, and keep it from being closed as idle."""
        settings = self._settings
        while True:
            self._raise_if_ended(wire)
            silent_s = wire.silent_s
            # The heartbeat starts with the first subscription.
            limit_s = settings.silence_s if self._snapshots else settings.answer_timeout_s
            if silent_s >= limit_s:
                self.counters["private_silences"] += 1
                raise _LostError(f"no frame for {silent_s:.1f} s, not even a heartbeat")
            now = self._now()
            if now - self._sent_at >= settings.ping_s:
                self._send(wire, ping(next(self._ids)))
            rest_s = min(
                # The limit shrinks with the first snapshot: not to be slept through.
                settings.silence_s,
                limit_s - silent_s,
                self._sent_at + settings.ping_s - now,
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(max(rest_s, 0.001)):
                    await asyncio.shield(wire.ended)

    async def _mend(self, wire: AnyWire) -> None:
        """Subscribe anew where messages were lost."""
        while True:
            await self._until(wire, lambda: bool(self._torn), "", timeout_s=None)
            channel = self._torn.pop()
            self.counters["private_resubscriptions"] += 1
            self._snapshots.discard(channel)
            await self.request("unsubscribe", {"channel": channel}, self._settings.answer_timeout_s)
            await self._subscribe(wire, channel)
            if not self._torn:
                self._stand()

    async def _renew_token(self) -> None:
        """Have a fresh token at half the life of the old one, or as soon as that is refused."""
        backoff = Backoff(1.0, 30.0, self._random)
        wait_s = self._half_life_s()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._token_refused.wait()
            try:
                self._token = await self._fetch_token()
            except VenueUnavailableError as error:
                wait_s = max(1.0, backoff.next(self._now()))
                log.warning("kraken.token_not_renewed", reason=str(error))
                self._token_refused.clear()
                continue
            self.counters["tokens_renewed"] += 1
            # A moment's rest, so that a venue that refuses every token isn't asked in a loop.
            self._token_refused.clear()
            wait_s = self._half_life_s()

    def _half_life_s(self) -> float:
        return self._token.expires_s / 2 if self._token is not None else 1.0

    async def _until(
        self,
        wire: AnyWire,
        has_come: Callable[[], bool],
        what: str,
        timeout_s: float | None = -1.0,
    ) -> None:
        limit = self._settings.answer_timeout_s if timeout_s == -1.0 else timeout_s
        try:
            async with asyncio.timeout(limit):
                while not has_come():
                    self._raise_if_ended(wire)
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError as error:
            raise _LostError(f"no {what} within {limit:g} s") from error

    def _raise_if_ended(self, wire: AnyWire) -> None:
        if wire.failure is not None:
            raise wire.failure
        if not wire.ended.done():
            return
        ending = wire.ended.result()
        words = f"private connection closed ({ending.code} {ending.reason})"
        if ending.code == _POLICY_VIOLATION:
            raise ConnectionRefusedByVenueError(
                f"kraken: {words}, a violation of the venue's policy", is_final=True
            )
        raise _LostError(words)

    def _send(self, wire: AnyWire, frame: bytes) -> None:
        self._sent_at = self._now()
        wire.send(frame)

    # ── what the venue says ──────────────────────────────────────────────────────────────────────

    def _on_frame(self, frame: bytes) -> None:
        try:
            message = json.loads(frame, parse_float=Decimal)
        except ValueError as error:
            raise MessageError(f"kraken: a private frame is not JSON ({error})") from error
        if not isinstance(message, dict):
            raise MessageError("kraken: a private frame is not an object")
        if "method" in message:
            self._on_answer(messages.read_answer(message))
            return
        match message.get("channel"):
            case "executions" | "balances" as channel:
                self._on_event(channel, message)
            case "status":
                self._on_status(message)
            case _:
                pass  # Heartbeats, and channels the venue added since.

    def _on_answer(self, answer: VenueAnswer) -> None:
        future = self._waiting.get(answer.request_id or 0)
        if future is not None and not future.done():
            future.set_result(answer)
        elif answer.method != "pong":
            self.counters["private_answers_late"] += 1
            log.info("kraken.answer_late", method=answer.method, success=answer.is_success)

    def _on_event(self, channel: str, message: Mapping[str, Any]) -> None:
        is_snapshot = message.get("type") == "snapshot"
        number = message.get("sequence")
        if not isinstance(number, int):
            raise MessageError(f"kraken: a message of {channel} without a sequence number")
        sequence = self._sequences.setdefault(channel, MessageSequence())
        arrival = sequence.arrived(number, is_snapshot=is_snapshot)
        if arrival is Arrival.AGAIN:
            self.counters["private_duplicates"] += 1
            return
        if arrival is Arrival.GAP:
            self._on_gap(channel, number)
        take = self._listener.on_executions if channel == EXECUTIONS else self._listener.on_balances
        take(message, is_snapshot=is_snapshot)
        if is_snapshot:
            self._snapshots.add(channel)
            self._wake.set()

    def _on_gap(self, channel: str, number: int) -> None:
        """A gap while a fresh snapshot is due anyway changes nothing."""
        self.counters["private_gaps"] += 1
        if channel not in self._snapshots or channel in self._torn:
            return
        log.warning("kraken.private_gap", channel=channel, sequence=number)
        self._torn.add(channel)
        self._fall()
        self._listener.on_missed(f"messages of {channel} before number {number} were lost")
        self._wake.set()

    def _on_status(self, message: Mapping[str, Any]) -> None:
        rows = message.get("data")
        row = rows[0] if isinstance(rows, list) and rows else None
        if not isinstance(row, Mapping):
            raise MessageError("kraken: a status frame without data")
        self._is_greeted = True
        self._listener.on_status(VenueState.parse(str(row.get("system"))), row)
        self._wake.set()

    def _on_end(self, ending: Ending) -> None:
        self._fall()
        self._fail_waiting(f"the private connection was closed ({ending.code} {ending.reason})")
        self._wake.set()

    def _stand(self) -> None:
        self._is_failing = False
        self._has_stood = self._is_standing = True
        log.info("kraken.private_connected", account=self._settings.account)
        self._listener.on_standing(True)

    def _fall(self) -> None:
        if self._is_standing:
            self._is_standing = False
            self._listener.on_standing(False)

    def _fail_waiting(self, reason: str) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(UnansweredError(reason))

    def _say_failing(self, reason: str) -> None:
        """Log the first failure after a good time; the rest is counted."""
        self.counters["private_failures"] += 1
        if not self._is_failing:
            self._is_failing = True
            log.warning("kraken.private_lost", account=self._settings.account, reason=reason)
            if self._has_stood:
                self._listener.on_missed(reason)

    def _give_up(self, reason: str) -> VenueUnavailableError:
        return VenueUnavailableError(
            f"{reason}; not trying again.  Check kraken.ws_auth_url "
            f"({self._settings.ws_auth_url}), and that this network may use Kraken's API"
        )

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _quiet_wire(
    library: ClientProtocol, on_message: OnMessage, on_end: OnEnd, on_buffer: object = None
) -> Wire:
    # At DEBUG the library writes the beginning of every frame, and the token with it.
    library.debug = False
    return Wire(library, on_message, on_end)


class _LostError(Exception):
    """A socket of no use any more; the message says why."""
