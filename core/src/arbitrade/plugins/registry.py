"""The plugins of a run, and what each hook brings.

Each hook has one method here.  It asks the enabled plugins one by one, checks that what comes back
plays its role and that no name is taken twice, and remembers who contributed what.
"""

# mypy: disable-error-code="type-abstract"
# The roles are protocols and never instantiated; a `type[R]` is how they are handed on.

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from arbitrade.config import Settings, SettingsSection
from arbitrade.errors import PluginError, UsageError
from arbitrade.models.migrations import MigrationSeries
from arbitrade.plugins.asking import (
    answers,
    called,
    check_section,
    claim,
    contributions,
    instance,
    player,
)
from arbitrade.plugins.hooks import hook_problems, make_manager
from arbitrade.plugins.plugin import CORE, Plugin, PluginState
from arbitrade.plugins.selection import PluginSelection
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

if TYPE_CHECKING:
    from arbitrade.api import TablesByPlugin, View
    from arbitrade.api.history import History
    from arbitrade.models import Instruments


class PluginRegistry(PluginSelection):
    """Plugins, which of them are enabled, and their hooks.

    Until `configure` is called every plugin that works is enabled.

    Args:
        plugins: What was found; core's own features come in addition.
    """

    @classmethod
    def of(cls, plugins: Iterable[object] | Mapping[str, object]) -> "PluginRegistry":
        """Return a registry of these modules (or objects) with hook implementations, and core.

        Names are the mapping's keys, or come from the modules: `arbitrade_bell.plugin` is `bell`.

        Raises:
            PluginError: One of them can't be wired.
        """
        named = (
            plugins.items()
            if isinstance(plugins, Mapping)
            else [(_name_of(module), module) for module in plugins]
        )
        found = []
        for name, module in named:
            problems = hook_problems(module)
            if problems:
                raise PluginError(f"{name}: {'; '.join(problems)}")
            found.append(Plugin(name, module))
        return cls(found)

    # ── whose it is ──────────────────────────────────────────────────────────────────────────────

    def owner(self, role: str, name: str) -> str | None:
        """Return who contributed an object: its role (`detectors`, …) and name; None for nobody."""
        return self._owners.get(role, {}).get(name)

    def quarantine(self, name: str, reason: str) -> bool:
        """Put a plugin aside that did harm; return False when it was not enabled.

        Raises:
            PluginError: It is core, without which nothing works.
        """
        if name != CORE and self.state(name) is not PluginState.ENABLED:
            return False
        return self.disable(name, quarantine=reason)

    # ── hooks: before settings are read ──────────────────────────────────────────────────────────

    def settings_sections(self) -> tuple[SettingsSection, ...]:
        """Return the sections of every plugin that could be imported, enabled or not.

        Raises:
            PluginError: A section of an enabled plugin is not its own, or can't be used.
        """
        sections: list[SettingsSection] = []
        for plugin in self:
            if plugin.module is None:
                continue
            try:
                sections += _sections_of(plugin)
            except PluginError:
                # Left out on purpose, so it must not keep the others from starting.
                if self.state(plugin.name) in (PluginState.ENABLED, PluginState.FAILED):
                    raise
        return tuple(sections)

    def commands(self) -> tuple[click.Command, ...]:
        """Return the commands of enabled plugins, core's first."""
        return self._collect("arbitrade_register_commands", "commands", click.Command)

    # ── hooks: database ──────────────────────────────────────────────────────────────────────────

    def migrations(self) -> tuple[MigrationSeries, ...]:
        """Return the migration series of enabled plugins, core's first; their files are checked."""
        hook = "arbitrade_register_migrations"
        series: list[MigrationSeries] = []
        for owner, candidate in contributions(self._manager, hook):
            checked = instance(owner, hook, candidate, MigrationSeries)
            if checked.namespace != owner:
                raise PluginError(
                    f"{owner}: {hook} returned the namespace {checked.namespace!r}; "
                    "a plugin's own name is its namespace"
                )
            if checked.namespace in {s.namespace for s in series}:
                raise PluginError(f"{owner}: {hook} returned more than one series")
            checked.files()
            series.append(checked)
        return tuple(series)

    def make_store(self, settings: Settings, url: str) -> OpportunityStore:
        """Return the store for `url`, `scheme:rest`.

        Raises:
            UsageError: Nobody knows the scheme.
        """
        made = self._make("arbitrade_make_store", OpportunityStore, settings=settings, url=url)
        if made is None:
            raise UsageError(
                f"store {url!r}: no enabled plugin keeps opportunities there; "
                "jsonl:PATH writes them to a file, jsonl:- to standard output"
            )
        return made[1]

    # ── hooks: the market ────────────────────────────────────────────────────────────────────────

    def make_venue(self, settings: Settings, name: str) -> Venue:
        """Return the adapter of the venue called `name`.

        Raises:
            UsageError: Nobody has it.
        """
        made = self._make("arbitrade_make_venue", Venue, settings=settings, name=name)
        if made is None:
            raise UsageError(
                f"venue {name!r}: no enabled plugin has it; "
                f"installed and enabled: {self._implementers('arbitrade_make_venue')}"
            )
        owner, venue = made
        called(owner, "arbitrade_make_venue", venue.name, name)
        self._owners.setdefault("venues", {})[name] = owner
        return venue

    def make_simulation(self, settings: Settings, name: str) -> Simulation:
        """Return what stands in for the venue called `name`.

        Raises:
            UsageError: Nobody has it.
        """
        hook = "arbitrade_make_simulation"
        made = self._make(hook, Simulation, settings=settings, name=name)
        if made is None:
            raise UsageError(
                f"venue {name!r}: no enabled plugin simulates it; "
                f"installed and enabled with a simulation: {self._implementers(hook)}"
            )
        owner, simulation = made
        called(owner, hook, simulation.name, name)
        self._owners.setdefault("simulations", {})[name] = owner
        return simulation

    def detectors(
        self, settings: Settings, instruments: "Instruments", *, only: str | None = None
    ) -> tuple[Detector, ...]:
        """Return the detectors of all enabled plugins, or of `only` one."""
        return self._register(
            "arbitrade_register_detectors",
            "detectors",
            Detector,
            only,
            settings=settings,
            instruments=instruments,
        )

    # ── hooks: from opportunity to order ─────────────────────────────────────────────────────────

    def risk_rules(
        self,
        settings: Settings,
        instruments: "Instruments",
        view: RiskView,
        *,
        only: str | None = None,
    ) -> tuple[RiskRule, ...]:
        """Return the risk rules of all enabled plugins, or of `only` one, sorted by name."""
        rules = self._register(
            "arbitrade_register_risk_rules",
            "risk_rules",
            RiskRule,
            only,
            settings=settings,
            instruments=instruments,
            view=view,
        )
        return tuple(sorted(rules, key=lambda rule: rule.name))

    def make_executor(self, settings: Settings, name: str) -> Executor:
        """Return the executor called `name`.

        Raises:
            PluginError: Nobody has it.
        """
        made = self._make("arbitrade_make_executor", Executor, settings=settings, name=name)
        if made is None:
            raise PluginError(
                f"execution.executor: no enabled plugin makes {name!r}; core has sequential, "
                "parallel and observe, so write one of these, or enable the plugin that brings "
                f"it (asked: {self._implementers('arbitrade_make_executor')})"
            )
        owner, executor = made
        called(owner, "arbitrade_make_executor", executor.name, name)
        self._owners.setdefault("executors", {})[name] = owner
        return executor

    # ── hooks: beside the market ─────────────────────────────────────────────────────────────────

    def alert_sinks(self, settings: Settings, *, only: str | None = None) -> tuple[AlertSink, ...]:
        """Return the alert sinks of all enabled plugins, or of `only` one."""
        return self._register(
            "arbitrade_register_alert_sinks", "alert_sinks", AlertSink, only, settings=settings
        )

    def services(
        self,
        settings: Settings,
        view: "View",
        history: "History",
        tables: "TablesByPlugin",
        *,
        only: str | None = None,
    ) -> tuple[Service, ...]:
        """Return the services of all enabled plugins, or of `only` one."""
        return self._register(
            "arbitrade_register_services",
            "services",
            Service,
            only,
            settings=settings,
            view=view,
            history=history,
            tables=tables,
        )

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _implementers(self, hook: str) -> str:
        names = [n for n in self.enabled() if hook in self.implemented(n)]
        return ", ".join(names) or "none"

    def _collect(self, hook: str, kind: str, cls: type[click.Command]) -> tuple[click.Command, ...]:
        owners = self._owners[kind] = {}
        commands = []
        for owner, candidate in contributions(self._manager, hook):
            command = instance(owner, hook, candidate, cls)
            claim(owners, owner, hook, command.name or "")
            commands.append(command)
        return tuple(commands)

    def _register[R: (Detector, RiskRule, AlertSink, Service)](
        self, hook: str, kind: str, role: type[R], only: str | None, **arguments: object
    ) -> tuple[R, ...]:
        owners = self._owners.get(kind, {}) if only is not None else {}
        owners = {name: owner for name, owner in owners.items() if owner != only}
        found: list[R] = []
        for owner, candidate in contributions(self._manager, hook, only, **arguments):
            checked = player(owner, hook, candidate, role)
            claim(owners, owner, hook, checked.name)
            found.append(checked)
        self._owners[kind] = owners
        return tuple(found)

    def _make[R](self, hook: str, role: type[R], **arguments: object) -> tuple[str, R] | None:
        """Ask until someone answers with something; return who and what."""
        for owner, candidate in answers(self._manager, hook, None, **arguments):
            if candidate is not None:
                return owner, player(owner, hook, candidate, role)
        return None


def _sections_of(plugin: Plugin) -> list[SettingsSection]:
    hook = "arbitrade_register_settings"
    manager = make_manager()
    manager.register(plugin.module, plugin.name)
    sections: list[SettingsSection] = []
    for owner, candidate in contributions(manager, hook):
        checked = instance(owner, hook, candidate, SettingsSection)
        check_section(owner, checked, is_second=bool(sections))
        sections.append(checked)
    return sections


def _name_of(module: object) -> str:
    name = str(getattr(module, "__name__", type(module).__name__))
    parts = [part for part in name.split(".") if part != "plugin"]
    return parts[-1].removeprefix("arbitrade_") if parts else name
