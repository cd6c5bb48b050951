"""`arbitrade journal`: whether a journal is whole, and the way on after damage."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.config import Settings

_account_option = click.option("--account", help="Of this account only.  [default: all]")
_json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")


@click.group(
    epilog="""\b
Examples:
  arbitrade journal check
  arbitrade journal quarantine --account main"""
)
def journal() -> None:
    """Look after the journals: what a bot writes down before it acts, one folder an account."""


@journal.command(
    epilog="""\b
Examples:
  arbitrade journal check
  arbitrade journal check --account main --json"""
)
@_account_option
@_json_option
@click.pass_obj
def check(line: "CommandLine", account: str | None, as_json: bool) -> int:
    """Read every record; exit code 1 if one is not what was written.

    Changes nothing, and may be run beside the bot.  Half a record at the very end is no damage: the
    process or the machine stopped while it was written, and the next start cuts it off.
    """
    from arbitrade.config.converter import converter

    found = [_look(name, folder) for name, folder in _folders(line.load(), account)]
    if as_json:
        click.echo(converter.dumps({"journals": found}))
    else:
        for one in found:
            click.echo(one["text"])
    return 1 if any(one["damage"] for one in found) else 0


@journal.command(
    epilog="""\b
Examples:
  arbitrade journal quarantine --account main
  arbitrade journal quarantine --account main --yes"""
)
@_account_option
@click.option("--yes", is_flag=True, help="Don't ask.")
@_json_option
@click.pass_obj
def quarantine(line: "CommandLine", account: str | None, yes: bool, as_json: bool) -> None:
    """Take damage out of a journal, so that the bot can start without what it destroyed.

    The damaged bytes are kept in a file beside their segment.  At its next start the bot compares
    its balances with the venue's, and halts if what was lost makes a difference.
    """
    from arbitrade.config.converter import converter
    from arbitrade.journal import quarantine as take_out

    folders = list(_folders(line.load(), account))
    damaged = [(name, folder) for name, folder in folders if _look(name, folder)["damage"]]
    if damaged and not yes:
        names = ", ".join(name for name, _ in damaged)
        click.confirm(f"Take the damage out of the journal of {names}?", abort=True, err=True)
    taken = [(name, one) for name, folder in damaged for one in take_out(folder)]
    if as_json:
        click.echo(converter.dumps({"quarantined": [one for _, one in taken]}))
        return
    for name, one in taken:
        lost = f"records {one.lost[0]} to {one.lost[-1]} are lost" if one.lost else "no record lost"
        kept = "" if one.kept is None else f"; {one.length} bytes are kept in {one.kept}"
        click.echo(f"{name}: {one.reason} at byte {one.offset} of {one.path}: {lost}{kept}")
    if not taken:
        click.echo("Nothing to do; no journal is damaged.")


def _folders(settings: "Settings", account: str | None) -> Iterator[tuple[str, Path]]:
    """Yield the journals there are.

    Raises:
        UsageError: There is none, or none of this account.
    """
    from arbitrade.control.places import state_folder
    from arbitrade.errors import UsageError

    root = state_folder(settings) / "journal"
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not names:
        raise UsageError(
            f"{root}: no journal yet; a bot makes it, so look whether runtime.folder is the bot's"
        )
    if account is not None and account not in names:
        raise UsageError(f"--account {account}: no journal in {root}; there are {', '.join(names)}")
    for name in names if account is None else [account]:
        yield name, root / name


def _look(name: str, folder: Path) -> dict[str, object]:
    """Return what is in a journal, and the first damage."""
    from arbitrade.errors import JournalCorruptError
    from arbitrade.journal.walk import JournalWalk

    walk = JournalWalk(folder)
    records, lost, damage, torn = 0, 0, "", 0
    try:
        while (frame := walk.read()) is not None:
            records += frame.payload is not None
            lost += 0 if frame.payload is not None else frame.last - frame.seq + 1
        torn = 0 if walk.current is None else len(walk.current.rest())
    except JournalCorruptError as error:
        damage = str(error)
    finally:
        walk.close()
    text = f"{name}: {records:,} records, up to number {walk.next_seq - 1}"
    if lost:
        text += f"; {lost} quarantined earlier"
    if torn:
        text += f"; {torn} bytes of an unfinished record at the end"
    text += f"\n{name}: DAMAGED: {damage}" if damage else "; all are what was written"
    return {
        "account": name,
        "folder": str(folder),
        "records": records,
        "last": walk.next_seq - 1,
        "lost": lost,
        "torn_bytes": torn,
        "damage": damage,
        "text": text,
    }
