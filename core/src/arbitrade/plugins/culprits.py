"""Whose code it was: from a traceback, a running stack or an object to a plugin, file and line."""

import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType

import attrs

from arbitrade.calls import is_core
from arbitrade.plugins.plugin import CORE, Plugin


@attrs.frozen
class Place:
    """A line of a plugin's code.

    Args:
        plugin: Whose it is.
        where: `arbitrade_bell/plugin.py:12`; short, as it goes into records and messages.
    """

    plugin: str
    where: str


class Culprits:
    """Knows which files are whose.

    Args:
        plugins: All of them, core too; its code is never a culprit's.
    """

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self._roots = [
            (root, plugin.name)
            for plugin in plugins
            if plugin.name != CORE and plugin.module is not None
            for root in _roots(plugin.module)
        ]

    def running(self, frame: FrameType | None, owner: str | None = None) -> Place | None:
        """Return the innermost line of a stack that is a plugin's, of `owner` if it is known."""
        frames = list(_outwards(frame))
        return self._innermost([(f.f_code.co_filename, f.f_lineno) for f in frames], owner)

    def raised(self, error: BaseException, owner: str) -> str:
        """Return the innermost line of the owner's code that an error came through.

        Of others' code where there is none of the owner's, empty where all of it is core's.
        """
        frames = [
            (frame.f_code.co_filename, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if not is_core(frame.f_code)
        ]
        frames.reverse()
        place = self._innermost(frames, owner)
        if place is not None:
            return place.where
        return _short(*frames[0]) if frames else ""

    def defined(self, source: object) -> str:
        """Return where a method, or the class of an object, is written; empty if nobody knows."""
        function = getattr(source, "__func__", source)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            root = self._root_of(code.co_filename)
            return _short(code.co_filename, code.co_firstlineno, root)
        module = sys.modules.get(type(source).__module__)
        file = getattr(module, "__file__", None)
        return "" if file is None else Path(file).name

    def _innermost(self, frames: Iterable[tuple[str, int]], owner: str | None) -> Place | None:
        found = None
        for file, line in frames:
            for root, plugin in self._roots:
                if file == str(root) or file.startswith(f"{root}{_SEPARATOR}"):
                    place = Place(plugin, _short(file, line, root))
                    if owner in (None, plugin):
                        return place
                    found = found or place
        return found

    def _root_of(self, file: str) -> Path | None:
        for root, _ in self._roots:
            if file == str(root) or file.startswith(f"{root}{_SEPARATOR}"):
                return root
        return None


_SEPARATOR = "/" if sys.platform != "win32" else "\\"


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _short(file: str, line: int, root: Path | None = None) -> str:
    path = Path(file)
    shown = path.name if root is None else path.relative_to(root.parent).as_posix()
    return f"{shown}:{line}"


def _roots(module: object) -> Iterator[Path]:
    """Yield the folder of a plugin's package, or the file it is."""
    name = str(getattr(module, "__name__", "") if hasattr(module, "__spec__") else "")
    name = name or str(getattr(module, "__module__", type(module).__module__))
    for one in (name.partition(".")[0], name):
        file = getattr(sys.modules.get(one), "__file__", None)
        if file is not None:
            path = Path(file)
            yield path.parent if path.name == "__init__.py" else path
            return
    own = getattr(module, "__file__", None)
    if own is not None:
        yield Path(own)
