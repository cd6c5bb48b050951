"""Everything that can be configured: core's sections, and the way to a plugin's own.

Values come, weakest first, from the defaults in these classes, `settings.toml`, `.secrets.toml`,
the environment (`ARBITRADE_SECTION__KEY`) and the command line.  `load_settings` reads and checks
them all at once; after that nothing changes any more.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Literal

import attrs

from arbitrade.config_fields import SettingsSection, setting
from arbitrade.execution.settings import (
    ExecutionSettings,
    JournalSettings,
    LiveSettings,
    PaperSettings,
)
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.risk_limits import RiskLimits
from arbitrade.secrets import Secret
from arbitrade.store.settings import DatabaseSettings

__all__ = [
    "CORE_SECTIONS",
    "DatabaseSettings",
    "ExecutionSettings",
    "Features",
    "FeeSettings",
    "JournalSettings",
    "LiveSettings",
    "LogSettings",
    "PaperSettings",
    "PluginSettings",
    "RecordingSettings",
    "RiskLimits",
    "RuntimeSettings",
    "Secret",
    "SecretSettings",
    "Settings",
    "SettingsSection",
    "load_settings",
    "setting",
]


@attrs.frozen
class PluginSettings:
    """Which plugins take part, and whom we trust to bring some."""

    enabled: tuple[str, ...] = setting(
        (), "Names of the plugins to use; empty means every installed one."
    )
    disabled: tuple[str, ...] = setting((), "Names of plugins to leave out; beats `enabled`.")
    allowed_distributions: tuple[str, ...] = setting(
        (),
        "Distributions whose plugins may be loaded; empty means any.  "
        "A plugin runs inside the bot with all its rights.",
        example=("arbitrade-kraken", "arbitrade-triangular"),
    )


@attrs.frozen
class Features:
    """Switches for what is not finished enough to be on for everybody."""

    statarb: bool = setting(False, "Statistical arbitrage on baskets of pairs.")


_FEE_HINT = "write 0.0040 for 40 bps"


@attrs.frozen
class FeeSettings:
    """What the venue charges, where the account itself doesn't tell."""

    taker: Decimal = setting(
        Decimal("0.0040"),
        "Fee of an order that takes liquidity.",
        unit="fraction of the notional",
        minimum=Decimal("-0.01"),
        maximum=Decimal("0.2"),
        hint=_FEE_HINT,
    )
    maker: Decimal = setting(
        Decimal("0.0025"),
        "Fee of an order that rests in the book; negative for a rebate.",
        unit="fraction of the notional",
        minimum=Decimal("-0.01"),
        maximum=Decimal("0.2"),
        hint=_FEE_HINT,
    )
    overrides: Mapping[str, Decimal] = setting(
        {},
        "Taker fee of single pairs, by symbol.",
        unit="fraction of the notional",
        minimum=Decimal("-0.01"),
        maximum=Decimal("0.2"),
        hint=_FEE_HINT,
        example={"USDT/USD": Decimal("0.0020")},
    )
    charged_in: FeeConvention = setting(
        FeeConvention.QUOTE,
        "In which asset fees are taken; kraken_default: buys in quote, sells in base; proceeds: of "
        "what a leg brings.",
    )

    def schedule(self) -> FeeSchedule:
        """Return the fees as the arithmetic wants them."""
        return FeeSchedule(
            taker=self.taker,
            maker=self.maker,
            overrides=dict(self.overrides),
            charged_in=self.charged_in,
        )


@attrs.frozen
class RecordingSettings:
    """Where and how `arbitrade record` writes."""

    folder: str = setting("recordings", "Folder for recordings, made when missing.")
    rotate_mb: int = setting(
        256, "Begin a new part at this size, before compression.", unit="MB", minimum=1
    )
    rotate_s: int = setting(3600, "Begin a new part at this age.", unit="s", minimum=1)
    compression: Literal["none", "gzip", "zstd"] = setting("zstd", "Compression of each part.")


@attrs.frozen
class LogSettings:
    """What is told while running, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least severe level that is written."
    )
    format: Literal["console", "json"] = setting(
        "console", "For people, or one JSON object a line for machines."
    )


@attrs.frozen
class RuntimeSettings:
    """What the process runs on."""

    event_loop: Literal["auto", "asyncio", "uvloop", "winloop"] = setting(
        "auto",
        "Who waits for the sockets; `auto` takes uvloop or winloop where one is installed.",
    )
    folder: str = setting(
        "~/.arbitrade",
        "Where the bot keeps its journal, locks, control socket and embedded database.",
    )


@attrs.frozen
class SecretSettings:
    """Where secrets are looked for when neither the environment nor a file has them."""

    keyring: bool = setting(True, "Ask the operating system's keyring.")
    vault: str = setting(
        ".secrets.vault", "Encrypted file, relative to the folder of `settings.toml`."
    )


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
    plugins: PluginSettings = PluginSettings()
    features: Features = Features()
    fees: FeeSettings = FeeSettings()
    recording: RecordingSettings = RecordingSettings()
    execution: ExecutionSettings = attrs.field(factory=ExecutionSettings)
    risk: RiskLimits = attrs.field(factory=RiskLimits)
    paper: PaperSettings = attrs.field(factory=PaperSettings)
    live: LiveSettings = attrs.field(factory=LiveSettings)
    journal: JournalSettings = attrs.field(factory=JournalSettings)
    database: DatabaseSettings = attrs.field(factory=DatabaseSettings)
    log: LogSettings = LogSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    secrets: SecretSettings = SecretSettings()
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
        from arbitrade.config_secrets import has_secrets
        from arbitrade.config_structure import structure_section

        known = self.structured.get(name)
        # Stores of secrets are looked into only here: a keyring takes a fifth of a second to find,
        # and may ask the user to unlock it, for commands that need no secret at all.
        if isinstance(known, cls) and (self.find_secret is None or not has_secrets(cls)):
            return known
        table = self.sections.get(name, {})
        return structure_section(name, cls, table, self.origins, self.find_secret)


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
    from arbitrade.config_load import load

    return load(tuple(sections), folder, environ, overrides or {}, plugin_names)
