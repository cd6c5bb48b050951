"""Going through a journal frame by frame, over all its segments, also while it grows."""

from pathlib import Path

import attrs

from arbitrade.errors import JournalCorruptError
from arbitrade.journal.files import Segment, list_segments
from arbitrade.journal.frame import (
    Frame,
    count_damaged,
    find_frame,
    frame_at,
    is_torn,
)

_CHUNK_BYTES = 1 << 20


class SegmentWalk:
    """The frames of one segment.

    Args:
        segment: What to read.
        next_seq: The number the next frame must have.
    """

    def __init__(self, segment: Segment, next_seq: int) -> None:
        self.segment = segment
        self.next_seq = next_seq
        self.is_damaged = False
        self._file = segment.path.open("rb", buffering=0)
        self._buffer = b""
        self._at = 0
        self._base = 0

    @property
    def offset(self) -> int:
        """Where in the file the next frame begins."""
        return self._base + self._at

    def read(self) -> Frame | None:
        """Return the next frame; None where the file ends for now, or is damaged."""
        frame = self._parse()
        if frame is not None:
            return frame
        # What wasn't whole is read once more: a writer that was opened again has cut it off, and
        # written something else in its place.
        self._load()
        while (frame := self._parse()) is None:
            if not self._extend():
                # Judged by what has been looked at, not by what a writer adds in this moment.
                rest = self._buffer[self._at :]
                self.is_damaged = bool(rest) and not is_torn(rest, self.next_seq)
                return None
        return frame

    def rest(self) -> bytes:
        """Return everything from the next frame to the end of the file."""
        while self._extend():
            pass
        return self._buffer[self._at :]

    def skip(self, length: int, next_seq: int) -> None:
        """Go on behind a damaged stretch."""
        self._at += length
        self.next_seq = next_seq
        self.is_damaged = False

    def close(self) -> None:
        """Close the file.  Idempotent."""
        self._file.close()

    def _parse(self) -> Frame | None:
        frame = frame_at(self._buffer, self._at)
        if frame is None or frame.seq != self.next_seq:
            return None
        self._at = frame.end
        self.next_seq = frame.last + 1
        return frame

    def _load(self) -> None:
        self._base, self._at = self.offset, 0
        self._file.seek(self._base)
        self._buffer = self._file.read(_CHUNK_BYTES)

    def _extend(self) -> bool:
        chunk = self._file.read(_CHUNK_BYTES)
        self._buffer += chunk
        return len(chunk) > 0


class JournalWalk:
    """The frames of a whole journal, from a number on, or from the oldest that is kept.

    Args:
        folder: Of the journal.
        start_seq: Frames whose records all have lower numbers are passed over.
    """

    def __init__(self, folder: Path, start_seq: int = 1) -> None:
        self._folder = folder
        self._start_seq = start_seq
        self.current: SegmentWalk | None = None

    @property
    def next_seq(self) -> int:
        """The number of the next record."""
        if self.current is None:
            return self._start_seq
        return max(self.current.next_seq, self._start_seq)

    def begin(self) -> SegmentWalk | None:
        """Open the segment that holds the first frame wanted; None as long as there is none."""
        if self.current is None and (segments := list_segments(self._folder)):
            holding = [one for one in segments if one.first_seq <= self._start_seq]
            first = holding[-1] if holding else segments[0]
            self.current = SegmentWalk(first, first.first_seq)
        return self.current

    def read(self) -> Frame | None:
        """Return the next frame, None at the end of what is there; more may come.

        Raises:
            JournalCorruptError: What follows is not what was written.  The walk stays where it is.
            OSError: A file can't be read.
        """
        while True:
            frame = self._read()
            if frame is None or frame.last >= self._start_seq:
                return frame

    def close(self) -> None:
        """Close the file that is being read.  Idempotent."""
        if self.current is not None:
            self.current.close()

    def _read(self) -> Frame | None:
        current = self.begin()
        while current is not None:
            frame = current.read()
            if frame is not None:
                return frame
            following = self._following(current)
            if current.is_damaged:
                raise measure(current, following).error(current)
            if following is None:
                return None
            # A writer ends one segment before it begins the next: look once more, then move on.
            frame = current.read()
            if frame is not None:
                return frame
            current = self._move(current, following)
        return None

    def _following(self, current: SegmentWalk) -> Segment | None:
        behind = current.segment.first_seq
        return next((one for one in list_segments(self._folder) if one.first_seq > behind), None)

    def _move(self, current: SegmentWalk, following: Segment) -> SegmentWalk:
        ends_early = current.next_seq != following.first_seq or current.rest()
        # Without its file it has been released, and perhaps some behind it.
        if ends_early and current.segment.path.exists():
            raise measure(current, following).error(current)
        self.current = SegmentWalk(following, following.first_seq)
        current.close()
        return self.current


@attrs.frozen
class Stretch:
    """A damaged part of a segment.

    Args:
        content: Its bytes; empty if whole records are gone and nothing is in their place.
        missing: The numbers that can't be read.
        reason: What is wrong, in words.
    """

    content: bytes
    missing: range
    reason: str

    def error(self, walk: SegmentWalk) -> JournalCorruptError:
        """Return what is raised for it."""
        return JournalCorruptError(walk.segment.path, walk.offset, self.missing, self.reason)


def measure(walk: SegmentWalk, following: Segment | None) -> Stretch:
    """Return the damage that begins where a walk stands.

    Args:
        walk: Of the damaged segment.
        following: The next segment; None if this one is the last.
    """
    rest, seq = walk.rest(), walk.next_seq
    found = find_frame(rest, 0, seq)
    if found is not None:
        begin, frame = found
        reason = "bytes that are no record" if begin else f"record {frame.seq} follows {seq - 1}"
        return Stretch(rest[:begin], range(seq, frame.seq), reason)
    if following is not None:
        reason = "bytes that are no record" if rest else "the file ends too early"
        return Stretch(rest, range(seq, following.first_seq), reason)
    return Stretch(rest, range(seq, seq + count_damaged(rest)), "bytes that are no record")
