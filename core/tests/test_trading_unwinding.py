"""Getting out: never forever, never given up early, never dearer than the cap."""

from decimal import Decimal

import attrs
import pytest

from arbitrade.config import Settings
from arbitrade.config.risk import RiskLimits
from arbitrade.execution.parallel import ParallelExecutor
from arbitrade.models import (
    CycleState,
    InstrumentStatus,
    OrderRole,
    Severity,
    Side,
    TradingState,
)
from arbitrade.protocols.execution import CycleDesk
from arbitrade.records import CycleClosed, UnwindDecided
from arbitrade.testing.trading import TradingBench
from arbitrade.trading.machine.events import OrderAnswer
from arbitrade.trading.machine.unwinding import _MOST_ORDERS

D = Decimal


@pytest.fixture
def bench() -> TradingBench:
    """One leg is filled, the second was refused: 0.996 BTC are on their way back, one order out."""
    bench = TradingBench({"USD": 1_000})
    bench.find()
    bench.fill_whole(bench.last)
    # To go on would bring 95 USD, straight back 98.
    bench.quote("ETH/USD", [("24", 90)], [("27", 90)])
    bench.refuse(bench.last, "EOrder:Trading agreement required")
    assert bench.last.intent.role is OrderRole.UNWIND
    return bench


def closed(bench: TradingBench) -> CycleClosed:
    (record,) = bench.written(CycleClosed)
    return record


def nothing(bench: TradingBench) -> None:
    """Have the order that is out end without a fill."""
    bench.accept(bench.last)
    bench.end(bench.last, 0)


def test_what_is_held_goes_back_the_cheapest_way(bench):
    order = bench.last.intent.request
    assert (order.symbol, order.side) == ("BTC/USD", Side.SELL)
    bench.fill_whole(bench.last)
    assert closed(bench).state is CycleState.UNWOUND
    assert bench.alerts == []
    assert set(closed(bench).residual) <= {"BTC"}


def test_attempts_that_fill_nothing_end_in_a_flag_and_an_alert(bench):
    for _ in range(5):
        nothing(bench)
        bench.wait(2)
    assert closed(bench).state is CycleState.FLAGGED
    assert closed(bench).residual == {"BTC": D("0.9960159300")}
    assert "left: 0.9960159300 BTC" in closed(bench).reason
    assert [alert.severity for alert in bench.alerts] == [Severity.CRITICAL]
    assert len(bench.gateway.sent) == 2 + 5


def test_part_that_fills_gives_what_is_left_all_attempts_again(bench):
    for _ in range(4):
        nothing(bench)
        bench.wait(2)
    bench.fill(bench.last, "0.5")
    bench.end(bench.last, "0.5")
    for _ in range(4):
        nothing(bench)
        bench.wait(2)
    assert not bench.written(CycleClosed)
    bench.fill_whole(bench.last)
    assert closed(bench).state is CycleState.UNWOUND


def test_fills_of_next_to_nothing_do_not_go_on_forever(bench):
    for _ in range(10 * _MOST_ORDERS):
        if bench.written(CycleClosed):
            break
        bench.fill(bench.last, "0.00000001")
        bench.end(bench.last, "0.00000001")
    assert closed(bench).state is CycleState.FLAGGED
    assert len(bench.gateway.sent) == 2 + _MOST_ORDERS
    assert all(len(one.request.client_id) <= 18 for one in bench.gateway.sent)


def test_order_that_could_not_be_sent_is_no_attempt(bench):
    for _ in range(10):
        order = bench.last
        bench.tell(
            OrderAnswer(order.client_id, "rejected", "", "no connection", is_connection=True)
        )
        assert bench.last is order  # Not at once: whatever was wrong has to change first.
        bench.wait(3)
    assert not bench.written(CycleClosed)
    bench.fill_whole(bench.last)
    assert closed(bench).state is CycleState.UNWOUND


def test_connection_that_is_away_is_waited_for(bench):
    bench.state.is_connected = False
    order = bench.last
    bench.tell(OrderAnswer(order.client_id, "rejected", "", "no connection", is_connection=True))
    bench.wait(20)
    assert bench.last is order
    bench.state.is_connected = True
    bench.wait(11)
    assert bench.last is not order


def test_books_out_of_sync_are_waited_for(bench):
    for book in bench.books.values():
        book.tradable = False
    nothing(bench)
    bench.wait(5)
    assert len(bench.gateway.sent) == 3
    bench.books["BTC/USD"].tradable = True
    bench.wait(1)
    assert len(bench.gateway.sent) == 4
    bench.fill_whole(bench.last)
    assert closed(bench).state is CycleState.UNWOUND


def test_books_that_stay_out_of_sync_end_in_a_flag(bench):
    for book in bench.books.values():
        book.tradable = False
    nothing(bench)
    bench.wait(60)
    assert closed(bench).state is CycleState.FLAGGED
    assert len(bench.alerts) == 1


def test_pairs_that_all_stopped_make_no_dust_of_what_is_held(bench):
    for symbol in list(bench.books):
        bench.quote(symbol, [], [], status=InstrumentStatus.CANCEL_ONLY)
    nothing(bench)
    bench.wait(60)
    assert closed(bench).state is CycleState.FLAGGED
    assert len(bench.alerts) == 1


def test_way_that_costs_more_than_the_cap_is_not_taken(bench):
    bench.quote("BTC/USD", [("60", 90)], [("100", 90)])
    bench.quote("ETH/USD", [("15", 90)], [("27", 90)])
    nothing(bench)
    bench.wait(2)
    assert closed(bench).state is CycleState.FLAGGED
    assert bench.written(UnwindDecided)[-1].decision.chosen.kind == "hold"


def test_unwinding_goes_on_while_trading_is_halted(bench):
    bench.state.trading_state = TradingState.HALTED
    nothing(bench)
    bench.wait(2)
    bench.fill_whole(bench.last)
    assert closed(bench).state is CycleState.UNWOUND


# ── all legs at once ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def parallel() -> TradingBench:
    """Three legs are out at once, paid for by what is there."""
    bench = TradingBench({"USD": 1_000, "BTC": 5, "ETH": 20})
    bench.executor = ParallelExecutor()
    bench.find()
    assert len(bench.gateway.sent) == 3
    return bench


def settle(bench: TradingBench, *is_filled: bool) -> None:
    orders = [bench.state.orders.find(sent.request.client_id) for sent in bench.gateway.sent[:3]]
    for order, fills in zip(orders, is_filled, strict=True):
        assert order is not None
        if fills:
            bench.fill_whole(order)
        else:
            bench.accept(order)
            bench.end(order, 0)


@pytest.mark.parametrize(
    ("is_filled", "asset"),
    [((False, True, True), "BTC"), ((True, False, True), "ETH")],
)
def test_what_a_leg_spent_of_our_own_is_bought_back(parallel, is_filled, asset):
    before = parallel.machine.state.ledger.balance(asset)
    settle(parallel, *is_filled)
    while not parallel.written(CycleClosed):
        assert len(parallel.gateway.sent) < 10
        parallel.fill_whole(parallel.last)
    assert closed(parallel).state is CycleState.UNWOUND
    after = parallel.machine.state.ledger.balance(asset)
    assert abs(after - before) < D("0.001")
    assert parallel.alerts == []


def test_buying_back_waits_for_money_that_is_not_there_yet(parallel):
    # All USD are gone elsewhere; what the ETH bring pays for the BTC.
    ledger = parallel.machine.state.ledger
    ledger.adopt("USD", -ledger.balance("USD"), "withdrawn")
    settle(parallel, False, True, False)
    assert parallel.last.intent.request.side is Side.SELL
    parallel.fill_whole(parallel.last)
    while not parallel.written(CycleClosed):
        assert len(parallel.gateway.sent) < 10
        assert parallel.last.intent.request.side is Side.BUY
        parallel.fill_whole(parallel.last)
    assert ledger.balance("USD") >= 0


def test_buying_back_beyond_the_cap_is_left_to_the_operator(parallel):
    parallel.quote("BTC/USD", [("99", 90)], [("140", 90)])
    settle(parallel, False, True, True)
    parallel.wait(60)
    assert closed(parallel).state is CycleState.FLAGGED
    assert closed(parallel).residual["BTC"] < 0
    assert len(parallel.alerts) == 1


# ── executors that fail ──────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Broken:
    """Raises, after its first order if `is_late`."""

    is_late: bool = False
    name: str = "broken"
    needs_inventory: bool = False

    async def execute(self, desk: CycleDesk) -> CycleState:
        """Raise."""
        if self.is_late:
            await desk.settled(desk.place(0, desk.approved.plan.quotes[0].order))
        raise RuntimeError("out of luck")


def test_executor_that_raises_before_an_order_leaves_nothing():
    bench = TradingBench({"USD": 1_000})
    bench.executor = Broken()
    bench.find()
    assert closed(bench).state is CycleState.ABORTED_CLEAN
    assert closed(bench).reason == "broken raised RuntimeError: out of luck"


def test_executor_that_raises_with_something_held_has_it_brought_back():
    bench = TradingBench({"USD": 1_000})
    bench.executor = Broken(is_late=True)
    bench.find()
    while not bench.written(CycleClosed):
        bench.fill_whole(bench.last)
    assert closed(bench).state is CycleState.UNWOUND
    assert "out of luck" in closed(bench).reason


def test_cycle_keeps_the_cap_it_began_with():
    settings = Settings(risk=RiskLimits(unwind_loss_cap=D(0)))
    bench = TradingBench({"USD": 1_000}, settings=settings)
    bench.find()
    bench.trader.limit_book.change({"unwind_loss_cap": "1000"}, actor="operator")
    bench.fill_whole(bench.last)
    bench.refuse(bench.last)
    while not bench.written(CycleClosed):
        bench.refuse(bench.last)
        bench.wait(2)
    assert closed(bench).state is CycleState.FLAGGED
