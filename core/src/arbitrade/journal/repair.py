"""Going on after damage: keep the damaged bytes, say what is lost, make the rest readable."""

from collections.abc import Sequence
from pathlib import Path

import attrs

from arbitrade.errors import JournalError
from arbitrade.journal.files import Segment, keep_aside, list_segments, replace
from arbitrade.journal.frame import encode_lost
from arbitrade.journal.lock import FolderLock
from arbitrade.journal.walk import SegmentWalk, Stretch, measure


@attrs.frozen
class Quarantined:
    """One damaged stretch that was taken out.

    Args:
        path: The segment it was in.
        offset: Where, in the file as it was.
        length: Bytes taken out.
        lost: Numbers of the records that can't be read.  At the very end of the journal, where
            nothing right follows, they are counted by the lines that are left.
        kept: Copy of the bytes; None if there were none.
        reason: What was wrong.
    """

    path: Path
    offset: int
    length: int
    lost: range
    kept: Path | None
    reason: str


def quarantine(folder: Path) -> Sequence[Quarantined]:
    """Take all damage out of a journal nobody writes to; return what that was, oldest first.

    Damaged bytes are kept in a file beside their segment.  A line in their place says which numbers
    are lost, so that reading goes on behind it and `Journal.open` names them in `lost`.  A torn
    tail stays: opening cuts it off.  Does nothing if there is no damage.

    Raises:
        JournalError: Somebody writes to this journal, or the disk refuses.
    """
    try:
        guard = FolderLock(folder)
        try:
            return _repair_all(list_segments(folder))
        finally:
            guard.release()
    except OSError as error:
        raise JournalError(
            f"{folder}: damage can't be quarantined ({error.strerror or error}); make room or "
            "repair the disk, then try again.  Nothing was lost by trying"
        ) from error


def _repair_all(segments: Sequence[Segment]) -> Sequence[Quarantined]:
    found: list[Quarantined] = []
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        found += _repair(segment, following)
    return found


def _repair(segment: Segment, following: Segment | None) -> Sequence[Quarantined]:
    walk = SegmentWalk(segment, segment.first_seq)
    original = segment.path.read_bytes()
    found: list[Quarantined] = []
    pieces: list[bytes] = []
    begin = 0
    try:
        while (stretch := _next_damage(walk, following)) is not None:
            found.append(_take_out(walk, stretch))
            pieces.append(original[begin : walk.offset])
            if stretch.missing:
                pieces.append(encode_lost(stretch.missing[0], stretch.missing[-1]))
            begin = walk.offset + len(stretch.content)
            walk.skip(len(stretch.content), max(walk.next_seq, stretch.missing.stop))
    finally:
        walk.close()
    if found:
        replace(segment.path, [*pieces, original[begin:]])
    return found


def _next_damage(walk: SegmentWalk, following: Segment | None) -> Stretch | None:
    while walk.read() is not None:
        pass
    is_short = following is not None and (
        walk.next_seq != following.first_seq or len(walk.rest()) > 0
    )
    return measure(walk, following) if walk.is_damaged or is_short else None


def _take_out(walk: SegmentWalk, stretch: Stretch) -> Quarantined:
    path, offset, length = walk.segment.path, walk.offset, len(stretch.content)
    kept = keep_aside(path, offset, stretch.content, "damaged") if length else None
    return Quarantined(path, offset, length, stretch.missing, kept, stretch.reason)
