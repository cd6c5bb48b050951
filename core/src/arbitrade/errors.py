"""Every error Arbitrade raises on purpose.

The type tells the caller what to do:

    ArbitradeError
    ├── ConfigError            fix the settings; `problems` lists every one with its path
    ├── UsageError             call again with other arguments
    ├── PluginError            disable or upgrade the plugin
    │   └── NonsenseError          the same: it answered what can't be true
    ├── SecretError            the secret is missing, or its store can't be opened
    ├── RecordingError         the recording can't be read further; names file and line
    ├── JournalError           the journal's folder can't be used as asked
    │   ├── JournalFailedError      start nothing new; close it, repair the disk, open it again
    │   ├── JournalFullError        start nothing new until what is there has been stored
    │   └── JournalCorruptError     quarantine the damage; names file, offset and what is missing
    ├── ControlError           the bot can't be reached or commanded; the message says how else
    │   └── BotNotRunningError     start it, or name another account
    ├── VenueError
    │   ├── VenueUnavailableError   retry later
    │   ├── AuthenticationError     stop trading, fix the key
    │   ├── OrderRejectedError      don't retry as is
    │   └── MessageError            a frame the venue should not have sent
    ├── DatabaseError          look at the server, the data folder or the account it runs as
    │   ├── DatabaseUnavailableError   retry later
    │   ├── StatementError             correct the SQL; `sqlstate` says what was wrong
    │   └── SchemaError                run `arbitrade db migrate`, or upgrade Arbitrade
    ├── BookOutOfSyncError     resubscribe
    └── BrokenCycleError       our bug: legs that don't join

A message has the subject, the offending value and the next step.
"""

from collections.abc import Sequence
from pathlib import Path


class ArbitradeError(Exception):
    """Base of everything Arbitrade raises on purpose."""


class ConfigError(ArbitradeError):
    """Settings that can't be used.

    Args:
        problems: One line each, `path: what is wrong (where it came from)`; all of them at once.
    """

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))


class UsageError(ArbitradeError):
    """The arguments of a command don't fit together; the message says which and what fits."""


class PluginError(ArbitradeError):
    """A plugin can't be found, imported, wired or trusted; the message names it and the fix."""


class NonsenseError(PluginError):
    """A plugin answered what can't be true: a NaN, a float for money, a negative size."""


class SecretError(ArbitradeError):
    """A secret is missing or its store can't be opened.  Never carries the secret itself."""


class RecordingError(ArbitradeError):
    """A recording that can't be read or written; names the file, the line and the reason."""

    def __init__(self, path: str, line: int | None, reason: str) -> None:
        self.path = path
        self.line = line
        self.reason = reason
        where = path if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {reason}")


class JournalError(ArbitradeError):
    """A journal that can't be used as asked; names its folder and the next step."""


class JournalFailedError(JournalError):
    """The disk refused the journal, or it is closed; it takes nothing until it is opened again."""


class JournalFullError(JournalError):
    """More waits in the journal than it may hold; what is already in it is safe."""


class JournalCorruptError(JournalError):
    """Bytes in the middle of a journal that are not what was written.

    Args:
        path: The damaged file.
        offset: Where in it the damage begins, in bytes.
        missing: Sequence numbers that can't be read; empty if the damage lies between records.
        reason: What is wrong there.
    """

    def __init__(self, path: Path, offset: int, missing: range, reason: str) -> None:
        self.path = path
        self.offset = offset
        self.missing = missing
        self.reason = reason
        lost = f"records {missing[0]} to {missing[-1]}" if missing else "no record"
        super().__init__(
            f"{path}, byte {offset}: {reason}; {lost} missing.  `arbitrade journal "
            "quarantine` takes the damage out to go on without it; the damaged bytes are kept"
        )


class ControlError(ArbitradeError):
    """A running bot can't be reached, understood or stopped this way; names the next step."""


class BotNotRunningError(ControlError):
    """No bot of that account runs, as far as its control socket tells."""


class VenueError(ArbitradeError):
    """Something between us and the venue."""


class VenueUnavailableError(VenueError):
    """The venue can't be reached or is not serving; retry later."""


class AuthenticationError(VenueError):
    """The venue refused our credentials; stop trading and fix the key."""


class OrderRejectedError(VenueError):
    """The venue refused an order; sending it again as it is won't help."""


class MessageError(VenueError):
    """A frame that can't be understood: not JSON, or not what the venue's protocol promises."""


class DatabaseError(ArbitradeError):
    """PostgreSQL can't be used as it is; the message names the server or folder and the fix."""


class DatabaseUnavailableError(DatabaseError):
    """PostgreSQL can't be reached, or is starting or stopping; retry later."""


class StatementError(DatabaseError):
    """PostgreSQL refuses a statement of a plugin's.

    Args:
        message: Which plugin, and why.
        sqlstate: PostgreSQL's code for the reason, such as `23505` for a value that has to be
            unique and isn't; empty if the statement never got there.
    """

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class SchemaError(DatabaseError):
    """The tables and the migrations don't belong together; migrate, or upgrade Arbitrade."""


class BookOutOfSyncError(ArbitradeError):
    """A book that can't be trusted until its next snapshot."""


class BrokenCycleError(ArbitradeError):
    """Legs that don't join, or don't end where they began.  Always our own bug."""
