"""One socket kept up: opened within a budget, watched while it stands, made anew when it is lost.

What goes over it is its owner's business: what to subscribe, and what a frame means.

    needed? ─▶ attempt affordable? ─▶ prepare ─▶ open ─▶ greeting ─▶ carry, watched ─┐
       ▲                                                                             │ lost
       └───────────────── back-off, longer where the venue is busy ◀─────────────────┘
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Protocol

import attrs
import structlog

from arbitrade.errors import MessageError, VenueUnavailableError
from arbitrade.models import VenueState
from arbitrade.protocols import Clock
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.config import KrakenSettings
from arbitrade_kraken.together import while_running
from arbitrade_kraken.token_bucket import TokenBucket
from arbitrade_kraken.wire.opening import (
    AnyWire,
    ConnectionRefusedByVenueError,
    Ending,
    OnBuffer,
    OpenWire,
)

log = structlog.stdlib.get_logger(__name__)

_WINDOW_S = 600.0
"""The venue counts connection attempts over a rolling window of ten minutes."""
_POLICY_VIOLATION = 1008
_TOO_MANY = frozenset({429, 503})
_SHORTEST_REST_S = 0.001


class LostError(Exception):
    """The socket is of no use any more, and a new one may be; the message says why."""


class LinkOwner(Protocol):
    """Who a link is kept up for.  The callbacks are called between two reads of the socket."""

    @property
    def is_needed(self) -> bool:
        """False while there is nothing to carry; no socket is opened then."""

    @property
    def on_buffer(self) -> OnBuffer | None:
        """Takes messages straight from the receive buffer; None where each comes by itself."""

    async def prepare(self) -> None:
        """Start over, and fetch what the next socket needs; called before each attempt."""

    def on_frame(self, frame: bytes) -> None:
        """Take a message.  The first one with the venue's state goes to `Link.greeted`."""

    async def carry(self) -> None:
        """Use the socket, from the greeting on; return when nothing is left to carry."""

    def ping(self) -> None:
        """Send something the venue answers: it closes a socket that says nothing for long."""

    def on_lost(self, reason: str) -> None:
        """Take note that a socket that was greeted is lost.  Not called when we leave it."""

    def on_failing(self, reason: str) -> None:
        """Take note of the first failure after a good time, once the socket is closed.

        Whoever waited for an answer on it has been told by then that none comes.
        """


@attrs.frozen
class Address:
    """Where a link leads.

    Args:
        url: `wss://…`, or `ws://…` for a server on this machine.
        setting: The setting it comes from, for messages.
        about: What tells this link from others in logs.
    """

    url: str
    setting: str
    about: Mapping[str, object]


@attrs.frozen
class Access:
    """What links to the same venue share.

    Args:
        open_wire: Opens a WebSocket.
        attempts: Budget for connection attempts; see `attempts_budget`.
        clock: For durations.
        random: For jitter.
        counters: Where attempts, failures, reconnects, silences and timeouts are counted.
        tls: Certificates to trust; None for the system's.
    """

    open_wire: OpenWire
    attempts: TokenBucket
    clock: Clock
    random: Random
    counters: Counter[str]
    tls: ssl.SSLContext | None = None


def attempts_budget(per_10_minutes: int, clock: Clock) -> TokenBucket:
    """Return a budget for connection attempts, which the venue counts by address."""
    return TokenBucket.per_window(per_10_minutes, _WINDOW_S, lambda: clock.monotonic_ns() / 1e9)


class Link:
    """Keeps one socket up for its owner.

    Args:
        owner: Who uses it.
        address: Where it leads.
        settings: Waits and limits.
        access: What it shares with other links.
    """

    def __init__(
        self, owner: LinkOwner, address: Address, settings: KrakenSettings, access: Access
    ) -> None:
        self._owner = owner
        self._address = address
        self._settings = settings
        self._access = access
        self._counters = access.counters
        self._backoff = Backoff(
            settings.reconnect_s,
            settings.reconnect_max_s,
            access.random,
            quick=settings.reconnect_quick,
            calm_s=settings.reconnect_max_s,
        )
        self._happened = asyncio.Event()
        self._wire: AnyWire | None = None
        self._state: VenueState | None = None
        self._is_greeted = False
        self._is_up = False
        self._has_heartbeats = False
        self._is_failing = False
        self._sent_at = 0.0
        self._received = Counter[str]()

    async def run(self) -> None:
        """Keep a socket up as long as its owner needs one; until cancelled.

        Raises:
            VenueUnavailableError: The venue refuses for good.
            Exception: What the owner raised, unless a new socket may do better.
        """
        while True:
            while not self._owner.is_needed:
                await self._woken()
            await self._until_affordable()
            least_s = 0.0
            try:
                await self._session()
            except ConnectionRefusedByVenueError as refused:
                if refused.is_final:
                    raise self._give_up(refused) from refused
                if refused.status in _TOO_MANY:
                    least_s = self._settings.busy_wait_s
                self._counters["connections_refused"] += 1
                self._say_failing(refused)
            except (LostError, VenueUnavailableError, MessageError) as lost:
                self._say_failing(lost)
            else:
                continue  # Nothing to carry any more; no reason to wait.
            await asyncio.sleep(self._reconnect_wait(least_s))
            self._counters["reconnects"] += 1

    # ── what the owner does ──────────────────────────────────────────────────────────────────────

    @property
    def is_up(self) -> bool:
        """True from the venue's greeting until the socket is lost, or left."""
        return self._is_up

    @property
    def state(self) -> VenueState | None:
        """What the venue said last of its engine, None when it never did."""
        return self._state

    def received(self) -> Counter[str]:
        """Return `frames` and `bytes` received so far, over all sockets there were."""
        wire = self._wire
        return self._received if wire is None else self._received + _received(wire)

    def send(self, message: bytes) -> None:
        """Send one text message.  Ignored when there is no socket."""
        if self._wire is not None:
            self._sent_at = self._now()
            self._wire.send(message)

    def greeted(self, state: VenueState) -> bool:
        """Take what the venue says of its engine; tell whether that was its greeting."""
        self._state = state
        is_greeting = not self._is_greeted
        if is_greeting:
            self._is_greeted = self._is_up = True
        self.wake()
        return is_greeting

    def expect_heartbeats(self) -> None:
        """Take silence for death from now on: with the first subscription heartbeats begin."""
        self._has_heartbeats = True
        self.wake()

    def stands(self) -> None:
        """Take note that all is well, so that the next failure is news again."""
        self._is_failing = False

    def lose(self, reason: str) -> None:
        """Take the socket for lost at once, before whoever uses it notices by itself."""
        if self._is_up:
            self._is_up = False
            self._owner.on_lost(reason)

    def wake(self) -> None:
        """Have everybody who waits look again."""
        self._happened.set()

    async def rest(self, seconds: float | None = None) -> None:
        """Wait until something happens, or the time is over.

        Raises:
            LostError: The socket has ended.
            ConnectionRefusedByVenueError: It has, and the venue wants no other.
            Exception: What one of the owner's callbacks raised.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken()
        self._raise_if_ended()

    async def until(self, has_come: Callable[[], bool], what: str) -> None:
        """Wait for an answer of the venue's, as long as settings allow.

        Raises:
            LostError: It did not come.
            Exception: What `rest` raises.
        """
        timeout_s = self._settings.answer_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                while not has_come():
                    await self.rest()
        except TimeoutError as error:
            self._counters["timeouts"] += 1
            raise LostError(f"no {what} within {timeout_s:g} s") from error

    # ── one socket ───────────────────────────────────────────────────────────────────────────────

    async def _session(self) -> None:
        """Use one socket from the first byte to the last; return when nothing is to be carried."""
        owner, settings = self._owner, self._settings
        self._is_greeted = self._has_heartbeats = False
        await owner.prepare()
        wire = await self._access.open_wire(
            self._address.url,
            owner.on_frame,
            self._on_end,
            max_size=settings.max_frame_mb * 1024 * 1024,
            timeout_s=settings.connect_timeout_s,
            tls=self._access.tls,
            on_buffer=owner.on_buffer,
        )
        self._wire = wire
        self._sent_at = self._now()
        try:
            await self._use()
        except Exception as problem:
            self.lose(str(problem))
            wire.abort()
            raise
        finally:
            self._is_up = False  # Whatever ends from here on was our wish.
            await wire.close(settings.close_timeout_s)
            self._received += _received(wire)
            self._wire = None

    async def _use(self) -> None:
        try:
            await self.until(lambda: self._is_greeted, "status")
            await while_running(self._owner.carry(), self._watch())
        except ConnectionRefusedByVenueError:
            raise
        except (LostError, VenueUnavailableError):
            # Where the socket has ended, its ending says more than what failed because of it.
            self._raise_if_ended()
            raise

    async def _watch(self) -> None:
        """Notice when the socket is dead, and keep it from being closed as idle."""
        settings = self._settings
        while True:
            wire, now = self._wire, self._now()
            assert wire is not None
            silent_s, ping_in_s = wire.silent_s, self._sent_at + settings.ping_s - now
            # Until heartbeats are due, whatever is waited for has a limit of its own.
            rest_s = settings.silence_s - silent_s if self._has_heartbeats else settings.silence_s
            if rest_s <= 0:
                self._counters["silences"] += 1
                raise LostError(f"no frame for {silent_s:.1f} s, not even a heartbeat")
            if ping_in_s <= 0:
                self._owner.ping()
                ping_in_s = settings.ping_s
            await self.rest(max(_SHORTEST_REST_S, min(rest_s, ping_in_s)))

    def _on_end(self, ending: Ending) -> None:
        try:
            self.lose(_words(ending))
        finally:
            self.wake()

    def _raise_if_ended(self) -> None:
        wire = self._wire
        assert wire is not None
        if wire.failure is not None:
            raise wire.failure
        if not wire.ended.done():
            return
        ending = wire.ended.result()
        if ending.code == _POLICY_VIOLATION:
            raise ConnectionRefusedByVenueError(
                f"kraken: {_words(ending)}, a violation of the venue's policy", is_final=True
            )
        raise LostError(_words(ending))

    async def _woken(self) -> None:
        # Cleared after the wait: what happens while somebody looks is seen by the next wait, and
        # whoever waits at the same time has been woken already.
        await self._happened.wait()
        self._happened.clear()

    # ── between two sockets ──────────────────────────────────────────────────────────────────────

    async def _until_affordable(self) -> None:
        wait_s = self._access.attempts.take()
        if wait_s > 0:
            self._counters["attempts_delayed"] += 1
            about = self._address.about
            log.warning("kraken.attempts_used_up", **about, wait_s=round(wait_s, 1))
            await asyncio.sleep(wait_s)
        self._counters["connection_attempts"] += 1

    def _reconnect_wait(self, least_s: float) -> float:
        if self._state is VenueState.MAINTENANCE:
            least_s = max(least_s, self._settings.maintenance_wait_s)
        # Spread upwards, so that the least stays the least.
        least_s *= self._access.random.uniform(1.0, 1.5)
        return max(self._backoff.next(self._now()), least_s)

    def _say_failing(self, problem: Exception) -> None:
        """Say the first failure after a good time; the rest is counted."""
        self._counters["connection_failures"] += 1
        if not self._is_failing:
            self._is_failing = True
            log.warning("kraken.connection_lost", **self._address.about, reason=str(problem))
            self._owner.on_failing(str(problem))

    def _give_up(self, refused: ConnectionRefusedByVenueError) -> VenueUnavailableError:
        setting, url = self._address.setting, self._address.url
        return VenueUnavailableError(
            f"{refused}; not trying again.  Check {setting} ({url}), and that this network may use "
            "Kraken's API, then start again"
        )

    def _now(self) -> float:
        return self._access.clock.monotonic_ns() / 1e9


def _received(wire: AnyWire) -> Counter[str]:
    return Counter(frames=wire.frames, bytes=wire.bytes)


def _words(ending: Ending) -> str:
    return f"connection closed ({ending.code} {ending.reason})"
