"""A bench for whole runs: a simulated venue on real sockets, a real PostgreSQL, faults between.

async with bench.running() as bot:          # a `TradingSession`, trading
    await bot.until(lambda: bot.cycles > 3)
    bench.faults.inject("lost_ack", method="add_order")
await bench.assert_whole(bot)               # the oracle: the venue's own ledger
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import attrs
import pytest

from arbitrade import Secret
from arbitrade.accounting.audit import AuditEntry, verify
from arbitrade.api import Command
from arbitrade.config.load import load_settings
from arbitrade.control.places import lock_folder
from arbitrade.journal import read_journal
from arbitrade.models import Mode
from arbitrade.plugins import discover
from arbitrade.records import (
    AlertRaised,
    Audited,
    CycleClosed,
    CycleOpened,
    ExecutionBooked,
    IntentWritten,
    Record,
    RunStarted,
    TransactionBooked,
    decode,
)
from arbitrade.testing.patience import PATIENCE_S, until
from arbitrade.testing.postgres import PostgresServer, core_series, postgres_server
from arbitrade.trading.run.outcome import RunOutcome
from arbitrade.trading.run.session import TradingSession
from arbitrade_kraken.rest import call_budget
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.faults import Faults
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.exchange.rates import CallCounters
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

__all__ = ["bench", "postgres_server"]

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "SOL/USD", "SOL/BTC", "SOL/ETH", "SOL/EUR", "EUR/USD")
ZERO = Decimal(0)

type Changes = Mapping[str, Mapping[str, object]]
UNCHANGED: Changes = MappingProxyType({})


class TcpProxy:
    """Passes bytes on, until it is told to cut, to refuse or to hold them back.

    Args:
        host: Where it passes them on to.
        port: There.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._cut_at: bytes | None = None
        self.port = 0
        self.is_refusing = False
        self.cuts = 0

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End everything."""
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    def go_down(self) -> None:
        """Reset every connection and take no new one."""
        self.is_refusing = True
        self.cut()

    def come_back(self) -> None:
        """Take connections again, and let bytes flow."""
        self.is_refusing = False
        self._flows.set()

    def hold(self) -> None:
        """Pass nothing on any more; connections stay."""
        self._flows.clear()

    def cut_at(self, words: bytes) -> None:
        """Pass the next bytes from a client that have these in them on, then reset at once.

        What was asked for is carried out; the answer never comes.
        """
        self._cut_at = words

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if self.is_refusing:
                return
            back, there = await asyncio.open_connection(*self._target)
            self._writers.add(there)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, there, writer))
                group.create_task(self._pass(back, writer, None))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for one in (writer, there):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter | None,
    ) -> None:
        while content := await reader.read(1 << 16):
            await self._flows.wait()
            writer.write(content)
            await writer.drain()
            if client is not None and self._cut_at is not None and self._cut_at in content:
                self._cut_at = None
                self.cuts += 1
                # The server has it all before our end is gone.
                writer.write_eof()
                client.transport.abort()
                return
        raise ConnectionResetError


@attrs.define(eq=False)
class Bot:
    """A run under way, or over."""

    session: TradingSession
    folder: Path
    report: RunOutcome | None = None
    error: BaseException | None = None
    task: "asyncio.Task[None] | None" = None

    @property
    def machine(self):
        return self.session.parts.rig.machine

    @property
    def state(self):
        return self.session.parts.rig.state

    @property
    def closed(self) -> int:
        """Cycles that ended in this run."""
        return sum(self.state.portfolio.cycles.values())

    @property
    def begun(self) -> int:
        """Cycles begun in this run."""
        return self.state.last_cycle

    @property
    def refusals(self) -> Counter[str]:
        return self.session.parts.rig.trader.funnel.refusals

    @property
    def is_trading(self) -> bool:
        return self.state.may_begin

    @property
    def halt_reason(self) -> str:
        kill = self.session.parts.ground.kill
        return "" if kill.halt is None else kill.halt.reason

    def written(self) -> list[tuple[str, Record]]:
        """Return everything in the journal, with its run; runs before included."""
        found = []
        for entry in read_journal(self.folder / "journal" / self.session.account):
            line = decode(entry.payload)
            assert line.record is not None
            found.append((line.run, line.record))
        return found

    def records[T](self, kind: type[T]) -> list[T]:
        return [record for _, record in self.written() if isinstance(record, kind)]

    def alerts(self) -> list[str]:
        """Return the alerts of this run, `severity: title`."""
        return [
            f"{record.alert.severity.name.lower()}: {record.alert.title}"
            for run, record in self.written()
            if isinstance(record, AlertRaised) and run == self.session.parts.run_id
        ]

    def has_alert(self, words: str) -> bool:
        return any(words in alert for alert in self.alerts())

    async def until(self, holds: Callable[[], bool], what: str = "") -> None:
        """Wait for something while it runs; fail at once when the run ended instead."""
        await until(lambda: self.is_over or holds(), what)
        assert holds(), f"the run ended ({self.error!r}), so this never came: {what or holds}"

    async def until_halted(self, words: str = "") -> None:
        await self.until(lambda: bool(self.halt_reason), f"halt {words}")
        assert words in self.halt_reason

    async def until_more_cycles(self, count: int = 2) -> None:
        """Wait for cycles that begin and end from now on."""
        before, most = self.begun, self.closed
        await self.until(lambda: self.begun >= before + count and self.closed > most, "cycles")

    async def refuses_everything(self, rule: str, count: int = 5) -> None:
        """Wait for refusals by a rule; no cycle may have begun by then."""
        await self.until(lambda: not self.state.cycles, "no open cycle")
        before, begun = self.refusals[rule], self.begun
        await self.until(lambda: self.refusals[rule] >= before + count, f"refusals by {rule}")
        assert self.begun == begun

    async def until_over(self) -> None:
        await until(lambda: self.is_over, "the end of the run")

    async def wait_frames(self, count: int) -> None:
        """Let the market move on."""
        shell = self.session.parts.shell
        before = shell.frames
        await self.until(lambda: shell.frames >= before + count, "frames")

    async def resume(self) -> None:
        """Do as an operator who has looked into it."""
        answer = await self.session.command(Command("resume", "operator", {"reason": "checked"}))
        assert answer.is_done, answer

    @property
    def is_over(self) -> bool:
        return self.task is not None and self.task.done()


@attrs.define(eq=False)
class Bench:
    """A simulated venue, a database, and runs on them."""

    simulator: RunningSimulator
    server: PostgresServer
    folder: Path
    dsn: Secret
    proxy: TcpProxy
    """In front of the database."""
    gate: TcpProxy
    """In front of the venue's private socket; REST and market go past it."""
    account: str = "main"
    connection: asyncpg.Connection | None = None

    @property
    def exchange(self):
        return self.simulator.exchange

    @property
    def faults(self) -> Faults:
        return self.simulator.faults

    def inject(self, kind: str, **arguments: object) -> int:
        """Let something go wrong, with sockets at once."""
        number = self.faults.inject(kind, **arguments)  # type: ignore[arg-type]
        self.simulator.server.poke()
        return number

    def settings_of(self, changes: Changes = UNCHANGED):
        """Return plugins and settings of a run."""
        registry = discover()
        simulator = self.simulator
        overrides: dict[str, dict[str, object]] = {
            "kraken": {
                "ws_url": simulator.ws,
                "ws_auth_url": f"ws://127.0.0.1:{self.gate.port}/auth/v2",
                "rest_url": simulator.rest,
                "api_key": Secret(simulator.key.key),
                "api_secret": Secret(simulator.key.secret),
                "account": self.account,
                "nonce_folder": str(self.folder / "nonces"),
                "tier": "pro",
                "reconnect_s": 0.02,
                "reconnect_max_s": 0.2,
                "close_timeout_s": 0.5,
                "order_timeout_s": 2.0,
                "order_deadline_s": 1.0,
                "resolve_settle_s": 0.05,
            },
            "database": {"dsn": self.dsn},
            "runtime": {"folder": str(self.folder / "state")},
            "live": {"rehearsal_cycles": 0, "minimum_size_cycles": 0},
            "journal": {"fsync": "never", "record": False},
            "recording": {"compression": "none"},
            "secrets": {"keyring": False},
            "execution": {"settle_timeout_s": 0.5, "deadline_ms": 1_000, "shutdown_grace_s": 10.0},
            "risk": {
                "cooldown_s": 0,
                "maximum_orders_per_minute": 0,
                "maximum_failures": 0,
                "maximum_daily_loss": 0,
                "maximum_drawdown": 0,
                # Both sides of every socket share this process, and the machine others.
                "maximum_event_lag_s": 5,
            },
        }
        for section, values in changes.items():
            overrides[section] = {**overrides.get(section, {}), **values}
        settings = load_settings(
            registry.settings_sections(),
            folder=self.folder,
            environ={},
            overrides=overrides,
            plugin_names=[plugin.name for plugin in registry],
        )
        registry.configure(settings)
        return registry, settings

    def make_session(
        self,
        changes: Changes = UNCHANGED,
        mode: Mode = Mode.LIVE,
        **options: object,
    ) -> TradingSession:
        registry, settings = self.settings_of(changes)
        venue = registry.make_venue(settings, settings.venue)
        return TradingSession(settings, registry, venue, mode=mode, account=self.account, **options)

    @asynccontextmanager
    async def running(
        self,
        changes: Changes = UNCHANGED,
        mode: Mode = Mode.LIVE,
        *,
        is_ready: bool = True,
        **options: object,
    ) -> AsyncIterator[Bot]:
        """Run a session: trading when the body begins, ended in good order after it."""
        bot = Bot(self.make_session(changes, mode, **options), self.folder / "state")

        async def run() -> None:
            try:
                bot.report = await bot.session.run()
            except Exception as error:  # tests look at what it was
                bot.error = error

        bot.task = asyncio.create_task(run())
        try:
            if is_ready:
                await bot.until(lambda: bot.session.is_ready_to_trade.is_set(), "trading")
            yield bot
        except BaseException:
            bot.session.stop()
            bot.session.stop()
            raise
        finally:
            bot.session.stop("the test is over")
            await asyncio.wait([bot.task], timeout=PATIENCE_S)
            if not bot.task.done():
                bot.task.cancel()
                await asyncio.wait([bot.task])
                pytest.fail("the run did not end")
            bot.task.result()

    # ── the oracle ───────────────────────────────────────────────────────────────────────────────

    def balances(self) -> dict[str, Decimal]:
        """Return what the venue's own ledger says."""
        flows = ExchangeOracle(self.exchange).flows(self.account)
        return {asset: flow.closing for asset, flow in flows.items()}

    def orders(self) -> dict[str, str]:
        """Return the pairs of the orders that ended at the venue, by its ids."""
        ended = self.exchange.inquiry.closed_orders(self.account)
        return {order.order_id: order.symbol for order in ended}

    async def assert_whole(self, bot: Bot, *, is_stored: bool = True) -> None:
        """Everything that has to hold at the end of a live run, whatever went wrong in it."""
        assert bot.error is None, bot.error
        assert bot.report is not None
        self.assert_money(bot)
        self.assert_cycles_ended(bot)
        assert [str(one) for one in verify(self._audit(bot))] == []
        if is_stored:
            await self.assert_stored(bot)

    def assert_money(self, bot: Bot) -> None:
        """The ledger is the venue's to the last digit, and each fill is in it once."""
        self.assert_balances(bot)
        assert list(ExchangeOracle(self.exchange).discrepancies()) == []
        booked = [record.report.exec_id for record in bot.records(ExecutionBooked)]
        assert len(booked) == len(set(booked))
        assert self.unwritten(bot) <= {"by-hand"}

    def unwritten(self, bot: Bot) -> set[str]:
        """Return our ids of orders the venue got and the journal doesn't have."""
        intents = {record.intent.request.client_id for record in bot.records(IntentWritten)}
        ended = self.exchange.inquiry.closed_orders(self.account)
        return {order.client_id for order in ended if order.client_id} - intents

    def assert_balances(self, bot: Bot) -> None:
        """The ledger is the venue's to the last digit."""
        assert bot.report is not None
        told, ours = self.balances(), bot.report.ledger
        wrong = {
            asset: (told.get(asset, ZERO), ours.get(asset, ZERO))
            for asset in {*told, *ours}
            if told.get(asset, ZERO) != ours.get(asset, ZERO)
        }
        assert wrong == {}

    def assert_cycles_ended(self, bot: Bot) -> None:
        """Each cycle that was begun has come to its end, by whichever run."""
        written = bot.written()
        opened = [(run, one.cycle) for run, one in written if isinstance(one, CycleOpened)]
        closed = [(run, one.cycle) for run, one in written if isinstance(one, CycleClosed)]
        assert sorted(opened) == sorted(closed)
        assert all(one.state.is_final for _, one in written if isinstance(one, CycleClosed))

    async def assert_stored(self, bot: Bot) -> None:
        """The database has each record of the journal once, and its sums are the ledger's."""
        assert bot.report is not None
        written = bot.written()
        expected = {
            "run": len([one for _, one in written if isinstance(one, RunStarted)]),
            "cycle": len([one for _, one in written if isinstance(one, CycleOpened)]),
            "trade_order": len([one for _, one in written if isinstance(one, IntentWritten)]),
            "execution": len([one for _, one in written if isinstance(one, ExecutionBooked)]),
            "ledger_transaction": len(
                [one for _, one in written if isinstance(one, TransactionBooked)]
            ),
            "audit": len([one for _, one in written if isinstance(one, Audited)]),
            "rejected_record": 0,
            "journal_gap": 0,
            "unknown_record": 0,
        }
        assert {table: await self.count(table) for table in expected} == expected

    async def count(self, table: str) -> int:
        found: int = await (await self.sql()).fetchval(f"SELECT count(*) FROM {table}")
        return found

    async def sql(self) -> asyncpg.Connection:
        """Return a connection of the test's own, past the proxy."""
        if self.connection is None or self.connection.is_closed():
            self.connection = await asyncpg.connect(self.dsn_past_proxy)
        return self.connection

    @property
    def dsn_past_proxy(self) -> str:
        name = urlsplit(self.dsn.reveal()).path.lstrip("/")
        return self.server.dsn_of(name).reveal()

    def _audit(self, bot: Bot) -> list[AuditEntry]:
        return [
            AuditEntry.of(line)
            for entry in read_journal(bot.folder / "journal" / self.account)
            if isinstance((line := decode(entry.payload)).record, Audited)
        ]


@pytest.fixture
async def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer
) -> AsyncIterator[Bench]:
    """A market with an edge every few moves, without delays, and an empty database."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert tmp_path in lock_folder().parents
    wire = attrs.evolve(WireSettings().prompt(), heartbeat_s=0.5)
    simulated = SimulatorSettings(
        symbols=SYMBOLS,
        rate=150.0,
        seed=1,
        wire=wire,
        market=GeneratedMarketSettings(
            seed=1, edge_every=30, edge_bps=(30.0, 90.0), edge_lifetime=200
        ),
        exchange=ExchangeSettings(seed=1),
    )
    # The venue takes back what histories cost at half a point a second, which tests don't wait for.
    for tier, (most, _) in list(call_budget._CALLS.items()):
        monkeypatch.setitem(call_budget._CALLS, tier, (most, 100.0))
    monkeypatch.setattr(CallCounters, "charge", lambda *_: None)
    dsn = postgres_server.create(core_series())
    parts = urlsplit(dsn.reveal())
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = TcpProxy(parts.hostname, parts.port)
    await proxy.start()
    login = parts.netloc.rpartition("@")[0]
    through = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}"))
    async with running_simulator(simulated) as simulator:
        there = urlsplit(simulator.ws_auth)
        assert there.hostname is not None
        assert there.port is not None
        gate = TcpProxy(there.hostname, there.port)
        await gate.start()
        made = Bench(simulator, postgres_server, tmp_path, Secret(through), proxy, gate)
        try:
            yield made
        finally:
            if made.connection is not None:
                await made.connection.close()
            await gate.close()
            await proxy.close()
            postgres_server.drop(dsn)
