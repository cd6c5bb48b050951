"""Captures of other recorders into recordings of ours.

Understood: lines of `{"rx_ns": <monotonic ns>, "frame": {…}}`, our own requests marked
`"dir": "tx"`, after a header line with `captured_at`; and lines that are frames already.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from arbitrade.errors import MessageError

_FRAME = b'"frame":'


def convert(lines: Iterable[bytes], instruments: bytes | None = None) -> Iterator[bytes]:
    """Yield the lines of a recording, the instruments first.

    The frames' bytes stay as they are: a number that went through a float would lose its digits.

    Args:
        lines: The capture.
        instruments: An `instrument` snapshot frame for captures that have none.

    Raises:
        MessageError: A line is neither a frame nor `{rx_ns, frame}`; tells its number.
    """
    if instruments is not None:
        yield _one_line(instruments) + b"\n"
    begun_ns, first_ns = 0, None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_float=Decimal)
        except ValueError as error:
            raise MessageError(f"line {number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise MessageError(f"line {number} is not a JSON object")
        if "captured_at" in row:
            begun_ns = _nanoseconds(row["captured_at"], number)
        elif "channel" in row or "method" in row:
            yield line.strip() + b"\n"
        elif "frame" in row and isinstance(row.get("rx_ns"), int):
            # The capture's clock counts from anywhere: its first frame came when the header says.
            first_ns = row["rx_ns"] if first_ns is None else first_ns
            time_ns = begun_ns + row["rx_ns"] - first_ns
            direction = b"tx" if row.get("dir") == "tx" else b"rx"
            yield b'{"t":%d,"src":"public","conn":0,"dir":"%s","m":%s}\n' % (
                time_ns,
                direction,
                _frame(line, number),
            )
        else:
            raise MessageError(f"line {number} is neither a frame nor {{rx_ns, frame}}")


def _nanoseconds(captured_at: object, number: int) -> int:
    """Return a time of day in nanoseconds since the epoch; UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(str(captured_at))
    except ValueError as error:
        raise MessageError(
            f"line {number}: captured_at {captured_at!r} is no time such as 2026-08-18T09:00:00Z"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e9)


def _frame(line: bytes, number: int) -> bytes:
    """Return the text of the value of `frame`, the last key of the line."""
    frame = line.rstrip()[:-1].partition(_FRAME)[2].strip()
    try:
        json.loads(frame)
    except ValueError as error:
        raise MessageError(f"line {number}: `frame` is not its last key") from error
    return frame


def _one_line(frame: bytes) -> bytes:
    return b" ".join(frame.split())
