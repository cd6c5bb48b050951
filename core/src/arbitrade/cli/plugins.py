"""`arbitrade plugins`: what is installed, what takes part, whether it is sound, and a new one."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from arbitrade.errors import ConfigError, PluginError, UsageError

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.config import SettingsSection
    from arbitrade.plugins import Plugin, PluginRegistry

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@click.group(
    epilog="""\b
Examples:
  arbitrade plugins list
  arbitrade plugins disable triangular
  arbitrade plugins check
  arbitrade plugins new spread --kind rule"""
)
def plugins() -> None:
    """List, choose, check and begin plugins."""


@plugins.command("list", epilog="\b\nExample:\n  arbitrade plugins list --json")
@_as_json
@click.pass_obj
def list_(line: "CommandLine", as_json: bool) -> None:
    """Show every installed plugin, whether it takes part, and why not."""
    registry = line.registry
    rows = [_row(registry, plugin) for plugin in registry]
    cells = ("name", "state", "version", "distribution")
    missing = [problem for problem in registry.problems() if problem.startswith("plugins.enabled")]
    if as_json:
        _print_json(rows)
    else:
        _print_table(
            ("plugin", *cells[1:]),
            [tuple(row[cell] or "" for cell in cells) for row in rows],
            [r["reason"] for r in rows],
        )
    for problem in missing:
        click.echo(problem, err=True)


@plugins.command(epilog="\b\nExample:\n  arbitrade plugins show kraken")
@click.argument("name")
@_as_json
@click.pass_obj
def show(line: "CommandLine", name: str, as_json: bool) -> None:
    """Show what the plugin NAME is, can be configured with, and contributes."""
    described = _describe(line.registry, _find(line.registry, name))
    if as_json:
        _print_json(described)
        return
    click.echo(_as_text(described))


@plugins.command(epilog="\b\nExample:\n  arbitrade plugins enable triangular")
@click.argument("name")
@click.pass_obj
def enable(line: "CommandLine", name: str) -> None:
    """Let the plugin NAME take part from the next start on, and in bots that put it aside.

    Writes the choice to settings.toml and leaves the rest of that file as it is.  Where a running
    bot put the plugin in quarantine, it is let back in at once.
    """
    registry = line.registry
    plugin = _find(registry, name)
    obstacle = registry.obstacle(name)
    if obstacle is not None:
        raise UsageError(f"{plugin.label} can't be enabled: {obstacle}")
    _choose(line, name, is_enabled=True)
    _let_back_in(line, name)


@plugins.command(epilog="\b\nExample:\n  arbitrade plugins disable triangular")
@click.argument("name")
@click.pass_obj
def disable(line: "CommandLine", name: str) -> None:
    """Leave the plugin NAME out from the next start on.

    Writes the choice to settings.toml and leaves the rest of that file as it is.
    """
    from arbitrade.plugins.plugin import CORE

    if _find(line.registry, name).name == CORE:
        raise UsageError("core can't be disabled: it is what the other plugins plug into")
    _choose(line, name, is_enabled=False)


@plugins.command(
    epilog="\b\nExamples:\n  arbitrade plugins check\n  arbitrade plugins check kraken"
)
@click.argument("name", required=False)
@_as_json
@click.pass_obj
def check(line: "CommandLine", name: str | None, as_json: bool) -> None:
    """Check the plugin NAME, or every one, and try out what it contributes.

    Import, version, hooks, settings section, migrations, and whether what it contributes plays its
    role.  Then detectors, rules, executors, sinks, services, stores and venues do their work for a
    moment on made-up input, with default settings: NaN, floats for money, negative sizes, what
    raises, blocks or never ends is found.  No feed or account is run.  Exit code 1 when something
    is wrong.
    """
    from arbitrade.plugins.checks import examine

    registry = line.registry
    chosen = list(registry) if name is None else [_find(registry, name)]
    reports = {plugin.label: examine(plugin) for plugin in chosen}
    if as_json:
        _print_json(
            [
                {"plugin": found.plugin, "check": found.check, "problem": found.problem}
                for report in reports.values()
                for found in report.findings
            ]
        )
    else:
        for label, report in reports.items():
            verdict = f"{len(report.problems)} wrong" if report.problems else "sound"
            click.echo(f"{label}: {verdict} ({len(report.findings)} checked)")
            for found in report.problems:
                click.echo(f"  {found.check}: {found.problem}")
    if any(report.problems for report in reports.values()):
        raise click.exceptions.Exit(1)


@plugins.command(
    epilog="\b\nExamples:\n  arbitrade plugins new spread\n"
    "  arbitrade plugins new bell --kind sink --folder ~/projects\n"
    "  cd ~/projects/arbitrade-bell\n  uv pip install -e '.[dev]'\n"
    "  pytest\n  arbitrade plugins check bell"
)
@click.argument("name")
@click.option(
    "--kind",
    default="detector",
    metavar="KIND",
    help="What it contributes: detector, rule, executor, sink, venue, store, service or command.  "
    "[default: detector]",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder that gets the new folder arbitrade-NAME.  [default: the current one]",
)
def new(name: str, kind: str, folder: Path) -> None:
    """Begin the plugin NAME: a distribution of that kind, with settings and tests that pass."""
    from arbitrade.plugins.discovery import installed_names
    from arbitrade.scaffold import write_plugin

    if name in installed_names():
        raise UsageError(f"{name}: a plugin of this name is installed; choose another")
    context = click.get_current_context().find_root()
    root = context.command
    if kind == "command" and isinstance(root, click.Group) and name in root.list_commands(context):
        raise UsageError(f"{name}: arbitrade has a command of that name; choose another")
    made = write_plugin(name, folder, kind)
    click.echo(f"{made} is a working {kind}.  To try it:")
    click.echo(f"  cd {made}")
    click.echo("  uv pip install -e '.[dev]'")
    click.echo(f"  pytest && arbitrade plugins check {name}")


def _find(registry: "PluginRegistry", name: str) -> "Plugin":
    """Return the plugin of that name; a wrong one is a matter of usage here."""
    try:
        return registry[name]
    except PluginError as error:
        raise UsageError(str(error)) from None


def _choose(line: "CommandLine", name: str, *, is_enabled: bool) -> None:
    from arbitrade.plugins import PluginState
    from arbitrade.plugins.choice import write_choice

    file = line.settings_file
    written = write_choice(file, name, is_enabled=is_enabled)
    line.forget()
    wanted = PluginState.ENABLED if is_enabled else PluginState.DISABLED
    if line.registry.state(name) is not wanted:
        raise ConfigError(_beaten(line, name, file))
    click.echo(f"{name} is {wanted.value}" + (f" in {file}" if written else " already"))


def _let_back_in(line: "CommandLine", name: str) -> None:
    """Lift the quarantine of a plugin in every bot of our state folder that has put it aside."""
    from arbitrade.cli.bots import find_bots
    from arbitrade.errors import ControlError
    from arbitrade.plugins import PluginState

    bots = find_bots(line, None, None)
    for account in bots.running():
        try:
            client = bots.client(account)
            state = str(client.state_json().get("plugins", {}).get(name, ""))
            if not state.startswith(PluginState.QUARANTINED.value):
                continue
            answer = client.command("plugin", {"name": name, "state": "enabled"})
        except ControlError as error:
            click.echo(f"{account}: {error}", err=True)
            continue
        click.echo(f"{account}: {answer.message}", err=not answer.is_done)


def _beaten(line: "CommandLine", name: str, file: Path) -> str:
    origins = line.choice.origins
    who = sorted(
        {
            origin
            for path, origin in origins.items()
            if path.startswith("plugins.") and origin != file.name
        }
    )
    return (
        f"plugins: {file} is as you want it, but {' and '.join(who) or 'another layer'} beats it "
        f"({line.registry.reason(name) or 'still enabled'}); change it there"
    )


def _row(registry: "PluginRegistry", plugin: "Plugin") -> dict[str, str | None]:
    return {
        "name": plugin.name,
        "state": registry.state(plugin.name).value,
        "reason": registry.reason(plugin.name) or None,
        "version": plugin.version,
        "distribution": plugin.distribution,
    }


def _describe(registry: "PluginRegistry", plugin: "Plugin") -> dict[str, object]:
    from arbitrade.plugins.checks import examine

    report = examine(plugin, is_tried_out=False)
    return {
        **_row(registry, plugin),
        "entry_point": plugin.target,
        "hooks": list(report.hooks),
        "contributes": {kind: list(names) for kind, names in report.contributed.items()},
        "settings": {section.name: _defaults(section) for section in report.sections},
        "migrations": list(report.migrations),
        "problems": [f"{finding.check}: {finding.problem}" for finding in report.problems],
    }


def _defaults(section: "SettingsSection") -> dict[str, str]:
    """Return the defaults as text; secrets mask themselves."""
    import attrs

    from arbitrade.config import Settings

    built: object = Settings().section(section.name, section.cls)
    return {field.name: _shown(getattr(built, field.name)) for field in attrs.fields(section.cls)}


def _shown(value: object) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(_shown, value)) or "none"
    return "unset" if value is None else str(value)


def _as_text(described: dict[str, object]) -> str:
    lines = []
    for key, value in described.items():
        if isinstance(value, dict):
            lines += [f"{key}:" if value else f"{key}: none"]
            lines += [f"  {name}:{_inner(inner)}" for name, inner in value.items()]
        elif isinstance(value, list):
            lines += [f"{key}:" if value else f"{key}: none", *(f"  {item}" for item in value)]
        elif value is not None:
            lines.append(f"{key.replace('_', ' ')}: {value}")
    return "\n".join(lines)


def _inner(value: object) -> str:
    if isinstance(value, dict):
        return "".join(f"\n    {name} = {inner}" for name, inner in value.items())
    return f" {_shown(value)}"


def _print_table(
    head: tuple[str, ...], rows: list[tuple[str, ...]], remarks: Iterable[str | None]
) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]

    def padded(row: tuple[str, ...]) -> str:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        return "  ".join(cells).rstrip()

    click.echo(padded(head))
    for row, remark in zip(rows, remarks, strict=True):
        click.echo(padded(row))
        if remark:
            click.echo(f"  {remark}")


def _print_json(value: object) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
