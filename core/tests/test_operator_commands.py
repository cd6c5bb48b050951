"""`status`, `halt`, `resume`, `flatten`, `limits`: against a bot behind a real socket, or none."""

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import click
import pytest
import structlog
from click.testing import CliRunner, Result

from arbitrade.api import Answer
from arbitrade.cli import arbitrade
from arbitrade.cli.bots import confirm
from arbitrade.control.endpoint import DEFAULT_TRANSPORT
from arbitrade.control.kill_switch import KillSwitch
from arbitrade.control.places import socket_file
from arbitrade.control.server import ControlServer
from arbitrade.errors import ArbitradeError
from arbitrade.models import TradingState
from arbitrade.testing.bot import FakeBot, make_bot_state
from arbitrade.testing.patience import PATIENCE_S

type Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the state folder the settings name."""
    folder = tmp_path / "state"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARBITRADE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # a slip must not touch a real bot
    monkeypatch.setenv("ARBITRADE_RUNTIME__FOLDER", str(folder))
    # What the bot logs must not get between the lines of a command in the same process.
    with structlog.testing.capture_logs():
        yield folder


@pytest.fixture
def run(state: Path) -> Run:
    """Return a coroutine that runs `arbitrade` beside the event loop."""

    async def run(*args: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, arbitrade, args)

    return run


@asynccontextmanager
async def running(folder: Path, bot: FakeBot) -> AsyncIterator[FakeBot]:
    """Let a bot be reached."""
    server = ControlServer(bot, folder, bot.state().account)
    await server.start()
    task = asyncio.create_task(server.run())
    try:
        yield bot
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.close()


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("status", "--watch"),
        ("status", "--json"),
        ("resume", "--reason", "x", "--yes"),
        ("flatten", "--yes"),
        ("limits", "show"),
        ("limits", "set", "maximum_notional=1"),
    ],
    ids=" ".join,
)
async def test_without_a_bot_it_fails_with_one_line_that_says_what_to_do(
    run: Run, state: Path, command: tuple[str, ...]
) -> None:
    result = await run(*command)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert str(state) in result.stderr
    assert "no bot runs" in result.stderr
    assert "arbitrade" in result.stderr


async def test_status_shows_every_bot(run: Run, state: Path) -> None:
    async with (
        running(state, FakeBot()),
        running(state, FakeBot(make_bot_state(account="second"))),
    ):
        result = await run("status")
        assert result.exit_code == 0
        assert "kraken/main" in result.stdout
        assert "kraken/second" in result.stdout
        one = await run("status", "--account", "second")
        assert "kraken/main" not in one.stdout
        none = await run("status", "--account", "third")
        assert none.exit_code == 1
        assert "'third'" in none.stderr


async def test_status_as_json_is_the_state_with_exact_numbers(run: Run, state: Path) -> None:
    async with running(state, FakeBot()):
        result = await run("status", "--json")
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["profit"]["USD"] == "4.1273"
    assert json.loads(line)["trading_state"] == "active"


async def test_watching_without_a_terminal_writes_lines_until_the_bot_ends(
    run: Run, state: Path
) -> None:
    bot = FakeBot()
    async with running(state, bot):
        watching = asyncio.create_task(run("status", "--watch"))
        async with asyncio.timeout(PATIENCE_S):
            while not bot.subscriptions:
                await asyncio.sleep(0.01)
    result = await watching
    assert result.exit_code == 0
    assert "trading_state=active" in result.stdout
    assert "has ended" in result.stderr


async def test_settings_that_are_wrong_elsewhere_keep_nobody_from_stopping(
    run: Run, state: Path, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text('[fees]\ntaker = "much"\n[nonsense]\nx = 1\n')
    async with running(state, FakeBot()) as bot:
        assert (await run("halt", "now")).exit_code == 0
        assert bot.state().trading_state is TradingState.HALTED


async def test_state_folder_of_the_settings_file_is_used(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARBITRADE_RUNTIME__FOLDER")
    (tmp_path / "settings.toml").write_text(
        f"[runtime]\nfolder = {json.dumps(str(tmp_path / 'there'))}\n"
    )
    async with running(tmp_path / "there", FakeBot()):
        assert (await run("status")).exit_code == 0


async def test_state_folder_is_in_the_home_folder_unless_somebody_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARBITRADE_RUNTIME__FOLDER")
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    async with running(tmp_path / "home" / ".arbitrade", FakeBot()):
        assert (await run("status")).exit_code == 0


async def test_state_folder_may_be_named(run: Run, tmp_path: Path) -> None:
    async with running(tmp_path / "elsewhere", FakeBot()):
        assert (await run("status")).exit_code == 1
        result = await run("status", "--folder", str(tmp_path / "elsewhere"))
        assert result.exit_code == 0


async def test_halt_tells_the_bot_why_and_who(run: Run, state: Path) -> None:
    async with running(state, FakeBot()) as bot:
        result = await run("halt", "odd", "prices", "on", "SOL")
        assert result.exit_code == 0
        assert result.stdout == "main: halted: odd prices on SOL\n"
    (command,) = bot.commands
    assert command.arguments == {"reason": "odd prices on SOL"}
    assert command.actor


async def test_halt_without_an_account_stops_every_bot(run: Run, state: Path) -> None:
    ours, theirs = FakeBot(), FakeBot(make_bot_state(account="second"))
    async with running(state, ours), running(state, theirs):
        result = await run("halt", "--json")
        assert [one["account"] for one in json.loads(result.stdout)["accounts"]] == [
            "main",
            "second",
        ]
        assert ours.state().trading_state is theirs.state().trading_state is TradingState.HALTED


async def test_halt_of_one_account_leaves_the_other(run: Run, state: Path) -> None:
    ours, theirs = FakeBot(), FakeBot(make_bot_state(account="second"))
    async with running(state, ours), running(state, theirs):
        await run("halt", "--account", "second")
        assert ours.state().trading_state is TradingState.ACTIVE
        assert theirs.state().trading_state is TradingState.HALTED


async def test_halt_without_a_bot_makes_the_next_one_start_halted(run: Run, state: Path) -> None:
    result = await run("halt", "before", "the", "start")
    assert result.exit_code == 0
    assert "starts halted" in result.stdout
    halt = KillSwitch(state, "main").halt
    assert halt is not None
    assert halt.reason == "before the start"
    told = await run("status")
    assert "is halted (before the start)" in told.stderr


async def test_halt_of_a_bot_that_refuses_or_breaks_still_stops_it_by_file(
    run: Run, state: Path
) -> None:
    async with running(state, FakeBot()) as bot:
        switch = KillSwitch(state, "main")
        bot.replies["halt"] = ArbitradeError("the disk is full")
        result = await run("halt")
        assert result.exit_code == 1
        assert "the disk is full" in result.stderr
        assert switch.poll()


@pytest.mark.skipif(DEFAULT_TRANSPORT != "unix", reason="needs a Unix socket")
async def test_halt_of_a_bot_that_hangs_is_by_file(
    run: Run, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arbitrade.cli.halt._PATIENCE_S", 0.05)
    state.mkdir()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(socket_file(state, "main")))
        mute.listen()
        result = await run("halt")
    assert result.exit_code == 1
    assert "doesn't answer" in result.stderr
    assert KillSwitch(state, "main").is_engaged


async def test_resume_asks_who_is_not_there_to_answer_for_yes(run: Run, state: Path) -> None:
    halted = make_bot_state(trading_state=TradingState.HALTED, halt_reason="odd prices")
    async with running(state, FakeBot(halted)) as bot:
        result = await run("resume", "--reason", "fine")
        assert result.exit_code == 2
        assert "odd prices" in result.stderr
        assert "--yes" in result.stderr
        assert bot.commands == []
        result = await run("resume", "--reason", "fine", "--yes")
        assert result.exit_code == 0
        assert bot.state().trading_state is TradingState.ACTIVE
        assert bot.commands[0].arguments == {"reason": "fine"}


class Terminal(io.StringIO):
    """Standard input with somebody in front of it."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_only_a_yes_is_a_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    confirm("Sell everything?", yes=False)
    for answer in ("n\n", "\n", ""):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        with pytest.raises(click.Abort):
            confirm("Sell everything?", yes=False)
    confirm("Sell everything?", yes=True)


async def test_resume_without_a_reason_is_wrong_usage(run: Run) -> None:
    assert (await run("resume")).exit_code == 2


async def test_resume_that_the_bot_refuses_fails(run: Run, state: Path) -> None:
    async with running(state, FakeBot()) as bot:
        bot.replies["resume"] = Answer(False, "ledger and venue differ by 1 USD; see report")
        result = await run("resume", "--reason", "fine", "--yes")
        assert result.exit_code == 1
        assert result.stderr == "Error: ledger and venue differ by 1 USD; see report\n"
        as_json = await run("resume", "--reason", "fine", "--yes", "--json")
        assert as_json.exit_code == 1
        assert json.loads(as_json.stdout)["is_done"] is False


@pytest.mark.parametrize(
    "command",
    [
        ("resume", "--reason", "x", "--yes"),
        ("flatten", "--yes"),
        ("limits", "show"),
        ("limits", "set", "maximum_notional=1"),
        ("status", "--watch"),
    ],
    ids=" ".join,
)
async def test_with_several_bots_one_has_to_be_named(
    run: Run, state: Path, command: tuple[str, ...]
) -> None:
    ours, theirs = FakeBot(), FakeBot(make_bot_state(account="second"))
    async with running(state, ours), running(state, theirs):
        result = await run(*command)
    assert result.exit_code == 2
    assert "main, second; name one with --account" in result.stderr
    assert ours.commands == theirs.commands == []


async def test_flatten_says_what_is_at_stake_and_hands_over_the_cap(run: Run, state: Path) -> None:
    async with running(state, FakeBot()) as bot:
        bot.replies["flatten"] = Answer(True, "flat", {"cost": Decimal("0.12")})
        asked = await run("flatten", "--loss-cap", "1e2")
        assert asked.exit_code == 2
        assert "0.1 BTC" in asked.stderr
        assert "100 USD" in asked.stderr
        result = await run("flatten", "--loss-cap", "1e2", "--yes", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["details"] == {"cost": "0.12"}
        assert (await run("flatten", "--yes")).exit_code == 0
        assert (await run("flatten", "--loss-cap", "-1", "--yes")).exit_code == 2
    assert [command.arguments for command in bot.commands] == [{"loss_cap": "100"}, {}]


async def test_limits_are_shown_and_changed(run: Run, state: Path) -> None:
    async with running(state, FakeBot()) as bot:
        shown = await run("limits", "show")
        assert "maximum_notional    1000\n" in shown.stdout
        changed = await run("limits", "set", "maximum_notional=250", "minimum_edge_bps = 1.5")
        assert changed.exit_code == 0
        assert bot.commands[0].arguments == {"maximum_notional": "250", "minimum_edge_bps": "1.5"}
        after = await run("limits", "show", "--json")
        assert json.loads(after.stdout)["maximum_notional"] == "250"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("maximum_notionl=1", "did you mean maximum_notional?"),
        ("maximum_notional", "is not NAME=VALUE"),
        ("=1", "is not NAME=VALUE"),
        ("maximum_notional=", "is not NAME=VALUE"),
    ],
)
async def test_limit_that_is_none_changes_nothing(
    run: Run, state: Path, change: str, complaint: str
) -> None:
    async with running(state, FakeBot()) as bot:
        result = await run("limits", "set", "maximum_daily_loss=5", change)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert bot.commands == []


async def test_halt_as_a_command_of_its_own_stops_the_bot(state: Path) -> None:
    """The whole way, with a process of its own."""
    async with running(state, FakeBot()) as bot:
        command = [sys.executable, "-m", "arbitrade", "halt", "for", "real"]
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(os.environ), stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert output.strip() == b"main: halted: for real"
        assert bot.state().halt_reason == "for real"
