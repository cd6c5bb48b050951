"""The choice of plugins: read before any is imported, and written by `plugins enable|disable`."""

import os
import tempfile
from collections.abc import Iterable, Mapping, MutableMapping, MutableSequence
from pathlib import Path

from arbitrade.config import Features, PluginSettings, Settings
from arbitrade.config.layers import (
    SECRETS_FILE,
    SETTINGS_FILE,
    merge,
    read_environment,
    read_file,
)
from arbitrade.config.structure import structure_section
from arbitrade.errors import ArbitradeError, ConfigError


def read_choice(folder: Path, environ: Mapping[str, str]) -> Settings:
    """Return settings of which only `plugins` and `features` are read; all else is default.

    The other sections can't be checked before plugins have been imported, and which may be is said
    here.

    Raises:
        ConfigError: A file is not TOML, or these two sections don't fit.
    """
    environment, _ = read_environment(environ, (), {})  # slips are for the whole to report
    layers = [read_file(folder / SETTINGS_FILE), read_file(folder / SECRETS_FILE), environment]
    values, origins = merge(layers)
    return Settings(
        plugins=structure_section("plugins", PluginSettings, values.get("plugins", {}), origins),
        features=structure_section("features", Features, values.get("features", {}), origins),
        origins=origins,
    )


def write_choice(file: Path, name: str, *, is_enabled: bool) -> bool:
    """Make `plugins.enabled` and `plugins.disabled` in `file` say that a plugin is wanted or not.

    Comments, order and spelling of everything else stay.  The file is replaced in one step, so that
    a crash leaves either the old one or the new one; it is made when it isn't there.

    Returns:
        Whether anything had to be changed.

    Raises:
        ConfigError: The file is not TOML, or `plugins` is not what it should be.
        ArbitradeError: The file can't be read or written.
    """
    # Here, because every command reads a choice and few write one.
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    before = _read(file)
    try:
        document = tomlkit.parse(before)
    except TOMLKitError as error:
        raise ConfigError(
            f"{file}: not valid TOML ({error}); correct it, then try again"
        ) from error
    section = _spelled(document, "plugins")
    if section not in document and is_enabled:
        return False
    if section not in document:
        document[section] = tomlkit.table()
    table = document[section]
    if not isinstance(table, MutableMapping):
        raise ConfigError(f"{file}: plugins is not a table; write [plugins] and its keys below")
    _choose(file, table, name, is_enabled=is_enabled)
    after = tomlkit.dumps(document)
    if after == before:
        return False
    _replace(file, after)
    return True


def _choose(file: Path, table: MutableMapping[str, object], name: str, *, is_enabled: bool) -> None:
    enabled, disabled = _names(file, table, "enabled"), _names(file, table, "disabled")
    if not is_enabled:
        if disabled is None:
            table["disabled"] = [name]
        elif name not in disabled:
            disabled.append(name)
        return
    while disabled is not None and name in disabled:
        disabled.remove(name)
    if enabled and name not in enabled:  # an empty list means every plugin
        enabled.append(name)


def _names(file: Path, table: MutableMapping[str, object], key: str) -> MutableSequence[str] | None:
    found = table.get(_spelled(table, key))
    if found is None or isinstance(found, MutableSequence):
        return found
    raise ConfigError(f'{file}: plugins.{key} is not a list; write {key} = ["name"]')


def _spelled(table: Iterable[str], key: str) -> str:
    """Return `key` as the file spells it; capitals don't matter there."""
    return next((spelling for spelling in table if spelling.lower() == key), key)


def _read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", newline="") as stream:  # keep the line ends as they are
            return stream.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ArbitradeError(f"{file}: can't be read ({error}); nothing was changed") from error


def _replace(file: Path, text: str) -> None:
    target = file.resolve()  # what a link points to is replaced, not the link
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ArbitradeError(
            f"{file}: can't be written ({error.strerror or error}); nothing was changed"
        ) from error
