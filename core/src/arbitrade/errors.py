"""Every error Arbitrade raises on purpose.

The type tells the caller what to do:

    ArbitradeError
    ├── ConfigError            fix the settings; `problems` lists every one with its path
    ├── UsageError             call again with other arguments
    ├── PluginError            disable or upgrade the plugin
    ├── SecretError            the secret is missing, or its store can't be opened
    ├── RecordingError         the recording can't be read further; names file and line
    ├── VenueError
    │   ├── VenueUnavailableError   retry later
    │   ├── AuthenticationError     stop trading, fix the key
    │   ├── OrderRejectedError      don't retry as is
    │   └── MessageError            a frame the venue should not have sent
    ├── BookOutOfSyncError     resubscribe
    └── BrokenCycleError       our bug: legs that don't join

A message has the subject, the offending value and the next step.
"""

from collections.abc import Sequence


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


class BookOutOfSyncError(ArbitradeError):
    """A book that can't be trusted until its next snapshot."""


class BrokenCycleError(ArbitradeError):
    """Legs that don't join, or don't end where they began.  Always our own bug."""
