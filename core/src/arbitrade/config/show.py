"""Settings as a person reads them: TOML notation, secrets masked, each value with its origin."""

import enum
import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any

import attrs

from arbitrade.config.load import scalar_fields
from arbitrade.config.secrets import FILE_SUFFIX, is_secret
from arbitrade.config.settings import CORE_SECTIONS, Settings
from arbitrade.config.structure import origin_of
from arbitrade.secrets import MASK, Secret

DEFAULT = "default"


@attrs.frozen
class Row:
    """One setting.

    Args:
        path: Dotted.
        value: As it is; a secret is masked by itself, None is not set.
        origin: Who said so.
    """

    path: str
    value: object
    origin: str


def rows(settings: Settings, section: str | None = None) -> list[Row]:
    """Return every setting, or those of one section, core's first.

    Sections of plugins that registered no class are shown without values: any might be a secret.
    """
    core = [entry.name for entry in CORE_SECTIONS]
    unregistered = sorted(set(settings.sections) - set(settings.structured))
    found: list[Row] = []
    if section is None:
        scalars = {name: getattr(settings, name) for name in scalar_fields()}
        found += [
            Row(name, value, origin_in(settings, name) or DEFAULT)
            for name, value in scalars.items()
        ]
    for name in [*core, *sorted(settings.structured)]:
        if section in (None, name):
            whole = section_of(settings, name)
            found += _rows_of(whole, name, settings)
    for name in unregistered:
        if section in (None, name):
            found += _hidden_rows(settings.sections[name], name, settings)
    return found


def section_of(settings: Settings, name: str) -> object:
    """Return a section, core's or a registered one, with the secrets that stores have."""
    if name in settings.structured:
        return settings.section(name, type(settings.structured[name]))
    whole: Any = getattr(settings, name)
    missing = [field.name for field in attrs.fields(type(whole)) if is_secret(field.type)]
    found = {
        key: settings.find_secret(f"{name}.{key}")
        for key in missing
        if getattr(whole, key) is None and settings.find_secret is not None
    }
    return attrs.evolve(whole, **found)


def origin_in(settings: Settings, path: str) -> str | None:
    """Return who set a value, None when nobody did."""
    by_file = settings.origins.get(f"{path}{FILE_SUFFIX}".lower())
    return origin_of(path, settings.origins) or by_file


def toml_value(value: object) -> str:
    """Return a value in TOML notation, on one line; a secret masked.

    Raises:
        TypeError: TOML has no notation for it.
    """
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, enum.Enum):
        value = plain_value(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Decimal):
        return _toml_decimal(value)
    if isinstance(value, Mapping):
        entries = (f"{toml_value(str(key))} = {toml_value(val)}" for key, val in value.items())
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, tuple | list | AbstractSet):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if attrs.has(type(value)):
        return toml_value(attrs.asdict(value, recurse=False))  # type: ignore[arg-type]  # attrs.has
    return json.dumps(str(value), ensure_ascii=False)


def plain_value(value: object) -> object:
    """Return a value as JSON has it: decimals as exact text, secrets masked, enums as words."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value.value, str) else value.name.lower()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain_value(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list | AbstractSet):
        return [plain_value(item) for item in value]
    if attrs.has(type(value)):
        return plain_value(attrs.asdict(value, recurse=False))  # type: ignore[arg-type]  # attrs.has
    return str(value)


def _rows_of(whole: object, path: str, settings: Settings) -> Iterator[Row]:
    for field in attrs.fields(type(whole)):  # type: ignore[arg-type]  # every section is an attrs class
        value = getattr(whole, field.name)
        place = f"{path}.{field.name}"
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                yield Row(f"{place}.{key}", inner, origin_in(settings, f"{place}.{key}") or DEFAULT)
        elif attrs.has(type(value)):
            yield from _rows_of(value, place, settings)
        else:
            yield Row(place, value, origin_in(settings, place) or DEFAULT)


def _hidden_rows(table: Mapping[str, object], path: str, settings: Settings) -> Iterator[Row]:
    for key in table:
        place = f"{path}.{key.lower()}"
        yield Row(place, Secret(""), origin_in(settings, place) or DEFAULT)


_MOST_DIGITS_OF_A_FLOAT, _LONGEST_WRITTEN_OUT = 15, 25


def _toml_decimal(value: Decimal) -> str:
    # Written out only where that is short: 1E+999999999 has a thousand million digits.
    text = format(value, "f") if abs(value.adjusted()) < _LONGEST_WRITTEN_OUT else str(value)
    # TOML's floats are read as binary ones, which hold 15 digits for sure.
    return text if len(value.as_tuple().digits) <= _MOST_DIGITS_OF_A_FLOAT else json.dumps(text)
