"""Reads the public frames of a recording file, whatever it is wrapped and packed in."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from arbitrade.errors import UsageError

_ENVELOPE = b'"m":'


def public_frames(path: Path) -> Iterator[bytes]:
    """Yield the public frames of a recording (`.jsonl`, `.ndjson`, each also `.gz` or `.zst`).

    A torn last line is left out.

    Raises:
        UsageError: It can't be read, or a line in the middle is not JSON.
    """
    torn: UsageError | None = None
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if torn is not None:
                    raise torn
                if not line.strip():
                    continue
                try:
                    frame = _public_frame(line.strip())
                except ValueError as error:
                    torn = UsageError(f"{path}, line {number}: not JSON ({error})")
                    continue
                if frame is not None:
                    yield frame
    except (OSError, EOFError) as error:
        raise UsageError(f"{path}: can't be read ({error!r})") from error


def _public_frame(line: bytes) -> bytes | None:
    """Return the frame of a line; None if it is none of a public socket."""
    row = json.loads(line)
    if not isinstance(row, dict):
        return None
    if "channel" in row or "method" in row:
        return line
    if "m" not in row or row.get("src", "public") != "public" or row.get("dir", "rx") != "rx":
        return None
    # The frame's own bytes: a number that went through a float would lose its digits.
    frame = line[line.index(_ENVELOPE) + len(_ENVELOPE) :].rstrip()[:-1].strip()
    json.loads(frame)
    return frame


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as lines:
            yield lines
    elif path.suffix == ".zst":
        try:
            zstandard = import_module("zstandard")
        except ImportError:
            raise UsageError(f"{path}: needs the package zstandard; install it") from None
        with path.open("rb") as packed:
            reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
            try:
                yield io.BufferedReader(reader)
            except zstandard.ZstdError as error:
                raise UsageError(f"{path}: is damaged ({error})") from error
    else:
        with path.open("rb") as lines:
            yield lines
