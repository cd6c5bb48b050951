"""Which plugins there are, and which of them are enabled."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import attrs
import pluggy
from packaging.utils import canonicalize_name

from arbitrade.config import PluginSettings, Settings
from arbitrade.errors import PluginError
from arbitrade.plugins.hooks import implemented_hooks, make_manager
from arbitrade.plugins.plugin import CORE, Decision, Plugin, PluginState


@attrs.frozen
class PluginToggled:
    """A plugin was enabled or disabled while things run.

    Args:
        name: The plugin.
        is_enabled: What it is now.
        contributed: Names of the objects it had contributed, by kind (`detectors`, `risk_rules`,
            `alert_sinks`, `services`, …).  Whoever keeps such objects drops these when the plugin
            was disabled, and asks for new ones with ``only=name`` when it was enabled.
    """

    name: str
    is_enabled: bool
    contributed: Mapping[str, tuple[str, ...]]


class PluginSelection:
    """Plugins, and which of them are enabled; `PluginRegistry` adds their hooks.

    Until `configure` is called every plugin that works is enabled.

    Args:
        plugins: What was found; core's own features come in addition.
    """

    def __init__(self, plugins: Iterable[Plugin] = ()) -> None:
        from arbitrade.plugins import (
            builtin,  # here because builtin's commands come to need this module
        )

        self._plugins = {CORE: Plugin(CORE, builtin, target=builtin.__name__)}
        for plugin in plugins:
            if plugin.name in self._plugins:
                raise PluginError(f"{plugin.name}: two plugins have this name; rename one")
            self._plugins[plugin.name] = plugin
        self._decisions = {
            name: Decision(plugin.refusal is None, plugin.refusal or "")
            for name, plugin in self._plugins.items()
        }
        self._owners: dict[str, dict[str, str]] = {}
        self._listeners: list[Callable[[PluginToggled], None]] = []
        self._settings: Settings | None = None
        self._manager = self._wire()

    # ── which are there, which are enabled ───────────────────────────────────────────────────────

    def __iter__(self) -> Iterator[Plugin]:
        """Yield every plugin found, core first, then by name."""
        return iter(self._plugins.values())

    def __contains__(self, name: object) -> bool:
        return name in self._plugins

    def __getitem__(self, name: str) -> Plugin:
        """Return a plugin.

        Raises:
            PluginError: None has this name.
        """
        try:
            return self._plugins[name]
        except KeyError:
            raise PluginError(self._unknown(name)) from None

    def state(self, name: str) -> PluginState:
        """Return whether a plugin takes part; `FAILED` only if it is wanted and doesn't work."""
        plugin, decision = self[name], self._decisions[name]
        if decision.is_quarantine:
            return PluginState.QUARANTINED
        if not decision.is_wanted:
            return PluginState.DISABLED
        return PluginState.FAILED if plugin.failure is not None else PluginState.ENABLED

    def reason(self, name: str) -> str:
        """Return why a plugin does not take part; empty when it does."""
        plugin, decision = self[name], self._decisions[name]
        if decision.is_wanted:
            return plugin.failure or ""
        if plugin.failure is not None:
            return f"{decision.reason}; enabled, it would fail: {plugin.failure}"
        return decision.reason

    def states(self) -> dict[str, str]:
        """Return a word for each plugin, and `failed: reason`, `quarantined: reason`."""
        explained = PluginState.FAILED, PluginState.QUARANTINED
        return {
            name: f"{self.state(name).value}: {self.reason(name)}"
            if self.state(name) in explained
            else self.state(name).value
            for name in self._plugins
        }

    def enabled(self) -> tuple[str, ...]:
        """Return the names of the enabled plugins in the order they are asked."""
        return tuple(n for n in self._plugins if self.state(n) is PluginState.ENABLED)

    def configure(self, settings: Settings, *, tolerant: bool = False) -> None:
        """Enable what the settings want: `plugins.*` and the feature flags.

        Args:
            settings: Only its `plugins` and `features` are read.
            tolerant: Keep quiet about plugins that are wanted and don't work; for commands that
                show or repair the choice.

        Raises:
            PluginError: A wanted plugin is missing or does not work.  Names all of them.
        """
        self._settings = settings
        self._decisions = {name: self._decide(plugin) for name, plugin in self._plugins.items()}
        self._owners.clear()
        self._manager = self._wire()
        problems = () if tolerant else self.problems()
        if problems:
            raise PluginError("\n".join(problems))

    def problems(self) -> tuple[str, ...]:
        """Return one line for each plugin that is wanted and missing or broken."""
        chosen = self._settings.plugins if self._settings is not None else PluginSettings()
        wanted = [name for name in chosen.enabled if name not in chosen.disabled]
        missing = [f"plugins.enabled: {self._unknown(name)}" for name in wanted if name not in self]
        refused = [
            f"{self[name].label}: {self.reason(name)}; it is in plugins.enabled, so allow its "
            "distribution or take it out"
            for name in wanted
            if name in self and self[name].refusal is not None
        ]
        failed = [
            f"{plugin.label}: {plugin.failure}. To go on without it: "
            f"arbitrade plugins disable {plugin.name}"
            for plugin in self
            if self.state(plugin.name) is PluginState.FAILED
        ]
        return (*missing, *refused, *failed)

    # ── changing it at run time ──────────────────────────────────────────────────────────────────

    def on_toggle(self, listener: Callable[[PluginToggled], None]) -> Callable[[], None]:
        """Call `listener` after each `enable` and `disable`; return a function that stops that.

        A listener that raises undoes an `enable`; the error reaches whoever asked for it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def enable(self, name: str) -> bool:
        """Wire a plugin in; return False when it was enabled already.

        Raises:
            PluginError: It does not work, is not allowed, or is behind a feature flag that is off.
        """
        if not self.check_swap(name, "enabled"):
            return False
        before = self._decisions[name]
        self._decide_anew(name, Decision(True))
        try:
            self._announce(PluginToggled(name, True, MappingProxyType({})))
        except BaseException:
            contributed = self.contributed(name)
            self._decide_anew(name, before)
            self._forget(name)
            self._announce(PluginToggled(name, False, contributed))
            raise
        return True

    def disable(self, name: str, *, quarantine: str = "") -> bool:
        """Take a plugin out; return False when it was not enabled.

        Args:
            name: Which one.
            quarantine: Why it is put aside; empty where somebody wants it so.

        Raises:
            PluginError: It is core, without which nothing works.
        """
        if not self.check_swap(name, "disabled"):
            return False
        contributed = self.contributed(name)
        reason = quarantine or "disabled while running"
        self._decide_anew(name, Decision(False, reason, is_quarantine=bool(quarantine)))
        self._forget(name)
        self._announce(PluginToggled(name, False, contributed))
        return True

    def check_swap(self, name: str, state: str) -> bool:
        """Return whether `enable` or `disable` would change a plugin.

        Raises:
            PluginError: It can't be `enabled` or `disabled`, or there is none of this name.
        """
        plugin = self[name]
        if state == "enabled":
            obstacle = self.obstacle(name)
            if self.state(name) is not PluginState.ENABLED and obstacle is not None:
                raise PluginError(f"{plugin.label} can't be enabled: {obstacle}")
            return self.state(name) is not PluginState.ENABLED
        if plugin.name == CORE:
            raise PluginError("core can't be disabled: it is what the other plugins plug into")
        return self.state(name) is not PluginState.DISABLED

    def obstacle(self, name: str) -> str | None:
        """Return why a plugin can't be enabled, None when it can."""
        plugin = self[name]
        if plugin.failure is not None:
            return plugin.failure
        if plugin.refusal is not None:
            return f"{plugin.refusal}; add it there if you trust it, then start again"
        return self._distrust(plugin) or self._flag(plugin)

    def contributed(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """Return the names of the objects a plugin has contributed so far, by kind."""
        kinds = {
            kind: tuple(named for named, owner in owners.items() if owner == name)
            for kind, owners in self._owners.items()
        }
        return MappingProxyType({kind: names for kind, names in kinds.items() if names})

    def implemented(self, name: str) -> tuple[str, ...]:
        """Return the hooks a plugin implements, in calling order."""
        module = self[name].module
        return implemented_hooks(module) if module is not None else ()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _wire(self) -> pluggy.PluginManager:
        manager = make_manager()
        for name in self.enabled():
            module = self._plugins[name].module
            assert module is not None, name
            manager.register(module, name)
        return manager

    def _decide(self, plugin: Plugin) -> Decision:
        assert self._settings is not None
        chosen = self._settings.plugins
        if plugin.name == CORE:
            return Decision(True)
        if plugin.refusal is not None:
            return Decision(False, plugin.refusal)
        if plugin.name in chosen.disabled:
            return Decision(False, "it is in plugins.disabled")
        if chosen.enabled and plugin.name not in chosen.enabled:
            return Decision(False, "it is not in plugins.enabled")
        obstacle = self._distrust(plugin) or self._flag(plugin)
        return Decision(True) if obstacle is None else Decision(False, obstacle)

    def _distrust(self, plugin: Plugin) -> str | None:
        allowed = self._settings.plugins.allowed_distributions if self._settings else ()
        if not allowed or plugin.distribution is None:
            return None
        if canonicalize_name(plugin.distribution) in map(canonicalize_name, allowed):
            return None
        return f"{plugin.distribution} is not in plugins.allowed_distributions"

    def _flag(self, plugin: Plugin) -> str | None:
        flag = getattr(self._settings.features, plugin.name, None) if self._settings else None
        if flag is False:
            return f"features.{plugin.name} is false; set it to true to have this plugin"
        return None

    def _decide_anew(self, name: str, decision: Decision) -> None:
        self._decisions[name] = decision
        self._manager = self._wire()

    def _announce(self, change: PluginToggled) -> None:
        for listener in tuple(self._listeners):
            listener(change)

    def _forget(self, plugin: str) -> None:
        for owners in self._owners.values():
            for named in [n for n, owner in owners.items() if owner == plugin]:
                del owners[named]

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._plugins, n=1)
        hint = f"did you mean {close[0]}? There are" if close else "there are"
        return f"no plugin {name!r} is installed; {hint}: {', '.join(self._plugins)}"
