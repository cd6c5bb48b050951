"""Everything that can be configured: core's sections, and the way to a plugin's own.

Values come, weakest first, from the defaults in these classes, `settings.toml`, `.secrets.toml`,
the environment (`ARBITRADE_SECTION__KEY`) and the command line.  `arbitrade.config.load` reads and
checks them all at once; after that nothing changes any more.
"""

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
from arbitrade.config.settings import CORE_SECTIONS, Settings
from arbitrade.config.trading import (
    ExecutionSettings,
    JournalSettings,
    LiveSettings,
    PaperSettings,
)
from arbitrade.secrets import Secret

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
    "setting",
]
