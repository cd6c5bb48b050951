import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
DISTRIBUTIONS = [ROOT / "core", *PLUGINS, ROOT / "web"]
PUBLIC = {
    *("models", "protocols", "hookspecs", "errors"),
    *("pricing", "lots", "book", "frames", "api", "hot", "testing"),
}


def project(distribution: Path) -> dict[str, object]:
    return tomllib.loads((distribution / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def package(distribution: Path) -> Path:
    (found,) = (
        path.parent for path in (distribution / "src").glob("*/__init__.py")
    )  # exactly one import package
    return found


def ids(path: Path) -> str:
    return path.name


def test_every_plugin_of_the_picture_is_there():
    assert [path.name for path in PLUGINS] == ["alerts", "kraken", "statarb", "triangular"]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=ids)
def test_distribution_has_everything_a_reader_expects(distribution):
    missing = [
        name
        for name in ("pyproject.toml", "README.md", "LICENSE")
        if not (distribution / name).is_file()
    ]
    assert not missing
    assert (package(distribution) / "py.typed").is_file()
    assert list((distribution / "tests").glob("test_*.py"))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=ids)
def test_readme_of_a_distribution_says_what_it_does_today_and_what_not(distribution):
    text = (distribution / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {project(distribution)['name']}\n")
    assert "## Today" in text
    assert "## Not yet" in text


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=ids)
def test_every_package_has_one_copy_of_the_licence(distribution):
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (distribution / "LICENSE").read_text(encoding="utf-8") == licence
    assert project(distribution)["license"] == "Apache-2.0"


@pytest.mark.parametrize("plugin", [*PLUGINS, ROOT / "web"], ids=ids)
def test_one_name_rules_distribution_import_package_and_entry_point(plugin):
    assert project(plugin)["name"] == f"arbitrade-{plugin.name}"
    assert package(plugin).name == f"arbitrade_{plugin.name}"
    assert project(plugin)["entry-points"] == {
        "arbitrade.plugins": {plugin.name: f"arbitrade_{plugin.name}.plugin"}
    }
    assert (package(plugin) / "plugin.py").is_file()
    assert (package(plugin) / "config.py").is_file()


def test_root_distribution_brings_all_the_others():
    required = {str(name).partition("[")[0] for name in project(ROOT)["dependencies"]}
    assert required == {project(path)["name"] for path in DISTRIBUTIONS}


def test_test_folders_are_no_packages():
    folders = [path / "tests" for path in DISTRIBUTIONS] + [ROOT / "tests"]
    assert [path for folder in folders for path in folder.rglob("__init__.py")] == []


def test_import_contract_leaves_exactly_the_public_modules_open():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        one for one in settings["tool"]["importlinter"]["contracts"] if one["id"] == "public-api"
    )
    assert contract["protected_modules"] == ["arbitrade.*"]
    opened = {
        line.partition(" -> arbitrade.")[2].partition(".")[0] for line in contract["ignore_imports"]
    }
    assert opened == PUBLIC
    core = package(ROOT / "core")
    assert all((core / f"{name}.py").is_file() or (core / name).is_dir() for name in PUBLIC)


def test_ci_and_its_local_twin_run_every_session_there_is():
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    sessions = re.search(r"^nox\.options\.sessions = \[(.*?)\]", noxfile, re.M | re.S)[1]
    # The tests run first, by their own command; what `docs` runs is among them.
    found = re.findall(r'"(\w+)"', sessions)
    wanted = [name for name in found if name not in ("tests", "docs")]
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    workflow = (ROOT / ".gitea/workflows/ci.yml").read_text(encoding="utf-8")
    assert re.search(r"^for session in (.+); do$", script, re.M)[1].split() == wanted
    assert re.findall(r"nox -s (\w+)$", workflow, re.M) == wanted
    assert script.index('uv[@]}" run pytest') < script.index("for session in")
    assert workflow.index("uv run pytest") < workflow.index("nox -s")
