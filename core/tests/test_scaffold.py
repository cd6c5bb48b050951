"""`plugins new`: a plugin of every kind, whole or not at all."""

import ast
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from arbitrade.cli import arbitrade
from arbitrade.errors import ArbitradeError, UsageError
from arbitrade.scaffold import plugin_files, write_plugin
from arbitrade.scaffold.kinds import KINDS

MOST_LINES = 60


@pytest.mark.parametrize("kind", KINDS)
def test_command_writes_a_distribution_of_the_given_name_and_kind(
    kind: str, tmp_path: Path
) -> None:
    arguments = ["plugins", "new", "my_own", "--kind", kind, "--folder", str(tmp_path / "made")]
    result = CliRunner().invoke(arbitrade, arguments)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "made" / "arbitrade-my-own"
    assert result.stdout.startswith(f"{folder} is a working {kind}.")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/arbitrade_my_own/__init__.py",
        "src/arbitrade_my_own/plugin.py",
        "src/arbitrade_my_own/py.typed",
        "tests/test_plugin.py",
    ]
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "arbitrade-my-own"
    assert project["entry-points"]["arbitrade.plugins"] == {"my_own": "arbitrade_my_own.plugin"}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_fill_in_and_only_what_is_imported_is_needed(kind: str) -> None:
    made = plugin_files("my_own", kind)
    assert not [path for path, text in made.items() if "${" in text or "PACKAGE" in path]
    needs = tomllib.loads(made["pyproject.toml"])["project"]["dependencies"]
    code = made["src/arbitrade_my_own/plugin.py"]
    for need in needs[1:]:
        assert f"import {need.partition('>')[0]}\n" in code
    assert ("import attrs\n" in code) == any(need.startswith("attrs") for need in needs)


@pytest.mark.parametrize("kind", KINDS)
def test_plugin_is_a_page_of_code(kind: str) -> None:
    """Blank lines, docstrings and imports are not counted: they are there to be read over."""
    code = plugin_files("my_own", kind)["src/arbitrade_my_own/plugin.py"]
    tree = ast.parse(code)
    passed_over = {number for node in ast.walk(tree) for number in _uncounted(node)}
    lines = [
        number
        for number, line in enumerate(code.splitlines(), 1)
        if line.strip() and number not in passed_over
    ]
    assert len(lines) <= MOST_LINES


@pytest.mark.parametrize("kind", KINDS)
def test_lines_fit_the_page(kind: str) -> None:
    made = plugin_files("my_own", kind)
    assert not [line for text in made.values() for line in text.splitlines() if len(line) > 100]


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("spread", "detectors", "'detectors' is no kind of plugin; did you mean detector"),
        ("spread", "tea", "'tea' is no kind of plugin; there are detector, rule, .*, command"),
        ("My-Own", "rule", "'My-Own' can't be the name of a plugin; write lower-case words"),
        ("", "rule", "'' can't be the name of a plugin; write lower-case words"),
        ("fees", "rule", "'fees' is a name of core's own; choose another"),
        ("sequential", "executor", "'sequential' is a name of core's own; choose another"),
        ("jsonl", "store", "'jsonl' is a name of core's own; choose another"),
    ],
)
def test_wrong_name_or_kind_says_what_would_do_and_writes_nothing(
    name: str, kind: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        write_plugin(name, tmp_path, kind)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over_what_is_there(tmp_path: Path) -> None:
    folder = write_plugin("spread", tmp_path)
    (folder / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="is there already; choose another name or --folder"):
        write_plugin("spread", tmp_path)
    assert (folder / "README.md").read_text() == "mine"


def test_disk_that_fails_halfway_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def fails(path: Path, *arguments: object, **named: object) -> int:
        if path.name == "plugin.py":
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises(ArbitradeError, match=r"No space left on device.*nothing was left there"):
        write_plugin("spread", tmp_path)
    assert list(tmp_path.iterdir()) == []


def _uncounted(node: ast.AST) -> range:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        first = node.body[0]
        if ast.get_docstring(node) is not None:
            return range(first.lineno, (first.end_lineno or first.lineno) + 1)
    return range(0)
