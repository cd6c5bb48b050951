"""The secrets of a section: which fields they are, and where their values come from."""

import logging
import os
import stat
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import attrs

from arbitrade.config.converter import Text
from arbitrade.secrets import Secret

type SecretLookup = Callable[[str], Secret | None]
"""Given a dotted name such as `kraken.api_secret`, the secret if a store has it."""

FILE_SUFFIX = "_file"
"""`api_secret_file` names a file that holds `api_secret`."""

# Where container engines put secrets; the mode there says nothing, nobody else is in the container.
_MOUNTED = Path("/run/secrets")

_log = logging.getLogger(__name__)


def secret_names(section: str, cls: type) -> Iterator[str]:
    """Yield the dotted name of every secret of a section, such as `kraken.api_secret`."""
    if not attrs.has(cls):
        return
    attrs.resolve_types(cls)
    for field in attrs.fields(cls):
        if is_secret(field.type):
            yield f"{section}.{field.name}"
        else:
            inner = _class_inside(field.type)
            if inner is not None:
                yield from secret_names(f"{section}.{field.name}", inner)


def is_secret(kind: Any) -> bool:
    """Return whether a field's type is `Secret`, or `Secret | None`."""
    return kind is Secret or set(get_args(kind)) == {Secret, types.NoneType}


def has_secrets(cls: type) -> bool:
    """Return whether a section has any secret."""
    return next(secret_names("", cls), None) is not None


def fill_secrets(
    section: str, cls: type, table: Mapping[str, object], find: SecretLookup | None
) -> tuple[Mapping[str, object], list[str]]:
    """Return a section with its secrets in place, and what is wrong with them.

    A secret that is written as it is (`.secrets.toml`, environment) comes first, then the file that
    `<name>_file` names, then whatever `find` knows.
    """
    filled: dict[str, object] = dict(table)
    problems: list[str] = []
    spelled = {key.lower(): key for key in table}
    fields = attrs.fields(attrs.resolve_types(cls))
    # A class may have a field of its own called `<secret>_file`.
    free = {lower: key for lower, key in spelled.items() if lower not in {f.name for f in fields}}
    for field in fields:
        path = f"{section}.{field.name}"
        key = spelled.get(field.name, field.name)
        inner, inner_cls = filled.get(key, {}), _class_inside(field.type)
        if is_secret(field.type):
            problems += _fill_one(path, key, filled, free, find)
        elif inner_cls is not None and isinstance(inner, Mapping):
            below, found = fill_secrets(path, inner_cls, inner, find)
            problems += found
            if below:
                filled[key] = below
    return filled, problems


def read_secret_file(path: Path) -> str:
    """Return the secret in a file: its content without the newline at its end.

    A file that others may read is used, with a warning: container engines mount their secrets so.

    Raises:
        OSError: It can't be read.
        ValueError: It is empty, or not text.
    """
    content = path.read_bytes()
    warn_if_others_may_read(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError("is empty")
    return text


def warn_if_others_may_read(path: Path) -> None:
    """Log a warning if a file with secrets is open to others, where there are such modes."""
    if os.name != "posix" or _MOUNTED in path.absolute().parents:
        return
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning("others may read the secrets in %s; run: chmod 600 %s", path, path)


def _fill_one(
    path: str,
    key: str,
    filled: dict[str, object],
    free: Mapping[str, str],
    find: SecretLookup | None,
) -> list[str]:
    name = path.rpartition(".")[2]
    file_key = free.get(f"{name}{FILE_SUFFIX}")
    named_file = filled.pop(file_key) if file_key is not None else None
    written = filled.get(key)
    if _is_empty(written):
        # `VARIABLE=` is how compose files say "not set".
        filled.pop(key, None)
        written = None
    if named_file is not None and not _is_empty(named_file):
        if written is not None:
            return [f"{path}: both {name} and {name}{FILE_SUFFIX} are set; remove one of them"]
        return _fill_from_file(path, key, filled, named_file)
    if written is None and find is not None:
        found = find(path)
        if found is not None:
            filled[key] = found
    return []


def _fill_from_file(path: str, key: str, filled: dict[str, object], named: object) -> list[str]:
    place = named.text if isinstance(named, Text) else named
    if not isinstance(place, str):
        return [f"{path}{FILE_SUFFIX}: {place!r} is not the path of a file; put it in quotes"]
    try:
        filled[key] = Secret(read_secret_file(Path(place)))
    except OSError as error:
        return [f"{path}{FILE_SUFFIX}: can't read {place!r}: {error.strerror}; check path and mode"]
    except ValueError as error:
        return [f"{path}{FILE_SUFFIX}: {place!r} {error}; write the secret into it"]
    return []


def _class_inside(kind: Any) -> type | None:
    """Return the attrs class of a field that is one, or may be one."""
    kinds = [kind, *(get_args(kind) if types.NoneType in get_args(kind) else ())]
    return next((one for one in kinds if isinstance(one, type) and attrs.has(one)), None)


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, Text) and not value.text)
