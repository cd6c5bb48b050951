"""`arbitrade audit`: what was done by whom, and whether anybody changed that."""

from typing import TYPE_CHECKING

import click

from arbitrade.cli.history import read_history

if TYPE_CHECKING:
    from arbitrade.accounting.audit import AuditEntry
    from arbitrade.cli.context import CommandLine
    from arbitrade.store.repositories import Repositories

_account_option = click.option("--account", help="Of this account only.  [default: all]")
_json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of lines.")


@click.group(
    epilog="""\b
Examples:
  arbitrade audit verify
  arbitrade audit list --last 20"""
)
def audit() -> None:
    """Show and verify the audit: state changes and operators' actions, chained by hashes."""


@audit.command(
    epilog="""\b
Examples:
  arbitrade audit verify
  arbitrade audit verify --account main --json"""
)
@_account_option
@_json_option
@click.pass_obj
def verify(line: "CommandLine", account: str | None, as_json: bool) -> int:
    """Go along the chain from its beginning; exit code 1 if it is broken anywhere.

    Keep the last hash of each account, which is shown, somewhere else: an end that was cut off can
    only be seen by comparing.
    """
    from arbitrade.accounting.audit import verify as verify_chain
    from arbitrade.config.converter import converter

    entries = _entries(line, account)
    problems = verify_chain(entries)
    last = {entry.account: entry for entry in entries}
    if as_json:
        shown = {
            "entries": len(entries),
            "accounts": {name: {"entry": e.entry, "hash": e.hash} for name, e in last.items()},
            "problems": problems,
        }
        click.echo(converter.dumps(shown))
        return 1 if problems else 0
    for problem in problems:
        click.echo(f"Broken: entry {problem.entry} of run {problem.run} {problem.text}", err=True)
    for name, entry in last.items():
        click.echo(f"{name}: {entry.entry} entries, the last with hash {entry.hash}")
    if not entries:
        click.echo("No audit entries.", err=True)
    elif not problems:
        click.echo("The chain holds.")
    return 1 if problems else 0


@audit.command(
    "list",
    epilog="""\b
Examples:
  arbitrade audit list
  arbitrade audit list --last 100 --account main --json""",
)
@_account_option
@click.option(
    "--last", type=click.IntRange(min=1), default=50, show_default=True, help="How many entries."
)
@_json_option
@click.pass_obj
def list_(line: "CommandLine", account: str | None, last: int, as_json: bool) -> None:
    """List the last entries, the oldest of them first."""
    from arbitrade.config.converter import converter
    from arbitrade.store.mapping import instant

    entries = _entries(line, account)[-last:]
    if as_json:
        for entry in entries:
            click.echo(converter.dumps(entry))
        return
    if not entries:
        click.echo("No audit entries.", err=True)
    for entry in entries:
        at = f"{instant(entry.time_ns):%Y-%m-%d %H:%M:%S}"
        what = " ".join(part for part in (entry.action, entry.subject, entry.detail) if part)
        click.echo(f"{entry.entry:>6}  {at}  {entry.account:<10}  {entry.actor:<16}  {what}")


def _entries(line: "CommandLine", account: str | None) -> "list[AuditEntry]":
    async def read(repositories: "Repositories") -> "list[AuditEntry]":
        return [entry async for entry in repositories.events.audit_entries(account)]

    return read_history(line, read)
