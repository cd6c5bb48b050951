"""No file of ours imports one that imports it, by whatever way: each reads without its users."""

from pathlib import Path

import grimp
import pytest

PACKAGES = [
    "arbitrade",
    "arbitrade_kraken",
    "arbitrade_triangular",
    "arbitrade_statarb",
    "arbitrade_alerts",
    "arbitrade_web",
]


def circles(package: str) -> list[tuple[str, ...]]:
    """Return each circle once: the shortest way from a file back to itself."""
    graph = grimp.build_graph(package, cache_dir=None)
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for module in sorted(graph.modules):
        ways = [
            graph.find_shortest_chain(importer=imported, imported=module)
            for imported in sorted(graph.find_modules_directly_imported_by(module))
        ]
        back = min((way for way in ways if way is not None), key=len, default=None)
        if back is not None:
            found.setdefault(frozenset(back), (module, *back))
    return sorted(found.values())


@pytest.mark.parametrize("package", PACKAGES)
def test_files_import_each_other_in_one_direction(package: str) -> None:
    assert circles(package) == []


def test_a_circle_is_found_with_the_way_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "roundabout"
    package.mkdir()
    for name, imported in {"a": "b", "b": "c", "c": "a", "d": "a"}.items():
        (package / f"{name}.py").write_text(f"from roundabout import {imported}\n")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert circles("roundabout") == [
        ("roundabout.a", "roundabout.b", "roundabout.c", "roundabout.a")
    ]
