"""Each hook has a heading in docs/hooks.md with its exact signature, a shipped user and a test."""

import inspect
import re
from pathlib import Path

import pytest

from arbitrade import hookspecs
from arbitrade.plugins import discover
from arbitrade.plugins.hooks import hook_names

ROOT = Path(__file__).parents[2]
HOOKS = hook_names()
PAGE = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
HEADING = re.compile(r"^### (\w+)\n\n```python\n(.+?)\n```\n", re.MULTILINE | re.DOTALL)
SUITES = [
    *(ROOT / "core" / "tests").glob("test_*.py"),
    *ROOT.glob("plugins/*/tests/test_*.py"),
    *(ROOT / "web" / "tests").glob("test_*.py"),
    *(path for path in (ROOT / "tests").rglob("test_*.py") if path.name != Path(__file__).name),
]


def signature(hook: str) -> str:
    """Return a hook as its `def` line would read with plain annotations."""
    spec = inspect.signature(getattr(hookspecs, hook))
    arguments = ", ".join(
        f"{name}: {getattr(each.annotation, '__name__', each.annotation)}"
        for name, each in spec.parameters.items()
    )
    return f"def {hook}({arguments}) -> {spec.return_annotation}"


def test_page_has_a_heading_for_each_hook_in_calling_order():
    assert [name for name, _ in HEADING.findall(PAGE)] == list(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_heading_has_the_exact_signature(hook):
    assert dict(HEADING.findall(PAGE))[hook] == signature(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_has_a_shipped_user_that_the_page_names(hook):
    registry = discover()
    users = [p.name for p in registry if hook in registry.implemented(p.name)]
    shipped = {"core", *(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")), "web"}
    users = [name for name in users if name in shipped]
    assert users
    section = PAGE[PAGE.index(f"### {hook}\n") :].split("\n### ")[0].split("\n## ")[0]
    named = section[section.index("\nUsed by ") :]
    assert not [name for name in users if not re.search(rf"\b{name}\b", named)]


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_mentioned_in_a_test(hook):
    assert [path.name for path in SUITES if hook in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("hook", HOOKS)
def test_spec_says_when_it_is_called_and_what_it_returns(hook):
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    assert "\nCalled " in text
    assert "\nReturns:" in text


@pytest.mark.parametrize("hook", HOOKS)
def test_name_of_a_hook_tells_how_it_is_asked(hook):
    spec = getattr(getattr(hookspecs, hook), "arbitrade_spec")  # noqa: B009  # pluggy's mark
    asks_for_first = hook.startswith("arbitrade_make_")
    assert spec["firstresult"] is asks_for_first
    assert asks_for_first or hook.startswith(("arbitrade_register_", "arbitrade_on_"))


def test_every_shipped_plugin_is_sound():
    from arbitrade.plugins.checks import examine

    problems = [found for plugin in discover() for found in examine(plugin).problems]
    assert not problems


def test_only_the_plugin_package_asks_hooks():
    asking = re.compile(r"\.hook\.|PluginManager\(|subset_hook_caller|get_hookimpls")
    sources = [
        path
        for pattern in ("core/src", "plugins/*/src", "web/src")
        for folder in ROOT.glob(pattern)
        for path in folder.rglob("*.py")
        if "arbitrade/plugins/" not in path.as_posix()
    ]
    assert sources
    assert not [path.name for path in sources if asking.search(path.read_text(encoding="utf-8"))]
