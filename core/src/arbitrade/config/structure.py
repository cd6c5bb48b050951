"""From what was written to attrs objects; every problem at once, with path, origin and way out."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)

from arbitrade.config.converter import converter
from arbitrade.config.fields import describe
from arbitrade.config.secrets import SecretLookup, fill_secrets
from arbitrade.errors import ConfigError, PluginError


def structure_section[T](
    name: str,
    cls: type[T],
    table: object,
    origins: Mapping[str, str],
    find_secret: SecretLookup | None = None,
) -> T:
    """Return a section as its class.

    Args:
        name: Name of the section, the beginning of each path.
        cls: An attrs class whose fields have defaults.
        table: What was written.
        origins: Where each value came from, by dotted path.
        find_secret: Where to look for the secrets that were not written.

    Raises:
        ConfigError: Each value that doesn't fit.
        PluginError: `cls` can't be a settings class.
    """
    if not attrs.has(cls):
        raise PluginError(f"settings section {name}: {cls.__name__} is not an attrs class")
    if not isinstance(table, Mapping):
        raise ConfigError(
            [_line(Problem(name, "is not a table", f"write [{name}] and its keys below"), origins)]
        )
    wanted: Any = cls
    filled, problems = fill_secrets(name, cls, table, find_secret)
    try:
        structured: T = converter.structure(filled, wanted)
    except Exception as error:
        problems = [*problems, *(_line(found, origins) for found in _problems(error, name, cls))]
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return structured


def structure_value(path: str, kind: object, value: object, origins: Mapping[str, str]) -> object:
    """Return a single value as its type.

    Raises:
        ConfigError: It doesn't fit.
    """
    wanted: Any = kind
    try:
        return converter.structure(value, wanted)
    except Exception as error:
        problems = [_line(found, origins) for found in _problems(error, path, wanted)]
        raise ConfigError(problems) from None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean ...?`` for a word that is not known, else what there is."""
    choices = sorted(known)
    close = difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(choices) or 'none'}"


def origin_of(path: str, origins: Mapping[str, str]) -> str | None:
    """Return who wrote the value at a path, or a part of it, or the whole it is in."""
    # What is inside a list has no origin of its own.
    place = path.partition("[")[0].lower()
    while place:
        if place in origins:
            return origins[place]
        inside = next((origins[key] for key in origins if key.startswith(f"{place}.")), None)
        if inside is not None and place == path.lower():
            return inside
        place = place.rpartition(".")[0]
    return None


@attrs.frozen
class Problem:
    """One thing that is wrong.

    Args:
        path: Where, dotted, with `[index]` for items of a list.
        what: What is wrong; begins with the value, unless that is a secret.
        way_out: What to do about it.
    """

    path: str
    what: str
    way_out: str | None = None


def _line(problem: Problem, origins: Mapping[str, str]) -> str:
    origin = origin_of(problem.path, origins)
    line = f"{problem.path}: {problem.what}"
    if origin is not None:
        line += f" ({origin})"
    return f"{line}; {problem.way_out}" if problem.way_out else line


def _problems(error: Exception, path: str, cls: Any, hint: str | None = None) -> Iterator[Problem]:
    """Walk the tree of errors cattrs makes, and name each leaf's place."""
    if isinstance(error, ForbiddenExtraKeysError):
        names = [field.alias or field.name for field in attrs.fields(cls) if field.init]
        for key in sorted(error.extra_fields):
            yield Problem(f"{path}.{key.lower()}", "unknown setting", suggest(key, names))
    elif isinstance(error, ClassValidationError):
        for inner in error.exceptions:
            yield from _problems_of_field(inner, path, error.cl, hint)
    elif isinstance(error, IterableValidationError):
        for inner in error.exceptions:
            note = _note(inner, IterableValidationNote)
            place = path if note is None else _item(path, note.index)
            yield from _problems(inner, place, getattr(note, "type", cls), hint)
    else:
        # Some validators put more into their errors than a message.
        message = next((arg for arg in error.args if isinstance(arg, str)), str(error))
        yield Problem(path, message, hint)


def _problems_of_field(
    error: Exception, path: str, cls: Any, hint: str | None
) -> Iterator[Problem]:
    note = _note(error, AttributeValidationNote)
    if note is None:
        yield from _problems(error, path, cls, hint)
        return
    if isinstance(error, KeyError):
        yield Problem(f"{path}.{note.name}", "is required")
        return
    field = attrs.fields_dict(cls).get(note.name)
    own_hint = describe(field).hint if field is not None else hint
    yield from _problems(error, f"{path}.{note.name}", note.type, own_hint)


def _note[N](error: BaseException, kind: Callable[..., N]) -> N | None:
    notes = getattr(error, "__notes__", ())
    return next((note for note in notes if isinstance(note, kind)), None)  # type: ignore[arg-type]  # a class


def _item(path: str, index: int | str) -> str:
    return f"{path}[{index}]" if isinstance(index, int) else f"{path}.{index}"
