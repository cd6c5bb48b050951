from arbitrade import Settings
from arbitrade_web import plugin
from arbitrade_web.config import WebSettings


def test_section_is_called_web_and_is_off_by_default():
    (section,) = plugin.arbitrade_register_settings()
    assert section.name == "web"
    assert Settings().section("web", section.cls) == WebSettings(enabled=False)


def test_no_service_while_it_is_off(view):
    assert plugin.arbitrade_register_services(Settings(), view) == []


def test_enabled_server_is_one_service(view):
    settings = Settings(sections={"web": {"enabled": True, "port": 0}})
    (service,) = plugin.arbitrade_register_services(settings, view)
    assert service.name == "health"
