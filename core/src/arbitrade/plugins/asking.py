"""Asks plugins, and checks what they answer."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

import attrs
import pluggy

from arbitrade.config import CORE_SECTIONS, Settings, SettingsSection
from arbitrade.errors import ArbitradeError, PluginError
from arbitrade.plugins.plugin import CORE
from arbitrade.plugins.roles import role_problems
from arbitrade.plugins.scope import scoped

if TYPE_CHECKING:
    from arbitrade.api import TablesByPlugin


def contributions(
    manager: pluggy.PluginManager, hook: str, only: str | None = None, **arguments: object
) -> Iterator[tuple[str, object]]:
    """Yield who contributes what to a `register_*` hook."""
    for owner, answer in answers(manager, hook, only, **arguments):
        if answer is None:
            continue
        if isinstance(answer, str | bytes) or not isinstance(answer, Iterable):
            raise PluginError(
                f"{owner}: {hook} returned {answer!r}; it has to return a list, maybe an empty one"
            )
        try:
            contributed = list(answer)
        except ArbitradeError:
            raise
        except Exception as error:  # a generator runs only now
            raise _hook_failure(owner, hook, error) from error
        for candidate in contributed:
            yield owner, candidate


def answers(
    manager: pluggy.PluginManager, hook: str, only: str | None, **arguments: object
) -> Iterator[tuple[str, object]]:
    """Ask plugins one by one, in the order they were registered; yield who says what.

    Not all at once as pluggy would, because each answer needs an owner.  Core comes first, so no
    plugin takes one of its names by surprise; `tryfirst` and `trylast` change nothing.
    """
    order = [name for name, _ in manager.list_name_plugin()]
    implementations = getattr(manager.hook, hook).get_hookimpls()
    for implementation in sorted(implementations, key=lambda i: order.index(i.plugin_name)):
        owner: str = implementation.plugin_name
        if only not in (None, owner):
            continue
        handed = dict(arguments)
        settings = handed.get("settings")
        if isinstance(settings, Settings):
            handed["settings"] = scoped(settings, owner)
        if "tables" in handed:
            handed["tables"] = cast("TablesByPlugin", handed["tables"]).of(owner)
        try:
            answer = implementation.function(*(handed[a] for a in implementation.argnames))
        except ArbitradeError:
            raise  # says already what is wrong and what to do
        except Exception as error:
            raise _hook_failure(owner, hook, error) from error
        yield owner, answer


def _hook_failure(owner: str, hook: str, error: Exception) -> PluginError:
    fix = (
        "Reinstall arbitrade-core"
        if owner == CORE
        else "Upgrade the plugin or tell its author; "
        f"to go on without it: arbitrade plugins disable {owner}"
    )
    return PluginError(f"{owner}: {hook} raised {type(error).__name__}: {error}. {fix}")


def instance[T](owner: str, hook: str, candidate: object, cls: type[T]) -> T:
    """Return what a hook returned if it is a `cls`; raise `PluginError` otherwise."""
    if isinstance(candidate, cls):
        return candidate
    raise PluginError(
        f"{owner}: {hook} returned {candidate!r}; it has to be a {cls.__module__}.{cls.__name__}"
    )


def player[R](owner: str, hook: str, candidate: object, role: type[R]) -> R:
    """Return what a hook returned if it plays `role`; raise `PluginError` otherwise."""
    problems = role_problems(candidate, role)
    if problems:
        raise PluginError(
            f"{owner}: {hook} returned a {type(candidate).__name__} that is no {role.__name__}: "
            + "; ".join(problems)
        )
    return cast(R, candidate)


def called(owner: str, hook: str, name: str, wanted: str) -> None:
    """Raise `PluginError` unless what was made has the name asked for."""
    if name != wanted:
        raise PluginError(
            f"{owner}: {hook} was asked for {wanted!r} and returned one called {name!r}; "
            "it has to return None for names that are not its own"
        )


def claim(owners: dict[str, str], owner: str, hook: str, name: str) -> None:
    """Note that `owner` has `name`; raise `PluginError` when it is taken."""
    if not name:
        raise PluginError(f"{owner}: {hook} returned something without a name")
    if name not in owners:
        owners[name] = owner
        return
    if owners[name] == owner:
        raise PluginError(f"{owner}: {hook} returned two things called {name!r}; rename one")
    raise PluginError(
        f"{owner}: {hook} returned {name!r}, but {owners[name]} has one of that name; "
        f"disable one of the two: arbitrade plugins disable {owner}"
    )


def check_section(owner: str, section: SettingsSection, *, is_second: bool) -> None:
    """Raise `PluginError` unless the section is the plugin's own and can be structured."""
    subject = f"{owner}: arbitrade_register_settings returned the section {section.name!r}"
    if owner != CORE and section.name in {core.name for core in CORE_SECTIONS}:
        raise PluginError(f"{subject}, which is core's; the plugin needs another name")
    if is_second:
        raise PluginError(f"{subject} beside another; a plugin has one")
    if section.name != owner:
        raise PluginError(f"{subject}; a plugin's section has the plugin's own name")
    if not attrs.has(section.cls):
        raise PluginError(f"{subject} with {section.cls!r}; it has to be an attrs class")
    required = [f.name for f in attrs.fields(section.cls) if f.init and f.default is attrs.NOTHING]
    if required:
        raise PluginError(f"{subject} whose {', '.join(required)} has no default; give it one")
