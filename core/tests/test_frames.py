"""A venue without frames of its own: `arbitrade.frames` brings all but a name and a feed."""

import attrs
import pytest

from arbitrade import Venue
from arbitrade.errors import MessageError
from arbitrade.frames import PlainDecoder, PlainVenue, encode
from arbitrade.models import (
    BookDelta,
    InstrumentsChanged,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.testing.contracts import VenueContract
from arbitrade.testing.factories import make_instrument


@attrs.frozen
class Still(PlainVenue):
    name = "still"

    def make_feed(self, choose, handler):
        raise NotImplementedError


class TestPlainVenue(VenueContract):
    @pytest.fixture
    def venue(self) -> Venue:
        return Still()


@pytest.mark.parametrize(
    "event",
    [
        InstrumentsChanged(False, (make_instrument("BTC/USD"),), ()),
        Subscribed("BTC/USD", 10, 7),
        Unsubscribed("BTC/USD"),
        VenueStateChanged(VenueState.CANCEL_ONLY),
    ],
)
def test_event_comes_back_as_it_was(event):
    assert PlainDecoder().decode(encode(event)) == event


def test_change_of_a_book_comes_back_as_it_was():
    delta = BookDelta("BTC/USD", False, [(100, 0)], [(101, 5)], 7, "2026-01-01T00:00:00Z")
    again = PlainDecoder().decode(encode(delta))
    assert [list(side) for side in (again.bids, again.asks)] == [[(100, 0)], [(101, 5)]]
    assert (again.is_snapshot, again.checksum) == (False, 7)
    assert again.timestamp == delta.timestamp


@pytest.mark.parametrize("frame", [b'{"kind":"Tea"}', b'{"kind":"Subscribed"}', b"[1]", b"3"])
def test_frame_of_somebody_else_is_a_message_error(frame):
    with pytest.raises(MessageError):
        PlainDecoder().decode(frame)


def test_file_without_instruments_says_whose_it_is():
    venue = Still()
    with pytest.raises(MessageError, match="still: a frame without instruments"):
        venue.read_instruments(venue.encode_state(VenueState.ONLINE))
