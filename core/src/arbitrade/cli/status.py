"""`arbitrade status`: how running bots are doing."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arbitrade.cli.bots import Bots, as_text, find_bots, with_bots

if TYPE_CHECKING:
    from arbitrade.api import BotState
    from arbitrade.cli.context import CommandLine


@click.command(
    epilog="""\b
Examples:
  arbitrade status
  arbitrade status --watch
  arbitrade status --account main --json"""
)
@with_bots
@click.option("--watch", is_flag=True, help="Go on showing it until Ctrl-C or the bot ends.")
@click.option("--json", "as_json", is_flag=True, help="JSON objects, one a line and bot.")
@click.pass_obj
def status(
    line: "CommandLine", account: str | None, folder: Path | None, watch: bool, as_json: bool
) -> None:
    """Show how the running bots are doing.

    With --watch the view of one bot stays and is brought up to date twice a second.

    Exit code 1 if none runs.
    """
    bots = find_bots(line, account, folder)
    accounts = bots.running()
    if not accounts:
        raise bots.not_running("start one with: arbitrade run")
    if watch:
        _watch(bots, bots.the_one(""), as_json)
        return
    for name in accounts:
        if as_json:
            click.echo(as_text(bots.client(name).state_json()))
        else:
            _print(bots.client(name).state())


def _watch(bots: Bots, account: str, as_json: bool) -> None:
    from arbitrade.cli.live_view import EVERY_S

    on_terminal = sys.stdout.isatty() and not as_json
    updates = bots.client(account).updates(EVERY_S if on_terminal else 1.0)
    try:
        if on_terminal:
            _watch_on_screen(updates)
        else:
            _write_lines(updates, as_json)
    except KeyboardInterrupt:
        return  # the way to end it
    click.echo(f"The bot of account {account!r} has ended.", err=True)


def _watch_on_screen(updates: "Iterator[BotState]") -> None:
    from rich.console import Console

    from arbitrade.cli.live_view import screen, show

    with screen(Console()) as live:
        for state in updates:
            show(live, state)


def _write_lines(updates: "Iterator[BotState]", as_json: bool) -> None:
    from arbitrade.cli.live_view import plain_line
    from arbitrade.plain_json import to_json

    for state in updates:
        if as_json:
            click.echo(as_text(to_json(state)))
        else:
            click.echo(" ".join(f"{name}={value}" for name, value in plain_line(state).items()))


def _print(state: "BotState") -> None:
    from rich.console import Console

    from arbitrade.cli.live_drawing import render

    console = Console(soft_wrap=True)
    console.print(render(state, console.width, height=60))
