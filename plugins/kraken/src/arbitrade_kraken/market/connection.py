"""One socket of the feed: connect, subscribe, watch, and come back when it is lost."""

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import count
from random import Random

import attrs
import structlog

from arbitrade.errors import MessageError, VenueUnavailableError
from arbitrade.models import (
    Batch,
    BookDelta,
    ConnectionLost,
    InstrumentsChanged,
    MarketEvent,
    RequestRefused,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.protocols import BufferHandler, Clock, FeedHandler
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.config import KrakenSettings
from arbitrade_kraken.market import requests
from arbitrade_kraken.market.subscriptions import AnswerEffect, Step, Subscriptions
from arbitrade_kraken.token_bucket import TokenBucket
from arbitrade_kraken.wire.opening import AnyWire, ConnectionRefusedByVenueError, Ending, OpenWire
from arbitrade_kraken.wire.plain import open_wire

log = structlog.stdlib.get_logger(__name__)

_POLICY_VIOLATION = 1008
_TOO_MANY = frozenset({429, 503})
_WRONG_HOST = "unavailable on this endpoint"
_REQUEST_BURST = 10.0
_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"\\]+)"')


@attrs.define(eq=False)
class Shared:
    """What the connections of one feed have in common.

    Args:
        settings: Limits, waits, address.
        depth: Levels a side.
        handler: Who gets the frames.
        clock: For durations.
        random: For jitter.
        attempts: Budget for connection attempts: the venue counts them by address.
        on_instruments: Takes what the venue says about its pairs.
        open_wire: Opens a WebSocket.
        tls: Certificates to trust; None for the system's.
    """

    settings: KrakenSettings
    depth: int
    handler: FeedHandler
    clock: Clock
    random: Random
    attempts: TokenBucket
    on_instruments: Callable[[InstrumentsChanged], None]
    open_wire: OpenWire = open_wire
    tls: ssl.SSLContext | None = None
    counters: Counter[str] = attrs.field(factory=Counter)
    _ids: "count[int]" = attrs.field(factory=lambda: count(1))

    def now(self) -> float:
        """Return seconds that never go back."""
        return self.clock.monotonic_ns() / 1e9

    def next_id(self) -> int:
        """Return a request id that no connection used before."""
        return next(self._ids)


class Connection:
    """Owns one socket and the books on it.

    Args:
        number: Which of the feed's connections; 0 carries the instruments as well.
        shared: What the connections have in common.
    """

    def __init__(self, number: int, shared: Shared) -> None:
        settings = shared.settings
        self.number = number
        self._shared = shared
        self._settings = settings
        self._counters = shared.counters
        self._handler = handler = shared.handler
        # Asked once: such a protocol takes longer to check than most frames.
        self._take = handler.on_buffer if isinstance(handler, BufferHandler) else None
        self._wake = asyncio.Event()
        self._wire: AnyWire | None = None
        self._state: VenueState | None = None
        self._is_greeted = False
        self._has_instruments = False
        self._is_voided = True
        self._is_failing = False
        self._instruments_request = 0
        self._sent_at = 0.0
        self._received = Counter[str]()
        self._requests = TokenBucket(_REQUEST_BURST, settings.requests_per_s, shared.now)
        self._backoff = Backoff(
            settings.reconnect_s,
            settings.reconnect_max_s,
            shared.random,
            quick=settings.reconnect_quick,
            calm_s=settings.reconnect_max_s,
        )
        self.books = Subscriptions(
            shared.depth,
            settings.symbols_per_request,
            settings.answer_timeout_s,
            self._make_book_backoff,
            shared.next_id,
        )

    # ── what the feed asks ───────────────────────────────────────────────────────────────────────

    def want(self, symbols: Collection[str]) -> None:
        """Carry these books too."""
        self.books.want(symbols)
        self._wake.set()

    def drop(self, symbols: Collection[str]) -> None:
        """Carry these books no longer."""
        self.books.drop(symbols, self._shared.now())
        self._wake.set()

    def resync(self, symbol: str) -> None:
        """Get a fresh snapshot of one book, unless that is under way."""
        if self.books.restart(symbol, self._shared.now()):
            self._counters["resyncs"] += 1
            self._wake.set()

    @property
    def is_up(self) -> bool:
        """True from the venue's greeting until the socket is lost or given up."""
        return not self._is_voided

    def received(self) -> Counter[str]:
        """Return frames and bytes received so far, over all sockets this connection had."""
        wire = self._wire
        if wire is None:
            return self._received
        return self._received + Counter(frames=wire.frames, bytes=wire.bytes)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Keep a socket up as long as there is something to carry; until cancelled.

        Raises:
            VenueUnavailableError: The venue refuses for good.
        """
        while True:
            await self._until_needed()
            await self._until_affordable()
            self._counters["connection_attempts"] += 1
            least_s = 0.0
            try:
                await self._session()
            except _LostError as lost:
                self._say_failing(str(lost))
            except ConnectionRefusedByVenueError as refused:
                if refused.is_final:
                    raise self._give_up(str(refused)) from refused
                if refused.status in _TOO_MANY:
                    least_s = self._settings.busy_wait_s
                self._counters["connections_refused"] += 1
                self._say_failing(str(refused))
            except VenueUnavailableError as unavailable:
                self._say_failing(str(unavailable))
            else:
                continue  # Nothing to carry any more; no reason to wait.
            await asyncio.sleep(self._reconnect_wait(least_s))
            self._counters["reconnects"] += 1

    async def _until_needed(self) -> None:
        """A socket that carries nothing would be closed by the venue: don't open one."""
        while self._is_idle:
            self._wake.clear()
            await self._wake.wait()

    async def _until_affordable(self) -> None:
        wait_s = self._shared.attempts.take()
        if wait_s > 0:
            self._counters["attempts_delayed"] += 1
            log.warning("kraken.attempts_used_up", connection=self.number, wait_s=round(wait_s, 1))
            await asyncio.sleep(wait_s)

    @property
    def _is_idle(self) -> bool:
        return self.number != 0 and self.books.is_idle

    def _reconnect_wait(self, least_s: float) -> float:
        if self._state is VenueState.MAINTENANCE:
            least_s = max(least_s, self._settings.maintenance_wait_s)
        # Spread upwards, so that the least stays the least.
        least_s *= self._shared.random.uniform(1.0, 1.5)
        return max(self._backoff.next(self._shared.now()), least_s)

    def _say_failing(self, reason: str) -> None:
        """Log the first failure after a good time; the rest is counted."""
        self._counters["connection_failures"] += 1
        if not self._is_failing:
            self._is_failing = True
            log.warning("kraken.connection_lost", connection=self.number, reason=reason)

    def _give_up(self, reason: str) -> VenueUnavailableError:
        return VenueUnavailableError(
            f"{reason}; not trying again.  Check kraken.ws_url ({self._settings.ws_url}), and that "
            "this network may use Kraken's API, then start again"
        )

    # ── one socket ───────────────────────────────────────────────────────────────────────────────

    async def _session(self) -> None:
        """Use one socket from the first byte to the last; return when there is nothing to carry."""
        settings = self._settings
        self._is_greeted = self._has_instruments = False
        wire = await self._shared.open_wire(
            settings.ws_url,
            self._on_frame,
            self._on_end,
            max_size=settings.max_frame_mb * 1024 * 1024,
            timeout_s=settings.connect_timeout_s,
            tls=self._shared.tls,
            on_buffer=None if self._take is None else self._on_buffer,
        )
        self._wire = wire
        self._sent_at = self._shared.now()
        try:
            await self._answered(wire, lambda: self._is_greeted, "status")
            if self.number == 0:
                await self._subscribe_instruments(wire)
            self.books.reset()
            self._is_failing = False
            log.info("kraken.connected", connection=self.number, books=len(self.books))
            await self._carry(wire)
        except Exception as error:
            self._void(str(error))
            wire.abort()
            raise
        finally:
            self._is_voided = True  # Whatever ends from here on was our wish.
            await wire.close(settings.close_timeout_s)
            self._received += Counter(frames=wire.frames, bytes=wire.bytes)
            self._wire = None

    async def _subscribe_instruments(self, wire: AnyWire) -> None:
        self._instruments_request = self._shared.next_id()
        self._send(wire, requests.subscribe_instruments(self._instruments_request))
        await self._answered(wire, lambda: self._has_instruments, "instruments")

    async def _answered(self, wire: AnyWire, has_come: Callable[[], bool], what: str) -> None:
        timeout_s = self._settings.answer_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                while not has_come():
                    self._raise_if_ended(wire)
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError as error:
            self._counters["timeouts"] += 1
            raise _LostError(f"no {what} within {timeout_s:g} s") from error

    async def _carry(self, wire: AnyWire) -> None:
        """Send what is due, watch for silence; until the socket ends or carries nothing."""
        while True:
            self._wake.clear()
            self._raise_if_ended(wire)
            if self._is_idle:
                return
            self._raise_if_silent(wire)
            now = self._shared.now()
            for request in self.books.due_requests(now, self._requests.available()):
                self._requests.take()
                self._send(wire, request)
            if now - self._sent_at >= self._settings.ping_s:
                self._send(wire, requests.ping(self._shared.next_id()))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s(wire, now)):
                    await self._wake.wait()

    def _rest_s(self, wire: AnyWire, now: float) -> float:
        """Return how long nothing has to be done unless something happens."""
        book_s = self.books.next_due() - now
        if book_s <= 0:
            book_s = self._requests.next_in()  # Due, but the venue wants requests paced.
        return max(
            0.001,
            min(
                book_s,
                self._settings.silence_s - wire.silent_s,
                self._sent_at + self._settings.ping_s - now,
            ),
        )

    def _raise_if_silent(self, wire: AnyWire) -> None:
        silent_s = wire.silent_s
        if silent_s >= self._settings.silence_s:
            self._counters["silences"] += 1
            raise _LostError(f"no frame for {silent_s:.1f} s, not even a heartbeat")
        if self.books.is_stuck:
            raise _LostError("the venue answers no request")

    def _raise_if_ended(self, wire: AnyWire) -> None:
        if wire.failure is not None:
            raise wire.failure
        if not wire.ended.done():
            return
        ending = wire.ended.result()
        if ending.code == _POLICY_VIOLATION:
            raise ConnectionRefusedByVenueError(
                f"kraken: {_words(ending)}, a violation of the venue's policy", is_final=True
            )
        raise _LostError(_words(ending))

    def _send(self, wire: AnyWire, request: bytes) -> None:
        self._sent_at = self._shared.now()
        wire.send(request)
        self._handler.on_sent(self.number, request)

    # ── what the venue says ──────────────────────────────────────────────────────────────────────

    def _on_frame(self, frame: bytes) -> None:
        try:
            event = self._handler.on_frame(self.number, frame)
        except MessageError as error:
            self._counters["bad_frames"] += 1
            self._void(str(error))
            raise _LostError(str(error)) from error
        if event is not None:
            self._on_event(event)
        elif self.books.snapshots_due and b'"snapshot"' in frame:
            # The handler keeps book frames for itself.  That a snapshot came shows without decoding
            # it; whether it was good shows in nobody having asked for another one meanwhile.
            for symbol in _SYMBOL.findall(frame):
                self.books.on_snapshot(symbol.decode(), self._shared.now())

    def _on_buffer(self, buffer: bytearray, begin: int, end: int) -> tuple[int, int]:
        if self.books.snapshots_due:
            return begin, 0  # We have to see the snapshots that are due.
        assert self._take is not None
        return self._take(self.number, buffer, begin, end)

    def _on_event(self, event: MarketEvent) -> None:
        match event:
            case Subscribed() | Unsubscribed():
                if self.books.on_answer(event, self._shared.now()) is AnswerEffect.UNKNOWN:
                    self._counters["answers_unexpected"] += 1
            case RequestRefused():
                self._on_refused(event)
            case Batch():
                for one in event.events:
                    self._on_event(one)
                return
            case BookDelta():
                if event.is_snapshot:
                    self.books.on_snapshot(event.symbol, self._shared.now())
                return
            case InstrumentsChanged():
                self._has_instruments = self._has_instruments or event.is_snapshot
                self._shared.on_instruments(event)
            case VenueStateChanged():
                self._on_state(event.state)
            case _:
                return
        self._wake.set()

    def _on_refused(self, refusal: RequestRefused) -> None:
        if refusal.request_id == self._instruments_request and not self._has_instruments:
            if _WRONG_HOST in refusal.reason:
                raise ConnectionRefusedByVenueError(f"kraken: {refusal.reason}", is_final=True)
            raise _LostError(f"instruments refused: {refusal.reason}")
        outcome = self.books.on_answer(refusal, self._shared.now())
        self._counters[_REFUSALS.get(outcome, "answers_unexpected")] += 1
        if outcome in _REFUSALS:
            log.warning(
                "kraken.request_refused",
                connection=self.number,
                pair=refusal.symbol,
                method=refusal.method,
                reason=refusal.reason,
                is_final=outcome is AnswerEffect.REFUSED,
            )

    def _on_state(self, state: VenueState) -> None:
        before, self._state = self._state, state
        if not self._is_greeted:
            self._is_greeted = True
            self._is_voided = False
        elif state is VenueState.ONLINE and before is not VenueState.ONLINE:
            # The market was halted and is open again: go on from fresh snapshots only.
            for symbol in self.books.symbols:
                if self.books.step(symbol) is Step.LIVE:
                    self.resync(symbol)

    def _on_end(self, ending: Ending) -> None:
        try:
            self._void(_words(ending))
        finally:
            self._wake.set()

    def _void(self, reason: str) -> None:
        """Tell the handler, once a socket, that no book on it can be trusted any more."""
        if not self._is_voided:
            self._is_voided = True
            lost = ConnectionLost(self.books.symbols, reason)
            self._handler.on_event(self.number, lost)

    def _make_book_backoff(self) -> Backoff:
        settings = self._settings
        return Backoff(
            settings.resync_s,
            settings.resync_max_s,
            self._shared.random,
            calm_s=settings.resync_max_s,
        )


def _words(ending: Ending) -> str:
    return f"connection closed ({ending.code} {ending.reason})"


class _LostError(Exception):
    """A socket of no use any more; the message says why."""


_REFUSALS = {
    AnswerEffect.REFUSED: "books_refused",
    AnswerEffect.REFUSED_FOR_NOW: "refused_for_now",
}
