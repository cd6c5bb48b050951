"""What `statarb` contributes: a settings section.  There is no detector yet, and it says so."""

import logging
from collections.abc import Iterable

from arbitrade import Detector, Instruments, Settings, SettingsSection, hookimpl
from arbitrade_statarb.config import StatarbSettings

_log = logging.getLogger(__name__)


@hookimpl
def arbitrade_register_settings() -> list[SettingsSection]:
    """Contribute the section `statarb`."""
    return [SettingsSection("statarb", StatarbSettings)]


@hookimpl
def arbitrade_register_detectors(
    settings: Settings, instruments: Instruments
) -> Iterable[Detector]:
    """Contribute nothing, and tell whoever switched the feature on not to wait for trades."""
    if settings.features.statarb:
        _log.warning("statarb.no_detector_yet")
    return ()
