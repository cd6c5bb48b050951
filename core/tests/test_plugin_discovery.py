import sys

import pytest

from arbitrade.config import PluginSettings, Settings
from arbitrade.errors import PluginError
from arbitrade.plugins import PluginState, discover

# Other plugins may be installed beside core when this suite runs; `bell` and its like are ours.


def settings(**choice: tuple[str, ...]) -> Settings:
    return Settings(plugins=PluginSettings(**{"enabled": ("bell",), **choice}))


def test_installed_plugin_is_found_with_its_distribution_and_wired(install):
    install("bell")
    registry = discover()
    registry.configure(settings())
    assert registry["bell"].label == "bell (arbitrade-bell 1.2)"
    assert registry.enabled() == ("core", "bell")
    assert [sink.name for sink in registry.alert_sinks(Settings())] == ["log", "bell"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such"),
        ("raise RuntimeError('out of luck')", "RuntimeError: out of luck"),
        ("assert False, 'not today'", "AssertionError: not today"),
        ("raise SystemExit('I quit')", "SystemExit: I quit"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_plugin_that_cannot_be_imported_stops_the_start_by_name_with_reason_and_fix(
    install, code, reason
):
    install("bell", code)
    registry = discover()
    with pytest.raises(PluginError) as stopped:
        registry.configure(settings())
    message = str(stopped.value)
    assert message.startswith("bell (arbitrade-bell 1.2): importing arbitrade_bell_bell_plugin")
    assert reason in message
    assert "arbitrade plugins disable bell" in message
    assert registry.state("bell") is PluginState.FAILED
    assert reason in registry.reason("bell")
    assert registry.states()["bell"].startswith("failed: importing")


def test_broken_plugin_that_is_disabled_does_not_stop_the_start(install):
    install("bell", "raise RuntimeError('out of luck')")
    registry = discover()
    registry.configure(settings(enabled=(), disabled=("bell", *others())))
    assert registry.state("bell") is PluginState.DISABLED
    assert registry.reason("bell").startswith("it is in plugins.disabled; enabled, it would fail")


def test_all_broken_plugins_are_reported_at_once(install):
    install("bell", "raise RuntimeError('first')")
    install("gong", "raise RuntimeError('second')")
    with pytest.raises(PluginError, match=r"(?s)first.*second"):
        discover().configure(settings(enabled=("bell", "gong")))


@pytest.mark.parametrize(
    ("requires", "fits"),
    [
        ("arbitrade-core>=0.1,<0.2", True),
        ("arbitrade_core>=0.1", True),
        ("arbitrade-core", True),
        (None, True),
        ("arbitrade-core>=99", False),
        ("arbitrade-core<0.1", False),
        ("arbitrade-core>=99; python_version<'3'", True),
    ],
)
def test_plugin_made_for_another_core_is_refused_without_importing_it(install, requires, fits):
    path = install("bell", requires=requires)
    registry = discover()
    if fits:
        registry.configure(settings())
        return
    with pytest.raises(PluginError, match=r"bell .* needs arbitrade-core.* is installed; install"):
        registry.configure(settings())
    assert path.stem not in sys.modules


def test_plugin_of_a_distribution_that_is_not_allowed_is_not_imported(install):
    path = install("bell", "raise RuntimeError('must not run')")
    registry = discover(["arbitrade-kraken"])
    registry.configure(settings(enabled=(), allowed_distributions=("arbitrade-kraken",)))
    assert path.stem not in sys.modules
    assert registry.state("bell") is PluginState.DISABLED
    assert registry.reason("bell") == "arbitrade-bell is not in plugins.allowed_distributions"
    with pytest.raises(PluginError, match="add it there if you trust it"):
        registry.enable("bell")


def test_allowed_distribution_is_recognised_however_its_name_is_spelled(install):
    install("bell")
    registry = discover(["Arbitrade_Bell"])
    registry.configure(settings(allowed_distributions=("Arbitrade_Bell",)))
    assert registry.state("bell") is PluginState.ENABLED


def test_wanting_a_plugin_that_is_not_allowed_stops_the_start(install):
    install("bell")
    registry = discover(["arbitrade-kraken"])
    with pytest.raises(PluginError, match="allow its distribution or take it out"):
        registry.configure(settings(allowed_distributions=("arbitrade-kraken",)))


def test_name_offered_by_two_distributions_is_refused_naming_both(install):
    install("bell")
    install("bell", distribution="other-bells")
    with pytest.raises(PluginError, match="offered by arbitrade-bell and other-bells; uninstall"):
        discover().configure(settings())


@pytest.mark.parametrize("name", ["Bell", "bell-2", "core"])
def test_name_that_no_plugin_may_have_is_refused(install, name):
    install(name, distribution="arbitrade-odd")
    listed = "arbitrade-odd" if name == "core" else name
    with pytest.raises(PluginError, match="its author"):
        discover().configure(settings(enabled=(listed,)))


def test_plugin_that_calls_itself_core_does_not_replace_core(install):
    install("core", distribution="arbitrade-odd")
    assert discover()["core"].target == "arbitrade.plugins.builtin"


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        (
            "from arbitrade import hookimpl\n@hookimpl\ndef arbitrade_register_detector(): ...",
            "no hook arbitrade_register_detector; did you mean arbitrade_register_detectors",
        ),
        (
            "from arbitrade import hookimpl\n@hookimpl\n"
            "def arbitrade_make_venue(name, setings): ...",
            "asks for `setings`, but the hook passes settings, name",
        ),
        (
            "def arbitrade_register_services(settings): ...",
            "arbitrade_register_services is not marked with @hookimpl",
        ),
        (
            "from arbitrade import hookimpl\n@hookimpl(wrapper=True)\n"
            "def arbitrade_make_venue():\n    return (yield)",
            "arbitrade_make_venue is a wrapper",
        ),
        (
            "from arbitrade import hookimpl\n@hookimpl\n"
            "async def arbitrade_register_detectors(): ...",
            "arbitrade_register_detectors must not be `async def`",
        ),
        (
            "from arbitrade import hookimpl\n@hookimpl\n"
            "def arbitrade_register_detectors(settings=None): ...",
            "would never be passed `settings`; remove its default",
        ),
        (
            "from arbitrade import hookimpl\n@hookimpl\n"
            "def arbitrade_register_detectors(*, settings): ...",
            "takes `settings` by keyword only",
        ),
        ("", "it implements no hook"),
    ],
)
def test_misspelled_hooks_are_refused_with_what_was_meant(install, code, complaint):
    install("bell", code)
    with pytest.raises(PluginError, match="can't be wired") as stopped:
        discover().configure(settings())
    assert complaint in str(stopped.value)


def test_wanting_a_plugin_that_is_not_installed_suggests_one_that_is(install):
    install("bell")
    with pytest.raises(PluginError, match=r"no plugin 'bel' is installed; did you mean bell\?"):
        discover().configure(settings(enabled=("bel",)))


def others() -> tuple[str, ...]:
    return tuple(p.name for p in discover() if p.name not in {"core", "bell", "gong"})
