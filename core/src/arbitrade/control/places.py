"""Where the files are that a bot and its operator meet at."""

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from arbitrade.config import Settings

DEFAULT_ACCOUNT = "main"
"""The account meant where nobody names one."""

_HALT, _SOCKET, _ENDPOINT = ("halt-", ".json"), ("control-", ".sock"), ("control-", ".json")


def state_folder(settings: "Settings") -> Path:
    """Return the folder a bot with these settings keeps its state in."""
    return Path(settings.runtime.folder).expanduser()


def halt_file(folder: Path, account: str) -> Path:
    """Return the file that stops an account's trading as long as it is there."""
    return folder / _name(_HALT, account)


def socket_file(folder: Path, account: str) -> Path:
    """Return the socket of an account's bot."""
    return folder / _name(_SOCKET, account)


def endpoint_file(folder: Path, account: str) -> Path:
    """Return the file that says where the bot listens, when that isn't at `socket_file`."""
    return folder / _name(_ENDPOINT, account)


def accounts_in(folder: Path) -> list[str]:
    """Return the accounts whose bots have left a socket there, running or not, in order."""
    found = set()
    for prefix, suffix in (_SOCKET, _ENDPOINT):
        for path in folder.glob(f"{prefix}*{suffix}"):
            found.add(unquote(path.name.removeprefix(prefix).removesuffix(suffix)))
    return sorted(found)


def make_private_folder(folder: Path) -> None:
    """Make a folder only we can look into; one that is there already stays as it is.

    Raises:
        OSError: It can't be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def lock_folder() -> Path:
    """Return the folder of the instance locks, the same for everything this user starts.

    Not in the state folder: two bots with folders of their own must still find each other.
    """
    try:
        return Path.home() / ".arbitrade" / "locks"
    except RuntimeError:  # an account without a home
        return common_folder() / "locks"


def common_folder() -> Path:
    """Return a folder of this user's own below the system's temporary one."""
    user = os.getuid() if sys.platform != "win32" else "user"
    return Path(tempfile.gettempdir()) / f"arbitrade-{user}"


def quoted(name: str) -> str:
    """Return a name as part of a file's name: what a file system may not like is escaped."""
    return quote(name, safe=" ").replace(" ", "%20").replace("~", "%7E")


def _name(pattern: tuple[str, str], account: str) -> str:
    prefix, suffix = pattern
    return f"{prefix}{quoted(account)}{suffix}"
