"""What this distribution contributes: its settings section and one detector."""

from arbitrade import Detector, Instruments, Settings, SettingsSection, hookimpl
from arbitrade_triangular.config import TriangularSettings

SECTION = SettingsSection("triangular", TriangularSettings)


@hookimpl
def arbitrade_register_settings() -> list[SettingsSection]:
    """Bring the section `triangular`."""
    return [SECTION]


@hookimpl
def arbitrade_register_detectors(settings: Settings, instruments: Instruments) -> list[Detector]:
    """Bring the detector of triangular cycles."""
    from arbitrade_triangular.detector import TriangularDetector  # commands without one start fast

    own = settings.section(SECTION.name, TriangularSettings)
    return [TriangularDetector(instruments, settings.fees.schedule(), own)]
