"""One connection of the feed: what to subscribe on its socket, and what a frame means.

The socket is kept up by `arbitrade_kraken.wire.link`.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection
from itertools import count
from math import inf

import attrs
import structlog

from arbitrade.errors import MessageError
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
from arbitrade.protocols import BufferHandler, FeedHandler
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.config import KrakenSettings
from arbitrade_kraken.market import requests
from arbitrade_kraken.market.subscriptions import AnswerEffect, Step, Subscriptions
from arbitrade_kraken.token_bucket import TokenBucket
from arbitrade_kraken.wire.link import Access, Address, Link, LostError
from arbitrade_kraken.wire.opening import OnBuffer, raise_if_wrong_host

log = structlog.stdlib.get_logger(__name__)

_REQUEST_BURST = 10.0
_SYMBOL = re.compile(rb'"symbol"\s*:\s*"([^"\\]+)"')


@attrs.frozen(eq=False)
class Shared:
    """What the connections of one feed have in common.

    Args:
        settings: Limits, waits, address.
        depth: Levels a side.
        handler: Who gets the frames.
        access: How sockets are opened, and what was counted.
        on_instruments: Takes what the venue says about its pairs.
    """

    settings: KrakenSettings
    depth: int
    handler: FeedHandler
    access: Access
    on_instruments: Callable[[InstrumentsChanged], None]
    _ids: "count[int]" = attrs.field(factory=lambda: count(1))

    def now(self) -> float:
        """Return seconds that never go back."""
        return self.access.clock.monotonic_ns() / 1e9

    def next_id(self) -> int:
        """Return a request id that no connection used before."""
        return next(self._ids)


class MarketConnection:
    """Owns one link and the books on it; see `LinkOwner` for what the link calls.

    Args:
        number: Which of the feed's connections; 0 carries the instruments as well.
        shared: What the connections have in common.
    """

    def __init__(self, number: int, shared: Shared) -> None:
        settings = shared.settings
        self.number = number
        self._shared = shared
        self._counters = shared.access.counters
        self._handler = handler = shared.handler
        # Asked once: such a protocol takes longer to check than most frames.
        self._take = handler.on_buffer if isinstance(handler, BufferHandler) else None
        self.on_buffer: OnBuffer | None = None if self._take is None else self._on_buffer
        self._has_instruments = False
        self._instruments_request = 0
        self._requests = TokenBucket(_REQUEST_BURST, settings.requests_per_s, shared.now)
        self._link = Link(
            self,
            Address(settings.ws_url, "kraken.ws_url", {"connection": number}),
            settings,
            shared.access,
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
        self._link.wake()

    def drop(self, symbols: Collection[str]) -> None:
        """Carry these books no longer."""
        self.books.drop(symbols, self._shared.now())
        self._link.wake()

    def resync(self, symbol: str) -> None:
        """Get a fresh snapshot of one book, unless that is under way."""
        if self.books.restart(symbol, self._shared.now()):
            self._counters["resyncs"] += 1
            self._link.wake()

    @property
    def is_up(self) -> bool:
        """True from the venue's greeting until the socket is lost or given up."""
        return self._link.is_up

    def received(self) -> Counter[str]:
        """Return frames and bytes received so far, over all sockets this connection had."""
        return self._link.received()

    async def run(self) -> None:
        """Keep a socket up as long as there is something to carry; until cancelled.

        Raises:
            VenueUnavailableError: The venue refuses for good.
        """
        await self._link.run()

    # ── one socket ───────────────────────────────────────────────────────────────────────────────

    @property
    def is_needed(self) -> bool:
        """False without books: the venue would close a socket that carries nothing."""
        return self.number == 0 or not self.books.is_idle

    async def prepare(self) -> None:
        """Start over: the instruments have to come again."""
        self._has_instruments = False

    async def carry(self) -> None:
        """Subscribe the instruments, then send what is due as long as there are books."""
        if self.number == 0:
            self._instruments_request = self._shared.next_id()
            self._send(requests.subscribe_instruments(self._instruments_request))
            await self._link.until(lambda: self._has_instruments, "instruments")
        self._link.expect_heartbeats()
        self.books.reset()
        self._link.stands()
        log.info("kraken.connected", connection=self.number, books=len(self.books))
        while self.is_needed:
            if self.books.is_stuck:
                raise LostError("the venue answers no request")
            now = self._shared.now()
            for request in self.books.due_requests(now, self._requests.available()):
                self._requests.take()
                self._send(request)
            await self._link.rest(self._rest_s(now))

    def ping(self) -> None:
        """Send a ping, and tell the handler as of everything we send."""
        self._send(requests.ping(self._shared.next_id()))

    def on_lost(self, reason: str) -> None:
        """Tell the handler, once a socket, that no book on it can be trusted any more."""
        self._handler.on_event(self.number, ConnectionLost(self.books.symbols, reason))

    def on_failing(self, reason: str) -> None:
        """Do nothing: that books are void was told at once, and more there is not to know."""

    def _rest_s(self, now: float) -> float | None:
        """Return how long no request has to go out unless something happens; None for ever."""
        due_s = self.books.next_due() - now
        if due_s == inf:
            return None
        # What is due already waits because the venue wants requests paced.
        return max(0.001, due_s if due_s > 0 else self._requests.next_in())

    def _send(self, request: bytes) -> None:
        self._link.send(request)
        self._handler.on_sent(self.number, request)

    # ── what the venue says ──────────────────────────────────────────────────────────────────────

    def on_frame(self, frame: bytes) -> None:
        """Give a frame to the handler, and see what it means for the subscriptions."""
        try:
            event = self._handler.on_frame(self.number, frame)
        except MessageError as error:
            self._counters["bad_frames"] += 1
            self._link.lose(str(error))
            raise
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
        self._link.wake()

    def _on_refused(self, refusal: RequestRefused) -> None:
        if refusal.request_id == self._instruments_request and not self._has_instruments:
            raise_if_wrong_host(refusal.reason)
            raise LostError(f"instruments refused: {refusal.reason}")
        effect = self.books.on_answer(refusal, self._shared.now())
        self._counters[_REFUSALS.get(effect, "answers_unexpected")] += 1
        if effect in _REFUSALS:
            log.warning(
                "kraken.request_refused",
                connection=self.number,
                pair=refusal.symbol,
                method=refusal.method,
                reason=refusal.reason,
                is_final=effect is AnswerEffect.REFUSED,
            )

    def _on_state(self, state: VenueState) -> None:
        before = self._link.state
        is_greeting = self._link.greeted(state)
        if not is_greeting and state is VenueState.ONLINE and before is not VenueState.ONLINE:
            # The market was halted and is open again: go on from fresh snapshots only.
            for symbol in self.books.symbols:
                if self.books.step(symbol) is Step.LIVE:
                    self.resync(symbol)

    def _make_book_backoff(self) -> Backoff:
        settings = self._shared.settings
        return Backoff(
            settings.resync_s,
            settings.resync_max_s,
            self._shared.access.random,
            calm_s=settings.resync_max_s,
        )


_REFUSALS = {
    AnswerEffect.REFUSED: "books_refused",
    AnswerEffect.REFUSED_FOR_NOW: "refused_for_now",
}
