"""One bot for each account: a lock file for this machine, an advisory lock for the database.

Both are given back by who keeps them, the operating system and PostgreSQL, when a process dies
however it dies.  The lock file holds without a database; the advisory lock also keeps out a bot on
another machine, or one of another user.
"""

import hashlib
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import attrs
import orjson
import structlog
from filelock import FileLock, Timeout

from arbitrade.control.places import lock_folder, make_private_folder, quoted
from arbitrade.errors import UsageError
from arbitrade.secrets import Secret

log = structlog.stdlib.get_logger(__name__)

_LONGEST = 4096


@attrs.frozen
class Holder:
    """Who has a lock.

    Args:
        since: ISO 8601, UTC.
    """

    process: int
    host: str
    since: str
    account: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} as {self.account!r} since {self.since}"


class InstanceLock:
    """Keeps a second bot of this user off an account, and off an API key under another name.

    Held from `acquire` to `release`, or until this object or the process is gone.

    Args:
        folder: Where the lock files are; None for `lock_folder()`, which every bot of this user
            shares whatever its settings say.
        venue: Whose account.
        account: Its name.
        key: The API key, so that one key under two names is noticed; only a fingerprint of it gets
            into a file's name.
    """

    def __init__(
        self, folder: Path | None, venue: str, account: str, key: Secret | str | None = None
    ) -> None:
        self._folder = lock_folder() if folder is None else folder
        self._account = account
        self._names = lock_names(venue, account, key)
        self._held: list[FileLock] = []

    @property
    def is_held(self) -> bool:
        """Whether this process has the locks now."""
        return bool(self._held)

    def acquire(self) -> None:
        """Take the lock or refuse, at once.  Idempotent.

        Raises:
            UsageError: Another bot has it, or there can't be a lock; the message says who, and what
                to do.
        """
        if self._held:
            return
        taken: list[FileLock] = []
        try:
            make_private_folder(self._folder)
            for name in self._names:
                taken.append(self._take(name))  # noqa: PERF401  # what was taken is let go below
        except BaseException as error:
            for lock in taken:
                lock.release()
            if isinstance(error, OSError | NotImplementedError):
                raise UsageError(
                    f"{self._folder}: no lock can be kept there ({error}), so nobody would notice "
                    "a second bot; make that a folder of yours on a local disk"
                ) from error
            raise
        self._held = taken
        self._write_holder()

    def release(self) -> None:
        """Give the locks back, the last taken first.  Idempotent."""
        held, self._held = self._held, []
        for name in self._names if held else ():
            with suppress(OSError):
                self._holder_file(name).unlink(missing_ok=True)
        for lock in reversed(held):
            lock.release()

    def __enter__(self) -> "InstanceLock":
        """Take the locks, as `acquire` does."""
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the locks back, as `release` does."""
        self.release()

    def _take(self, name: str) -> FileLock:
        # Not a soft lock where the file system has none: that one would outlive a crash.
        lock = FileLock(
            self._folder / f"{name}.lock", thread_local=False, fallback_to_soft=False, timeout=0
        )
        try:
            lock.acquire()
        except Timeout:
            raise UsageError(taken_message(name, self._holder(name))) from None
        return lock

    def _write_holder(self) -> None:
        """Say who we are; only for messages, so a full disk doesn't matter."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = Holder(os.getpid(), socket.gethostname(), now, self._account)
        for name in self._names:
            path = self._holder_file(name)
            fresh = path.with_suffix(".new")
            try:
                fresh.write_bytes(orjson.dumps(attrs.asdict(holder)))
                fresh.replace(path)
            except OSError as error:
                log.warning("instance_lock.holder_not_written", path=str(path), error=str(error))

    def _holder(self, name: str) -> Holder | None:
        try:
            with self._holder_file(name).open("rb") as file:
                return Holder(**orjson.loads(file.read(_LONGEST)))
        except (OSError, ValueError, TypeError):
            return None

    def _holder_file(self, name: str) -> Path:
        # Beside the lock: a locked file can't be read on Windows.
        return self._folder / f"{name}.json"


def lock_names(venue: str, account: str, key: Secret | str | None) -> Sequence[str]:
    """Return what is locked: the account by its name and, where there is one, by its key."""
    names = [f"{quoted(venue)}-{quoted(account)}"]
    text = key.reveal() if isinstance(key, Secret) else key
    if text:
        # A key has far more entropy than could be guessed, so that a plain hash tells nothing.
        digest = hashlib.sha256(f"{venue}\0{text}".encode()).hexdigest()[:16]
        names.append(f"{quoted(venue)}-key-{digest}")
    return names


def taken_message(name: str, holder: object) -> str:
    """Return what is wrong when somebody else has a lock, and what to do."""
    what = "this API key" if "-key-" in name else "this account"
    who = "another process" if holder is None else str(holder)
    return (
        f"{name}: {what} is already traded by {who}; stop that bot first, or trade with an account "
        "and key of its own.  Two bots on one account would book each other's orders"
    )
