"""Reads the places settings are written in, and merges them, remembering who wrote what.

Dynaconf reads the files, each in an instance of its own that nothing else gets to see: its own
merging concatenates lists, and one instance over all files can't tell who said what.  The
environment is not handed to it, because there it reads every value as TOML and runs `@format` and
its like; an API secret of digits would change silently.  Here a variable stays text until its field
is known.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from arbitrade.config.converter import Text
from arbitrade.config.secrets import FILE_SUFFIX
from arbitrade.errors import ConfigError
from arbitrade.secrets import Secret

PREFIX = "ARBITRADE_"
FOLDER_VARIABLE = "ARBITRADE_CONFIG"
SETTINGS_FILE = "settings.toml"
SECRETS_FILE = ".secrets.toml"
COMMAND_LINE = "command line"


@attrs.frozen
class Layer:
    """What one place says.

    Args:
        name: The place.  A `Text` inside carries a more exact origin itself.
        values: Nested as in the file.
    """

    name: str
    values: Mapping[str, object]


def config_folder(folder: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the folder of the settings: the one given, else `ARBITRADE_CONFIG`, else the current.

    Raises:
        ConfigError: A folder was named that isn't there.
    """
    named = environ.get(FOLDER_VARIABLE)
    if folder is None and not named:
        return Path()
    chosen = folder if folder is not None else Path(named or "")
    if not chosen.is_dir():
        origin = "--config" if folder is not None else f"environment {FOLDER_VARIABLE}"
        raise ConfigError(f"{chosen}: no such folder ({origin}); name the one of {SETTINGS_FILE}")
    return chosen


def read_file(path: Path) -> Layer:
    """Return what a file says; nothing when it doesn't exist.

    Raises:
        ConfigError: It can't be read, or is no TOML; names the line.
    """
    try:
        path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Layer(path.name, {})
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}; check its mode") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it in that encoding") from None
    return Layer(path.name, _read_toml(path))


def read_environment(
    environ: Mapping[str, str], scalars: Collection[str], sections: Mapping[str, Collection[str]]
) -> tuple[Layer, list[str]]:
    """Return what the environment says, as texts, and what is wrong with it.

    `ARBITRADE_FEES__TAKER` is the key `taker` in the section `fees`; more `__` go deeper.  Other
    variables that begin with `ARBITRADE_` are left alone, because container platforms make such,
    unless they look like a slip.

    Args:
        environ: All variables.
        scalars: Settings that are in no section.
        sections: Names of all sections, each with its keys.
    """
    values: dict[str, object] = {}
    problems: list[str] = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX):
            continue
        key = variable.removeprefix(PREFIX)
        text = Text(environ[variable], f"environment {variable}")
        if "__" in key:
            section, *keys = key.split("__")
            problems += _put(values, [section.lower(), *keys], text)
        elif key.lower() in scalars:
            values[key.lower()] = text
        else:
            problems += _slips(variable, key.lower(), sections)
    return Layer("environment", values), problems


def as_texts(
    values: Mapping[str, object], origin: str, *, is_private: bool = False
) -> dict[str, object]:
    """Return a nested mapping with its strings as texts; None, an option not given, is left out.

    For arguments, which have no types, and for files of secrets, which nothing may show.
    """
    return {
        key: _as_text(value, origin, is_private=is_private)
        for key, value in values.items()
        if value is not None
    }


def merge(layers: Iterable[Layer]) -> tuple[dict[str, object], dict[str, str]]:
    """Return the layers as one, the later ones on top, and who wrote each value.

    Tables merge, everything else replaces: a list is never added to another.

    Returns:
        The merged table, and the origin of each leaf by dotted path in lower case.
    """
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        _merge_into(values, layer.values, layer.name, "", origins)
    return values, origins


def _read_toml(path: Path) -> dict[str, object]:
    # Imported here: a tenth of a second that `--help` and tests without files needn't spend.
    from dynaconf import Dynaconf
    from dynaconf.loaders import toml_loader
    from dynaconf.vendor import tomllib

    layer = Dynaconf(
        settings_files=[],
        environments=False,
        core_loaders=["TOML"],
        load_dotenv=False,
        envvar_prefix=False,
        loaders=[],
    )
    dynaconfs_own = set(layer.as_dict())
    # As values and not as arguments, because a variable AUTO_CAST_FOR_DYNACONF would beat those.
    for switch in ("AUTO_CAST", "DOTTED_LOOKUP", "MERGE_ENABLED"):
        layer.set(f"{switch}_FOR_DYNACONF", False)
    try:
        # By its loader, because `settings_files` takes brackets in a path for a pattern, finds
        # nothing, and reads `settings.local.toml` beside it.
        toml_loader.load(layer, filename=str(path), silent=False)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_toml_problem(path, str(error))) from None
    read: dict[str, Any] = layer.as_dict()
    # Dynaconf shouts the names of tables; the keys inside are as written.
    return {key.lower(): value for key, value in _plain(read).items() if key not in dynaconfs_own}


def _toml_problem(path: Path, message: str) -> str:
    place = re.search(r"\(at line (\d+), column (\d+)\)", message)
    reason = message.partition(" (at ")[0]
    where = f", line {place[1]}, column {place[2]}" if place else ""
    return f"{path}{where}: {reason}; it has to be TOML: text in quotes, tables in [brackets]"


def _plain(value: Any) -> Any:
    """Return dynaconf's boxes as plain containers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _as_text(value: object, origin: str, *, is_private: bool) -> object:
    if isinstance(value, Mapping):
        return as_texts(value, origin, is_private=is_private)
    if isinstance(value, list | tuple):
        return [_as_text(item, origin, is_private=is_private) for item in value]
    return Text(value, origin, is_private=is_private) if isinstance(value, str) else value


def _put(values: dict[str, object], keys: list[str], text: Text) -> Iterator[str]:
    *tables, last = keys
    inner = values
    for table in tables:
        below = inner.setdefault(table, {})
        if not isinstance(below, dict):
            yield f"{text.origin}: a shorter variable sets the whole table; remove one of them"
            return
        inner = below
    if not all(keys):
        yield f"{text.origin}: a name is missing beside `__`; write {PREFIX}SECTION__KEY"
        return
    inner[last] = text


def _slips(variable: str, key: str, sections: Mapping[str, Collection[str]]) -> Iterator[str]:
    for section, keys in sections.items():
        rest = key.removeprefix(f"{section}_")
        if rest != key and rest in keys:
            right = f"{PREFIX}{section.upper()}__{rest.upper()}"
            yield f"environment {variable}: is not used; did you mean {right} (two underscores)?"


def _merge_into(
    target: dict[str, object],
    source: Mapping[str, object],
    layer: str,
    path: str,
    origins: dict[str, str],
) -> None:
    spelled = {key.lower(): key for key in target}
    for key, value in source.items():
        # The environment shouts (on Windows always), files needn't: the first spelling stays.
        own_key = spelled.setdefault(key.lower(), key)
        place = f"{path}{key.lower()}"
        if isinstance(value, Mapping):
            inner = target.get(own_key)
            if not isinstance(inner, dict):
                origins.pop(place, None)
                inner = target[own_key] = {}
            _merge_into(inner, value, layer, f"{place}.", origins)
            continue
        for below in [known for known in origins if known.startswith(f"{place}.")]:
            del origins[below]
        if isinstance(value, Secret):
            # Given in code, so on top: it beats the file that a weaker layer names for it.
            target.pop(spelled.get(f"{key.lower()}{FILE_SUFFIX}", ""), None)
            origins.pop(f"{place}{FILE_SUFFIX}", None)
        target[own_key] = value
        origins[place] = value.origin if isinstance(value, Text) else layer
