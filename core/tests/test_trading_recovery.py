"""After a crash: any part of a journal that begins at its beginning is a state to go on from."""

from collections.abc import Sequence
from decimal import Decimal

import attrs
import pytest

from arbitrade.config import Settings
from arbitrade.models import CycleState
from arbitrade.records import (
    BalancesKept,
    CycleClosed,
    CycleOpened,
    ExecutionBooked,
    LimitsChanged,
    ProfitMeasured,
    Record,
    TransactionBooked,
    decode,
)
from arbitrade.testing.trading import SECOND, TradingBench
from arbitrade.trading.machine.events import Commanded
from arbitrade.trading.machine.recovery import Recovered

D = Decimal
type Row = tuple[int, str, Record]


@pytest.fixture(scope="module")
def rows() -> Sequence[Row]:
    """Three cycles: one that completes, one unwound after half a leg, one that finds nothing."""
    bench = TradingBench({"USD": 1_000}, paper_ms="20")
    bench.find()
    bench.wait(1)
    bench.find(key="second")
    bench.quote("ETH/BTC", [("0.24", 90)], [("0.25", 2), ("0.30", 90)])
    bench.wait(1)
    bench.quote("ETH/BTC", [("0.24", 90)], [("0.25", 90)])
    bench.find(key="third")
    bench.quote("BTC/USD", [("99", 90)], [("101", 90)])
    bench.wait(2)
    ends = [closed.state for closed in bench.written(CycleClosed)]
    assert ends == [CycleState.COMPLETED, CycleState.UNWOUND, CycleState.ABORTED_CLEAN]
    return tuple(bench.records)


def taken(rows: Sequence[Row]) -> Recovered:
    state = Recovered("main")
    for row in rows:
        state.take(*row)
    return state


def wallet(rows: Sequence[Row], *, cycle: int | None = None) -> dict[str, Decimal]:
    """Return what all transactions, or those of a cycle, changed of what the venue holds."""
    sums: dict[str, Decimal] = {}
    for _, _, record in rows:
        if isinstance(record, TransactionBooked) and cycle in (None, record.cycle):
            for posting in record.postings:
                if posting.account == "wallet":
                    sums[posting.asset] = sums.get(posting.asset, D(0)) + posting.amount
    return {asset: amount for asset, amount in sums.items() if amount}


def held(bench: TradingBench) -> dict[str, Decimal]:
    return {asset: amount for asset, amount in bench.state.ledger.balances().items() if amount}


def restarted(state: Recovered, rows: Sequence[Row]) -> TradingBench:
    """Return a bench that went on from a state."""
    run, now_ns = "7e57ab1e-0000-4000-8000-000000000000", rows[-1][0] + SECOND
    bench = TradingBench(run=run, now_ns=now_ns, paper_ms="20")
    state.restore(bench.state, Settings().risk, is_told_again=False)
    bench.paper.begin(bench.state.ledger.balances())
    return bench


def test_every_prefix_of_a_run_is_a_state_whose_sums_are_those_of_its_transactions(rows):
    for count in range(1, len(rows) + 1):
        part = rows[:count]
        bench = restarted(taken(part), rows)
        assert held(bench) == wallet(part), count
        open_now = {r.cycle for _, _, r in part if isinstance(r, CycleOpened)}
        open_now -= {r.cycle for _, _, r in part if isinstance(r, CycleClosed)}
        assert {cycle.number for cycle in bench.trader.state.to_recover} == open_now, count
        for cycle in bench.trader.state.to_recover:
            assert cycle.flows() == wallet(part, cycle=cycle.number), count


def test_every_prefix_of_a_run_is_brought_to_an_end_that_leaves_nothing_unnamed(rows):
    for count in range(1, len(rows) + 1):
        part = rows[:count]
        bench = restarted(taken(part), rows)
        bench.tell(Commanded("recover", "arbitrade", {}))
        bench.wait(60)
        assert not bench.state.cycles, count
        left = [a for a, v in held(bench).items() if not bench.machine.quoting.is_dust(a, v, "USD")]
        assert left in ([], ["USD"]), (count, held(bench))
        closed = [r.cycle for _, _, r in (*part, *bench.records) if isinstance(r, CycleClosed)]
        opened = [r.cycle for _, _, r in part if isinstance(r, CycleOpened)]
        assert sorted(closed) == opened, count


def test_cycles_of_two_runs_that_have_the_same_number_are_kept_apart(rows):
    # The first run died; its transactions are still told one by one.
    run = "7e57ab1e-0000-4000-8000-000000000000"
    again = TradingBench({}, run=run, now_ns=rows[-1][0], paper_ms="20")
    again.state.ledger.restore(wallet(rows))
    again.paper.begin(again.state.ledger.balances())
    again.find()
    (cycle,) = restarted(taken([*rows, *again.records]), rows).trader.state.to_recover
    assert (cycle.number, cycle.run, cycle.flows()) == (1, again.run, {})


def test_profit_after_every_prefix_is_that_of_the_cycles_that_ended(rows):
    for count in range(1, len(rows) + 1):
        ended = [r for _, _, r in rows[:count] if isinstance(r, CycleClosed)]
        portfolio = restarted(taken(rows[:count]), rows).machine.state.portfolio
        gained = sum((r.profit_reference or D(0) for r in ended), D(0))
        assert portfolio.realised_reference == gained, count
        assert portfolio.realised.get("USD", D(0)) == sum((r.profit for r in ended), D(0)), count


def test_essence_of_every_prefix_brings_a_fresh_state_to_the_same_place(rows):
    limits = LimitsChanged(3, {"maximum_notional": "50"}, "operator")
    rows = [*rows[:1], (rows[0][0], rows[0][1], limits), *rows[1:]]
    for count in range(2, len(rows) + 1):
        whole = taken(rows[:count])
        again = Recovered("main")
        for text in whole.essence():
            written = decode(text.encode())
            assert written.record is not None
            again.take(written.time_ns, written.run, written.record)
        first, second = restarted(whole, rows), restarted(again, rows)
        assert held(first) == held(second), count
        assert again.limits == limits
        assert [
            (c.number, c.run, c.flows(), [o.client_id for o in c.orders], c.brought)
            for c in first.trader.state.to_recover
        ] == [
            (c.number, c.run, c.flows(), [o.client_id for o in c.orders], c.brought)
            for c in second.trader.state.to_recover
        ], count
        assert attrs.asdict(first.state.portfolio.measured(rows[-1][0])) == attrs.asdict(
            second.state.portfolio.measured(rows[-1][0])
        ), count
        assert first.state.opened_ns == second.state.opened_ns
        assert again.essence() == whole.essence(), count


def test_fill_told_again_after_balances_were_kept_is_not_booked_twice(rows):
    end, run, _ = rows[-1]
    state = taken([*rows, (end, run, BalancesKept(wallet(rows)))])
    assert state.transactions == []
    bench = restarted(state, rows)
    for _, _, record in rows:
        if isinstance(record, ExecutionBooked):
            bench.machine.bookings.on_execution(record.report)
    assert held(bench) == wallet(rows)
    assert bench.halts == []


def test_cycle_that_was_open_when_balances_were_kept_still_has_its_flows(rows):
    middle = next(at for at, row in enumerate(rows) if isinstance(row[2], ExecutionBooked))
    part = rows[: middle + 1]
    end, run, _ = part[-1]
    state = taken([*part, (end, run, BalancesKept(wallet(part)))])
    (cycle,) = restarted(state, rows).trader.state.to_recover
    assert cycle.flows() == wallet(part, cycle=1) != {}


def test_flatten_cut_short_by_a_crash_goes_on_instead_of_being_bought_back():
    bench = TradingBench({"USD": 10, "ETH": 5})
    bench.tell(Commanded("flatten", "operator", {"to": "USD"}))
    order = bench.last
    bench.accept(order)
    bench.fill(order, 2)
    again = restarted(bench.recovered(), bench.records)
    (cycle,) = again.trader.state.to_recover
    assert cycle.holdings()["ETH"] == 3
    again.tell(Commanded("recover", "arbitrade", {}))
    again.wait(60)
    assert held(again).keys() == {"USD"}


def test_run_that_ended_in_good_order_leaves_no_cycle_and_its_profit(rows):
    state = taken(rows)
    assert (state.cycles, state.orders, state.history) == ({}, {}, {})
    assert state.ended == {
        "sequential completed": 1,
        "sequential unwound": 1,
        "sequential aborted_clean": 1,
    }
    assert isinstance(state.profit, ProfitMeasured)
    assert not state.is_empty
    assert Recovered("main").is_empty
