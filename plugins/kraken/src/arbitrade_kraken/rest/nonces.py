"""Numbers that only grow, for every process that shares an API key.

The venue wants each private request of a key to carry a larger number than all before it, for ever.
Ours are nanoseconds since the epoch, and never anything smaller: after a change to a coarser unit
every number would be too small for decades.  The last one used is kept in a file under a lock, so
that other processes and a clock that was set back can't bring a smaller one.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from arbitrade import SystemClock
from arbitrade.errors import ConfigError
from arbitrade.protocols import Clock

_DIGITS = 20
"""An unsigned 64-bit number."""
_MOST = 2**64 - 1


@attrs.frozen
class NonceFile:
    """Hands out nonces; about 30 µs each.

    Two processes get different numbers, but their requests can still overtake each other on the
    way: one process a key is what the venue recommends.

    Args:
        path: The file; made when missing.
        clock: For nanoseconds since the epoch.
    """

    path: Path
    clock: Clock = attrs.field(factory=SystemClock)

    @classmethod
    def for_key(cls, folder: Path, api_key: str, clock: Clock | None = None) -> "NonceFile":
        """Return the file of an API key; its name doesn't tell the key."""
        name = hashlib.sha256(api_key.encode()).hexdigest()[:16]
        return cls(folder / f"kraken-nonce-{name}", clock or SystemClock())

    def next(self) -> int:
        """Return a number larger than every one before, whoever asked.

        Raises:
            ConfigError: The file can't be kept, or what is in it is none of ours.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path) as file:
                nonce = max(self.clock.now_ns(), self._last(file) + 1)
                os.lseek(file, 0, os.SEEK_SET)
                os.write(file, str(nonce).zfill(_DIGITS).encode())
                return nonce
        except OSError as error:
            raise ConfigError(
                f"kraken.nonce_folder: {self.path} can't be written ({error.strerror}); name a "
                "folder that all processes with this API key can write"
            ) from error

    def _last(self, file: int) -> int:
        text = os.read(file, _DIGITS + 1)
        if not text:
            return 0
        if text.isdigit() and int(text) < _MOST:
            return int(text)
        raise ConfigError(
            f"kraken.nonce_folder: {self.path} holds no nonce; delete it if no process uses it"
        )


if sys.platform == "win32":
    import msvcrt

    @contextlib.contextmanager
    def _locked(path: Path) -> Iterator[int]:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_BINARY, 0o600)
        try:
            os.lseek(file, _DIGITS, os.SEEK_SET)  # Beyond what is read: Windows locks are hard.
            msvcrt.locking(file, msvcrt.LK_LOCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
            try:
                yield file
            finally:
                os.lseek(file, _DIGITS, os.SEEK_SET)
                msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
        finally:
            os.close(file)

else:
    import fcntl

    @contextlib.contextmanager
    def _locked(path: Path) -> Iterator[int]:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)  # Ends the lock.
