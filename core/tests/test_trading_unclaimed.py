"""Fills that come without our id before we know the venue's id of the order they are of."""

import attrs

from arbitrade.models import ExecutionReport
from arbitrade.records import ExecutionBooked
from arbitrade.testing.trading import TradingBench
from arbitrade.trading.machine.events import Commanded, Execution, OrderAnswer
from arbitrade.trading.machine.orders import TrackedOrder


def unanswered(bench: TradingBench) -> tuple[TrackedOrder, ExecutionReport]:
    """Return an order without an answer, and its fill as histories tell it."""
    bench.find()
    order = bench.last
    return order, attrs.evolve(bench.trade(order), client_id=None, order_id="O-THE-VENUES")


def test_fill_waits_for_the_orders_id_and_is_then_its_own():
    bench = TradingBench({"USD": 1_000})
    order, report = unanswered(bench)
    bench.tell(Execution(report, is_snapshot=True))
    bench.tell(Execution(report, is_snapshot=True))
    assert bench.written(ExecutionBooked) == []
    bench.tell(OrderAnswer(order.client_id, "accepted", "O-THE-VENUES"))
    (booked,) = bench.written(ExecutionBooked)
    assert booked.cycle == 1
    assert order.filled_quantity == report.last_quantity
    assert order.received > 0


def test_fill_of_somebody_else_is_booked_as_such_once_our_order_is_known():
    bench = TradingBench({"USD": 1_000})
    order, report = unanswered(bench)
    bench.tell(Execution(report, is_snapshot=True))
    bench.tell(OrderAnswer(order.client_id, "rejected", "", "EOrder:Insufficient funds"))
    (booked,) = bench.written(ExecutionBooked)
    assert booked.cycle == 0
    assert bench.state.ledger.balance("BTC") == report.last_quantity


def test_fill_whose_transaction_alone_survived_a_crash_is_written_and_counted_once():
    bench = TradingBench({"USD": 1_000})
    bench.find()
    order = bench.last
    report = bench.trade(order)
    pair = bench.instruments[order.intent.request.symbol]
    flows = bench.state.ledger.book_fill(report, pair, 1)
    bench.tell(Execution(report))
    bench.tell(Execution(report))
    assert len(bench.written(ExecutionBooked)) == 1
    assert order.flows == flows


def test_after_a_pause_nothing_is_begun_before_the_venue_was_asked():
    bench = TradingBench({"USD": 1_000}, must_reconcile=True)
    bench.tell(Commanded("reconcile", "arbitrade", {"reason": "nothing was heard for 5 s"}))
    assert not bench.trader.view.is_account_ready
    assert bench.trader.view.account_problem == "nothing was heard for 5 s"
