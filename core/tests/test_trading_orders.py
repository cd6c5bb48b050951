"""An order's end, whatever arrives, twice, and in which order."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.models import BalanceChange, CycleState, OrderState, OrderStatus
from arbitrade.protocols.execution import CycleDesk
from arbitrade.records import ExecutionBooked, OrderEnded
from arbitrade.testing.trading import TradingBench
from arbitrade.trading.machine.events import (
    BalanceMoved,
    Execution,
    LookUpFailed,
    OrderAnswer,
    OrderFound,
    TradingEvent,
)
from arbitrade.trading.machine.orders import OrderTable, TrackedOrder

D = Decimal


@attrs.frozen
class OneOrder:
    """Sends the first leg, and does nothing any more."""

    name: str = "one"
    needs_inventory: bool = False

    async def execute(self, desk: CycleDesk) -> CycleState:
        """Send it and wait."""
        await desk.settled(desk.place(0, desk.approved.plan.quotes[0].order))
        await desk.pause(1e6)
        return CycleState.COMPLETED


def begun() -> tuple[TradingBench, TrackedOrder]:
    bench = TradingBench({"USD": 1_000})
    bench.executor = OneOrder()
    cycle = bench.find()
    assert cycle is not None
    return bench, cycle.orders[0]


def everything(bench: TradingBench, order: TrackedOrder) -> list[TradingEvent]:
    """Return all a venue may say about an order that fills in two parts, 0.5 and 0.25."""
    first, second = bench.trade(order, "0.5", 1), bench.trade(order, "0.25", 2)
    end = bench.final(order, "0.75")
    request = order.intent.request
    state = OrderState(
        f"O-{order.client_id}",
        order.client_id,
        request.symbol,
        request.side,
        OrderStatus.CANCELED,
        request.quantity,
        request.limit_price,
        D("0.75"),
        D("75.015"),
        D("0.3001"),
    )
    # The ledger keeps four decimals of USD, and rounds the cost and the fee in its own way.
    rows = [
        row("L1", first.exec_id, "BTC", "0.5", "0"),
        row("L2", first.exec_id, "USD", "-50.01", "0.2001"),
        row("L3", second.exec_id, "BTC", "0.25", "0"),
        row("L4", second.exec_id, "USD", "-25.005", "0.1000"),
    ]
    return [
        OrderAnswer(order.client_id, "accepted", end.order_id),
        Execution(first),
        Execution(second),
        # A history tells fills without our id.
        Execution(attrs.evolve(second, client_id=None), is_snapshot=True),
        Execution(end),
        OrderFound(order.client_id, state),
        LookUpFailed(order.client_id, "busy"),
        *(BalanceMoved(change) for change in rows),
    ]


def row(ledger_id: str, reference: str | None, asset: str, amount: str, fee: str) -> BalanceChange:
    return BalanceChange(ledger_id, reference or "", "trade", asset, D(amount), D(fee), D(0), None)


def end_state(bench: TradingBench, order: TrackedOrder) -> Mapping[str, Any]:
    return {
        "settled": order.is_settled,
        "status": order.status,
        "filled": order.filled_quantity,
        "told": order.told_filled,
        "flows": {asset: amount for asset, amount in order.flows.items() if amount},
        "balances": bench.state.ledger.balances(),
        "fills": sorted(b.report.exec_id or "" for b in bench.written(ExecutionBooked)),
        "ended": len(bench.written(OrderEnded)),
        "halts": bench.halts,
        "sent": len(bench.gateway.sent),
    }


@settings(max_examples=150)
@given(st.data())
def test_any_order_and_repetition_of_what_a_venue_says_ends_in_the_same_state(data):
    bench, order = begun()
    events = everything(bench, order)
    for event in events:
        bench.tell(event)
    expected = end_state(bench, order)
    assert expected["flows"] == {"BTC": D("0.75"), "USD": D("-75.3151")}
    assert expected["balances"]["USD"] == D("924.6849")
    assert (expected["settled"], expected["ended"]) == (True, 1)

    other, same = begun()
    shuffled = data.draw(st.permutations(everything(other, same)))
    repeated = data.draw(st.lists(st.sampled_from(shuffled), max_size=5))
    # Anything known only by the venue's id comes after something that tells it.
    for event in [*shuffled, *repeated]:
        other.tell(event)
    assert end_state(other, same) == expected


def test_outcome_nobody_knows_is_asked_for_and_never_sent_again():
    bench, order = begun()
    bench.tell(OrderAnswer(order.client_id, "unknown", reason="timeout"))
    assert bench.gateway.looked_up == [order.client_id]
    for _ in range(5):
        bench.wait(10)
        bench.tell(LookUpFailed(order.client_id, "busy"))
    assert len(bench.gateway.looked_up) > 5
    assert len(bench.gateway.sent) == 1
    assert not order.is_settled


def test_order_the_venue_never_got_is_over_without_a_fill():
    bench, order = begun()
    bench.tell(OrderAnswer(order.client_id, "unknown"))
    bench.tell(OrderFound(order.client_id, None))
    assert (order.is_settled, order.is_refused, order.answer) == (True, True, "not_sent")


def test_end_that_comes_before_its_fill_is_not_the_end():
    bench, order = begun()
    bench.end(order, "0.5")
    assert (order.is_ended, order.is_settled) == (True, False)
    bench.fill(order, "0.5")
    assert order.is_settled


@pytest.mark.parametrize("told", ["0.12343", "0.12337", "0.1234"])
def test_amounts_told_finer_than_the_ledger_books_them_keep_no_order_open(told):
    bench, order = begun()
    order.base_step = D("0.0001")
    fill = attrs.evolve(bench.trade(order, "0.1234"), cumulative_quantity=D(told))
    bench.tell(Execution(fill))
    bench.end(order, told)
    assert order.is_settled


def test_fill_that_is_missing_is_no_rounding():
    bench, order = begun()
    order.base_step = D("0.0001")
    bench.fill(order, "0.1234")
    bench.end(order, "0.1239")
    assert not order.is_settled
    bench.fill(order, "0.0005", number=1)
    assert order.is_settled


def test_fill_nobody_brings_is_asked_for_with_the_histories():
    bench, order = begun()
    bench.end(order, "0.5")
    bench.wait(6)
    assert bench.gateway.reconciled == [order.written_at_ns]


def test_order_that_stands_though_it_should_not_is_cancelled():
    bench, order = begun()
    found = attrs.evolve(
        everything(bench, order)[5].state, status=OrderStatus.OPEN, filled_quantity=D(0)
    )
    bench.tell(OrderFound(order.client_id, found))
    assert bench.gateway.cancelled == [order.client_id]
    assert not order.is_settled


def test_venue_that_denies_an_order_once_may_have_been_asked_too_early():
    bench, order = begun()
    bench.fill(order, "0.5")
    bench.tell(OrderFound(order.client_id, None))
    assert not order.is_settled
    bench.tell(OrderFound(order.client_id, None))
    assert (order.is_settled, order.filled_quantity) == (True, D("0.5"))


@pytest.mark.parametrize(
    "late",
    [
        lambda bench, order: bench.accept(order),
        lambda bench, order: bench.tell(OrderAnswer(order.client_id, "unknown")),
        lambda bench, order: bench.tell(OrderFound(order.client_id, None)),
    ],
)
def test_what_comes_after_the_end_changes_nothing(
    late: Callable[[TradingBench, TrackedOrder], None],
):
    bench, order = begun()
    bench.fill_whole(order)
    before = end_state(bench, order)
    late(bench, order)
    assert end_state(bench, order) == before


def test_table_finds_orders_by_either_id_and_forgets_the_oldest_of_those_that_ended():
    _, order = begun()
    table = OrderTable()
    table.add(order)
    assert table.find(order.client_id) is order
    assert table.find(None, "O-1") is None
    order.order_id = "O-1"
    table.index(order)
    assert table.find(None, "O-1") is order
    assert list(table.unsettled()) == [order]
