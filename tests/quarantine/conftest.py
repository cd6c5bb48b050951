"""Plugins that misbehave, installed as an installer would, and what a run leaves behind."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arbitrade.config import Secret
from arbitrade.testing.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "parity"):
    sys.path.insert(0, str(folder))

MODULE = "arbitrade_harm"


@pytest.fixture
def dsn(postgres_server: PostgresServer) -> Secret:
    return postgres_server.create()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where plugins are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Return a function that installs the plugin `harm`, whose one module has this text."""
    monkeypatch.syspath_prepend(str(site))

    def install(code: str) -> Path:
        file = site / f"{MODULE}.py"
        file.write_text(code)
        metadata = site / f"{MODULE}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: arbitrade-harm\nVersion: 1.0\n"
            "Requires-Dist: arbitrade-core>=0.1\n"
        )
        (metadata / "entry_points.txt").write_text(f"[arbitrade.plugins]\nharm = {MODULE}\n")
        return file

    yield install
    sys.modules.pop(MODULE, None)
