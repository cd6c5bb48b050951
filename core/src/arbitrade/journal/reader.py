"""Reading a journal: from the beginning, or the end as it grows."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from arbitrade.errors import JournalError
from arbitrade.journal.frame import Frame
from arbitrade.journal.walk import JournalWalk

_BATCH = 1024


@attrs.frozen
class JournalEntry:
    """A record as it was appended."""

    seq: int
    payload: bytes


class JournalReader:
    """Reads on from where it stopped, from one segment to the next.

    Works beside a writer, in the same process or another.  Records that were lost and quarantined
    leave a hole in the numbers; `lost` names them.  Not thread-safe.

    Args:
        folder: Of the journal; it may still be empty.
        start_seq: First number wanted.  What has been deleted by then is not there any more:
            reading begins with the oldest record kept.
        up_to: Last number that may be read now, asked before each record.  A record that is only
            in the operating system's memory could be gone, and its number given to another one,
            after a power cut; `Journal.reader` therefore passes `durable_seq`.
    """

    def __init__(
        self, folder: Path, start_seq: int = 1, *, up_to: Callable[[], int] | None = None
    ) -> None:
        self._folder = folder
        self._walk = JournalWalk(folder, start_seq)
        self._up_to = up_to
        self.lost: list[range] = []

    @property
    def next_seq(self) -> int:
        """The number of the next record, as far as is known."""
        return self._walk.next_seq

    def next_batch(self, limit: int) -> Sequence[JournalEntry]:
        """Return the next records, at most `limit`; none if there are no more for now.

        About 3 µs a record.  Reads files: call it in a thread if the loop must not wait.

        Raises:
            JournalCorruptError: The next record is not what was written.  What was right before it
                was returned by an earlier call.
            JournalError: The files can't be read.
        """
        entries: list[JournalEntry] = []
        try:
            while len(entries) < limit and (entry := self._next()) is not None:
                entries.append(entry)
        except (JournalError, OSError) as error:
            if not entries:
                raise self._translated(error) from error
        return entries

    def close(self) -> None:
        """Close the file that is being read.  Idempotent."""
        self._walk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _translated(self, error: JournalError | OSError) -> JournalError:
        if isinstance(error, JournalError):
            return error
        return JournalError(
            f"{self._folder}: the journal can't be read ({error.strerror or error}); check the "
            "disk and the owner of the files"
        )

    def _next(self) -> JournalEntry | None:
        self._walk.begin()
        while True:
            if self._up_to is not None and self._walk.next_seq > self._up_to():
                return None
            frame: Frame | None = self._walk.read()
            if frame is None:
                return None
            if frame.payload is not None:
                return JournalEntry(frame.seq, frame.payload)
            self.lost.append(range(frame.seq, frame.last + 1))


def read_journal(folder: Path, start_seq: int = 1) -> Iterator[JournalEntry]:
    """Yield the records of a journal, oldest first, up to the end as it is when it gets there.

    A last record that is not whole (yet) is the end.

    Args:
        folder: Of the journal.
        start_seq: First number wanted; reading begins with the oldest record kept if that is later.

    Raises:
        JournalCorruptError: Names file, offset and the numbers missing; everything before it has
            been yielded.
        JournalError: The files can't be read.
    """
    with JournalReader(folder, start_seq) as reader:
        while entries := reader.next_batch(_BATCH):
            yield from entries
