"""Whose rights the server runs with: PostgreSQL refuses to run as root.

When we are root, another account of this machine is used.  Its rights must suffice for the folder
of the data and for the programs; nothing but our own data is ever given to it, and no mode of a
folder above is changed.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from arbitrade.errors import DatabaseError
from arbitrade.store.embedded.binaries import Binaries

if TYPE_CHECKING:
    from pwd import struct_passwd

_COMMON = Path("/var/lib/arbitrade")
"""Where root keeps what the account has to reach, if the folder asked for can't be reached."""

_PREFERRED = ("arbitrade", "postgres", "nobody")


@attrs.frozen
class ServerAccount:
    """An account of the operating system.

    Args:
        name: Its name.
        uid: Its number.
        gid: Its group's number.
    """

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give one file or folder to the account."""
        os.chown(path, self.uid, self.gid)

    def blocked_at(self, path: Path) -> Path | None:
        """Return the first folder, from the root down to `path`, the account can't go through.

        Access control lists are not seen; a folder only they open counts as closed.
        """
        resolved = path.resolve()
        for place in (*reversed(resolved.parents), resolved):
            if place.is_dir() and not self._may_pass(place.stat()):
                return place
        return None

    def _may_pass(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def server_account(data: Path) -> ServerAccount | None:
    """Return the account to run the server as; None for the one we are.

    Args:
        data: Folder of the cluster; if it exists, its owner is taken.

    Raises:
        DatabaseError: We have no name on this machine, or are root and there is nobody else.
    """
    if os.name != "posix":
        return None
    if os.geteuid() != 0:
        _check_own_name(os.geteuid())
        _check_owner(data)
        return None
    for entry in _candidates(data):
        if entry.pw_uid != 0:
            return ServerAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise DatabaseError(
        "PostgreSQL refuses to run as root, and /etc/passwd names no other account; add one "
        "(useradd --system arbitrade), or set database.dsn to a server"
    )


def reachable_folder(folder: Path) -> Path:
    """Return the folder itself, or one below /var/lib/arbitrade if the server can't get there.

    The latter only happens to root, whose home nobody else may enter.  Where data was made it
    stays, whatever becomes of the modes above it.
    """
    absolute = folder.expanduser().resolve()
    account = server_account(absolute / "data")
    if account is None or (absolute / "data").exists():
        return absolute
    digest = sha256(os.fsencode(absolute)).hexdigest()[:12]
    elsewhere = _COMMON / f"postgres-{digest}"
    is_open = account.blocked_at(absolute) is None and not elsewhere.exists()
    return absolute if is_open else elsewhere


def reachable_binaries(binaries: Binaries, account: ServerAccount | None) -> Binaries:
    """Return the programs, copied to where the account can run them if it can't where they are.

    The copy is made once for each version, about 40 MB.

    Raises:
        DatabaseError: There is no place for the copy.
    """
    if account is None or account.blocked_at(binaries.folder) is None:
        return binaries
    target = _COMMON / f"postgresql-{binaries.version}"
    inside = binaries.folder.relative_to(binaries.parts[0].parent)
    copied = tuple(target / part.name for part in binaries.parts)
    copy = Binaries(target / inside, f"copy of {binaries.origin} in {target}", copied)
    try:
        _check_common()
        if not target.is_dir():
            _copy_all(binaries.parts, target)
    except OSError as error:
        raise DatabaseError(
            f"{binaries.folder}: account {account.name} can't get there to run PostgreSQL, and it "
            f"can't be copied to {target} ({error.strerror}); install Arbitrade outside of "
            f"{account.blocked_at(binaries.folder)}, or set database.dsn to a server"
        ) from error
    return copy


def make_common_folder() -> None:
    """Make /var/lib/arbitrade, which root owns and everybody may pass.

    Raises:
        DatabaseError: It can't be made, or is somebody else's.
    """
    try:
        _check_common()
    except OSError as error:
        raise DatabaseError(
            f"{_COMMON}: can't be made ({error.strerror}); set database.folder to a folder that "
            "other accounts can pass through, or database.dsn to a server"
        ) from error


def is_common(folder: Path) -> bool:
    """Tell whether a folder is one that `reachable_folder` chose."""
    return folder.parent == _COMMON


def _check_common() -> None:
    _COMMON.mkdir(parents=True, exist_ok=True)
    status = _COMMON.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0:
        raise DatabaseError(f"{_COMMON}: is not a folder of root's; move it away and start again")
    if not status.st_mode & stat.S_IXOTH:
        _COMMON.chmod(0o755)  # ours alone: made by us, under a strict umask


def _copy_all(parts: Iterable[Path], target: Path) -> None:
    """Copy folders into a new one; a copy that was interrupted is never taken for a whole one."""
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=_COMMON))
    try:
        unneeded = shutil.ignore_patterns("include", "__pycache__", "*.py")
        for part in parts:
            shutil.copytree(part, making / "all" / part.name, symlinks=True, ignore=unneeded)
        _open_to_read(making / "all")
        try:
            (making / "all").rename(target)
        except OSError:
            if not target.is_dir():  # another process was faster
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _open_to_read(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _check_own_name(uid: int) -> None:
    import pwd

    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise DatabaseError(
            f"user id {uid} has no name on this machine, which PostgreSQL insists on; add it to "
            "/etc/passwd, run as another user, or set database.dsn to a server"
        ) from None


def _check_owner(data: Path) -> None:
    try:
        owner = data.stat().st_uid
    except FileNotFoundError:
        return
    except OSError as error:
        raise DatabaseError(
            f"{data}: can't be reached ({error.strerror}); set database.folder to a folder of yours"
        ) from error
    if owner != os.geteuid():
        raise DatabaseError(
            f"{data}: belongs to {_name(owner)}, because root or another user made it; run as they "
            f"did, give it to this user (chown -R), or set database.folder to another folder"
        )


def _candidates(data: Path) -> "Iterator[struct_passwd]":
    """Yield accounts root may use: the owner of the data, who called sudo, then the system's."""
    import pwd

    numbers = [data.stat().st_uid] if data.exists() else []
    called_by = os.environ.get("SUDO_UID", "")
    if called_by.isdigit():
        numbers.append(int(called_by))
    for number in numbers:
        try:
            yield pwd.getpwuid(number)
        except KeyError:
            continue
    for name in _PREFERRED:
        try:
            yield pwd.getpwnam(name)
        except KeyError:
            continue
    yield from pwd.getpwall()


def _name(uid: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user id {uid}"
