from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arbitrade import Secret, Venue
from arbitrade.errors import ConfigError
from arbitrade.protocols import TradingVenue
from arbitrade.testing.contracts import LiveVenueContract, TradingVenueContract, VenueContract
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.config import KrakenSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings
from arbitrade_kraken.simulator.running import running_simulator
from arbitrade_kraken.venue import KrakenVenue


class TestKrakenVenue(VenueContract):
    @pytest.fixture
    def venue(self) -> Venue:
        return KrakenVenue()


class TestKrakenVenueWithCredentials(TradingVenueContract):
    @pytest.fixture
    def trading_venue(self, tmp_path: Path) -> TradingVenue:
        settings = KrakenAccountSettings(
            api_key=Secret("a-key"), api_secret=Secret("YS1zZWNyZXQ="), nonce_folder=str(tmp_path)
        )
        return KrakenVenue(find_account=lambda: settings)


class TestKrakenVenueOnTheSimulator(LiveVenueContract):
    @pytest.fixture
    async def live_venue(self) -> AsyncIterator[Venue]:
        settings = SimulatorSettings(symbols=("BTC/USD", "ETH/USD", "ETH/BTC"), rate=500.0)
        async with running_simulator(settings) as simulator:
            yield KrakenVenue(KrakenSettings(ws_url=simulator.ws, connections=2))


def test_the_venue_takes_orders_with_the_credentials_of_its_section() -> None:
    """It satisfies the role; without credentials it says which are missing."""
    venue = KrakenVenue()
    assert isinstance(venue, TradingVenue)
    with pytest.raises(ConfigError, match="api_key"):
        venue.make_account()
