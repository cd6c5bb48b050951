"""Reading the end of a journal while it grows, moves to new segments, and loses old ones."""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.journal import FsyncPolicy, Journal, JournalReader, read_journal


def opened(folder: Path, **options: int) -> Journal:
    journal = Journal(folder, fsync=FsyncPolicy.NEVER, **options)
    journal.open()
    return journal


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["append", "read"]), st.integers(1, 12)), max_size=30),
    segment_bytes=st.integers(1, 500),
)
def test_a_reader_gets_every_record_once_however_reading_and_writing_alternate(
    steps: list[tuple[str, int]], segment_bytes: int
):
    written: list[tuple[int, bytes]] = []
    read: list[tuple[int, bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        journal = opened(Path(folder), segment_bytes=segment_bytes)
        with journal.reader() as reader:
            for step, count in [*steps, ("read", 1000)]:
                if step == "append":
                    for _ in range(count):
                        payload = b"%d" % len(written)
                        written.append((journal.append(payload), payload))
                    continue
                entries = reader.next_batch(count)
                assert len(entries) == min(count, len(written) - len(read))
                read += [(entry.seq, entry.payload) for entry in entries]
                assert reader.next_seq == len(read) + 1
                journal.release(len(read))
        journal.close()
    assert read == written


def test_a_reader_may_be_there_before_the_journal(tmp_path):
    with JournalReader(tmp_path / "journal") as reader:
        assert reader.next_batch(10) == []
        journal = opened(tmp_path / "journal")
        assert reader.next_batch(10) == []
        journal.append(b"{}")
        assert [entry.seq for entry in reader.next_batch(10)] == [1]
        journal.close()


def test_half_a_record_is_waited_for(tmp_path):
    journal = opened(tmp_path)
    journal.append(b"first")
    journal.append(b"second")
    journal.close()
    (path,) = tmp_path.glob("*.log")
    whole = path.read_bytes()
    end = whole.index(b"\n") + 1
    path.write_bytes(whole[:end])
    with JournalReader(tmp_path) as reader:
        assert [entry.payload for entry in reader.next_batch(10)] == [b"first"]
        for at in range(end, len(whole)):
            assert reader.next_batch(10) == []
            with path.open("ab") as file:
                file.write(whole[at : at + 1])
        assert [entry.payload for entry in reader.next_batch(10)] == [b"second"]


def test_a_reader_behind_a_release_goes_on_with_what_is_left(tmp_path):
    journal = opened(tmp_path, segment_bytes=100)
    for _ in range(3):
        journal.append(b"x" * 40)
    with journal.reader() as reader:
        assert [entry.seq for entry in reader.next_batch(1)] == [1]
        for _ in range(5):
            journal.append(b"x" * 40)
        journal.release(6)
        assert [entry.seq for entry in reader.next_batch(10)] == [7, 8]
    journal.close()


async def test_a_journal_s_own_reader_sees_no_record_before_it_is_durable(tmp_path, monkeypatch):
    """Else a record could be stored elsewhere whose number a power cut gives to another one."""
    journal = Journal(tmp_path, fsync=FsyncPolicy.ALWAYS)
    journal.open()
    syncing, go_on = threading.Event(), threading.Event()
    sync = os.fsync

    def slow(descriptor: int) -> None:
        syncing.set()
        go_on.wait()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr(os, "fdatasync", slow, raising=False)
    waiting = asyncio.create_task(journal.durable(journal.append(b"{}")))
    await asyncio.to_thread(syncing.wait)
    with journal.reader() as reader:
        assert [entry.seq for entry in read_journal(tmp_path)] == [1]
        assert reader.next_batch(10) == []
        go_on.set()
        await waiting
        assert [entry.seq for entry in reader.next_batch(10)] == [1]
    journal.close()


async def test_records_are_read_by_one_thread_while_another_commits(tmp_path):
    journal = Journal(tmp_path, fsync=FsyncPolicy.ALWAYS, segment_bytes=2000)
    journal.open()
    seen: list[int] = []

    def drain() -> None:
        with journal.reader() as reader:
            while len(seen) < 2000:
                entries = reader.next_batch(50)
                seen.extend(entry.seq for entry in entries)
                assert all(entry.payload == b"%d" % entry.seq for entry in entries)
                journal.release(len(seen))

    draining = asyncio.create_task(asyncio.to_thread(drain))
    for number in range(1, 2001):
        seq = journal.append(b"%d" % number)
        if number % 20 == 0:
            await journal.durable(seq)
    await draining
    assert seen == list(range(1, 2001))
    assert journal.statistics().spool_bytes == 0
    assert journal.statistics().segments == 1
    journal.close()


WRITER = """
import pathlib, sys
from arbitrade.journal import FsyncPolicy, Journal

folder, policy, segment_bytes = pathlib.Path(sys.argv[1]), FsyncPolicy(sys.argv[2]), sys.argv[3]
journal = Journal(folder, fsync=policy, segment_bytes=int(segment_bytes))
journal.open()
for number in range(1, 5001):
    journal.append(b"%d" % number)
journal.close()
"""


@pytest.mark.parametrize("segment_bytes", [3000, 100_000])
@pytest.mark.parametrize("policy", FsyncPolicy, ids=lambda policy: policy.value)
def test_another_process_can_be_followed(tmp_path, policy, segment_bytes):
    seen: list[int] = []
    command = [sys.executable, "-c", WRITER, str(tmp_path), policy.value, str(segment_bytes)]
    with (
        subprocess.Popen(command) as child,
        JournalReader(tmp_path) as reader,
    ):
        while len(seen) < 5000:
            ended = child.poll() is not None
            entries = reader.next_batch(200)
            assert all(entry.payload == b"%d" % entry.seq for entry in entries)
            seen += [entry.seq for entry in entries]
            assert entries or not ended
    assert seen == list(range(1, 5001))
