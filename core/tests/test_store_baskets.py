"""A basket in the database and in the report: written like a cycle, and never attributed."""

from collections.abc import Iterator
from decimal import Decimal

from arbitrade import records
from arbitrade.accounting.audit import AuditChain
from arbitrade.cli.report import _detail
from arbitrade.models import CycleState, Plan
from arbitrade.protocols import CycleDesk
from arbitrade.store.database import Database
from arbitrade.store.repositories import Repositories
from arbitrade.testing.records import LittleRun, store_run
from arbitrade.testing.risk import make_basket
from arbitrade.testing.trading import TradingBench


class Once:
    """Enters, and has core bring back what it got."""

    name = "once"
    needs_inventory = True

    def takes(self, plan: Plan) -> bool:
        return True

    async def execute(self, desk: CycleDesk) -> CycleState:
        quotes = desk.approved.plan.quotes
        await desk.settled(*[desk.place(at, quote.order) for at, quote in enumerate(quotes)])
        return await desk.unwind("seen enough")


def run_with_a_basket() -> LittleRun:
    bench = TradingBench({"USD": 1_000, "ETH": 20}, paper_ms="20")
    bench.executor = Once()
    found = make_basket({"BTC/USD": "0.5", "ETH/USD": "-0.5"}, size=200, edge_bps=50)
    bench.trader.on_opportunities([found], 0)
    bench.wait(5)
    bench.trader.funnel.close()
    run = LittleRun(bench.run, "main", AuditChain("main", bench.run))
    started = records.RunStarted(bench.run, "paper", "test", "0", "0" * 64, "{}", 0)
    run.written = [(bench.now_ns, started), *((at, record) for at, _, record in bench.records)]
    return run


async def test_basket_is_written_and_read_back_like_a_cycle(database: Database) -> None:
    run = run_with_a_basket()
    async with database.session() as connection:
        await store_run(connection, run)
    history = Repositories(database.connection)
    detail = await history.cycles.detail(run.run, 1)
    assert detail is not None
    opened = next(r for _, r in run.written if isinstance(r, records.CycleOpened))
    closed = next(r for _, r in run.written if isinstance(r, records.CycleClosed))
    plan = opened.approved.plan
    assert detail.cycle.planned_spent == plan.spent > 0
    # 50 bps of what is put in, as the detector estimates.
    assert detail.cycle.expected_profit == plan.expected_profit == plan.spent * Decimal("0.005")
    assert (detail.cycle.state, detail.cycle.profit) == ("unwound", closed.profit)
    assert [(leg.symbol, leg.side, leg.orders) for leg in detail.legs] == [
        ("BTC/USD", "buy", 1),
        ("ETH/USD", "sell", 1),
    ]
    assert {flow.asset: flow.flow for flow in detail.flows} == closed.flows
    assert detail.attribution == {}
    assert any("not attributed" in line for line in lines(_detail(detail)))
    metrics = await history.runs.metrics(run.run)
    assert metrics.attribution == {}


def lines(told: Iterator[str]) -> list[str]:
    return list(told)
