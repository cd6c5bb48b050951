import json
import sys
from collections import namedtuple

import pytest
from click.testing import CliRunner

from arbitrade import hookimpl
from arbitrade.cli import CommandLine, arbitrade
from arbitrade.plugins import PluginRegistry
from arbitrade.testing.venue import EventVenue

Usage = namedtuple("Usage", "total used free")


class Market:
    """A plugin that has the venue `kraken`, which knows no frame of Kraken's."""

    @hookimpl
    def arbitrade_make_venue(self, settings, name):
        venue = EventVenue()
        venue.name = name
        return venue


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs `arbitrade doctor` in an empty folder beside these plugins."""
    monkeypatch.chdir(tmp_path)
    for name in ("ARBITRADE_CONFIG", "ARBITRADE_INTERPRETED", "ARBITRADE_REQUIRE_COMPILED"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOST", "PORT", "USER", "PASSWORD", "PASSWORD_FILE", "DATABASE"):
        monkeypatch.delenv(f"PG_{name}", raising=False)
    monkeypatch.setenv("ARBITRADE_RUNTIME__FOLDER", str(tmp_path / "state"))

    def run(*arguments, plugins=None):
        line = CommandLine()
        line.registry = PluginRegistry.of({"market": Market()} if plugins is None else plugins)
        return CliRunner().invoke(arbitrade, ["doctor", *arguments], obj=line)

    return run


def health(result) -> dict[str, str]:
    return {one["check"]: one["health"] for one in json.loads(result.stdout)["checks"]}


def text(result, check: str) -> str:
    (found,) = (one for one in json.loads(result.stdout)["checks"] if one["check"] == check)
    return found["text"]


def test_a_sound_installation_ends_with_0_and_has_a_line_for_everything(run):
    result = run()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert all(line[:2] in ("✓ ", "– ") for line in lines)
    found = [line[2:24].strip() for line in lines]
    assert found == [
        *("python", "clock", "stage of core", "settings", "event loop", "disk", "database"),
        *("plugin market", "hot path"),
    ]


def test_json_says_the_same(run):
    result = run("--json")
    assert json.loads(result.stdout)["ok"] is True
    assert health(result)["settings"] == "good"
    assert set(health(result).values()) <= {"good", "note"}


def test_every_setting_that_does_not_fit_is_a_line_and_exit_code_1(run, monkeypatch):
    monkeypatch.setenv("ARBITRADE_FEES__TAKER", "lots")
    monkeypatch.setenv("ARBITRADE_RECORDING__ROTATE_MB", "0")
    result = run()
    assert result.exit_code == 1
    wrong = [line for line in result.stdout.splitlines() if line.startswith("✗ settings")]
    assert len(wrong) == 2
    assert "fees.taker" in result.stdout
    assert "recording.rotate_mb" in result.stdout


def test_without_a_plugin_for_the_venue_the_hot_path_is_broken(run):
    result = run("--json", plugins={})
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert health(result)["hot path"] == "broken"
    assert "no enabled plugin has it" in text(result, "hot path")


def test_interpreted_is_a_note_with_its_reason(run, monkeypatch):
    monkeypatch.setenv("ARBITRADE_INTERPRETED", "1")
    result = run("--json")
    assert result.exit_code == 0
    assert health(result)["stage of core"] == "note"
    assert text(result, "stage of core") == (
        "interpreted: ARBITRADE_INTERPRETED=1 switches the compiled path off"
    )


def test_interpreted_is_broken_where_compiled_is_required(run, monkeypatch):
    monkeypatch.setenv("ARBITRADE_INTERPRETED", "1")
    monkeypatch.setenv("ARBITRADE_REQUIRE_COMPILED", "1")
    result = run("--json")
    assert result.exit_code == 1
    assert health(result)["stage of core"] == "broken"
    assert "unset one of the two" in text(result, "stage of core")


@pytest.mark.parametrize(
    ("free_mb", "expected"), [(100_000, "good"), (1_500, "note"), (99, "broken")]
)
def test_disk_is_judged_by_what_is_free(run, monkeypatch, free_mb, expected):
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(0, 0, free_mb * 1_000_000))
    result = run("--json")
    assert health(result)["disk"] == expected
    assert f"{free_mb:,} MB free" in text(result, "disk")


def test_an_event_loop_that_is_asked_for_and_missing_is_broken(run, monkeypatch):
    missing = "uvloop" if sys.platform == "win32" else "winloop"
    monkeypatch.setenv("ARBITRADE_RUNTIME__EVENT_LOOP", missing)
    result = run("--json")
    assert result.exit_code == 1
    assert f"'{missing}' is not installed" in text(result, "event loop")


def test_a_plugin_that_crashes_is_a_line_not_a_traceback(run):
    class Crashing:
        @hookimpl
        def arbitrade_make_venue(self, settings, name):
            venue = EventVenue()
            venue.name = name
            venue.make_decoder = lambda: 1 / 0
            return venue

    result = run("--json", plugins={"crashing": Crashing()})
    assert result.exit_code == 1
    assert text(result, "hot path") == "ZeroDivisionError: division by zero; report it"
