"""`arbitrade resume`: trade again after a halt."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arbitrade.cli.bots import confirm, find_bots, report, with_bots

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine


@click.command(
    epilog="""\b
Examples:
  arbitrade resume --reason "prices are back to normal"
  arbitrade resume --account main --reason checked --yes"""
)
@click.option("--reason", required=True, help="Why it is safe again; goes into the audit.")
@with_bots
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a line.")
@click.pass_obj
def resume(
    line: "CommandLine",
    reason: str,
    account: str | None,
    folder: Path | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Let a halted bot trade again.

    The bot has to run: a halted one starts all the same, and checks its ledger against the venue
    before it says that it may go on.
    """
    bots = find_bots(line, account, folder)
    name = bots.the_one("start it first (arbitrade run): it starts halted, then resume it")
    client = bots.client(name, timeout_s=60.0)
    reason_now = client.state_json().get("halt_reason")
    now = f"is halted ({reason_now})" if reason_now else "isn't halted"
    confirm(f"Account {name!r} {now}.  Let it trade?", yes=yes)
    return report(client.command("resume", {"reason": reason}), as_json=as_json)
