"""Writing recordings: parts that survive a crash with at most their last line torn."""

import gzip
import os
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

import zstandard

from arbitrade.clock import SystemClock
from arbitrade.errors import RecordingError
from arbitrade.protocols import Clock

SUFFIXES = {"none": ".jsonl", "gzip": ".jsonl.gz", "zstd": ".jsonl.zst"}
FLUSH_S = 0.5
"""A compressed part is flushed this often, so that a crash costs less than a second."""


class _Sink(Protocol):
    def write(self, content: bytes) -> int | None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class RecordingWriter:
    """Writes envelopes to one part after another.

    A plain part gets each line by one write to the operating system: a killed process loses nothing
    but the line it was writing.  A compressed one is flushed every half second.  A part never
    overwrites a file.

    Args:
        folder: Where parts go; made if it isn't there.
        prefix: Begin of the file names, e.g. the venue.
        compression: `none`, `gzip` or `zstd`.
        rotate_bytes: A part this long is closed; uncompressed bytes.
        rotate_s: A part this old is closed.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        compression: str = "none",
        *,
        rotate_bytes: int = 256 << 20,
        rotate_s: float = 3600.0,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._prefix = prefix
        self._compression = compression
        self._rotate_bytes = rotate_bytes
        self._rotate_s = rotate_s
        self._clock = clock if clock is not None else SystemClock()
        # Wall-clock steps must not put lines out of order: one reading, then the monotonic clock.
        self._offset_ns = self._clock.now_ns() - self._clock.monotonic_ns()
        self._sink: _Sink | None = None
        self._opened_ns = 0
        self._flushed_ns = 0
        self.path: Path | None = None
        self.parts = 0
        self.lines = 0
        self.part_bytes = 0
        self.total_bytes = 0

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch that never go back within this recording."""
        return self._offset_ns + self._clock.monotonic_ns()

    @property
    def is_due(self) -> bool:
        """True when the next line belongs to a new part."""
        if self._sink is None:
            return True
        return (
            self.part_bytes >= self._rotate_bytes
            or self._clock.monotonic_ns() - self._opened_ns >= self._rotate_s * 1e9
        )

    def prepare(self) -> None:
        """Make the folder; find out now, not with the first frame, whether it can be written to.

        Raises:
            RecordingError: It can't.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(self._folder, error.strerror) from error
        if not os.access(self._folder, os.W_OK):
            raise self._refused(self._folder, "permission denied")

    def open_part(self) -> Path:
        """Close the current part and begin the next; return its path.

        Raises:
            RecordingError: The folder can't be written to.
        """
        self.close()
        self.parts += 1
        begun = datetime.fromtimestamp(self.now_ns() / 1e9, UTC)
        name = f"{self._prefix}-{begun:%Y%m%dT%H%M%S}Z-{self.parts:04d}"
        path = self._folder / f"{name}{SUFFIXES[self._compression]}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sink = _open(path, self._compression)
        except OSError as error:
            raise self._refused(path, error.strerror) from error
        self.path = path
        self.part_bytes = 0
        self._opened_ns = self._flushed_ns = self._clock.monotonic_ns()
        return path

    def write(
        self,
        frame: bytes,
        *,
        source: str = "public",
        connection: int = 0,
        received: bool = True,
        time_ns: int | None = None,
    ) -> None:
        """Write one frame, its bytes as they are.

        Args:
            frame: What was sent or received.
            source: `public`, `private`, `rest` or `control`.
            connection: Its number.
            received: False for what we sent.
            time_ns: When it was handled; None for now.

        Raises:
            RecordingError: The disk is full or gone.  The part ends with its last whole line.
        """
        sink = self._sink
        if sink is None:
            self.open_part()
            sink = cast("_Sink", self._sink)
        if b"\n" in frame:
            # Inside JSON a line break can only be white space.
            frame = frame.replace(b"\r", b" ").replace(b"\n", b" ")
        line = b'{"t":%d,"src":"%s","conn":%d,"dir":"%s","m":%s}\n' % (
            self.now_ns() if time_ns is None else time_ns,
            source.encode(),
            connection,
            b"rx" if received else b"tx",
            frame,
        )
        try:
            sink.write(line)
        except OSError as error:
            raise self._broken(error) from error
        self.lines += 1
        self.part_bytes += len(line)
        self.total_bytes += len(line)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Hand compressed lines to the operating system when half a second has passed."""
        now_ns = self._clock.monotonic_ns()
        if self._sink is None or now_ns - self._flushed_ns < FLUSH_S * 1e9:
            return
        self._flushed_ns = now_ns
        try:
            self._sink.flush()
        except OSError as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """End the current part.  Idempotent."""
        sink, self._sink = self._sink, None
        if sink is None:
            return
        try:
            sink.close()
        except OSError as error:
            raise self._broken(error) from error

    def _refused(self, path: Path, reason: str | None) -> RecordingError:
        return RecordingError(str(path), None, f"can't be made ({reason}); choose another folder")

    def _broken(self, error: OSError) -> RecordingError:
        return RecordingError(
            str(self.path),
            None,
            f"can't be written ({error.strerror}); recording has stopped, "
            f"{self.lines} lines are safe: make room and start it again",
        )


def _open(path: Path, compression: str) -> _Sink:
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644
    )
    plain = _PlainSink(descriptor)
    if compression == "gzip":
        return _GzipSink(plain)
    if compression == "zstd":
        return _ZstdSink(plain)
    return plain


class _PlainSink:
    """Unbuffered: a line is with the operating system when `write` returns."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._whole = 0

    def write(self, content: bytes) -> int:
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            # Take back the part of the line that went through: the file ends with a whole one.
            os.ftruncate(self._descriptor, self._whole)
            raise
        self._whole += len(content)
        return len(content)

    def flush(self) -> None:
        """Do nothing: this file holds nothing back."""

    def close(self) -> None:
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)


class _GzipSink:
    def __init__(self, plain: _PlainSink) -> None:
        self._plain = plain
        self._gzip = gzip.GzipFile(fileobj=plain, mode="wb", compresslevel=6)

    def write(self, content: bytes) -> None:
        self._gzip.write(content)

    def flush(self) -> None:
        self._gzip.flush(zlib.Z_SYNC_FLUSH)

    def close(self) -> None:
        try:
            self._gzip.close()
        finally:
            self._plain.close()


class _ZstdSink:
    def __init__(self, plain: _PlainSink) -> None:
        self._plain = plain
        self._compressor = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()

    def write(self, content: bytes) -> None:
        self._put(self._compressor.compress(content))

    def flush(self) -> None:
        self._put(self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))

    def close(self) -> None:
        try:
            self._put(self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
        finally:
            self._plain.close()

    def _put(self, compressed: bytes) -> None:
        if compressed:
            self._plain.write(compressed)
