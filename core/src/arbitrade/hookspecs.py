"""Every extension point, in calling order.

A hook is called once per wiring of its plugin (at start, and again when the plugin is enabled at
run time) and returns objects that play a role of `arbitrade.protocols`.  From then on core calls
those objects directly.  `register_*`: everyone contributes.  `make_*`: the first who doesn't return
None.

Stability: hooks follow the semantic version of `arbitrade-core`.  Within a major version (while it
is 0: within a minor version) a hook only gains optional parameters; one that has to go is
deprecated for at least one minor version before, with a warning that names its successor.  See
docs/hooks.md.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from arbitrade.api import Tables, View
    from arbitrade.api.history import History
    from arbitrade.config import Settings, SettingsSection
    from arbitrade.models import Instruments
    from arbitrade.models.migrations import MigrationSeries
    from arbitrade.protocols import (
        AlertSink,
        Detector,
        Executor,
        OpportunityStore,
        RiskRule,
        RiskView,
        Service,
        Simulation,
        Venue,
    )

PROJECT = "arbitrade"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# ── before settings are read ─────────────────────────────────────────────────────────────────────


@hookspec
def arbitrade_register_settings() -> "Iterable[SettingsSection]":
    """Contribute settings sections, so that they are validated at start and shown with defaults.

    Called once for each plugin that is found, before settings are structured and before it is known
    which plugins are enabled; must not have side effects.

    Returns:
        Sections, each a name and an attrs class whose fields have defaults.  The name is the
        plugin's own; a clash stops the start with `PluginError`.
    """
    return ()


@hookspec
def arbitrade_register_commands() -> "Iterable[click.Command]":
    """Contribute commands to `arbitrade`.

    Called once at the start of the command line, for enabled plugins.  Import what a command needs
    inside it, so that `--help` stays fast.

    Returns:
        Click commands or groups.  A name that is taken stops the start with `PluginError`.
    """
    return ()


# ── database ─────────────────────────────────────────────────────────────────────────────────────


@hookspec
def arbitrade_register_migrations() -> "Iterable[MigrationSeries]":
    """Contribute SQL migrations for tables of the plugin's own.

    Called by whoever brings the database up to date, and by `arbitrade plugins check`.  What reads
    and writes these tables is a service or a command, by the `Tables` it is handed.

    Returns:
        Series, each a namespace and the folder with its `NNNN_name.sql` files; a namespace that is
        taken, or a folder with gaps or twins in its numbers, stops with `PluginError`.
    """
    return ()


@hookspec(firstresult=True)
def arbitrade_make_store(settings: "Settings", url: str) -> "OpportunityStore | None":
    """Build the store that keeps opportunities.

    Called once for each store the user asks for (`detect --out`).

    Args:
        settings: Everything configured.
        url: What to build, `scheme:rest`; `jsonl:PATH` is core's.

    Returns:
        The store, None when the scheme is not yours.  If nobody takes it the command stops with
        `UsageError`.
    """


# ── the market ───────────────────────────────────────────────────────────────────────────────────


@hookspec(firstresult=True)
def arbitrade_make_venue(settings: "Settings", name: str) -> "Venue | None":
    """Build an exchange adapter.

    Called once for each venue in use, before anything connects.

    Args:
        settings: Everything configured; read your own part with
            ``settings.section("yourname", YourSettings)``.
        name: The venue wanted.

    Returns:
        The adapter, None when `name` is not yours.  If nobody takes it the command stops with
        `UsageError`, naming the venues that are installed.
    """


@hookspec(firstresult=True)
def arbitrade_make_simulation(settings: "Settings", name: str) -> "Simulation | None":
    """Build a simulated venue that stands in for the real one.

    Called once by commands that trade with play money, before the settings are read that the
    simulated venue then lays its addresses over.

    Args:
        settings: Everything configured, still pointing at the real venue.
        name: The venue to stand in for.

    Returns:
        The simulation, None when `name` is not yours.  If nobody takes it the command stops with
        `UsageError`, naming the plugins that have one.
    """


@hookspec
def arbitrade_register_detectors(
    settings: "Settings", instruments: "Instruments"
) -> "Iterable[Detector]":
    """Contribute detectors that turn book changes into opportunities.

    Called once, after the venue has reported its instruments and before the first book, and again
    when the plugin is enabled at run time.  Core keeps the objects and calls `Detector.on_book`
    itself; that method must not block or await.

    Args:
        settings: Everything configured; read your own part with
            ``settings.section("yourname", YourSettings)``.
        instruments: All pairs with their precisions, increments and minimums.  Read-only.

    Returns:
        Any number of detectors, none if there is nothing to do.  Names must be unique; a clash
        stops the start with `PluginError`.
    """
    return ()


# ── from opportunity to order ────────────────────────────────────────────────────────────────────


@hookspec
def arbitrade_register_risk_rules(
    settings: "Settings", instruments: "Instruments", view: "RiskView"
) -> "Iterable[RiskRule]":
    """Contribute rules that may refuse an opportunity, or make it smaller (`SizeRule`).

    Called once, with the detectors, and again when the plugin is enabled at run time.  Rules are
    asked in the order of their names; one that raises refuses, for as long as it does.

    Args:
        settings: Everything configured.
        instruments: All pairs with their precisions, increments and minimums.  Read-only.
        view: What may be looked at: limits, balances, what is under way, health.

    Returns:
        Any number of rules.  Names must be unique; a clash stops the start with `PluginError`.
    """
    return ()


@hookspec(firstresult=True)
def arbitrade_make_executor(settings: "Settings", name: str) -> "Executor | None":
    """Build the executor that carries out approved opportunities.

    Called once when a run is put together, and once for each detector that brings an executor
    (`BringsExecutor`) when that is made, again when its plugin is enabled at run time.

    Args:
        settings: Everything configured.
        name: `execution.executor` of the settings, or what the detector's `executor` says.

    Returns:
        The executor, None when `name` is not yours.  If nobody takes it the start stops with
        `PluginError`.
    """


# ── beside the market ────────────────────────────────────────────────────────────────────────────


@hookspec
def arbitrade_register_alert_sinks(settings: "Settings") -> "Iterable[AlertSink]":
    """Contribute sinks that bring alerts to people.

    Called once, before anything can go wrong that is worth an alert.

    Returns:
        Any number of sinks, none while no address is configured.  Names must be unique; a clash
        stops the start with `PluginError`.
    """
    return ()


@hookspec
def arbitrade_register_services(
    settings: "Settings", view: "View", history: "History", tables: "Tables"
) -> "Iterable[Service]":
    """Contribute services that run beside the bot, such as a dashboard.

    Called once by long-running commands, after the venue is built.  Each service gets a task of its
    own; one that raises is reported and the rest goes on.

    Args:
        settings: Everything configured.
        view: What there is to see; safe to read at any time from the event loop.  It is a
            `arbitrade.api.Bot` while the command trades: `isinstance(view, Bot)` tells.
        history: What is kept in the database, to be read.  Never None: while the database is away,
            and in a command without one (`record`), its methods raise `DatabaseError`.
        tables: Connections for the tables of the plugin's own migrations.  Never None, likewise.

    Returns:
        Any number of services.  Names must be unique; a clash stops the start with `PluginError`.
    """
    return ()
