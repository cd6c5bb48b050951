"""What every venue has to keep to."""

import pytest
from hypothesis import given, settings

from arbitrade.book import OrderBook
from arbitrade.errors import MessageError
from arbitrade.models import (
    BookDelta,
    Instruments,
    InstrumentsChanged,
    Subscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.protocols import (
    Decoder,
    Venue,
)
from arbitrade.testing.factories import make_book, make_instrument, make_instruments
from arbitrade.testing.strategies import books


class VenueContract:
    """What every venue must do without a connection: read its own frames, and write them.

    Recordings begin with frames that `encode_*` wrote, so whatever these lose is lost for replays.
    A subclass brings one fixture: `venue`.
    """

    @pytest.fixture
    def venue(self) -> Venue:
        """Return the venue under test."""
        raise NotImplementedError("the subclass brings a fixture `venue`")

    def test_venue_has_a_name_that_does_not_change(self, venue: Venue) -> None:
        """Settings choose it by this name."""
        assert venue.name
        assert venue.name == venue.name.strip()
        assert venue.name == venue.name

    def test_instruments_survive_their_frame(self, venue: Venue) -> None:
        """Every figure of a pair comes back, and so do pairs in their order."""
        known = make_instruments(
            make_instrument(
                "BTC/USD",
                price_precision=1,
                price_increment="0.1",
                minimum_quantity="0.00005",
                minimum_notional="0.5",
                cost_precision=5,
            ),
            make_instrument("ETH/BTC", price_precision=6, quantity_precision=7),
            make_instrument("SHIB/EUR", price_precision=8, quantity_precision=5),
            assets={"BTC": 10, "USD": 4, "ETH": 10, "SHIB": 5, "EUR": 4},
        )
        event = venue.make_decoder().decode(venue.encode_instruments(known))
        assert isinstance(event, InstrumentsChanged)
        assert event.is_snapshot
        assert list(event.pairs) == list(known.values())

    def test_file_of_instruments_may_be_such_a_frame(self, venue: Venue) -> None:
        """`detect --instruments` takes what a recording begins with."""
        known = make_instruments("BTC/USD", "ETH/BTC")
        change = venue.read_instruments(venue.encode_instruments(known))
        assert [pair.symbol for pair in change.pairs] == ["BTC/USD", "ETH/BTC"]

    def test_book_survives_its_snapshot_with_the_right_checksum(self, venue: Venue) -> None:
        """Levels, order and checksum come back as they were."""

        # Made anew for each subclass: Hypothesis keeps what it knows of a test by its function.
        @given(book=books())
        @settings(max_examples=50)
        def check(book: OrderBook) -> None:
            delta = _decoded_snapshot(venue, book)
            assert delta.is_snapshot
            assert list(delta.bids) == list(book.bids)
            assert list(delta.asks) == list(book.asks)
            assert delta.checksum is None or delta.checksum == venue.checksum(book)

        check()

    def test_empty_book_survives_its_snapshot(self, venue: Venue) -> None:
        """A pair may have no orders at all."""
        delta = _decoded_snapshot(venue, make_book("BTC/USD"))
        assert (list(delta.bids), list(delta.asks)) == ([], [])

    def test_timestamp_survives_its_snapshot(self, venue: Venue) -> None:
        """Episodes and lags are counted by it."""
        book = make_book(bids=[("100.00", "1")], asks=[("100.01", "2")])
        moment = "2026-11-22T10:00:00.123456Z"
        assert _decoded_snapshot(venue, book, moment).timestamp == moment

    def test_checksum_is_of_the_book_as_it_is_now(self, venue: Venue) -> None:
        """It follows a change and its undoing."""
        book = make_book(bids=[("100.00", "1")], asks=[("100.01", "2")])
        (bid,) = book.bids
        before = venue.checksum(book)
        book.apply([(bid[0], bid[1] + 1)], [])
        assert venue.checksum(book) != before
        book.apply([bid], [])
        assert venue.checksum(book) == before

    def test_subscription_survives_its_frame(self, venue: Venue) -> None:
        """The depth of a book comes from it."""
        depth = venue.snapshot_depth(1)
        decoder = _decoder(venue, make_instruments("BTC/USD"))
        event = decoder.decode(venue.encode_subscribed("BTC/USD", depth))
        assert isinstance(event, Subscribed)
        assert (event.symbol, event.depth) == ("BTC/USD", depth)

    @pytest.mark.parametrize("state", [VenueState.ONLINE, VenueState.MAINTENANCE])
    def test_state_survives_its_frame(self, venue: Venue, state: VenueState) -> None:
        """Nothing is decided while the venue is not online."""
        event = venue.make_decoder().decode(venue.encode_state(state))
        assert event == VenueStateChanged(state)

    def test_depth_holds_the_levels_asked_for(self, venue: Venue) -> None:
        """And is the smallest that does: asking with it changes nothing."""
        for levels in (1, 10, 11, 25, 26, 100):
            depth = venue.snapshot_depth(levels)
            assert depth >= levels
            assert venue.snapshot_depth(depth) == depth

    @pytest.mark.parametrize("frame", [b"", b"\xff", b"no frame", b"[", b'{"a":'])
    def test_frame_that_is_none_is_a_message_error(self, venue: Venue, frame: bytes) -> None:
        """Never another exception: whoever feeds the decoder handles this one."""
        with pytest.raises(MessageError):
            venue.make_decoder().decode(frame)

    def test_decoders_share_nothing(self, venue: Venue) -> None:
        """What one connection learnt does not leak into another's stream."""
        taught, fresh = _decoder(venue, make_instruments("BTC/USD")), venue.make_decoder()
        taught.decode(venue.encode_state(VenueState.ONLINE))
        assert taught is not fresh
        assert not any(fresh.counters.values())


def _decoder(venue: Venue, instruments: Instruments) -> Decoder:
    decoder = venue.make_decoder()
    decoder.decode(venue.encode_instruments(instruments))
    return decoder


def _decoded_snapshot(
    venue: Venue, book: OrderBook, timestamp: str | None = "2026-11-22T10:00:00.000000Z"
) -> BookDelta:
    decoder = _decoder(venue, Instruments([book.instrument]))
    event = decoder.decode(venue.encode_snapshot(book, timestamp))
    assert isinstance(event, BookDelta)
    assert event.symbol == book.symbol
    return event
