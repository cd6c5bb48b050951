"""Finds installed plugins: entry points of the group `arbitrade.plugins`."""

import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Collection
from importlib.metadata import Distribution, EntryPoint

import attrs
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from stevedore import ExtensionManager

from arbitrade.plugins.hooks import hook_problems
from arbitrade.plugins.plugin import CORE, GROUP, Plugin
from arbitrade.plugins.registry import PluginRegistry

CORE_DISTRIBUTION = "arbitrade-core"

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


def discover(allowed_distributions: Collection[str] = ()) -> PluginRegistry:
    """Return a registry of core's own features and every installed plugin.

    Never raises for a plugin that is broken: it is listed with the reason, and
    `PluginRegistry.configure` stops the start if it is enabled.

    Args:
        allowed_distributions: Plugins of other distributions are not imported; empty allows any.
    """
    allowed = frozenset(canonicalize_name(name) for name in allowed_distributions)
    by_name: dict[str, list[EntryPoint]] = defaultdict(list)
    # Not stevedore's own list: that one is cached on disk and has forgotten which distribution an
    # entry point belongs to, which the allow-list and the version check need.
    for entry_point in importlib.metadata.entry_points(group=GROUP):
        by_name[entry_point.name].append(entry_point)
    return PluginRegistry(_load(by_name[name], allowed) for name in sorted(by_name))


def installed_names() -> tuple[str, ...]:
    """Return the names of installed plugins, importing none of them."""
    return tuple(sorted({e.name for e in importlib.metadata.entry_points(group=GROUP)}))


def version_problem(distribution: Distribution, core_version: str) -> str | None:
    """Return why a plugin's distribution does not fit this core; None when it does.

    What counts is the requirement on `arbitrade-core` in its metadata.
    """
    for requirement in _core_requirements(distribution):
        if not requirement.specifier.contains(core_version, prereleases=True):
            return (
                f"it needs {requirement}, but {CORE_DISTRIBUTION} {core_version} is installed; "
                f"install a version of {distribution.metadata['Name']} made for {core_version}"
            )
    return None


def has_core_requirement(distribution: Distribution) -> bool:
    """Return whether the distribution says which versions of core it works with."""
    return any(requirement.specifier for requirement in _core_requirements(distribution))


def core_version() -> str:
    """Return the version of core that runs."""
    return importlib.metadata.version(CORE_DISTRIBUTION)


def _core_requirements(distribution: Distribution) -> list[Requirement]:
    found = []
    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != CORE_DISTRIBUTION:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found.append(requirement)
    return found


def _load(entry_points: list[EntryPoint], allowed: frozenset[str]) -> Plugin:
    entry_point = entry_points[0]
    distribution = entry_point.dist
    plugin = Plugin(
        entry_point.name,
        distribution=distribution.metadata["Name"] if distribution else None,
        version=distribution.version if distribution else None,
        target=entry_point.value,
    )
    if plugin.name == CORE:  # two can't be listed under one name
        plugin = attrs.evolve(plugin, name=plugin.distribution or plugin.target)
    if allowed and canonicalize_name(plugin.distribution or "") not in allowed:
        return attrs.evolve(
            plugin, refusal=f"{plugin.distribution} is not in plugins.allowed_distributions"
        )
    problem = _problem_before_import(entry_points, distribution)
    if problem is not None:
        return attrs.evolve(plugin, failure=problem)
    return _import(plugin, entry_point)


def _problem_before_import(
    entry_points: list[EntryPoint], distribution: Distribution | None
) -> str | None:
    name = entry_points[0].name
    if len(entry_points) > 1:
        owners = sorted(str(e.dist.metadata["Name"] if e.dist else e.value) for e in entry_points)
        return f"its name is offered by {' and '.join(owners)}; uninstall all but one of them"
    if name == CORE:
        return f"the name {CORE!r} belongs to core; its author has to choose another"
    if not _NAME.match(name):
        return "its name has to be a lower-case word ([a-z][a-z0-9_]*); its author has to change it"
    return version_problem(distribution, core_version()) if distribution else None


def _import(plugin: Plugin, entry_point: EntryPoint) -> Plugin:
    failures: list[BaseException] = []
    try:
        found = _OneEntryPoint(entry_point, failures)
    except (Exception, SystemExit) as error:  # stevedore lets AssertionError and SystemExit pass
        failures.append(error)
    if failures:
        return attrs.evolve(plugin, failure=_import_failure(plugin, failures[0]))
    module: object = found.extensions[0].plugin
    problems = hook_problems(module)
    if problems:
        return attrs.evolve(
            plugin,
            failure=f"it can't be wired: {'; '.join(problems)}; upgrade it or tell its author",
        )
    return attrs.evolve(plugin, module=module)


class _OneEntryPoint(ExtensionManager[object]):
    """Loads one entry point; what goes wrong lands in `failures`."""

    def __init__(self, entry_point: EntryPoint, failures: list[BaseException]) -> None:
        self._entry_point = entry_point
        super().__init__(
            GROUP,
            on_load_failure_callback=lambda _manager, _entry_point, error: failures.append(error),
        )

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry_point]


def _import_failure(plugin: Plugin, error: BaseException) -> str:
    reason = f"importing {plugin.target} raised {type(error).__name__}: {error}"
    fix = (
        f"install what is missing (reinstalling {plugin.distribution} brings its dependencies)"
        if isinstance(error, ImportError)
        else f"upgrade {plugin.distribution} or tell its author"
    )
    return f"{reason}; {fix}"
