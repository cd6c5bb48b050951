"""The one cattrs converter: strict in what it takes, exact in what it gives.

Nothing is guessed: `2.5` and `true` are no integers, a date is no string, a string is no list, and
a decimal is finite.  What has no type of its own, such as an environment variable or an argument,
comes as `Text` and is read by the type that is wanted.
"""

import contextlib
import enum
import json
import math
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

import attrs
from cattrs.errors import IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.orjson import OrjsonConverter, make_converter

from arbitrade.config.fields import Description, describe
from arbitrade.secrets import MASK, Secret


class Text:
    """Characters that get their type from where they are used; any of them may be a secret.

    No attrs class, because `attrs.asdict` would lay open what it holds.

    Args:
        text: As written.
        origin: Who wrote it: `environment ARBITRADE_FEES__TAKER`, `command line`.
        is_private: It comes from among secrets, so errors don't show it.
    """

    __slots__ = ("is_private", "origin", "text")

    def __init__(self, text: str, origin: str, *, is_private: bool = False) -> None:
        self.text = text
        self.origin = origin
        self.is_private = is_private

    def __repr__(self) -> str:
        return f"Text(from {self.origin})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("text that may be a secret can't be pickled")


def _read_decimal(value: object, _: object = None) -> Decimal:
    text = value.text.strip() if isinstance(value, Text) else value
    if isinstance(text, bool) or not isinstance(text, int | float | str | Decimal):
        _refuse(value, "is not a decimal number")
    if isinstance(text, str) and not text.isascii():
        _refuse(value, "is not a decimal number")
    try:
        # A float by way of its shortest text: 0.004 and not 0.0040000000000000000832…
        number = Decimal(str(text).replace("_", "x"))
    except InvalidOperation:
        _refuse(value, "is not a decimal number")
    if not number.is_finite():
        _refuse(value, "is not a finite number")
    return number


def _read_int(value: object, _: object = None) -> int:
    if isinstance(value, Text) and re.fullmatch(r"\s*[+-]?[0-9]{1,4000}\s*", value.text):
        return int(value.text)
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(value, "is not a whole number")
    return value


def _read_float(value: object, _: object = None) -> float:
    number = float(_read_decimal(value))
    if not math.isfinite(number):
        _refuse(value, "is too large a number")
    return number


_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def _read_bool(value: object, _: object = None) -> bool:
    if isinstance(value, Text):
        value_of_word = _WORDS.get(value.text.strip().lower())
        if value_of_word is not None:
            return value_of_word
    if not isinstance(value, bool):
        _refuse(value, "is neither true nor false")
    return value


def _read_str(value: object, _: object = None) -> str:
    if isinstance(value, Text):
        return value.text
    if not isinstance(value, str):
        _refuse(value, "is not text; put it in quotes")
    return value


def _read_path(value: object, _: object = None) -> Path:
    return value if isinstance(value, Path) else Path(_read_str(value))


def _read_secret(value: object, _: object = None) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, Text):
        return Secret(value.text)
    if not isinstance(value, str):
        # Never with the value: a key of digits only, written without quotes, is still a key.
        raise ValueError(f"a secret is text, not {type(value).__name__}; put it in quotes")  # noqa: TRY004
    return Secret(value)


def _read_anything(value: object, _: object = None) -> object:
    return value.text if isinstance(value, Text) else value


def _read_enum(value: object, kind: type[enum.Enum]) -> enum.Enum:
    if isinstance(value, kind):
        return value
    wanted = value.text.strip() if isinstance(value, Text) else value
    by_value = {} if isinstance(wanted, bool) else {str(member.value): member for member in kind}
    if isinstance(wanted, str):
        by_name = {member.name.lower(): member for member in kind}
        found = by_value.get(wanted) or by_name.get(wanted.lower())
    else:
        found = next((member for member in kind if by_value and member.value == wanted), None)
    if found is None:
        _refuse(value, f"is none of {', '.join(words_of(kind))}")
    return found


def words_of(kind: type[enum.Enum]) -> list[str]:
    """Return what a user writes for the members of an enum: textual values, else names."""
    return [
        member.value if isinstance(member.value, str) else member.name.lower() for member in kind
    ]


def _make_literal_reader(kind: Any) -> Callable[[object, object], object]:
    choices = get_args(kind)

    def read(value: object, _: object) -> object:
        text = value.text.strip() if isinstance(value, Text) else None
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choice
            if text is not None and str(choice).lower() == text.lower():
                return choice
        _refuse(value, f"is none of {', '.join(map(str, choices))}")

    return read


def _make_optional_reader(kind: Any) -> Callable[[object, object], object]:
    [inner] = [arg for arg in get_args(kind) if arg is not types.NoneType]

    def read(value: object, _: object) -> object:
        if value is None or (isinstance(value, Text) and not value.text):
            return None
        return converter.structure(value, inner)

    return read


def _make_sequence_reader(kind: Any) -> Callable[[object, object], object]:
    origin = get_origin(kind)
    inner = get_args(kind)[0]
    make: Callable[[Iterable[object]], object] = tuple
    if origin is list:
        make = list
    elif issubclass(origin, AbstractSet):
        make = frozenset

    def read(value: object, _: object) -> object:
        if isinstance(value, Text):
            value = _read_list_text(value)
        if isinstance(value, str | bytes) or not isinstance(value, Sequence | AbstractSet):
            _refuse(value, "is not a list")
        return make(_read_each(enumerate(value), inner, kind).values())

    return read


def _make_mapping_reader(kind: Any) -> Callable[[object, object], dict[Any, object]]:
    key_kind, value_kind = get_args(kind)

    def read(value: object, _: object) -> dict[Any, object]:
        read_values = _read_each(_read_table(value).items(), value_kind, kind)
        return {converter.structure(key, key_kind): value for key, value in read_values.items()}

    return read


def _read_each(items: Iterable[tuple[Any, object]], kind: Any, whole: Any) -> dict[Any, object]:
    """Structure every item, and raise all errors together, each noted with its index or key."""
    done: dict[Any, object] = {}
    errors: list[Exception] = []
    for index, item in items:
        try:
            done[index] = converter.structure(item, kind)
        except Exception as error:
            error.add_note(IterableValidationNote(f"at {index!r}", index, kind))
            errors.append(error)
    if errors:
        raise IterableValidationError(f"While structuring {whole!r}", errors, whole)
    return done


def _read_table(value: object) -> Mapping[str, object]:
    if isinstance(value, Text):
        value = _parse(value, "{", 'is not a table; write {"key": value}')
    if not isinstance(value, Mapping):
        _refuse(value, "is not a table")
    return value


def _read_list_text(value: Text) -> object:
    if value.text.lstrip().startswith("["):
        return _parse(value, "[", 'is not a list; write A,B or ["A", "B"]')
    words = [word.strip() for word in value.text.split(",")]
    return [Text(word, value.origin, is_private=value.is_private) for word in words if word]


def _parse(value: Text, opening: str, complaint: str) -> object:
    """Read a list or table in JSON or TOML notation."""
    text = value.text.strip()
    if not text.startswith(opening):
        _refuse(value, complaint)
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError:
        pass
    try:
        document = tomllib.loads(f"value = {text}", parse_float=Decimal)
    except tomllib.TOMLDecodeError:
        _refuse(value, complaint)
    if document.keys() != {"value"}:
        _refuse(value, complaint)
    return document["value"]


def _make_attrs_reader(cls: Any, _: object) -> Callable[[object, object], object]:
    attrs.resolve_types(cls)
    fields = attrs.fields(cls)
    names = {field.alias or field.name: field for field in fields if field.init}
    hooks: dict[str, Any] = {
        field.name: override(struct_hook=_make_field_reader(field, field.type))
        for field in names.values()
        if field.type is not None
    }
    read_dict = make_dict_structure_fn(cls, converter, **hooks)

    def read(value: object, kind: object) -> object:
        if isinstance(value, cls):
            return value
        table = _read_table(value)
        # The environment shouts; files needn't.
        lowered = {key.lower() if key.lower() in names else key: v for key, v in table.items()}
        return read_dict(lowered, cls)

    return read


def _make_field_reader(
    field: "attrs.Attribute[Any]", kind: Any
) -> Callable[[object, object], object]:
    described = describe(field)

    def read(value: object, _: object) -> object:
        result = converter.structure(value, kind)
        _check_range(result, described, kind)
        if field.validator is not None:
            # Here, where the field is known: an error at construction would not name it.  A
            # validator that needs the whole instance has its say then.
            with contextlib.suppress(AttributeError):
                field.validator(None, field, result)
        return result

    return read


def _check_range(value: object, described: Description, kind: Any) -> None:
    """Refuse a number out of range, or every such number in a table or list."""
    if described.minimum is None and described.maximum is None:
        return
    if isinstance(value, Mapping):
        _check_each(value.items(), described, kind)
    elif isinstance(value, tuple | list):
        _check_each(enumerate(value), described, kind)
    elif isinstance(value, int | float | Decimal):
        if described.minimum is not None and value < described.minimum:
            raise ValueError(f"{value} is below {described.minimum}")
        if described.maximum is not None and value > described.maximum:
            raise ValueError(f"{value} is above {described.maximum}")


def _check_each(items: Iterable[tuple[Any, object]], described: Description, whole: Any) -> None:
    errors: list[Exception] = []
    for index, item in items:
        try:
            _check_range(item, described, whole)
        except Exception as error:
            error.add_note(IterableValidationNote(f"at {index!r}", index, whole))
            errors.append(error)
    if errors:
        raise IterableValidationError(f"While structuring {whole!r}", errors, whole)


_LONGEST_SHOWN = 60


def _refuse(value: object, complaint: str) -> NoReturn:
    shown = repr(value.text) if isinstance(value, Text) else repr(value)
    if isinstance(value, Text) and value.is_private:
        shown = MASK
    if len(shown) > _LONGEST_SHOWN:
        shown = f"{shown[:_LONGEST_SHOWN]}…"
    raise ValueError(f"{shown} {complaint}")


def _write_secret(value: Secret) -> NoReturn:
    raise TypeError("a secret can't be written; leave it out or show that it is set")


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _unless_enum(read: Callable[[object, object], object]) -> Callable[[object, Any], object]:
    """Wrap a reader of a class; cattrs takes it for subclasses too, and an IntEnum is an int."""
    return lambda value, kind: _read_enum(value, kind) if _is_enum(kind) else read(value, kind)


def _is_optional(kind: Any) -> bool:
    arguments = get_args(kind)
    is_union = get_origin(kind) in (Union, types.UnionType)
    return is_union and len(arguments) == 2 and types.NoneType in arguments


def _is_sequence(kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is tuple:
        return len(get_args(kind)) == 2 and get_args(kind)[1] is Ellipsis
    return isinstance(origin, type) and issubclass(origin, Sequence | AbstractSet)


def _is_literal(kind: Any) -> bool:
    origin: object = get_origin(kind)
    return origin is Literal


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


_SCALARS: dict[type, Callable[[object, object], object]] = {
    Decimal: _read_decimal,
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: _read_str,
    Path: _read_path,
    Secret: _read_secret,
}


def _make() -> OrjsonConverter:
    made = make_converter(forbid_extra_keys=True, detailed_validation=True)
    made.register_structure_hook_factory(attrs.has, _make_attrs_reader)
    made.register_structure_hook_factory(_is_mapping, _make_mapping_reader)
    made.register_structure_hook_factory(_is_sequence, _make_sequence_reader)
    made.register_structure_hook_factory(_is_optional, _make_optional_reader)
    made.register_structure_hook_factory(_is_literal, _make_literal_reader)
    made.register_structure_hook_func(_is_enum, _read_enum)
    for kind, read in _SCALARS.items():
        made.register_structure_hook(kind, _unless_enum(read))
    made.register_structure_hook_func(lambda kind: kind is object or kind is Any, _read_anything)
    made.register_unstructure_hook(Decimal, str)
    made.register_unstructure_hook(Path, str)
    made.register_unstructure_hook(Secret, _write_secret)
    return made


converter = _make()
"""Structures settings and whatever else comes from outside; `converter.dumps` writes JSON bytes."""
