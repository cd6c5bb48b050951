"""What the account tells must be what the venue books, to the last digit, whoever is asked."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING
from decimal import Decimal as D
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from arbitrade import Secret
from arbitrade.models import (
    Accepted,
    BalanceChange,
    ExecutionReport,
    FeeAsset,
    OrderRequest,
    OrderStatus,
    Rejected,
    Side,
    TimeInForce,
)
from arbitrade.protocols import Clock
from arbitrade.testing.accounts import AccountRecorder, running_account
from arbitrade_kraken.account.account import KrakenAccount, make_account
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.exchange.orders import NewOrder
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

# The ledger keeps 4 decimals of EUR and USD, but lots of EUR/USD have 8, and costs 5.
SYMBOLS = ("SOL/USD", "SOL/EUR", "EUR/USD", "BTC/USD", "BTC/EUR", "ETH/BTC", "USDT/USD")
LONG_AGO = "2000-01-01T00:00:00Z"
HOUR_NS = 3_600_000_000_000


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    """A market that stands still, without delays."""
    wire = attrs.evolve(WireSettings().prompt(), heartbeat_s=0.2)
    plenty = dict.fromkeys(("USD", "EUR", "BTC", "ETH", "SOL", "USDT"), D(5_000_000))
    settings = SimulatorSettings(symbols=SYMBOLS, rate=0, wire=wire, balances=plenty)
    async with running_simulator(settings, MovableClock()) as running:
        yield running


def access(simulator: RunningSimulator, folder: Path) -> dict[str, Any]:
    return {
        "api_key": Secret(simulator.key.key),
        "api_secret": Secret(simulator.key.secret),
        "rest_url": simulator.rest,
        "ws_auth_url": simulator.ws_auth,
        "nonce_folder": str(folder),
        "tier": "pro",
        "reconnect_s": 0.02,
    }


@pytest.fixture
def open_account(simulator: RunningSimulator, tmp_path: Path) -> Callable[..., KrakenAccount]:
    def make(clock: Clock | None = None) -> KrakenAccount:
        return make_account(KrakenAccountSettings(**access(simulator, tmp_path)), clock)

    return make


@pytest.fixture
def trade(open_account):
    @asynccontextmanager
    async def run(**changes: Any) -> AsyncIterator[tuple[KrakenAccount, AccountRecorder]]:
        account = open_account(**changes)
        async with running_account(account) as told:
            yield account, told

    return run


class Floor:
    """Everybody else at the exchange."""

    def __init__(self, simulator: RunningSimulator) -> None:
        self.exchange = simulator.exchange
        self.name = simulator.key.account

    def best(self, symbol: str, side: Side) -> D:
        """Return the price a taker of this side pays or gets."""
        book = self.exchange.book(symbol, 1)
        ticks = (book.asks if side is Side.BUY else book.bids)[0][0]
        return D(ticks).scaleb(-self.exchange.pair(symbol).price_decimals)

    def order(self, client_id: str, symbol: str, random: Random, levels: int = 5) -> OrderRequest:
        """Return an order that takes several levels, their odd sizes and a part of the last one."""
        pair, side = self.exchange.pair(symbol), random.choice((Side.BUY, Side.SELL))
        book = self.exchange.book(symbol, levels)
        taken = (book.asks if side is Side.BUY else book.bids)[:levels]
        lots = sum(size for _, size in taken) - random.randint(0, taken[-1][1] - 1)
        away = D("1.03") if side is Side.BUY else D("0.97")
        price = (self.best(symbol, side) * away).quantize(pair.tick)
        return OrderRequest(
            client_id,
            symbol,
            side,
            D(lots).scaleb(-pair.lot_decimals),
            price,
            fee_in=random.choice(list(FeeAsset)),
        )

    def totals(self) -> dict[str, D]:
        holdings = self.exchange.inquiry.holdings(self.name)
        return {asset: holding.total for asset, holding in holdings.items()}


def changes_of(fills: Iterable[ExecutionReport]) -> dict[str, D]:
    """Return Σ (a buy: +quantity, −cost; a sell: −quantity, +cost) − fees, for each asset."""
    changes: Counter[str] = Counter()
    for fill in fills:
        assert fill.symbol
        base, _, quote = fill.symbol.partition("/")
        sign = 1 if fill.side is Side.BUY else -1
        changes[base] += sign * fill.last_quantity  # type: ignore[assignment]
        changes[quote] -= sign * fill.cost  # type: ignore[assignment]
        for fee in fill.fees:
            changes[fee.asset] -= fee.amount  # type: ignore[assignment]
    return {asset: D(change) for asset, change in changes.items() if change}


def by_exec_id(fills: Iterable[ExecutionReport]) -> dict[str | None, ExecutionReport]:
    """Return fills as both sources can tell them: the history knows no sums of an order."""
    return {
        fill.exec_id: attrs.evolve(
            fill, cumulative_quantity=None, cumulative_cost=None, status=OrderStatus.FILLED
        )
        for fill in fills
    }


def by_ledger_id(changes: Iterable[BalanceChange]) -> dict[str, BalanceChange]:
    return {change.ledger_id: change for change in changes}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_fills_add_up_to_the_venues_balances_and_history_says_the_same(
    simulator, trade, seed
):
    random, floor = Random(seed), Floor(simulator)
    before = floor.totals()
    async with trade(clock=simulator.clock) as (account, told):
        for number in range(10):
            symbol = SYMBOLS[number % len(SYMBOLS)]
            chance = random.random()
            if chance < 0.2:
                simulator.faults.inject("fee_currency", count=random.randint(1, 3))
            elif chance < 0.4:
                simulator.faults.inject("partial_fill", value=D("0.37"))
            order = floor.order(f"fact-{seed}-{number}", symbol, random)
            assert isinstance(await account.add(order), Accepted)
            await told.until(lambda order=order: told.has_ended(order.client_id))
            simulator.faults.clear()
        rows = len(simulator.exchange.inquiry.ledger(floor.name)) - len(before)
        await told.until(lambda: len(told.changes) == rows)
        fills = [report for report in told.reports if report.exec_id]
        # Histories are dear; time gives back what they cost.
        simulator.clock.forward(50_000_000_000)
        history = await account.fills_since(LONG_AGO)
        simulator.clock.forward(50_000_000_000)
        ledger = await account.ledger_since(LONG_AGO)
        statistics = account.statistics()
    assert len(fills) >= 30
    after = floor.totals()
    moved = {asset: after[asset] - before.get(asset, D(0)) for asset in after}
    assert changes_of(fills) == {asset: change for asset, change in moved.items() if change}
    assert statistics["ledger_differences"] == 0
    assert len({fee.asset for fill in fills for fee in fill.fees}) > 3
    assert by_exec_id(history) == by_exec_id(fills)
    assert [fill.exec_id for fill in history] == [fill.exec_id for fill in fills]
    told_rows = by_ledger_id(told.changes)
    assert {key: row for key, row in by_ledger_id(ledger).items() if key in told_rows} == told_rows
    assert [row.ledger_id for row in ledger if row.ledger_id in told_rows] == list(told_rows)
    assert ExchangeOracle(simulator.exchange).discrepancies() == ()


@pytest.mark.parametrize("fault", ["sequence_gap", "reordered_executions"])
async def test_fills_that_had_to_be_asked_for_say_what_the_stream_would_have_said(
    simulator, trade, fault
):
    random, floor = Random(5), Floor(simulator)
    before = floor.totals()
    async with trade(clock=simulator.clock) as (account, told):
        for number, symbol in enumerate(("EUR/USD", "SOL/EUR", "BTC/EUR")):
            order = floor.order(f"asked-{number}", symbol, random)
            simulator.faults.inject("fee_currency", count=2)
            simulator.faults.inject(fault, channel="executions")
            await account.add(order)
            await told.until(lambda order=order: told.has_ended(order.client_id) and told.is_ready)
            simulator.faults.clear()
            simulator.clock.forward(40_000_000_000)
        theirs = {fill.exec_id for fill in simulator.exchange.inquiry.fills(floor.name)}
        await told.until(lambda: {r.exec_id for r in told.reports if r.exec_id} == theirs)
        fills = [report for report in told.reports if report.exec_id]
        history = await account.fills_since(LONG_AGO)
    after = floor.totals()
    moved = {asset: after[asset] - before.get(asset, D(0)) for asset in after}
    assert changes_of(fills) == {asset: change for asset, change in moved.items() if change}
    assert by_exec_id(fills) == by_exec_id(history)
    assert len(fills) == len(theirs) > 8


async def test_fill_of_a_quantity_finer_than_the_ledger_is_told_as_booked(simulator, trade):
    async with trade() as (account, told):
        floor = Floor(simulator)
        price = (floor.best("EUR/USD", Side.BUY) * D("1.02")).quantize(D("0.0001"))
        await account.add(OrderRequest("fine", "EUR/USD", Side.BUY, D("10.12345678"), price))
        await told.until(lambda: told.has_ended("fine"))
        (fill,) = [report for report in told.reports if report.exec_id]
    # 10.12345678 EUR are booked as 10.1235; what the order says of itself stays as it was asked.
    assert fill.last_quantity == D("10.1235")
    assert fill.cumulative_quantity == D("10.12345678")
    assert told.reports[-1].cumulative_quantity == D("10.12345678")


async def test_row_that_the_fill_did_not_let_expect_is_counted(tmp_path):
    """Should the venue round otherwise than recorded, that is seen on the first occasion."""
    settings = SimulatorSettings(
        symbols=SYMBOLS,
        rate=0,
        wire=WireSettings().prompt(),
        exchange=ExchangeSettings(ledger_rounding=ROUND_CEILING),
    )
    async with running_simulator(settings) as simulator:
        account = make_account(KrakenAccountSettings(**access(simulator, tmp_path)))
        price = (Floor(simulator).best("SOL/EUR", Side.BUY) * D("1.02")).quantize(D("0.01"))
        async with running_account(account) as told:
            await account.add(OrderRequest("odd", "SOL/EUR", Side.BUY, D("0.333333"), price))
            await told.until(lambda: told.has_ended("odd") and len(told.changes) >= 2)
            history = await account.fills_since(LONG_AGO)
        (fill,) = [report for report in told.reports if report.exec_id]
        booked = {change.asset: change.amount - change.fee for change in told.changes}
    assert changes_of([fill]) != booked
    assert account.statistics()["ledger_differences"] == 1
    # The history reads the ledger, so it tells what is booked.
    assert changes_of(history) == booked


async def test_events_before_the_answer_are_delivered_before_it(simulator, trade):
    async with trade() as (account, told):
        simulator.faults.inject("early_executions", method="add_order")
        price = (Floor(simulator).best("SOL/EUR", Side.BUY) * D("1.02")).quantize(D("0.01"))
        simulator.faults.inject("slow_response", method="add_order", value=D(60))
        adding = asyncio.ensure_future(
            account.add(OrderRequest("early", "SOL/EUR", Side.BUY, D("0.5"), price))
        )
        await told.until(lambda: told.has_ended("early"))
        assert not adding.done()
        kinds = [report.kind for report in told.reports_of("early")]
        assert isinstance(await adding, Accepted)
    assert kinds[-2:] == ["trade", "filled"]
    assert {report.symbol for report in told.reports_of("early")} == {"SOL/EUR"}


def foreign(symbol: str, price: D, quantity: str, **more: Any) -> NewOrder:
    return NewOrder(
        symbol=symbol, side=Side.BUY, quantity=D(quantity), limit_price=price, userref=77, **more
    )


async def test_balances_agree_over_both_ways_with_orders_standing(simulator, trade):
    floor, exchange = Floor(simulator), simulator.exchange
    price = (floor.best("SOL/EUR", Side.BUY) / 2).quantize(D("0.01"))
    exchange.add_order(floor.name, foreign("SOL/EUR", price, "3"))
    exchange.hand.deposit(floor.name, "SOL", D(2), "staking", wallet="flexible")
    exchange.hand.withdraw(floor.name, "BTC", floor.totals()["BTC"])
    async with trade() as (account, told):
        asked = {balance.asset: balance for balance in await account.balances()}
        at_start = {balance.asset: balance for balance in told.balances[-1]}
    assert {a: b.total for a, b in asked.items()} == {a: b.total for a, b in at_start.items()}
    assert {a: b.total for a, b in asked.items()} == floor.totals()
    assert asked["EUR"].held == exchange.inquiry.holdings(floor.name)["EUR"].held
    # 3 × price; the venue holds the fee on top, which the connection doesn't tell.
    assert at_start["EUR"].held == 3 * price < asked["EUR"].held


async def test_foreign_orders_and_fills_are_told_without_an_id_of_ours(simulator, trade):
    floor, exchange = Floor(simulator), simulator.exchange
    low = (floor.best("SOL/EUR", Side.BUY) / 2).quantize(D("0.01"))
    high = (floor.best("SOL/EUR", Side.BUY) * D("1.02")).quantize(D("0.01"))
    standing = exchange.add_order(floor.name, foreign("SOL/EUR", low, "3")).order
    assert standing is not None
    async with trade() as (account, told):
        exchange.add_order(floor.name, foreign("SOL/EUR", high, "0.5", time_in_force="ioc"))
        exchange.add_order(
            floor.name,
            attrs.evolve(foreign("SOL/EUR", high, "0.5"), userref=None, client_id="elsewhere"),
        )
        await told.until(lambda: told.has_ended("elsewhere"))
        (order,) = await account.open_orders()
        history = await account.fills_since(LONG_AGO)
    assert (order.order_id, order.client_id) == (standing.order_id, None)
    assert (order.quantity, order.limit_price) == (D(3), low)
    fills = [report for report in told.reports if report.exec_id]
    assert [fill.client_id for fill in fills] == [None, "elsewhere"]
    assert by_exec_id(history) == by_exec_id(fills)


async def test_foreign_fills_from_before_the_start_carry_the_ids_they_have(simulator, open_account):
    floor, exchange = Floor(simulator), simulator.exchange
    high = (floor.best("SOL/EUR", Side.BUY) * D("1.02")).quantize(D("0.01"))
    exchange.add_order(floor.name, foreign("SOL/EUR", high, "0.5"))
    named = attrs.evolve(foreign("SOL/EUR", high, "0.5"), userref=None, client_id="ours-before")
    exchange.add_order(floor.name, named)
    account = open_account()
    try:
        history = await account.fills_since(LONG_AGO)
    finally:
        await account.close()
    assert [fill.client_id for fill in history] == [None, "ours-before"]


async def test_ledger_has_deposits_withdrawals_and_transfers_as_the_stream_told_them(
    simulator, trade
):
    floor, exchange = Floor(simulator), simulator.exchange
    async with trade() as (account, told):
        rows = [
            exchange.hand.deposit(floor.name, "EUR", D("12.5")),
            exchange.hand.withdraw(floor.name, "BTC", D("0.25"), D("0.0001")),
            exchange.hand.deposit(floor.name, "SOL", D(1), "transfer"),
            exchange.hand.deposit(floor.name, "SOL", D("0.5"), "reward"),
        ]
        # What earns elsewhere can't be traded with, so nobody is told of it.
        exchange.hand.deposit(floor.name, "SOL", D(2), "staking", wallet="flexible")
        await told.until(lambda: len(told.changes) == len(rows))
        ledger = await account.ledger_since(LONG_AGO)
        later = await account.ledger_since(str(told.changes[2].timestamp))
    wanted = [(row.ledger_id, row.kind, row.asset, row.amount, row.fee) for row in rows]
    assert [(c.ledger_id, c.kind, c.asset, c.amount, c.fee) for c in told.changes] == wanted
    assert list(ledger[-4:]) == told.changes
    assert [row.kind for row in ledger[:-4]] == ["deposit"] * len(floor.totals())
    assert list(later) == told.changes[2:]


async def test_ledger_of_many_pages_is_complete_and_in_order(simulator, open_account):
    name = simulator.key.account
    rows = [simulator.exchange.hand.deposit(name, "EUR", D(number)) for number in range(1, 121)]
    account = open_account()
    try:
        ledger = await account.ledger_since(LONG_AGO)
    finally:
        await account.close()
    assert [row.ledger_id for row in ledger[-120:]] == [row.ledger_id for row in rows]
    assert len({row.ledger_id for row in ledger}) == len(ledger)


async def test_final_event_tells_how_much_the_fills_have_to_add_up_to(simulator, trade):
    """After a gap the end of an order may be known before its fills are."""
    async with trade() as (account, told):
        simulator.faults.inject("reordered_executions", channel="executions", count=2)
        order = Floor(simulator).order("late", "SOL/EUR", Random(4))
        await account.add(order)
        await told.until(lambda: told.has_ended("late") and told.is_ready)
        end = next(r for r in told.reports_of("late") if r.status.is_final)
        await told.until(
            lambda: sum(r.last_quantity for r in told.reports_of("late")) == end.cumulative_quantity
        )
    assert end.cumulative_quantity == order.quantity


async def test_dry_run_is_checked_like_an_order_and_places_none(simulator, trade):
    floor = Floor(simulator)
    before = floor.totals()
    price = (floor.best("SOL/EUR", Side.BUY) * D("1.02")).quantize(D("0.01"))
    dry = OrderRequest("dry", "SOL/EUR", Side.BUY, D("0.5"), price, is_dry_run=True)
    async with trade() as (account, told):
        assert await account.add(dry) == Accepted("dry", "")
        too_much = attrs.evolve(dry, client_id="much", quantity=D(1_000_000_000))
        off_tick = attrs.evolve(dry, client_id="tick", limit_price=price + D("0.001"))
        for order in (too_much, off_tick):
            assert isinstance(await account.add(order), Rejected)
        # A dry run leaves its id free.
        assert isinstance(await account.add(attrs.evolve(dry, is_dry_run=False)), Accepted)
        await told.until(lambda: told.has_ended("dry"))
    assert simulator.exchange.inquiry.open_orders(floor.name) == ()
    assert len(simulator.exchange.inquiry.closed_orders(floor.name)) == 1
    assert floor.totals() != before


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────


async def test_server_time_is_the_venues_in_whole_seconds(simulator, open_account):
    account = open_account()
    try:
        simulator.clock.forward(HOUR_NS)
        earliest = simulator.clock.now_ns()
        told = await account.server_time_ns()
        latest = simulator.clock.now_ns()
    finally:
        await account.close()
    assert told % 1_000_000_000 == 0
    assert earliest - 1_000_000_000 < told <= latest


async def test_clock_of_the_venue_that_is_off_shows_in_its_time(simulator, open_account):
    account = open_account()
    try:
        simulator.faults.inject("clock_skew", value=D(-3_600_000), for_ms=0)
        behind = await account.server_time_ns()
        simulator.faults.clear()
        right = await account.server_time_ns()
    finally:
        await account.close()
    assert HOUR_NS <= right - behind <= HOUR_NS + 30_000_000_000


async def test_deadlines_go_by_the_clock_that_was_handed_in(simulator, trade):
    """The venue's clock is an hour ahead of ours, and so is the one handed in."""
    simulator.clock.forward(HOUR_NS)
    floor = Floor(simulator)
    price = (floor.best("SOL/EUR", Side.BUY) * D("1.02")).quantize(D("0.01"))
    order = OrderRequest("ahead", "SOL/EUR", Side.BUY, D("0.5"), price)
    async with trade(clock=simulator.clock) as (account, told):
        assert isinstance(await account.add(order), Accepted)
        await told.until(lambda: told.has_ended("ahead"))
    async with trade() as (account, _told):
        refused = await account.add(attrs.evolve(order, client_id="behind"))
    assert isinstance(refused, Rejected)
    assert "eadline" in refused.reason


async def test_deadline_of_an_order_is_checked_against_the_clock_that_was_handed_in(
    simulator, trade
):
    simulator.clock.forward(HOUR_NS)
    price = (Floor(simulator).best("SOL/EUR", Side.BUY) * D("1.02")).quantize(D("0.01"))
    by_venue = datetime.fromtimestamp(simulator.clock.now_ns() / 1e9, UTC)
    async with trade(clock=simulator.clock) as (account, _told):
        order = OrderRequest("a", "SOL/EUR", Side.BUY, D("0.5"), price)
        soon = attrs.evolve(order, deadline=by_venue + timedelta(seconds=30))
        past = attrs.evolve(order, client_id="b", deadline=by_venue - timedelta(minutes=59))
        assert isinstance(await account.add(soon), Accepted)
        refused = await account.add(past)
    assert isinstance(refused, Rejected)
    assert "a deadline in -" in refused.reason


async def test_clock_that_is_far_off_does_not_spoil_the_nonces_of_the_key(simulator, open_account):
    far = MovableClock()
    far.forward(50 * 365 * 24 * HOUR_NS)
    accounts = [open_account(clock=far), open_account()]
    nonces = []
    try:
        for account in accounts * 2:
            await account.balances()
            nonces.append(simulator.key.last_nonce)
    finally:
        for account in accounts:
            await account.close()
    assert nonces == sorted(set(nonces))
    assert nonces[-1] < far.now_ns() - 40 * 365 * 24 * HOUR_NS


async def test_standing_order_is_cancelled_by_a_client_whose_clock_is_behind(simulator, trade):
    """Durations don't depend on the time of day."""
    behind = attrs.evolve(MovableClock())
    price = (Floor(simulator).best("SOL/EUR", Side.BUY) / 2).quantize(D("0.01"))
    order = OrderRequest(
        "stands", "SOL/EUR", Side.BUY, D("0.5"), price, time_in_force=TimeInForce.GTC
    )
    async with trade(clock=behind) as (account, told):
        assert isinstance(await account.add(order), Accepted)
        behind.forward(HOUR_NS)
        assert isinstance((await account.cancel(["stands"]))["stands"], Accepted)
        await told.until(lambda: told.has_ended("stands"))
