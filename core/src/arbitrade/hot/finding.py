"""Finds compiled modules, and knows whether they are of the source there is now."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType


def find(name: str) -> ModuleType | str:
    """Return a compiled module, or why there is none that can be used.

    It is imported once.  The plain import system is no help: a stage's source lies where it would
    look first, and is of no use uncompiled.
    """
    known = sys.modules.get(name)
    if known is not None:
        return known
    source = _source(name)
    if source is None:
        return f"{name} is not installed"
    places = list(_places(name, source))
    compiled = [path for place in places for path in _modules(place)]
    fitting = next((path for path in compiled if _is_of(path, source)), None)
    if fitting is not None:
        return _imported(name, fitting)
    if compiled:
        return f"{name} was compiled before its source was edited"
    failures = (_record(place).get("failure") for place in places)
    why = next((failure for failure in failures if failure), None)
    return f"{name} was not compiled" + (f": {why}" if why else "")


def digest(source: Path) -> str:
    """Return what tells one version of a stage from another, of its source and declarations.

    tools/compile_stages.py computes the same for the record.
    """
    texts = [part.read_bytes().replace(b"\r\n", b"\n") for part in _parts(source)]
    return sha256(b"\0".join(texts)).hexdigest()


def _parts(source: Path) -> list[Path]:
    return [part for part in (source, source.with_suffix(".pxd")) if part.is_file()]


def _source(name: str) -> Path | None:
    """Return a stage's source; every distribution that brings the stage brings it."""
    package, _, stem = name.rpartition(".")
    try:
        spec = importlib.util.find_spec(package)
    except ImportError:
        return None
    for folder in (spec and spec.submodule_search_locations) or ():
        source = Path(folder, f"{stem}.py")
        if source.is_file():
            return source
    return None


def _places(name: str, source: Path) -> Iterator[Path]:
    """Yield where a compiled module may lie, as a path without suffix.

    Of an editable installation the source is in a working tree, and the compiled module at the
    package's place among the installed ones, so that each environment has its own.
    """
    yield source.with_suffix("")
    for folder in sys.path:
        yield Path(folder, *name.split("."))


def _modules(place: Path) -> Iterator[Path]:
    for suffix in EXTENSION_SUFFIXES:
        path = place.with_name(place.name + suffix)
        if path.is_file():
            yield path


def _is_of(path: Path, source: Path) -> bool:
    """Return whether a compiled module is of its source and declarations as they are now."""
    record = _record(path.with_name(path.name.partition(".")[0]))
    if record.get("source") == digest(source):
        return True
    # Compiled by hand, beside its source.
    built_at = path.stat().st_mtime_ns
    return path.parent == source.parent and all(
        part.stat().st_mtime_ns <= built_at for part in _parts(source)
    )


def _record(place: Path) -> dict[str, str | None]:
    """Return what the build wrote down beside a compiled module; nothing if there was no build."""
    try:
        text = place.with_name(f"{place.name}.build.json").read_bytes()
    except OSError:
        return {}
    record: dict[str, str | None] = json.loads(text)
    return record


def _imported(name: str, path: Path) -> ModuleType | str:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        return f"{name} can't be loaded: {error}"
    return sys.modules.setdefault(name, module)
