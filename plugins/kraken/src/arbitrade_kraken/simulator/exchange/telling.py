"""How the exchange tells what happens: events to whoever listens, books to whoever watches them."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from arbitrade.models import Level
from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.book import MatchingBook
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.events import BookChanged, ExchangeEvent
from arbitrade_kraken.simulator.exchange.faults import Faults

type ExchangeListener = Callable[[ExchangeEvent], None]


class Teller:
    """Tells events in the order they happen, while the call that causes them still runs.

    Args:
        books: By symbol; filled before the first change is told.
        settings: Their seed shuffles the entries of book messages.
        duplicate_share: How often a message names one price twice.
    """

    def __init__(
        self,
        books: Mapping[str, MatchingBook],
        clock: Clock,
        faults: Faults,
        settings: ExchangeSettings,
        duplicate_share: float,
    ) -> None:
        self._books = books
        self._clock = clock
        self._faults = faults
        self._removals_first = settings.removals_first
        self._duplicate_share = duplicate_share
        self._rng = Random(f"{settings.seed} wire")  # noqa: S311 - no secrets
        self._listeners: tuple[ExchangeListener, ...] = ()
        self._touched: dict[str, None] = {}

    def listen(self, listener: ExchangeListener) -> Callable[[], None]:
        """Call `listener` with every event, synchronously; return what ends that."""
        self._listeners = (*self._listeners, listener)

        def end() -> None:
            self._listeners = tuple(kept for kept in self._listeners if kept is not listener)

        return end

    def emit(self, event: ExchangeEvent) -> None:
        """Tell everybody of an event, now."""
        for listener in self._listeners:
            listener(event)

    def touch(self, symbol: str) -> None:
        """Note that a request may have changed a book, to be told when the request is done.

        A message tells what one request did to a book, not each of its fills.
        """
        self._touched[symbol] = None

    def tell_touched(self) -> None:
        """Tell of the books touched since the last call, in the order they were touched."""
        symbols = tuple(self._touched)
        self._touched.clear()
        for symbol in symbols:
            self.tell(self._books[symbol])

    def tell(self, book: MatchingBook) -> None:
        """Tell subscribers of every depth what changed in a book; settle it."""
        if not book.has_changed:
            return
        bids, asks = book.bids, book.asks
        # All depths are compared before the book settles, because settling forgets the changes.
        told = [(depth, bids.changes(depth), asks.changes(depth)) for depth in book.watchers]
        book.settle()
        book.time_ns = now = self._clock.now_ns()
        if not told:
            return
        checksum = book.checksum()
        for depth, bid_changes, ask_changes in told:
            # What happened lies below this window; the venue says nothing of it.
            if not (bid_changes or ask_changes):
                continue
            self._disorder(bid_changes)
            self._disorder(ask_changes)
            shown = checksum
            if not self._faults.is_quiet and self._faults.take(
                "corrupt_checksum", symbol=book.symbol, channel="book"
            ):
                shown ^= 1
            self.emit(BookChanged(book.symbol, depth, bid_changes, ask_changes, shown, now))

    def _disorder(self, levels: list[Level]) -> None:
        """Leave entries in no order but removals first; now and then name a price twice.

        Of a price named twice the later entry counts.  Nothing promises that removals come first,
        but every recorded message has it so, and a client that cuts its book after each entry
        loses a level otherwise.
        """
        if not levels:
            return
        random = self._rng.random
        if len(levels) > 1:
            for last in range(len(levels) - 1, 0, -1):
                other = int(random() * (last + 1))
                levels[last], levels[other] = levels[other], levels[last]
            if self._removals_first:
                levels.sort(key=_is_set)
        if random() < self._duplicate_share:
            ticks, lots = levels[-1]
            first = self._count_removals(levels) if lots else 0
            levels.insert(first, (ticks, 0 if random() < 0.3 else lots + 7))

    def _count_removals(self, levels: Sequence[Level]) -> int:
        """Return where the first entry may stand that is no removal."""
        return sum(not lots for _, lots in levels) if self._removals_first else 0


def _is_set(level: Level) -> bool:
    return level[1] > 0
