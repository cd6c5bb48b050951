"""What is known about one plugin."""

import enum

import attrs

CORE = "core"
"""Name under which core's own features are registered; no other plugin may have it."""

GROUP = "arbitrade.plugins"
"""The entry-point group plugins announce themselves in."""


class PluginState(enum.Enum):
    """Whether a plugin takes part."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    FAILED = "failed"
    QUARANTINED = "quarantined"


@attrs.frozen
class Plugin:
    """A plugin as found.

    Args:
        name: Name of its entry point.
        module: The object with its hook implementations; None when it was not or can't be imported.
        distribution: Who ships it, None for plugins registered by hand.
        version: Version of that distribution.
        target: What the entry point names, e.g. `arbitrade_kraken.plugin`.
        failure: Why it can't be used, with the fix; None when it can.
        refusal: Why it was not even imported although it might work; None when it was.
    """

    name: str
    module: object | None = attrs.field(default=None, repr=False)
    distribution: str | None = None
    version: str | None = None
    target: str = ""
    failure: str | None = None
    refusal: str | None = None

    @property
    def label(self) -> str:
        """Name, distribution and version, for messages."""
        if self.distribution is None:
            return self.name
        return f"{self.name} ({self.distribution} {self.version})"


@attrs.frozen
class Decision:
    """Whether the settings want a plugin, and why not if they don't."""

    is_wanted: bool
    reason: str = ""
    is_quarantine: bool = False
