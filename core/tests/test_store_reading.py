"""What is read back equals what was written; figures in SQL equal those of plain Python."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import attrs
import pytest

from arbitrade.api.history import CycleFilter
from arbitrade.errors import UsageError
from arbitrade.models import CycleState
from arbitrade.store.database import Database
from arbitrade.store.repositories import Repositories
from arbitrade.testing.records import LittleRun, make_run, store_run

type Store = Callable[..., Awaitable[None]]


@pytest.fixture
def store(database: Database) -> Store:
    """Return a function that writes runs into the database."""

    async def store(*runs: LittleRun) -> None:
        async with database.session() as connection:
            for run in runs:
                await store_run(connection, run)

    return store


def added(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for name, amount in pairs:
        sums[name] += amount
    return dict(sums)


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
async def test_figures_recomputed_from_raw_rows_agree(
    database: Database, store: Store, seed: int
) -> None:
    run, other = make_run(seed=seed, cycles=11), make_run("second", seed=seed, cycles=3)
    await store(run, other)

    async def rows(table: str) -> list[Mapping[str, Any]]:
        return await database.pool.fetch(f"SELECT * FROM {table} WHERE run = $1", run.run)

    found = await Repositories(database.connection).runs.metrics(run.run)
    cycles, orders, executions = (
        await rows("cycle"),
        await rows("trade_order"),
        await rows("execution"),
    )
    flows, seen = await rows("cycle_flow"), await rows("opportunity")
    closed = [one for one in cycles if one["closed_at"]]
    traded = [one for one in closed if one["state"] != "aborted_clean"]
    won = [one for one in traded if one["profit"] > 0]
    assert found.cycles == Counter(one["state"] for one in cycles)
    assert (found.traded, found.won) == (len(traded), len(won))
    assert found.win_rate == ratio(Decimal(len(won)) / len(traded))
    assert found.profit == added((one["asset"], one["flow"]) for one in flows) == run.profit
    residual = added((one["asset"], one["residual"]) for one in flows)
    assert found.residual == {asset: amount for asset, amount in residual.items() if amount}
    assert found.profit_reference == sum(one["profit_reference"] for one in closed)
    fees = [(one["asset"], one["amount"]) for one in await rows("execution_fee")]
    assert found.fees == added(fees)
    assert found.expected == added(
        (one["start_asset"], one["planned_received"] - one["planned_spent"]) for one in closed
    )
    assert found.realised == added((one["start_asset"], one["profit"]) for one in closed)
    assert found.orders == Counter(one["outcome"] or "unanswered" for one in orders)
    assert found.fully_filled == sum(one["filled_quantity"] == one["quantity"] for one in orders)
    filled = [o["filled_quantity"] / o["quantity"] for o in orders if o["outcome"] == "accepted"]
    assert found.fill_ratio == ratio(sum(filled, Decimal(0)) / len(filled))
    assert found.executions == len(executions) == len(run.fills)
    assert found.send_to_ack_us == percentiles(
        Decimal((one["answered_at"] - one["sent_at"]).total_seconds()) * 1_000_000
        for one in orders
        if one["sent_at"] and one["answered_at"]
    )
    counted = Counter((one["outcome"], one["rule"]) for one in seen)
    assert {(one.outcome, one.rule): one.opportunities for one in found.funnel} == counted


def ratio(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.00000001"), ROUND_HALF_UP)


def percentiles(values: Iterable[Decimal]) -> tuple[Decimal, Decimal]:
    ordered = sorted(round(value) for value in values)
    return tuple(Decimal(ordered[-(-len(ordered) * p // 100) - 1]) for p in (50, 99))  # type: ignore[return-value]


async def test_attribution_adds_up_to_the_last_digit(database: Database, store: Store) -> None:
    run = make_run(seed=9, cycles=10)
    await store(run)
    found = await Repositories(database.connection).runs.metrics(run.run)
    terms = dict(found.attribution["USD"])
    expected, realised = terms.pop("expected"), terms.pop("realised")
    with localcontext(prec=100):
        assert expected - sum(terms.values()) == realised
    assert realised == sum(one.profit for one in run.closed)
    for name in terms:
        parts = [one.attribution.terms()[name] for one in run.closed if one.attribution]
        assert terms[name] == sum(parts), name


async def test_a_run_in_which_nothing_happened_has_figures_too(
    database: Database, store: Store
) -> None:
    run = make_run(seed=1, cycles=0, refused=0)
    await store(run)
    found = await Repositories(database.connection).runs.metrics(run.run)
    assert (found.traded, found.win_rate, found.fill_ratio) == (0, None, None)
    assert (found.profit, found.orders, found.funnel) == ({}, {}, ())


# ── repositories ─────────────────────────────────────────────────────────────────────────────────


async def test_runs_come_latest_first_and_are_found_by_the_begin_of_their_id(
    database: Database, store: Store
) -> None:
    day = 86_400_000_000_000
    first = make_run(seed=1, cycles=1)
    later = make_run(seed=2, cycles=1, begin_ns=first.now_ns + day)
    second = make_run("second", seed=3, cycles=1, begin_ns=first.now_ns + 2 * day)
    await store(first, later, second)
    found = Repositories(database.connection)
    assert [one.run for one in await found.runs.latest()] == [second.run, later.run, first.run]
    assert [one.run for one in await found.runs.latest("main", limit=1)] == [later.run]
    assert (await found.runs.find(first.run[:9].upper())).run == first.run
    assert (await found.runs.find(None, "main")).run == later.run
    with pytest.raises(UsageError, match="no run abc of account main"):
        await found.runs.find("abc", "main")
    with pytest.raises(UsageError, match="more than one run"):
        await found.runs.find("")


async def test_a_cycle_is_told_with_everything_that_belongs_to_it(
    database: Database, store: Store
) -> None:
    run = make_run(seed=4, cycles=5)
    await store(run)
    found = Repositories(database.connection)
    for closed in run.closed:
        detail = await found.cycles.detail(run.run, closed.cycle)
        assert detail is not None
        assert detail.cycle.state == closed.state.value
        assert detail.cycle.profit == closed.profit
        assert {one.asset: one.flow for one in detail.flows} == closed.flows
        assert closed.attribution is not None
        assert dict(detail.attribution) == attrs.asdict(closed.attribution)
        assert [leg.leg for leg in detail.legs] == [0, 1, 2]
        begin = f"T{run.run[:8]}-{closed.cycle}-"
        fills = [fill for fill in run.fills if (fill.exec_id or "").startswith(begin)]
        assert [one.exec_id for one in detail.executions] == [one.exec_id for one in fills]
        assert [[(fee.asset, fee.amount) for fee in one.fees] for one in detail.executions] == [
            [(fee.asset, fee.amount) for fee in one.fees] for one in fills
        ]
        assert [book.moment for book in detail.books] == ["opened", "closed"]
        assert [note.what for note in detail.notes] == ["sized"]
        is_unwound = closed.state in (CycleState.UNWOUND, CycleState.FLAGGED)
        assert len(detail.unwinds) == is_unwound
        for unwind in detail.unwinds:
            assert [way.kind for way in unwind.candidates if way.is_chosen] == [unwind.chosen]
    assert await found.cycles.detail(run.run, 99) is None


async def test_cycles_come_in_pages_and_by_state(database: Database, store: Store) -> None:
    run = make_run(seed=4, cycles=7)
    await store(run)
    found = Repositories(database.connection)
    of = CycleFilter(run=run.run)
    first = await found.cycles.page(of, limit=3)
    assert [one.number for one in first.rows] == [7, 6, 5]
    second = await found.cycles.page(of, limit=3, before=first.next)
    assert [one.number for one in second.rows] == [4, 3, 2]
    last = await found.cycles.page(of, limit=3, before=second.next)
    assert ([one.number for one in last.rows], last.next) == ([1], None)
    flagged = await found.cycles.page(CycleFilter(run=run.run, states=("flagged",)))
    assert [one.number for one in flagged.rows] == [4]


async def test_near_misses_are_ordered_by_edge_and_carry_their_flips(
    database: Database, store: Store
) -> None:
    run = make_run(seed=4, refused=20)
    await store(run)
    misses = await Repositories(database.connection).opportunities.near_misses(run.run, limit=5)
    not_taken = [one for one in run.seen if one.outcome != "approved"]
    edges = sorted((one.best_edge_bps for one in not_taken), reverse=True)
    assert [one.best_edge_bps for one in misses] == edges[:5]
    assert all(one.flips and one.rule for one in misses)


@pytest.mark.parametrize("by", [None, "day", "key"])
async def test_profit_is_the_same_however_it_is_split(
    database: Database, store: Store, by: str | None
) -> None:
    runs = [make_run(account, seed=5, cycles=6) for account in ("main", "second")]
    await store(*runs)
    found = Repositories(database.connection)
    for run in runs:
        parts = await found.money.profit(run.run, by=by)
        assert added((one.asset, one.flow) for one in parts) == run.profit
        assert await found.money.profit(account=run.account, by=by) == parts
    with pytest.raises(UsageError, match="by"):
        await found.money.profit(by="week")


async def test_the_ledger_adds_up_in_the_report(database: Database, store: Store) -> None:
    run = make_run(seed=6, cycles=6)
    await store(run)
    found = Repositories(database.connection)
    report = await found.report(await found.runs.find(run.run), with_legs=True)
    assert {line.asset: line.wallet for line in report.ledger} == run.balances
    for line in report.ledger:
        parts = line.opening + line.trading + line.fees + line.rounding + line.external
        assert (parts, line.difference) == (line.wallet, 0)
    assert len(report.details) == len(report.cycles) == 6


async def test_rows_by_table_counts_one_run_or_all(database: Database, store: Store) -> None:
    runs = [make_run(account, seed=7, cycles=2) for account in ("main", "second")]
    await store(*runs)
    found = Repositories(database.connection)
    one, both = await found.runs.rows_by_table(runs[0].run), await found.runs.rows_by_table()
    assert one["execution"] == len(runs[0].fills)
    assert both["execution"] == sum(len(run.fills) for run in runs)
    assert both["journal_position"] == 2
    assert "opportunity_default" not in both


async def test_alerts_and_latencies_are_found(database: Database, store: Store) -> None:
    run = make_run(seed=8, cycles=5)
    await store(run)
    found = Repositories(database.connection)
    told = await found.events.alerts(account="main")
    assert [one.title for one in told.rows] == ["a cycle was flagged"]
    assert (await found.events.alerts(account="second")).rows == ()
    names = [one.name for one in await found.runs.latencies(run.run)]
    assert names == ["send_to_ack", "tick_to_decision"]
