"""Fixtures shared by core's suite."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arbitrade.testing.postgres import database, postgres_server

__all__ = ["database", "postgres_server"]

type Install = Callable[..., Path]

RINGING = """
from arbitrade import hookimpl


class Sink:
    name = "{name}"

    async def send(self, alert):
        pass


@hookimpl
def arbitrade_register_alert_sinks(settings):
    return [Sink()]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that puts a plugin distribution where an installer would.

    `code` is the text of its one module; by default it contributes an alert sink of its own name.
    """
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def install(
        name: str,
        code: str | None = None,
        *,
        requires: str | None = "arbitrade-core>=0.1",
        distribution: str | None = None,
        version: str = "1.2",
    ) -> Path:
        distribution = distribution or f"arbitrade-{name}"
        module = f"{distribution.replace('-', '_')}_{name}_plugin"
        (site / f"{module}.py").write_text(RINGING.format(name=name) if code is None else code)
        metadata = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{needs}"
        )
        (metadata / "entry_points.txt").write_text(f"[arbitrade.plugins]\n{name} = {module}\n")
        return site / f"{module}.py"

    yield install
    for name in set(sys.modules) - before:
        if name.endswith("_plugin"):
            del sys.modules[name]
