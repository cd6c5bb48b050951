"""A pytest plugin that keeps tests apart from the environment of who runs them.

Name it in the `conftest.py` at the root of a project:

    pytest_plugins = ["arbitrade.testing.isolation"]

From then on no test sees the settings, the database, the home folder, the keyring, the locale, the
time zone, the terminal, the proxies or the file mask of who runs it; each begins in an empty
folder, and none fails because an example took long on a busy machine.  `at_home` is for tests that
call programs which need their caches.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

import filelock
import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

__all__ = ["at_home"]

_SWITCHES = frozenset(
    {
        *("ARBITRADE_INTERPRETED", "ARBITRADE_REQUIRE_COMPILED", "ARBITRADE_REQUIRE_STRANGERS"),
        *("ARBITRADE_CHAOS_LONG", "ARBITRADE_KILLS", "ARBITRADE_KILLS_SEED"),
        *("ARBITRADE_SHARED_DATA", "ARBITRADE_SOAK_HOURS", "ARBITRADE_SOAK_SEEDS"),
    }
)
"""Variables of ours that choose what is tested, and how long."""

_TAKEN_AWAY = frozenset(
    {
        *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"),
        *("PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "LANG", "LANGUAGE", "LOAD_DOTENV"),
        *("PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONUTF8"),
        *("PYTHONIOENCODING", "PYTHONASYNCIODEBUG", "PYTHONSTARTUP", "PYTHONINSPECT"),
    }
)
_TAKEN_AWAY_PREFIXES = ("ARBITRADE_", "PG", "LC_", "SUDO_", "DYNACONF_")
_TAKEN_AWAY_SUFFIXES = ("_FOR_DYNACONF",)
_OF_A_HOME_PREFIX = "XDG_"
_PROXY_SUFFIX = "_PROXY"
_GIVEN = MappingProxyType(
    {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
)
_HOME_VARIABLES = ("HOME", "USERPROFILE")
_PREFIX = "arbitrade-tests-"
_PLACE = pytest.StashKey["_Place"]()
# Before anything is taken away; pytest-xdist's workers inherit it, because what hands tests out to
# them leaves its own environment as it is.
_outside = dict(os.environ)


def at_home() -> dict[str, str]:
    """Return the environment for programs that need the home, caches and proxies of who runs tests.

    Nothing else of theirs is in it.  Such programs are uv, which else fetches everything anew, and
    git.
    """
    back = {
        name: value
        for name, value in _outside.items()
        if name in _HOME_VARIABLES
        or name.upper().endswith(_PROXY_SUFFIX)
        or name.startswith(_OF_A_HOME_PREFIX)
    }
    without = {name: value for name, value in os.environ.items() if name not in _HOME_VARIABLES}
    return without | back


class _Place:
    """A folder of this process's own, which goes with it."""

    def __init__(self) -> None:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        self.folder.chmod(0o755)  # servers that root starts are another user's
        # Held as long as this process lives, so that others know whose folder nobody needs.
        self._lock = filelock.FileLock(self.folder / "lock")
        self._lock.acquire()
        self.home = self.folder / "home"
        self.empty = self.folder / "empty"
        for folder in (self.home, self.empty):
            folder.mkdir(mode=0o755)

    def close(self) -> None:
        """Leave no file of the test behind."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take away what tests must not see, before anything of theirs is imported."""
    place = config.stash[_PLACE] = _Place()
    config.add_cleanup(place.close)
    if _is_root() and not config.option.basetemp:
        # pytest's own is closed to the account of a server that root starts, which would then have
        # its data in a place that nobody cleans up.
        config.option.basetemp = str(place.folder / "tmp")
    # Where tests are only handed out to workers, these do the rest: they need to know what was
    # taken away.
    if _hands_out(config):
        return
    before = dict(os.environ)
    config.add_cleanup(partial(_replace_environment, before))
    homes = dict.fromkeys(_HOME_VARIABLES, str(place.home))
    _replace_environment(_clean(before) | homes)
    config.add_cleanup(partial(_set_umask, os.umask(0o022)))
    set_hypothesis_home_dir(config.rootpath / ".hypothesis")
    # How long an example takes depends on who else uses the machine; pytest's own time-out is
    # enough.
    hypothesis.settings.register_profile("arbitrade", deadline=None)
    hypothesis.settings.load_profile("arbitrade")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(request: pytest.FixtureRequest) -> Iterator[None]:
    """Begin and end in a folder without settings; it has to stay empty."""
    before = Path.cwd()
    empty = request.config.stash[_PLACE].empty
    os.chdir(empty)
    yield
    os.chdir(before)
    left = sorted(path.name for path in empty.iterdir())
    if left:
        shutil.rmtree(empty)
        empty.mkdir(mode=0o755)
        pytest.fail(f"the test left {', '.join(left)} in the current folder; use tmp_path")


@pytest.fixture(scope="session", autouse=True)
def _passable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let the account of a server that root starts through to where tests keep their files."""
    base = tmp_path_factory.getbasetemp()
    above = (base, *base.parents)
    top = next((folder for folder in above if folder.name.startswith(_PREFIX)), None)
    if not _is_root() or top is None:
        return
    make = tmp_path_factory.mktemp

    def make_passable(basename: str, numbered: bool = True) -> Path:
        path = make(basename, numbered)
        _open(path)
        return path

    tmp_path_factory.mktemp = make_passable  # type: ignore[method-assign]
    for folder in above[: above.index(top)]:
        _open(folder)


def _open(folder: Path) -> None:
    folder.chmod(folder.stat().st_mode | 0o011)


def _hands_out(config: pytest.Config) -> bool:
    is_worker = hasattr(config, "workerinput")
    return not is_worker and bool(getattr(config.option, "tx", None))


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if _may_stay(name)}
    shared = kept.get("ARBITRADE_SHARED_DATA")
    if shared:
        kept["ARBITRADE_SHARED_DATA"] = str(Path(shared).resolve())
    return kept | dict(_GIVEN)


def _may_stay(name: str) -> bool:
    shouted = name.upper()
    return shouted in _SWITCHES or not (
        shouted in _TAKEN_AWAY
        or shouted.startswith((*_TAKEN_AWAY_PREFIXES, _OF_A_HOME_PREFIX))
        or shouted.endswith((*_TAKEN_AWAY_SUFFIXES, _PROXY_SUFFIX))
    )


def _replace_environment(wanted: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)
    if sys.platform != "win32":
        time.tzset()


def _set_umask(mask: int) -> None:
    os.umask(mask)


def _sweep() -> None:
    """Remove what earlier processes left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        lock = filelock.FileLock(folder / "lock")
        # Not there yet: somebody is just making it.
        if not Path(lock.lock_file).is_file():
            continue
        with suppress(filelock.Timeout, OSError), lock.acquire(blocking=False):
            shutil.rmtree(folder, ignore_errors=True)
