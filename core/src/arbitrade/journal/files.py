"""The files of a journal: their names, how they are made, written and made to last."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs

_NAME = re.compile(r"journal-(\d{20})\.log")
_BINARY: int = getattr(os, "O_BINARY", 0)


@attrs.frozen
class Segment:
    """One file of the journal; its name says the number of the first record in it."""

    first_seq: int
    path: Path


def list_segments(folder: Path) -> list[Segment]:
    """Return the segments of a folder, oldest first; none if there is no such folder."""
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:
        return []
    found = [(match, path) for path in paths if (match := _NAME.fullmatch(path.name))]
    return sorted((Segment(int(match[1]), path) for match, path in found), key=_first_seq)


def make_folder(folder: Path) -> None:
    """Make the folder, for its owner only, if it isn't there."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def keep_aside(source: Path, offset: int, content: bytes, suffix: str) -> Path:
    """Write bytes found in a journal file to a new file beside it; return its path."""
    number = 0
    while True:
        again = f"-{number}" if number else ""
        path = source.with_name(f"{source.stem}.{offset}{again}.{suffix}")
        try:
            descriptor = _create(path)
            break
        except FileExistsError:
            number += 1
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)
    return path


def replace(path: Path, content: Sequence[bytes]) -> None:
    """Put new content in the place of a file: the old or the new one, never a piece."""
    fresh = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        fresh.unlink()  # Of a process that died in the middle.
    descriptor = _create(fresh)
    try:
        write_all(descriptor, b"".join(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    sync_folder(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Write everything, however often the system takes only a part."""
    written = os.write(descriptor, content)
    if written == len(content):
        return
    left = memoryview(content)[written:]
    while left:
        left = left[os.write(descriptor, left) :]


def sync(descriptor: int) -> None:
    """Return when what was written to a file is on the disk."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder last through a power cut, where the system lets us."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SegmentFiles:
    """The segments a writer holds: appends to the newest, begins the next, deletes the oldest.

    Not thread-safe: one thread writes.  `OSError` comes out as it is.

    Args:
        folder: Where the segments are.
        segment_bytes: A record that would make a segment longer begins the next one.
        syncs: Whether a segment is on the disk before the next one begins.
    """

    def __init__(self, folder: Path, *, segment_bytes: int, syncs: bool) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._syncs = syncs
        self._descriptor = -1
        self._size = 0
        self.segments: list[Segment] = []

    def resume(self, segments: Sequence[Segment], next_seq: int) -> None:
        """Go on behind the last segment, which ends with a whole record, or begin the first."""
        self.segments = list(segments)
        if not self.segments:
            self._begin(next_seq)
            return
        path = self.segments[-1].path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | _BINARY)
        self._size = os.fstat(self._descriptor).st_size
        if self._syncs:
            _write_again(path)

    def write(self, frames: Sequence[bytes], first_seq: int) -> None:
        """Append frames with consecutive numbers."""
        joined = frames[0] if len(frames) == 1 else b"".join(frames)
        if self._size + len(joined) <= self._segment_bytes:
            self._put(joined)
            return
        begin, size = 0, self._size
        for at, frame in enumerate(frames):
            if size and size + len(frame) > self._segment_bytes:
                self._put(b"".join(frames[begin:at]))
                self._rotate(first_seq + at)
                begin, size = at, 0
            size += len(frame)
        self._put(b"".join(frames[begin:]))

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        sync(self._descriptor)

    def release(self, seq: int, keep: int) -> None:
        """Delete the oldest segments as long as they hold no number above `seq`.

        On Windows a segment that somebody reads stays until the next call.
        """
        while len(self.segments) > max(1, keep) and self.segments[1].first_seq <= seq + 1:
            try:
                self.segments[0].path.unlink(missing_ok=True)
            except OSError:
                return
            del self.segments[0]

    def close(self) -> None:
        """Close the file that is written to.  Idempotent; syncs nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _put(self, content: bytes) -> None:
        if content:
            write_all(self._descriptor, content)
            self._size += len(content)

    def _rotate(self, seq: int) -> None:
        if self._syncs:
            self.sync()
        self.close()
        self._begin(seq)

    def _begin(self, seq: int) -> None:
        path = self._folder / f"journal-{seq:020d}.log"
        self._descriptor = _create(path)
        self._size = 0
        self.segments.append(Segment(seq, path))
        if self._syncs:
            sync_folder(self._folder)


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | _BINARY, 0o600)


def _write_again(path: Path) -> None:
    """Have a file on the disk as it was read.

    After a failed fsync the system may hold pages that it takes for written although they are not,
    and a new fsync would say nothing.  The same bytes written once more are on the disk after it.
    """
    descriptor = os.open(path, os.O_RDWR | _BINARY)
    try:
        at = 0
        while chunk := _read_at(descriptor, at):
            os.lseek(descriptor, at, os.SEEK_SET)
            write_all(descriptor, chunk)
            at += len(chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def _read_at(descriptor: int, at: int) -> bytes:
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, 1 << 20)


def _first_seq(segment: Segment) -> int:
    return segment.first_seq
