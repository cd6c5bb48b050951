"""A disk that is full, and a journal that isn't what was written: F37, F38."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arbitrade.errors import JournalCorruptError, JournalError
from arbitrade.records import ExecutionBooked, IntentWritten
from arbitrade.testing.patience import PATIENCE_S

FULL = Path("/dev/full")
DESCRIPTORS = Path("/proc/self/fd")
needs_full = pytest.mark.skipif(
    not (FULL.exists() and DESCRIPTORS.is_dir()), reason="needs /dev/full and /proc"
)


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Let a file this process holds open be on a disk without room."""
    links = [link for link in DESCRIPTORS.iterdir() if link.is_symlink()]
    held = [int(link.name) for link in links if link.resolve() == path.resolve()]
    before = {number: os.dup(number) for number in held if _is_written(number)}
    assert before
    full = os.open(FULL, os.O_WRONLY)
    for number in before:
        os.dup2(full, number)
    try:
        yield
    finally:
        for number, copy in before.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(full)


def _is_written(number: int) -> bool:
    """Tell it from those that only read the file."""
    flags = int(Path(f"/proc/self/fdinfo/{number}").read_text().split("flags:")[1].split()[0], 8)
    return flags & os.O_ACCMODE != os.O_RDONLY


def newest(folder: Path) -> Path:
    return max(folder.glob("journal-*.log"))


def command(bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one as the operator of the bench's bot."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ARBITRADE_")}
    return subprocess.run(
        [sys.executable, "-m", "arbitrade", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=bench.folder,
        env={
            **kept,
            "ARBITRADE_SECRETS__KEYRING": "false",
            "ARBITRADE_RUNTIME__FOLDER": str(bench.folder / "state"),
        },
    )


@needs_full
@pytest.mark.parametrize("fsync", ["never", "always"])
async def test_f37_a_full_disk_under_the_journal_halts_and_no_order_leaves_any_more(bench, fsync):
    async with bench.running({"journal": {"fsync": fsync}}) as bot:
        await bot.until_more_cycles()
        with full_disk(newest(bot.folder / "journal" / "main")):
            await bot.until_halted("No space left on device")
            begun, refused = bot.begun, bot.refusals.total()
            await bot.until(lambda: bot.refusals.total() > refused + 3, "refusals")
            await bot.wait_frames(50)
            assert bot.begun == begun
            # One may have been on its way already; its intent was durable.
            assert bench.unwritten(bot) == set()
            assert bot.session.state().journal != "ok"
            assert any("trading is halted" in title for _, title in bot.session.parts.outlet.recent)
            bot.session.stop("the disk is full")
            await bot.until_over()
    assert bot.error is None
    # There is room again; the next start finds out what was under way, and stays halted.
    async with bench.running() as again:
        assert "No space left on device" in again.halt_reason
        await again.resume()
        await again.until_more_cycles()
    await bench.assert_whole(again)


@needs_full
async def test_f37_a_full_disk_under_the_recording_is_told_and_trading_goes_on(bench):
    async with bench.running({"journal": {"record": True}}) as bot:
        await bot.until_more_cycles()
        path = bot.session.parts.tape.path
        assert path is not None
        with full_disk(path):
            await bot.until(lambda: not bot.session.parts.tape.is_recording, "its end")
            await bot.until_more_cycles()
        assert bot.halt_reason == ""
        assert bot.has_alert("error: the run is no longer recorded")
    await bench.assert_whole(bot)
    assert bot.report.recording == ""


async def test_f37_a_folder_that_cannot_be_written_ends_the_start_with_its_name(bench):
    state = bench.folder / "state"
    state.write_text("a file where the folder should be")
    async with bench.running(is_ready=False) as bot:
        await bot.until_over()
    assert isinstance(bot.error, JournalError), bot.error
    assert str(state) in str(bot.error)
    assert bench.orders() == {}


async def test_f38_half_a_record_at_the_end_is_told_and_no_reason_to_stop(bench):
    async with bench.running() as bot:
        await bot.until_more_cycles()
    cut_in_half(newest(bot.folder / "journal" / "main"))
    async with bench.running() as again:
        assert again.has_alert("warning: the journal ended in the middle of a record")
        await again.until_more_cycles()
    await bench.assert_whole(again)


def cut_in_half(path: Path) -> None:
    """Leave half of the last line, of a record nobody needs."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])


def flip(path: Path, kind: str) -> None:
    """Change one byte of a record of a kind, well before the end."""
    lines = path.read_bytes().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if f'"{kind}"'.encode() in line)
    assert number < len(lines) - 3
    line = bytearray(lines[number])
    line[len(line) // 2] ^= 1
    path.write_bytes(b"".join([*lines[:number], bytes(line), *lines[number + 1 :]]))


@pytest.mark.parametrize("kind", [IntentWritten.kind, ExecutionBooked.kind])
async def test_f38_damage_in_the_middle_refuses_the_start_until_it_is_quarantined(bench, kind):
    async with bench.running() as bot:
        await bot.until_more_cycles(3)
    path = newest(bot.folder / "journal" / "main")
    flip(path, kind)
    async with bench.running(is_ready=False) as refused:
        await refused.until_over()
    assert isinstance(refused.error, JournalCorruptError)
    assert "arbitrade journal quarantine" in str(refused.error)
    assert refused.begun == 0

    found = command(bench, "journal", "check")
    assert found.returncode == 1, found.stderr
    assert "main: DAMAGED: " in found.stdout
    done = command(bench, "journal", "quarantine", "--account", "main", "--yes")
    assert done.returncode == 0, done.stderr
    assert "are lost" in done.stdout
    assert list(path.parent.glob("*.damaged*"))
    checked = command(bench, "journal", "check", "--json")
    assert checked.returncode == 0
    (told,) = json.loads(checked.stdout)["journals"]
    assert (told["lost"], told["damage"]) == (1, "")

    # What was lost is no reason to lose count: the balances of the run's end were kept.
    async with bench.running() as again:
        await again.until_more_cycles()
    assert again.error is None
    bench.assert_balances(again)
