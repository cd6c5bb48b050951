"""What cycles may spend, what the account really did, and what nobody expected."""

from decimal import Decimal

import attrs
import pytest

from arbitrade.execution.parallel import ParallelExecutor
from arbitrade.models import (
    Balance,
    BalanceChange,
    CycleState,
    ExecutionReport,
    InstrumentStatus,
    OrderRole,
    Severity,
    TradingState,
)
from arbitrade.records import BalanceCompared, CycleClosed, ExecutionBooked, TransactionBooked
from arbitrade.testing.trading import START_NS, TradingBench
from arbitrade.trading.machine.events import (
    AccountReadiness,
    BalanceMoved,
    BalancesTold,
    Commanded,
    Execution,
    Reconciled,
)
from arbitrade.trading.machine.marks import Marks

D = Decimal
LATER = "2026-09-21T15:00:00Z"
EARLIER = "2026-09-21T13:00:00Z"


def told(bench: TradingBench, **held: str) -> BalancesTold:
    """Return the ledger's own balances as the venue tells them, so much of them held."""
    return BalancesTold(
        tuple(
            Balance(asset, amount, D(held.get(asset, "0")))
            for asset, amount in bench.state.ledger.balances().items()
        )
    )


def stranger(bench: TradingBench, **changes: object) -> ExecutionReport:
    """Return a fill of an order that is nobody's."""
    bench.find()
    bench.accept(bench.last)
    report = bench.trade(bench.last)
    fields = {"client_id": None, "order_id": "O-OTHER", "exec_id": "T-OTHER", "timestamp": LATER}
    return attrs.evolve(report, **(fields | changes))


# ── what may be spent ────────────────────────────────────────────────────────────────────────────


def test_what_one_cycle_may_still_spend_no_other_can():
    bench = TradingBench({"USD": 150})
    machine = bench.machine
    first = bench.find(key="first")
    assert first is not None
    spent = first.approved.plan.spent
    assert machine.quoting.available("USD") == D(150) - spent
    assert machine.quoting.available("USD", but=first) == 150
    second = bench.find(key="second")
    assert second is not None
    assert second.approved.plan.spent <= D(150) - spent
    assert machine.quoting.available("USD") == D(150) - spent - second.approved.plan.spent
    assert machine.quoting.available("USD") >= 0


def test_what_a_cycle_bought_on_its_way_is_its_own():
    bench = TradingBench({"USD": 1_000, "BTC": 1})
    cycle = bench.find()
    assert cycle is not None
    bench.fill_whole(bench.last)
    bought = cycle.flows()["BTC"]
    machine = bench.machine
    assert machine.state.ledger.balance("BTC") == 1 + bought
    assert machine.quoting.available("BTC") == 1
    assert machine.quoting.available("BTC", but=cycle) == 1 + bought
    # The fill took what was reserved, and not twice.
    assert machine.quoting.available("USD") <= machine.state.ledger.balance("USD")
    assert machine.quoting.available("USD") > 899


def test_all_legs_at_once_reserve_what_each_of_them_spends():
    bench = TradingBench({"USD": 1_000, "BTC": 5, "ETH": 20})
    bench.executor = ParallelExecutor()
    cycle = bench.find()
    assert cycle is not None
    plan = cycle.approved.plan
    for asset, quote in zip(plan.assets, plan.quotes, strict=True):
        balance = bench.state.ledger.balance(asset)
        assert bench.machine.quoting.available(asset) == balance - quote.spent


def test_lots_an_order_is_taking_are_nobody_elses():
    bench = TradingBench({"USD": 1_000})
    bench.quote("BTC/USD", [("99", 90)], [("100", "0.9965")])
    bench.find(key="first")
    quantity = bench.last.intent.request.quantity
    assert bench.machine.quoting.skip("BTC/USD", bench.last.intent.request.side) == int(
        quantity * 10**8
    )
    assert bench.find(key="second") is not None
    # What is left of the level is too little.
    assert len(bench.gateway.sent) == 1


def test_what_orders_of_others_hold_is_not_ours_to_spend():
    bench = TradingBench({"USD": 1_000}, must_reconcile=True)
    bench.tell(told(bench, USD="300"))
    assert bench.machine.quoting.available("USD") == 700
    bench.find()
    # Now it may be our own order that holds it: the last that was certain stays.
    bench.tell(told(bench, USD="400"))
    assert bench.state.foreign_held == {"USD": 300}


# ── the account ──────────────────────────────────────────────────────────────────────────────────


def test_first_balances_open_the_ledger_and_older_rows_are_in_them():
    bench = TradingBench()
    deposit = BalanceChange("L1", "R1", "deposit", "USD", D(50), D(0), D(50), EARLIER)
    bench.tell(BalanceMoved(deposit))
    bench.tell(BalancesTold((Balance("USD", D(50)),)))
    bench.tell(BalanceMoved(deposit))
    assert bench.state.ledger.balances() == {"USD": 50}
    bench.tell(BalanceMoved(attrs.evolve(deposit, ledger_id="L2", timestamp=LATER)))
    assert bench.state.ledger.balances() == {"USD": 100}
    assert [alert.severity for alert in bench.alerts] == [Severity.INFO]


def test_fill_of_an_order_that_is_not_ours_is_booked_and_told():
    bench = TradingBench({"USD": 1_000})
    report = stranger(bench)
    bench.tell(Execution(report))
    bench.tell(Execution(report))
    assert len(bench.written(ExecutionBooked)) == 1
    assert bench.state.ledger.balance("BTC") == report.last_quantity
    assert [alert.severity for alert in bench.alerts] == [Severity.WARNING]
    assert bench.halts == []


def test_fill_with_our_mark_that_is_not_in_the_journal_halts():
    bench = TradingBench({"USD": 1_000})
    bench.tell(Execution(stranger(bench, client_id="0192f0c4-ff-0")))
    assert len(bench.halts) == 1
    assert bench.alerts[-1].severity is Severity.CRITICAL


def test_fill_older_than_the_ledger_is_in_what_it_was_opened_with():
    bench = TradingBench({"USD": 1_000})
    bench.tell(Execution(stranger(bench, timestamp=EARLIER)))
    assert bench.written(ExecutionBooked) == []


def test_fill_of_a_pair_that_is_gone_is_booked_all_the_same():
    bench = TradingBench({"USD": 1_000})
    bench.find()
    order, report = bench.last, bench.trade(bench.last)
    bench.instruments = type(bench.instruments)()
    bench.tell(Execution(report))
    assert order.flows["BTC"] == report.last_quantity


def test_fill_after_its_cycle_ended_is_booked_and_halts():
    bench = TradingBench({"USD": 1_000})
    bench.find()
    order = bench.last
    report = bench.trade(order, "0.5")
    bench.accept(order)
    bench.end(order, 0)
    assert bench.written(CycleClosed)[0].state is CycleState.ABORTED_CLEAN
    bench.tell(Execution(report))
    assert bench.state.ledger.balance("BTC") == D("0.5")
    assert bench.alerts[-1].severity is Severity.CRITICAL
    assert len(bench.halts) == 1


def test_fill_beyond_the_limit_is_booked_as_told_and_stops_its_pair():
    bench = TradingBench({"USD": 1_000})
    bench.find()
    order = bench.last
    report = attrs.evolve(bench.trade(order), last_price=D(101), cost=D("100.5976"))
    bench.tell(Execution(report))
    assert bench.written(ExecutionBooked)[0].is_anomaly
    assert "BTC/USD" in bench.state.suspended
    bench.find(key="second")
    assert bench.trader.funnel.refusals["suspended"] == 1


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────


def test_cycle_that_goes_as_planned_adds_up_to_the_last_digit():
    bench = TradingBench({"USD": 1_000})
    bench.find()
    while not bench.written(CycleClosed):
        bench.fill_whole(bench.last)
    (closed,) = bench.written(CycleClosed)
    assert closed.state is CycleState.COMPLETED
    assert bench.state.ledger.balance("USD") == 1_000 + closed.profit
    sums: dict[str, Decimal] = {}
    for row in bench.written(TransactionBooked):
        for posting in row.postings:
            if row.cycle and posting.account == "wallet":
                sums[posting.asset] = sums.get(posting.asset, D(0)) + posting.amount
    assert {a: v for a, v in sums.items() if v} == closed.flows
    assert closed.attribution is not None
    assert sum(closed.attribution.terms().values()) == (
        closed.attribution.expected - closed.attribution.realised
    )


def test_figures_that_cannot_be_made_keep_no_cycle_open(monkeypatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Marks, "journey", fail)
    bench = TradingBench({"USD": 1_000})
    bench.find()
    while not bench.written(CycleClosed):
        bench.fill_whole(bench.last)
    assert bench.written(CycleClosed)[0].attribution is None


def test_amount_no_pair_takes_is_dust_and_one_a_stopped_pair_took_is_not():
    bench = TradingBench({"USD": 1_000})
    assert bench.machine.quoting.is_dust("ETH", D("0.0009"), "USD")
    assert not bench.machine.quoting.is_dust("ETH", D("-0.5"), "USD")
    for symbol in list(bench.books):
        bench.quote(symbol, [], [], status=InstrumentStatus.MAINTENANCE)
    assert not bench.machine.quoting.is_dust("ETH", D("0.5"), "USD")


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


def test_halted_stays_halted_until_resumed():
    bench = TradingBench({"USD": 1_000})
    bench.tell(Commanded("halt", "operator", {"reason": "enough"}))
    bench.tell(Commanded("reduce", "arbitrade", {"reason": "stopping"}))
    view = bench.trader.view
    assert (view.trading_state, view.halt_reason) == (TradingState.HALTED, "enough")
    bench.tell(Commanded("resume", "operator", {}))
    assert view.trading_state is TradingState.ACTIVE


@pytest.mark.parametrize("command", ["halt", "reduce"])
def test_cycle_under_way_is_finished_when_no_other_may_begin(command):
    bench = TradingBench({"USD": 1_000})
    bench.find()
    bench.tell(Commanded(command, "operator", {}))
    while not bench.written(CycleClosed):
        bench.fill_whole(bench.last)
    assert bench.written(CycleClosed)[0].state is CycleState.COMPLETED


def test_flatten_brings_everything_to_one_asset_and_counts_as_no_failure():
    bench = TradingBench({"USD": 1_000, "BTC": 2, "ETH": 5})
    bench.tell(Commanded("flatten", "operator", {"to": "USD"}))
    assert {sent.role for sent in bench.gateway.sent} == {OrderRole.FLATTEN}
    while bench.state.cycles:
        waiting = next(iter(bench.state.orders.unsettled()))
        bench.fill_whole(waiting)
    balances = bench.state.ledger.balances()
    ends = bench.written(CycleClosed)
    assert [end.state for end in ends] == [CycleState.UNWOUND] * 2
    assert all(abs(v) < D("0.00000001") for end in ends for v in end.residual.values())
    # The venue rounds fees to the nearest step, up as well.
    assert abs(balances["BTC"]) + abs(balances["ETH"]) < D("0.00000001")
    assert bench.state.portfolio.consecutive_failures == 0


def test_flatten_that_gets_no_further_names_what_is_left_of_what_it_was_given():
    bench = TradingBench({"USD": 1_000, "ETH": 5})
    bench.tell(Commanded("flatten", "operator", {"to": "USD"}))
    bench.accept(bench.last)
    bench.fill(bench.last, 2)
    bench.quote("ETH/USD", [("1", 90)], [("27", 90)])
    bench.quote("ETH/BTC", [("0.01", 90)], [("0.25", 90)])
    bench.end(bench.last, 2)
    (closed,) = bench.written(CycleClosed)
    assert (closed.state, closed.residual) == (CycleState.FLAGGED, {"ETH": 3})
    assert len(bench.alerts) == 1


# ── reconciling ──────────────────────────────────────────────────────────────────────────────────


def reconciling() -> TradingBench:
    bench = TradingBench({"USD": 1_000}, must_reconcile=True)
    bench.tell(AccountReadiness(True))
    return bench


def test_venue_that_agrees_is_compared_with_once():
    bench = reconciling()
    assert not bench.trader.reconciliation.is_done
    bench.tell(told(bench))
    bench.tell(Reconciled())
    assert bench.trader.reconciliation.is_done
    assert bench.gateway.reconciled == [None]
    assert [row.verdict for row in bench.written(BalanceCompared)] == ["equal"]


def test_difference_nothing_explains_halts_after_a_few_more_looks():
    bench = reconciling()
    while not bench.halts:
        bench.tell(BalancesTold((Balance("USD", D(990)),)))
        bench.tell(Reconciled())
        bench.wait(3)
    assert "-10 USD" in bench.halts[0]
    # The first time balances only, then everything since the ledger was opened.
    assert bench.gateway.reconciled[0] is None
    assert len(bench.gateway.reconciled) >= 4
    assert all(since <= START_NS for since in bench.gateway.reconciled[1:] if since is not None)
    assert bench.state.ledger.balance("USD") == 1_000


def test_venue_that_cannot_be_asked_is_asked_again():
    bench = reconciling()
    bench.tell(Reconciled("no answer in time"))
    bench.wait(3)
    assert len(bench.gateway.reconciled) == 2
    assert bench.halts == []


def test_balances_are_not_compared_while_orders_are_out():
    bench = reconciling()
    bench.find()
    bench.tell(BalancesTold((Balance("USD", D(900)),)))
    bench.tell(Reconciled())
    assert bench.written(BalanceCompared) == []
