import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = PYPROJECT["tool"]["uv"]["constraint-dependencies"]


def pinned() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pin in PINS:
        requirement = Requirement(pin)
        (specifier,) = requirement.specifier
        found.setdefault(canonicalize_name(requirement.name), set()).add(specifier.version)
    return found


def installed_tree() -> Iterator[tuple[str, str]]:
    """Yield name and version of every installed distribution that ours lead to."""
    waiting = [Requirement("arbitrade[dev]")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            name = canonicalize_name(wanted.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                found = distribution(name)
            except PackageNotFoundError:
                continue
            yield name, found.version
            waiting += [
                requirement
                for requirement in map(Requirement, found.requires or ())
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            ]


def test_extra_and_group_for_developers_are_the_same():
    assert (
        PYPROJECT["project"]["optional-dependencies"]["dev"]
        == PYPROJECT["dependency-groups"]["dev"]
    )


@pytest.mark.parametrize("table", ["constraint-dependencies", "build-constraint-dependencies"])
def test_every_pin_is_exact_and_names_no_place(table):
    for pin in PYPROJECT["tool"]["uv"][table]:
        assert re.fullmatch(r"[a-z0-9._-]+==[^\s@/*,]+( ; .+)?", pin), pin


def test_every_third_party_package_installed_with_ours_is_pinned():
    pins = pinned()
    unpinned = {
        f"{name}=={version}"
        for name, version in installed_tree()
        if not name.startswith("arbitrade") and version not in pins.get(name, ())
    }
    assert not unpinned, "run `nox -s pins -- --keep`, then `uv sync`"


def test_package_with_several_versions_keeps_the_markers_and_others_lose_them(monkeypatch):
    spec = importlib.util.spec_from_file_location("refresh_pins", ROOT / "tools/refresh_pins.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "refresh_pins", module)
    spec.loader.exec_module(module)
    lines = [
        "two==2.0 ; python_full_version >= '3.13'",
        "two==1.9 ; python_full_version < '3.13'",
        "one==1.0 ; sys_platform == 'win32'",
        "-e ./core",
        "# a comment",
    ]
    assert module.exact_pins(lines) == [
        "one==1.0",
        "two==2.0 ; python_full_version >= '3.13'",
        "two==1.9 ; python_full_version < '3.13'",
    ]
