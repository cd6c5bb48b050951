"""Begins a plugin: writes a small distribution that works, passes its tests and can be grown."""

import difflib
import re
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from arbitrade.config import CORE_SECTIONS
from arbitrade.errors import ArbitradeError, UsageError
from arbitrade.plugins.discovery import core_version
from arbitrade.plugins.plugin import CORE
from arbitrade.scaffold.kinds import KINDS

_NAME = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")
_TAKEN = {"executor": ("sequential", "parallel", "observe"), "store": ("jsonl",)}
"""Core's own of a kind; core is asked first, so a plugin of that name would never be."""

_PACKAGE = "PACKAGE"
_SUFFIX = ".tmpl"


def write_plugin(name: str, into: Path, kind: str = "detector") -> Path:
    """Write the distribution `arbitrade-NAME` below `into` and return its folder.

    It is put together beside its place and moved there when it is whole.

    Raises:
        UsageError: The name can't be one of a plugin, there is no such kind, or the folder is there
            already.
        ArbitradeError: A file can't be written.
    """
    written = plugin_files(name, kind)
    folder = into / _distribution(name)
    if folder.exists():
        raise UsageError(
            f"{folder} is there already; choose another name or --folder, or move it away"
        )
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".arbitrade-new-") as beside:
            whole = Path(beside) / folder.name
            for path, text in written.items():
                (whole / path).parent.mkdir(parents=True, exist_ok=True)
                (whole / path).write_text(text, encoding="utf-8", newline="\n")
            whole.rename(folder)
    except OSError as error:
        raise ArbitradeError(
            f"{folder}: can't be written ({error.strerror or error}); nothing was left there, "
            "name another --folder"
        ) from error
    return folder


def plugin_files(name: str, kind: str = "detector") -> dict[str, str]:
    """Return the files of a plugin of this name and kind, by their path in its folder.

    Raises:
        UsageError: The name can't be one of a plugin, or there is no such kind.
    """
    _check(name, kind)
    about = KINDS[kind]
    words = {
        "name": name,
        "Name": "".join(word.capitalize() for word in name.split("_")),
        "distribution": _distribution(name),
        "package": f"arbitrade_{name}",
        "requirement": f"arbitrade-core{_compatible(core_version())}",
        "dependencies": "".join(f', "{one}"' for one in about.uses),
        "summary": about.summary,
        "usage": Template(about.usage).substitute(name=name),
    }
    templates = files("arbitrade.scaffold") / "templates"
    found = dict(_templates(templates / "common"))
    found[f"src/{_PACKAGE}/plugin.py"] = _text(templates / kind / "plugin.py.tmpl")
    found["tests/test_plugin.py"] = _text(templates / kind / "test_plugin.py.tmpl")
    return {
        path.replace(_PACKAGE, words["package"]): Template(text).substitute(words)
        for path, text in found.items()
    }


def _check(name: str, kind: str) -> None:
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KINDS)}"
        raise UsageError(f"{kind!r} is no kind of plugin; {hint}")
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} can't be the name of a plugin; "
            "write lower-case words of letters and digits, joined by _"
        )
    if name in {CORE, *(section.name for section in CORE_SECTIONS), *_TAKEN.get(kind, ())}:
        raise UsageError(f"{name!r} is a name of core's own; choose another")


def _templates(folder: Traversable, path: str = "") -> list[tuple[str, str]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _templates(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            found.append((f"{path}{entry.name.removesuffix(_SUFFIX)}", _text(entry)))
    return found


def _text(template: Traversable) -> str:
    return template.read_text(encoding="utf-8")


def _distribution(name: str) -> str:
    return f"arbitrade-{name.replace('_', '-')}"


def _compatible(version: str) -> str:
    """Return the versions with the hooks of `version`: same major; while that is 0, same minor."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">=0.{minor},<0.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"
