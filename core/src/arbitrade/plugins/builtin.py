"""Core's own features, registered through the same hooks as everyone's.

Imports what a feature needs inside its hook, so that `arbitrade --help` stays fast.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from arbitrade.errors import PluginError
from arbitrade.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

    from arbitrade.config import Settings
    from arbitrade.models.migrations import MigrationSeries
    from arbitrade.protocols import AlertSink, Executor, OpportunityStore, RiskRule, RiskView

COMMANDS = (
    "demo",
    "run",
    "status",
    "halt",
    "resume",
    "flatten",
    "limits",
    "report",
    "export",
    "audit",
    "replay",
    "detect",
    "record",
    "config",
    "secrets",
    "plugins",
    "db",
    "journal",
    "doctor",
)
"""Core's commands, in the order they are shown."""


@hookimpl
def arbitrade_register_commands() -> "list[click.Command]":
    """Contribute the commands of core."""
    return [command(name) for name in COMMANDS]


@hookimpl
def arbitrade_register_migrations() -> "list[MigrationSeries]":
    """Contribute the tables of core."""
    from arbitrade.models.migrations import MigrationSeries

    return [MigrationSeries("core", migrations_folder())]


@hookimpl
def arbitrade_make_store(settings: "Settings", url: str) -> "OpportunityStore | None":
    """Build `jsonl:PATH`, one JSON object a line; `-` is standard output."""
    scheme, _, path = url.partition(":")
    if scheme != "jsonl":
        return None
    from arbitrade.store.jsonl import JsonLinesStore

    return JsonLinesStore(path)


@hookimpl
def arbitrade_register_risk_rules(view: "RiskView") -> "list[RiskRule]":
    """Contribute the rules nobody should trade without."""
    from arbitrade.risk.core_rules import core_rules

    return core_rules(view)


@hookimpl
def arbitrade_make_executor(settings: "Settings", name: str) -> "Executor | None":
    """Build `sequential`, `parallel` and `observe`, which sends nothing."""
    if name == "observe":
        from arbitrade.execution.observe import ObserveExecutor

        return ObserveExecutor()
    from arbitrade.execution.sequential import SequentialExecutor

    chosen = settings.execution
    sequential = SequentialExecutor(chosen.minimum_edge_to_go_on_bps)
    if name == "sequential":
        return sequential
    if name == "parallel":
        from arbitrade.execution.parallel import ParallelExecutor

        return ParallelExecutor(chosen.leg_order, sequential)
    return None


@hookimpl
def arbitrade_register_alert_sinks() -> "list[AlertSink]":
    """Contribute the log, which every alert goes to."""
    from arbitrade.alerts.log_sink import LogSink

    return [LogSink()]


def command(name: str) -> "click.Command":
    """Return one of core's commands; each is the object of its module's name."""
    found: click.Command = getattr(import_module(f"arbitrade.cli.{name}"), name)
    return found


def migrations_folder() -> Path:
    """Return where core's migrations are: in the installed package, else in the repository.

    Raises:
        PluginError: In neither; the installation is broken.
    """
    package = Path(__file__).parents[1]
    installed = package / "_migrations"
    if installed.is_dir():
        return installed
    checkout = package.parents[2] / "migrations"
    if checkout.is_dir():
        return checkout
    raise PluginError(f"core: no migrations in {installed}; reinstall arbitrade-core")
