"""Rooms one can live in: what grows beyond a size says why, and the mode is asked for once."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES, MOST_METHODS = 450, 25
REASON = "Large because"


def sources() -> Iterator[tuple[str, str]]:
    """Yield every source file's name and text."""
    for folder in ("core/src", "plugins/*/src", "web/src"):
        for path in sorted(ROOT.glob(f"{folder}/**/*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def reason(node: ast.Module | ast.ClassDef) -> str:
    # A sentence may go over the end of a line.
    return " ".join((ast.get_docstring(node) or "").split())


def test_a_file_of_many_lines_says_why():
    large = []
    for name, text in sources():
        if text.count("\n") > MOST_LINES:
            module = ast.parse(text)
            # The reason may be that of a class it holds.
            holders = [module, *(node for node in module.body if isinstance(node, ast.ClassDef))]
            if not any(REASON in reason(holder) for holder in holders):
                large.append(name)
    assert large == []


def test_a_class_of_many_methods_says_why():
    large = [
        f"{name}: {node.name}"
        for name, text in sources()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        and sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in node.body)
        > MOST_METHODS
        and REASON not in reason(node)
    ]
    assert large == []


def test_whether_a_run_is_live_is_asked_in_one_place():
    asked = [
        name
        for name, text in sources()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Compare | ast.match_case)
        and any(
            isinstance(n, ast.Attribute) and ast.unparse(n) in ("Mode.LIVE", "Mode.PAPER")
            for n in ast.walk(node)
        )
    ]
    assert asked == ["core/src/arbitrade/trading/run/hands.py"]
