"""F49, seen from outside: `arbitrade run` with an installed plugin that holds the event loop.

The bot is a process of its own, its market a simulator beside it.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import harm
import pytest
from runs import MARKET

from arbitrade.config import Secret
from arbitrade.control.places import halt_file
from arbitrade.process.ending import EXIT_HELD
from arbitrade_kraken.simulator.running import running_simulator

PATIENCE_S = 90.0
RECORDING = Path(__file__).parents[1] / "data" / "btcusd-d10-20230730.jsonl"
HELD = r"plugin\.holds_the_loop.*arbitrade_harm\.py:\d+"

type Install = Callable[[str], Path]


class Bot:
    """A process, and what it says on standard error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def until_said(self, pattern: str) -> str:
        """Read on until a line matches; return it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = await self._read()
                assert line, f"ended without {pattern!r}: {self.said[-3000:]}"
                if re.search(pattern, line):
                    return line

    async def ended(self) -> int:
        """Return its exit code."""
        async with asyncio.timeout(PATIENCE_S):
            while await self._read():
                pass
            return await self.process.wait()

    async def _read(self) -> str:
        assert self.process.stderr is not None
        line = (await self.process.stderr.readline()).decode(errors="replace")
        self.said += line
        return line


type Start = Callable[..., "asyncio.Future[Bot]"]


@pytest.fixture
async def start(tmp_path: Path, site: Path, dsn: Secret) -> AsyncIterator[Start]:
    """Return a function that starts `arbitrade run` with these arguments."""
    started: list[Bot] = []
    async with running_simulator(MARKET) as simulator:
        (tmp_path / "settings.toml").write_text(
            f'[runtime]\nfolder = "{tmp_path / "state"}"\n'
            f'[kraken]\nws_url = "{simulator.ws}"\nrest_url = "{simulator.rest}"\n'
            "[execution]\nshutdown_grace_s = 2\n"
            "[plugins]\ntime_budget_ms = 100\n"
            '[risk]\nmaximum_orders_per_minute = 0\ncooldown_s = "0"\n'
        )

        async def start(*arguments: str) -> Bot:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "arbitrade", "run", "--account", "held", "--json", *arguments),
                cwd=tmp_path,
                env={
                    **os.environ,
                    "PYTHONPATH": str(site),
                    "ARBITRADE_DATABASE__DSN": dsn.reveal(),
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=1 << 20,
            )
            started.append(Bot(process))
            return started[-1]

        yield start  # type: ignore[misc]
        for bot in started:
            if bot.process.returncode is None:
                bot.process.kill()
                await bot.process.wait()


def make_halt(folder: Path) -> None:
    """Halt the bot as `arbitrade halt` does where nobody answers."""
    file = halt_file(folder / "state", "held")
    file.parent.mkdir(exist_ok=True, parents=True)
    file.touch()


NEVER = "if self.seen > 40:\n    time.sleep(100_000)"
"""In C, where nothing interrupts it."""

STUBBORN = "while self.seen > 40:\n    try:\n        1 / 0\n    except BaseException:\n        pass"
"""In Python, and it takes every interruption for one more error."""


async def test_a_plugin_that_catches_everything_is_put_aside_or_the_process_ends_without_it(
    install: Install, start: Start
) -> None:
    """An interruption gets through where it hits the plugin outside its `try`, sooner or later."""
    install(harm.detector(STUBBORN))
    bot = await start("--for", "6s")
    assert await bot.ended() in (0, EXIT_HELD)
    assert re.search(HELD, bot.said)


async def test_for_ends_a_process_that_a_plugin_holds_and_says_which(
    install: Install, start: Start
) -> None:
    install(harm.detector(NEVER))
    bot = await start("--for", "4s")
    assert await bot.ended() == EXIT_HELD
    assert re.search(HELD, bot.said)
    last = bot.said.strip().splitlines()[-1]
    assert re.search(r"^Error: ended from outside: .* \(plugin harm at arbitrade_harm", last)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_end_a_process_that_a_plugin_holds(
    install: Install, start: Start, number: signal.Signals
) -> None:
    install(harm.detector(NEVER))
    bot = await start()
    await bot.until_said(HELD)
    bot.process.send_signal(number)
    bot.process.send_signal(number)
    assert await bot.ended() == EXIT_HELD
    assert "plugin harm at arbitrade_harm.py" in bot.said.splitlines()[-1]


async def test_a_plugin_that_loops_is_interrupted_and_the_process_ends_in_good_order(
    install: Install, start: Start
) -> None:
    install(harm.detector("while self.seen > 40:\n    pass"))
    bot = await start()
    await bot.until_said(r"plugin harm is put aside")
    bot.process.send_signal(signal.SIGINT)
    assert await bot.ended() == 0


async def test_enabling_it_lets_a_plugin_back_into_a_bot_that_put_it_aside(
    tmp_path: Path, site: Path, install: Install, start: Start
) -> None:
    install(harm.detector("if self.seen < 20:\n    1 / 0"))
    bot = await start()
    await bot.until_said(r"plugin harm is put aside")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "arbitrade", "plugins", "enable", "harm"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    assert "held: harm is enabled\n" in output.decode()
    bot.process.send_signal(signal.SIGINT)
    assert await bot.ended() == 0


async def test_a_sink_that_sleeps_doesnt_feed_on_its_own_alerts(
    tmp_path: Path, install: Install, start: Start
) -> None:
    install(harm.sink("time.sleep(3)"))
    bot = await start("--for", "10s")
    await bot.until_said("trading.active")
    make_halt(tmp_path)
    assert await bot.ended() == 0
    assert len(re.findall(HELD, bot.said)) <= 2


async def test_a_task_that_swallows_its_end_doesnt_keep_the_process(
    install: Install, start: Start
) -> None:
    """One the plugin started itself, so nobody but the process can end it."""
    install(
        harm.service(
            "async def stay():\n"
            "    while True:\n"
            "        try:\n"
            "            await asyncio.sleep(3600)\n"
            "        except asyncio.CancelledError:\n"
            "            pass\n"
            "self.task = asyncio.create_task(stay())\n"
            "await self.task"
        )
    )
    bot = await start("--for", "3s")
    assert await bot.ended() == EXIT_HELD


async def test_the_kill_switch_is_seen_while_a_plugin_holds_everything_and_heeded_at_once(
    tmp_path: Path, install: Install, start: Start
) -> None:
    install(harm.detector("if self.seen == 40:\n    time.sleep(6)"))
    bot = await start()
    await bot.until_said(HELD)
    make_halt(tmp_path)
    await bot.until_said(r"kill_switch\.seen")
    await bot.until_said(r"kill_switch\.engaged")
    bot.process.send_signal(signal.SIGTERM)
    assert await bot.ended() == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [("1 / 0", "raised"), ('return made(book, edge_bps=Decimal("NaN"))', "lied")],
)
async def test_detect_ends_and_names_plugin_object_file_and_line(
    tmp_path: Path, site: Path, install: Install, body: str, kind: str
) -> None:
    install(harm.detector(body))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "arbitrade", "detect", str(RECORDING)),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    said = output.decode()
    assert process.returncode == 1
    assert re.search(rf"harm: detector harm {kind} at arbitrade_harm\.py:\d+: ", said)
    assert "arbitrade plugins disable harm" in said
    assert "Traceback" not in said
