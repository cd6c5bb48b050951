"""A venue and a database that outlive the bots which are started, killed and started again.

The venue is the simulator, in the process of the test: its ledger is the oracle.  The bot is the
real command in a process of its own (`killable_bot.py`), with folder and home below the test's.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import attrs
import orjson

from arbitrade.accounting.audit import AuditEntry, verify
from arbitrade.api import Answer, BotState
from arbitrade.control.client import ControlClient
from arbitrade.errors import ControlError
from arbitrade.journal import read_journal
from arbitrade.records import Audited, CycleClosed, CycleOpened, IntentWritten, Written, decode
from arbitrade.secrets import Secret
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.keys import VerificationTier
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

ACCOUNT = "main"
_BOT = Path(__file__).with_name("killable_bot.py")
_ZERO = Decimal(0)
_WIRE = Decimal("0.0001")
"""Histories tell amounts in the ledger's precision of their asset; what counts is the ledger."""

# Nothing that keeps the bot from trading: what is tested is what trading leaves behind.
WIDE_OPEN = {
    "RISK__COOLDOWN_S": "0",
    "RISK__MAXIMUM_ORDERS_PER_MINUTE": "0",
    "RISK__MAXIMUM_DAILY_LOSS": "0",
    "RISK__MAXIMUM_DRAWDOWN": "0",
    "RISK__MAXIMUM_FAILURES": "0",
    "RISK__MAXIMUM_EVENT_LAG_S": "0",
    "RISK__MAXIMUM_DECISION_AGE_S": "0",
    "RISK__MAXIMUM_IN_FLIGHT": "0",
    "RISK__MAXIMUM_PER_ASSET": "0",
    "RISK__UNWIND_LOSS_CAP": "500",
    "LIVE__REHEARSAL_CYCLES": "0",
    "LIVE__MINIMUM_SIZE_CYCLES": "0",
    "EXECUTION__DEADLINE_MS": "1000",
    "EXECUTION__SETTLE_TIMEOUT_S": "0.5",
    "KRAKEN__TIER": "pro",
    "KRAKEN__ORDER_TIMEOUT_S": "1",
    "KRAKEN__RESOLVE_SETTLE_S": "0.5",
    "KRAKEN__ORDER_DEADLINE_S": "1",
}
MARKET = GeneratedMarketSettings(seed=5, edge_every=80, edge_bps=(15.0, 60.0), edge_lifetime=2_000)
WIRE = WireSettings(attempts=0, snapshot_ms=(5, 20), processing_ms=(1, 8), network_ms=(1, 4))


class Bot:
    """One start of the bot."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.began = time.monotonic()
        self.began_ns = time.time_ns()
        self.log: list[tuple[float, dict[str, Any]]] = []
        self._folder = folder
        self._changed = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())
        self._output = asyncio.create_task(self._read_output())

    @property
    def events(self) -> list[str]:
        """Names of what it logged."""
        return [str(line.get("event", "")) for _, line in self.log]

    def seconds_to(self, event: str) -> float | None:
        """Return when it logged something first, counted from its start."""
        found = (at - self.began for at, line in self.log if line.get("event") == event)
        return next(found, None)

    async def until(self, event: str, timeout_s: float = PATIENCE_S) -> float:
        """Wait until it logs something; return when that was, counted from its start."""
        try:
            async with asyncio.timeout(timeout_s):
                while (at := self.seconds_to(event)) is None:
                    if self._listening.done():
                        raise AssertionError(f"ended without {event}: {self.last_words()}")
                    self._changed.clear()
                    waits = asyncio.create_task(self._changed.wait())
                    await asyncio.wait(
                        {waits, self._listening}, return_when=asyncio.FIRST_COMPLETED
                    )
                    waits.cancel()
        except TimeoutError:
            state = await self._tell()
            raise AssertionError(f"no {event}: {state} {self.last_words()}") from None
        return at

    async def until_active(self) -> float:
        """Wait until it trades; return the seconds since its start."""
        return await self.until("trading.active")

    async def until_active_or_end(self) -> bool:
        """Wait until it trades or is gone; return whether it trades."""
        try:
            await self.until("trading.active")
        except AssertionError:
            if self._listening.done() and await self.process.wait() == -signal.SIGKILL:
                return False
            raise
        return True

    async def wait(self, seconds: float) -> None:
        """Let it live so long, less if it ends before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.process.wait()

    async def until_state(
        self, holds: Callable[[BotState], bool], timeout_s: float = PATIENCE_S
    ) -> BotState:
        """Ask it again and again until something holds."""
        state: BotState | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while state is None or not holds(state):
                    with suppress(ControlError):
                        state = await self.state()
                    # A bot that is asked without a pause has no time for anything else.
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"never came to that: {state} {self.last_words()}") from None
        return state

    async def state(self) -> BotState:
        """Ask it how it stands."""
        return await asyncio.to_thread(ControlClient(self._folder, ACCOUNT).state)

    async def command(self, name: str, **arguments: str) -> Answer:
        """Have it do something, by the control socket."""
        client = ControlClient(self._folder, ACCOUNT)
        return await asyncio.to_thread(client.command, name, arguments)

    def signal(self, number: int) -> None:
        """Send a signal, if it is still there."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it as nothing can be caught."""
        self.signal(signal.SIGKILL)

    async def ended(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        try:
            async with asyncio.timeout(timeout_s):
                code = await self.process.wait()
        except TimeoutError:
            state = await self._tell()
            self.kill()
            raise AssertionError(f"doesn't end: {state} {self.last_words()}") from None
        await self._listening
        return code

    async def stopped(self) -> dict[str, Any]:
        """End it in good order; return its report."""
        self.signal(signal.SIGTERM)
        assert await self.ended() == 0, self.last_words()
        report: dict[str, Any] = orjson.loads(await self._output)
        return report

    async def put_away(self) -> None:
        """See to it that nothing is left of it."""
        if self.process.returncode is None:
            self.signal(signal.SIGCONT)
            self.kill()
            await self.process.wait()
        await asyncio.gather(self._listening, self._output, return_exceptions=True)

    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n" + "\n".join(
            orjson.dumps(line, default=str).decode() for _, line in self.log[-25:]
        )

    async def _tell(self) -> object:
        try:
            return await self.state()
        except ControlError as error:
            return str(error)

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            try:
                fields = orjson.loads(line)
            except ValueError:
                fields = {"event": "", "text": line.decode(errors="replace").rstrip()}
            if not isinstance(fields, dict):
                fields = {"event": "", "text": str(fields)}
            self.log.append((time.monotonic(), fields))
            self._changed.set()

    async def _read_output(self) -> bytes:
        assert self.process.stdout is not None
        return await self.process.stdout.read()


@attrs.define(eq=False)
class Bench:
    """One account at one venue, and every bot that ever traded it.

    Args:
        folder: For everything the bots write.
        venue: The oracle.
        dsn: Of the database.
        bots: In the order they were started.
    """

    folder: Path
    venue: RunningSimulator
    dsn: Secret
    bots: list[Bot] = attrs.field(factory=list)
    settings: dict[str, str] = attrs.field(factory=dict)
    """Of every bot from now on, as environment variables without their prefix."""

    @property
    def state_folder(self) -> Path:
        """Where a bot keeps its journal, lock and switch."""
        return self.folder / "state"

    async def start(
        self, point: str = "", nth: int = 1, *, settled: bool = False, **settings: str
    ) -> Bot:
        """Start a bot, to be killed at a point if one is named.

        Args:
            point: See `killable_bot.py`.
            nth: At which passing.
            settled: Whether the journal has everything before that.
            settings: Of this one.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(_BOT), "--config", str(self.folder)),
            *("run", "--mode", "live", "--arm", ACCOUNT, "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(settings) | _trap(point, nth, settled),
            limit=1 << 24,
            start_new_session=True,
        )
        bot = Bot(process, self.state_folder)
        self.bots.append(bot)
        return bot

    async def killed_at(self, point: str, nth: int = 1, **more: Any) -> Bot:
        """Start a bot and wait until it has killed itself."""
        bot = await self.start(point, nth, **more)
        assert await bot.ended() == -signal.SIGKILL, bot.last_words()
        return bot

    async def recovered(self, **settings: str) -> Bot:
        """Start a bot and wait until it trades."""
        bot = await self.start(**settings)
        await bot.until_active()
        return bot

    def fault(self, kind: str, **how: Any) -> None:
        """Let something go wrong at the venue."""
        self.venue.faults.inject(kind, **how)

    # ── what must hold ───────────────────────────────────────────────────────────────────────────

    async def check(self, report: Mapping[str, Any]) -> "Findings":
        """Compare journal, database, report and venue, each with the others.

        Args:
            report: Of the last bot, which ended in good order.
        """
        journal = self.journal()
        connection = await asyncpg.connect(self.dsn.reveal())
        try:
            await self._check_orders(connection, journal)
            await self._check_fills(connection)
            flagged = await self._check_cycles(connection, journal)
            await self._check_money(connection, report)
            await self._check_audit(connection, journal)
            await self._check_nothing_lost(connection, journal)
            states = await connection.fetch("SELECT state, count(*) FROM cycle GROUP BY state")
        finally:
            await connection.close()
        return Findings(
            orders=len(self.orders()),
            fills=len(self.venue.exchange.inquiry.fills(ACCOUNT)),
            cycles={str(state): int(count) for state, count in states},
            flagged=flagged,
        )

    def journal(self) -> list[tuple[int, Written]]:
        """Return all records with their numbers."""
        entries = read_journal(self.state_folder / "journal" / ACCOUNT)
        return [(entry.seq, decode(entry.payload)) for entry in entries]

    def orders(self) -> list[Any]:
        """Return every order the venue ever saw of the bots; one of nobody's has no id of ours."""
        exchange = self.venue.exchange
        orders = [*exchange.inquiry.closed_orders(ACCOUNT), *exchange.inquiry.open_orders(ACCOUNT)]
        return [order for order in orders if order.client_id is not None]

    async def _check_orders(self, connection: Any, journal: list[tuple[int, Written]]) -> None:
        """I1: no order without an intent that was written before it, and none was sent twice."""
        assert not self.venue.exchange.inquiry.open_orders(ACCOUNT)
        orders = self.orders()
        twice = [name for name, count in Counter(o.client_id for o in orders).items() if count > 1]
        assert not twice, f"sent twice: {twice}"
        intents = {
            one.record.intent.request.client_id: one
            for _, one in journal
            if isinstance(one.record, IntentWritten)
        }
        rows = await connection.fetch("SELECT * FROM trade_order")
        stored = {row["client_id"]: row for row in rows}
        assert stored.keys() == intents.keys()
        for order in orders:
            written = intents[order.client_id]
            request = written.record.intent.request  # type: ignore[union-attr]
            asked = (request.symbol, request.side, request.quantity, request.limit_price)
            assert asked == (order.symbol, order.side, order.quantity, order.limit_price)
            assert written.time_ns <= order.created_ns
            row = stored[order.client_id]
            assert row["ended_at"] is not None, f"{order.client_id} has no end"
            assert abs(row["filled_quantity"] - order.filled) <= _WIRE * len(order.fills)
        unfinished = [name for name, row in stored.items() if row["ended_at"] is None]
        assert not unfinished, f"no end is known of {unfinished}"
        seen = {order.client_id for order in orders}
        for name, row in stored.items():
            assert name in seen or row["filled_quantity"] == 0

    async def _check_fills(self, connection: Any) -> None:
        """I2: each execution once, as the venue has it."""
        rows = await connection.fetch("SELECT * FROM execution")
        fees = await connection.fetch("SELECT * FROM execution_fee")
        booked = {row["exec_id"]: row for row in rows}
        assert len(rows) == len(booked)
        exchange = self.venue.exchange
        fills = exchange.inquiry.fills(ACCOUNT)
        assert booked.keys() <= {fill.exec_id for fill in fills}
        moved = {row.ledger_id: row.amount or row.fee for row in exchange.inquiry.ledger(ACCOUNT)}
        missing = [fill for fill in fills if fill.exec_id not in booked]
        # Histories tell amounts as the ledger keeps them: less than its last digit is no fill.
        assert not [fill for fill in missing if any(moved[row] for row in fill.ledger_ids)]
        for fill in fills:
            if fill in missing:
                continue
            row = booked[fill.exec_id]
            assert (row["order_id"], row["price"]) == (fill.order_id, fill.price)
            assert abs(row["quantity"] - fill.quantity) <= _WIRE, fill
        paid = {row["exec_id"]: (row["asset"], row["amount"]) for row in fees if row["amount"]}
        assert len(paid) == sum(bool(row["amount"]) for row in fees)
        charged = {fill.exec_id: (fill.fee_asset, fill.fee) for fill in fills if fill.fee}
        assert paid.keys() <= charged.keys()
        assert all(charged[name][1] <= _WIRE for name in charged.keys() - paid.keys())
        for name in paid:
            asset, fee = charged[name]
            assert paid[name][0] == asset
            assert abs(paid[name][1] - fee) <= _WIRE, name

    async def _check_cycles(
        self, connection: Any, journal: list[tuple[int, Written]]
    ) -> dict[str, Decimal]:
        """I3: each cycle has its end, and says what it left; return what was left in all."""
        opened = Counter(
            (one.run, one.record.cycle) for _, one in journal if isinstance(one.record, CycleOpened)
        )
        closed = [
            (one.run, one.record) for _, one in journal if isinstance(one.record, CycleClosed)
        ]
        assert set(opened.values()) <= {1}
        assert Counter((run, one.cycle) for run, one in closed) == opened
        assert await connection.fetchval("SELECT count(*) FROM cycle") == len(opened)
        assert not await connection.fetch("SELECT * FROM cycle WHERE closed_at IS NULL")
        # What the cycles say they moved is what the venue moved, and nobody else did.
        moved: dict[str, Decimal] = {}
        left: dict[str, Decimal] = {}
        for _, one in closed:
            assert one.state.is_final
            for asset, amount in one.flows.items():
                moved[asset] = moved.get(asset, _ZERO) + amount
            if one.state.value == "flagged":
                assert any(one.residual.values())
                for asset, amount in one.residual.items():
                    left[asset] = left.get(asset, _ZERO) + amount
        flows = ExchangeOracle(self.venue.exchange).flows(ACCOUNT)
        for asset, flow in flows.items():
            assert moved.get(asset, _ZERO) == flow.closing - flow.opening, asset
        return left

    async def _check_money(self, connection: Any, report: Mapping[str, Any]) -> None:
        """I4: the ledger is the venue's to the last digit, in the database and in the report."""
        flows = ExchangeOracle(self.venue.exchange).flows(ACCOUNT)
        holdings = self.venue.exchange.inquiry.holdings(ACCOUNT)
        rows = await connection.fetch(
            "SELECT asset, sum(amount) AS total FROM posting WHERE ledger_account = 'wallet' "
            "GROUP BY asset"
        )
        ours = {row["asset"]: row["total"] for row in rows if row["total"]}
        told = {name: held.total for name, held in holdings.items() if held.total}
        assert not _different(ours, told)
        for asset, flow in flows.items():
            assert flow.closing == holdings[asset].total
        assert not any(Decimal(str(v)) for v in report["ledger_difference"].values())
        assert ExchangeOracle(self.venue.exchange).discrepancies() == ()

    async def _check_audit(self, connection: Any, journal: list[tuple[int, Written]]) -> None:
        """I8: the chain holds through journal and database, and starts and ends are in it."""
        entries = [AuditEntry.of(one) for _, one in journal if isinstance(one.record, Audited)]
        assert verify(entries) == []
        rows = await connection.fetch("SELECT hash FROM audit ORDER BY id")
        assert [row["hash"] for row in rows] == [entry.hash for entry in entries]
        assert entries[-1].action == "stop"

    async def _check_nothing_lost(
        self, connection: Any, journal: list[tuple[int, Written]]
    ) -> None:
        """I10: every record is in the database, none was refused, unknown or left out."""
        numbers = [number for number, _ in journal]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        for table in ("rejected_record", "unknown_record", "journal_gap"):
            rows = await connection.fetch(f"SELECT * FROM {table}")
            assert not rows, f"{table}: {[dict(row) for row in rows][:3]}"
        position = await connection.fetchval("SELECT seq FROM journal_position")
        assert position == numbers[-1]
        runs = await connection.fetchval("SELECT count(*) FROM run")
        assert runs == len({one.run for _, one in journal})

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return ours without settings, with those of the bench."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ARBITRADE_", "PG", "CHAOS_"))
        }
        venue = self.venue
        # A key of its own for each start: its counter of calls would fill up otherwise.
        key = venue.exchange.accounts.make_key(ACCOUNT)
        ours = {
            "LOG__FORMAT": "json",
            "PLUGINS__ENABLED": '["kraken", "triangular"]',
            "RUNTIME__FOLDER": str(self.state_folder),
            "DATABASE__DSN": self.dsn.reveal(),
            "KRAKEN__WS_URL": venue.ws,
            "KRAKEN__WS_AUTH_URL": venue.ws_auth,
            "KRAKEN__REST_URL": venue.rest,
            "KRAKEN__API_KEY": key.key,
            "KRAKEN__API_SECRET": key.secret,
            "KRAKEN__NONCE_FOLDER": str(self.state_folder),
            "KRAKEN__ACCOUNT": ACCOUNT,
            "SECRETS__KEYRING": "false",
            **WIDE_OPEN,
            **self.settings,
            **settings,
        }
        named = {f"ARBITRADE_{name}": value for name, value in ours.items() if name != "HOME"}
        home = settings.get("HOME", str(self.folder))
        return {**kept, **named, "HOME": home, "PYTHONUNBUFFERED": "1"}


class Proxy:
    """Stands between the bots and the database, and can be cut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._lines: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self.port = 0
        self.dead_port = 9
        """Where nobody listens."""

    @classmethod
    @asynccontextmanager
    async def before(cls, bench: Bench) -> AsyncIterator["Proxy"]:
        """Put one before the bench's database while the context is open."""
        whole = urlsplit(bench.dsn.reveal())
        proxy = cls((whole.hostname or "127.0.0.1", whole.port or 5432))
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        user = whole.netloc.rpartition("@")[0]
        address = f"{user}@127.0.0.1:{proxy.port}" if user else f"127.0.0.1:{proxy.port}"
        bench.settings["DATABASE__DSN"] = urlunsplit(whole._replace(netloc=address))
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)
            bench.settings.pop("DATABASE__DSN", None)

    def cut(self) -> None:
        """End every connection, and let no new one through."""
        self._is_cut = True
        for line in self._lines:
            line.close()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        there, back = await asyncio.open_connection(*self._target)
        self._lines |= {writer, back}
        ways = [asyncio.create_task(_pump(reader, back)), asyncio.create_task(_pump(there, writer))]
        self._tasks |= set(ways)
        await asyncio.wait(ways)
        self._tasks -= set(ways)
        self._lines -= {writer, back}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


@attrs.frozen
class Findings:
    """What a bench saw in all.

    Args:
        cycles: By how they ended.
        flagged: What flagged cycles left, by asset.
    """

    orders: int
    fills: int
    cycles: Mapping[str, int]
    flagged: Mapping[str, Decimal]


@asynccontextmanager
async def open_bench(
    folder: Path, dsn: Secret, *, rate: float = 300.0, market: GeneratedMarketSettings = MARKET
) -> AsyncIterator[Bench]:
    """Run a venue while the context is open; every bot is gone at its end."""
    settings = SimulatorSettings(
        account=ACCOUNT, pairs=16, rate=rate, seed=market.seed, market=market, wire=WIRE
    )
    async with running_simulator(settings) as venue:
        venue.exchange.accounts.get(ACCOUNT).tier = VerificationTier.PRO
        bench = Bench(folder, venue, dsn)
        try:
            yield bench
        finally:
            for bot in bench.bots:
                await bot.put_away()


def _trap(point: str, nth: int, settled: bool) -> dict[str, str]:
    if not point:
        return {}
    return {"CHAOS_POINT": point, "CHAOS_NTH": str(nth), "CHAOS_SETTLED": "1" if settled else "0"}


def _different(ours: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, object]:
    """Return where the two differ: ours, then the venue's."""
    names = ours.keys() | theirs.keys()
    return {n: (ours.get(n), theirs.get(n)) for n in sorted(names) if ours.get(n) != theirs.get(n)}
