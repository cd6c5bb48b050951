"""What tests see is the same whoever runs them."""

import os
import subprocess
import sys

import pytest

from arbitrade.testing.isolation import at_home
from arbitrade.testing.patience import PATIENCE_S

HOSTILE = {
    "ARBITRADE_FEES__TAKER": "lots",
    "arbitrade_venue": "nowhere",
    "PG_HOST": "10.255.255.1",
    "PGPASSWORD": "canary",
    "PYTHONHASHSEED": "7",
    "LC_ALL": "tr_TR.UTF-8",
    "TZ": "Asia/Kathmandu",
    "COLUMNS": "20",
    "FORCE_COLOR": "1",
    "NO_COLOR": "1",
    "https_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "XDG_CONFIG_HOME": "/nowhere",
    "SETTINGS_FILE_FOR_DYNACONF": "/nowhere/settings.toml",
}
CONFTEST = 'pytest_plugins = ["arbitrade.testing.isolation"]\n'
INSIDE = f"""
import os
import time
from pathlib import Path

from hypothesis import given, settings, strategies

HOSTILE = {HOSTILE!r}


def test_variables():
    for name, value in HOSTILE.items():
        assert os.environ.get(name) != value, name
    assert time.localtime(0).tm_hour == 0
    assert os.environ["ARBITRADE_KILLS"] == "3"


def test_places():
    assert list(Path.cwd().iterdir()) == []
    assert list(Path.home().iterdir()) == []


def test_mask(tmp_path):
    (tmp_path / "file").touch()
    assert os.name != "posix" or (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_reach(tmp_path):
    from arbitrade.store.embedded.account import reachable_folder

    assert reachable_folder(tmp_path / "state") == tmp_path / "state"


@settings(max_examples=1)
@given(strategies.just(1))
def test_slow_example(one):
    time.sleep(0.5)


def test_left():
    Path("left.txt").touch()
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs tests in a process of their own, among settings of somebody's."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "conftest.py").write_text(CONFTEST)
    (project / "settings.toml").write_text("[fees]\ntaker = 'lots'\n")
    (project / "pytest.ini").write_text("[pytest]\n")

    def run(code: str, *, umask: int = 0o022, **environment: str) -> str:
        (project / "test_it.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist"],
            cwd=project,
            env={**os.environ, **environment},
            umask=umask if os.name == "posix" else -1,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.stdout + done.stderr

    return run


def test_neither_environment_nor_mask_nor_home_of_who_runs_them_reaches_tests(run, tmp_path):
    home = tmp_path / "somebody"
    (home / ".arbitrade").mkdir(parents=True)
    homes = {"HOME": str(home), "USERPROFILE": str(home)}
    told = run(INSIDE, umask=0o077, **{**HOSTILE, **homes, "ARBITRADE_KILLS": "3"})
    passed = {line.partition("::")[2] for line in told.splitlines() if line.startswith("PASSED")}
    wanted = {"test_variables", "test_places", "test_mask", "test_reach", "test_slow_example"}
    assert wanted <= passed, told
    assert "left left.txt in the current folder; use tmp_path" in told
    assert [path.name for path in home.iterdir()] == [".arbitrade"]


def test_a_session_that_was_killed_is_cleaned_up_after_by_the_next(run, tmp_path):
    places = tmp_path / "temporary"
    places.mkdir()
    there = {"TMPDIR": str(places), "TEMP": str(places), "TMP": str(places)}
    run("import os\n\n\ndef test_it():\n    os._exit(9)\n", **there)
    assert list(places.glob("arbitrade-tests-*"))
    run("def test_it():\n    pass\n", **there)
    assert not list(places.glob("arbitrade-tests-*"))


def test_programs_that_need_a_home_get_the_one_there_is():
    there = at_home()
    assert there.get("HOME", "none") != os.environ["HOME"]
    assert there["LC_ALL"] == "C.UTF-8"
