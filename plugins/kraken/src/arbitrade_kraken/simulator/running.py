"""A whole simulator for a test, a demo or a command: exchange, account, key and server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.keys import ApiKey
from arbitrade_kraken.simulator.faces.server import Addresses, SimulatorServer
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings
from arbitrade_kraken.simulator.making import build_exchange, fund


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
        """Base URL of REST, without a slash at its end."""
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
        """The exchange's switchboard of what goes wrong."""
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
