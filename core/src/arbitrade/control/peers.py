"""Who is at the other end of a local socket."""

import getpass
import os
import socket
import struct
import sys
from functools import cache

import attrs


@attrs.frozen
class Peer:
    """The other end.

    Args:
        is_allowed: It is us or the superuser.
        actor: Name of the operating system's user.
    """

    is_allowed: bool
    actor: str


def peer_of(connection: socket.socket) -> Peer:
    """Return who has connected to a Unix socket, as the operating system tells.

    Where it doesn't tell, the mode of the socket and its folder is what keeps others out.
    """
    user = _user_id(connection)
    if user is None:
        return Peer(True, own_name())
    if user not in (own_id(), 0):
        return Peer(False, f"user {user}")
    return Peer(True, name_of(user))


@cache
def own_name() -> str:
    """Return the name of our own user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without an entry
        return f"user {own_id()}"


def own_id() -> int:
    """Return the number of our own user; 0 where users have none."""
    return os.geteuid() if sys.platform != "win32" else 0


@cache
def name_of(user: int) -> str:
    """Return the name of a user, `user 1000` for one without.

    Asked for once, because a directory on the network may have to be asked.
    """
    try:
        import pwd
    except ImportError:  # Windows
        return own_name()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _user_id(connection: socket.socket) -> int | None:
    read = _READERS.get(sys.platform)
    return None if read is None else read(connection)


def _on_linux(connection: socket.socket) -> int:
    # struct ucred: process, user, group
    option: int = getattr(socket, "SO_PEERCRED")  # noqa: B009  # not there on other systems
    _, user, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, option, 12))
    return int(user)


def _on_macos(connection: socket.socket) -> int:
    # SOL_LOCAL, LOCAL_PEERCRED; struct xucred begins with its version and the user
    _, user = struct.unpack_from("II", connection.getsockopt(0, 1, 76))
    return int(user)


_READERS = {"linux": _on_linux, "darwin": _on_macos}
