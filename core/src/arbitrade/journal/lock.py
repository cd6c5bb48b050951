"""One writer for each journal: a lock that the operating system takes back when a process dies."""

import os
import sys
from pathlib import Path

from arbitrade.errors import JournalError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Behind the text, which has to stay readable.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # flock, not lockf: it also keeps out a second journal of the same process.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderLock:
    """Held from its making until `release`, or until the process ends.

    The file stays and names the process that had it last; it means nothing by itself.

    Raises:
        JournalError: Somebody else writes to this folder.
        OSError: The lock file can't be made.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "journal.lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            _lock(self._descriptor)
        except OSError as error:
            holder = os.pread(self._descriptor, 20, 0) if hasattr(os, "pread") else b""
            os.close(self._descriptor)
            raise JournalError(
                f"{folder}: the journal is in use by process {holder.decode().strip() or '?'}; "
                "stop it, or give this one a folder of its own"
            ) from error
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, b"%-20d\n" % os.getpid())

    def release(self) -> None:
        """Give the folder up, so that another process may write to it."""
        os.close(self._descriptor)
