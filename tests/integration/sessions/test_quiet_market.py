"""Runs where the market says nothing: what begins, halts and ends them, without a clock's help."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from arbitrade import hookimpl
from arbitrade.accounting.ledger import Ledger
from arbitrade.api import Command
from arbitrade.book import OrderBook
from arbitrade.config.load import load_settings
from arbitrade.errors import ConfigError, JournalFullError
from arbitrade.execution.sequential import SequentialExecutor
from arbitrade.journal import FsyncPolicy, Journal, read_journal
from arbitrade.models import Asset, BookDelta, InstrumentsChanged, Mode, TradingState
from arbitrade.plugins import PluginRegistry, PluginState
from arbitrade.process.tasks import until
from arbitrade.records import TransactionBooked, encode
from arbitrade.risk.state import TradingAllowed
from arbitrade.testing.factories import make_book, make_instrument
from arbitrade.testing.patience import PATIENCE_S
from arbitrade.testing.risk import make_opportunity
from arbitrade.testing.trading import TradingBench
from arbitrade.testing.venue import EventVenue
from arbitrade.trading.machine.events import PluginSwapped
from arbitrade.trading.machine.recovery import read_state
from arbitrade.trading.run.session import TradingSession

ACCOUNT = "quiet"
INSTRUMENTS = InstrumentsChanged(
    True,
    tuple(make_instrument(s, minimum_quantity="0.001") for s in ("BTC/USD", "ETH/BTC", "ETH/USD")),
    (Asset("USD", 4), Asset("BTC", 10), Asset("ETH", 10)),
)


class QuietFeed:
    async def run(self) -> None:
        await asyncio.Event().wait()

    def resync(self, symbol: str) -> None:
        """Nothing to resync."""

    def statistics(self) -> dict[str, int]:
        return {}


class QuietVenue(EventVenue):
    def make_feed(self, choose, handler):
        return QuietFeed()


def make_session(folder: Path, registry: PluginRegistry | None = None, **plugins) -> TradingSession:
    registry = PluginRegistry.of([]) if registry is None else registry
    settings = load_settings(
        registry.settings_sections(),
        folder=folder,
        environ={},
        overrides={
            "database": {"dsn": "postgresql://nobody:nothing@127.0.0.1:1/none"},
            "runtime": {"folder": str(folder / "state")},
            "secrets": {"keyring": False},
            "journal": {"fsync": "never", "record": False},
            "plugins": plugins,
        },
        plugin_names=[plugin.name for plugin in registry],
    )
    registry.configure(settings)
    return TradingSession(settings, registry, QuietVenue(), mode=Mode.PAPER, account=ACCOUNT)


@asynccontextmanager
async def running(session: TradingSession) -> AsyncIterator[TradingSession]:
    """Have a session run, ready to trade, and end it soon afterwards."""
    task = asyncio.create_task(session.run())
    try:
        await begun(session)
        yield session
    finally:
        session.stop("the test has seen enough")
        session.stop()
        await task


async def begun(session: TradingSession) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await until(lambda: session.parts.outlet.is_written_down)
        show_books(session)
        await session.is_ready_to_trade.wait()


def show_books(session: TradingSession) -> None:
    """100 USD buy 1 BTC, that buys 4 ETH, those bring 104 USD; as much of it as anybody wants."""
    engine = session.parts.rig.engine
    engine.learn(INSTRUMENTS)
    for symbol, bid, ask in (
        ("BTC/USD", "99", "100"),
        ("ETH/BTC", "0.24", "0.25"),
        ("ETH/USD", "26", "27"),
    ):
        book: OrderBook = make_book(symbol, bids=[(bid, 90)], asks=[(ask, 90)])
        engine.on_event(BookDelta(symbol, True, list(book.bids), list(book.asks), None, None))


async def test_journal_that_is_full_halts_within_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(make_session(tmp_path)) as session:
        parts, written = session.parts, list[str]()
        rig, keep = parts.rig, parts.ground.journal.append
        rig.trader.use_rules([TradingAllowed(rig.trader.view)])

        def append(payload: bytes, *, critical: bool = False) -> int:
            if not critical:
                raise JournalFullError("full")
            written.append(orjson.loads(payload)["kind"])
            return keep(payload, critical=True)

        monkeypatch.setattr(parts.ground.journal, "append", append)
        rig.trader.at(parts.clock.tick())
        keys = [f"USD>BTC>ETH {number}" for number in range(3)]
        parts.shell.act([make_opportunity(key=key, edge_bps=270, size=10) for key in keys], 0)
        monkeypatch.undo()
        # What could not be halted any more is the first; its order's intent may use the reserve.
        assert written.count("intent") == 1
        assert rig.state.last_cycle == 1
        assert rig.state.trading_state is TradingState.HALTED
        assert rig.trader.funnel.refusals["trading_state"] == 2


async def test_run_that_fails_to_take_over_what_was_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = TradingBench({"USD": 1_000})
    crashed.find()
    crashed.accept(crashed.last)
    crashed.fill(crashed.last)
    folder = tmp_path / "state" / "journal" / ACCOUNT
    journal = Journal(folder, fsync=FsyncPolicy.NEVER)
    journal.open()
    for at_ns, run, record in crashed.records:
        journal.append(encode(record, run, ACCOUNT, at_ns))
    journal.close()
    replay, count = Ledger.replay, 0

    def fails_half_way(self, transaction):
        nonlocal count
        count += 1
        if count == 2:
            raise ZeroDivisionError("half way")
        return replay(self, transaction)

    monkeypatch.setattr(Ledger, "replay", fails_half_way)
    with pytest.raises(ZeroDivisionError, match="half way"):
        await make_session(tmp_path).run()
    monkeypatch.undo()
    # Nothing was written over what is true; the next start knows all of it.
    after = read_state(read_journal(folder), ACCOUNT)
    true = [record for _, _, record in crashed.records if isinstance(record, TransactionBooked)]
    assert list(after.transactions) == true
    assert len(after.cycles) == 1


class Misconfigured:
    @hookimpl
    def arbitrade_register_detectors(self, settings, instruments):
        raise ConfigError(["bad.threshold: 'x' is no number"])


async def test_plugin_that_cannot_be_enabled_is_answered_and_trading_goes_on(
    tmp_path: Path,
) -> None:
    registry = PluginRegistry.of({"bad": Misconfigured()})
    async with running(make_session(tmp_path, registry, disabled=["bad"])) as session:
        enable = Command("plugin", "operator", {"name": "bad", "state": "enabled"})
        answer = await session.command(enable)
        assert not answer.is_done
        assert "bad.threshold: 'x' is no number" in answer.message
        assert registry.state("bad") is PluginState.DISABLED
        assert session.state().trading_state is TradingState.ACTIVE


async def test_signal_at_the_moment_the_time_is_over_is_no_second_one(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    task = asyncio.create_task(session.run(seconds=2))
    await begun(session)
    # The loop is held up until both are due.
    asyncio.get_running_loop().call_later(2, session.stop, "a signal")
    threading.Event().wait(2.5)
    outcome = await task
    assert outcome.reason in ("a signal", "ran for 2 s")
    assert not session._hurry.is_set()


async def test_nothing_resumes_once_the_end_is_asked_for(tmp_path: Path) -> None:
    async with running(make_session(tmp_path)) as session:
        halted = await session.command(Command("halt", "operator", {"reason": "enough"}))
        assert halted.is_done
        session.stop("a signal")
        await session.command(Command("resume", "operator", {"reason": "go on"}))
        assert session.parts.rig.state.trading_state is not TradingState.ACTIVE


@pytest.mark.parametrize("name", ["sequential", "another"])
def test_way_to_full_size_counts_whoever_carried_cycles_out(tmp_path: Path, name: str) -> None:
    async def small() -> int:
        rig = make_session(tmp_path).parts.rig
        began: Callable[..., object] = rig._climb
        recovered = read_state((), ACCOUNT)
        recovered.ended.update(
            {f"{name} completed": 2, f"{name} unwound": 3, "rehearsal completed": 9}
        )
        began(recovered)
        return rig.ramp.small

    assert asyncio.run(small()) == 2


class Watcher:
    """Finds nothing, and would have it carried out by an executor of its own."""

    executor = "mine"

    def __init__(self, name: str) -> None:
        self.name = name

    def on_instruments(self, instruments):
        """Nothing depends on them."""

    def on_fees(self, fees):
        """Nothing depends on them."""

    def on_void(self, symbol):
        """Nothing is remembered."""

    def on_book(self, book, changed):
        return ()


class Bringer:
    @hookimpl
    def arbitrade_register_detectors(self, settings, instruments):
        return [Watcher("mine")]

    @hookimpl
    def arbitrade_make_executor(self, settings, name):
        return SequentialExecutor(name="mine") if name == "mine" else None


class Borrower:
    @hookimpl
    def arbitrade_register_detectors(self, settings, instruments):
        return [Watcher("borrows")]


@pytest.mark.parametrize("is_borrowed", [False, True], ids=["its own", "another plugin's"])
async def test_executor_that_is_put_aside_stops_whoever_still_needs_it(
    tmp_path: Path, is_borrowed: bool
) -> None:
    plugins = {"bringer": Bringer()} | ({"borrower": Borrower()} if is_borrowed else {})
    registry = PluginRegistry.of(plugins)
    async with running(make_session(tmp_path, registry)) as session:
        shell, state = session.parts.shell, session.parts.rig.state
        assert state.trading_state is TradingState.ACTIVE
        shell.tell(PluginSwapped("bringer", "quarantined", "it did harm"))
        assert registry.state("bringer") is PluginState.QUARANTINED
        assert (state.trading_state is TradingState.REDUCING) is is_borrowed
        assert ("it did harm" in state.executor_problem) is is_borrowed
        enable = Command("plugin", "operator", {"name": "bringer", "state": "enabled"})
        answer = await session.command(enable)
        assert answer.is_done, answer.message
        assert (state.trading_state, state.executor_problem) == (TradingState.ACTIVE, "")
