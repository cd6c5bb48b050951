"""What was appended is what is read; whatever was damaged is named."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.errors import JournalCorruptError, JournalError
from arbitrade.journal import FsyncPolicy, Journal, JournalReader, quarantine, read_journal

PAYLOADS = st.binary(max_size=200).map(lambda content: content.replace(b"\n", b" "))
SMALL = 200
"""Bytes of a segment that holds two or three records of the tests."""


@contextmanager
def temporary() -> Iterator[Path]:
    """Hypothesis runs many examples in one test, each in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "journal"


def write(folder: Path, payloads: Iterable[bytes], segment_bytes: int = SMALL) -> None:
    journal = Journal(folder, fsync=FsyncPolicy.NEVER, segment_bytes=segment_bytes)
    journal.open()
    for payload in payloads:
        journal.append(payload)
    journal.close()


def numbered(count: int) -> list[bytes]:
    return [b'{"n":%d,"text":"record"}' % number for number in range(1, count + 1)]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("journal-*.log"))


def content(folder: Path) -> list[tuple[int, bytes]]:
    return [(entry.seq, entry.payload) for entry in read_journal(folder)]


def readable(folder: Path) -> tuple[list[int], JournalCorruptError | None]:
    """Return what can be read before the first damage, and the damage."""
    seen: list[int] = []
    try:
        for entry in read_journal(folder):
            seen.append(entry.seq)
    except JournalCorruptError as error:
        return seen, error
    return seen, None


def ends_of(path: Path) -> list[int]:
    """Return where each line of a file ends."""
    whole = path.read_bytes()
    return [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]


def place(folder: Path, position: int) -> tuple[Path, int, int]:
    """Return file, offset and record of a byte of the whole journal."""
    seq = 1
    for path in files(folder):
        ends = ends_of(path)
        if position < ends[-1]:
            return path, position, seq + sum(end <= position for end in ends)
        position -= ends[-1]
        seq += len(ends)
    raise AssertionError(position)


# ── undamaged ────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60)
@given(
    sessions=st.lists(st.lists(PAYLOADS, max_size=8), min_size=1, max_size=4),
    segment_bytes=st.integers(1, 1500),
    policies=st.lists(st.sampled_from(FsyncPolicy), min_size=4, max_size=4),
)
def test_everything_appended_is_read_back_over_any_number_of_sessions(
    sessions: Sequence[Sequence[bytes]], segment_bytes: int, policies: Sequence[FsyncPolicy]
):
    written: list[tuple[int, bytes]] = []
    with temporary() as folder:
        for payloads, policy in zip(sessions, policies, strict=False):
            journal = Journal(folder, fsync=policy, segment_bytes=segment_bytes)
            recovery = journal.open()
            assert (recovery.records, recovery.next_seq) == (len(written), len(written) + 1)
            assert recovery.torn is None
            written += [(journal.append(payload), payload) for payload in payloads]
            journal.close()
            assert content(folder) == written
    assert [seq for seq, _ in written] == list(range(1, len(written) + 1))


@given(count=st.integers(0, 12), start=st.integers(1, 14))
@settings(max_examples=40)
def test_reading_begins_with_the_number_asked_for(count: int, start: int):
    with temporary() as folder:
        write(folder, numbered(count))
        found = [entry.seq for entry in read_journal(folder, start)]
    assert found == list(range(start, count + 1))


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert content(tmp_path / "none") == []


def test_a_journal_can_be_read_with_a_pager_and_grep(tmp_path):
    write(tmp_path, [b'{"type":"intent"}', b'{"type":"fill"}'], 1 << 20)

    assert files(tmp_path)[0].name == "journal-00000000000000000001.log"
    assert files(tmp_path)[0].read_text().splitlines() == [
        'R 00000000000000000001 00000011 7e2c7fb2 {"type":"intent"}',
        'R 00000000000000000002 0000000f 3f01f484 {"type":"fill"}',
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "journal-00000000000000000001.log").mkdir()

    with pytest.raises(JournalError, match="can't be read"):
        content(tmp_path)


# ── the tail ─────────────────────────────────────────────────────────────────────────────────────


def test_cutting_the_newest_file_at_any_byte_loses_only_what_was_behind_and_says_so(tmp_path):
    payloads = numbered(5)
    whole = tmp_path / "whole"
    write(whole, payloads)
    *before, last = files(whole)
    ends = ends_of(last)
    first = 6 - len(ends)
    for cut in range(ends[-1] + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        for path in before:
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / last.name).write_bytes(last.read_bytes()[:cut])
        kept = first - 1 + sum(end <= cut for end in ends)
        torn_at = max((end for end in ends if end <= cut), default=0)

        assert readable(folder) == (list(range(1, kept + 1)), None)
        journal = Journal(folder, fsync=FsyncPolicy.NEVER, segment_bytes=SMALL)
        recovery = journal.open()
        assert (recovery.records, recovery.next_seq) == (kept, kept + 1)
        if cut == torn_at:
            assert recovery.torn is None
        else:
            torn = recovery.torn
            assert (torn.offset, torn.length, torn.seq) == (torn_at, cut - torn_at, kept + 1)
            assert torn.kept.read_bytes() == last.read_bytes()[torn_at:cut]
        assert journal.append(b"{}") == kept + 1
        journal.close()
        assert content(folder) == [*enumerate(payloads[:kept], 1), (kept + 1, b"{}")]


@pytest.mark.parametrize("cut", [0, 1, 22, 23, 40, 41, 60])
def test_zeros_behind_a_torn_record_are_cut_off_with_it(tmp_path, cut):
    """Some file systems lengthen a file first and fill it later."""
    write(tmp_path, numbered(3), 1 << 20)
    (path,) = files(tmp_path)
    whole, (_, second, _) = path.read_bytes(), ends_of(path)
    path.write_bytes(whole[: second + cut] + bytes(500))

    assert readable(tmp_path) == ([1, 2], None)
    journal = Journal(tmp_path, fsync=FsyncPolicy.NEVER)
    torn = journal.open().torn
    journal.close()
    assert (torn.offset, torn.length) == (second, cut + 500)
    assert path.read_bytes() == whole[:second]


def test_a_file_cut_in_the_middle_of_the_journal_is_damage(tmp_path):
    write(tmp_path, numbered(8))
    path = files(tmp_path)[1]
    ends = ends_of(path)
    first = int(path.stem[-20:])
    for cut in range(ends[-1]):
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        kept = first + sum(end <= cut for end in ends)
        seen, error = readable(tmp_path)
        assert seen == list(range(1, kept))
        assert error.missing == range(kept, first + len(ends))
        assert (error.path, error.offset) == (path, max([0, *(e for e in ends if e <= cut)]))
        path.write_bytes(whole)


def test_a_file_that_is_gone_is_damage_and_its_records_are_named(tmp_path):
    write(tmp_path, numbered(9))
    first, gone, after, *_ = files(tmp_path)
    missing = range(int(gone.stem[-20:]), int(after.stem[-20:]))
    gone.unlink()

    _, error = readable(tmp_path)
    assert (error.path, error.missing) == (first, missing)
    (taken,) = quarantine(tmp_path)
    assert (taken.lost, taken.kept, taken.length) == (missing, None, 0)
    assert [seq for seq, _ in content(tmp_path)] == [n for n in range(1, 10) if n not in missing]


# ── the middle ───────────────────────────────────────────────────────────────────────────────────

REPLACEMENTS = st.one_of(
    st.sampled_from([b"\n", b"\0", b" ", b"0", b"f", b"F", b"R", b"L"]),
    st.binary(min_size=1, max_size=1),
)


def test_no_changed_byte_anywhere_is_passed_over(tmp_path):
    write(tmp_path, numbered(5))
    size = sum(path.stat().st_size for path in files(tmp_path))
    for position in range(size):
        path, offset, seq = place(tmp_path, position)
        whole = path.read_bytes()
        for mask in (0x01, 0x20, whole[offset] ^ 0x0A, whole[offset]):
            changed = bytearray(whole)
            changed[offset] ^= mask
            if changed == whole:
                continue
            path.write_bytes(changed)
            seen, error = readable(tmp_path)
            assert seen == list(range(1, seq))
            assert (error.path, error.missing) == (path, range(seq, seq + 1))
        path.write_bytes(whole)


@settings(max_examples=150)
@given(data=st.data(), count=st.integers(1, 9), segment_bytes=st.integers(1, 600))
def test_quarantine_names_what_a_changed_byte_cost_and_everything_else_is_still_read(
    data: st.DataObject, count: int, segment_bytes: int
):
    payloads = numbered(count)
    with temporary() as folder:
        write(folder, payloads, segment_bytes)
        size = sum(path.stat().st_size for path in files(folder))
        path, offset, seq = place(folder, data.draw(st.integers(0, size - 1)))
        whole = path.read_bytes()
        byte = data.draw(REPLACEMENTS.filter(lambda new: new != whole[offset : offset + 1]))
        path.write_bytes(whole[:offset] + byte + whole[offset + 1 :])
        journal = Journal(folder, fsync=FsyncPolicy.NEVER, segment_bytes=segment_bytes)
        with pytest.raises(JournalCorruptError):
            journal.open()

        (taken,) = quarantine(folder)
        assert taken.lost == range(seq, seq + 1)
        assert byte in taken.kept.read_bytes()
        expected = [one for one in enumerate(payloads, 1) if one[0] != seq]
        assert content(folder) == expected
        recovery = journal.open()
        assert (recovery.lost, recovery.next_seq) == ((taken.lost,), count + 1)
        assert journal.append(b"{}") == count + 1
        journal.close()
        assert content(folder) == [*expected, (count + 1, b"{}")]
        assert quarantine(folder) == []


@settings(max_examples=100)
@given(
    data=st.data(),
    stretch=st.binary(max_size=120),
    removed=st.integers(0, 150),
    count=st.integers(1, 9),
)
def test_no_record_is_ever_made_up_or_lost_without_being_named(
    data: st.DataObject, stretch: bytes, removed: int, count: int
):
    """Any stretch of any file is replaced by anything."""
    payloads = numbered(count)
    with temporary() as folder:
        write(folder, payloads)
        path = data.draw(st.sampled_from(files(folder)))
        whole = path.read_bytes()
        at = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:at] + stretch + whole[at + removed :])

        taken = quarantine(folder)
        journal = Journal(folder, fsync=FsyncPolicy.NEVER)
        recovery = journal.open()
        journal.close()
        found = dict(content(folder))
    assert all(found[seq] == payloads[seq - 1] for seq in found)
    lost = {seq for one in recovery.lost for seq in one}
    assert lost == {seq for one in taken for seq in one.lost}
    assert lost.isdisjoint(found)
    # The very end may be cut off at a line break; only a store elsewhere can know of that.
    assert set(found) | lost == set(range(1, recovery.next_seq))


def test_a_record_inside_a_damaged_one_is_not_taken_for_real(tmp_path):
    write(tmp_path, [b'{"text":"R 00000000000000000002 00000002 00000000 {} "}', b"{}", b"{}"])
    path = files(tmp_path)[0]
    whole = path.read_bytes()
    path.write_bytes(b"r" + whole[1:])

    seen, error = readable(tmp_path)
    assert (seen, error.missing) == ([], range(1, 2))
    quarantine(tmp_path)
    assert [seq for seq, _ in content(tmp_path)] == [2, 3]


def test_a_reader_is_told_what_was_quarantined(tmp_path):
    write(tmp_path, numbered(6))
    path, offset, _ = place(tmp_path, 100)
    whole = path.read_bytes()
    path.write_bytes(whole[:offset] + b"\xff" + whole[offset + 1 :])
    quarantine(tmp_path)

    with JournalReader(tmp_path) as reader:
        assert [entry.seq for entry in reader.next_batch(10)] == [1, 3, 4, 5, 6]
        assert reader.lost == [range(2, 3)]


def test_what_is_right_before_damage_is_handed_out_before_the_error(tmp_path):
    write(tmp_path, numbered(6))
    path, offset, seq = place(tmp_path, 250)
    whole = path.read_bytes()
    path.write_bytes(whole[:offset] + b"\xff" + whole[offset + 1 :])

    with JournalReader(tmp_path) as reader:
        assert [entry.seq for entry in reader.next_batch(10)] == list(range(1, seq))
        for _ in range(2):
            with pytest.raises(JournalCorruptError, match="arbitrade journal quarantine"):
                reader.next_batch(10)


def test_nothing_is_quarantined_under_a_writer(tmp_path):
    journal = Journal(tmp_path, fsync=FsyncPolicy.NEVER)
    journal.open()

    with pytest.raises(JournalError, match="in use by process"):
        quarantine(tmp_path)
    journal.close()


def test_a_damaged_journal_is_refused_untouched_until_somebody_says_so(tmp_path):
    write(tmp_path, numbered(3))
    path, offset, _ = place(tmp_path, 10)
    damaged = path.read_bytes()[:offset] + b"x" + path.read_bytes()[offset + 1 :]
    path.write_bytes(damaged)

    journal = Journal(tmp_path, fsync=FsyncPolicy.ALWAYS)
    for _ in range(2):
        with pytest.raises(JournalCorruptError, match="records 1 to 1 missing"):
            journal.open()
    assert path.read_bytes() == damaged
