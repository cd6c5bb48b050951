"""`arbitrade flatten`: bring everything back to the start asset."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arbitrade.cli.bots import confirm, find_bots, report, with_bots
from arbitrade.cli.parameters import DecimalType

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine

_PATIENCE_S = 600.0


@click.command(
    epilog="""\b
Examples:
  arbitrade flatten
  arbitrade flatten --loss-cap 50 --yes --json"""
)
@click.option(
    "--loss-cap",
    type=DecimalType(minimum="0"),
    metavar="AMOUNT",
    help="Most it may cost against mid prices, in the reference asset.  "
    "[default: execution.flatten_loss_cap]",
)
@with_bots
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a line.")
@click.pass_obj
def flatten(
    line: "CommandLine",
    loss_cap: Decimal | None,
    account: str | None,
    folder: Path | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Sell everything a bot holds for its start asset, within a loss cap.

    These are real orders at the prices there are.  What would cost more than the cap is left and
    named.  The bot goes on with it if you stop waiting.
    """
    bots = find_bots(line, account, folder)
    name = bots.the_one(
        "only a running bot has books to sell on.  To start one that doesn't trade: "
        "arbitrade halt, then arbitrade run"
    )
    client = bots.client(name)
    state = client.state()
    held = ", ".join(f"{amount:f} {asset}" for asset, amount in state.balances.items() if amount)
    cap = "the cap of its settings" if loss_cap is None else f"{loss_cap:f} {state.reference_asset}"
    confirm(
        f"Account {name!r} ({state.mode.value}) holds {held or 'nothing'}.  Sell it, at a loss of "
        f"at most {cap}?",
        yes=yes,
    )
    arguments = {} if loss_cap is None else {"loss_cap": f"{loss_cap:f}"}
    return report(client.command("flatten", arguments, _PATIENCE_S), as_json=as_json)
