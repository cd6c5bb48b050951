"""The roles objects play.  Hooks build them; from then on core calls these methods directly.

Attributes are read-only properties so that frozen attrs classes satisfy them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, runtime_checkable

from arbitrade.book import OrderBook
from arbitrade.models import (
    Changed,
    Instruments,
    InstrumentsChanged,
    MarketEvent,
    Opportunity,
    VenueState,
)
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols.account import Account
from arbitrade.protocols.clock import Clock


class Decoder(Protocol):
    """Turns a venue's frames into market events.  Pure: no I/O, no clock.

    It learns instruments from the frames it decodes, because prices become ticks by an instrument's
    precision.  One decoder serves one stream of frames in the order received.
    """

    @property
    def counters(self) -> Mapping[str, int]:
        """What was passed over, by reason: frames of unknown pairs, other channels."""

    def decode(self, frame: bytes) -> MarketEvent | None:
        """Return the event in `frame`, None when it has nothing for us (heartbeat, pong, …).

        Raises:
            MessageError: Not JSON, or not what the protocol promises.
        """

    def learn(self, change: InstrumentsChanged) -> None:
        """Take instruments from elsewhere (a file) as if a frame had brought them."""


class FeedHandler(Protocol):
    """Who a feed reports to.  Called between two socket reads: no blocking, no await."""

    def on_frame(self, connection: int, frame: bytes) -> MarketEvent | None:
        """Take one frame as received.

        Returns:
            The event in it unless it was a book delta: the feed reads acknowledgements, states and
            instruments from it, so that no frame is decoded twice.

        Raises:
            MessageError: The feed drops that connection and makes a new one.
        """

    def on_sent(self, connection: int, frame: bytes) -> None:
        """Take one request as sent; it never carries a credential."""

    def on_event(self, connection: int, event: MarketEvent) -> None:
        """Take what no frame said: a lost connection."""


@runtime_checkable
class BufferHandler(Protocol):
    """A handler that can take book messages straight out of a receive buffer."""

    def on_buffer(
        self, connection: int, buffer: bytearray, begin: int, end: int
    ) -> tuple[int, int]:
        """Take what it can of WebSocket frames; return where the rest begins and how many it took.

        Called between two socket reads; nothing may be kept of the buffer.  The frame at the rest
        goes to `on_frame`.
        """


class Feed(Protocol):
    """A venue's live market data."""

    async def run(self) -> None:
        """Connect, subscribe and deliver until cancelled; reconnects by itself.

        Raises:
            VenueUnavailableError: The venue refuses for good; the message says what to do.
        """

    def resync(self, symbol: str) -> None:
        """Ask for a fresh snapshot of one book; the others go on.  Backs off when it repeats."""

    def statistics(self) -> Mapping[str, int]:
        """Return counters for the operator: connections, reconnects, resyncs, frames, bytes."""


class Venue(Protocol):
    """An exchange adapter: makes what reads its frames, and checks its books."""

    @property
    def name(self) -> str:
        """Name of the venue: the entry point's name, the settings section's name."""

    @property
    def max_lag_s(self) -> float | None:
        """Nothing is decided on a message older than this; None for no limit."""

    def make_decoder(self) -> Decoder:
        """Return a fresh decoder."""

    def checksum(self, book: OrderBook) -> int:
        """Return the venue's checksum of `book` as it is now; asked for every delta with one."""

    def make_feed(
        self, choose: Callable[[Instruments], Collection[str]], handler: FeedHandler
    ) -> Feed:
        """Return a feed for the books `choose` picks once the venue has named its instruments.

        `choose` is asked again whenever they change; what it raises ends `Feed.run`.
        """

    def read_instruments(self, content: bytes) -> InstrumentsChanged:
        """Return the instruments in a file of the venue's own making.

        Raises:
            MessageError: The content is none of the forms the venue knows.
        """

    def encode_instruments(self, instruments: Instruments) -> bytes:
        """Return a frame that `Decoder.decode` reads back as these instruments."""

    def encode_snapshot(self, book: OrderBook, timestamp: str | None) -> bytes:
        """Return a frame that `Decoder.decode` reads back as this book, checksum included."""

    def encode_subscribed(self, symbol: str, depth: int) -> bytes:
        """Return a frame that `Decoder.decode` reads back as `Subscribed`."""

    def encode_state(self, state: VenueState) -> bytes:
        """Return a frame that `Decoder.decode` reads back as `VenueStateChanged`."""

    def snapshot_depth(self, levels: int) -> int:
        """Return the smallest depth the venue offers that holds `levels` levels a side."""


@runtime_checkable
class TradingVenue(Venue, Protocol):
    """A venue that takes orders."""

    def make_account(self, clock: Clock | None = None) -> Account:
        """Return the account the settings have credentials for.

        Args:
            clock: By which deadlines are set and durations measured; None for the system's.  Both
                of its times have to run by themselves.

        Raises:
            ConfigError: There are none.
        """


class Detector(Protocol):
    """Turns book changes into opportunities, on the hot path: no I/O, no await, no log an event."""

    @property
    def name(self) -> str:
        """Unique among the detectors of a run."""

    def on_instruments(self, instruments: Instruments) -> None:
        """Rebuild whatever depends on the instruments.  What was seen in books is void after it."""

    def on_fees(self, fees: FeeSchedule) -> None:
        """Reckon with these fees from now on; what was found with other ones is void.

        Called when the account turns out to pay something else than the detector was made with,
        as a rule once an hour.  What was learnt of the market stays.  Every book is shown again
        after it.
        """

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        """Return everything that is there *now* through this book's pair.

        Called after each verified message of a tradable book, also when only depth changed; an
        opportunity that is not returned has ended.  `changed` tells which best prices moved since
        this detector last saw the book; the first call after `on_void` says both.

        May return a lazy iterable: the time until it returns counts as screening, the time to
        consume it as sizing.  It is consumed before the next call, or not at all.
        """

    def on_void(self, symbol: str) -> None:
        """Forget a book, out of sync, crossed, one-sided or not online, until `on_book`."""


@runtime_checkable
class CycleWatcher(Protocol):
    """A detector that can tell how many cycles it watches."""

    @property
    def cycle_count(self) -> int:
        """Directed cycles watched now."""


@runtime_checkable
class BringsExecutor(Protocol):
    """A detector whose opportunities another executor carries out than the settings' one."""

    @property
    def executor(self) -> str:
        """Name by which `arbitrade_make_executor` is asked for it when the detector is made."""


@runtime_checkable
class PairWatcher(Protocol):
    """A detector that can tell whose books it needs; where all can, no others are read."""

    @property
    def symbols(self) -> Collection[str]:
        """Pairs whose books matter to it."""
