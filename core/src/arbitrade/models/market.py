"""What a venue tells about the market: book deltas, instruments, states.

These are the events a `Decoder` makes of frames; the engine is their only consumer on the hot path.
"""

import enum
from collections.abc import Sequence

import attrs

from arbitrade.models.instrument import Asset, Instrument

type Level = tuple[int, int]
"""One price level in integers: (ticks, lots).  Zero lots remove the level."""


class Side(enum.Enum):
    """What an order does with the base asset."""

    BUY = "buy"
    SELL = "sell"


class Changed(enum.IntFlag):
    """Which best prices of a book a delta moved."""

    NOTHING = 0
    BID = 1
    ASK = 2
    BOTH = 3


class VenueState(enum.Enum):
    """State of the venue's matching engine."""

    ONLINE = "online"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"

    @classmethod
    def parse(cls, text: str) -> "VenueState":
        """Return the state called `text`, `UNKNOWN` for a word a venue added since."""
        try:
            return cls(text)
        except ValueError:
            return cls.UNKNOWN


@attrs.define(eq=False)
class BookDelta:
    """A book message: absolute quantities for some levels, or a whole new book.

    Not frozen because one is made for every frame and `frozen` doubles the cost; don't change it.

    Args:
        symbol: The pair.
        is_snapshot: True when it replaces the book, False when it amends it.
        bids: Levels in message order, which need not be price order; a price may occur twice, the
            later one counts.
        asks: The same for the other side.
        checksum: The venue's checksum of the book after this message; None if it sends none.
        timestamp: The venue's time of the change as it wrote it, or None.
    """

    symbol: str
    is_snapshot: bool
    bids: Sequence[Level]
    asks: Sequence[Level]
    checksum: int | None
    timestamp: str | None


@attrs.frozen
class InstrumentsChanged:
    """Instruments appeared or changed.

    Args:
        is_snapshot: True when these are all there are, False when they amend what is known.
    """

    is_snapshot: bool
    pairs: tuple[Instrument, ...]
    assets: tuple[Asset, ...]


@attrs.frozen
class VenueStateChanged:
    """The matching engine's state, as pushed on connecting and whenever it changes."""

    state: VenueState


@attrs.frozen
class Subscribed:
    """A book subscription stands.  `depth` levels a side will be kept."""

    symbol: str
    depth: int
    request_id: int | None = None


@attrs.frozen
class Unsubscribed:
    """A book subscription ended: no more deltas for it."""

    symbol: str
    request_id: int | None = None


@attrs.frozen
class RequestRefused:
    """The venue refused a request.  `symbol` is None where the refusal doesn't name one."""

    method: str
    reason: str
    symbol: str | None = None
    request_id: int | None = None


@attrs.frozen
class ConnectionLost:
    """A market-data connection is gone or silent: no book on it can be trusted.

    `symbols` are the books it carried; None means all of them.
    """

    symbols: tuple[str, ...] | None = None
    reason: str = ""


@attrs.frozen
class BookUnreadable:
    """A book message whose numbers don't fit the instrument's precisions: never guessed at.

    The book is void until a snapshot that fits.
    """

    symbol: str
    reason: str


@attrs.frozen
class Batch:
    """Several book messages in one frame, in order."""

    events: "tuple[BookDelta | BookUnreadable, ...]"


type MarketEvent = (
    BookDelta
    | BookUnreadable
    | Batch
    | InstrumentsChanged
    | VenueStateChanged
    | Subscribed
    | Unsubscribed
    | RequestRefused
    | ConnectionLost
)
