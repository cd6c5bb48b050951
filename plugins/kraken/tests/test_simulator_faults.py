"""Faults on demand: once, some times, for a while; by pair, account and method."""

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import pytest

from arbitrade.clock import ReplayClock
from arbitrade.errors import UsageError
from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.faults import EXCHANGE_FAULTS, WIRE_FAULTS, Faults
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.exchange.orders import Amendment, NewOrder, OrderRef, VenueRefusal
from arbitrade_kraken.simulator.exchange.still import StillMarket

START = 1_767_603_600_000_000_000
SYMBOL = "SOL/EUR"
QUOTES = {SYMBOL: ([("172.28", "3")], [("172.31", "14.2"), ("172.33", "9")])}


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(START)


@pytest.fixture
def faults(clock: ReplayClock) -> Faults:
    return Faults(clock)


@pytest.fixture
def exchange(clock: ReplayClock) -> Exchange:
    made = Exchange(ListedPairs.load().only([SYMBOL]), StillMarket(QUOTES), clock)
    made.hand.open_account("alice", {"EUR": D(10_000), "SOL": D(20)})
    return made


@pytest.fixture
def take(exchange: Exchange) -> Callable[..., Any]:
    def add(**changes: Any) -> Any:
        wanted = {
            "symbol": SYMBOL,
            "side": Side.BUY,
            "quantity": D(2),
            "limit_price": D("172.31"),
            "time_in_force": "ioc",
        }
        return exchange.add_order("alice", NewOrder(**{**wanted, **changes})).order

    return add


def test_a_fault_happens_once_unless_told_otherwise(faults: Faults) -> None:
    assert faults.is_quiet
    faults.inject("lost_ack")
    assert faults.take("lost_request") is None
    assert faults.take("lost_ack") is not None
    assert faults.take("lost_ack") is None
    assert faults.is_quiet


def test_a_fault_happens_as_often_as_counted(faults: Faults) -> None:
    faults.inject("duplicate_message", count=3)
    assert [faults.take("duplicate_message") is not None for _ in range(4)] == [True] * 3 + [False]
    assert faults.counts() == {"duplicate_message": 3}


def test_a_fault_lasts_as_long_as_told(faults: Faults, clock: ReplayClock) -> None:
    faults.inject("slow_response", for_ms=500, value=D(80))
    faults.inject("clock_skew", for_ms=0, value=D(-1500))
    for _ in range(5):
        assert faults.take("slow_response") is not None
    clock.time_ns += 500_000_000
    assert faults.take("slow_response") is None
    assert [fault.kind for fault in faults.active()] == ["clock_skew"]
    faults.clear()
    assert faults.active() == ()


def test_a_fault_fits_only_the_pair_account_method_and_channel_it_names(faults: Faults) -> None:
    faults.inject("lost_ack", symbol=SYMBOL, account="alice", method="add_order")
    assert faults.take("lost_ack", symbol="SOL/USD", account="alice", method="add_order") is None
    assert faults.take("lost_ack", symbol=SYMBOL, account="bob", method="add_order") is None
    assert faults.take("lost_ack", symbol=SYMBOL, account="alice", method="amend_order") is None
    assert faults.take("lost_ack") is None
    assert faults.peek("lost_ack", symbol=SYMBOL, account="alice", method="add_order") is not None
    assert faults.take("lost_ack", symbol=SYMBOL, account="alice", method="add_order") is not None


def test_an_older_fault_comes_first_and_one_can_be_taken_away(faults: Faults) -> None:
    first = faults.inject("slow_response", value=D(1))
    faults.inject("slow_response", value=D(2))
    faults.clear(first)
    taken = faults.take("slow_response")
    assert taken is not None
    assert taken.value == 2


@pytest.mark.parametrize(
    ("kind", "limits"),
    [("lost_mind", {}), ("lost_ack", {"count": 0}), ("lost_ack", {"for_ms": -1})],
)
def test_what_cannot_be_injected_is_named(
    faults: Faults, kind: str, limits: dict[str, int]
) -> None:
    with pytest.raises(UsageError, match=kind):
        faults.inject(kind, **limits)  # type: ignore[arg-type]


def test_every_fault_is_described_and_belongs_to_one_side() -> None:
    assert not set(EXCHANGE_FAULTS) & set(WIRE_FAULTS)
    assert all(text for text in (*EXCHANGE_FAULTS.values(), *WIRE_FAULTS.values()))


def test_busy_after_the_order_was_taken_leaves_the_order_standing(
    exchange: Exchange, take: Callable[..., Any]
) -> None:
    exchange.faults.inject("busy_after", method="add_order")
    with pytest.raises(VenueRefusal, match="EService:Busy"):
        take(limit_price=D(150), time_in_force="gtc", client_id="mine")
    (order,) = exchange.inquiry.find_orders("alice", OrderRef(client_id="mine"))
    assert order.is_open
    exchange.faults.inject("busy_after", text="EService:Unavailable", method="amend_order")
    ref = OrderRef(client_id="mine")
    with pytest.raises(VenueRefusal, match="EService:Unavailable"):
        exchange.amend_order("alice", Amendment(ref=ref, quantity=D(1)))
    assert exchange.inquiry.open_orders("alice")[0].quantity == 1
    exchange.faults.inject("busy_after", method="cancel_order")
    with pytest.raises(VenueRefusal):
        exchange.cancel_orders("alice", [ref])
    assert exchange.inquiry.open_orders("alice") == ()


def test_a_refusal_on_demand_does_nothing(exchange: Exchange, take: Callable[..., Any]) -> None:
    exchange.faults.inject("refuse_order", text="EGeneral:Internal error")
    with pytest.raises(VenueRefusal, match="EGeneral:Internal error"):
        take()
    assert exchange.inquiry.find_orders("alice", OrderRef(client_id="mine")) == ()
    assert exchange.inquiry.fills("alice") == ()


def test_a_taker_gets_only_a_share_on_demand(exchange: Exchange, take: Callable[..., Any]) -> None:
    exchange.faults.inject("partial_fill", value=D("0.25"))
    order = take()
    assert (order.status, order.filled) == ("canceled", D("0.5"))
    assert take().status == "filled"
    assert ExchangeOracle(exchange).discrepancies() == ()


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "172.34"), (Side.SELL, "172.25")])
def test_a_fill_is_worse_than_the_limit_on_demand(
    exchange: Exchange, take: Callable[..., Any], side: Side, price: str
) -> None:
    exchange.faults.inject("worse_fill", value=D(3))
    take(side=side, limit_price=D("172.31" if side is Side.BUY else "172.28"))
    assert exchange.inquiry.fills("alice")[0].price == D(price)
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_the_fee_is_taken_in_the_other_asset_on_demand(
    exchange: Exchange, take: Callable[..., Any]
) -> None:
    exchange.faults.inject("fee_currency", account="alice")
    take()
    take()
    assert [fill.fee_asset for fill in exchange.inquiry.fills("alice")] == ["SOL", "EUR"]
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_self_trade_prevention_looks_away_on_demand(
    exchange: Exchange, take: Callable[..., Any]
) -> None:
    take(limit_price=D("172.29"), time_in_force="gtc", quantity=D(1))
    exchange.faults.inject("stp_none")
    assert take(side=Side.SELL, limit_price=D("172.29"), quantity=D(1)).status == "filled"
    assert len(exchange.inquiry.fills("alice")) == 2
    assert ExchangeOracle(exchange).discrepancies() == ()
