"""I7, F43, F44: the kill switch works alone, sticks, and fails closed."""

import asyncio
import errno
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from arbitrade.control import kill_switch
from arbitrade.control.kill_switch import Halt, KillSwitch, engage_on_disk, read_halt
from arbitrade.errors import ControlError
from arbitrade.testing.patience import PATIENCE_S


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a function that makes the disk full, or not any more."""
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    return lambda is_full: monkeypatch.setattr(os, "fsync", refuse if is_full else fsync)


def test_nothing_is_halted_at_first_and_the_folder_needn_t_exist(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path / "state", "main")
    assert not switch.is_engaged
    assert not switch.poll()
    assert switch.halt is None
    assert read_halt(tmp_path / "state", "main") is None


def test_engaging_is_in_memory_on_disk_and_told(tmp_path: Path) -> None:
    told: list[Halt | None] = []
    switch = KillSwitch(tmp_path / "state", "main", told.append)
    assert switch.engage("odd prices", "alice")
    assert switch.is_engaged
    (halt,) = told
    assert halt is not None
    assert (halt.reason, halt.actor) == ("odd prices", "alice")
    written = json.loads(switch.path.read_text())
    assert written == {"reason": "odd prices", "actor": "alice", "time": halt.time}
    if os.name == "posix":
        assert stat.S_IMODE(switch.path.parent.stat().st_mode) == 0o700


def test_listener_hears_before_the_disk_is_touched(tmp_path: Path) -> None:
    was_there = []
    switch = KillSwitch(tmp_path, "main", lambda _: was_there.append(switch.path.exists()))
    switch.engage("now", "alice")
    assert was_there == [False]
    assert switch.path.exists()


def test_listener_that_breaks_keeps_nobody_from_stopping(tmp_path: Path) -> None:
    def broken(halt: object) -> None:
        raise ZeroDivisionError

    switch = KillSwitch(tmp_path, "main", broken)
    with pytest.raises(ZeroDivisionError):
        switch.engage("now", "alice")
    assert switch.is_engaged
    assert KillSwitch(tmp_path, "main").is_engaged


def test_halt_survives_restarts_with_its_reason(tmp_path: Path) -> None:
    KillSwitch(tmp_path, "main").engage("odd prices", "alice")
    told: list[Halt | None] = []
    after = KillSwitch(tmp_path, "main", told.append)
    assert after.is_engaged
    assert after.halt is not None
    assert after.halt.reason == "odd prices"
    # Whoever makes it looks; only what changes later is told.
    assert told == []


async def test_slow_disk_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, may_go_on = os.fsync, threading.Event()

    def wait(descriptor: int) -> None:
        assert may_go_on.wait(PATIENCE_S)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", wait)
    told: list[Halt | None] = []
    switch = KillSwitch(tmp_path, "main", told.append)
    engaging = asyncio.create_task(switch.engage_async("odd prices", "alice"))
    await asyncio.sleep(0)
    assert switch.is_engaged
    assert len(told) == 1
    assert switch.poll()  # doesn't write it a second time
    may_go_on.set()
    assert await engaging
    assert await switch.engage_async("again", "bob")
    assert len(told) == 1
    assert KillSwitch(tmp_path, "main").is_engaged


async def test_full_disk_is_told_by_the_asynchronous_way_too(
    tmp_path: Path, full_disk: Callable[[bool], None]
) -> None:
    switch = KillSwitch(tmp_path, "main")
    full_disk(True)
    assert not await switch.engage_async("odd prices", "alice")
    assert switch.is_engaged
    full_disk(False)
    assert await switch.engage_async("again", "alice")
    assert switch.problem == ""


def test_first_reason_stays(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path, "main")
    switch.engage("first", "alice")
    switch.engage("second", "bob")
    assert switch.halt is not None
    assert switch.halt.reason == "first"
    assert json.loads(switch.path.read_text())["reason"] == "first"


def test_accounts_are_halted_each_for_itself(tmp_path: Path) -> None:
    names = ("main", "a/b", "../up", "Ä ö", ".", "~")
    for name in names:
        KillSwitch(tmp_path, name).engage(name, "alice")
    assert not KillSwitch(tmp_path, "other").is_engaged
    assert len(list(tmp_path.iterdir())) == len(names)
    for name in names:
        halt = KillSwitch(tmp_path, name).halt
        assert halt is not None
        assert halt.reason == name


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"stop!", b"[]", b"{}", b'{"reason": null}', b"\xff\xfe", b"[" * 100_000],
)
def test_any_file_of_that_name_stops_a_running_bot(tmp_path: Path, content: bytes) -> None:
    told: list[Halt | None] = []
    switch = KillSwitch(tmp_path, "main", told.append)
    (tmp_path / "halt-main.json").write_bytes(content)
    assert not switch.is_engaged
    assert switch.poll()
    assert switch.is_engaged
    assert switch.poll()
    assert len(told) == 1
    assert told[0] is not None
    assert "made by hand" in told[0].reason


def test_reason_somebody_wrote_by_hand_is_taken(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path, "main")
    (tmp_path / "halt-main.json").write_text('{"reason": "smoke in the server room"}')
    switch.poll()
    assert switch.halt is not None
    assert switch.halt.reason == "smoke in the server room"


@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_what_is_no_file_stops_it_as_well(tmp_path: Path) -> None:
    (tmp_path / "halt-a.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "halt-b.json").mkdir()
    os.mkfifo(tmp_path / "halt-c.json")
    for account in "abc":
        assert KillSwitch(tmp_path, account).is_engaged


def test_state_folder_that_can_t_be_looked_into_stops_it(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    switch = KillSwitch(tmp_path / "state", "main")
    assert switch.is_engaged or os.name != "posix"


def test_file_removed_by_hand_releases_nothing_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = KillSwitch(tmp_path, "main")
    switch.engage("odd prices", "alice")
    switch.path.unlink()
    assert switch.poll()
    assert switch.is_engaged
    assert json.loads(switch.path.read_text())["reason"] == "odd prices"


def test_full_disk_keeps_nobody_from_stopping(
    tmp_path: Path, full_disk: Callable[[bool], None]
) -> None:
    switch = KillSwitch(tmp_path, "main")
    full_disk(True)
    assert not switch.engage("odd prices", "alice")
    assert switch.is_engaged
    assert "No space left" in switch.problem
    assert "restart" in switch.problem
    assert list(tmp_path.iterdir()) == []
    full_disk(False)
    switch.poll()
    assert switch.problem == ""
    assert KillSwitch(tmp_path, "main").is_engaged


def test_failing_disk_is_tried_again_but_not_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def refuse(descriptor: int) -> None:
        tries.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    now = [100.0]
    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(kill_switch, "time", SimpleNamespace(monotonic=lambda: now[0]))
    switch = KillSwitch(tmp_path, "main")
    switch.engage("odd prices", "alice")
    for _ in range(50):
        switch.poll()
    now[0] += 1.5
    for _ in range(50):
        switch.poll()
    assert len(tries) == 3  # once when engaged, then once a second


def test_clearing_is_told_and_lasts(tmp_path: Path) -> None:
    told: list[Halt | None] = []
    switch = KillSwitch(tmp_path, "main", told.append)
    switch.engage("odd prices", "alice")
    switch.clear("bob", "prices are fine")
    assert not switch.is_engaged
    assert not switch.poll()
    assert told[-1] is None
    assert not KillSwitch(tmp_path, "main").is_engaged
    switch.clear("bob", "again")
    assert len(told) == 2
    switch.engage("once more", "alice")
    assert switch.is_engaged


def test_file_that_can_t_be_removed_keeps_trading_halted(tmp_path: Path) -> None:
    (tmp_path / "halt-main.json").mkdir()
    switch = KillSwitch(tmp_path, "main")
    with pytest.raises(ControlError, match="stays halted"):
        switch.clear("bob", "please")
    assert switch.is_engaged


def test_without_a_bot_the_next_one_is_halted(tmp_path: Path) -> None:
    path = engage_on_disk(tmp_path / "state", "main", "before the start", "alice")
    assert path == tmp_path / "state" / "halt-main.json"
    engage_on_disk(tmp_path / "state", "main", "a second time", "bob")
    halt = KillSwitch(tmp_path / "state", "main").halt
    assert halt is not None
    assert (halt.reason, halt.actor) == ("before the start", "alice")
    assert read_halt(tmp_path / "state", "main") == halt


def test_without_a_bot_and_without_a_disk_it_says_what_to_do(
    tmp_path: Path, full_disk: Callable[[bool], None]
) -> None:
    full_disk(True)
    with pytest.raises(ControlError, match="by hand"):
        engage_on_disk(tmp_path, "main", "now", "alice")


def test_looking_costs_one_system_call_and_asking_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = KillSwitch(tmp_path, "main")
    calls = []
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: calls.append(path) or lstat(path))  # type: ignore[func-returns-value]
    assert not switch.is_engaged
    assert calls == []
    switch.poll()
    assert calls == [switch.path]
