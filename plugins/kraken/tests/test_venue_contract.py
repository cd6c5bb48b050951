import pytest

from arbitrade import Venue
from arbitrade.testing.contracts import VenueContract
from arbitrade_kraken.venue import KrakenVenue


class TestKrakenVenue(VenueContract):
    @pytest.fixture
    def venue(self) -> Venue:
        return KrakenVenue()
