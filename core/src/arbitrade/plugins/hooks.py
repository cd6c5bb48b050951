"""Checks whether a plugin's hook implementations are what `arbitrade.hookspecs` asks for."""

import difflib
import inspect
from collections.abc import Iterator

import pluggy

from arbitrade import hookspecs

PREFIX = f"{hookspecs.PROJECT}_"


def make_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows every hook and no plugin."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def hook_names() -> tuple[str, ...]:
    """Return the names of all hooks, in calling order."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    return tuple(
        name for name in vars(hookspecs) if manager.parse_hookspec_opts(hookspecs, name) is not None
    )


def implemented_hooks(module: object) -> tuple[str, ...]:
    """Return the hooks `module` implements, in calling order."""
    implemented = {hook for _, hook, _ in _implementations(module)}
    return tuple(name for name in hook_names() if name in implemented)


def hook_problems(module: object) -> tuple[str, ...]:
    """Return what is wrong with the hook implementations of `module`; empty when nothing is."""
    problems = [*_unmarked(module)]
    implementations = list(_implementations(module))
    if not implementations and not problems:
        problems.append(
            "it implements no hook; mark at least one function with @arbitrade.hookimpl"
        )
    for attribute, hook, is_wrapper in implementations:
        if hook not in hook_names():
            problems.append(f"there is no hook {hook}{_suggestion(hook)}")
        elif is_wrapper:
            problems.append(
                f"{attribute} is a wrapper; hooks are asked plugin by plugin, so it can't be"
            )
        else:
            problems.extend(_signature_problems(attribute, hook, getattr(module, attribute)))
    return tuple(problems)


def _implementations(module: object) -> Iterator[tuple[str, str, bool]]:
    """Yield attribute, hook and whether it is a wrapper."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    for attribute in dir(module):
        options = manager.parse_hookimpl_opts(module, attribute)
        if options is not None:
            wraps = bool(options.get("wrapper") or options.get("hookwrapper"))
            yield attribute, options.get("specname") or attribute, wraps


def _unmarked(module: object) -> Iterator[str]:
    marked = {attribute for attribute, _, _ in _implementations(module)}
    for attribute in dir(module):
        if attribute.startswith(PREFIX) and attribute not in marked:
            found = inspect.getattr_static(module, attribute)
            if inspect.isroutine(found):
                yield f"{attribute} is not marked with @hookimpl, so nobody would call it"


def _signature_problems(attribute: str, hook: str, implementation: object) -> Iterator[str]:
    """Yield what keeps an implementation from being called, or from getting what it asks for."""
    if not callable(implementation):
        yield f"{attribute} can't be called"
        return
    if inspect.iscoroutinefunction(implementation):
        yield f"{attribute} must not be `async def`; hooks are called, not awaited"
    offered = list(inspect.signature(getattr(hookspecs, hook)).parameters)
    for name, parameter in inspect.signature(implementation).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name not in offered:
            passes = ", ".join(offered) if offered else "nothing"
            yield f"{attribute} asks for `{name}`, but the hook passes {passes}"
        elif parameter.kind is parameter.KEYWORD_ONLY:
            yield f"{attribute} takes `{name}` by keyword only; remove the `*` before it"
        elif parameter.default is not parameter.empty:
            # pluggy takes a default as the wish to be left alone.
            yield f"{attribute} would never be passed `{name}`; remove its default"


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, hook_names(), n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(hook_names())}"
