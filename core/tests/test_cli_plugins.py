import json
import stat
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from arbitrade.cli import arbitrade
from arbitrade.errors import ArbitradeError, ConfigError
from arbitrade.plugins.choice import write_choice

SETTINGS = """\
# What matters most comes first.
venue = "kraken"   # the only one

[plugins]
# gong is too loud
disabled = [
    "gong",  # really
]

[fees]
taker = 0.0040
"""


@pytest.fixture
def run(tmp_path, monkeypatch, install):
    """Return a function that runs `arbitrade plugins` in a folder, beside the plugin `bell`."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ARBITRADE_CONFIG", raising=False)
    install("bell")
    return lambda *args: CliRunner().invoke(arbitrade, ["plugins", *args])


def rows(result) -> dict[str, dict[str, object]]:
    assert result.exit_code == 0, result.output
    return {row["name"]: row for row in json.loads(result.stdout)}


def test_list_shows_state_version_and_distribution_of_each_plugin(run):
    listed = rows(run("list", "--json"))
    assert listed["bell"] == {
        "name": "bell",
        "state": "enabled",
        "reason": None,
        "version": "1.2",
        "distribution": "arbitrade-bell",
    }
    assert listed["core"]["state"] == "enabled"
    text = run("list").stdout
    assert text.splitlines()[0].split() == ["plugin", "state", "version", "distribution"]
    assert any(
        row.split() == ["bell", "enabled", "1.2", "arbitrade-bell"] for row in text.splitlines()
    )


def test_list_shows_broken_plugins_with_the_reason(run, install):
    install("gong", "import no_such_module_anywhere")
    assert rows(run("list", "--json"))["gong"]["state"] == "failed"
    assert "No module named 'no_such_module_anywhere'" in run("list").stdout


def test_list_names_wanted_plugins_that_are_not_installed(run):
    Path("settings.toml").write_text("[plugins]\nenabled = ['bel']\n")
    result = run("list")
    assert result.exit_code == 0
    assert "no plugin 'bel' is installed; did you mean bell" in result.stderr


def test_disabling_survives_a_restart_and_enabling_undoes_it(run):
    assert run("disable", "bell").stdout == "bell is disabled in settings.toml\n"
    assert rows(run("list", "--json"))["bell"]["reason"] == "it is in plugins.disabled"
    assert run("disable", "bell").stdout == "bell is disabled already\n"
    assert run("enable", "bell").stdout == "bell is enabled in settings.toml\n"
    assert rows(run("list", "--json"))["bell"]["state"] == "enabled"


def test_choice_is_written_where_the_settings_are(run, tmp_path, monkeypatch):
    given, named = tmp_path / "given", tmp_path / "named"
    given.mkdir()
    named.mkdir()
    monkeypatch.setenv("ARBITRADE_CONFIG", str(named))
    result = CliRunner().invoke(arbitrade, ["--config", str(given), "plugins", "disable", "bell"])
    assert result.stdout == f"bell is disabled in {given / 'settings.toml'}\n"
    assert not (named / "settings.toml").exists()
    assert run("disable", "bell").stdout == f"bell is disabled in {named / 'settings.toml'}\n"


def test_choice_that_the_environment_beats_is_reported_with_its_origin(run, monkeypatch):
    monkeypatch.setenv("ARBITRADE_PLUGINS__DISABLED", "bell")
    result = run("enable", "bell")
    assert result.exit_code == 2
    assert "environment ARBITRADE_PLUGINS__DISABLED beats it" in result.stderr


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("enable", "bel"), "did you mean bell?"),
        (("disable", "bel"), "did you mean bell?"),
        (("show", "bel"), "did you mean bell?"),
        (("check", "bel"), "did you mean bell?"),
        (("disable", "core"), "core can't be disabled"),
        (("new", "bell"), "a plugin of this name is installed"),
        (("new", "Not-A-Name"), "can't be the name of a plugin"),
        (("new", "core"), "is a name of core's own"),
        (("new", "fees"), "is a name of core's own"),
        (("new", "spread", "--kind", "detecter"), "did you mean detector?"),
        (("new", "run", "--kind", "command"), "arbitrade has a command of that name"),
    ],
)
def test_wrong_names_are_wrong_usage(run, args, complaint):
    result = run(*args)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_enabling_a_broken_plugin_is_refused_with_the_reason(run, install):
    install("gong", "import no_such_module_anywhere")
    result = run("enable", "gong")
    assert result.exit_code == 2
    assert "no_such_module_anywhere" in result.stderr


WITH_SETTINGS = """
import attrs
from arbitrade import Secret, SettingsSection, hookimpl

@attrs.frozen
class Gong:
    level: int = 3
    people: tuple[str, ...] = ("ann", "bob")
    token: Secret = Secret("swordfish-swordfish")

@hookimpl
def arbitrade_register_settings():
    return [SettingsSection("gong", Gong)]
"""


def test_show_tells_what_a_plugin_is_and_contributes(run, install):
    install("gong", WITH_SETTINGS)
    shown = json.loads(run("show", "bell", "--json").stdout)
    assert shown["hooks"] == ["arbitrade_register_alert_sinks"]
    assert shown["contributes"]["alert_sinks"] == ["bell"]
    assert shown["entry_point"] == "arbitrade_bell_bell_plugin"
    assert shown["problems"] == []
    text = run("show", "gong").stdout
    assert "distribution: arbitrade-gong" in text
    assert "    level = 3" in text
    assert "    people = ann, bob" in text
    assert "swordfish" not in text


def test_show_works_for_core_and_for_broken_plugins(run, install):
    install("gong", "import no_such_module_anywhere")
    shown = json.loads(run("show", "core", "--json").stdout)
    assert shown["migrations"][0] == "0001_initial.sql"
    assert "minimum_edge" in shown["contributes"]["risk_rules"]
    assert "no_such_module_anywhere" in run("show", "gong").stdout


def test_check_passes_a_sound_plugin(run):
    result = run("check", "bell")
    assert result.exit_code == 0
    assert result.stdout.startswith("bell (arbitrade-bell 1.2): sound (15 checked)")


HEADER = "from arbitrade import hookimpl, MigrationSeries, SettingsSection\n@hookimpl\n"


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        (HEADER + "def arbitrade_make_tea(): ...", "no hook arbitrade_make_tea"),
        (HEADER + "def arbitrade_register_detectors():\n    return [object()]", "no Detector"),
        (HEADER + "def arbitrade_register_services():\n    return [object()]", "no Service"),
        (HEADER + "def arbitrade_make_venue(name):\n    return object()", "no Venue"),
        (HEADER + "def arbitrade_make_store(url):\n    return object()", "has to return None"),
        (
            HEADER + "def arbitrade_register_settings():\n    return [SettingsSection('x', int)]",
            "has the plugin's own name",
        ),
        (
            "from pathlib import Path\n"
            + HEADER
            + "def arbitrade_register_migrations():\n"
            + "    return [MigrationSeries('gong', Path('nowhere'))]",
            "no migrations in nowhere",
        ),
    ],
)
def test_check_fails_a_plugin_that_is_not_sound(run, install, code, complaint):
    install("gong", code)
    result = run("check", "gong")
    assert result.exit_code == 1
    assert complaint in result.stdout
    findings = json.loads(run("check", "gong", "--json").stdout)
    assert any(complaint in (finding["problem"] or "") for finding in findings)


LYING = """
from decimal import Decimal
import attrs
from arbitrade import hookimpl
from arbitrade.synthetic.view import make_opportunity

class Gong:
    name = "gongs"
    def on_instruments(self, instruments): ...
    def on_fees(self, fees): ...
    def on_void(self, symbol): ...
    def on_book(self, book, changed):
        return [attrs.evolve(make_opportunity(), detector="gongs", edge_bps=Decimal("NaN"))]

@hookimpl
def arbitrade_register_detectors():
    return [Gong()]
"""

MISSPELT = """
from arbitrade import hookimpl

class Hands:
    name = "gong"
    need_inventory = True
    async def execute(self, desk): ...

@hookimpl
def arbitrade_make_executor(name):
    return Hands() if name == "gong" else None
"""

ONCE = """
from arbitrade import hookimpl
asked = []

@hookimpl
def arbitrade_register_detectors():
    asked.append(1)
    return [] if len(asked) == 1 else [object()]
"""

READING = """
import attrs
from arbitrade import hookimpl

@attrs.frozen
class Own:
    level: int = 3

@hookimpl
def arbitrade_register_services(settings):
    settings.section("gong", Own)
    return []
"""


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        (LYING, "detector gongs: gongs.on_book: reported for BTC/USD: its edge_bps is NaN; leave"),
        (ONCE, "called a second time: gong: arbitrade_register_detectors returned a object that"),
        (MISSPELT, "it has no attribute `needs_inventory`; is it `need_inventory`"),
        (
            READING,
            "gong: reads the settings section 'gong' without registering it, so `arbitrade config "
            'check` can\'t find what is misspelt in it; return [SettingsSection("gong", Own)] from '
            "arbitrade_register_settings",
        ),
    ],
)
def test_check_finds_what_only_trying_out_shows(run, install, code, complaint):
    install("gong", code)
    result = run("check", "gong")
    assert result.exit_code == 1
    assert complaint in result.stdout


def test_what_a_plugin_prints_while_it_is_tried_out_is_not_shown(run, install):
    loud = LYING.replace('Decimal("NaN")', "Decimal(1)").replace(
        "return [att", "print('loud'); return [att"
    )
    install("gong", loud)
    result = run("check", "gong", "--json")
    assert result.exit_code == 1  # a void book's cycle is still reported
    assert json.loads(result.stdout)


def test_show_tries_nothing_out(run, install):
    install("gong", LYING)
    assert json.loads(run("show", "gong", "--json").stdout)["problems"] == []


def test_misspelt_value_of_a_registered_section_is_found_by_config_check(run, install):
    install("gong", WITH_SETTINGS)
    Path("settings.toml").write_text('[gong]\nlevel = "eror"\n')
    result = CliRunner().invoke(arbitrade, ["config", "check"])
    assert result.exit_code == 2
    assert "gong.level: 'eror' is not a whole number (settings.toml)" in result.output


def test_check_wants_the_distribution_to_say_which_core_it_fits(run, install):
    install("gong", requires=None)
    result = run("check", "gong")
    assert result.exit_code == 1
    assert "does not say which versions of core it works with" in result.stdout


# ── the settings file ────────────────────────────────────────────────────────────────────────────


def test_writing_the_choice_keeps_the_rest_of_the_file_as_it_is(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(SETTINGS)
    assert write_choice(file, "bell", is_enabled=False)
    after = file.read_text()
    assert tomllib.loads(after)["plugins"]["disabled"] == ["gong", "bell"]
    kept = [row for row in SETTINGS.splitlines() if row not in after.splitlines()]
    assert kept == []
    assert write_choice(file, "bell", is_enabled=True)
    assert tomllib.loads(file.read_text()) == tomllib.loads(SETTINGS)
    assert not write_choice(file, "bell", is_enabled=True)


@pytest.mark.parametrize(
    ("before", "enable", "after"),
    [
        ("", False, {"disabled": ["bell"]}),
        ("", True, {}),
        ("[plugins]\nenabled = ['gong']\n", True, {"enabled": ["gong", "bell"]}),
        ("[plugins]\nenabled = []\n", True, {"enabled": []}),
        ("[plugins]\nenabled = ['bell']\n", False, {"enabled": ["bell"], "disabled": ["bell"]}),
        ("plugins.disabled = ['bell', 'bell']\n", True, {"disabled": []}),
        ("plugins = { disabled = ['bell'] }\n", True, {"disabled": []}),
        ("[Plugins]\nDisabled = ['bell']\n", True, {"Disabled": []}),
        ("a = 1\r\n[plugins]\r\n", False, {"disabled": ["bell"]}),
    ],
)
def test_choice_is_written_whatever_the_file_says_before(tmp_path, before, enable, after):
    file = tmp_path / "settings.toml"
    file.write_bytes(before.encode())
    write_choice(file, "bell", is_enabled=enable)
    read = tomllib.loads(file.read_bytes().decode()) if file.exists() else {}
    assert next((read[key] for key in read if key.lower() == "plugins"), {}) == after


PLUGINS = ("bell", "gong", "horn")
subsets = st.lists(st.sampled_from(PLUGINS), unique=True)


def is_wanted(chosen: dict[str, list[str]], name: str) -> bool:
    enabled = chosen.get("enabled", [])
    return name not in chosen.get("disabled", []) and (not enabled or name in enabled)


@how(max_examples=40)
@given(
    enabled=subsets,
    disabled=subsets,
    steps=st.lists(st.tuples(st.sampled_from(PLUGINS), st.booleans()), max_size=6),
)
def test_last_choice_for_a_plugin_counts_and_the_others_stay_as_they_were(
    tmp_path_factory, enabled, disabled, steps
):
    file = tmp_path_factory.mktemp("choice") / "settings.toml"
    file.write_text(f"[plugins]\nenabled = {enabled}\ndisabled = {disabled}\n")
    before = {n: is_wanted({"enabled": enabled, "disabled": disabled}, n) for n in PLUGINS}
    for name, wanted in steps:
        write_choice(file, name, is_enabled=wanted)
    after = tomllib.loads(file.read_text())["plugins"]
    assert {n: is_wanted(after, n) for n in PLUGINS} == {**before, **dict(steps)}


@pytest.mark.parametrize(
    ("before", "complaint"),
    [
        ("[plugins\n", "not valid TOML"),
        ("plugins = 3\n", "plugins is not a table"),
        ("[plugins]\ndisabled = 'bell'\n", "disabled is not a list"),
    ],
)
def test_file_that_cannot_be_changed_safely_is_left_alone(tmp_path, before, complaint):
    file = tmp_path / "settings.toml"
    file.write_text(before)
    with pytest.raises(ConfigError, match=complaint):
        write_choice(file, "bell", is_enabled=False)
    assert file.read_text() == before


def test_failing_replacement_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    file = tmp_path / "settings.toml"
    file.write_text(SETTINGS)

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(ArbitradeError, match=r"No space left on device.*nothing was changed"):
        write_choice(file, "bell", is_enabled=False)
    assert file.read_text() == SETTINGS
    assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_mode_of_the_file_stays_and_a_link_stays_a_link(tmp_path):
    real = tmp_path / "real.toml"
    real.write_text(SETTINGS)
    real.chmod(0o600)
    link = tmp_path / "settings.toml"
    link.symlink_to(real)
    write_choice(link, "bell", is_enabled=False)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert "bell" in real.read_text()
