"""Records become durable in order, in groups, and room is bounded."""

import asyncio
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.errors import JournalError, JournalFailedError, JournalFullError
from arbitrade.journal import FsyncPolicy, Journal, read_journal
from arbitrade.journal.spool import Spool

POLICIES = pytest.mark.parametrize("policy", FsyncPolicy, ids=lambda policy: policy.value)


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal", fsync=FsyncPolicy.ALWAYS, segment_bytes=500)
    made.open()
    yield made
    made.close()


def unsynced(folder: Path, **options: int) -> Journal:
    made = Journal(folder, fsync=FsyncPolicy.NEVER, **options)
    made.open()
    return made


def names(folder: Path) -> list[int]:
    return sorted(int(path.stem[-20:]) for path in folder.glob("journal-*.log"))


# ── durable ──────────────────────────────────────────────────────────────────────────────────────


@POLICIES
async def test_a_record_can_be_read_once_it_is_durable(tmp_path, policy):
    journal = Journal(tmp_path, fsync=policy)
    journal.open()
    for number in range(20):
        payload = b'{"n":%d}' % number
        seq = journal.append(payload)
        await journal.durable(seq)
        assert journal.is_durable(seq)
        assert [entry.payload for entry in read_journal(tmp_path, seq)] == [payload]
    journal.close()


def test_without_fsync_a_record_is_durable_on_return(tmp_path):
    journal = unsynced(tmp_path)
    calls: list[int] = []

    seq = journal.append(b"{}")
    assert journal.is_durable(seq)
    journal.on_durable(seq, lambda: calls.append(seq))
    assert calls == [seq]
    journal.close()


async def test_records_that_gather_during_an_fsync_share_the_next(tmp_path, monkeypatch):
    journal = Journal(tmp_path, fsync=FsyncPolicy.ALWAYS)
    journal.open()
    syncing, go_on = threading.Event(), threading.Event()
    sync = os.fsync

    def slow(descriptor: int) -> None:
        syncing.set()
        go_on.wait()
        sync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", slow)
        patched.setattr(os, "fdatasync", slow, raising=False)
        journal.append(b"{}")
        await asyncio.to_thread(syncing.wait)
        seqs = [journal.append(b"{}") for _ in range(1000)]
        assert journal.statistics().waiting == 1001
        go_on.set()
        await journal.durable(seqs[-1])

    done = journal.statistics()
    assert (done.appended, done.synced, done.waiting, done.commits) == (1001, 1001, 0, 2)
    assert 0 < done.commit_p50_ms <= done.commit_p99_ms
    journal.close()


async def test_calls_come_on_the_loop_s_thread_in_the_order_of_the_records(journal):
    seen: list[int] = []
    seqs = [journal.append(b"{}") for _ in range(300)]
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def note(seq: int) -> None:
        assert asyncio.get_running_loop() is loop
        assert journal.is_durable(seq)
        seen.append(seq)
        if len(seen) == len(seqs):
            done.set_result(None)

    for seq in random.Random(3).sample(seqs, len(seqs)):
        journal.on_durable(seq, lambda seq=seq: note(seq))
    at_once = len(seen)
    await done
    assert sorted(seen) == seqs
    assert seen[at_once:] == sorted(seen[at_once:])


@POLICIES
async def test_calls_that_ask_for_more_calls_do_not_pile_up(tmp_path, policy):
    journal = Journal(tmp_path, fsync=policy)
    journal.open()
    first = journal.append(b"{}")
    left = 3000
    finished = asyncio.get_running_loop().create_future()

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            journal.on_durable(first, again)
        else:
            finished.set_result(None)

    journal.on_durable(first, again)
    await finished
    journal.close()


async def test_a_call_that_raises_does_not_keep_the_others_waiting(journal):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail() -> None:
        raise KeyError("mine")

    journal.on_durable(journal.append(b"{}"), fail)
    await journal.durable(journal.append(b"{}"))
    assert [type(context["exception"]) for context in reported] == [KeyError]


async def test_who_stops_waiting_harms_nobody(journal):
    waiting = asyncio.create_task(journal.durable(journal.append(b"{}")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await journal.durable(journal.append(b"{}"))


async def test_nobody_waits_for_a_record_that_was_never_appended(journal):
    with pytest.raises(ValueError, match="record 1 has not been appended"):
        await journal.durable(1)
    with pytest.raises(ValueError, match="the next is 1"):
        journal.on_durable(1, lambda: None)


async def test_closing_makes_everything_durable_and_calls_whoever_waits(tmp_path):
    journal = Journal(tmp_path, fsync=FsyncPolicy.ALWAYS)
    journal.open()
    seen: list[int] = []
    for seq in [journal.append(b"{}") for _ in range(50)]:
        journal.on_durable(seq, lambda seq=seq: seen.append(seq))
    waiting = asyncio.create_task(journal.durable(50))
    await asyncio.sleep(0)
    journal.close()
    await waiting
    assert seen == list(range(1, 51))


@POLICIES
def test_a_closed_journal_takes_nothing_and_says_so(tmp_path, policy):
    journal = Journal(tmp_path, fsync=policy)
    with pytest.raises(JournalFailedError, match="is closed; open it first"):
        journal.append(b"{}")
    journal.open()
    journal.append(b"{}")
    journal.close()
    journal.close()
    with pytest.raises(JournalFailedError, match="is closed"):
        journal.append(b"{}")
    assert not journal.statistics().is_failed


@pytest.mark.parametrize("payload", [b"{}\n{}", b"\n", b"x" * ((16 << 20) + 1)])
def test_what_is_not_one_line_is_refused(tmp_path, payload):
    journal = unsynced(tmp_path)
    with pytest.raises(ValueError, match="one line"):
        journal.append(payload)
    assert journal.append(b"{}") == 1
    journal.close()


# ── who may write ────────────────────────────────────────────────────────────────────────────────


@POLICIES
def test_a_second_writer_is_refused_and_told_who_writes(tmp_path, policy):
    first = unsynced(tmp_path)
    second = Journal(tmp_path, fsync=policy)
    with pytest.raises(JournalError, match=f"in use by process {os.getpid()}; stop it"):
        second.open()
    with pytest.raises(JournalError, match="open already"):
        first.open()
    first.append(b"{}")
    first.close()
    assert second.open().records == 1
    second.close()


def test_a_writer_in_another_process_is_refused_until_this_one_ends(tmp_path):
    journal = unsynced(tmp_path)
    code = (
        "import sys, pathlib\n"
        "from arbitrade.journal import FsyncPolicy, Journal\n"
        "Journal(pathlib.Path(sys.argv[1]), fsync=FsyncPolicy.NEVER).open()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    journal.close()
    allowed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, allowed.returncode) == (1, 0)
    assert f"in use by process {os.getpid()}" in refused.stderr


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_the_owner_can_read_the_journal(tmp_path):
    folder = tmp_path / "state" / "journal"
    journal = unsynced(folder)
    journal.append(b"{}")
    journal.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


# ── room ─────────────────────────────────────────────────────────────────────────────────────────


@POLICIES
async def test_segments_follow_each_other_by_length_and_are_named_by_their_first_record(
    tmp_path, policy
):
    journal = Journal(tmp_path, fsync=policy, segment_bytes=200)
    journal.open()
    for _ in range(10):
        seq = journal.append(b"x" * 40)  # 82 bytes a line, two a segment
    await journal.durable(seq)
    assert names(tmp_path) == [1, 3, 5, 7, 9]
    assert journal.statistics().segments == 5
    journal.close()


@POLICIES
@pytest.mark.parametrize("keep", [1, 3])
async def test_release_deletes_only_segments_that_are_stored_elsewhere(tmp_path, policy, keep):
    journal = Journal(tmp_path, fsync=policy, segment_bytes=200, keep_segments=keep)
    journal.open()
    for _ in range(10):
        seq = journal.append(b"x" * 40)
    await journal.durable(seq)
    for released in range(11):
        journal.release(released)
        first = names(tmp_path)[0]
        stored = [one for one in (1, 3, 5, 7, 9) if one <= released + 1][-1:] or [1]
        assert first == min(stored[0], (1, 3, 5, 7, 9)[-keep])
        assert [entry.seq for entry in read_journal(tmp_path, released + 1)] == [
            *range(released + 1, 11)
        ]
    journal.close()


async def test_nothing_is_released_that_is_not_durable(journal):
    journal.append(b"x" * 400)
    journal.append(b"x" * 400)
    journal.release(1 << 40)
    seq = journal.append(b"x" * 400)
    await journal.durable(seq)
    with journal.reader(seq) as reader:
        assert [entry.seq for entry in reader.next_batch(5)] == [seq]
    journal.release(1 << 40)
    assert journal.statistics().spool_bytes == 0


def test_a_full_spool_takes_only_what_is_critical_and_that_with_an_end(tmp_path):
    journal = unsynced(tmp_path, limit_bytes=10_000)
    payload = b"x" * 58  # lines of 100 bytes
    for _ in range(100):
        journal.append(payload)
    with pytest.raises(JournalFullError, match="10000 bytes wait to be stored"):
        journal.append(payload)
    for _ in range(10):
        seq = journal.append(payload, critical=True)
    with pytest.raises(JournalFullError, match="11000 bytes wait"):
        journal.append(payload, critical=True)
    assert journal.failure is None
    assert seq == 110

    journal.release(seq)
    assert journal.statistics().spool_bytes == 0
    assert journal.append(payload) == 111
    journal.close()


def test_the_bound_holds_over_a_restart(tmp_path):
    journal = unsynced(tmp_path)
    for _ in range(100):
        journal.append(b"x" * 58)
    journal.close()
    journal = unsynced(tmp_path, limit_bytes=10_000)
    with pytest.raises(JournalFullError):
        journal.append(b"{}")
    journal.release(100)
    assert journal.append(b"{}") == 101
    journal.close()


@settings(max_examples=50)
@given(
    lengths=st.lists(st.integers(40, 60_000), max_size=40),
    releases=st.lists(st.integers(0, 45), max_size=10),
)
def test_the_spool_is_never_counted_too_low_and_hardly_too_high(
    lengths: list[int], releases: list[int]
):
    spool = Spool()
    for seq, length in enumerate(lengths, 1):
        spool.add(seq, length)
    highest = 0
    for seq in releases:
        spool.release(seq)
        highest = max(highest, seq)
        waiting = sum(lengths[highest:])
        assert waiting <= spool.size <= waiting + (64 << 10) + 60_000
    spool.release(len(lengths))
    assert spool.size == 0


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────


@POLICIES
def test_no_number_is_given_twice_when_the_journal_lost_its_end(tmp_path, policy):
    """The store has records up to 7, the journal only up to 3: the machine lost power."""
    first = unsynced(tmp_path)
    for _ in range(3):
        first.append(b"{}")
    first.close()
    journal = Journal(tmp_path, fsync=policy)

    recovery = journal.open(at_least=8)
    assert (recovery.records, recovery.next_seq, recovery.lost) == (3, 8, (range(4, 8),))
    assert journal.append(b"{}") == 8
    journal.close()
    assert [entry.seq for entry in read_journal(tmp_path)] == [1, 2, 3, 8]
    recovery = journal.open(at_least=5)
    assert (recovery.next_seq, recovery.lost) == (9, (range(4, 8),))
    journal.close()


def test_an_empty_journal_begins_with_the_number_the_store_asks_for(tmp_path):
    journal = Journal(tmp_path, fsync=FsyncPolicy.NEVER)
    recovery = journal.open(at_least=501)
    assert (recovery.first_seq, recovery.next_seq, recovery.lost) == (501, 501, ())
    assert journal.append(b"{}") == 501
    journal.close()
    assert names(tmp_path) == [501]


# ── kill -9 ──────────────────────────────────────────────────────────────────────────────────────

CHILD = """
import asyncio, os, pathlib, sys
from arbitrade.journal import FsyncPolicy, Journal

async def main():
    journal = Journal(pathlib.Path(sys.argv[1]), fsync=FsyncPolicy(sys.argv[2]), segment_bytes=2000)
    journal.open()
    size = 0
    while True:
        seqs = []
        for _ in range(7):
            size = (size * 31 + 17) % 300
            seqs.append(journal.append(b"x" * size))
        for seq in seqs:
            await journal.durable(seq)
            os.write(1, b"%d %d\\n" % (seq, size if seq == seqs[-1] else -1))

asyncio.run(main())
"""


def test_every_record_that_was_durable_is_there_after_kill_9_at_any_moment(tmp_path):
    """F1–F6 stand on this."""
    chance = random.Random(11)
    folder = tmp_path / "journal"
    known: dict[int, int] = {}
    for number in range(20):
        policy = list(FsyncPolicy)[number % 2]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), policy.value], stdout=subprocess.PIPE
        )
        said = [child.stdout.readline() for _ in range(chance.randrange(1, 120))]
        child.kill()
        rest, _ = child.communicate()
        # The last line may be cut off in the pipe as well.
        said += [line for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
        known |= {int(seq): int(size) for seq, size in map(bytes.split, said)}
        journal = Journal(folder, fsync=policy, segment_bytes=2000)
        recovery = journal.open()
        journal.close()
        found = {entry.seq: len(entry.payload) for entry in read_journal(folder)}
        assert list(found) == list(range(1, recovery.next_seq))
        assert set(known) <= set(found)
        assert all(size in (-1, found[seq]) for seq, size in known.items())
    assert len(known) >= 20
