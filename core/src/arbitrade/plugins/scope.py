"""The settings as one plugin gets to see them: core's, and its own section."""

from collections.abc import Callable

import attrs

from arbitrade.config import Secret, Settings
from arbitrade.errors import PluginError
from arbitrade.plugins.plugin import CORE


def scoped(settings: Settings, owner: str) -> Settings:
    """Return `settings` with the sections and secrets of other plugins left out.

    This keeps plugins from depending on each other's settings and secrets from wandering about by
    mistake.  It is no wall: a plugin runs in our process with all its rights.
    """
    if owner == CORE:
        return settings
    shared = {field.name: getattr(settings, field.name) for field in attrs.fields(Settings)}
    shared["sections"] = {k: v for k, v in settings.sections.items() if k == owner}
    shared["structured"] = {k: v for k, v in settings.structured.items() if k == owner}
    shared["find_secret"] = _own_secrets(settings.find_secret, owner)
    on_section = settings.on_section if isinstance(settings, WatchedSettings) else None
    return _OwnSettings(**shared, owner=owner, on_section=on_section)


@attrs.frozen
class WatchedSettings(Settings):
    """Settings that tell which sections of plugins are asked for, and with which class."""

    on_section: Callable[[str, type], None] | None = attrs.field(default=None, eq=False)

    def section[T](self, name: str, cls: type[T]) -> T:
        """Return a plugin's own settings, and say that they were asked for."""
        if self.on_section is not None:
            self.on_section(name, cls)
        return super().section(name, cls)


@attrs.frozen
class _OwnSettings(WatchedSettings):
    """Settings that open one section."""

    owner: str = ""

    def section[T](self, name: str, cls: type[T]) -> T:
        if name != self.owner:
            raise PluginError(
                f"{self.owner}: asked for the settings section {name!r}; "
                f"a plugin reads its own, {self.owner!r}"
            )
        return super().section(name, cls)


def _own_secrets(
    find: Callable[[str], Secret | None] | None, owner: str
) -> Callable[[str], Secret | None] | None:
    if find is None:
        return None
    return lambda name: find(name) if name.startswith(f"{owner}.") else None
