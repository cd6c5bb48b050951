"""What this distribution hands in to core."""

from collections.abc import Iterable

import click

from arbitrade import Settings, SettingsSection, Venue, hookimpl
from arbitrade.protocols import Simulation
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.config import KrakenSettings


@hookimpl
def arbitrade_register_settings() -> Iterable[SettingsSection]:
    """Own the section `kraken`."""
    return (SettingsSection("kraken", KrakenAccountSettings),)


@hookimpl
def arbitrade_register_commands() -> Iterable[click.Command]:
    """Add `convert` and `simulate`."""
    from arbitrade_kraken.commands import convert_command
    from arbitrade_kraken.simulator.command import simulate_command

    return (convert_command, simulate_command)


@hookimpl
def arbitrade_make_venue(settings: Settings, name: str) -> Venue | None:
    """Build the venue `kraken`."""
    if name != "kraken":
        return None
    # Imported late: the network stack takes a while, and not every command needs a venue.
    from arbitrade_kraken.venue import KrakenVenue

    # Without credentials, so that no command searches the keyring that doesn't trade.
    return KrakenVenue(
        settings.section("kraken", KrakenSettings),
        find_account=lambda: settings.section("kraken", KrakenAccountSettings),
    )


@hookimpl
def arbitrade_make_simulation(name: str) -> Simulation | None:
    """Build the simulator in a process of its own."""
    if name != "kraken":
        return None
    from arbitrade_kraken.simulation import KrakenSimulation

    return KrakenSimulation()
