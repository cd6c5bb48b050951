"""Frames for venues that have none of their own: a file, a client library, a REST answer.

A recording is made of frames, and so is everything a decoder takes.  A venue whose socket brings
bytes hands on those; any other writes each event down with `encode`, and need only bring a name and
a feed:

    @attrs.frozen
    class CsvVenue(PlainVenue):
        name = "csv"

        def make_feed(self, choose, handler):
            return CsvFeed(choose, handler)  # calls handler.on_frame(0, encode(event))
"""

from collections import Counter
from zlib import crc32

import orjson

from arbitrade.book import OrderBook
from arbitrade.errors import MessageError
from arbitrade.models import (
    BookDelta,
    Instruments,
    InstrumentsChanged,
    MarketEvent,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
    from_json,
    to_json,
)

__all__ = ["PlainDecoder", "PlainVenue", "encode"]

type PlainEvent = BookDelta | InstrumentsChanged | Subscribed | Unsubscribed | VenueStateChanged
"""What a feed brings; everything else comes without a frame."""

_KINDS: dict[str, type[PlainEvent]] = {
    cls.__name__: cls
    for cls in (BookDelta, InstrumentsChanged, Subscribed, Unsubscribed, VenueStateChanged)
}


def encode(event: PlainEvent) -> bytes:
    """Return a frame, a line of JSON, that `PlainDecoder` reads back as this event."""
    return orjson.dumps({"kind": type(event).__name__, **to_json(event)})


class PlainDecoder:
    """Reads what `encode` wrote; satisfies `arbitrade.protocols.Decoder`."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()

    def decode(self, frame: bytes) -> MarketEvent | None:
        """Return the event in `frame`.  Some 20 µs: no decoder for a million messages a minute.

        Raises:
            MessageError: `encode` didn't write it.
        """
        try:
            fields = orjson.loads(frame)
            cls = _KINDS[fields["kind"]]
        except (ValueError, LookupError, TypeError) as error:
            raise MessageError(f"no frame of arbitrade.frames: {frame!r:.100}") from error
        return from_json(fields, cls)

    def learn(self, change: InstrumentsChanged) -> None:
        """Nothing depends on instruments: prices and quantities are in ticks and lots already."""


class PlainVenue:
    """All of a `Venue` but its name and its feed."""

    name: str
    max_lag_s: float | None = None

    def make_decoder(self) -> PlainDecoder:
        """Return a fresh decoder."""
        return PlainDecoder()

    def checksum(self, book: OrderBook) -> int:
        """Return the CRC-32 of the digits of asks, then bids, as far as a checksum goes."""
        return crc32(book.bids.digits(), crc32(book.asks.digits()))

    def read_instruments(self, content: bytes) -> InstrumentsChanged:
        """Return the instruments of a frame.

        Raises:
            MessageError: There are none in it.
        """
        change = self.make_decoder().decode(content)
        if isinstance(change, InstrumentsChanged):
            return change
        raise MessageError(f"{self.name}: a frame without instruments: {content!r:.100}")

    def encode_instruments(self, instruments: Instruments) -> bytes:
        """Return a frame of these instruments."""
        pairs, assets = tuple(instruments.values()), tuple(instruments.assets.values())
        return encode(InstrumentsChanged(True, pairs, assets))

    def encode_snapshot(self, book: OrderBook, timestamp: str | None) -> bytes:
        """Return a frame of this book."""
        bids, asks = list(book.bids), list(book.asks)
        return encode(BookDelta(book.symbol, True, bids, asks, self.checksum(book), timestamp))

    def encode_subscribed(self, symbol: str, depth: int) -> bytes:
        """Return a frame of a subscription."""
        return encode(Subscribed(symbol, depth))

    def encode_state(self, state: VenueState) -> bytes:
        """Return a frame of the venue's state."""
        return encode(VenueStateChanged(state))

    def snapshot_depth(self, levels: int) -> int:
        """Return as many levels as are wanted."""
        return levels
