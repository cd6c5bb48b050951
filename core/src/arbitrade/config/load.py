"""From all layers to `Settings`: who owns which section, what is unknown, every problem at once."""

import os
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import attrs

from arbitrade.config.basic import SecretSettings
from arbitrade.config.fields import SettingsSection
from arbitrade.config.layers import (
    COMMAND_LINE,
    SECRETS_FILE,
    SETTINGS_FILE,
    Layer,
    as_texts,
    config_folder,
    merge,
    read_environment,
    read_file,
)
from arbitrade.config.secrets import fill_secrets, secret_names, warn_if_others_may_read
from arbitrade.config.settings import CORE_SECTIONS, Settings
from arbitrade.config.stores import SecretStores
from arbitrade.config.structure import origin_of, structure_section, structure_value, suggest
from arbitrade.errors import ConfigError, PluginError

_CORE = frozenset(section.name for section in CORE_SECTIONS)
_CORE_PLUGIN = "core"
"""What core is called among the plugins; it has several sections, none of that name."""


def load_settings(
    sections: Iterable[SettingsSection] = (),
    *,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
    plugin_names: Collection[str] = (),
) -> Settings:
    """Read all layers, check everything, and return the settings.

    Args:
        sections: What the installed plugins register.
        folder: Where `settings.toml` and `.secrets.toml` are; by default `ARBITRADE_CONFIG`, else
            the current folder.  Files that don't exist are fine.
        environ: The environment; by default that of the process.
        overrides: The command line's values, nested as in the file; they beat everything, but None,
            which is an option that was not given.
        plugin_names: Plugins that own the section of their name though they registered none; it is
            checked when they ask for it.

    Raises:
        ConfigError: Everything that is wrong, each with its path and origin.
    """
    sections, overrides = tuple(sections), overrides or {}
    environ = os.environ if environ is None else environ
    folder = config_folder(folder, environ)
    classes = _classes(sections)
    layers, problems = _read_layers(folder, environ, classes, overrides)
    values, origins = merge(layers)
    problems += _unknown(values, {*classes, *plugin_names} - {_CORE_PLUGIN}, classes, origins)
    problems += _secrets_in_the_open(layers[0].values, classes)

    scalars, found = _structure_scalars(values, origins)
    problems += found
    done, found = _structure(values, origins, classes)
    problems += found
    if problems:
        raise ConfigError(problems)
    core = {name: section for name, section in done.items() if name in _CORE}
    secrets = core["secrets"]
    assert isinstance(secrets, SecretSettings)
    stores = SecretStores.of(secrets, folder, environ)
    return Settings(
        **{**scalars, **core},  # type: ignore[arg-type]  # each was structured as its field's type
        sections=_tables_of_plugins(values, classes),
        # What stores are found to have is added when somebody asks for it.
        origins=ChainMap(origins, stores.found),
        structured={name: section for name, section in done.items() if name not in _CORE},
        find_secret=stores.find,
    )


def read_secret_settings(folder: Path, environ: Mapping[str, str]) -> SecretSettings:
    """Return where secrets are kept, whatever is wrong with the other settings.

    Raises:
        ConfigError: A file is no TOML, or this very section doesn't fit.
    """
    environment, _ = read_environment(environ, (), {})
    layers = [read_file(folder / SETTINGS_FILE), read_file(folder / SECRETS_FILE), environment]
    values, origins = merge(layers)
    return structure_section("secrets", SecretSettings, values.get("secrets", {}), origins)


def scalar_fields() -> "dict[str, attrs.Attribute[object]]":
    """Return core's settings that are in no section, by name."""
    machinery = {"sections", "origins", "structured", "find_secret"}
    return {
        field.name: field
        for field in attrs.fields(Settings)
        if field.name not in _CORE and field.name not in machinery
    }


def _classes(sections: Iterable[SettingsSection]) -> dict[str, type]:
    classes = {section.name: section.cls for section in CORE_SECTIONS}
    for section in sections:
        taken = section.name in scalar_fields() or section.name in _CORE
        if taken or classes.get(section.name, section.cls) is not section.cls:
            raise PluginError(
                f"settings section {section.name!r}: is taken, so {section.cls.__module__} can't "
                f"have it; a plugin owns the section of its own name"
            )
        classes[section.name] = section.cls
    return classes


def _read_layers(
    folder: Path,
    environ: Mapping[str, str],
    classes: Mapping[str, type],
    overrides: Mapping[str, object],
) -> tuple[list[Layer], list[str]]:
    problems: list[str] = []
    layers: list[Layer] = []
    for name in (SETTINGS_FILE, SECRETS_FILE):
        values: Mapping[str, object] = {}
        try:
            values = read_file(folder / name).values
        except ConfigError as error:
            problems += error.problems
        is_private = name == SECRETS_FILE
        layers.append(
            Layer(name, as_texts(values, name, is_private=True) if is_private else values)
        )
    keys = {name: [field.name for field in attrs.fields(cls)] for name, cls in classes.items()}
    if layers[-1].values:
        warn_if_others_may_read(folder / SECRETS_FILE)
    environment, found = read_environment(environ, scalar_fields(), keys)
    problems += found
    layers.append(environment)
    # Audited overrides, kept in the database, will enter here: above the environment, whose keys
    # they may not touch, and below the command line.
    layers.append(Layer(COMMAND_LINE, as_texts(overrides, COMMAND_LINE)))
    return layers, problems


def _unknown(
    values: Mapping[str, object],
    names: Collection[str],
    classes: Mapping[str, type],
    origins: Mapping[str, str],
) -> list[str]:
    problems = []
    owners = {
        field.name: name
        for name, cls in reversed(list(classes.items()))
        for field in attrs.fields(cls)
    }
    scalars = scalar_fields()
    for key, value in values.items():
        if key in names or key in scalars:
            continue
        if key in owners and not isinstance(value, Mapping):
            section = owners[key]
            problems.append(
                f"{key}: is in no section ({origin_of(key, origins)}); did you mean "
                f"{section}.{key}?  Write it below [{section}]"
            )
            continue
        kind = "section" if isinstance(value, Mapping) else "setting"
        known = names if kind == "section" else scalars
        origin = origin_of(key, origins) or "empty table"
        hint = suggest(key, known)
        if kind == "section":
            stop = "" if hint.endswith("?") else "."
            hint += f"{stop}  A plugin's section needs the plugin installed."
        problems.append(f"{key}: unknown {kind} ({origin}); {hint}")
    return problems


def _secrets_in_the_open(values: Mapping[str, object], classes: Mapping[str, type]) -> list[str]:
    """Report secrets in `settings.toml`, which people show around and put under version control."""
    problems = []
    for section, cls in classes.items():
        for name in secret_names(section, cls):
            table: object = values
            for key in name.split("."):
                keys = (
                    {k.lower(): v for k, v in table.items()} if isinstance(table, Mapping) else {}
                )
                table = keys.get(key)
            if table not in (None, ""):
                problems.append(
                    f"{name}: a secret in the open ({SETTINGS_FILE}); move it to {SECRETS_FILE} or "
                    f"run: arbitrade secrets set {name}"
                )
    return problems


def _structure(
    values: Mapping[str, object],
    origins: Mapping[str, str],
    classes: Mapping[str, type],
) -> tuple[dict[str, object], list[str]]:
    done: dict[str, object] = {}
    problems: list[str] = []
    for name, cls in classes.items():
        try:
            done[name] = structure_section(name, cls, values.get(name, {}), origins)
        except ConfigError as error:
            problems += error.problems
    return done, problems


def _tables_of_plugins(
    values: Mapping[str, object], classes: Mapping[str, type]
) -> dict[str, Mapping[str, object]]:
    """Return the plugins' sections as written, but with every known secret inside a `Secret`."""
    tables: dict[str, Mapping[str, object]] = {}
    for name, table in values.items():
        if name not in _CORE and isinstance(table, Mapping):
            cls = classes.get(name)
            tables[name] = table if cls is None else fill_secrets(name, cls, table, None)[0]
    return tables


def _structure_scalars(
    values: Mapping[str, object], origins: Mapping[str, str]
) -> tuple[dict[str, object], list[str]]:
    done: dict[str, object] = {}
    problems: list[str] = []
    for name, field in scalar_fields().items():
        if name not in values:
            continue
        try:
            done[name] = structure_value(name, field.type, values[name], origins)
        except ConfigError as error:
            problems += error.problems
    return done, problems
