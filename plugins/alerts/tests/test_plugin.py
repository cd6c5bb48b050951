import pytest

from arbitrade import Secret, Settings, Severity
from arbitrade.errors import ConfigError
from arbitrade_alerts import plugin
from arbitrade_alerts.config import AlertSettings


def settings(**values: object) -> Settings:
    return Settings(sections={"alerts": values})


def test_section_is_called_alerts_and_works_with_its_defaults():
    (section,) = plugin.arbitrade_register_settings()
    assert section.name == "alerts"
    assert section.cls is AlertSettings
    assert settings().section("alerts", AlertSettings) == AlertSettings()


def test_no_sink_while_no_address_is_configured():
    assert plugin.arbitrade_register_alert_sinks(Settings()) == []


def test_no_sink_for_an_address_of_white_space():
    assert plugin.arbitrade_register_alert_sinks(settings(urls=Secret("  \n"))) == []


def test_configured_address_makes_one_sink_with_the_settings_severity():
    own = settings(urls=Secret("json://127.0.0.1:9 json://127.0.0.1:10"), minimum_severity="error")
    (sink,) = plugin.arbitrade_register_alert_sinks(own)
    assert sink.name == "apprise"
    assert len(sink.channels) == 2
    assert sink.minimum_severity is Severity.ERROR


def test_unusable_address_stops_the_start():
    with pytest.raises(ConfigError, match=r"alerts\.urls: address 1 can't be used"):
        plugin.arbitrade_register_alert_sinks(settings(urls=Secret("no address")))
