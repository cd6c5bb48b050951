"""What commands share: the folder of the settings, the plugins, the settings themselves."""

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from arbitrade.config import Settings
from arbitrade.config.layers import SETTINGS_FILE, config_folder
from arbitrade.config.load import load_settings
from arbitrade.errors import ConfigError
from arbitrade.plugins import PluginRegistry, discover
from arbitrade.plugins.choice import read_choice
from arbitrade.plugins.discovery import installed_names

if TYPE_CHECKING:
    from arbitrade.api import Tables
    from arbitrade.api.history import History


class CommandLine:
    """What a command gets by `@click.pass_obj`.  Everything is read when first asked for.

    Args:
        folder: Where `settings.toml` is; None for `$ARBITRADE_CONFIG`, else the current folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    @cached_property
    def choice(self) -> Settings:
        """Settings of which only `plugins` and `features` are read: what has to be known first.

        Raises:
            ConfigError: Those two can't be read; names everything of core that is wrong.
        """
        try:
            return read_choice(config_folder(self.folder, os.environ), os.environ)
        except ConfigError:
            # Everything at once: this raises with these problems and core's others.
            load_settings((), folder=self.folder, plugin_names=installed_names())
            raise

    @cached_property
    def registry(self) -> PluginRegistry:
        """The plugins, of which those the settings want are enabled; broken ones are kept quiet.

        Raises:
            ConfigError: Core's settings don't fit.
        """
        registry = discover(self.choice.plugins.allowed_distributions)
        registry.configure(self.choice, tolerant=True)
        return registry

    @property
    def settings_file(self) -> Path:
        """Where `settings.toml` is, or would be."""
        return config_folder(self.folder, os.environ) / SETTINGS_FILE

    def forget(self) -> None:
        """Read everything anew when it is next asked for; after a file was changed."""
        for name in ("choice", "registry"):
            self.__dict__.pop(name, None)

    def load(self, overrides: Mapping[str, object] | None = None) -> Settings:
        """Return the settings, with every plugin that is wanted in working order.

        Args:
            overrides: Values from the command's options, nested as in the file; they beat all.

        Raises:
            ConfigError: Values that don't fit, of core and of plugins, all of them.
            PluginError: A plugin that is wanted is missing or doesn't work.
        """
        registry = self.registry
        settings = load_settings(
            registry.settings_sections(),
            folder=self.folder,
            overrides=overrides,
            plugin_names=[plugin.name for plugin in registry],
        )
        registry.configure(settings)
        return settings

    def with_database[T](self, plugin: str, work: "Callable[[History, Tables], Awaitable[T]]") -> T:
        """Open the database, let a plugin's command use it, close it; return what `work` does.

        Args:
            plugin: Name of the plugin, whose tables these are.
            work: Is handed what services are.

        Raises:
            DatabaseError: There is none yet, it can't be reached, or its tables are not up to date.
        """
        from arbitrade.cli.opening import with_database
        from arbitrade.store.plugin_tables import PluginTables
        from arbitrade.store.repositories import Repositories

        return with_database(
            self.load(),
            self.registry.migrations(),
            lambda database: work(
                Repositories(database.connection), PluginTables(database.connection).of(plugin)
            ),
        )
