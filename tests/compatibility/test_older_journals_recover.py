"""A bot of today goes on from a journal of commit 2ea1949, and first ends what was left open."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import asyncpg
import orjson
import pytest
from kept import JOURNALS, unpacked_journal

from arbitrade.accounting.audit import AuditEntry, verify
from arbitrade.accounting.ledger import Ledger
from arbitrade.config import Secret
from arbitrade.config.load import load_settings
from arbitrade.journal import read_journal
from arbitrade.models import Mode
from arbitrade.plugins import discover
from arbitrade.records import Audited, CycleClosed, CycleOpened, Written, decode
from arbitrade.trading.machine.recovery import Recovered, read_state
from arbitrade.trading.run.outcome import RunOutcome
from arbitrade.trading.run.session import TradingSession
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

# The market the journals come from: what was held when their bots died can be sold in it.
SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "SOL/USD", "SOL/EUR", "EUR/USD")
MARKET = GeneratedMarketSettings(seed=5, edge_every=25, edge_bps=(15.0, 60.0), edge_lifetime=120)
PATIENCE_S = 120.0
PAPER = {"BTC": Decimal("0.1"), "ETH": Decimal(2)} | dict.fromkeys(
    ("EUR", "USD", "USDT"), Decimal(10_000)
)
"""What the paper account began with."""
MODES = {"paper": Mode.PAPER, "main": Mode.LIVE}


def balances(state: Recovered) -> dict[str, Decimal]:
    """Return what the ledger begins with."""
    ledger = Ledger(lambda _: None, lambda _: None)
    ledger.restore(state.balances)
    for transaction in state.transactions:
        ledger.replay(transaction)
    return {asset: amount for asset, amount in ledger.balances().items() if amount}


def amounts(told: Mapping[str, str]) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in told.items()}


def written(folder: Path) -> list[Written]:
    return [decode(entry.payload) for entry in read_journal(folder)]


@pytest.mark.parametrize("account", JOURNALS)
def test_a_journal_tells_what_it_told(account: str, tmp_path: Path) -> None:
    figures = JOURNALS[account]
    state = read_state(read_journal(unpacked_journal(account, tmp_path)), account)
    assert balances(state) == amounts(figures["balances"])
    assert state.profit is not None
    assert dict(state.profit.realised) == amounts(figures["profit"])
    assert state.limits is not None
    assert dict(state.limits.changed) == figures["limits"]
    assert [state.audit_entry, state.audit_hash] == figures["audit"]
    assert dict(state.ended) == figures["ended"]
    assert {f"{run} {number}" for run, number in state.cycles} == figures["open"].keys()
    assert sorted(state.orders) == sorted(
        name for names in figures["open"].values() for name in names
    )
    for name in ("records", "unknown", "last_run", "last_ns"):
        assert getattr(state, name) == figures[name]


@pytest.mark.parametrize("account", JOURNALS)
def test_a_journal_is_found_as_whole_as_it_was(account: str, tmp_path: Path) -> None:
    unpacked_journal(account, tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARBITRADE_")}
    completed = subprocess.run(
        [sys.executable, "-m", "arbitrade", "journal", "check", "--json"],
        env={
            **kept,
            "ARBITRADE_CONFIG": str(tmp_path),
            "ARBITRADE_RUNTIME__FOLDER": str(tmp_path),
        },
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr.decode()
    (found,) = orjson.loads(completed.stdout)["journals"]
    figures = JOURNALS[account]["check"]
    assert {name: found[name] for name in figures} == figures


@pytest.mark.timeout(3 * PATIENCE_S)
@pytest.mark.parametrize("account", JOURNALS)
async def test_a_bot_first_ends_what_was_open_then_trades_and_all_adds_up(
    account: str, tmp_path: Path, dsn: Secret
) -> None:
    """The live account holds at the venue what it held when its bot was killed.

    Of the last order this venue knows nothing.  Nor did the other: the order was written down, and
    the bot killed before it could send it.
    """
    figures = JOURNALS[account]
    folder = unpacked_journal(account, tmp_path)
    is_live = MODES[account] is Mode.LIVE
    simulator = SimulatorSettings(
        symbols=SYMBOLS,
        seed=5,
        rate=200.0,
        balances=amounts(figures["balances"]) if is_live else None,
        wire=WireSettings().prompt(),
        market=MARKET,
    )
    async with running_simulator(simulator) as venue:
        outcome = await traded(venue, account, tmp_path, dsn)
        held = {asset: one.total for asset, one in venue.exchange.inquiry.holdings("main").items()}
    lines = written(folder)
    assert figures["open"].keys() <= ended_before_trading(lines, outcome.state.run)
    await assert_nothing_is_lost(lines, dsn)
    assert not any(outcome.differences.values())
    assert_profit_goes_on(lines, outcome)
    opening = held if is_live else {a: v + outcome.state.profit.get(a, 0) for a, v in PAPER.items()}
    assert not_zero(outcome.ledger) == not_zero(opening)


async def traded(venue: RunningSimulator, account: str, folder: Path, dsn: Secret) -> RunOutcome:
    """Trade until a cycle has ended beside those that were open; return what was done."""
    registry = discover()
    overrides: dict[str, dict[str, object]] = {
        "runtime": {"folder": str(folder)},
        "database": {"dsn": dsn},
        "journal": {"record": False},
        "live": {"rehearsal_cycles": 0, "minimum_size_cycles": 0},
        "execution": {"shutdown_grace_s": 60.0},
        # Nothing that keeps the bot from trading.
        "risk": {
            "cooldown_s": "0",
            "maximum_orders_per_minute": 0,
            "maximum_failures": 0,
            "maximum_daily_loss": "0",
            "maximum_drawdown": "0",
            "maximum_event_lag_s": 0,
            "maximum_decision_age_s": 0,
            "unwind_loss_cap": "500",
        },
        "log": {"level": "error"},
        "kraken": {
            "ws_url": venue.ws,
            "ws_auth_url": venue.ws_auth,
            "rest_url": venue.rest,
            "api_key": Secret(venue.key.key),
            "api_secret": Secret(venue.key.secret),
            "account": "main",
            "nonce_folder": str(folder),
            "order_deadline_s": 1.0,
            "resolve_settle_s": 0.05,
        },
    }
    settings = load_settings(
        registry.settings_sections(), folder=folder, environ={}, overrides=overrides
    )
    registry.configure(settings)
    session = TradingSession(
        settings,
        registry,
        registry.make_venue(settings, "kraken"),
        mode=MODES[account],
        account=account,
    )

    async def stop_after_trading() -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while sum(session.state().cycles.values()) <= len(JOURNALS[account]["open"]):
                    await asyncio.sleep(0.01)
        finally:
            session.stop("the test has seen enough")

    stopping = asyncio.create_task(stop_after_trading())
    outcome = await session.run()
    await stopping
    return outcome


def ended_before_trading(lines: Sequence[Written], run: str) -> set[str]:
    """Return the cycles that had ended when this run opened its first."""
    opened = (
        at
        for at, line in enumerate(lines)
        if line.run == run and isinstance(line.record, CycleOpened)
    )
    return {
        f"{line.run} {line.record.cycle}"
        for line in lines[: next(opened)]
        if isinstance(line.record, CycleClosed)
    }


async def assert_nothing_is_lost(lines: Sequence[Written], dsn: Secret) -> None:
    """Every cycle has its end, the audit is one chain, an empty database has taken every record."""
    opened = [(one.run, one.record.cycle) for one in lines if isinstance(one.record, CycleOpened)]
    closed = [(one.run, one.record.cycle) for one in lines if isinstance(one.record, CycleClosed)]
    assert sorted(opened) == sorted(closed)
    audited = [AuditEntry.of(one) for one in lines if isinstance(one.record, Audited)]
    assert verify(audited) == []
    expected = {"audit": len(audited), "cycle": len(opened), "run": len({one.run for one in lines})}
    expected |= dict.fromkeys(("rejected_record", "unknown_record", "journal_gap"), 0)
    connection = await asyncpg.connect(dsn.reveal())
    try:
        found = {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in expected
        }
    finally:
        await connection.close()
    assert found == expected


def assert_profit_goes_on(lines: Sequence[Written], outcome: RunOutcome) -> None:
    """What is realised is what all cycles moved, whichever version ended them."""
    moved: dict[str, Decimal] = {}
    for line in lines:
        if isinstance(line.record, CycleClosed):
            for asset, amount in line.record.flows.items():
                moved[asset] = moved.get(asset, Decimal(0)) + amount
    assert not_zero(outcome.state.profit) == not_zero(moved)


def not_zero(found: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {asset: amount for asset, amount in found.items() if amount}
