"""The account against the simulator: the contract, and everything that can go wrong between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from arbitrade import Secret
from arbitrade.errors import AuthenticationError
from arbitrade.models import (
    Accepted,
    OrderRequest,
    OrderStatus,
    Rejected,
    Side,
    TimeInForce,
    Unknown,
)
from arbitrade.testing.accounts import AccountRecorder, running_account
from arbitrade.testing.contracts import AccountContract, ManualAccountContract
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.account.account import KrakenAccount, make_account
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator
from arbitrade_kraken.venue_errors import (
    InsufficientFundsError,
    PairClosedError,
    SizeRejectedError,
)

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "SOL/USD", "SOL/EUR", "EUR/USD")
PAIR = "SOL/EUR"


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    """A market that stands still, without delays."""
    wire = attrs.evolve(WireSettings().prompt(), heartbeat_s=0.2)
    async with running_simulator(SimulatorSettings(symbols=SYMBOLS, rate=0, wire=wire)) as running:
        yield running


@pytest.fixture
def open_account(
    simulator: RunningSimulator, transport: str, tmp_path: Path
) -> Callable[..., KrakenAccount]:
    def make(**changes: Any) -> KrakenAccount:
        values: dict[str, Any] = {
            "api_key": Secret(simulator.key.key),
            "api_secret": Secret(simulator.key.secret),
            "rest_url": simulator.rest,
            "ws_auth_url": simulator.ws_auth,
            "transport": transport,
            "nonce_folder": str(tmp_path),
            "tier": "pro",
            "reconnect_s": 0.02,
            "reconnect_max_s": 0.1,
            "close_timeout_s": 0.5,
            "order_timeout_s": 5.0,
            "order_deadline_s": 0.6,
            "resolve_settle_s": 0.05,
        }
        return make_account(KrakenAccountSettings(**{**values, **changes}))

    return make


@pytest.fixture
def trade(open_account):
    @asynccontextmanager
    async def run(**changes: Any) -> AsyncIterator[tuple[KrakenAccount, AccountRecorder]]:
        account = open_account(**changes)
        async with running_account(account) as told:
            yield account, told

    return run


def best(simulator: RunningSimulator, side: Side) -> Decimal:
    """Return the price a taker of this side pays or gets."""
    book = simulator.exchange.book(PAIR, 1)
    ticks = book.asks[0][0] if side is Side.BUY else book.bids[0][0]
    return Decimal(ticks).scaleb(-simulator.exchange.pair(PAIR).price_decimals)


@pytest.fixture
def taking(simulator: RunningSimulator) -> Callable[[str], OrderRequest]:
    def make(client_id: str, side: Side = Side.BUY, quantity: str = "0.5") -> OrderRequest:
        away = Decimal("1.02") if side is Side.BUY else Decimal("0.98")
        price = (best(simulator, side) * away).quantize(simulator.exchange.pair(PAIR).tick)
        return OrderRequest(client_id, PAIR, side, Decimal(quantity), price)

    return make


@pytest.fixture
def resting(simulator: RunningSimulator) -> Callable[[str], OrderRequest]:
    def make(client_id: str) -> OrderRequest:
        price = (best(simulator, Side.SELL) / 2).quantize(simulator.exchange.pair(PAIR).tick)
        return OrderRequest(
            client_id, PAIR, Side.BUY, Decimal("0.5"), price, time_in_force=TimeInForce.GTC
        )

    return make


class TestKrakenAccount(AccountContract):
    @pytest.fixture
    def account(self, open_account):
        return open_account()

    @pytest.fixture
    def resting(self, resting):
        return resting

    @pytest.fixture
    def taking(self, taking):
        return taking


class TestKrakenManualAccount(ManualAccountContract):
    @pytest.fixture
    def manual_account(self, open_account):
        return open_account()

    @pytest.fixture
    def resting(self, resting):
        return resting


def orders_at_venue(simulator: RunningSimulator) -> int:
    name = simulator.key.account
    return len(simulator.exchange.inquiry.open_orders(name)) + len(
        simulator.exchange.inquiry.closed_orders(name)
    )


async def test_lost_answer_is_unknown_and_then_found_exactly_once(simulator, trade, taking):
    async with trade(order_timeout_s=0.2) as (account, told):
        simulator.faults.inject("lost_ack", method="add_order")
        assert isinstance(await account.add(taking("lost-ack")), Unknown)
        state = await account.resolve("lost-ack")
        await told.until(lambda: told.has_ended("lost-ack"))
    assert state is not None
    assert state.status is OrderStatus.FILLED
    assert orders_at_venue(simulator) == 1


async def test_lost_request_is_unknown_and_then_known_to_be_none(simulator, trade, taking):
    async with trade(order_timeout_s=0.2) as (account, _told):
        simulator.faults.inject("lost_request", method="add_order")
        assert isinstance(await account.add(taking("lost-request")), Unknown)
        assert await account.resolve("lost-request") is None
        assert isinstance(await account.add(taking("lost-request")), Accepted)
    assert orders_at_venue(simulator) == 1


async def test_busy_after_the_order_was_taken_is_unknown_and_found(simulator, trade, taking):
    async with trade() as (account, _told):
        simulator.faults.inject("busy_after", method="add_order")
        outcome = await account.add(taking("busy"))
        assert outcome == Unknown("busy", "EService:Busy")
        state = await account.resolve("busy")
    assert state is not None
    assert state.filled_quantity == Decimal("0.5")
    assert orders_at_venue(simulator) == 1


async def test_busy_before_the_order_was_taken_is_unknown_and_none(simulator, trade, taking):
    async with trade() as (account, _told):
        simulator.faults.inject("refuse_order", method="add_order")
        assert isinstance(await account.add(taking("refused")), Unknown)
        assert await account.resolve("refused") is None
    assert orders_at_venue(simulator) == 0


async def test_fills_before_the_answer_end_in_the_same_state(simulator, trade, taking):
    async with trade() as (account, told):
        simulator.faults.inject("early_executions")
        outcome = await account.add(taking("early"))
        await told.until(lambda: told.has_ended("early"))
    assert isinstance(outcome, Accepted)
    assert [report.kind for report in told.reports_of("early")][-1] == "filled"
    assert all(report.symbol == PAIR for report in told.reports_of("early"))


async def test_duplicate_messages_are_told_once(simulator, trade, taking):
    async with trade() as (account, told):
        simulator.faults.inject("duplicate_message", channel="executions", count=20)
        simulator.faults.inject("duplicate_message", channel="balances", count=20)
        await account.add(taking("twice"))
        await told.until(lambda: told.has_ended("twice") and len(told.changes) >= 2)
        assert not told.gaps
    fills = [r.exec_id for r in told.reports_of("twice") if r.exec_id]
    assert len(fills) == len(set(fills))
    assert sum(r.last_quantity for r in told.reports_of("twice")) == Decimal("0.5")
    assert len({change.ledger_id for change in told.changes}) == len(told.changes)


@pytest.mark.parametrize("fault", ["sequence_gap", "reordered_executions"])
async def test_nothing_is_lost_in_a_gap(simulator, trade, taking, fault):
    async with trade() as (account, told):
        simulator.faults.inject(fault, channel="executions")
        await account.add(taking("gap"))
        await told.until(lambda: bool(told.gaps))
        await told.until(lambda: told.has_ended("gap") and told.is_ready)
        await told.until(
            lambda: sum(r.last_quantity for r in told.reports_of("gap")) == Decimal("0.5")
        )
    fills = [r.exec_id for r in told.reports_of("gap") if r.exec_id]
    assert len(fills) == len(set(fills))


async def test_snapshot_trades_that_come_again_are_told_once(simulator, trade, taking):
    async with trade() as (account, told):
        await account.add(taking("again"))
        await told.until(lambda: told.has_ended("again"))
        simulator.faults.inject("duplicate_snapshot_trades")
        simulator.faults.inject("disconnect")
        await account.cancel_all()
        await told.until(lambda: told.readiness[-2:] == [False, True])
    fills = [r.exec_id for r in told.reports if r.exec_id]
    assert len(fills) == len(set(fills))


async def test_disconnect_during_an_order_is_unknown_and_resolved(simulator, trade, taking):
    async with trade(order_timeout_s=1.0) as (account, told):
        simulator.faults.inject("lost_ack", method="add_order")
        simulator.faults.inject("disconnect", channel="executions")
        assert isinstance(await account.add(taking("cut")), Unknown)
        state = await account.resolve("cut")
        await told.until(lambda: told.is_ready)
        await told.until(
            lambda: sum(r.last_quantity for r in told.reports_of("cut")) == Decimal("0.5")
        )
    assert state is not None
    assert state.status is OrderStatus.FILLED
    assert orders_at_venue(simulator) == 1


async def test_half_open_socket_is_noticed_by_its_silence(simulator, trade):
    async with trade(silence_s=0.6) as (account, told):
        simulator.faults.inject("half_open")
        assert await account.cancel_all_after(60)
        await told.until(lambda: told.readiness == [True, False, True])
    assert account.statistics()["private_silences"] == 1


async def test_expired_token_is_renewed_and_the_order_goes_out_next_time(simulator, trade, taking):
    async with trade() as (account, _told):
        simulator.faults.inject("token_expired")
        refused = await account.add(taking("stale"))
        assert isinstance(refused, Rejected)
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance(await account.add(taking("stale")), Accepted):
                await asyncio.sleep(0)
    assert orders_at_venue(simulator) == 1


async def test_refusals_are_errors_of_ours(simulator, trade, taking, resting):
    async with trade() as (account, _told):
        poor = await account.add(attrs.evolve(resting("poor"), quantity=Decimal(100_000)))
        small = await account.add(attrs.evolve(taking("small"), quantity=Decimal("0.00001")))
        simulator.exchange.hand.set_pair(PAIR, status="cancel_only")
        closed = await account.add(taking("closed"))
    for outcome, error in (
        (poor, InsufficientFundsError),
        (small, SizeRejectedError),
        (closed, PairClosedError),
    ):
        assert isinstance(outcome, Rejected)
        assert isinstance(outcome.error, error), outcome


async def test_partial_fill_of_an_ioc_ends_canceled_with_what_was_filled(simulator, trade, taking):
    async with trade() as (account, told):
        simulator.faults.inject("partial_fill")
        await account.add(taking("partial"))
        await told.until(lambda: told.has_ended("partial"))
        state = await account.resolve("partial")
    assert told.reports_of("partial")[-1].status is OrderStatus.CANCELED
    assert told.reports_of("partial")[-1].cumulative_quantity == Decimal("0.25")
    assert state is not None
    assert (state.status, state.filled_quantity) == (OrderStatus.CANCELED, Decimal("0.25"))


async def test_lagging_lists_do_not_hide_an_order(simulator, trade, resting):
    async with trade(order_timeout_s=0.2) as (account, _told):
        simulator.faults.inject("lost_ack", method="add_order")
        simulator.faults.inject("rest_lag", value=Decimal(300), count=1)
        assert isinstance(await account.add(resting("lag")), Unknown)
        state = await account.resolve("lag")
    assert state is not None
    assert state.status is OrderStatus.OPEN


async def test_key_without_permissions_is_refused_by_name(simulator, open_account):
    key = simulator.exchange.accounts.make_key(
        simulator.key.account, ["query-funds", "withdraw-funds"]
    )
    account = open_account(api_key=Secret(key.key), api_secret=Secret(key.secret))
    with pytest.raises(AuthenticationError, match="Withdraw") as refused:
        await account.run(AccountRecorder())
    assert "Create & modify orders" in str(refused.value)


async def test_wrong_secret_ends_the_run(simulator, open_account):
    account = open_account(api_secret=Secret("d3Jvbmcgc2VjcmV0IGZvciBzdXJl"))
    with pytest.raises(AuthenticationError, match=r"api_secret|Invalid signature"):
        await account.run(AccountRecorder())


async def test_engine_that_is_not_online_makes_us_not_ready(simulator, trade):
    async with trade() as (_account, told):
        simulator.exchange.hand.set_engine("maintenance")
        await told.until(lambda: not told.is_ready)
        simulator.exchange.hand.set_engine("online")
        await told.until(lambda: told.is_ready)


FAULTS = (
    ("lost_ack", {"method": "add_order"}),
    ("lost_request", {"method": "add_order"}),
    ("busy_after", {"method": "add_order"}),
    ("early_executions", {}),
    ("duplicate_message", {"channel": "executions"}),
    ("sequence_gap", {"channel": "executions"}),
    ("sequence_gap", {"channel": "balances"}),
    ("reordered_executions", {"channel": "executions"}),
    ("partial_fill", {}),
    ("disconnect", {"channel": "executions"}),
    ("token_expired", {}),
)


@pytest.mark.parametrize("seed", [10, 16, 22])
async def test_every_fill_is_told_exactly_once_whatever_goes_wrong(simulator, trade, taking, seed):
    """Orders under a storm of faults; in the end we know what the venue's own ledger knows."""
    random = Random(seed)
    name = simulator.key.account
    unknown: list[str] = []
    async with trade(order_timeout_s=0.15) as (account, told):
        for number in range(20):
            await told.until(lambda: told.is_ready)
            if random.random() < 0.6:
                kind, where = random.choice(FAULTS)
                simulator.faults.inject(kind, **where)
            client_id = f"storm-{seed}-{number}"
            side = random.choice((Side.BUY, Side.SELL))
            outcome = await account.add(taking(client_id, side, "0.1"))
            if isinstance(outcome, Unknown):
                unknown.append(client_id)
        simulator.faults.clear()
        for client_id in unknown:
            await account.resolve(client_id)
        venue = {fill.exec_id: fill.quantity for fill in simulator.exchange.inquiry.fills(name)}
        await told.until(lambda: told.is_ready)
        await told.until(lambda: len({r.exec_id for r in told.reports if r.exec_id}) == len(venue))
        fills = [report for report in told.reports if report.exec_id]
        assert len(fills) == len(venue) >= 5
        assert {fill.exec_id: fill.last_quantity for fill in fills} == venue
        assert all(fill.client_id and fill.symbol == PAIR for fill in fills)
        placed = {
            order.client_id: order.filled
            for order in simulator.exchange.inquiry.closed_orders(name)
        }
        for client_id in unknown:
            state = await account.resolve(client_id)
            assert (state is None) == (client_id not in placed)
