"""What docs/writing-plugins.md shows and `plugins new` makes does its job, beside core alone.

A plugin of every kind, and the one of the first page, are built as wheels and installed into one
environment with core and the triangular detector.
"""

import ast
import csv
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from plugin_environment import ROOT, Environment, uv_command

from arbitrade.scaffold import plugin_files, write_plugin
from arbitrade.scaffold.kinds import KINDS

PAGE = ROOT / "docs" / "writing-plugins.md"
CHAPTERS = ROOT / "docs" / "plugins"

NAMES = {
    "detector": "wide",
    "rule": "narrow",
    "executor": "patient",
    "sink": "chime",
    "venue": "tape",
    "store": "shelf",
    "service": "pulse",
    "command": "breakeven",
}
"""What each kind's plugin is called in its chapter."""

SETTINGS: Mapping[str, Mapping[str, object]] = {
    # The bot's own things beside the test's, and no wait for a database.
    "runtime": {"folder": "state"},
    "recording": {"folder": "recordings"},
    "execution": {"executor": "patient"},
    "fees": {"taker": "0.001", "maker": "0.0001"},
    # One that fails on a busy machine is not the last.
    "risk": {"cooldown_s": 0},
    "patient": {"wait_s": 0.01},
    "pulse": {"file": "state.json", "every_s": 0.05},
}

COMPLETED = ("cycles", "completed")

pytestmark = [
    pytest.mark.timeout(600),  # eleven wheels are built and an environment is filled
    pytest.mark.skipif(uv_command() is None, reason="uv is not installed"),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with core, the triangular detector, and a plugin of every kind."""
    folder = tmp_path_factory.mktemp("environment")
    made = [write_plugin(name, folder, kind) for kind, name in NAMES.items()]
    bell = extract("arbitrade-bell", PAGE, folder)
    ours = [ROOT / "core", ROOT / "plugins" / "triangular"]
    testing = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text(encoding="utf-8"))
    needs = testing["project"]["optional-dependencies"]["testing"]
    more = [need for need in needs if not need.startswith("arbitrade-")]
    return Environment.of(folder, [*ours, *made, bell], *more)


@pytest.fixture(scope="module")
def traded(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> "Traded":
    """A run on the market of the venue's chapter, with everybody taking part."""
    return Traded(environment, tmp_path_factory.mktemp("traded"), SETTINGS, COMPLETED)


class Traded:
    """`arbitrade run` until something was counted, and what it left behind."""

    def __init__(
        self,
        environment: Environment,
        folder: Path,
        settings: Mapping[str, Mapping[str, object]],
        until: tuple[str, str],
    ) -> None:
        self._environment = environment
        self.folder = extract("tape", CHAPTERS / "venue.md", folder)
        with (self.folder / "settings.toml").open("a", encoding="utf-8") as file:
            for section, values in settings.items():
                lines = (f"{name} = {json.dumps(value)}" for name, value in values.items())
                file.write("\n".join(("", f"[{section}]", *lines, "")))
        secrets = self.folder / ".secrets.toml"
        secrets.write_text('[database]\ndsn = "postgresql://nobody@127.0.0.1:9/none"\n')
        secrets.chmod(0o600)
        kind, name = until
        printed, self.said = environment.run_until(
            lambda: bool(self._status().get(kind, {}).get(name)),
            *("arbitrade", "run", "--json"),
            cwd=self.folder,
        )
        self.report: dict[str, Any] = json.loads(printed)

    def _status(self) -> dict[str, Any]:
        """Return what the running bot counted, nothing while it doesn't run yet."""
        try:
            done = self._environment.run("arbitrade", "status", "--json", cwd=self.folder)
        except AssertionError:
            return {}
        status: dict[str, Any] = json.loads(done.stdout)
        return status


@pytest.mark.parametrize("kind", NAMES)
def test_plugin_of_every_kind_passes_its_tests_and_the_check(
    environment: Environment, kind: str, tmp_path: Path
) -> None:
    name = NAMES[kind]
    project = environment.folder / f"arbitrade-{name}"
    tested = environment.run("pytest", "-q", "-p", "no:cacheprovider", cwd=project).stdout
    assert re.search(r"^[3-9] passed|^[12]\d passed", tested, re.MULTILINE), tested
    checked = environment.run("arbitrade", "plugins", "check", name, cwd=tmp_path).stdout
    assert checked.startswith(f"{name} (arbitrade-{name} 0.1.0): sound (")


def test_market_of_the_csv_file_is_traded_in_paper(traded: Traded) -> None:
    """Detector, venue and executor: the cycle in the file is found and taken."""
    assert traded.report["cycles"]["completed"] >= 1
    assert traded.report["orders"] >= 3 * traded.report["cycles"]["completed"]
    assert traded.report["executions"] >= 3
    assert "not one book was in sync" not in traded.said


def test_executor_wrote_down_why_it_left_a_cycle_alone(environment: Environment, tmp_path: Path):
    """The cycle is there for 1.5 s of every 3 s, so that 2 s later it is not."""
    late = {**SETTINGS, "patient": {"wait_s": 2}}
    slow = Traded(environment, tmp_path, late, ("cycles", "aborted_clean"))
    assert slow.report["cycles"]["aborted_clean"] >= 1


def test_rule_refuses(environment: Environment, tmp_path: Path) -> None:
    # ETH/BTC has the bid 0.0499 and the ask 0.05: 20 bps.
    strict = {**SETTINGS, "narrow": {"maximum_spread_bps": "19"}}
    refused = Traded(environment, tmp_path, strict, ("refusals", "narrow"))
    assert refused.report["refusals"]["narrow"] >= 1
    assert refused.report["orders"] == 0


def test_sinks_got_the_alert_that_the_database_is_away(traded: Traded) -> None:
    """The one of the first page and the one of the chapter."""
    assert traded.said.count("\athe database is not there") == 2


def test_service_ran_and_was_stopped(traded: Traded) -> None:
    state = json.loads((traded.folder / "state.json").read_text(encoding="utf-8"))
    assert state == {"is_running": False, "command": "run", "books_in_sync": 3}


def test_store_keeps_what_the_detectors_see(environment: Environment, traded: Traded) -> None:
    """In the recording of the run; without fees, so that every spread is wide enough."""
    (recording,) = (traded.folder / "state" / "recordings").glob("*.zst")
    environment.run(
        *("arbitrade", "detect", recording, "--out", "shelf:found.csv"), cwd=traded.folder
    )
    with (traded.folder / "found.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["detector"] for row in rows} == {"wide", "triangular"}
    assert all("rest in the book" in row["blocked"] for row in rows if row["detector"] == "wide")


def test_command_runs_and_prints_what_its_chapter_shows(
    environment: Environment, tmp_path: Path
) -> None:
    done = environment.run("arbitrade", "breakeven", "--legs", "3", cwd=tmp_path)
    assert done.stdout in (CHAPTERS / "command.md").read_text(encoding="utf-8")


def test_bell_of_the_first_page_is_sound_and_its_section_is_checked(
    environment: Environment, tmp_path: Path
) -> None:
    printed = environment.run("arbitrade", "plugins", "check", "bell", cwd=tmp_path).stdout
    assert printed in PAGE.read_text(encoding="utf-8")
    (tmp_path / "settings.toml").write_text('[bell]\nlevel = "eror"\n')
    refused = environment.run("arbitrade", "config", "check", cwd=tmp_path, code=2)
    assert "bell.level: 'eror'" in refused.stderr


def test_installed_core_carries_its_migrations(environment: Environment, tmp_path: Path) -> None:
    done = environment.run("arbitrade", "plugins", "show", "core", "--json", cwd=tmp_path)
    shown = json.loads(done.stdout)
    assert shown["migrations"] == sorted(p.name for p in (ROOT / "migrations").glob("*.sql"))
    assert shown["problems"] == []


@pytest.mark.parametrize("kind", NAMES)
def test_chapter_shows_what_plugins_new_makes(kind: str) -> None:
    name = NAMES[kind]
    made = plugin_files(name, kind)
    shown = files_shown(CHAPTERS / f"{kind}.md")
    paths = {f"src/arbitrade_{name}/plugin.py", "tests/test_plugin.py"}
    assert {path: shown[f"arbitrade-{name}/{path}"] for path in paths} == {
        path: made[path] for path in paths
    }
    assert f"plugins/{kind}.md" in PAGE.read_text(encoding="utf-8")


def test_every_kind_has_a_chapter() -> None:
    assert list(NAMES) == list(KINDS)
    assert {path.stem for path in CHAPTERS.glob("*.md")} == set(KINDS)


def test_every_file_the_documentation_shows_reads() -> None:
    for page in (PAGE, *CHAPTERS.glob("*.md")):
        for path, text in files_shown(page).items():
            if path.endswith(".toml"):
                assert tomllib.loads(text)
            elif path.endswith(".py"):
                assert ast.parse(text)


def files_shown(page: Path) -> dict[str, str]:
    """Return the files a page shows, by the path in their title."""
    fence = re.compile(r'^```\w+ title="(.+?)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    return dict(fence.findall(page.read_text(encoding="utf-8")))


def extract(project: str, page: Path, into: Path) -> Path:
    """Write the files of a project that a page shows; return its folder."""
    for path, text in files_shown(page).items():
        if path.startswith(f"{project}/"):
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (into / path).write_text(text, encoding="utf-8")
    return into / project
