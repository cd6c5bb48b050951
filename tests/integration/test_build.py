"""Builds a wheel that has a compiled stage, with a compiler and without."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from arbitrade.hot import finding
from arbitrade.testing.isolation import at_home
from arbitrade.testing.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "plugins/kraken"
STAGE = "src/arbitrade_kraken/_hot.py"
UV = os.environ.get("UV") or shutil.which("uv")
BROKEN = shutil.which("false")

needs_uv = pytest.mark.skipif(UV is None, reason="uv builds the wheels, and is not there")
needs_broken = pytest.mark.skipif(BROKEN is None, reason="no program `false` to be a bad compiler")
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CC", "cc")) is None, reason="no C compiler here"
)


@pytest.fixture
def build(tmp_path):
    """Return a function that builds kraken's wheel: what uv said, and the wheel if there is one."""

    def build(**environment: str) -> tuple[str, Path | None]:
        kept = {
            name: value
            for name, value in at_home().items()
            if name not in ("ARBITRADE_REQUIRE_COMPILED", "ARBITRADE_PURE", "VIRTUAL_ENV")
        }
        out = tmp_path / "wheels"
        # Whatever built the installed packages is in uv's cache; where it was pip, it is fetched.
        done = subprocess.run(
            [UV, "build", "--wheel", "--python", sys.executable, "--out-dir", str(out), SOURCE],
            cwd=ROOT,
            env=kept | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        wheels = list(out.glob("*.whl"))
        assert bool(wheels) is (done.returncode == 0), done.stdout
        return done.stdout, wheels[0] if wheels else None

    return build


def record(wheel: Path) -> dict[str, str | None]:
    with zipfile.ZipFile(wheel) as archive:
        return json.loads(archive.read("arbitrade_kraken/_hot.build.json"))


def compiled(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]


@needs_uv
@needs_broken
def test_without_a_working_compiler_the_wheel_is_pure_and_one_line_says_why(build):
    said, wheel = build(CC=BROKEN)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert compiled(wheel) == []
    reason = f"{BROKEN} ended with exit code 1"
    (line,) = (line for line in said.splitlines() if "compiled" in line)
    assert line.strip() == (
        f"arbitrade-kraken: built without the compiled hot path, the interpreted one will run: "
        f"{reason}"
    )
    assert record(wheel)["failure"] == reason


@needs_uv
@needs_broken
def test_where_the_compiled_path_is_required_a_broken_compiler_fails_the_build(build):
    said, wheel = build(CC=BROKEN, ARBITRADE_REQUIRE_COMPILED="1")
    assert wheel is None
    assert (
        "arbitrade-kraken: ARBITRADE_REQUIRE_COMPILED=1, but the hot path can't be compiled: "
        f"{BROKEN} ended with exit code 1; it takes a C compiler and Python's headers"
    ) in " ".join(said.split())
    assert "Traceback" not in said


@needs_uv
@needs_compiler
def test_with_a_compiler_the_wheel_has_the_stage_and_the_tag_of_this_platform(build):
    _, wheel = build(ARBITRADE_REQUIRE_COMPILED="1")
    assert not wheel.name.endswith("-none-any.whl")
    assert f"-cp{sys.version_info.major}{sys.version_info.minor}-" in wheel.name
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert compiled(wheel) == [f"arbitrade_kraken/_hot{suffix}"]
    assert record(wheel) == {"source": finding.digest(SOURCE / STAGE), "failure": None}


@needs_uv
def test_a_pure_wheel_can_be_asked_for(build):
    _, wheel = build(ARBITRADE_PURE="1")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert record(wheel)["failure"] == "it was built with ARBITRADE_PURE=1"


def test_nothing_is_built_into_the_source_tree():
    folder = (SOURCE / STAGE).parent
    made = [path.name for path in folder.iterdir() if path.suffix in (".c", ".o", ".json")]
    assert made == []


@pytest.fixture
def compile_stages(monkeypatch):
    """Return the module of tools/ that compiles."""
    spec = importlib.util.spec_from_file_location(
        "compile_stages", ROOT / "tools/compile_stages.py"
    )
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compile_stages", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "stage",
    sorted(ROOT.glob("*/src/*/hot/_loop.py")) + sorted(ROOT.glob("plugins/*/src/*/_hot.py")),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_build_and_runtime_agree_which_source_was_compiled(compile_stages, stage):
    assert compile_stages.digest(stage) == finding.digest(stage)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "a.c:1:10: fatal error: Python.h: No such file\ncc ended",
            "a.c:1:10: fatal error: Python.h: No such file",
        ),
        (
            "Error compiling Cython file:\na/_hot.py:12:4: undeclared name: x\nCompileError: a",
            "a/_hot.py:12:4: undeclared name: x",
        ),
        ("compiling\n\nno C compiler: cc was not found\n", "no C compiler: cc was not found"),
        ("", "no reason was given"),
    ],
    ids=["compiler's own words", "Cython's own words", "no compiler", "silence"],
)
def test_reason_is_the_line_that_tells_most(compile_stages, output, reason):
    assert compile_stages._reason(output) == reason
