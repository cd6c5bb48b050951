"""Kraken's live market data: instruments, and the books somebody chose, over some sockets."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from random import Random, SystemRandom

import structlog

from arbitrade import SystemClock
from arbitrade.errors import UsageError
from arbitrade.models import Instruments, InstrumentsChanged
from arbitrade.protocols import Clock, FeedHandler
from arbitrade_kraken.config import DEPTHS, KrakenSettings
from arbitrade_kraken.market.connection import MarketConnection, Shared
from arbitrade_kraken.market.subscriptions import Step
from arbitrade_kraken.together import together
from arbitrade_kraken.wire.choosing import choose_transport
from arbitrade_kraken.wire.link import Access, attempts_budget

log = structlog.stdlib.get_logger(__name__)

_COUNTED = (
    "connection_attempts",
    "attempts_delayed",
    "connection_failures",
    "connections_refused",
    "reconnects",
    "silences",
    "timeouts",
    "bad_frames",
    "resyncs",
    "books_refused",
    "refused_for_now",
    "answers_unexpected",
)


class KrakenFeed:
    """Delivers frames to a handler until cancelled; see `arbitrade.protocols.Feed`.

    Connection 0 carries the `instrument` channel and its share of the books, the others books only.
    A pair stays on the connection it was first put on.

    Args:
        settings: Section `kraken`.
        choose: Picks symbols once the instruments are known, and again whenever they change.
        handler: Gets each frame as it is read.
        depth: Levels a side: 10, 25, 100, 500 or 1000.
        clock: For durations.
        random: For the jitter of waits.
        tls: Certificates to trust; None for the system's.

    Raises:
        UsageError: No such depth.
        ConfigError: The transport that was asked for is not installed.
    """

    def __init__(
        self,
        settings: KrakenSettings,
        choose: Callable[[Instruments], Collection[str]],
        handler: FeedHandler,
        depth: int,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if depth not in DEPTHS:
            raise UsageError(f"kraken: no books of depth {depth}; choose one of {DEPTHS}")
        clock = clock if clock is not None else SystemClock()
        self._choose = choose
        self._instruments = Instruments()
        self._changed = asyncio.Event()
        self._places: dict[str, MarketConnection] = {}
        self._chosen: frozenset[str] = frozenset()
        self._counters: Counter[str] = Counter()
        access = Access(
            open_wire=choose_transport(settings.transport),
            attempts=attempts_budget(settings.connection_attempts_per_10_minutes, clock),
            clock=clock,
            random=random if random is not None else SystemRandom(),
            counters=self._counters,
            tls=tls,
        )
        shared = Shared(settings, depth, handler, access, self._on_instruments)
        self._connections = tuple(
            MarketConnection(number, shared) for number in range(settings.connections)
        )

    async def run(self) -> None:
        """Connect, subscribe and deliver until cancelled; reconnects by itself.

        Raises:
            VenueUnavailableError: The venue refuses for good; the message says what to do.
        """
        await together(
            *(connection.run() for connection in self._connections), self._follow_instruments()
        )

    def resync(self, symbol: str) -> None:
        """Ask for a fresh snapshot of one book; the others go on.

        The first time at once, then with exponential backoff; ignored while one is under way.
        """
        connection = self._places.get(symbol)
        if connection is not None:
            connection.resync(symbol)

    def statistics(self) -> Mapping[str, int]:
        """Return counters, and how many connections and books are up now."""
        received: Counter[str] = Counter()
        books = 0
        recovered, total_s, most_s, live = 0, 0.0, 0.0, 0
        for connection in self._connections:
            received += connection.received()
            number, seconds, most = connection.books.recoveries_s
            recovered, total_s, most_s = recovered + number, total_s + seconds, max(most_s, most)
            steps = Counter(connection.books.step(symbol) for symbol in connection.books.symbols)
            books += steps.total()
            if connection.is_up:
                live += steps[Step.LIVE]
        return {
            **dict.fromkeys(_COUNTED, 0),
            **self._counters,
            "connections": sum(connection.is_up for connection in self._connections),
            "frames": received["frames"],
            "bytes": received["bytes"],
            "books": books,
            "books_live": live,
            "books_recovered": recovered,
            "recovery_ms_mean": round(1000 * total_s / recovered) if recovered else 0,
            "recovery_ms_most": round(1000 * most_s),
            "books_unanswered": sum(c.books.unanswered for c in self._connections),
        }

    def _on_instruments(self, change: InstrumentsChanged) -> None:
        before = self._instruments
        base = Instruments() if change.is_snapshot else before
        self._instruments = base.merged(change.pairs, change.assets)
        for pair in change.pairs:
            was = before.get(pair.symbol)
            if was is None or was == pair:
                continue
            is_rescaled = (pair.price_precision, pair.quantity_precision) != (
                was.price_precision,
                was.quantity_precision,
            )
            if is_rescaled or (pair.is_online and not was.is_online):
                self.resync(pair.symbol)
        if change.is_snapshot or change.pairs:
            self._changed.set()

    async def _follow_instruments(self) -> None:
        """Choose books, now and whenever the instruments change; not between two reads."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._assign(frozenset(chosen := self._choose(self._instruments)), chosen)

    def _assign(self, wanted: frozenset[str], in_order: Collection[str]) -> None:
        """Put each new book on the connection with the fewest, and let go what nobody wants."""
        if wanted == self._chosen:
            return
        load = Counter(self._places[symbol].number for symbol in self._chosen & wanted)
        new: dict[MarketConnection, list[str]] = {}
        for symbol in in_order:
            if symbol in self._chosen:
                continue
            # Once placed, always there: two sockets must never speak about the same book.
            place = self._places.setdefault(
                symbol, min(self._connections, key=lambda c: load[c.number])
            )
            load[place.number] += 1
            new.setdefault(place, []).append(symbol)
        gone: dict[MarketConnection, list[str]] = {}
        for symbol in self._chosen - wanted:
            gone.setdefault(self._places[symbol], []).append(symbol)
        self._chosen = wanted
        for connection, symbols in gone.items():
            connection.drop(symbols)
        for connection, symbols in new.items():
            connection.want(symbols)
        log.info("kraken.books_chosen", books=len(wanted))
