"""A venue that is only a list of events, for testing what stands behind a decoder."""

from collections import Counter
from collections.abc import Callable, Collection
from zlib import crc32

from arbitrade.book import OrderBook
from arbitrade.errors import MessageError
from arbitrade.models import (
    BookDelta,
    Instruments,
    InstrumentsChanged,
    MarketEvent,
    Subscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.protocols import Feed, FeedHandler


class EventVenue:
    """Frames are numbers of events: `frame(event)` makes one, decoders give the event back."""

    name = "events"

    def __init__(self) -> None:
        self._events: list[MarketEvent | None] = []

    def frame(self, event: MarketEvent | None) -> bytes:
        """Return a frame the decoders of this venue turn into `event`."""
        self._events.append(event)
        return b"%d" % (len(self._events) - 1)

    max_lag_s: float | None = None

    def make_decoder(self) -> "EventDecoder":
        """Return a fresh decoder."""
        return EventDecoder(self._events)

    def checksum(self, book: OrderBook) -> int:
        """Return the CRC-32 of the digits of the best ten asks, then bids."""
        return crc32(book.bids.digits(), crc32(book.asks.digits()))

    def make_feed(
        self, choose: Callable[[Instruments], Collection[str]], handler: FeedHandler
    ) -> Feed:
        """There is no live market data here."""
        raise NotImplementedError("events have no feed; hand their frames to the engine")

    def read_instruments(self, content: bytes) -> InstrumentsChanged:
        """Return the instruments of a frame."""
        event = self.make_decoder().decode(content)
        if isinstance(event, InstrumentsChanged):
            return event
        raise MessageError("events: not an instruments frame")

    def encode_instruments(self, instruments: Instruments) -> bytes:
        """Return a frame of these instruments."""
        pairs, assets = tuple(instruments.values()), tuple(instruments.assets.values())
        return self.frame(InstrumentsChanged(True, pairs, assets))

    def encode_snapshot(self, book: OrderBook, timestamp: str | None) -> bytes:
        """Return a frame of this book."""
        checksum = self.checksum(book)
        return self.frame(
            BookDelta(book.symbol, True, list(book.bids), list(book.asks), checksum, timestamp)
        )

    def encode_subscribed(self, symbol: str, depth: int) -> bytes:
        """Return a frame of a subscription."""
        return self.frame(Subscribed(symbol, depth))

    def encode_state(self, state: VenueState) -> bytes:
        """Return a frame of an engine state."""
        return self.frame(VenueStateChanged(state))

    def snapshot_depth(self, levels: int) -> int:
        """Return ten, or as many levels as there are."""
        return max(10, levels)


class EventDecoder:
    """Looks events up by their number."""

    def __init__(self, events: list[MarketEvent | None]) -> None:
        self._events = events
        self.counters: Counter[str] = Counter()

    def decode(self, frame: bytes) -> MarketEvent | None:
        """Return the event with this number.

        Raises:
            MessageError: There is none.
        """
        try:
            return self._events[int(frame)]
        except (ValueError, IndexError) as error:
            raise MessageError(f"events: no event {frame!r}") from error

    def learn(self, change: InstrumentsChanged) -> None:
        """Nothing depends on instruments here."""
