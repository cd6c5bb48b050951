"""Tries out everything that one plugin contributes, with default settings."""

# mypy: disable-error-code="type-abstract"
# The roles are protocols and never instantiated; a `type[R]` is how they are handed on.

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from arbitrade.config import Settings
from arbitrade.models import Instruments
from arbitrade.plugins.asking import answers, called, player
from arbitrade.plugins.hooks import make_manager
from arbitrade.plugins.plugin import CORE, Plugin
from arbitrade.plugins.trials.beside import try_service, try_sink, try_store
from arbitrade.plugins.trials.detectors import SAMPLE, try_detector
from arbitrade.plugins.trials.executors import try_executor
from arbitrade.plugins.trials.rules import try_rule
from arbitrade.plugins.trials.running import PATIENCE_S, within
from arbitrade.plugins.trials.venues import try_venue
from arbitrade.protocols import (
    BringsExecutor,
    Detector,
    Executor,
    OpportunityStore,
    RiskRule,
    RiskView,
    Service,
    Venue,
)
from arbitrade.risk.quiet import QuietView
from arbitrade.store.absent import no_database
from arbitrade.store.plugin_tables import PluginTables
from arbitrade.store.repositories import Repositories

if TYPE_CHECKING:
    from arbitrade.api import View
    from arbitrade.plugins.registry import PluginRegistry

type Trial = tuple[str, Callable[[], list[str]]]

_EXECUTORS = {CORE: ("sequential", "parallel", "observe")}
_SCHEMES = {CORE: "jsonl"}
"""By agreement an executor, and the scheme of a store, are called as their plugin is."""


def trials(
    plugin: Plugin, alone: "PluginRegistry", settings: Settings, view: "View"
) -> Iterator[Trial]:
    """Yield what is tried out, and a function that returns what is wrong with it.

    Nothing that is printed meanwhile is shown: a sink that writes to the terminal does its job.

    Args:
        plugin: Which one; it can be wired.
        alone: A registry of it and core.
        settings: All defaults.
        view: For services.
    """
    name = plugin.name
    executors = list(_EXECUTORS.get(name, (name,)))
    for detector in alone.detectors(settings, SAMPLE, only=name):
        if isinstance(detector, BringsExecutor):
            executors.append(detector.executor)
        yield (
            f"detector {detector.name}",
            _quietly(
                partial(try_detector, partial(_detector, alone, settings, name, detector.name))
            ),
        )
    for rule in alone.risk_rules(settings, SAMPLE, QuietView(), only=name):
        yield (
            f"risk rule {rule.name}",
            _quietly(partial(try_rule, partial(_rule, alone, settings, name, rule.name))),
        )
    for called_ in dict.fromkeys(executors):
        executor = make(plugin, "arbitrade_make_executor", Executor, settings, name=called_)
        if executor is not None:
            yield f"executor {called_}", _quietly(partial(try_executor, executor))
    for sink in alone.alert_sinks(settings, only=name):
        yield f"alert sink {sink.name}", _quietly(partial(try_sink, sink))
    for service in services_of(alone, settings, view, name):
        yield f"service {service.name}", _quietly(partial(try_service, service))
    venue = make(plugin, "arbitrade_make_venue", Venue, settings, name=name)
    if venue is not None:
        yield f"venue {name}", _quietly(partial(try_venue, venue))
    if "arbitrade_make_store" in alone.implemented(name):
        yield "store", _quietly(partial(_store, plugin, settings))


def services_of(
    alone: "PluginRegistry", settings: Settings, view: "View", name: str
) -> tuple[Service, ...]:
    """Return a plugin's services, as they are where no database is."""
    absent = no_database("arbitrade plugins check")
    return alone.services(settings, view, Repositories(absent), PluginTables(absent), only=name)


def make[R](
    plugin: Plugin, hook: str, role: type[R], settings: Settings, **arguments: str
) -> R | None:
    """Return what a plugin's `make_*` hook makes under this name, None when nothing."""
    manager = make_manager()
    manager.register(plugin.module, plugin.name)
    for owner, answer in answers(manager, hook, None, settings=settings, **arguments):
        if answer is not None:
            made = player(owner, hook, answer, role)
            if "name" in arguments:
                called(owner, hook, cast(Executor, made).name, arguments["name"])
            return made
    return None


def _detector(
    alone: "PluginRegistry", settings: Settings, owner: str, name: str, instruments: Instruments
) -> Detector:
    found = alone.detectors(settings, instruments, only=owner)
    return next(one for one in found if one.name == name)


def _rule(
    alone: "PluginRegistry", settings: Settings, owner: str, name: str, view: RiskView
) -> RiskRule:
    found = alone.risk_rules(settings, SAMPLE, view, only=owner)
    return next(one for one in found if one.name == name)


def _store(plugin: Plugin, settings: Settings) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"{_SCHEMES.get(plugin.name, plugin.name)}:{Path(folder) / 'trial'}"
        hook = "arbitrade_make_store"
        store = make(plugin, hook, OpportunityStore, settings, url=url)
        # By agreement its scheme is the plugin's name; one of another scheme can't be known here.
        return [] if store is None else try_store(store)


def _quietly(act: Callable[[], list[str]]) -> Callable[[], list[str]]:
    def run() -> list[str]:
        heard = io.StringIO()
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            return within(PATIENCE_S, act)

    return run
