"""`arbitrade halt`: stop trading, now."""

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from arbitrade.cli.bots import Bots, as_text, find_bots, with_bots
from arbitrade.control.places import DEFAULT_ACCOUNT, accounts_in

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine

_PATIENCE_S = 2.0


@attrs.frozen
class Halted:
    """What came of halting one account.

    Args:
        is_confirmed: The bot said so, or none runs and the next one will find the file.
        by: `bot` when it was told, `file` when its file was made instead.
    """

    account: str
    is_confirmed: bool
    by: str
    message: str


@click.command(
    epilog="""\b
Examples:
  arbitrade halt
  arbitrade halt odd prices on SOL
  arbitrade halt --account main --json"""
)
@click.argument("reason", nargs=-1)
@with_bots
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.pass_obj
def halt(
    line: "CommandLine",
    reason: tuple[str, ...],
    account: str | None,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Stop trading at once; REASON is kept.

    No new cycle begins from then on, also after a restart, until `arbitrade resume`.  Cycles under
    way are finished or unwound.  Without --account every running bot is halted.

    A bot that doesn't run, or doesn't answer, is halted by a file in its state folder: one that
    runs looks at it all the time, one that doesn't starts halted.  Exit code 1 if a bot runs and
    did not confirm.
    """
    bots = find_bots(line, account, folder)
    text = " ".join(reason) or "no reason given"
    done = [_halt(bots, name, text) for name in _targets(bots)]
    if as_json:
        click.echo(as_text({"accounts": [attrs.asdict(one) for one in done]}))
    else:
        for one in done:
            click.echo(f"{one.account}: {one.message}", err=not one.is_confirmed)
    return 0 if all(one.is_confirmed for one in done) else 1


def _targets(bots: Bots) -> list[str]:
    """Return the accounts to halt: those of running bots, else those that may be started."""
    if bots.account is not None:
        return [bots.account]
    return bots.running() or sorted({*accounts_in(bots.folder), DEFAULT_ACCOUNT})


def _halt(bots: Bots, account: str, reason: str) -> Halted:
    from arbitrade.control.kill_switch import engage_on_disk
    from arbitrade.control.peers import own_name
    from arbitrade.errors import BotNotRunningError, ControlError

    try:
        answer = bots.client(account, _PATIENCE_S).command("halt", {"reason": reason})
        if answer.is_done:
            return Halted(account, True, "bot", answer.message)
        problem = f"the bot refused ({answer.message})"
    except BotNotRunningError:
        path = engage_on_disk(bots.folder, account, reason, own_name())
        message = f"no bot runs with this state folder; the next one starts halted ({path})"
        return Halted(account, True, "file", message)
    except ControlError as error:
        problem = str(error).partition(";")[0]
    path = engage_on_disk(bots.folder, account, reason, own_name())
    message = f"{problem}, so {path} was made, which it looks at; see: arbitrade status"
    return Halted(account, False, "file", message)
