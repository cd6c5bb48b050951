"""`arbitrade limits`: look at and change the limits of a running bot's risk."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arbitrade.cli.bots import as_text, find_bots, report, with_bots
from arbitrade.errors import UsageError

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine

_WHY_RUNNING = (
    "limits for a start are in settings.toml, section risk (arbitrade config show); those changed "
    "at run time hold on over it"
)


@click.group(
    epilog="""\b
Examples:
  arbitrade limits show
  arbitrade limits set maximum_notional=250 cooldown_s=30"""
)
def limits() -> None:
    """Look at and change the limits of a running bot."""


@limits.command(
    epilog="""\b
Examples:
  arbitrade limits show
  arbitrade limits show --account main --json"""
)
@with_bots
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.pass_obj
def show(line: "CommandLine", account: str | None, folder: Path | None, as_json: bool) -> None:
    """Show the limits as they are now."""
    bots = find_bots(line, account, folder)
    values = bots.client(bots.the_one(_WHY_RUNNING)).state_json()["limits"]
    if as_json:
        click.echo(as_text(values))
        return
    width = max(map(len, values), default=0)
    for name, value in values.items():
        click.echo(f"{name:<{width}}  {value}")


@limits.command(
    "set",
    epilog="""\b
Examples:
  arbitrade limits set maximum_notional=250
  arbitrade limits set maximum_daily_loss=50 maximum_drawdown=100 --json""",
)
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE…")
@with_bots
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a line.")
@click.pass_obj
def set_(
    line: "CommandLine",
    changes: tuple[str, ...],
    account: str | None,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Change limits, all of them or none.

    They hold from the next opportunity on, until the bot ends; a cycle keeps the limits it began
    with.  Who changed what goes into the audit.
    """
    bots = find_bots(line, account, folder)
    values = _parse(changes)
    client = bots.client(bots.the_one(_WHY_RUNNING))
    _refuse_unknown(values, client.state_json()["limits"])
    return report(client.command("limits", values), as_json=as_json)


def _parse(changes: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for change in changes:
        name, equals, value = (part.strip() for part in change.partition("="))
        if not equals or not name or not value:
            raise UsageError(f"{change!r} is not NAME=VALUE; write maximum_notional=250")
        if name in values:
            raise UsageError(f"{name}: given twice; say which of {values[name]} and {value}")
        values[name] = value
    return values


def _refuse_unknown(values: Mapping[str, str], known: Mapping[str, object]) -> None:
    from arbitrade.config.structure import suggest

    for name in values:
        if name not in known:
            raise UsageError(f"{name}: there is no such limit; {suggest(name, known)}")
