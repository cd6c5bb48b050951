"""The kill switch: a file that stops trading as long as it is there, and a flag that is quick.

It needs nothing that can be down: no database, no network, no alerts.  Whoever may write to the
state folder can press it (`touch ~/.arbitrade/halt-main.json`), and only `clear`, called for an
operator, releases it: removing the file by hand does not, while the bot runs.
"""

import asyncio
import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import attrs
import orjson
import structlog

from arbitrade.control.places import halt_file, make_private_folder
from arbitrade.errors import ControlError

log = structlog.stdlib.get_logger(__name__)

_LONGEST = 64 << 10
_RETRY_S = 1.0


@attrs.frozen
class Halt:
    """Why trading is stopped.

    Args:
        reason: In the words of who stopped it.
        actor: Who: an operator, a part of the bot.
        time: ISO 8601, UTC.
    """

    reason: str
    actor: str
    time: str


class KillSwitch:
    """The switch of one account.  Read at its making, so that a halt survives restarts.

    Everything is called from one thread.  Whatever can't be read counts as engaged.

    Args:
        folder: The state folder; made when missing.
        account: Whose trading it stops.
        on_change: Called with the halt, or None once it is cleared; at once, before the disk is
            touched.  Not of the halt that is found at the making.
    """

    def __init__(
        self,
        folder: Path,
        account: str,
        on_change: Callable[[Halt | None], None] | None = None,
    ) -> None:
        self.path = halt_file(folder, account)
        self._on_change: Callable[[Halt | None], None] | None = None
        self.problem = ""
        """Why the halt is in memory only and would not survive a restart; empty when it would."""
        self._halt: Halt | None = None
        self._retry_at = 0.0
        self._is_writing = False
        self.poll()
        self._on_change = on_change

    @property
    def is_engaged(self) -> bool:
        """Whether trading is stopped.  A flag in memory: O(1), no system call."""
        return self._halt is not None

    @property
    def halt(self) -> Halt | None:
        """Why it is stopped, None when it isn't."""
        return self._halt

    def engage(self, reason: str, actor: str) -> bool:
        """Stop trading: first in memory, then on disk, with fsync.

        Once engaged, the first reason stays.  A disk that fails keeps nobody from stopping; `poll`
        tries it again.

        Returns:
            Whether it is on disk, and so survives a restart; `problem` says why not.
        """
        halt = self._halt
        if halt is None:
            halt = Halt(reason, actor, _now())
            try:
                self._set(halt)
            finally:  # whatever a listener does
                self._write(halt)
        elif self.problem:
            self._write(halt)
        return not self.problem

    async def engage_async(self, reason: str, actor: str) -> bool:
        """Do as `engage`, but write in a thread: a slow disk must not hold up unwinding."""
        halt = self._halt
        if halt is None:
            halt = Halt(reason, actor, _now())
        elif not self.problem:
            return True
        self._is_writing = True
        try:
            if self._halt is None:
                self._set(halt)
        finally:
            try:
                await asyncio.shield(asyncio.to_thread(self._write, halt))
            finally:
                self._is_writing = False
        return not self.problem

    def poll(self) -> bool:
        """Look whether somebody made the file; return whether trading is stopped.

        One system call unless something changed.  While engaged it puts the file back if that was
        removed by hand, at most once a second.
        """
        try:
            found: os.stat_result | None = os.lstat(self.path)
        except FileNotFoundError:
            found = None
        except OSError as error:
            self._notice(Halt(f"{self.path}: {error.strerror}", "unknown", _now()))
            return True
        if found is not None and self._halt is None:
            self._notice(_read(self.path, found))
        elif found is None and self._halt is not None:
            self._write_again(self._halt)
        elif found is not None:
            self.problem = ""
        return self._halt is not None

    def clear(self, actor: str, reason: str) -> None:
        """Let trading go on.  Only for an operator's action; auditing it is the caller's.

        Raises:
            ControlError: The file can't be removed; trading stays stopped.
        """
        try:
            self.path.unlink(missing_ok=True)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise ControlError(
                f"{self.path}: can't be removed ({error.strerror}), so trading stays halted; "
                "remove it by hand, then resume again"
            ) from error
        was, self.problem = self._halt, ""
        if was is None:
            return
        log.warning("kill_switch.cleared", actor=actor, reason=reason, halted_because=was.reason)
        self._set(None)

    def _notice(self, halt: Halt) -> None:
        """Take note of a halt that is on disk."""
        if self._halt is None:
            self._set(halt)

    def _set(self, halt: Halt | None) -> None:
        self._halt = halt
        if halt is not None:
            log.error("kill_switch.engaged", reason=halt.reason, actor=halt.actor)
        if self._on_change is not None:
            self._on_change(halt)

    def _write_again(self, halt: Halt) -> None:
        now = time.monotonic()
        if now >= self._retry_at and not self._is_writing:
            self._retry_at = now + _RETRY_S
            self._write(halt)

    def _write(self, halt: Halt) -> None:
        try:
            write_halt(self.path, halt)
        except OSError as error:
            if not self.problem:
                log.exception("kill_switch.not_on_disk", path=str(self.path))
            self.problem = (
                f"{self.path}: can't be written ({error.strerror}); trading is halted, but would "
                "not be after a restart"
            )
        else:
            self.problem = ""


def engage_on_disk(folder: Path, account: str, reason: str, actor: str) -> Path:
    """Stop an account whose bot doesn't run or doesn't answer; return the file.

    A bot that runs notices within some 20 ms, any other one at its next start.

    Raises:
        ControlError: The file can't be written.
    """
    path = halt_file(folder, account)
    try:
        write_halt(path, Halt(reason, actor, _now()))
    except OSError as error:
        raise ControlError(
            f"{path}: can't be written ({error.strerror}); make it by hand, with touch: trading "
            "stops as long as it is there"
        ) from error
    return path


def read_halt(folder: Path, account: str) -> Halt | None:
    """Return the halt that is on disk, None without one."""
    path = halt_file(folder, account)
    try:
        return _read(path, os.lstat(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        return Halt(f"{path}: {error.strerror}", "unknown", _now())


def write_halt(path: Path, halt: Halt) -> None:
    """Put a halt on disk in one step; one that is there already stays.

    Raises:
        OSError: It can't be written.
    """
    if os.path.lexists(path):
        return
    make_private_folder(path.parent)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as file:
            file.write(orjson.dumps(attrs.asdict(halt)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _read(path: Path, found: os.stat_result) -> Halt:
    """Return what a file says; whatever it says, and even if nothing, it stops trading."""
    made = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="milliseconds")
    by_hand = Halt(f"{path} was made by hand", "unknown", made)
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for a writer
        return by_hand
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST)
        fields = orjson.loads(content) if content.strip() else {}
        return Halt(
            str(fields.get("reason") or by_hand.reason),
            str(fields.get("actor") or by_hand.actor),
            str(fields.get("time") or by_hand.time),
        )
    except OSError as error:
        return attrs.evolve(by_hand, reason=f"{path} can't be read ({error.strerror})")
    except (ValueError, AttributeError):
        return by_hand


def _sync_folder(folder: Path) -> None:
    """Make sure the folder itself has it, where folders can be synced."""
    if os.name == "nt" or not folder.is_dir():
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
