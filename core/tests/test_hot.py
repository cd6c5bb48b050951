"""Whether the compiled path runs, and what is said when it doesn't."""

import sys
from pathlib import Path

import pytest

from arbitrade import hot
from arbitrade.errors import ConfigError


@pytest.fixture(autouse=True)
def neutral(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hot.INTERPRETED, raising=False)
    monkeypatch.delenv(hot.REQUIRED, raising=False)


def test_a_module_that_is_not_there_is_not_compiled() -> None:
    assert hot.unavailable("arbitrade_nowhere._hot") == "arbitrade_nowhere._hot is not installed"
    assert hot.load("arbitrade_nowhere._hot") is None


def test_a_source_without_its_compiled_module_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "arbitrade_uncompiled"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_hot.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    name = "arbitrade_uncompiled._hot"
    assert hot.unavailable(name) == f"{name} was not compiled"
    assert hot.load(name) is None
    assert name not in sys.modules


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hot.INTERPRETED, "1")
    assert hot.unavailable(hot.LOOP) == "ARBITRADE_INTERPRETED=1 switches the compiled path off"


def test_required_and_missing_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(hot.REQUIRED, "1")
    with pytest.raises(ConfigError, match=r"not installed; install a C compiler"):
        hot.load("arbitrade_nowhere._hot")


def test_required_and_switched_off_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hot.REQUIRED, "1")
    monkeypatch.setenv(hot.INTERPRETED, "1")
    with pytest.raises(ConfigError, match="ARBITRADE_INTERPRETED=1"):
        hot.load(hot.LOOP)
