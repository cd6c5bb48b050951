"""The private connection: subscriptions, answers by request id, numbers without gaps.

The socket is kept up by `arbitrade_kraken.wire.link`.  Every frame we send here carries a token, so
none is handed to anybody.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, Protocol

import structlog

from arbitrade.errors import AuthenticationError, MessageError, VenueUnavailableError
from arbitrade.models import VenueState
from arbitrade.protocols import Clock
from arbitrade_kraken.account import messages
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.account.messages import Value, VenueAnswer
from arbitrade_kraken.account.sequences import Arrival, MessageSequence
from arbitrade_kraken.account.token import TokenKeeper
from arbitrade_kraken.market.requests import ping
from arbitrade_kraken.rest.answers import WebSocketToken
from arbitrade_kraken.together import together
from arbitrade_kraken.venue_errors import TokenExpiredError, make_error
from arbitrade_kraken.wire.choosing import choose_transport
from arbitrade_kraken.wire.link import Access, Address, Link, attempts_budget
from arbitrade_kraken.wire.opening import OnBuffer, raise_if_wrong_host

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
    """Owns one link and the account's two channels on it; see `LinkOwner` for what it calls.

    Args:
        settings: Address, transport, limits, waits.
        fetch_token: Returns a fresh token.
        listener: Who is told.
        clock: For durations.
        random: For jitter.
        tls: Certificates to trust; None for the system's.

    Raises:
        ConfigError: The transport that was asked for is not installed.
    """

    is_needed: bool = True
    on_buffer: OnBuffer | None = None
    """None: a private message is read as text, its numbers digit by digit."""

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
        self._listener = listener
        self._counters = Counter[str]()
        self._token = TokenKeeper(
            fetch_token, lambda: clock.monotonic_ns() / 1e9, random, self._counters
        )
        self._waiting: dict[int, asyncio.Future[VenueAnswer]] = {}
        self._ids = count(1)
        self._sequences: dict[str, MessageSequence] = {}
        self._snapshots: set[str] = set()
        self._torn: set[str] = set()
        self._is_standing = False
        self._has_stood = False
        self._bad_tokens = 0
        self._of_link = Counter[str]()
        self._link = Link(
            self,
            Address(
                settings.ws_auth_url,
                "kraken.ws_auth_url",
                {"connection": "private", "account": settings.account},
            ),
            settings,
            Access(
                open_wire=choose_transport(settings.transport),
                attempts=attempts_budget(_ATTEMPTS_PER_10_MINUTES, clock),
                clock=clock,
                random=random,
                counters=self._of_link,
                tls=tls,
            ),
        )

    def __repr__(self) -> str:
        return f"<PrivateConnection {self._settings.account} standing={self._is_standing}>"

    @property
    def is_standing(self) -> bool:
        """True while both subscriptions are complete."""
        return self._is_standing

    def statistics(self) -> Mapping[str, int]:
        """Return what was coped with; what the link counted as `private_…`."""
        return {
            **{f"private_{name}": number for name, number in self._of_link.items()},
            **self._counters,
        }

    async def run(self) -> None:
        """Connect and subscribe until cancelled; reconnects by itself.

        Raises:
            AuthenticationError: The key is refused, or may not do this.
            VenueUnavailableError: The venue refuses the connection for good.
        """
        await self._link.run()

    async def request(
        self, method: str, params: Mapping[str, Value], timeout_s: float
    ) -> VenueAnswer:
        """Send a request and return its answer, a refusal too.

        Raises:
            NotSentError: There is no connection.
            UnansweredError: The connection ended, or the time did, before an answer came.
        """
        token = self._token.value
        if token is None or not self._link.is_up:
            raise NotSentError(f"kraken: {method} not sent: no private connection now")
        request_id = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            self._link.send(messages.request(method, params, token, request_id))
            async with asyncio.timeout(timeout_s):
                answer: VenueAnswer = await future
        except TimeoutError as error:
            self._counters["private_unanswered"] += 1
            raise UnansweredError(f"no answer to {method} within {timeout_s:g} s") from error
        finally:
            self._waiting.pop(request_id, None)
        if answer.error is not None and isinstance(
            make_error(method, answer.error), TokenExpiredError
        ):
            self._token.refused()
        return answer

    # ── one socket ───────────────────────────────────────────────────────────────────────────────

    async def prepare(self) -> None:
        """Start over with a fresh token."""
        self._snapshots.clear()
        self._torn.clear()
        await self._token.fetch()

    async def carry(self) -> None:
        """Subscribe both channels, then keep them whole, and the token fresh."""
        try:
            for channel in _SUBSCRIPTIONS:
                await self._subscribe(channel)
            self._stand()
            await together(self._mend(), self._token.keep(), self._listener.attend())
        finally:
            self._fall("the private connection was left")

    def ping(self) -> None:
        """Send a ping, which needs no token."""
        self._link.send(ping(next(self._ids)))

    def on_lost(self, reason: str) -> None:
        """Tell whoever waits for an answer that none comes, and that orders can't go out."""
        self._fall(f"the private connection was lost: {reason}")

    def on_failing(self, reason: str) -> None:
        """Tell that something may have been missed.

        Not in `on_lost`: whoever hears of it asks the venue at once, and should know by then which
        orders have no answer.
        """
        if self._has_stood:
            self._listener.on_missed(reason)

    async def _subscribe(self, channel: str) -> None:
        self._sequences[channel] = MessageSequence()
        answer = await self.request(
            "subscribe", _SUBSCRIPTIONS[channel], self._settings.answer_timeout_s
        )
        if answer.error is not None:
            self._raise_refused(channel, answer.error)
        self._bad_tokens = 0
        result = answer.result if isinstance(answer.result, Mapping) else {}
        self._listener.on_subscribed(channel, result)
        await self._link.until(lambda: channel in self._snapshots, f"snapshot of {channel}")
        self._link.expect_heartbeats()

    def _raise_refused(self, channel: str, text: str) -> None:
        raise_if_wrong_host(text)
        error = make_error(f"subscribe {channel}", text)
        if isinstance(error, TokenExpiredError):
            self._bad_tokens += 1
            if self._bad_tokens >= _BAD_TOKENS_MOST:
                raise AuthenticationError(
                    f"kraken: {_BAD_TOKENS_MOST} fresh tokens in a row were refused ({text}); "
                    "check that the API key may use WebSockets"
                )
        raise error

    async def _mend(self) -> None:
        """Subscribe anew where messages were lost."""
        while True:
            while not self._torn:
                await self._link.rest()
            channel = self._torn.pop()
            self._counters["private_resubscriptions"] += 1
            self._snapshots.discard(channel)
            await self.request("unsubscribe", {"channel": channel}, self._settings.answer_timeout_s)
            await self._subscribe(channel)
            if not self._torn:
                self._stand()

    def _stand(self) -> None:
        self._link.stands()
        self._has_stood = self._is_standing = True
        log.info("kraken.private_connected", account=self._settings.account)
        self._listener.on_standing(True)

    def _fall(self, reason: str) -> None:
        """Rely on nothing any more, and leave nobody waiting for an answer."""
        self._suspend()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(UnansweredError(reason))

    def _suspend(self) -> None:
        if self._is_standing:
            self._is_standing = False
            self._listener.on_standing(False)

    # ── what the venue says ──────────────────────────────────────────────────────────────────────

    def on_frame(self, frame: bytes) -> None:
        """Read a frame, and hand on what it says."""
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
            self._counters["private_answers_late"] += 1
            log.info("kraken.answer_late", method=answer.method, success=answer.is_success)

    def _on_event(self, channel: str, message: Mapping[str, Any]) -> None:
        is_snapshot = message.get("type") == "snapshot"
        number = message.get("sequence")
        if not isinstance(number, int):
            raise MessageError(f"kraken: a message of {channel} without a sequence number")
        sequence = self._sequences.setdefault(channel, MessageSequence())
        arrival = sequence.arrived(number, is_snapshot=is_snapshot)
        if arrival is Arrival.AGAIN:
            self._counters["private_duplicates"] += 1
            return
        if arrival is Arrival.GAP:
            self._on_gap(channel, number)
        take = self._listener.on_executions if channel == EXECUTIONS else self._listener.on_balances
        take(message, is_snapshot=is_snapshot)
        if is_snapshot:
            self._snapshots.add(channel)
            self._link.wake()

    def _on_gap(self, channel: str, number: int) -> None:
        """A gap while a fresh snapshot is due anyway changes nothing."""
        self._counters["private_gaps"] += 1
        if channel not in self._snapshots or channel in self._torn:
            return
        log.warning("kraken.private_gap", channel=channel, sequence=number)
        self._torn.add(channel)
        self._suspend()
        self._listener.on_missed(f"messages of {channel} before number {number} were lost")
        self._link.wake()

    def _on_status(self, message: Mapping[str, Any]) -> None:
        rows = message.get("data")
        row = rows[0] if isinstance(rows, list) and rows else None
        if not isinstance(row, Mapping):
            raise MessageError("kraken: a status frame without data")
        state = VenueState.parse(str(row.get("system")))
        self._link.greeted(state)
        self._listener.on_status(state, row)
