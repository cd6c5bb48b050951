"""A whole simulator for a test, a demo or a command: exchange, account, key and server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from arbitrade.errors import UsageError
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.generated import GeneratedMarket
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.keys import ApiKey
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.market import Market
from arbitrade_kraken.simulator.exchange.recorded import RecordedMarket, recorded_pairs
from arbitrade_kraken.simulator.exchange.replayed import public_frames
from arbitrade_kraken.simulator.faces.server import Addresses, SimulatorServer
from arbitrade_kraken.simulator.faces.settings import PLENTY, SimulatorSettings


@attrs.frozen
class RunningSimulator:
    """A simulator that listens.

    Args:
        addresses: Where.
        key: Of the funded account; `key.secret` is the private part.
        exchange: The oracle: what it says is how it is.
        clock: Can be moved forward.
    """

    addresses: Addresses
    key: ApiKey
    exchange: Exchange
    clock: MovableClock
    server: SimulatorServer

    @property
    def rest(self) -> str:
        """Base URL of REST."""
        return self.addresses.rest

    @property
    def ws(self) -> str:
        """URL of the public WebSocket."""
        return self.addresses.ws

    @property
    def ws_auth(self) -> str:
        """URL of the private WebSocket."""
        return self.addresses.ws_auth

    @property
    def control(self) -> str:
        """Base URL of the control API."""
        return self.addresses.control

    @property
    def faults(self) -> Faults:
        """The switchboard."""
        return self.exchange.faults


@asynccontextmanager
async def running_simulator(
    settings: SimulatorSettings | None = None, clock: MovableClock | None = None
) -> AsyncIterator[RunningSimulator]:
    """Run a simulator on loopback while the context is open.

    Args:
        settings: None for the defaults.
        clock: None for the system's; one that stands still makes a test independent of the time.

    Raises:
        UsageError: A symbol or an asset is not listed, an amount is too fine for its ledger, or the
            recording can't be used.
        VenueUnavailableError: The port is taken.
    """
    settings = settings if settings is not None else SimulatorSettings()
    clock = clock if clock is not None else MovableClock()
    exchange = build_exchange(settings, clock)
    fund(exchange, settings)
    key = exchange.accounts.make_key(settings.account)
    server = SimulatorServer(settings, exchange, clock, key)
    async with server.listening() as addresses:
        yield RunningSimulator(addresses, key, exchange, clock, server)


def fund(exchange: Exchange, settings: SimulatorSettings) -> None:
    """Open the account of the settings.

    Raises:
        UsageError: An asset is not listed, or an amount too fine for its ledger.
    """
    balances = settings.balances
    if balances is None:
        listed = exchange.listed.assets
        balances = {asset: amount for asset, amount in PLENTY.items() if asset in listed}
    exchange.hand.open_account(settings.account, balances)


def build_exchange(settings: SimulatorSettings, clock: MovableClock) -> Exchange:
    """Return the exchange these settings describe, without accounts.

    Raises:
        UsageError: A symbol is not listed, or the recording can't be used.
    """
    rules = settings.exchange or ExchangeSettings(seed=settings.seed)
    listed, market = _market(settings)
    return Exchange(listed, market, clock, rules)


def _market(settings: SimulatorSettings) -> tuple[ListedPairs, Market]:
    listed = ListedPairs.load()
    if settings.recording is not None:
        return _recorded_market(settings.recording, listed)
    if settings.symbols:
        listed = listed.only(settings.symbols)
    elif settings.pairs:
        listed = listed.select(settings.pairs)
    market = settings.market or GeneratedMarketSettings(seed=settings.seed)
    return listed, GeneratedMarket(market)


def _recorded_market(path: Path, listed: ListedPairs) -> tuple[ListedPairs, Market]:
    recorded = recorded_pairs(public_frames(path), listed)
    if not recorded.pairs:
        raise UsageError(f"{path}: has no book of a pair the venue lists; choose another recording")
    return recorded, RecordedMarket(public_frames(path))
