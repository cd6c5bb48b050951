"""Profit, pace, what things are worth, what became of opportunities, and the hash over it all."""

from decimal import Decimal

import attrs
import pytest

from arbitrade.accounting.portfolio import Portfolio
from arbitrade.accounting.valuation import Valuation
from arbitrade.models import CycleState, Refused
from arbitrade.records import CycleClosed, OpportunitySeen
from arbitrade.testing.risk import make_opportunity
from arbitrade.testing.trading import TradingBench
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.funnel import Funnel

D = Decimal
DAY = 86_400_000_000_000
NOON = 20_000 * DAY + DAY // 2


def closed(gain: str, state: CycleState = CycleState.COMPLETED, **changes: object) -> CycleClosed:
    record = CycleClosed(
        cycle=1,
        key="k",
        state=state,
        start_asset="EUR",
        profit=D(gain),
        profit_reference=D(gain) * 2,
        flows={"EUR": D(gain)},
        residual={},
        attribution=None,
        reason="",
        is_recovered=False,
        opened_ns=0,
    )
    return attrs.evolve(record, **changes)


# ── portfolio ────────────────────────────────────────────────────────────────────────────────────


def test_profit_adds_up_by_asset_and_in_the_reference_asset():
    portfolio = Portfolio()
    portfolio.on_cycle_closed(closed("3"), NOON)
    portfolio.on_cycle_closed(closed("-1"), NOON)
    assert portfolio.realised == {"EUR": 2}
    assert portfolio.realised_reference == 4
    assert (portfolio.peak_reference, portfolio.drawdown) == (6, 2)


def test_day_begins_at_midnight_utc_with_nothing_and_the_drawdown_goes_on():
    portfolio = Portfolio()
    portfolio.on_cycle_closed(closed("-5"), NOON)
    assert portfolio.realised_today(NOON) == -10
    midnight = 20_001 * DAY
    assert portfolio.realised_today(midnight - 1) == -10
    assert portfolio.realised_today(midnight) == 0
    portfolio.on_cycle_closed(closed("1"), midnight)
    assert portfolio.realised_today(midnight) == 2
    assert portfolio.drawdown == 8


def test_restored_portfolio_goes_on_on_the_same_day_and_not_on_the_next():
    before = Portfolio()
    before.on_cycle_closed(closed("-5", CycleState.FLAGGED), NOON)
    kept = before.measured(NOON)
    after = Portfolio()
    after.restore(kept, NOON)
    assert after.measured(NOON) == kept
    assert (after.realised_today(NOON + 1), after.realised_today(NOON + DAY)) == (-10, 0)
    assert (after.consecutive_failures, after.last_failure_ns) == (1, NOON)


@pytest.mark.parametrize(
    "state", [CycleState.UNWOUND, CycleState.ABORTED_CLEAN, CycleState.FLAGGED]
)
def test_cycles_that_do_not_complete_are_failures_until_one_does(state):
    portfolio = Portfolio()
    for now in (NOON, NOON + 1):
        portfolio.on_cycle_closed(closed("0", state), now)
    assert (portfolio.consecutive_failures, portfolio.last_failure_ns) == (2, NOON + 1)
    assert portfolio.failed_at_ns("k") == NOON + 1
    portfolio.on_cycle_closed(closed("1"), NOON + 2)
    assert (portfolio.consecutive_failures, portfolio.failed_at_ns("k")) == (0, None)


def test_neither_a_crash_nor_an_operator_counts_as_a_failure_of_the_market():
    portfolio = Portfolio()
    portfolio.on_cycle_closed(closed("0", CycleState.UNWOUND, is_recovered=True), NOON)
    portfolio.on_cycle_closed(closed("0", CycleState.UNWOUND, key="flatten:ETH>USD"), NOON)
    assert portfolio.consecutive_failures == 0


def test_orders_count_for_a_minute():
    portfolio = Portfolio()
    for second in (0, 30, 59):
        portfolio.on_order(NOON + second * 10**9)
    assert portfolio.orders_last_minute(NOON + 59 * 10**9) == 3
    assert portfolio.orders_last_minute(NOON + 60 * 10**9) == 2
    assert portfolio.orders_last_minute(NOON + 200 * 10**9) == 0


# ── valuation ────────────────────────────────────────────────────────────────────────────────────


def test_amounts_are_worth_what_they_would_be_sold_for():
    bench = TradingBench()
    valuation = Valuation(lambda: bench.books, lambda: bench.instruments)
    assert valuation.value("BTC", D(2), "USD") == 198
    assert valuation.value("USD", D(200), "BTC") == 2
    assert valuation.value("USD", D(7), "USD") == 7
    assert valuation.value("XRP", D(1), "USD") is None
    assert valuation.value("XRP", D(0), "USD") == 0


def test_rate_goes_over_the_best_asset_in_between_when_the_pair_does_not_tell():
    bench = TradingBench()
    valuation = Valuation(lambda: bench.books, lambda: bench.instruments)
    assert valuation.rate("ETH", "USD") == 26
    bench.books["ETH/USD"].tradable = False
    valuation.forget()
    assert valuation.rate("ETH", "USD") == D("0.24") * 99
    bench.books["ETH/BTC"].tradable = False
    valuation.forget()
    assert valuation.rate("ETH", "USD") is None


def test_one_side_of_a_book_can_be_missing():
    bench = TradingBench()
    bench.quote("ETH/USD", [], [("27", 1)])
    bench.quote("ETH/BTC", [], [("0.25", 1)])
    valuation = Valuation(lambda: bench.books, lambda: bench.instruments)
    assert valuation.rate("ETH", "USD") is None
    assert valuation.rate("USD", "ETH") == 1 / D(27)


# ── funnel ───────────────────────────────────────────────────────────────────────────────────────


def refused(profit: int, rule: str = "balance", reason: str = "too little") -> Refused:
    return Refused(make_opportunity(size=profit * 1_000), rule, reason, "1", "2")


def test_sightings_with_one_outcome_are_one_record_with_the_best_of_them():
    told: list[OpportunitySeen] = []
    funnel = Funnel(told.append)
    for now, profit in ((1, 1), (2, 3), (3, 2)):
        answer = refused(profit, reason=f"too little for {profit}")
        funnel.add(answer.opportunity, "refused", now, refused=answer)
    assert told == []
    funnel.end("test:USD>BTC>ETH")
    (record,) = told
    assert (record.first_ns, record.last_ns, record.sightings) == (1, 3, 3)
    assert (record.profit, record.best_profit, record.size) == (1, 3, 3_000)
    assert (record.rule, record.reason) == ("balance", "too little for 3")
    assert (funnel.count, dict(funnel.refusals)) == (1, {"balance": 1})


def test_change_of_mind_is_a_new_record_and_each_cycle_has_its_own():
    told: list[OpportunitySeen] = []
    funnel = Funnel(told.append)
    found = make_opportunity()
    funnel.add(found, "refused", 1, refused=refused(1))
    funnel.add(found, "refused", 2, refused=refused(1, "cooldown"), also=["balance"])
    funnel.add(found, "approved", 3, cycle=1)
    funnel.add(found, "approved", 4, cycle=2)
    funnel.close()
    funnel.close()
    assert [(r.outcome, r.rule, r.also, r.cycle) for r in told] == [
        ("refused", "balance", (), None),
        ("refused", "cooldown", ("balance",), None),
        ("approved", "", (), 1),
        ("approved", "", (), 2),
    ]
    assert dict(funnel.outcomes) == {"refused": 2, "approved": 2}


def test_end_of_what_was_never_seen_is_nothing():
    told: list[OpportunitySeen] = []
    Funnel(told.append).end("test:nothing")
    assert told == []


# ── decisions ────────────────────────────────────────────────────────────────────────────────────


def test_hash_is_over_number_time_and_fields_in_any_order_of_them():
    first, second, third = Decisions(), Decisions(), Decisions()
    first.add(1, "order", {"id": "a", "side": "buy"})
    second.add(1, "order", {"side": "buy", "id": "a"})
    third.add(2, "order", {"id": "a", "side": "buy"})
    assert first.hash == second.hash != third.hash
    # Pinned: recordings of earlier versions must replay to it.
    assert first.hash == "3192ad436d73d9f6027fd9a186f5c993abf660a0ce56d3478d354ec0226654a7"
    assert Decisions().hash == "0" * 64


def test_each_decision_is_told_with_the_hash_so_far():
    told = []
    decisions = Decisions(told.append)
    decisions.add(1, "refused", {"key": "k"})
    decisions.add(2, "refused", {"key": "k"})
    assert [decided.number for decided in told] == [1, 2]
    assert told[-1].hash == decisions.hash != told[0].hash


def test_best_of_one_frame_goes_first_and_the_next_gets_what_is_left():
    bench = TradingBench({"USD": 150})
    found = [
        make_opportunity(edge_bps=edge, size=100, key=key)
        for edge, key in ((10, "worse"), (270, "best"), (270, "also"))
    ]
    bench.trader.on_opportunities(found, 0)
    cycles = list(bench.state.cycles.values())
    assert [cycle.key for cycle in cycles] == ["also", "best"]
    assert cycles[0].approved.plan.spent > 99
    assert 49 < cycles[1].approved.plan.spent < 51
    assert bench.trader.funnel.outcomes == {"approved": 2, "blocked": 1}
