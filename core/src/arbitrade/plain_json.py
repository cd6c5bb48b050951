"""Attrs values as plain JSON and back, leniently: what a reader doesn't know is passed over."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from cattrs.preconf.orjson import OrjsonConverter, make_converter


def to_json(value: object) -> dict[str, Any]:
    """Return an attrs value as plain JSON values: decimals and enums as text."""
    fields: dict[str, Any] = _CONVERTER.unstructure(value)
    return fields


def from_json[T](fields: Mapping[str, Any], cls: type[T]) -> T:
    """Return the attrs value `to_json` made these of; fields it doesn't know are passed over."""
    return _CONVERTER.structure(fields, cls)


def canonical(value: object) -> str:
    """Return JSON with sorted keys and no spaces; what JSON does not know becomes its `str`."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str).decode()


def _make_converter() -> OrjsonConverter:
    # Not the settings' converter: that one refuses what it doesn't know.
    made = make_converter()
    made.register_unstructure_hook(Decimal, str)
    made.register_structure_hook(Decimal, lambda text, _: Decimal(text))
    return made


_CONVERTER = _make_converter()
