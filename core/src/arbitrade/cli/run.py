"""`arbitrade run`: trade."""

import sys
from typing import TYPE_CHECKING

import click

from arbitrade.cli.parameters import DURATION
from arbitrade.errors import UsageError

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.config import Settings
    from arbitrade.protocols import Venue
    from arbitrade.trading.run.outcome import RunOutcome


@click.command(
    epilog="""\b
Examples:
  arbitrade run                        paper: the live market, simulated fills
  arbitrade run --for 8h --json
  arbitrade run --mode live --arm main
                                       real orders of the account called main, after
                                       rehearsals and then the smallest sizes"""
)
@click.option(
    "--mode",
    type=click.Choice(["paper", "live"]),
    default="paper",
    show_default=True,
    help="Simulated fills, or real orders.",
)
@click.option("--arm", metavar="ACCOUNT", help="Live only: the account's name, to be sure.")
@click.option("--account", help="Paper only: name of the account.  [default: paper]")
@click.option("--for", "seconds", type=DURATION, help="End by itself after 30s, 10m, 2h, …")
@click.option("--json", "as_json", is_flag=True, help="Print the final report as JSON.")
@click.option("--venue", "venue_name", help="Venue to trade at.  [default: venue]")
@click.pass_obj
def run(
    line: "CommandLine",
    mode: str,
    arm: str | None,
    account: str | None,
    seconds: float | None,
    as_json: bool,
    venue_name: str | None,
) -> None:
    """Find and trade opportunities until Ctrl-C.

    Everything it decides is written down before it is done, and goes to the database.  A run that
    was killed is brought to order by the next one.  `arbitrade halt` stops trading at once.
    """
    from arbitrade.process import loops
    from arbitrade.process.logs import configure

    settings = line.load()
    configure(settings.log)
    venue = line.registry.make_venue(settings, venue_name or settings.venue)
    if mode == "paper" and arm is not None:
        raise UsageError("--arm: is for --mode live; paper needs no arming")
    if mode == "live" and account is not None:
        raise UsageError("--account: is for paper; a live account is named in the venue's settings")
    report = loops.run(
        _run(line, settings, venue, mode, arm, account, seconds, as_json),
        settings.runtime.event_loop,
    )
    from arbitrade.cli.trading import show_report

    show_report(report, as_json=as_json)


async def _run(
    line: "CommandLine",
    settings: "Settings",
    venue: "Venue",
    mode: str,
    arm: str | None,
    account: str | None,
    seconds: float | None,
    as_json: bool,
) -> "RunOutcome":
    from arbitrade.cli.trading import trade
    from arbitrade.models import Mode
    from arbitrade.trading.run.session import TradingSession

    session = TradingSession(
        settings,
        line.registry,
        venue,
        mode=Mode(mode),
        account=account or "paper",
        credential=_credential(line, venue.name) if mode == "live" else None,
    )
    if mode == "live":
        _check_armed(session.account, arm)
    return await trade(session, line.registry, settings, seconds=seconds, is_quiet=as_json)


def _check_armed(account: str, arm: str | None) -> None:
    """Make sure that real money is meant.

    Raises:
        UsageError: It was not said so.
    """
    if arm is None and sys.stdin.isatty() and sys.stderr.isatty():
        click.echo(f"Real orders will be sent from the account {account!r}.", err=True)
        arm = click.prompt("Type the account's name to arm live trading", err=True)
    if arm is None:
        raise UsageError(
            f"--mode live: sends real orders; say so with --arm {account}, the account's name"
        )
    if arm != account:
        raise UsageError(f"--arm {arm}: the account is called {account}; nothing was started")


def _credential(line: "CommandLine", venue: str) -> str | None:
    secret = line.load().find_secret
    found = None if secret is None else secret(f"{venue}.api_key")
    return None if found is None else found.reveal()
