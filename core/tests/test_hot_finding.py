import json
import os
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType

import pytest

from arbitrade.errors import ConfigError
from arbitrade.hot import finding, load, unavailable

SUFFIX = EXTENSION_SUFFIXES[0]
STAGE = ModuleType("a stage")


@pytest.fixture(autouse=True)
def neutral(monkeypatch):
    """Take back what chooses the implementation for the whole run."""
    for name in ("ARBITRADE_INTERPRETED", "ARBITRADE_REQUIRE_COMPILED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a package in a working tree with the source of a stage, `_hot`.

    Beside it is a folder for installed packages, `site`, empty.
    """
    name = f"package_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / "src" / name
    folder.mkdir(parents=True)
    (tmp_path / "site" / name).mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "_hot.py").write_text("import cython\n")
    (folder / "_hot.pxd").write_text("# types\n")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(finding, "_imported", lambda name, path: STAGE)
    return folder


def install(package, *, source=None, failure=None):
    """Put a compiled stage and its record, or only a record, where an installer would."""
    folder = package.parents[1] / "site" / package.name
    if failure is None:
        (folder / f"_hot{SUFFIX}").touch()
    if source is None:
        source = finding.digest(package / "_hot.py")
    (folder / "_hot.build.json").write_text(json.dumps({"source": source, "failure": failure}))


def test_a_stage_compiled_from_its_source_is_used(package):
    install(package)
    assert unavailable(f"{package.name}._hot") is None
    assert load(f"{package.name}._hot") is STAGE


def test_a_stage_that_was_never_compiled_is_not(package):
    name = f"{package.name}._hot"
    assert unavailable(name) == f"{name} was not compiled"
    assert load(name) is None


def test_the_build_said_why_nothing_was_compiled(package):
    install(package, failure="no C compiler: cc was not found")
    name = f"{package.name}._hot"
    assert unavailable(name) == f"{name} was not compiled: no C compiler: cc was not found"


@pytest.mark.parametrize("edited", ["_hot.py", "_hot.pxd"])
def test_a_stage_whose_source_was_edited_since_is_not_used(package, edited):
    install(package)
    (package / edited).write_text("# edited\n")
    name = f"{package.name}._hot"
    assert unavailable(name) == f"{name} was compiled before its source was edited"


def test_line_ends_of_a_checkout_do_not_matter(package):
    install(package)
    (package / "_hot.py").write_bytes(b"import cython\r\n")
    assert unavailable(f"{package.name}._hot") is None


@pytest.mark.parametrize(("age_s", "is_used"), [(5, False), (-5, True)])
def test_a_stage_compiled_by_hand_is_used_while_it_is_newer_than_its_source(
    package, age_s, is_used
):
    compiled = package / f"_hot{SUFFIX}"
    compiled.touch()
    at = (package / "_hot.py").stat().st_mtime - age_s
    os.utime(compiled, (at, at))
    assert (unavailable(f"{package.name}._hot") is None) is is_used


def test_an_old_one_beside_the_source_does_not_hide_the_right_one(package):
    compiled = package / f"_hot{SUFFIX}"
    compiled.touch()
    os.utime(compiled, (1, 1))
    install(package)
    assert unavailable(f"{package.name}._hot") is None


def test_a_stage_nobody_installed_is_named():
    assert unavailable("nobody_has_this._hot") == "nobody_has_this._hot is not installed"


def test_required_and_missing_is_an_error_with_the_next_step(package, monkeypatch):
    monkeypatch.setenv("ARBITRADE_REQUIRE_COMPILED", "1")
    with pytest.raises(ConfigError, match=r"was not compiled; install a C compiler, then: uv sync"):
        load(f"{package.name}._hot")


def test_switched_off_it_is_not_used(package, monkeypatch):
    install(package)
    monkeypatch.setenv("ARBITRADE_INTERPRETED", "1")
    assert load(f"{package.name}._hot") is None
