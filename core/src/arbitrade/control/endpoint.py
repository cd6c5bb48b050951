"""Where a bot listens for its operator: a Unix socket, or a port of the loopback and a token."""

import errno
import hashlib
import os
import secrets
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import attrs
import orjson

from arbitrade.control.messages import Request, write_request
from arbitrade.control.places import (
    common_folder,
    endpoint_file,
    make_private_folder,
    socket_file,
)
from arbitrade.errors import ControlError, UsageError

type Transport = Literal["unix", "tcp"]

DEFAULT_TRANSPORT: Transport = (
    "unix" if hasattr(socket, "AF_UNIX") and sys.platform != "win32" else "tcp"
)

_LONGEST_PATH = 103
"""Bytes of a socket's path: 104 with the zero at its end on macOS, a few more on Linux."""

_BACKLOG, _PROBE_S, _LONGEST_FILE = 64, 1.0, 4096
_NO_SOCKETS_HERE = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@attrs.frozen
class Endpoint:
    """Where to connect to: a socket's path, or a port with its token."""

    path: str = ""
    port: int = 0
    token: str = attrs.field(default="", repr=False)

    def dial(self, timeout_s: float) -> socket.socket:
        """Connect.

        Raises:
            OSError: Nobody listens, or not in time.
        """
        family = socket.AF_UNIX if self.path else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(self.path or ("127.0.0.1", self.port))
        except BaseException:
            connection.close()
            raise
        return connection

    def is_alive(self) -> bool:
        """Tell whether somebody listens; at a socket, one who is too busy to answer counts."""
        try:
            with self.dial(_PROBE_S) as connection:
                # A port may be another program's by now; a socket's path is always a bot's.
                return bool(self.path) or self._is_bot(connection)
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
            return False
        except OSError as error:
            # A full queue of connections, or no answer in time, is somebody.
            return error.errno not in (errno.ENOTSOCK, errno.EPROTOTYPE, errno.ENOTDIR)

    def _is_bot(self, connection: socket.socket) -> bool:
        try:
            connection.sendall(write_request(Request(1, "hello", token=self.token)))
            return b'"ok":true' in connection.recv(_LONGEST_FILE)
        except OSError:
            return False


def find_endpoint(folder: Path, account: str) -> Endpoint | None:
    """Return where an account's bot listens or last listened; None when it left no trace.

    Raises:
        ControlError: The trace can't be read.
    """
    written = endpoint_file(folder, account)
    try:
        with written.open("rb") as file:
            fields = orjson.loads(file.read(_LONGEST_FILE))
        return Endpoint(str(fields["socket"]), int(fields["port"]), str(fields["token"]))
    except FileNotFoundError:
        path = socket_file(folder, account)
        return Endpoint(str(path)) if path.exists() else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ControlError(
            f"{written}: can't be read ({error}); it says where the bot listens.  Use the account "
            "the bot runs as, or start the bot anew"
        ) from error


class Listener:
    """A listening socket and the files that lead to it.

    Args:
        folder: The state folder; made for us alone when missing.
        account: Whose bot listens.
        transport: By default a Unix socket, on Windows a port.

    Raises:
        UsageError: Another bot listens there.
        ControlError: It can't be listened.
    """

    def __init__(self, folder: Path, account: str, transport: Transport | None = None) -> None:
        from filelock import FileLock  # clients only look for endpoints

        self._folder, self._account = folder, account
        self._written = endpoint_file(folder, account)
        self._made: tuple[int, int] | None = None
        try:
            make_private_folder(folder)
            # So that of two that start at once one doesn't remove the other's socket as stale.
            with FileLock(self._written.with_suffix(".lock"), timeout=10):
                self._refuse_if_alive()
                self.socket, self.endpoint = self._listen(transport or DEFAULT_TRANSPORT)
        except OSError as error:
            raise ControlError(
                f"{folder}: no control socket can be made there ({error.strerror or error}); set "
                "runtime.folder to a folder of yours"
            ) from error

    def close(self) -> None:
        """Stop listening and remove what is ours.  Idempotent."""
        self.socket.close()
        with suppress(OSError):
            if self.endpoint.path and self._made == _identity(self.endpoint.path):
                Path(self.endpoint.path).unlink()
        with suppress(ControlError, OSError):
            written = self._written.exists() and find_endpoint(self._folder, self._account)
            if written == self.endpoint:
                self._written.unlink()

    def _refuse_if_alive(self) -> None:
        try:
            known = find_endpoint(self._folder, self._account)
        except ControlError:
            known = None  # we are about to write it anew
        if known is not None and known.is_alive():
            raise UsageError(
                f"{self._folder}: a bot of account {self._account!r} listens there already; stop "
                "that one first, or set runtime.folder to a folder of its own"
            )
        self._written.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            socket_file(self._folder, self._account).unlink()

    def _listen(self, transport: Transport) -> tuple[socket.socket, Endpoint]:
        if transport == "tcp":
            return self._listen_on_port()
        near = socket_file(self._folder, self._account)
        if len(os.fsencode(near)) <= _LONGEST_PATH:
            try:
                return self._listen_at(near)
            except OSError as error:
                if error.errno not in _NO_SOCKETS_HERE:
                    raise
        # Too long a path, or a file system without sockets: elsewhere, and say where.
        digest = hashlib.sha256(os.fsencode(near.absolute())).hexdigest()[:16]
        far = common_folder() / f"{digest}.sock"
        make_private_folder(far.parent)
        _refuse_if_not_private(far.parent)
        far.unlink(missing_ok=True)
        listening, endpoint = self._listen_at(far)
        self._write(endpoint)
        return listening, endpoint

    def _listen_at(self, path: Path) -> tuple[socket.socket, Endpoint]:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(path))
            path.chmod(0o600)  # before anybody can connect
            listening.listen(_BACKLOG)
            listening.setblocking(False)
            self._made = _identity(str(path))
        except BaseException:
            listening.close()
            raise
        return listening, Endpoint(str(path))

    def _listen_on_port(self) -> tuple[socket.socket, Endpoint]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.bind(("127.0.0.1", 0))
            listening.listen(_BACKLOG)
            listening.setblocking(False)
            endpoint = Endpoint("", listening.getsockname()[1], secrets.token_urlsafe(32))
            self._write(endpoint)
        except BaseException:
            listening.close()
            raise
        return listening, endpoint

    def _write(self, endpoint: Endpoint) -> None:
        """Say where we listen, to nobody but our own user."""
        fresh = self._written.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor has no path
            file.write(
                orjson.dumps(
                    {"socket": endpoint.path, "port": endpoint.port, "token": endpoint.token}
                )
            )
        fresh.replace(self._written)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _refuse_if_not_private(folder: Path) -> None:
    """Refuse a folder below the temporary one that somebody else may have put there."""
    found = os.lstat(folder)
    is_ours = found.st_uid == os.geteuid() if sys.platform != "win32" else True
    if not stat.S_ISDIR(found.st_mode) or not is_ours or found.st_mode & 0o077:
        raise ControlError(
            f"{folder}: somebody else may look into it, so no control socket is put there; remove "
            f"it, or set runtime.folder to a path of at most {_LONGEST_PATH - 30} characters"
        )
