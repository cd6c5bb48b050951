"""Everything about a plugin that can be checked beside a bot: `arbitrade plugins check`."""

# mypy: disable-error-code="type-abstract"
# The roles are protocols and never instantiated; a `type[R]` is how they are handed on.

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from arbitrade.api import Status
from arbitrade.config import Settings, SettingsSection
from arbitrade.errors import ArbitradeError, PluginError
from arbitrade.plugins.asking import answers
from arbitrade.plugins.discovery import CORE_DISTRIBUTION, has_core_requirement
from arbitrade.plugins.hooks import make_manager
from arbitrade.plugins.plugin import CORE, Plugin
from arbitrade.plugins.registry import PluginRegistry
from arbitrade.plugins.scope import WatchedSettings
from arbitrade.plugins.trials.detectors import SAMPLE
from arbitrade.plugins.trials.whole import make, services_of, trials
from arbitrade.protocols import Executor
from arbitrade.risk.quiet import QuietView

NOT_ANYBODYS = "arbitrade-check:nobody"
"""A name no plugin can claim; every `make_*` hook has to say None to it."""


@attrs.frozen
class Defect:
    """One thing checked.

    Args:
        plugin: Its name.
        check: What was looked at.
        problem: What is wrong with it; None when nothing is.
    """

    plugin: str
    check: str
    problem: str | None = None


@attrs.frozen
class Report:
    """What came out when a plugin was looked at by itself.

    Args:
        findings: Everything that was checked.
        hooks: Hooks it implements, in calling order.
        contributed: Names of what it contributes with default settings, by kind.
        sections: Its settings sections.
        migrations: Names of its migration files.
    """

    findings: tuple[Defect, ...]
    hooks: tuple[str, ...] = ()
    contributed: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    sections: tuple[SettingsSection, ...] = ()
    migrations: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Defect, ...]:
        """The findings that are wrong."""
        return tuple(finding for finding in self.findings if finding.problem is not None)


def examine(plugin: Plugin, *, is_tried_out: bool = True) -> Report:
    """Look at one plugin by itself, with default settings and three made-up pairs.

    Builds what its hooks contribute, and connects to nothing.

    Args:
        plugin: As found.
        is_tried_out: Whether what it contributes is tried out on small made-up inputs as well, if
            nothing is wrong until then; see `arbitrade.plugins.trials`.  No feed, account or
            simulation is run.
    """
    if plugin.refusal is not None:
        return Report((Defect(plugin.name, "import", f"not imported: {plugin.refusal}"),))
    first = Defect(plugin.name, "import, version and hooks", plugin.failure)
    if plugin.module is None:
        return Report((first,))
    alone = PluginRegistry([plugin] if plugin.name != CORE else [])
    read: dict[str, type] = {}
    settings = WatchedSettings(on_section=read.__setitem__)
    contributed: dict[str, tuple[str, ...]] = {}
    findings = [first]
    for check, run in _checks(plugin, alone, settings, contributed):
        problem = None
        try:
            run()
        except ArbitradeError as error:
            problem = str(error)
        findings.append(Defect(plugin.name, check, problem))
    findings.append(Defect(plugin.name, "sections it reads", _unregistered(alone, plugin, read)))
    if is_tried_out and not any(found.problem for found in findings):
        findings += _tried_out(plugin, alone, settings)
    return Report(
        tuple(findings),
        hooks=alone.implemented(plugin.name),
        migrations=contributed.pop("migrations", ()),
        contributed={**alone.contributed(plugin.name), **contributed},
        sections=_sections(alone, plugin),
    )


class SampleView:
    """A view of a command that has just started, for trying out services."""

    def status(self) -> Status:
        """Return a status in which nothing has happened."""
        return Status("check", "1970-01-01T00:00:00Z", False, 0, 0, {}, {})


def _checks(
    plugin: Plugin,
    alone: PluginRegistry,
    settings: Settings,
    contributed: dict[str, tuple[str, ...]],
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what is looked at, and how; what `alone` doesn't note itself lands in `contributed`."""
    instruments, only = SAMPLE, plugin.name

    def venue() -> None:
        if "arbitrade_make_venue" in alone.implemented(only):
            alone.make_venue(settings, only)

    def executor() -> None:
        if only != CORE:
            make(plugin, "arbitrade_make_executor", Executor, settings, name=only)

    def simulation() -> None:
        if "arbitrade_make_simulation" in alone.implemented(only):
            alone.make_simulation(settings, only)

    def migrations() -> None:
        own = [series for series in alone.migrations() if series.namespace == only]
        contributed["migrations"] = tuple(file.name for s in own for file in s.files())

    if plugin.distribution is not None:
        yield "requirement on core", lambda: _check_requirement(plugin)
    yield "settings section", lambda: _check_sections(alone)
    yield "commands", alone.commands
    yield "migrations", migrations
    yield "detectors", lambda: alone.detectors(settings, instruments, only=only)
    yield "risk rules", lambda: alone.risk_rules(settings, instruments, QuietView(), only=only)
    yield "alert sinks", lambda: alone.alert_sinks(settings, only=only)
    yield "services", lambda: services_of(alone, settings, SampleView(), only)
    yield "venue", venue
    yield "simulation", simulation
    yield "executor", executor
    yield "declines what is not its own", lambda: _check_declines(plugin, settings)


def _tried_out(plugin: Plugin, alone: PluginRegistry, settings: Settings) -> list[Defect]:
    findings: list[Defect] = []
    try:
        for check, attempt in trials(plugin, alone, settings, SampleView()):
            findings += [Defect(plugin.name, check, one) for one in attempt() or (None,)]
    except ArbitradeError as error:  # of a hook that works only the first time it is called
        findings.append(Defect(plugin.name, "called a second time", str(error)))
    return findings


def _sections(alone: PluginRegistry, plugin: Plugin) -> tuple[SettingsSection, ...]:
    try:
        return tuple(s for s in alone.settings_sections() if s.name == plugin.name)
    except ArbitradeError:
        return ()  # among the findings


def _check_requirement(plugin: Plugin) -> None:
    distribution = importlib.metadata.distribution(plugin.distribution or "")
    if not has_core_requirement(distribution):
        raise PluginError(
            f"{plugin.label} does not say which versions of core it works with; add "
            f'"{CORE_DISTRIBUTION}>=0.1,<0.2" or the like to its dependencies'
        )


def _check_sections(alone: PluginRegistry) -> None:
    for section in alone.settings_sections():
        Settings().section(section.name, section.cls)


def _unregistered(alone: PluginRegistry, plugin: Plugin, read: Mapping[str, type]) -> str | None:
    """Return that a section is read which nobody checks before the bot starts."""
    registered = {section.name for section in _sections(alone, plugin)}
    for name, cls in read.items():
        if plugin.name not in registered | {CORE}:
            return (
                f"{plugin.name}: reads the settings section {name!r} without registering it, so "
                "`arbitrade config check` can't find what is misspelt in it; return "
                f'[SettingsSection("{name}", {cls.__name__})] from arbitrade_register_settings'
            )
    return None


def _check_declines(plugin: Plugin, settings: Settings) -> None:
    manager = make_manager()
    manager.register(plugin.module, plugin.name)
    asked: dict[str, dict[str, Any]] = {
        "arbitrade_make_store": {"url": NOT_ANYBODYS},
        "arbitrade_make_venue": {"name": NOT_ANYBODYS},
        "arbitrade_make_simulation": {"name": NOT_ANYBODYS},
        "arbitrade_make_executor": {"name": NOT_ANYBODYS},
    }
    for hook, wanted in asked.items():
        for _, answer in answers(manager, hook, None, settings=settings, **wanted):
            if answer is not None:
                raise PluginError(
                    f"{plugin.name}: {hook} returned {answer!r} when asked for {NOT_ANYBODYS!r}; "
                    "it has to return None for what is not its own"
                )
