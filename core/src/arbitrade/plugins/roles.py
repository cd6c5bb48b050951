"""Checks whether an object plays its role; once, when a hook hands it in.

A missing method would otherwise show as an `AttributeError` on the first opportunity, hours later.
"""

import difflib
import inspect
from collections.abc import Iterator


def role_problems(candidate: object, role: type) -> tuple[str, ...]:
    """Return what keeps `candidate` from playing `role`, a protocol; empty when nothing does.

    Checks that attributes exist, that names are text, and that methods exist, can be called with
    the role's arguments and are coroutines exactly where the role's are.
    """
    if inspect.isclass(candidate):
        return (f"it is the class {candidate.__name__} itself; return an instance of it",)
    return tuple(
        problem
        for name, member in _members(role)
        if (problem := _member_problem(candidate, name, member)) is not None
    )


def _members(role: type) -> Iterator[tuple[str, object]]:
    for owner in reversed(role.__mro__):
        if getattr(owner, "_is_protocol", False):
            for name, member in vars(owner).items():
                if not name.startswith("_") and (
                    isinstance(member, property) or inspect.isfunction(member)
                ):
                    yield name, member


def _member_problem(candidate: object, name: str, member: object) -> str | None:
    try:
        found = getattr(candidate, name)
    except AttributeError:
        kind = "attribute" if isinstance(member, property) else "method"
        return f"it has no {kind} `{name}`{_suggestion(candidate, name)}"
    except Exception as error:
        return f"reading its `{name}` raised {type(error).__name__}: {error}"
    if isinstance(member, property):
        if name == "name" and not (isinstance(found, str) and found):
            return f"its `name` is {found!r}; it has to be text"
        if _annotation(member) is bool and not isinstance(found, bool):
            return f"its `{name}` is {found!r}; it has to be True or False"
        return None
    return _method_problem(name, found, member)


def _suggestion(candidate: object, name: str) -> str:
    there = [other for other in dir(candidate) if not other.startswith("_")]
    close = difflib.get_close_matches(name, there, n=1)
    return f"; is it `{close[0]}`, which no role has, misspelt?" if close else ""


def _annotation(member: property) -> object:
    return inspect.signature(member.fget).return_annotation if member.fget else None


def _method_problem(name: str, found: object, wanted: object) -> str | None:
    if not callable(found):
        return f"its `{name}` is not a method but {found!r}"
    if inspect.iscoroutinefunction(wanted) and not inspect.iscoroutinefunction(found):
        return f"its `{name}` has to be `async def`"
    if not inspect.iscoroutinefunction(wanted) and inspect.iscoroutinefunction(found):
        return f"its `{name}` must not be `async def`"
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return None  # built in or compiled without a signature: the first call will tell
    places, names = _arguments(wanted)
    try:
        signature.bind(*places, **dict.fromkeys(names))
    except TypeError as error:
        call = ", ".join([*places, *(f"{argument}=…" for argument in names)])
        return f"its `{name}{signature}` can't be called as `{name}({call})`: {error}"
    return None


def _arguments(wanted: object) -> tuple[list[str], list[str]]:
    """Return what a protocol's method is called with, by place and by name."""
    parameters = inspect.signature(wanted).parameters.values()  # type: ignore[arg-type]  # a function of the protocol, by `_members`
    given = [parameter for parameter in parameters if parameter.name != "self"]
    by_name = [p.name for p in given if p.kind is p.KEYWORD_ONLY]
    by_place = [p.name for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return by_place, by_name
