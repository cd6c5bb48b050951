"""Begins a plugin: writes a small distribution that works, passes its tests and can be grown."""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from arbitrade.config import CORE_SECTIONS
from arbitrade.errors import ArbitradeError, UsageError
from arbitrade.plugins.discovery import core_version
from arbitrade.plugins.plugin import CORE

_NAME = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")
_PACKAGE = "PACKAGE"
_SUFFIX = ".tmpl"


def write_plugin(name: str, into: Path) -> Path:
    """Write the distribution `arbitrade-NAME` below `into` and return its folder.

    Raises:
        UsageError: The name can't be one of a plugin, or the folder is there already.
        ArbitradeError: A file can't be written.
    """
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} can't be the name of a plugin; "
            "write lower-case words of letters and digits, joined by _"
        )
    if name in {CORE, *(section.name for section in CORE_SECTIONS)}:
        raise UsageError(f"{name!r} is a name of core's own; choose another")
    words = {
        "name": name,
        "Name": "".join(word.capitalize() for word in name.split("_")),
        "distribution": f"arbitrade-{name.replace('_', '-')}",
        "package": f"arbitrade_{name}",
        "requirement": f"arbitrade-core{_compatible(core_version())}",
    }
    folder = into / words["distribution"]
    if folder.exists():
        raise UsageError(f"{folder} is there already; choose another name or --into another folder")
    try:
        _write(files("arbitrade.scaffold") / "template", folder, words)
    except OSError as error:
        raise ArbitradeError(f"{folder}: can't be written ({error.strerror or error})") from error
    return folder


def _write(template: Traversable, target: Path, words: dict[str, str]) -> None:
    target.mkdir(parents=True)
    for entry in template.iterdir():
        name = entry.name.replace(_PACKAGE, words["package"]).removesuffix(_SUFFIX)
        if entry.is_dir():
            _write(entry, target / name, words)
        elif entry.name.endswith(_SUFFIX):
            text = Template(entry.read_text(encoding="utf-8")).substitute(words)
            (target / name).write_text(text, encoding="utf-8", newline="\n")


def _compatible(version: str) -> str:
    """Return the versions with the hooks of `version`: same major; while that is 0, same minor."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">=0.{minor},<0.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"
