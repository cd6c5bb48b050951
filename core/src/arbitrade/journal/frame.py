"""How a record lies in a journal file: one line of text, checked to the last byte.

    R 00000000000000000007 0000001c 4b12ecf7 {"type":"intent","cycle":42}
    │ │                    │        │        └ payload: any bytes but a line break
    │ │                    │        └ CRC-32 (as in zlib) of the line before it, then of the payload
    │ │                    └ length of the payload in bytes, hexadecimal
    │ └ sequence number, consecutive
    └ R: a record.  L: records from this number to the one in the payload were lost, and somebody
      was told (see `arbitrade.journal.repair`)

Why lines: a person can `less` and `grep` them, and a reader that lost its way finds the next one.
Why the length as well: a damaged line break must not cost the record after it.  Every byte counts:
the CRC covers kind, number, length and payload, the CRC itself has one spelling only, and the line
break is checked for.
"""

import re
import zlib
from typing import NamedTuple

MAX_PAYLOAD_BYTES = 16 << 20

_HEAD = re.compile(rb"([RL]) (\d{20}) ([0-9a-f]{8}) ([0-9a-f]{8}) ")
_HEAD_BYTES = 41
_COVERED_BYTES = 32
"""The part of the head that the CRC covers: all before it."""
_LOST_BYTES = 20
_RECORD = b"R"


class Frame(NamedTuple):
    """What one line says.

    Args:
        seq: Number of the record, or of the first one lost.
        last: The same number, or that of the last one lost.
        payload: None where records were lost.
        end: Where in the buffer the next line begins.
    """

    seq: int
    last: int
    payload: bytes | None
    end: int


def encode(seq: int, payload: bytes) -> bytes:
    """Return the line of a record.  Half a microsecond; checks nothing."""
    head = b"R %020d %08x " % (seq, len(payload))
    return b"%b%08x %b\n" % (head, zlib.crc32(payload, zlib.crc32(head)), payload)


def encode_lost(first: int, last: int) -> bytes:
    """Return the line that stands for records that were lost."""
    head = b"L %020d %08x " % (first, _LOST_BYTES)
    payload = b"%020d" % last
    return b"%b%08x %b\n" % (head, zlib.crc32(payload, zlib.crc32(head)), payload)


def frame_length(frame: Frame) -> int:
    """Return the length of a line, its line break included."""
    return _HEAD_BYTES + (_LOST_BYTES if frame.payload is None else len(frame.payload)) + 1


def frame_at(buffer: bytes, at: int) -> Frame | None:
    """Return the frame that begins at an offset; None if there is no whole and right one."""
    head = _HEAD.match(buffer, at)
    if head is None:
        return None
    begin = at + _HEAD_BYTES
    end = begin + int(head[3], 16)
    if buffer[end : end + 1] != b"\n":
        return None
    payload = buffer[begin:end]
    if zlib.crc32(payload, zlib.crc32(buffer[at : at + _COVERED_BYTES])) != int(head[4], 16):
        return None
    seq = int(head[2])
    if head[1] == _RECORD:
        return Frame(seq, seq, payload, end + 1)
    return Frame(seq, int(payload), None, end + 1)


def find_frame(buffer: bytes, at: int, least_seq: int) -> tuple[int, Frame] | None:
    """Return the first right frame at or behind an offset, and where it begins.

    Args:
        buffer: Everything up to the end of the file.
        at: Where to begin to look.
        least_seq: Frames with lower numbers are passed over: old blocks that came back.
    """
    while (head := _HEAD.search(buffer, at)) is not None:
        frame = frame_at(buffer, head.start())
        if frame is not None and frame.seq >= least_seq:
            return head.start(), frame
        at = head.start() + 1 if frame is None else frame.end
    return None


def is_torn(rest: bytes, seq: int) -> bool:
    """True if the end of a file is the begin of record `seq`, cut off while it was written.

    Zeros may follow: some file systems lengthen a file before they fill it.
    """
    written = rest.rstrip(b"\0")
    if b"\n" in written:
        return False
    model = b"R %020d 00000000 00000000 " % seq
    head = _HEAD.match(written + model[len(written) :])
    if head is None or int(head[2]) != seq:
        return False
    if len(written) < _HEAD_BYTES:
        return True
    end = _HEAD_BYTES + int(head[3], 16)
    # Whole but for a wrong line break: that is damage.
    return len(rest) <= end or len(written) < end


def count_damaged(stretch: bytes) -> int:
    """Return how many records a damaged stretch held, at least one; nothing right follows it."""
    count = at = 0
    while at < len(stretch):
        end = _end_of_line(stretch, at)
        # Shorter than any record: the piece of a head that a false line break cut off.
        count += end - at > _HEAD_BYTES
        at = end
    return max(1, count)


def _end_of_line(stretch: bytes, at: int) -> int:
    head = _HEAD.match(stretch, at)
    if head is not None:
        end = at + _HEAD_BYTES + int(head[3], 16)
        if stretch[end : end + 1] == b"\n":
            return end + 1
    end = stretch.find(b"\n", at)
    return len(stretch) if end < 0 else end + 1
