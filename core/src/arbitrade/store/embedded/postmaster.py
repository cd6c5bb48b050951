"""Whether a server runs, what is left of one that was killed, and where one can listen."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import attrs
import psutil

_BIRTH_TOLERANCE_S = 60.0


@attrs.frozen
class Postmaster:
    """What `postmaster.pid` says of a server that runs.

    Args:
        pid: Its process.
        port: Where it listens on 127.0.0.1.
        is_ready: Whether it takes connections by now.
    """

    pid: int
    port: int
    is_ready: bool


def is_postmaster(pid: int, born: int, data: Path) -> bool:
    """Tell whether a process is the server of this data, and not one that got its number."""
    try:
        process = psutil.Process(abs(pid))
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return False
        with suppress(psutil.AccessDenied):
            command = process.cmdline()
            if command:
                return "-D" in command and _is_same(Path(command[command.index("-D") + 1]), data)
        age_difference_s: float = abs(process.create_time() - born)
    except (psutil.Error, IndexError):
        return False
    return age_difference_s < _BIRTH_TOLERANCE_S


def processes_in(data: Path) -> list[psutil.Process]:
    """Return what still works in the data: every process of PostgreSQL has it as its folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            is_alive = process.status() != psutil.STATUS_ZOMBIE
            if is_alive and process.name().startswith("postgres"):
                found += [process] if _is_same(Path(process.cwd()), data) else []
    return found


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free_port(port: int) -> bool:
    """Tell whether nobody listens at a port of 127.0.0.1."""
    with socket.socket() as probe:
        if os.name == "posix":
            # Connections of the last server may linger; PostgreSQL binds beside them.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
