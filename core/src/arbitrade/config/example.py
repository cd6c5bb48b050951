"""Writes `settings.example.toml` from the settings classes, so that it can't be out of date."""

import enum
import inspect
import re
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import attrs

from arbitrade.config.converter import words_of
from arbitrade.config.fields import Description, SettingsSection, describe
from arbitrade.config.load import scalar_fields
from arbitrade.config.secrets import is_secret
from arbitrade.config.settings import CORE_SECTIONS
from arbitrade.config.show import toml_value

_HEAD = """\
# Every setting of Arbitrade with its default, written by `arbitrade config example`.
#
# Copy what you want to change into `settings.toml` and take away the `#` before it.
# A value may also come from the environment: ARBITRADE_FEES__TAKER is `taker` in [fees].
# Secrets belong into `.secrets.toml`, the environment, or a store (`arbitrade secrets set`).
# `arbitrade config show` tells what holds and where it comes from.
"""

_WIDTH = 96


def example(sections: Iterable[SettingsSection] = ()) -> str:
    """Return the file: core's settings, then the given sections by name.

    Lines beginning with `# ` are prose; a `#` right before a key can be taken away.
    """
    everyone = [*CORE_SECTIONS, *sorted(sections, key=lambda section: section.name)]
    parts = [
        [_HEAD],
        *(_field_lines(field, "", {}) for field in scalar_fields().values()),
        *(_section_lines(section.name, section.cls) for section in everyone),
    ]
    return "\n".join("".join(part) for part in parts)


def _section_lines(name: str, cls: Any) -> Iterator[str]:
    attrs.resolve_types(cls)
    documented = _documented_fields(cls)
    yield from _prose(_summary(cls))
    yield f"[{name}]\n"
    below: list[tuple[str, Any]] = []
    for field in attrs.fields(cls):
        if not field.init:
            continue
        if isinstance(field.type, type) and attrs.has(field.type):
            below.append((f"{name}.{field.name}", field.type))
            continue
        yield from _field_lines(field, name, documented)
    for path, inner in below:
        yield "\n"
        yield from _section_lines(path, inner)


def _field_lines(
    field: "attrs.Attribute[Any]", section: str, documented: Mapping[str, str]
) -> Iterator[str]:
    described = describe(field)
    default = _default(field)
    why = described.why or documented.get(field.name, "")
    prose = " ".join(part for part in (why, *_remarks(field, described)) if part)
    if section:
        yield "\n"
    yield from _prose(prose)
    if is_secret(field.type):
        variable = f"ARBITRADE_{section}__{field.name}".upper().replace(".", "__")
        yield from _prose(
            f"{field.name} is a secret: run `arbitrade secrets set {section}.{field.name}`, or set "
            f"{variable}, or {variable}_FILE to a file that holds it."
        )
    elif default is None:
        yield from _prose(f"{field.name} is not set by default.")
        if described.example is not None:
            yield f"#{field.name} = {toml_value(described.example)}\n"
    else:
        if described.example is not None:
            yield f"# For example: {field.name} = {toml_value(described.example)}\n"
        yield f"#{field.name} = {toml_value(default)}\n"


def _remarks(field: "attrs.Attribute[Any]", described: Description) -> Iterator[str]:
    if described.unit is not None:
        yield f"Unit: {described.unit}."
    words = _choices(field.type)
    if words:
        yield f"One of {', '.join(words)}."
    low, high = described.minimum, described.maximum
    if low is not None and high is not None:
        yield f"From {low} to {high}."
    elif low is not None:
        yield f"At least {low}."
    elif high is not None:
        yield f"At most {high}."


def _choices(kind: Any) -> list[str]:
    kinds = [arg for arg in get_args(kind) if arg is not types.NoneType]
    if get_origin(kind) == Literal:
        return [str(choice) for choice in kinds]
    if len(kinds) == 1:
        return _choices(kinds[0])
    return words_of(kind) if isinstance(kind, type) and issubclass(kind, enum.Enum) else []


def _default(field: "attrs.Attribute[Any]") -> object:
    default: Any = field.default
    if default is attrs.NOTHING:
        return None
    factory = getattr(default, "factory", None)  # only attrs.Factory has one
    if factory is None:
        return default
    return None if default.takes_self else factory()


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0]


def _documented_fields(cls: type) -> dict[str, str]:
    """Return what the `Args:` of a plain attrs class's docstring say about its fields."""
    _, _, arguments = (inspect.getdoc(cls) or "").partition("\nArgs:\n")
    own = re.split(r"\n(?=\S)", arguments)[0]
    found = re.findall(r"^    (\w+): (.+(?:\n {6,}.+)*)", own, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def _prose(text: str) -> Iterator[str]:
    for line in textwrap.wrap(re.sub(r"\s+", " ", text), _WIDTH, break_on_hyphens=False):
        yield f"# {line}\n"
