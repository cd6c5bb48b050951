"""What `web` contributes: a settings section, and a service while `web.enabled` is true."""

from arbitrade import Service, Settings, SettingsSection, hookimpl
from arbitrade.api import View
from arbitrade_web.config import WebSettings


@hookimpl
def arbitrade_register_settings() -> list[SettingsSection]:
    """Contribute the section `web`."""
    return [SettingsSection("web", WebSettings)]


@hookimpl
def arbitrade_register_services(settings: Settings, view: View) -> list[Service]:
    """Contribute the health service; nothing while `web.enabled` is false."""
    own = settings.section("web", WebSettings)
    if not own.enabled:
        return []
    # The server's libraries take a while to import; nobody without a server should wait for them.
    from arbitrade_web.server import HealthService

    return [HealthService(own, view)]
