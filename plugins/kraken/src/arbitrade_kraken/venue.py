"""Kraken as an Arbitrade venue."""

from collections.abc import Callable, Collection, Sequence

import attrs

from arbitrade.book import OrderBook
from arbitrade.hot import load
from arbitrade.models import Instrument, Instruments, InstrumentsChanged, VenueState
from arbitrade.protocols import Account, Clock, CompiledStage, Feed, FeedHandler
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.config import DEPTHS, KrakenSettings
from arbitrade_kraken.instruments import read_instruments_file
from arbitrade_kraken.market import encoder
from arbitrade_kraken.market.checksum import book_checksum
from arbitrade_kraken.market.decoder import KrakenDecoder


@attrs.frozen
class KrakenVenue:
    """Kraken spot over WebSocket v2.

    Args:
        settings: Of market data.
        find_account: Asked for the credentials when an account is made, not before.
    """

    settings: KrakenSettings = attrs.field(factory=KrakenSettings)
    find_account: Callable[[], KrakenAccountSettings] = attrs.field(
        default=KrakenAccountSettings, repr=False
    )
    name: str = "kraken"

    @property
    def max_lag_s(self) -> float | None:
        """Nothing is decided on a message older than this: `kraken.max_lag_s`."""
        return self.settings.max_lag_s

    def make_decoder(self) -> KrakenDecoder:
        """Return a fresh decoder."""
        return KrakenDecoder()

    def checksum(self, book: OrderBook) -> int:
        """Return the venue's CRC-32 of the book's best ten levels a side."""
        return book_checksum(book)

    def make_feed(
        self, choose: Callable[[Instruments], Collection[str]], handler: FeedHandler
    ) -> Feed:
        """Return a feed for the books `choose` picks, at the depth of the settings."""
        # Imported here: replaying a file needs no network stack.
        from arbitrade_kraken.market.feed import KrakenFeed

        return KrakenFeed(self.settings, choose, handler, self.settings.depth)

    def compiled_stage(self, pairs: Sequence[Instrument | None]) -> CompiledStage | None:
        """Return the stage that decodes and verifies compiled, None where nothing is compiled."""
        module = load("arbitrade_kraken._hot")
        if module is None:
            return None
        stage: CompiledStage = module.KrakenStage(
            [
                ("", 0, 0)
                if pair is None
                else (pair.symbol, pair.price_precision, pair.quantity_precision)
                for pair in pairs
            ]
        )
        return stage

    def make_account(self, clock: Clock | None = None) -> Account:
        """Return the account the settings have credentials for.

        Args:
            clock: For deadlines and durations; None for the system's.

        Raises:
            ConfigError: There are none.
        """
        # Imported here: only what trades needs a REST client.
        from arbitrade_kraken.account.account import make_account

        return make_account(self.find_account(), clock)

    def read_instruments(self, content: bytes) -> InstrumentsChanged:
        """Return the instruments of an `instrument` frame or a REST `AssetPairs` answer."""
        return read_instruments_file(content)

    def encode_instruments(self, instruments: Instruments) -> bytes:
        """Return an `instrument` snapshot frame."""
        return encoder.write_instruments(instruments)

    def encode_snapshot(self, book: OrderBook, timestamp: str | None) -> bytes:
        """Return a `book` snapshot frame."""
        return encoder.write_snapshot(book, timestamp)

    def encode_subscribed(self, symbol: str, depth: int) -> bytes:
        """Return the acknowledgement of a book subscription."""
        return encoder.write_subscribed(symbol, depth)

    def encode_state(self, state: VenueState) -> bytes:
        """Return a `status` frame."""
        return encoder.write_state(state)

    def snapshot_depth(self, levels: int) -> int:
        """Return the smallest depth the venue offers that holds `levels` levels a side."""
        return next((depth for depth in DEPTHS if depth >= levels), DEPTHS[-1])
