"""Reading recordings: line by line, in constant memory, numbers untouched."""

import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # missing in typeshed
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, NamedTuple, Self, cast

import orjson
import zstandard

from arbitrade.errors import MessageError, RecordingError

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_RAW_STARTS = (b'{"channel"', b'{"method"')
_OUR_START = b'{"t":'
_FRAME_KEY = b'"m":'
_FRAME_KEY_NAME = b'"m"'
_BLOCK = 1 << 17
_END_NS = 1 << 63
"""No time is later, in 2262: what a signed word of 64 bits holds."""
SOURCES = ("public", "private", "rest", "control")


class Envelope(NamedTuple):
    """What stands around a recorded frame."""

    time_ns: int
    source: str
    connection: int
    is_received: bool


class Line(NamedTuple):
    """One line of a recording.  `envelope` is None for a raw frame."""

    number: int
    frame: bytes
    envelope: Envelope | None


class RecordingReader:
    """Reads a recording line by line in constant memory.

    A torn last line (no newline, a compressed stream cut off) is no error: `torn` tells its number
    and it isn't yielded, unless it is complete but for the newline.

    Args:
        path: File, or `-` for standard input.
    """

    def __init__(self, path: str) -> None:
        self.path = "standard input" if path == "-" else path
        self.torn: int | None = None
        self.size: int | None = None
        self.newest_ns = 0
        """Time of the newest envelope so far; no later line may be older."""
        self.is_cut = False
        self._broken: Exception | None = None
        self._at_unfinished_end = False
        self._raw: BinaryIO
        if path == "-":
            self._raw = sys.stdin.buffer
        else:
            try:
                self._raw = Path(path).open("rb")  # noqa: SIM115 - closed by __exit__
                self.size = Path(path).stat().st_size
            except OSError as error:
                raise RecordingError(
                    path, None, f"can't be read ({error.strerror}); is the path right?"
                ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._raw is not sys.stdin.buffer:
            self._raw.close()

    @property
    def bytes_read(self) -> int:
        """Bytes of the file read so far, compressed if it is compressed; 0 for standard input."""
        return self._raw.tell() if self.size is not None else 0

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines in order, empty ones left out.

        Raises:
            RecordingError: A line in the middle is broken, or the stream is.
        """
        for number, text in self._numbered():
            line = self.parse(number, text)
            if line is not None:
                yield line

    def parse(self, number: int, text: bytes) -> Line | None:
        """Return a line's frame and envelope; None when it is empty, or torn and the last.

        Raises:
            RecordingError: It is no line of a recording.
        """
        if text.startswith(_RAW_STARTS):
            return Line(number, text, None)
        if text.isspace():
            return None
        if not _may_be_envelope(text):
            return Line(number, text, None)
        try:
            frame, envelope = _split(text)
        except MessageError as error:
            if not text.endswith(b"\n"):
                self.torn = number
                return None
            raise RecordingError(self.path, number, str(error)) from error
        if envelope is not None:
            if envelope.time_ns < self.newest_ns:
                raise RecordingError(
                    self.path,
                    number,
                    f"t {envelope.time_ns} is before a line above ({self.newest_ns}); "
                    "the lines are not in the order they were processed",
                )
            self.newest_ns = envelope.time_ns
        return Line(number, frame, envelope)

    def chunks(self) -> Iterator[bytes]:
        """Yield the lines many at a time; only the last chunk may end without a line break.

        Raises:
            RecordingError: The stream is broken; the chunks before it have all lines before it.
        """
        stream, begun = self._open(), b""
        while True:
            try:
                block = stream.read1(_BLOCK)  # type: ignore[attr-defined]  # all of ours have it
            except EOFError:
                self.is_cut = True
                block = b""
            except (OSError, zstandard.ZstdError, zlib.error) as error:
                self._broken = error
                block = b""
            if not block:
                break
            end = block.rfind(b"\n") + 1
            if not end:
                begun += block
                continue
            yield begun + block[:end]
            begun = block[end:]
        if begun and self._broken is None:
            self._at_unfinished_end = True
            yield begun

    def finish(self, lines: int) -> None:
        """Tell how the stream ended, after the last chunk; `lines` were in them.

        Raises:
            RecordingError: It is damaged.
        """
        if self._broken is not None:
            raise RecordingError(
                self.path, lines + 1, f"can't be read further ({self._broken}); it is damaged"
            ) from self._broken
        if self.is_cut and self.torn is None:
            self.torn = lines + 1

    def is_torn(self, line: Line) -> bool:
        """Take note that a line can't be decoded; tell whether that is a torn last line."""
        if not self._at_unfinished_end:
            return False
        self.torn = line.number
        return True

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        for chunk in self.chunks():
            for text in io.BytesIO(chunk):
                number += 1
                yield number, text
        self.finish(number)

    def _open(self) -> IO[bytes]:
        """Return the decompressed stream; the content tells how it is compressed, not the name."""
        buffered = self._raw
        start = buffered.peek(4)[:4] if hasattr(buffered, "peek") else b""
        if start.startswith(_GZIP_MAGIC):
            return cast("IO[bytes]", gzip.open(buffered, "rb"))
        if start == _ZSTD_MAGIC:
            decompressor = zstandard.ZstdDecompressor()
            return _buffered(decompressor.stream_reader(buffered, read_across_frames=True))
        return buffered


def _buffered(raw: object) -> IO[bytes]:
    return io.BufferedReader(cast("io.RawIOBase", raw), buffer_size=1 << 18)


def _may_be_envelope(line: bytes) -> bool:
    return _FRAME_KEY_NAME in line or line.startswith(_OUR_START)


def _split(line: bytes) -> tuple[bytes, Envelope | None]:
    """Return the frame in a line and its envelope.

    Raises:
        MessageError: The line is not a JSON object, or not an envelope of a known form.
    """
    if line.startswith(_OUR_START):
        # Our own writer puts the frame last: cut it out without decoding it.
        at = line.find(_FRAME_KEY)
        end = len(line.rstrip()) - 1
        if at > 0 and line[end - 1 : end + 1] == b"}}":
            head = line[:at].rstrip(b", ") + b"}"
            try:
                return line[at + len(_FRAME_KEY) : end], _envelope(orjson.loads(head))
            except orjson.JSONDecodeError:
                pass
    spans = _top_level(line)
    if "m" not in spans:
        return line, None
    fields = {
        key: orjson.loads(text) for key, text in spans.items() if key in ("t", "src", "conn", "dir")
    }
    return spans["m"].encode(), _envelope(fields)


def _envelope(fields: dict[str, object]) -> Envelope:
    time_ns, source = fields.get("t"), fields.get("src", "public")
    connection, direction = fields.get("conn", 0), fields.get("dir", "rx")
    if not isinstance(time_ns, int) or isinstance(time_ns, bool) or not 0 <= time_ns < _END_NS:
        raise MessageError(f"envelope with t {time_ns!r}, not nanoseconds since the epoch")
    if source not in SOURCES or not isinstance(source, str):
        raise MessageError(f"envelope with src {source!r}, not one of {', '.join(SOURCES)}")
    if direction not in ("rx", "tx"):
        raise MessageError(f"envelope with dir {direction!r}, not rx or tx")
    if not isinstance(connection, int):
        raise MessageError(f"envelope with conn {connection!r}, not a number")
    return Envelope(time_ns, source, connection, direction == "rx")


def _top_level(line: bytes) -> dict[str, str]:
    """Return the text of each value of a JSON object by key, digits of numbers as they are."""
    try:
        text = line.decode().strip()
        if not text.startswith("{"):
            raise MessageError(f"not a JSON object: {text[:60]!r}")
        spans: dict[str, str] = {}
        decoder = json.JSONDecoder()
        at = _skip(text, 1)
        while text[at] != "}":
            if text[at] != '"':
                raise MessageError(f"not JSON at character {at + 1}: {text[:60]!r}")
            key, at = scanstring(text, at + 1)
            at = _skip(text, at)
            if text[at] != ":":
                raise MessageError(f"not JSON at character {at + 1}: {text[:60]!r}")
            start = _skip(text, at + 1)
            # Decoded only to see where it ends: the value itself would have lost digits.
            _, end = decoder.raw_decode(text, start)
            spans[key] = text[start:end]
            at = _skip(text, end)
            if text[at] == ",":
                at = _skip(text, at + 1)
            elif text[at] != "}":
                raise MessageError(f"not JSON at character {at + 1}: {text[:60]!r}")
        if text[at + 1 :]:
            raise MessageError(f"more than one JSON object: {text[:60]!r}")
    except (ValueError, IndexError) as error:
        raise MessageError(f"not JSON ({error}): {line[:60]!r}") from error
    return spans


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
