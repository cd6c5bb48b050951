"""What the commands that talk to running bots share: where those are, and which one is meant."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from arbitrade.control.places import DEFAULT_ACCOUNT
from arbitrade.errors import BotNotRunningError, UsageError

if TYPE_CHECKING:
    from arbitrade.api import Answer
    from arbitrade.cli.context import CommandLine
    from arbitrade.control.client import ControlClient


@attrs.frozen
class Bots:
    """The bots somebody means.

    Args:
        folder: The state folder they share.
        account: The account that was named, None for whichever.
    """

    folder: Path
    account: str | None

    def running(self) -> list[str]:
        """Return the accounts meant whose bots listen now."""
        from arbitrade.control.client import running_accounts

        running = running_accounts(self.folder)
        return running if self.account is None else [a for a in running if a == self.account]

    def client(self, account: str, timeout_s: float = 5.0) -> "ControlClient":
        """Return what talks to one of them."""
        from arbitrade.control.client import ControlClient

        return ControlClient(self.folder, account, timeout_s)

    def the_one(self, why_running: str) -> str:
        """Return the one account meant.

        Args:
            why_running: Ends the message when no bot runs: why it has to, and how.

        Raises:
            UsageError: Several bots run, and nobody said which.
            BotNotRunningError: None does.
        """
        running = self.running()
        if not running:
            raise self.not_running(why_running)
        if len(running) > 1:
            raise UsageError(
                f"{len(running)} bots run: {', '.join(running)}; name one with --account"
            )
        return running[0]

    def not_running(self, what_to_do: str) -> BotNotRunningError:
        """Return the error that no bot runs, and whether the next one would start halted."""
        from arbitrade.control.kill_switch import read_halt

        account = self.account or DEFAULT_ACCOUNT
        whose = "no bot" if self.account is None else f"no bot of account {account!r}"
        halt = read_halt(self.folder, account)
        if halt is not None:
            what_to_do = f"{what_to_do}.  Account {account!r} is halted ({halt.reason})"
        return BotNotRunningError(
            f"{self.folder}: {whose} runs with this state folder; {what_to_do}"
        )


def with_bots[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say which bot is meant; `find_bots` reads them."""
    account = click.option(
        "--account", metavar="NAME", help="Account of the bot.  [default: the one that runs]"
    )
    folder = click.option(
        "--folder",
        metavar="FOLDER",
        type=click.Path(file_okay=False, path_type=Path),
        help="State folder of the bot.  [default: runtime.folder]",
    )
    return account(folder(command))


def find_bots(line: "CommandLine", account: str | None, folder: Path | None) -> Bots:
    """Return the bots that are meant, whatever else is wrong with the settings.

    Raises:
        ConfigError: `runtime.folder` can't be read, and no folder was named.
    """
    return Bots(_state_folder(line.folder) if folder is None else folder, account)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that can't be undone; `--yes` has answered already.

    Raises:
        UsageError: There is nobody to ask.
        click.Abort: The answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question}  There is no terminal to ask on; if you mean it, add --yes")
    click.confirm(question, abort=True, err=True)


def report(answer: "Answer", *, as_json: bool) -> int:
    """Tell what came of a command; return the exit code."""
    if as_json:
        click.echo(as_text(attrs.asdict(answer)))
    elif answer.is_done:
        click.echo(answer.message)
    else:
        click.echo(f"Error: {answer.message}", err=True)
    return 0 if answer.is_done else 1


def as_text(value: object) -> str:
    """Return a value as JSON on one line, decimals as text."""
    import orjson

    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _state_folder(settings_folder: Path | None) -> Path:
    """Read one setting only: a mistake in another one must not keep anybody from stopping."""
    from arbitrade.config import RuntimeSettings
    from arbitrade.config.layers import (
        SECRETS_FILE,
        SETTINGS_FILE,
        config_folder,
        merge,
        read_environment,
        read_file,
    )
    from arbitrade.config.structure import structure_value

    folder = config_folder(settings_folder, os.environ)
    environment, _ = read_environment(os.environ, (), {})
    values, origins = merge(
        [read_file(folder / SETTINGS_FILE), read_file(folder / SECRETS_FILE), environment]
    )
    section = values.get("runtime")
    keys = section if isinstance(section, dict) else {}
    written = next((value for key, value in keys.items() if key.lower() == "folder"), None)
    if written is None:
        return Path(RuntimeSettings().folder).expanduser()
    return Path(str(structure_value("runtime.folder", str, written, origins))).expanduser()
