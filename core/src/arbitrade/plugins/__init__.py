"""Plugins: found by stevedore, wired by pluggy, asked through typed functions.

    discover()                every installed plugin, by its entry point
    PluginRegistry.of([...])  plugins by hand, for tests
    registry.configure(...)   which of them are enabled
    registry.detectors(...)   one method for each hook of `arbitrade.hookspecs`

This package is the only place that calls hooks.  There is no registry at module level: whoever
starts something makes one and hands it on.
"""

from arbitrade.plugins.discovery import discover
from arbitrade.plugins.plugin import Plugin, PluginState
from arbitrade.plugins.registry import PluginRegistry
from arbitrade.plugins.selection import PluginToggled

__all__ = ["Plugin", "PluginRegistry", "PluginState", "PluginToggled", "discover"]
