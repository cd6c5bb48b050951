"""`Settings`: core's sections together, and the way to a plugin's own."""

from collections.abc import Callable, Mapping

import attrs

from arbitrade.config.basic import (
    Features,
    FeeSettings,
    LogSettings,
    PluginSettings,
    RecordingSettings,
    RuntimeSettings,
    SecretSettings,
)
from arbitrade.config.database import DatabaseSettings
from arbitrade.config.fields import SettingsSection, setting
from arbitrade.config.risk import RiskLimits
from arbitrade.config.trading import (
    ExecutionSettings,
    JournalSettings,
    LiveSettings,
    PaperSettings,
)
from arbitrade.secrets import Secret

CORE_SECTIONS: tuple[SettingsSection, ...] = (
    SettingsSection("plugins", PluginSettings),
    SettingsSection("features", Features),
    SettingsSection("fees", FeeSettings),
    SettingsSection("recording", RecordingSettings),
    SettingsSection("execution", ExecutionSettings),
    SettingsSection("risk", RiskLimits),
    SettingsSection("paper", PaperSettings),
    SettingsSection("live", LiveSettings),
    SettingsSection("journal", JournalSettings),
    SettingsSection("database", DatabaseSettings),
    SettingsSection("log", LogSettings),
    SettingsSection("runtime", RuntimeSettings),
    SettingsSection("secrets", SecretSettings),
)
"""Core's own sections, in the order they are shown."""


@attrs.frozen
class Settings:
    """Everything configured, checked and unchangeable.  `Settings()` is all defaults.

    Args:
        venue: Name of the venue to connect to.
        sections: The plugins' own sections as written, by name.
        origins: Where each value that is not a default came from, by dotted path.
        structured: Sections of plugins that were checked at start.
        find_secret: Looks in the stores for a secret that is in no layer, by dotted name.
    """

    venue: str = setting("kraken", "Venue to connect to.")
    plugins: PluginSettings = attrs.field(factory=PluginSettings)
    features: Features = attrs.field(factory=Features)
    fees: FeeSettings = attrs.field(factory=FeeSettings)
    recording: RecordingSettings = attrs.field(factory=RecordingSettings)
    execution: ExecutionSettings = attrs.field(factory=ExecutionSettings)
    risk: RiskLimits = attrs.field(factory=RiskLimits)
    paper: PaperSettings = attrs.field(factory=PaperSettings)
    live: LiveSettings = attrs.field(factory=LiveSettings)
    journal: JournalSettings = attrs.field(factory=JournalSettings)
    database: DatabaseSettings = attrs.field(factory=DatabaseSettings)
    log: LogSettings = attrs.field(factory=LogSettings)
    runtime: RuntimeSettings = attrs.field(factory=RuntimeSettings)
    secrets: SecretSettings = attrs.field(factory=SecretSettings)
    sections: Mapping[str, Mapping[str, object]] = attrs.field(factory=dict, repr=False)
    origins: Mapping[str, str] = attrs.field(factory=dict, repr=False, eq=False)
    structured: Mapping[str, object] = attrs.field(factory=dict, repr=False)
    find_secret: Callable[[str], Secret | None] | None = attrs.field(
        default=None, repr=False, eq=False
    )

    def section[T](self, name: str, cls: type[T]) -> T:
        """Return a plugin's own settings as its attrs class.

        A section that was registered with this class has been checked at start; any other is
        structured now, from what the user wrote or else from the defaults.  Secrets that are in no
        layer are looked up in the keyring and the vault now.

        Args:
            name: Name of the section: the plugin's own.
            cls: The attrs class; every field needs a default.

        Raises:
            ConfigError: Values that don't fit, each with its path and origin.
            SecretError: A store of secrets can't be read.
        """
        from arbitrade.config.secrets import has_secrets
        from arbitrade.config.structure import structure_section

        known = self.structured.get(name)
        # Stores of secrets are looked into only here: a keyring takes a fifth of a second to find,
        # and may ask the user to unlock it, for commands that need no secret at all.
        if isinstance(known, cls) and (self.find_secret is None or not has_secrets(cls)):
            return known
        table = self.sections.get(name, {})
        return structure_section(name, cls, table, self.origins, self.find_secret)
