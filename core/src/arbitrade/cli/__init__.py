"""The command line: `arbitrade`.

Each command is one module beside this one and comes in through the hook
`arbitrade_register_commands`, core's own as well as plugins'.  A command gets at settings and
plugins by `@click.pass_obj`, which hands it a `CommandLine`.

Exit codes: 0 done, 1 it failed, 2 wrong usage or settings, 130 Ctrl-C, 141 the reader of the output
went away.
"""

import sys
from pathlib import Path
from typing import NoReturn

import click

from arbitrade.cli.context import CommandLine
from arbitrade.cli.group import ArbitradeGroup

__all__ = ["CommandLine", "arbitrade", "main"]


@click.group(
    cls=ArbitradeGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  arbitrade demo
  arbitrade detect recording.jsonl --min-edge-bps 5
  arbitrade --config /etc/arbitrade run""",
)
@click.option(
    "--config",
    "folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of settings.toml and .secrets.toml.  [default: $ARBITRADE_CONFIG or this folder]",
)
@click.version_option(package_name="arbitrade-core", prog_name="arbitrade")
@click.pass_context
def arbitrade(context: click.Context, folder: Path | None) -> None:
    """Find and trade triangular arbitrage, truthfully and safely."""
    if context.obj is None:
        context.obj = CommandLine(folder)


def main() -> NoReturn:
    """Run the command line and exit."""
    sys.exit(arbitrade.main(prog_name="arbitrade"))
