import attrs
import click
import pytest

from arbitrade import MigrationSeries, Secret, SettingsSection, hookimpl
from arbitrade.config import Features, PluginSettings, Settings
from arbitrade.errors import ConfigError, PluginError, UsageError
from arbitrade.plugins import PluginRegistry, PluginState
from arbitrade.plugins.checks import SampleView
from arbitrade.plugins.trials.detectors import SAMPLE
from arbitrade.protocols import Venue
from arbitrade.risk.core_rules import core_rules
from arbitrade.store.absent import no_database
from arbitrade.store.plugin_tables import PluginTables
from arbitrade.testing.history import make_history
from arbitrade.testing.risk import QuietView

SETTINGS = Settings()
PAIRS = SAMPLE
VIEW = QuietView()
HISTORY, TABLES = make_history(), PluginTables(no_database("a test"))


@attrs.frozen
class Sink:
    name: str = "bell"

    async def send(self, alert): ...


@attrs.frozen
class Finder:
    name: str = "finder"

    def on_instruments(self, instruments): ...

    def on_fees(self, fees): ...

    def on_void(self, symbol): ...

    def on_book(self, book, changed):
        return ()


@attrs.frozen
class Rule:
    name: str = "rule"

    def check(self, opportunity): ...


@attrs.frozen
class Server:
    name: str = "server"

    async def run(self): ...


@attrs.frozen
class Hands:
    name: str = "hands"
    needs_inventory: bool = False

    async def execute(self, approved): ...


class Shelf:
    def write(self, opportunity, line): ...

    def close(self): ...


@attrs.frozen
class Exchange(Venue):
    name: str = "exchange"


def plugin(**hooks: object) -> type:
    """Return a plugin whose hooks take nothing and return these values."""

    def returning(value: object) -> staticmethod:
        return staticmethod(hookimpl(lambda: value))

    return type(
        "Handmade", (), {f"arbitrade_{name}": returning(value) for name, value in hooks.items()}
    )


def names(objects) -> list[str]:
    return [each.name for each in objects]


# ── hooks: who is asked, and what comes back ─────────────────────────────────────────────────────


def test_each_register_hook_returns_what_every_enabled_plugin_contributes():
    registry = PluginRegistry.of(
        {
            "bell": plugin(
                register_alert_sinks=[Sink()],
                register_detectors=(Finder(),),
                register_risk_rules=iter([Rule()]),
                register_services=[Server()],
                register_commands=[click.Command("ring")],
            )
        }
    )
    assert names(registry.alert_sinks(SETTINGS)) == ["log", "bell"]
    assert names(registry.detectors(SETTINGS, PAIRS)) == ["finder"]
    own = {rule.name for rule in core_rules(VIEW)}
    assert names(registry.risk_rules(SETTINGS, PAIRS, VIEW)) == sorted(own | {"rule"})
    assert names(registry.services(SETTINGS, SampleView(), HISTORY, TABLES)) == ["server"]
    assert "ring" in names(registry.commands())


def test_each_make_hook_returns_the_object_of_the_plugin_that_knows_the_name():
    registry = PluginRegistry.of(
        {
            "absent": plugin(make_venue=None, make_executor=None, make_store=None),
            "exchange": plugin(make_venue=Exchange(), make_executor=Hands(), make_store=Shelf()),
        }
    )
    assert registry.make_venue(SETTINGS, "exchange") == Exchange()
    assert registry.make_executor(SETTINGS, "hands") == Hands()
    assert registry.contributed("exchange") == {"venues": ("exchange",), "executors": ("hands",)}
    assert isinstance(registry.make_store(SETTINGS, "shelf:1"), Shelf)


def test_hooks_take_any_subset_of_their_arguments():
    seen = []

    class Curious:
        @hookimpl
        def arbitrade_register_detectors(self, instruments):
            seen.append(instruments)
            return []

    PluginRegistry.of({"curious": Curious()}).detectors(SETTINGS, PAIRS)
    assert seen == [PAIRS]


def test_hook_under_another_function_name_belongs_to_its_plugin_alone():
    class Renamed:
        @hookimpl(specname="arbitrade_register_alert_sinks")
        def sinks(self):
            return [Sink("renamed")]

    registry = PluginRegistry.of(
        {"bell": plugin(register_alert_sinks=[Sink()]), "other": Renamed()}
    )
    assert names(registry.alert_sinks(SETTINGS)) == ["log", "bell", "renamed"]
    assert registry.contributed("other") == {"alert_sinks": ("renamed",)}
    assert registry.implemented("other") == ("arbitrade_register_alert_sinks",)


def test_modules_are_named_after_their_distribution():
    first, second = plugin(register_alert_sinks=[]), plugin(register_alert_sinks=[])
    first.__name__, second.__name__ = "arbitrade_bell", "arbitrade_gong.plugin"
    assert [p.name for p in PluginRegistry.of([first, second])] == ["core", "bell", "gong"]


def test_unknown_venue_is_refused_naming_those_there_are():
    registry = PluginRegistry.of({"exchange": plugin(make_venue=None)})
    with pytest.raises(UsageError, match=r"venue 'nowhere'.*installed and enabled: exchange"):
        registry.make_venue(SETTINGS, "nowhere")


def test_unknown_executor_is_refused_naming_the_setting():
    with pytest.raises(PluginError, match=r"execution\.executor: no enabled plugin makes 'magic'"):
        PluginRegistry.of([]).make_executor(SETTINGS, "magic")


def test_unknown_store_is_wrong_usage():
    with pytest.raises(UsageError, match=r"store 'floppy:a'.*jsonl:PATH"):
        PluginRegistry.of([]).make_store(SETTINGS, "floppy:a")


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


def test_name_two_plugins_contribute_is_refused_naming_both():
    registry = PluginRegistry.of(
        {
            "bell": plugin(register_detectors=[Finder()]),
            "gong": plugin(register_detectors=[Finder()]),
        }
    )
    with pytest.raises(PluginError, match=r"gong: .* returned 'finder', but bell has one"):
        registry.detectors(SETTINGS, PAIRS)


def test_name_of_core_cannot_be_taken():
    registry = PluginRegistry.of(
        {
            "bell": plugin(
                register_alert_sinks=[Sink("log")],
                register_risk_rules=[Rule("minimum_edge")],
                register_commands=[click.Command("detect")],
                make_executor=Hands("observe"),
            )
        }
    )
    for ask in (
        lambda: registry.alert_sinks(SETTINGS),
        lambda: registry.risk_rules(SETTINGS, PAIRS, VIEW),
        registry.commands,
    ):
        with pytest.raises(PluginError, match="but core has one of that name"):
            ask()
    assert registry.make_executor(SETTINGS, "observe").name == "observe"
    assert not isinstance(registry.make_executor(SETTINGS, "observe"), Hands)


def test_one_plugin_contributing_a_name_twice_is_refused():
    registry = PluginRegistry.of({"bell": plugin(register_alert_sinks=[Sink(), Sink()])})
    with pytest.raises(PluginError, match=r"bell: .* two things called 'bell'; rename one"):
        registry.alert_sinks(SETTINGS)


class NoSend:
    name = "bell"


class SyncSend:
    name = "bell"

    def send(self, alert): ...


class Deaf:
    name = "bell"

    async def send(self): ...


class Nameless:
    name = ""

    async def send(self, alert): ...


class Explosive:
    @property
    def name(self):
        raise OSError("no name today")

    async def send(self, alert): ...


@pytest.mark.parametrize(
    ("candidate", "complaint"),
    [
        (NoSend(), "it has no method `send`"),
        (SyncSend(), "its `send` has to be `async def`"),
        (Deaf(), r"its `send\(\)` can't be called as `send\(alert\)`"),
        (Nameless(), "its `name` is ''; it has to be text"),
        (Explosive(), "reading its `name` raised OSError: no name today"),
        (Sink, "it is the class Sink itself; return an instance"),
        (None, "it has no attribute `name`"),
    ],
)
def test_object_that_does_not_play_its_role_is_refused_saying_what_is_missing(candidate, complaint):
    registry = PluginRegistry.of({"bell": plugin(register_alert_sinks=[candidate])})
    with pytest.raises(PluginError, match=complaint) as refused:
        registry.alert_sinks(SETTINGS)
    assert str(refused.value).startswith("bell: arbitrade_register_alert_sinks returned a ")


def test_detector_whose_methods_are_coroutines_is_refused():
    class Slow(Finder):
        async def on_book(self, book, changed): ...

    registry = PluginRegistry.of({"slow": plugin(register_detectors=[Slow()])})
    with pytest.raises(PluginError, match="`on_book` must not be `async def`"):
        registry.detectors(SETTINGS, PAIRS)


@pytest.mark.parametrize("answer", [Sink(), "bell", 7])
def test_register_hook_that_returns_no_list_is_refused(answer):
    registry = PluginRegistry.of({"bell": plugin(register_alert_sinks=answer)})
    with pytest.raises(PluginError, match=r"bell: .* has to return a list, maybe an empty one"):
        registry.alert_sinks(SETTINGS)


def test_venue_that_answers_to_a_name_not_its_own_is_refused():
    registry = PluginRegistry.of({"exchange": plugin(make_venue=Exchange())})
    with pytest.raises(PluginError, match="asked for 'kraken' and returned one called 'exchange'"):
        registry.make_venue(SETTINGS, "kraken")


def test_hook_that_raises_is_reported_with_plugin_hook_and_fix():
    class Clumsy:
        @hookimpl
        def arbitrade_register_alert_sinks(self):
            raise ZeroDivisionError("oops")

    with pytest.raises(
        PluginError, match=r"clumsy: .*alert_sinks raised ZeroDivisionError: oops.*disable clumsy"
    ):
        PluginRegistry.of({"clumsy": Clumsy()}).alert_sinks(SETTINGS)


def test_generator_that_raises_is_reported_like_a_hook_that_raises():
    class Lazy:
        @hookimpl
        def arbitrade_register_alert_sinks(self):
            yield Sink()
            raise ZeroDivisionError("later")

    with pytest.raises(PluginError, match=r"lazy: .*ZeroDivisionError: later"):
        PluginRegistry.of({"lazy": Lazy()}).alert_sinks(SETTINGS)


def test_errors_that_say_themselves_what_to_do_pass_as_they_are():
    class Unset:
        @hookimpl
        def arbitrade_register_alert_sinks(self):
            raise ConfigError("unset.url: is missing")

    with pytest.raises(ConfigError, match=r"^unset\.url: is missing$"):
        PluginRegistry.of({"unset": Unset()}).alert_sinks(SETTINGS)


# ── sections and migrations ──────────────────────────────────────────────────────────────────────


@attrs.frozen
class Own:
    level: int = 1


@attrs.frozen
class Demanding:
    level: int


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ([SettingsSection("gong", Own)], "has the plugin's own name"),
        ([SettingsSection("fees", Own)], "which is core's"),
        ([SettingsSection("bell", Own), SettingsSection("bell", Own)], "beside another"),
        ([SettingsSection("bell", int)], "has to be an attrs class"),
        ([SettingsSection("bell", Demanding)], "whose level has no default"),
        ([Own], r"has to be a arbitrade\.config\.fields\.SettingsSection"),
    ],
)
def test_section_that_is_not_the_plugins_own_or_has_no_defaults_is_refused(sections, complaint):
    registry = PluginRegistry.of({"bell": plugin(register_settings=sections)})
    with pytest.raises(PluginError, match=complaint):
        registry.settings_sections()


def test_sections_of_disabled_plugins_are_known_too():
    registry = PluginRegistry.of({"bell": plugin(register_settings=[SettingsSection("bell", Own)])})
    registry.disable("bell")
    assert registry.settings_sections() == (SettingsSection("bell", Own),)


def test_unusable_section_of_a_disabled_plugin_does_not_stop_the_others():
    registry = PluginRegistry.of(
        {
            "bell": plugin(register_settings=[SettingsSection("bell", int)]),
            "gong": plugin(register_settings=[SettingsSection("gong", Own)]),
        }
    )
    registry.disable("bell")
    assert registry.settings_sections() == (SettingsSection("gong", Own),)


class Reading:
    """A plugin that reads a section and its secret when it is wired."""

    def __init__(self, section: str) -> None:
        self.section = section
        self.seen: list[object] = []

    @hookimpl
    def arbitrade_register_alert_sinks(self, settings):
        self.seen.append(settings.section(self.section, Own))
        if settings.find_secret is not None:
            self.seen += [settings.find_secret("bell.token"), settings.find_secret("gong.token")]
        self.seen.append(settings.risk)
        return []


def test_plugin_reads_cores_sections_and_its_own_but_no_other_plugins():
    secrets = {"bell.token": Secret("bell's"), "gong.token": Secret("gong's")}
    settings = Settings(
        sections={"bell": {"level": 5}, "gong": {"level": 7}}, find_secret=secrets.get
    )
    bell = Reading("bell")
    PluginRegistry.of({"bell": bell}).alert_sinks(settings)
    assert bell.seen == [Own(5), Secret("bell's"), None, settings.risk]
    with pytest.raises(PluginError, match=r"bell: asked for the settings section 'gong'"):
        PluginRegistry.of({"bell": Reading("gong")}).alert_sinks(settings)


def test_migrations_of_a_plugin_have_its_name_and_are_numbered(tmp_path):
    (tmp_path / "0001_bells.sql").write_text("CREATE TABLE bell ();")
    series = MigrationSeries("bell", tmp_path)
    registry = PluginRegistry.of({"bell": plugin(register_migrations=[series])})
    assert [s.namespace for s in registry.migrations()] == ["core", "bell"]

    thief = PluginRegistry.of({"gong": plugin(register_migrations=[series])})
    with pytest.raises(PluginError, match=r"gong: .* the namespace 'bell'"):
        thief.migrations()

    (tmp_path / "0003_gap.sql").write_text("")
    with pytest.raises(PluginError, match=r"0003_gap\.sql should be 0002_name\.sql"):
        registry.migrations()


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────


def bells() -> PluginRegistry:
    return PluginRegistry.of(
        {name: plugin(register_alert_sinks=[Sink(name)]) for name in ("bell", "gong")}
    )


@pytest.mark.parametrize(
    ("choice", "enabled"),
    [
        (PluginSettings(), ("core", "bell", "gong")),
        (PluginSettings(enabled=("gong",)), ("core", "gong")),
        (PluginSettings(disabled=("gong",)), ("core", "bell")),
        (PluginSettings(enabled=("gong", "bell"), disabled=("gong",)), ("core", "bell")),
        (PluginSettings(disabled=("core", "gone")), ("core", "bell", "gong")),
    ],
)
def test_settings_choose_the_plugins(choice, enabled):
    registry = bells()
    registry.configure(Settings(plugins=choice))
    assert registry.enabled() == enabled
    assert names(registry.alert_sinks(SETTINGS))[1:] == list(enabled[1:])


def test_plugin_named_like_a_feature_takes_part_only_while_that_is_on():
    registry = PluginRegistry.of({"statarb": plugin(register_detectors=[])})
    registry.configure(Settings())
    assert registry.reason("statarb").startswith("features.statarb is false")
    with pytest.raises(PluginError, match=r"features\.statarb is false; set it to true"):
        registry.enable("statarb")
    registry.configure(Settings(features=Features(statarb=True)))
    assert registry.state("statarb") is PluginState.ENABLED


def test_toggling_tells_listeners_what_to_drop_and_to_ask_for():
    registry = bells()
    sinks = {sink.name: sink for sink in registry.alert_sinks(SETTINGS)}

    def swap(change):
        for dropped in change.contributed.get("alert_sinks", ()):
            del sinks[dropped]
        if change.is_enabled:
            sinks.update({s.name: s for s in registry.alert_sinks(SETTINGS, only=change.name)})

    stop = registry.on_toggle(swap)
    assert registry.disable("bell")
    assert list(sinks) == ["log", "gong"]
    assert not registry.disable("bell")
    assert registry.reason("bell") == "disabled while running"
    assert registry.enable("bell")
    assert list(sinks) == ["log", "gong", "bell"]
    assert not registry.enable("bell")
    assert registry.contributed("bell") == {"alert_sinks": ("bell",)}
    stop()
    registry.disable("gong")
    assert "gong" in sinks


def test_plugin_that_fails_while_being_enabled_stays_disabled_and_its_objects_are_dropped():
    broken = plugin(register_alert_sinks=[Sink("fine")], register_detectors=[object()])
    registry = PluginRegistry.of({"broken": broken})
    registry.disable("broken")
    changes = []

    def swap(change):
        changes.append(change)
        if change.is_enabled:
            registry.alert_sinks(SETTINGS, only=change.name)
            registry.detectors(SETTINGS, PAIRS, only=change.name)

    registry.on_toggle(swap)
    with pytest.raises(PluginError, match=r"broken: .* is no Detector"):
        registry.enable("broken")
    assert registry.state("broken") is PluginState.DISABLED
    assert [(c.is_enabled, dict(c.contributed)) for c in changes] == [
        (True, {}),
        (False, {"alert_sinks": ("fine",)}),
    ]


def test_plugin_enabled_while_running_cannot_take_a_name_that_is_in_use():
    registry = PluginRegistry.of(
        {name: plugin(register_alert_sinks=[Sink("same")]) for name in ("bell", "gong")}
    )
    registry.disable("gong")
    registry.alert_sinks(SETTINGS)
    registry.on_toggle(lambda change: registry.alert_sinks(SETTINGS, only=change.name) and None)
    with pytest.raises(PluginError, match=r"gong: .* returned 'same', but bell has one"):
        registry.enable("gong")
    assert registry.contributed("bell") == {"alert_sinks": ("same",)}


def test_core_cannot_be_disabled_and_unknown_plugins_are_named():
    registry = bells()
    with pytest.raises(PluginError, match="core can't be disabled"):
        registry.disable("core")
    with pytest.raises(PluginError, match="no plugin 'bel' is installed; did you mean bell"):
        registry.enable("bel")


def test_handmade_plugin_that_cannot_be_wired_is_refused_at_once():
    with pytest.raises(PluginError, match=r"bell: there is no hook arbitrade_make_tea"):
        PluginRegistry.of({"bell": plugin(make_tea=[])})
    with pytest.raises(PluginError, match="two plugins have this name"):
        PluginRegistry.of({"core": plugin(make_venue=None)})


def test_registries_know_nothing_of_each_other():
    one, other = bells(), bells()
    one.disable("bell")
    assert other.state("bell") is PluginState.ENABLED
