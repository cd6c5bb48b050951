"""What docs/writing-plugins.md shows and `plugins new` writes, in an environment beside core.

The environment is made by uv: from its cache when that has everything, else from the package index.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from arbitrade.testing.isolation import at_home
from arbitrade.testing.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "writing-plugins.md"
RECORDING = ROOT / "tests" / "data" / "btcusd-d10-20230730.jsonl"

pytestmark = pytest.mark.timeout(600)  # three wheels are built and an environment is filled

type Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def uv() -> Run:
    """Return a function that runs uv, first without the network."""
    command = uv_command()
    if command is None:
        pytest.skip("uv is not installed")

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        line = [*command, *map(str, arguments)]
        offline = subprocess.run([*line, "--offline"], capture_output=True, text=True, env=clean())
        if offline.returncode == 0:
            return offline
        online = subprocess.run(line, capture_output=True, text=True, env=clean())
        assert online.returncode == 0, online.stdout + online.stderr
        return online

    return run


@pytest.fixture(scope="module")
def beside_core(uv: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a program of a fresh environment with core and Kraken in it."""
    folder = tmp_path_factory.mktemp("environment")
    wheels = folder / "wheels"
    for distribution in ("core", "plugins/kraken"):
        uv("build", "--wheel", "--out-dir", wheels, ROOT / distribution)
    uv("venv", "--python", sys.executable, folder / "venv")
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    uv("pip", "install", "--python", python, *wheels.glob("*.whl"), "pytest")

    def run(*arguments: object, cwd: Path = folder, code: int = 0) -> str:
        if arguments[0] == "install":
            return uv("pip", "install", "--python", python, *arguments[1:]).stderr
        done = subprocess.run(
            [python, "-m", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=clean(),
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


def test_detector_of_the_documentation_is_called(uv: Run, beside_core: Run, tmp_path: Path) -> None:
    project = extract("arbitrade-wide", tmp_path)
    uv("build", "--wheel", "--out-dir", tmp_path / "wheels", project)
    beside_core("install", *(tmp_path / "wheels").glob("*.whl"))
    # Without fees every spread is wide enough, so each book message has to show one.
    (tmp_path / "settings.toml").write_text('[fees]\nmaker = "0"\n')

    assert "sound" in beside_core("arbitrade", "plugins", "check", "wide", cwd=tmp_path)
    assert "2 passed" in beside_core("pytest", "-q", project / "test_wide.py", cwd=project)
    lines = beside_core("arbitrade", "detect", RECORDING, "--out", "-", cwd=tmp_path).splitlines()

    assert len(lines) > 100
    found = json.loads(lines[0])
    assert found["assets"] == ["USD", "BTC"]
    assert found["legs"] == [
        {"symbol": "BTC/USD", "side": "buy"},
        {"symbol": "BTC/USD", "side": "sell"},
    ]
    assert found["edge_bps"] > 0
    assert "rest in the book" in found["blocked"]


def test_risk_rule_of_the_documentation_is_asked(uv: Run, beside_core: Run, tmp_path: Path) -> None:
    project = extract("arbitrade-narrow", tmp_path)
    uv("build", "--wheel", "--out-dir", tmp_path / "wheels", project)
    beside_core("install", *(tmp_path / "wheels").glob("*.whl"))

    assert "sound" in beside_core("arbitrade", "plugins", "check", "narrow", cwd=tmp_path)
    assert "3 passed" in beside_core("pytest", "-q", project / "test_narrow.py", cwd=project)
    shown = json.loads(
        beside_core("arbitrade", "plugins", "show", "narrow", "--json", cwd=tmp_path)
    )
    assert shown["contributes"]["risk_rules"] == ["narrow_spreads"]


def test_executor_of_the_documentation_is_made(uv: Run, beside_core: Run, tmp_path: Path) -> None:
    project = extract("arbitrade-patient", tmp_path)
    uv("build", "--wheel", "--out-dir", tmp_path / "wheels", project)
    beside_core("install", *(tmp_path / "wheels").glob("*.whl"))

    assert "sound" in beside_core("arbitrade", "plugins", "check", "patient", cwd=tmp_path)
    assert "3 passed" in beside_core("pytest", "-q", project / "test_patient.py", cwd=project)

    (tmp_path / "settings.toml").write_text(
        '[execution]\nexecutor = "patient"\n[patient]\nwait_s = 0.2\n'
    )
    (tmp_path / "make.py").write_text(
        "from arbitrade.cli import CommandLine\n"
        "line = CommandLine()\n"
        "settings = line.load()\n"
        "made = line.registry.make_executor(settings, settings.execution.executor)\n"
        "print(made.name, made.wait_s)\n"
    )
    assert beside_core("make", cwd=tmp_path) == "patient 0.2\n"


def test_bell_of_the_documentation_rings(uv: Run, beside_core: Run, tmp_path: Path) -> None:
    project = extract("arbitrade-bell", tmp_path)
    uv("build", "--wheel", "--out-dir", tmp_path / "wheels", project)
    beside_core("install", *(tmp_path / "wheels").glob("*.whl"))

    printed = beside_core("arbitrade", "plugins", "check", "bell", cwd=tmp_path)
    assert printed in PAGE.read_text(encoding="utf-8")

    (tmp_path / "settings.toml").write_text('[bell]\nlevel = "ERROR"\n')
    (tmp_path / "ring.py").write_text(
        "import asyncio, sys\n"
        "sys.stderr = sys.stdout\n"
        "from arbitrade import Alert, Severity\n"
        "from arbitrade.cli import CommandLine\n"
        "line = CommandLine()\n"
        "sinks = {s.name: s for s in line.registry.alert_sinks(line.load())}\n"
        "for severity in Severity.WARNING, Severity.ERROR:\n"
        "    asyncio.run(sinks['bell'].send(Alert(severity, severity.name)))\n"
    )
    assert beside_core("ring", cwd=tmp_path) == "\aERROR\n"


def test_new_plugin_passes_its_own_tests_and_the_check(beside_core: Run, tmp_path: Path) -> None:
    printed = beside_core("arbitrade", "plugins", "new", "my_spread", "--into", tmp_path)
    project = tmp_path / "arbitrade-my-spread"
    assert f"cd {project}" in printed
    beside_core("install", "--editable", f"{project}[dev]")

    assert "5 passed" in beside_core("pytest", "-q", cwd=project)
    assert "sound" in beside_core("arbitrade", "plugins", "check", "my_spread", cwd=project)
    listed = json.loads(beside_core("arbitrade", "plugins", "list", "--json", cwd=project))
    assert {"my_spread": "enabled"}.items() <= {row["name"]: row["state"] for row in listed}.items()


def test_installed_core_carries_its_migrations(beside_core: Run, tmp_path: Path) -> None:
    shown = json.loads(beside_core("arbitrade", "plugins", "show", "core", "--json", cwd=tmp_path))
    assert shown["migrations"] == sorted(p.name for p in (ROOT / "migrations").glob("*.sql"))
    assert shown["problems"] == []


def test_every_file_the_documentation_shows_is_python_or_toml_that_reads() -> None:
    import ast
    import tomllib

    files = shown()
    assert set(files) == {
        "arbitrade-bell/pyproject.toml",
        "arbitrade-bell/arbitrade_bell.py",
        "arbitrade-wide/pyproject.toml",
        "arbitrade-wide/arbitrade_wide.py",
        "arbitrade-wide/test_wide.py",
        "arbitrade-narrow/pyproject.toml",
        "arbitrade-narrow/arbitrade_narrow.py",
        "arbitrade-narrow/test_narrow.py",
        "arbitrade-patient/pyproject.toml",
        "arbitrade-patient/arbitrade_patient.py",
        "arbitrade-patient/test_patient.py",
    }
    for path, text in files.items():
        read = tomllib.loads if path.endswith(".toml") else ast.parse
        assert read(text)


def shown() -> dict[str, str]:
    """Return the files the page shows, by the path in their title."""
    fence = re.compile(r'^```\w+ title="(.+?)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    return dict(fence.findall(PAGE.read_text(encoding="utf-8")))


def extract(project: str, into: Path) -> Path:
    for path, text in shown().items():
        if path.startswith(f"{project}/"):
            (into / path).parent.mkdir(exist_ok=True)
            (into / path).write_text(text, encoding="utf-8")
    return into / project


def uv_command() -> list[str] | None:
    named = os.environ.get("UV")  # `uv run` tells its children which uv it is
    if named:
        return [named]
    if find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    return None if found is None else [found]


def clean() -> dict[str, str]:
    """Return the environment without what would change the environments made here."""
    ours = ("ARBITRADE_", "VIRTUAL_ENV", "PYTHON", "PYTEST_", "UV_PROJECT")
    return {name: value for name, value in at_home().items() if not name.startswith(ours)}
