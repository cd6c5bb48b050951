"""Makes what lies beside it, with the code of commit 2ea1949: today's has other modules.

    git worktree add ../2ea1949 2ea1949 && cd ../2ea1949
    uv run python PATH/TO/make.py FOLDER

Four runs of `arbitrade run` in processes of their own, of two accounts, against the simulator.
`SOURCES.md` says what happens in them.  A run that is to be torn kills itself with SIGKILL.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import orjson
import zstandard

from arbitrade.api import BotState
from arbitrade.cli import main
from arbitrade.control.client import ControlClient
from arbitrade.errors import ControlError, RecordingError
from arbitrade.journal import Journal, read_journal
from arbitrade.journal.files import SegmentFiles
from arbitrade.ledger import Ledger
from arbitrade.plugins import discover
from arbitrade.recording import RecordingReader
from arbitrade.records import ExecutionBooked, IntentWritten, Record
from arbitrade.testing.postgres import PostgresServer, core_series
from arbitrade.trading import session
from arbitrade.trading.recovery import read_state
from arbitrade.trading.rerun import Rerun
from arbitrade_kraken.simulator.accounts import Tier
from arbitrade_kraken.simulator.market import MarketSettings
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator
from arbitrade_kraken.simulator.settings import SimulatorSettings, WireSettings

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "SOL/USD", "SOL/EUR", "EUR/USD")
SIMULATOR = SimulatorSettings(
    symbols=SYMBOLS,
    rate=60.0,
    seed=5,
    market=MarketSettings(seed=5, edge_every=25, edge_bps=(15.0, 60.0), edge_lifetime=120),
    wire=WireSettings(attempts=0, snapshot_ms=(5, 20), processing_ms=(1, 8), network_ms=(1, 4)),
)
SETTINGS = {
    "LOG__LEVEL": "error",
    "PLUGINS__ENABLED": '["kraken", "triangular"]',
    "SECRETS__KEYRING": "false",
    "RECORDING__COMPRESSION": "zstd",
    "LIVE__REHEARSAL_CYCLES": "0",
    "LIVE__MINIMUM_SIZE_CYCLES": "0",
    "EXECUTION__DEADLINE_MS": "1000",
    "EXECUTION__SETTLE_TIMEOUT_S": "0.5",
    "RISK__COOLDOWN_S": "0",
    "RISK__MAXIMUM_ORDERS_PER_MINUTE": "0",
    "RISK__MAXIMUM_DAILY_LOSS": "0",
    "RISK__MAXIMUM_DRAWDOWN": "0",
    "RISK__MAXIMUM_FAILURES": "0",
    "RISK__MAXIMUM_EVENT_LAG_S": "0",
    "RISK__MAXIMUM_DECISION_AGE_S": "0",
    # At this commit the rule fails while a flattening is under way; no recording is to keep that.
    "RISK__MAXIMUM_PER_ASSET": "0",
    "RISK__UNWIND_LOSS_CAP": "500",
    "PAPER__SEND_MS": "uniform(5,120)",
    "PAPER__ACK_MS": "uniform(5,60)",
    "KRAKEN__ACCOUNT": "main",
    "KRAKEN__TIER": "pro",
    "KRAKEN__ORDER_TIMEOUT_S": "1",
    "KRAKEN__ORDER_DEADLINE_S": "1",
    "KRAKEN__RESOLVE_SETTLE_S": "0.2",
    "KRAKEN__RECONNECT_S": "0.2",
}
LIVE = ("--mode", "live", "--arm", "main")
PATIENCE_S = 60.0


@attrs.define(eq=False)
class Bot:
    """A run of an account, in a process of its own."""

    process: asyncio.subprocess.Process
    control: ControlClient

    async def until(self, holds: Callable[[BotState], bool]) -> BotState:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    state = await asyncio.to_thread(self.control.state)
                except ControlError:
                    assert self.process.returncode is None
                else:
                    if holds(state):
                        return state
                await asyncio.sleep(0.05)

    async def until_trading(self) -> None:
        await self.until(lambda state: state.trading_state.value == "active")

    async def until_cycles(self, more: int) -> None:
        ended = sum((await self.until(lambda _: True)).cycles.values())
        await self.until(lambda state: sum(state.cycles.values()) >= ended + more)

    async def do(self, command: str, /, **arguments: str) -> None:
        answer = await asyncio.to_thread(self.control.command, command, arguments)
        assert answer.is_done, answer.message

    async def stopped(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(self.process.communicate(), PATIENCE_S)
        assert self.process.returncode == 0
        report = orjson.loads(out)
        assert not any(Decimal(amount) for amount in report["ledger_difference"].values())
        assert sum(report["cycles"].values()) >= report["opportunities"]["approved"], "one hangs"

    async def killed(self) -> None:
        await asyncio.wait_for(self.process.wait(), PATIENCE_S)
        assert self.process.returncode == -signal.SIGKILL


@attrs.frozen
class Maker:
    """Starts bots whose home is the folder they run in: no path of this machine is written down."""

    home: Path
    venue: RunningSimulator
    dsn: str

    @property
    def state(self) -> Path:
        return self.home / ".arbitrade"

    async def start(self, *arguments: str, trap: str = "", **settings: str) -> Bot:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ARBITRADE_", "PG"))}
        key = self.venue.exchange.make_key("main")
        ours = {
            **SETTINGS,
            "DATABASE__DSN": self.dsn,
            "KRAKEN__WS_URL": self.venue.ws,
            "KRAKEN__WS_AUTH_URL": self.venue.ws_auth,
            "KRAKEN__REST_URL": self.venue.rest,
            "KRAKEN__API_KEY": key.key,
            "KRAKEN__API_SECRET": key.secret,
            **settings,
        }
        named = {f"ARBITRADE_{name}": value for name, value in ours.items()}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, Path(__file__).resolve(), "bot", trap, "--config", "."),
            *("run", "--json", *arguments),
            stdout=asyncio.subprocess.PIPE,
            cwd=self.home,
            env={**kept, **named, "HOME": "."},
            limit=1 << 24,
        )
        return Bot(process, ControlClient(self.state, "main" if arguments else "paper"))

    def fault(self, kind: str, **how: Any) -> None:
        self.venue.faults.inject(kind, **how)
        self.venue.server.poke()


# ── the runs ─────────────────────────────────────────────────────────────────────────────────────


async def paper_ended(maker: Maker) -> None:
    bot = await maker.start(EXECUTION__EXECUTOR="sequential")
    await bot.until_trading()
    await bot.until_cycles(3)
    await bot.do("limits", maximum_notional="400", maximum_cycles="2")
    await bot.until_cycles(1)
    await bot.do("plugin", name="triangular", state="disabled")
    await asyncio.sleep(0.3)
    await bot.do("plugin", name="triangular", state="enabled")
    await bot.until_cycles(1)
    maker.fault("disconnect", channel="public")
    await asyncio.sleep(0.5)
    await bot.until_cycles(1)
    await bot.do("halt", reason="a look at it")
    await asyncio.sleep(1.5)  # By then the cycles under way have ended.
    await bot.do("flatten", loss_cap="2000")
    await bot.do("resume", reason="looked at it")
    await bot.until_cycles(1)
    await bot.stopped()


async def paper_killed(maker: Maker) -> None:
    more = {"EXECUTION__EXECUTOR": "parallel", "PAPER__SEND_MS": "uniform(5,400)"}
    bot = await maker.start(trap="torn", **more)
    await bot.killed()


async def live_ended(maker: Maker) -> None:
    bot = await maker.start(*LIVE, trap="fees", EXECUTION__EXECUTOR="parallel")
    await bot.until_trading()
    await bot.until_cycles(2)
    maker.fault("refuse_order", method="add_order")
    await bot.until_cycles(1)
    maker.fault("partial_fill")
    await bot.until_cycles(1)
    maker.venue.exchange.account("main").volume.add(time.time_ns(), Decimal(120_000))
    await asyncio.sleep(1.0)
    await bot.until_cycles(1)
    maker.fault("lost_ack", method="add_order")
    await bot.until_cycles(1)
    await bot.do("limits", maximum_notional="300")
    maker.fault("disconnect", channel="public")
    maker.fault("disconnect", channel="private")
    await asyncio.sleep(0.5)
    await bot.until_trading()
    await bot.until_cycles(1)
    await bot.do("halt", reason="a look at it")
    await bot.do("resume", reason="looked at it")
    await bot.until_cycles(1)
    await bot.stopped()


async def live_killed(maker: Maker) -> None:
    more = {"EXECUTION__EXECUTOR": "sequential", "RECORDING__COMPRESSION": "none"}
    bot = await maker.start(*LIVE, trap="second leg", **more)
    await bot.killed()


RUNS = (paper_ended, paper_killed, live_ended, live_killed)


def be_bot(trap: str) -> None:
    """Be `arbitrade`, with a trap laid."""
    if trap == "fees":
        session._FEES_S = 0.5  # An hour is longer than the recording.
    elif trap:
        _lay(trap)
    main()


def _lay(trap: str) -> None:
    """Let the bot kill itself in its fifth cycle.

    `torn`: while it writes the fill of a leg to the journal, half way through the record.
    `second leg`: with one leg filled and the next one written down, but not sent.
    """
    write, open_, write_frames = session.TradingSession._write, Journal.open, SegmentFiles.write
    journals: list[Journal] = []
    is_due = threading.Event()

    def opened(self: Journal, **more: Any) -> object:
        journals.append(self)
        return open_(self, **more)

    def written(self: session.TradingSession, record: Record, run: str) -> int:
        is_own = run == self.run_id
        if trap == "torn" and isinstance(record, ExecutionBooked) and is_own and record.cycle >= 5:
            is_due.set()
        number = write(self, record, run)
        if trap == "second leg" and isinstance(record, IntentWritten):
            intent = record.intent
            if intent.cycle >= 5 and intent.leg == 1 and intent.role.value == "leg":
                while journals[0].statistics().waiting:
                    time.sleep(0.0005)
                os.kill(os.getpid(), signal.SIGKILL)
        return number

    def torn(self: SegmentFiles, frames: Any, first_seq: int) -> None:
        if is_due.is_set():
            last = frames[-1]
            write_frames(self, [*frames[:-1], last[: len(last) // 2]], first_seq)
            os.kill(os.getpid(), signal.SIGKILL)
        write_frames(self, frames, first_seq)

    session.TradingSession._write = written  # type: ignore[method-assign]
    Journal.open = opened  # type: ignore[method-assign,assignment]
    SegmentFiles.write = torn  # type: ignore[method-assign]


# ── what is kept, and what this commit's code makes of it ────────────────────────────────────────


async def make(folder: Path) -> None:
    server = PostgresServer()
    home = Path(tempfile.mkdtemp(prefix="older-"))
    figures: dict[str, Any] = {"recordings": {}, "journals": {}, "detect": {}}
    try:
        dsn = server.create(core_series()).reveal()
        async with running_simulator(SIMULATOR) as venue:
            venue.exchange.account("main").tier = Tier.PRO
            maker = Maker(home, venue, dsn)
            for run in RUNS:
                name = run.__name__.replace("_", "-")
                path, figures["recordings"][name] = await _recorded(maker, run)
                _keep(path, folder / f"{name}.jsonl.zst")
                path.unlink()
            for account in ("paper", "main"):
                journal = maker.state / "journal" / account
                figures["journals"][account] = _state(maker.home, journal, account)
                for segment in sorted(journal.glob("*.log")):
                    kept = folder / "journals" / account / f"{segment.name}.zst"
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    kept.write_bytes(zstandard.compress(segment.read_bytes(), 19))
            held = venue.exchange.holdings("main")
            told = {asset: f"{one.total:f}" for asset, one in held.items() if one.total}
            assert told == figures["journals"]["main"]["balances"]
        figures["detect"] = _detected(home)
    finally:
        server.close()
        shutil.rmtree(home)
    text = orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (folder / "figures.json").write_bytes(text + b"\n")


async def _recorded(
    maker: Maker, run: Callable[[Maker], Awaitable[None]]
) -> tuple[Path, dict[str, Any]]:
    """Return the recording of a run, and what comes of it.

    A run that is killed is run again at least once: what is kept goes on from an open cycle.  And
    again where the kill cut a decision from its frame, which this commit calls a divergence.
    """
    for number in range(20):
        await run(maker)
        (path,) = (maker.state / "recordings").iterdir()
        found = _verdict(path)
        if found is not None and (number or found["is_complete"]):
            return path, found
        path.unlink()
    raise AssertionError("never a recording that can be kept")


def _keep(path: Path, kept: Path) -> None:
    """Compress a recording; one that was torn while it was compressed stays as it is."""
    if path.suffix == ".zst" and not _is_whole(path):
        shutil.copy(path, kept)
        return
    content = path.read_bytes()
    if path.suffix == ".zst":
        content = zstandard.ZstdDecompressor().stream_reader(content).read()
    kept.write_bytes(zstandard.compress(content, 19))


def _is_whole(path: Path) -> bool:
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    decompressor.decompress(path.read_bytes())
    return decompressor.eof


def _verdict(path: Path) -> dict[str, Any] | None:
    with RecordingReader(str(path)) as reader:
        try:
            found = Rerun(reader, discover()).run()
        except RecordingError:
            return None  # Killed before the first lines of it were on the disk.
    if not found.is_same or reader.torn is not None:
        return None
    return {
        "run": found.run,
        "frames": found.frames,
        "decisions": found.decisions,
        "decision_hash": found.decision_hash,
        "recorded_hash": found.recorded_hash,
        "is_complete": found.is_complete,
        "cycles": dict(found.cycles),
    }


def _state(home: Path, folder: Path, account: str) -> dict[str, Any]:
    state = read_state(read_journal(folder), account)
    assert state.cycles, "the bot was killed between two cycles; make them again"
    assert state.profit is not None
    assert state.limits is not None
    ledger = Ledger(lambda _: None, lambda _: None)
    ledger.restore(state.balances)
    for transaction in state.transactions:
        ledger.replay(transaction)
    environment = {**os.environ, "HOME": str(home), "ARBITRADE_CONFIG": str(home)}
    command = (sys.executable, "-m", "arbitrade", "journal", "check", "--json")
    checked = subprocess.run(
        [*command, "--account", account], env=environment, capture_output=True, check=True
    )
    (check,) = orjson.loads(checked.stdout)["journals"]
    return {
        "check": {
            name: check[name] for name in ("records", "last", "lost", "torn_bytes", "damage")
        },
        "records": state.records,
        "unknown": state.unknown,
        "last_run": state.last_run,
        "last_ns": state.last_ns,
        "balances": {asset: f"{v:f}" for asset, v in ledger.balances().items() if v},
        "open": {
            f"{run} {number}": sorted(
                name
                for name, order in state.orders.items()
                if (state.runs_of[name], order.intent.cycle) == (run, number)
            )
            for run, number in state.cycles
        },
        "ended": dict(state.ended),
        "profit": {asset: f"{v:f}" for asset, v in state.profit.realised.items()},
        "limits": dict(state.limits.changed),
        "audit": [state.audit_entry, state.audit_hash],
    }


def _detected(folder: Path) -> dict[str, str]:
    """Return digests of what `detect` says of the bundled recording, here: the current folder."""
    recording = Path("tests/data/synthetic-60-pairs.jsonl.zst").resolve()
    command = (sys.executable, "-m", "arbitrade", "detect", str(recording))
    environment = {**os.environ, "ARBITRADE_CONFIG": str(folder)}
    out = folder / "sightings.jsonl"
    subprocess.run([*command, "--out", str(out)], env=environment, check=True, capture_output=True)
    return {"sightings_sha256": hashlib.sha256(out.read_bytes()).hexdigest()}


if __name__ == "__main__":
    if sys.argv[1] == "bot":
        chosen = sys.argv[2]
        del sys.argv[1:3]
        be_bot(chosen)
    else:
        asyncio.run(make(Path(sys.argv[1])))
