"""What `alerts` contributes: a settings section, and a sink once an address is configured."""

from arbitrade import AlertSink, Settings, SettingsSection, hookimpl
from arbitrade_alerts.config import AlertSettings


@hookimpl
def arbitrade_register_settings() -> list[SettingsSection]:
    """Contribute the section `alerts`."""
    return [SettingsSection("alerts", AlertSettings)]


@hookimpl
def arbitrade_register_alert_sinks(settings: Settings) -> list[AlertSink]:
    """Contribute the apprise sink; nothing while `alerts.urls` is unset."""
    own = settings.section("alerts", AlertSettings)
    if own.urls is None or not own.urls.reveal().strip():
        return []
    # Importing apprise takes a tenth of a second that nobody without an address should pay.
    from arbitrade_alerts.channels import AppriseSink, open_channels

    return [AppriseSink(open_channels(own.urls), own.minimum_severity, own.timeout_s)]
