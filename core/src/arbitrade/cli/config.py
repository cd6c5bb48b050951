"""`arbitrade config`: what is set, where it comes from, whether it holds."""

import sys
from typing import TYPE_CHECKING

import click

from arbitrade.cli.context import CommandLine
from arbitrade.config import Settings
from arbitrade.config.load import load_settings

if TYPE_CHECKING:
    from arbitrade.config.show import Row

_WIDEST = 60


def read_settings(line: CommandLine) -> Settings:
    """Return the settings though a plugin may be missing or broken: show what there is."""
    registry = line.registry
    return load_settings(
        registry.settings_sections(),
        folder=line.folder,
        plugin_names=[plugin.name for plugin in registry],
    )


@click.group(
    epilog="""\b
Examples:
  arbitrade config show
  arbitrade config show --section fees
  arbitrade config check && arbitrade record
  arbitrade config example > settings.toml"""
)
def config() -> None:
    """Show and check settings."""


@config.command(
    epilog="""\b
Examples:
  arbitrade config show --section kraken
  arbitrade config show --json | jq '."fees.taker"'
  ARBITRADE_FEES__TAKER=0.0026 arbitrade config show --section fees"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.option("--section", metavar="NAME", help="Only this section.")
@click.pass_obj
def show(line: CommandLine, as_json: bool, section: str | None) -> None:
    """Show every setting with its value and where it comes from.

    Secrets are shown as ********.
    """
    from arbitrade.config.converter import converter
    from arbitrade.config.show import plain_value, rows
    from arbitrade.config.structure import suggest
    from arbitrade.errors import UsageError

    settings = read_settings(line)
    found = rows(settings, section)
    if not found:
        names = {row.path.partition(".")[0] for row in rows(settings) if "." in row.path}
        raise UsageError(f"--section {section}: unknown; {suggest(section or '', names)}")
    if as_json:
        objects = {
            row.path: {"value": plain_value(row.value), "origin": row.origin} for row in found
        }
        click.echo(converter.dumps(objects))
        return
    lines = [(f"{row.path} = {_shown(row)}", row.origin) for row in found]
    width = min(max(len(left) for left, _ in lines), _WIDEST)
    for left, origin in lines:
        click.echo(f"{left:<{width}}  # {origin}")


@config.command(
    epilog="""\b
Examples:
  arbitrade config check
  arbitrade --config /etc/arbitrade config check"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.pass_obj
def check(line: CommandLine, as_json: bool) -> None:
    """Check all settings and report everything that is wrong at once.

    Exit code 0 if they hold, 2 if not.
    """
    from arbitrade.config.converter import converter
    from arbitrade.config.show import rows
    from arbitrade.errors import ConfigError

    try:
        settings = line.load()
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(converter.dumps({"ok": False, "problems": error.problems}))
        sys.exit(2)
    count = len(rows(settings))
    if as_json:
        click.echo(converter.dumps({"ok": True, "problems": (), "settings": count}))
    else:
        click.echo(f"All {count} settings hold.")


@config.command(
    epilog="""\b
Examples:
  arbitrade config example
  arbitrade config example > settings.toml"""
)
@click.pass_obj
def example(line: CommandLine) -> None:
    """Print every setting with its default, of core and of the plugins installed here."""
    from arbitrade.config.example import example as write_example

    click.echo(write_example(line.registry.settings_sections()), nl=False)


def _shown(row: "Row") -> str:
    from arbitrade.config.show import toml_value

    return "(not set)" if row.value is None else toml_value(row.value)
