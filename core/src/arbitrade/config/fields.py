"""How a settings class describes itself: `setting(...)` for a field, `SettingsSection` its name."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, cast

import attrs

type Number = int | float | Decimal

_METADATA = "arbitrade.setting"


@attrs.frozen
class SettingsSection:
    """A named part of the settings, and the attrs class it becomes.

    Args:
        name: The plugin's own name; the table in `settings.toml`, and the middle of
            `ARBITRADE_NAME__KEY`.
        cls: An attrs class whose fields have defaults.  `setting(...)` adds explanations and
            ranges; a plain attrs class works as well.
    """

    name: str
    cls: type


@attrs.frozen
class Description:
    """What is known about one field beside its type.

    Args:
        why: One line: what it does, or why one would change it.
        unit: Unit of the value when the name can't say.
        minimum: Smallest value allowed; for tables and lists, of each entry.
        maximum: Largest value allowed; for tables and lists, of each entry.
        hint: What to write instead, shown after every error of this field.
        example: Value shown in `settings.example.toml` when the default would explain nothing.
    """

    why: str = ""
    unit: str | None = None
    minimum: Number | None = None
    maximum: Number | None = None
    hint: str | None = None
    example: object = None


def setting[T](
    default: T,
    why: str,
    *,
    unit: str | None = None,
    minimum: Number | None = None,
    maximum: Number | None = None,
    hint: str | None = None,
    example: object = None,
    validator: Callable[[Any, "attrs.Attribute[Any]", T], None] | None = None,
) -> T:
    """Declare a field of a settings class, with what the user has to know about it.

    ``depth: int = setting(100, "Levels of each book.", unit="levels", minimum=10, maximum=1000)``

    Args:
        default: Value when nobody sets it.  A dict or list is copied for each instance.
        why: One line for `settings.example.toml`: what it does, or why one would change it.
        unit: Unit of the value when the name can't say.
        minimum: Smallest value allowed; for tables and lists, of each entry.
        maximum: Largest value allowed; for tables and lists, of each entry.
        hint: What to write instead, shown after every error of this field.
        example: Value shown in `settings.example.toml` when the default would explain nothing.
        validator: Any attrs validator, for what a range can't say.
    """
    description = Description(why, unit, minimum, maximum, hint, example)
    metadata = {_METADATA: description}
    if isinstance(default, dict | list | set):
        field = attrs.field(
            factory=lambda: cast(T, default.copy()), metadata=metadata, validator=validator
        )
    else:
        field = attrs.field(default=default, metadata=metadata, validator=validator)
    # At class creation attrs replaces the declaration by the attribute itself, which is a T.
    return cast(T, field)


def describe(attribute: "attrs.Attribute[Any]") -> Description:
    """Return what `setting` said about a field; nothing for a plain attrs field."""
    metadata: Mapping[Any, Any] = attribute.metadata
    found = metadata.get(_METADATA)
    return found if isinstance(found, Description) else Description()
