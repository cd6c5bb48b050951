"""F37: a disk that refuses ends the journal, everybody is told, nothing is corrupt afterwards."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arbitrade.errors import JournalFailedError
from arbitrade.journal import FsyncPolicy, Journal, JournalReader, read_journal

POLICIES = pytest.mark.parametrize("policy", FsyncPolicy, ids=lambda policy: policy.value)
DESCRIPTORS = Path("/proc/self/fd")
needs_proc = pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="finds open files in /proc")


@contextmanager
def in_place_of(path: Path, descriptor: int) -> Iterator[None]:
    """Put another file in the place of one this process holds open."""
    (held,) = (
        int(link.name)
        for link in DESCRIPTORS.iterdir()
        if link.is_symlink() and link.resolve() == path
    )
    before = os.dup(held)
    os.dup2(descriptor, held)
    try:
        yield
    finally:
        os.dup2(before, held)
        os.close(before)


def room_for(length: int) -> Callable[[int, bytes], int]:
    """Return a `write` to a disk that is full after so many bytes."""
    write, left = os.write, length

    def write_until_full(descriptor: int, content: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, bytes(content)[:left])
        left -= written
        return written

    return write_until_full


def newest(folder: Path) -> Path:
    return max(folder.glob("journal-*.log"))


def seqs(folder: Path) -> list[int]:
    return [entry.seq for entry in read_journal(folder)]


async def expect_failure(journal: Journal, match: str) -> None:
    """Append once more; everybody who waits or comes later is told."""
    told: list[JournalFailedError] = []
    called: list[int] = []
    has_failed = asyncio.Event()
    journal.on_failure(told.append)
    journal.on_failure(lambda _: has_failed.set())
    safe = journal.durable_seq
    with pytest.raises(JournalFailedError, match=match):
        seq = journal.append(b'{"never":"durable"}')
        journal.on_durable(seq, lambda: called.append(seq))
        await journal.durable(seq)
    await has_failed.wait()
    for _ in range(2):
        with pytest.raises(JournalFailedError, match="Nothing new can be begun"):
            journal.append(b"{}", critical=True)
    assert journal.is_durable(safe)
    assert not journal.is_durable(safe + 1)
    await journal.durable(safe)
    assert len(told) == 1
    assert called == []
    assert journal.statistics().is_failed


@needs_proc
@POLICIES
async def test_a_full_disk_ends_the_journal_and_a_reopened_one_goes_on_without_a_gap(
    tmp_path, policy
):
    journal = Journal(tmp_path, fsync=policy)
    journal.open()
    for _ in range(5):
        seq = journal.append(b"{}")
    await journal.durable(seq)
    full = os.open("/dev/full", os.O_WRONLY)
    with in_place_of(newest(tmp_path), full):
        await expect_failure(journal, "No space left on device")
    os.close(full)

    with pytest.raises(JournalFailedError):
        journal.append(b"{}")  # There is room again, but nobody opened it.
    journal.close()
    recovery = journal.open()
    assert (recovery.next_seq, recovery.torn) == (6, None)
    await journal.durable(journal.append(b"{}"))
    assert seqs(tmp_path) == [1, 2, 3, 4, 5, 6]
    journal.close()


@needs_proc
async def test_an_fsync_that_failed_is_not_tried_again(tmp_path):
    journal = Journal(tmp_path, fsync=FsyncPolicy.ALWAYS)
    journal.open()
    await journal.durable(journal.append(b"{}"))
    reading, pipe = os.pipe()
    with in_place_of(newest(tmp_path), pipe):  # It can be written, but not synced.
        await expect_failure(journal, "Invalid argument")
    os.close(pipe)
    written = os.read(reading, 1000)
    os.close(reading)
    assert written.count(b"\n") == 1
    assert journal.durable_seq == 1
    journal.close()
    assert journal.open().next_seq == 2
    journal.close()


@needs_proc
async def test_a_failure_of_the_last_sync_comes_out_of_close(tmp_path):
    journal = Journal(tmp_path, fsync=FsyncPolicy.NEVER)
    journal.open()
    journal.append(b"{}")
    reading, pipe = os.pipe()
    with in_place_of(newest(tmp_path), pipe), pytest.raises(JournalFailedError):
        journal.close()
    os.close(pipe)
    os.close(reading)
    assert journal.open().records == 1
    journal.close()


@POLICIES
@pytest.mark.parametrize("through", [0, 1, 30, 41, 60])
async def test_half_a_record_is_cut_off_when_the_journal_is_opened_again(
    tmp_path, monkeypatch, policy, through
):
    journal = Journal(tmp_path, fsync=policy)
    journal.open()
    await journal.durable(journal.append(b"{}"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", room_for(through))
        seq = 0
        with pytest.raises(JournalFailedError, match="No space left"):
            seq = journal.append(b'{"number":2,"and":"a longer text"}')
            await journal.durable(seq)
    assert seqs(tmp_path) == [1]
    journal.close()

    recovery = journal.open()
    assert recovery.next_seq == 2
    assert (recovery.torn.length if recovery.torn else 0) == through
    await journal.durable(journal.append(b'{"number":2}'))
    assert [entry.payload for entry in read_journal(tmp_path, 2)] == [b'{"number":2}']
    journal.close()


@POLICIES
async def test_a_reader_goes_on_over_a_failure_and_what_was_cut_off(tmp_path, monkeypatch, policy):
    journal = Journal(tmp_path, fsync=policy)
    journal.open()
    await journal.durable(journal.append(b"{}"))
    reader, own = JournalReader(tmp_path), journal.reader()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", room_for(50))
        with pytest.raises(JournalFailedError):
            await journal.durable(journal.append(b'{"text":"longer than the next one"}'))
    for one in (reader, own):
        assert [entry.seq for entry in one.next_batch(10)] == [1]
        assert one.next_batch(10) == []
    journal.close()
    assert journal.open().torn.length == 50
    for _ in range(3):
        seq = journal.append(b'{"n":%d}' % journal.durable_seq)
        await journal.durable(seq)
    for one in (reader, own):
        assert [entry.seq for entry in one.next_batch(10)] == [2, 3, 4]
        one.close()
    journal.close()


@POLICIES
async def test_a_journal_that_is_closed_has_not_failed(tmp_path, policy):
    journal = Journal(tmp_path, fsync=policy)
    journal.open()
    told: list[JournalFailedError] = []
    journal.on_failure(told.append)
    await journal.durable(journal.append(b"{}"))
    journal.close()
    await asyncio.sleep(0)
    assert told == []


@POLICIES
async def test_a_segment_that_cannot_be_begun_ends_the_journal(tmp_path, policy):
    journal = Journal(tmp_path, fsync=policy, segment_bytes=100)
    journal.open()
    await journal.durable(journal.append(b"x" * 50))
    in_the_way = tmp_path / "journal-00000000000000000002.log"
    in_the_way.mkdir()
    await expect_failure(journal, "File exists")
    journal.close()
    in_the_way.rmdir()
    assert journal.open().next_seq == 2
    await journal.durable(journal.append(b"x" * 50))
    assert seqs(tmp_path) == [1, 2]
    journal.close()


async def test_everybody_who_waits_is_told_when_the_journal_fails(tmp_path, monkeypatch):
    journal = Journal(tmp_path, fsync=FsyncPolicy.ALWAYS)
    journal.open()
    everybody_waits = threading.Event()

    def broken(_: int) -> None:
        everybody_waits.wait()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        patched.setattr(os, "fdatasync", broken, raising=False)
        waiting = [asyncio.ensure_future(journal.durable(journal.append(b"{}"))) for _ in "x" * 100]
        await asyncio.sleep(0)
        everybody_waits.set()
        errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in errors} == {JournalFailedError}
    # Each has an error of its own, with the reason behind it.
    assert len({id(error) for error in errors}) == 100
    assert {error.__cause__.errno for error in errors} == {errno.EIO}
    journal.close()
    # The first was written, though nobody knows whether it is on the disk: it is made to last now,
    # and its number is not given again.
    written = seqs(tmp_path)
    assert written[0] == 1
    assert journal.open().next_seq == len(written) + 1
    journal.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    journal = Journal(tmp_path / "file" / "journal", fsync=FsyncPolicy.ALWAYS)
    with pytest.raises(JournalFailedError, match=r"file.journal: the journal can't be opened \("):
        journal.open()


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="needs a user who can be refused"
)
def test_a_folder_that_is_read_only_is_refused_at_the_start(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(JournalFailedError, match="Permission denied"):
            Journal(tmp_path, fsync=FsyncPolicy.ALWAYS).open()
    finally:
        tmp_path.chmod(0o700)


LIMITED = """
import asyncio, pathlib, resource, sys
from arbitrade.errors import JournalFailedError
from arbitrade.journal import FsyncPolicy, Journal

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    journal = Journal(pathlib.Path(sys.argv[1]), fsync=FsyncPolicy(sys.argv[2]))
    journal.open()
    try:
        while True:
            seq = journal.append(b"x" * 261)
            await journal.durable(seq)
    except JournalFailedError as error:
        print(journal.durable_seq, error)
    journal.close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    recovery = journal.open()
    print(recovery.next_seq, recovery.torn.length)
    await journal.durable(journal.append(b"after"))
    journal.close()

asyncio.run(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
@POLICIES
def test_a_file_size_limit_cuts_a_record_in_two_and_nothing_else(tmp_path, policy):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), policy.value],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    # A line has 303 bytes: 33 of them fit, and one byte of the next.
    failed, reopened = done.stdout.splitlines()
    assert failed.startswith("33 ")
    assert "File too large" in failed
    assert reopened == "34 1"
    entries = list(read_journal(tmp_path))
    assert [entry.seq for entry in entries] == list(range(1, 35))
    assert entries[-1].payload == b"after"
