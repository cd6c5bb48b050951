"""Baskets in the machine: entered, held, left; judged, halted, killed and gone on with."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_UP, Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.config import Settings
from arbitrade.errors import ArbitradeError
from arbitrade.execution.sequential import SequentialExecutor
from arbitrade.models import (
    Balance,
    BasketPlan,
    CycleState,
    Leg,
    OrderRole,
    Plan,
    PlannedOrder,
    Severity,
    Side,
)
from arbitrade.protocols import CycleDesk
from arbitrade.records import (
    CycleClosed,
    CycleNoted,
    CycleOpened,
    IntentWritten,
    OpportunitySeen,
    Record,
    TransactionBooked,
    decode,
    encode,
)
from arbitrade.testing.risk import make_basket
from arbitrade.testing.trading import SECOND, TradingBench
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.events import BalancesTold, Commanded, OrderFound
from arbitrade.trading.machine.recovery import Recovered

D = Decimal
OPENING = {"USD": 1_000, "ETH": 20}
type Row = tuple[int, str, Record]
BASKET = {"BTC/USD": "0.5", "ETH/USD": "-0.5"}
_OTHER = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


@attrs.frozen
class Holder:
    """Enters at once, holds for so long, leaves leg by leg; what it can't bring back core does.

    Args:
        hold_s: For how long.
        stays: Whether it holds through a halt and over the end of a run.
    """

    hold_s: float = 60
    stays: bool = False
    name: str = "holder"
    needs_inventory: bool = True

    def takes(self, plan: Plan) -> bool:
        return isinstance(plan, BasketPlan)

    async def execute(self, desk: CycleDesk) -> CycleState:
        plan = desk.approved.plan
        tickets = [desk.place(index, quote.order) for index, quote in enumerate(plan.quotes)]
        await desk.settled(*tickets)
        if any(ticket.filled_quantity < ticket.order.quantity for ticket in tickets):
            return await desk.unwind("not entered as a whole")
        desk.note("entered", until_ns=desk.now_ns + round(self.hold_s * 1e9))
        return await self.resume(desk)

    async def resume(self, desk: CycleDesk) -> CycleState:
        entered = desk.noted("entered")
        if entered is None:
            return await desk.unwind("died while entering")
        until_ns = int(entered["until_ns"])
        while desk.now_ns < until_ns and (self.stays or not desk.must_reduce):
            await desk.hold((until_ns - desk.now_ns) / 1e9)
        return await self._leave(desk)

    async def _leave(self, desk: CycleDesk) -> CycleState:
        plan = desk.approved.plan
        for index, (leg, asset) in enumerate(zip(plan.legs, plan.assets[1:], strict=True)):
            order = _back(desk, Leg(leg.symbol, _OTHER[leg.side]), desk.held().get(asset))
            if order is not None:
                await desk.settled(desk.place(index, order, OrderRole.UNWIND))
        if any(
            not desk.is_dust(asset, amount)
            for asset, amount in desk.held().items()
            if asset != plan.assets[0]
        ):
            return await desk.unwind("what orders left")
        return CycleState.COMPLETED


def _back(desk: CycleDesk, leg: Leg, held: Decimal | None) -> PlannedOrder | None:
    """Return the order that undoes a leg: sells what is held, or buys back what is missing."""
    if not held:
        return None
    missing = max(-held, Decimal(0))
    try:
        # Enough to pay for what is missing; what is more is cut off.
        quote = desk.quote(leg, held if held > 0 else missing * 1000)
    except ArbitradeError:
        return None
    if quote.blocked is not None:
        return None
    step = desk.instrument(leg.symbol).quantity_increment
    lots = (missing / step).to_integral_value(ROUND_UP) * step
    return attrs.evolve(quote.order, quantity=min(quote.quantity, lots)) if missing else quote.order


def benched(holder: Holder | None = None, **given: object) -> TradingBench:
    bench = TradingBench(OPENING, paper_ms="20", **given)  # type: ignore[arg-type]
    bench.executor = holder or Holder()
    return bench


def enter(bench: TradingBench, size: int = 200, key: str = "basket") -> Cycle:
    """Show the basket; return it, under way."""
    bench.trader.at(bench.now_ns)
    bench.trader.on_opportunities([make_basket(BASKET, size=size, key=key)], 0)
    return list(bench.state.cycles.values())[-1]


def held(bench: TradingBench) -> dict[str, Decimal]:
    return {asset: amount for asset, amount in bench.state.ledger.balances().items() if amount}


def wallet(rows: Sequence[Row]) -> dict[str, Decimal]:
    """Return what all transactions changed of what the venue holds."""
    sums: dict[str, Decimal] = {}
    for _, _, record in rows:
        if isinstance(record, TransactionBooked):
            for posting in record.postings:
                if posting.account == "wallet":
                    sums[posting.asset] = sums.get(posting.asset, D(0)) + posting.amount
    return {asset: amount for asset, amount in sums.items() if amount}


# ── a whole life ─────────────────────────────────────────────────────────────────────────────────


def test_basket_is_entered_held_and_left_by_its_executor():
    bench = benched()
    cycle = enter(bench)
    bench.wait(1)
    # Half of 200 USD buys BTC at 100 with 0.40 % on top; ETH at 26 for the other half is sold.
    assert 0 < cycle.flows()["BTC"] < 1
    assert D("-3.85") < cycle.flows()["ETH"] < D("-3.7")
    bench.wait(60)
    (closed,) = bench.written(CycleClosed)
    assert closed.state is CycleState.COMPLETED
    assert closed.residual == {}
    assert closed.start_asset == "USD"
    assert closed.profit == closed.flows["USD"]
    assert closed.attribution is None
    assert held(bench)["ETH"] == 20


def test_profit_of_a_basket_is_what_its_prices_did_while_it_was_held():
    bench = benched()
    enter(bench)
    bench.wait(1)
    bench.quote("BTC/USD", [("119", 90)], [("120", 90)])
    bench.wait(60)
    (closed,) = bench.written(CycleClosed)
    # About one BTC bought at 100 and sold at 119; the rest of the way costs about 6 USD.
    assert 10 < closed.profit < 19


def test_whole_of_a_lost_position_is_brought_back_though_the_market_took_more_than_the_cap():
    bench = benched(Holder(hold_s=600))
    enter(bench)
    bench.wait(1)
    bench.quote("BTC/USD", [("59", 90)], [("60", 90)])
    del bench.books["ETH/BTC"]  # Over ETH it would still be worth what it was.
    bench.tell(Commanded("leave", "operator", {"reason": "enough"}))
    bench.wait(5)
    (closed,) = bench.written(CycleClosed)
    assert closed.state is CycleState.UNWOUND
    assert closed.profit < -Settings().risk.unwind_loss_cap
    assert held(bench).keys() == {"USD", "ETH"}


def test_executor_that_raises_has_its_basket_unwound_short_side_included():
    @attrs.frozen
    class Careless(Holder):
        async def resume(self, desk):
            raise ValueError("no idea")

    bench = benched(Careless())
    enter(bench)
    bench.wait(5)
    (closed,) = bench.written(CycleClosed)
    assert closed.state is CycleState.UNWOUND
    assert "no idea" in closed.reason
    assert held(bench)["ETH"] == 20


def test_basket_may_be_held_for_longer_than_a_cycle_may_take():
    bench = benched(Holder(hold_s=600))
    cycle = enter(bench)
    bench.wait(Settings().plugins.cycle_budget_s * 2)
    assert cycle.state is CycleState.OPEN
    assert bench.written(CycleClosed) == []


def test_basket_of_an_executor_that_is_put_aside_is_brought_back():
    bench = benched(Holder(hold_s=600))
    enter(bench)
    bench.wait(1)
    bench.trader.executor_gone("holder", "it is put aside", is_needed=False)
    bench.wait(5)
    (closed,) = bench.written(CycleClosed)
    assert (closed.state, closed.reason) == (CycleState.UNWOUND, "it is put aside")
    assert held(bench)["ETH"] == 20


def test_leg_that_does_not_fill_has_the_others_brought_back():
    bench = benched()
    enter(bench)
    bench.quote("ETH/USD", [("20", 90)], [("27", 90)])
    bench.wait(5)
    (closed,) = bench.written(CycleClosed)
    assert closed.state is CycleState.UNWOUND
    assert held(bench)["ETH"] == 20


def test_leg_the_venue_refuses_has_the_other_sold_again():
    bench = TradingBench(OPENING)
    bench.executor = Holder()
    del bench.books["ETH/BTC"]  # The way back over ETH would pay.
    bought, sold = enter(bench).orders
    bench.fill_whole(bought)
    bench.refuse(sold)
    request = bench.last.intent.request
    assert (bench.last.intent.role, request.symbol) == (OrderRole.UNWIND, "BTC/USD")
    assert request.quantity == bought.received
    bench.fill_whole(bench.last)
    (closed,) = bench.written(CycleClosed)
    assert (closed.state, held(bench)["ETH"]) == (CycleState.UNWOUND, 20)


# ── who carries it out ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("executor", [SequentialExecutor(), Holder()])
def test_plan_its_executor_does_not_take_is_refused_by_name(executor):
    bench = benched(Holder())
    bench.executor = executor
    if isinstance(executor, Holder):
        assert bench.find() is None
    else:
        bench.trader.on_opportunities([make_basket(BASKET)], 0)
    assert not bench.state.cycles
    bench.trader.funnel.close()
    (seen,) = bench.written(OpportunitySeen)
    assert (seen.outcome, seen.rule) == ("refused", "executor")
    assert executor.name in seen.reason


# ── what it may spend, and what others may ───────────────────────────────────────────────────────


def test_what_a_basket_sold_is_paid_for_before_anything_else_is():
    bench = TradingBench({"USD": 110, "ETH": 20}, paper_ms="20")
    bench.executor = Holder()
    cycle = enter(bench)
    bench.wait(1)
    free, sold = bench.machine.quoting.available("USD"), -cycle.flows()["ETH"]
    # 110 less about 100 for BTC, and the 100 that ETH brought are spoken for.
    assert free < 11
    assert bench.state.ledger.balance("USD") - free > sold * 27
    assert bench.machine.quoting.available("USD", but=cycle) > sold * 27


def test_what_is_sold_and_what_is_bought_is_reserved_at_the_limit_price():
    bench = benched()
    cycle = enter(bench)
    plan = cycle.approved.plan
    assert isinstance(plan, BasketPlan)
    assert cycle.reserves["ETH"] == plan.quotes[1].spent
    assert cycle.reserves["USD"] >= plan.quotes[0].spent
    assert bench.machine.quoting.available("ETH") == 20 - plan.quotes[1].spent


def test_what_a_sale_brought_does_not_make_up_for_a_purchase():
    bench = benched()
    cycle = enter(bench)
    bench.wait(1)
    bought = cycle.orders[0]
    assert abs(cycle.flows()["USD"]) < 1
    assert cycle.reserved("USD") == cycle.reserves["USD"] - bought.spent < 1


def test_what_others_orders_hold_is_learnt_while_a_basket_is_held():
    bench = benched(Holder(hold_s=3_600, stays=True))
    cycle = enter(bench)
    told = BalancesTold((Balance("USD", D(1_000), D(7)),))
    bench.machine.bookings.note_held(told.balances)
    assert bench.state.foreign_held == {}
    bench.wait(1)
    assert cycle.is_at_rest
    bench.machine.bookings.note_held(told.balances)
    assert bench.state.foreign_held == {"USD": 7}


def test_order_beyond_the_plans_legs_is_an_order_like_any_other():
    @attrs.frozen
    class Hedging(Holder):
        async def resume(self, desk):
            order = attrs.evolve(desk.approved.plan.quotes[0].order, quantity=D("0.1"))
            await desk.settled(desk.place(9, order))
            return await super().resume(desk)

    bench = benched(Hedging(hold_s=1))
    enter(bench)
    bench.wait(5)
    assert [closed.state for closed in bench.written(CycleClosed)] == [CycleState.COMPLETED]


def test_exposure_counts_what_a_basket_holds_and_what_it_owes():
    bench = benched()
    enter(bench)
    bench.wait(1)
    assert 95 < bench.trader.view.exposure("BTC") < 100
    assert 95 < bench.trader.view.exposure("ETH") < 110
    assert 195 < bench.trader.view.in_flight <= 200


def test_exposure_counts_what_a_flatten_has_yet_to_bring_back():
    bench = TradingBench({"USD": 10, "ETH": 5})
    bench.tell(Commanded("flatten", "operator", {"to": "USD"}))
    assert bench.trader.view.exposure("ETH") == 5 * 26
    assert bench.trader.view.exposure("BTC") == 0


def test_basket_that_is_only_held_takes_from_no_book():
    bench = benched()
    enter(bench)
    assert bench.trader.view.symbols_in_use == {"BTC/USD", "ETH/USD"}
    bench.wait(1)
    assert bench.trader.view.symbols_in_use == set()


# ── halts and ends ───────────────────────────────────────────────────────────────────────────────


def test_halt_is_seen_at_once_by_an_executor_that_holds():
    bench = benched(Holder(hold_s=3_600))
    enter(bench)
    bench.wait(1)
    bench.tell(Commanded("halt", "operator", {"reason": "lunch"}))
    bench.wait(1)
    assert [closed.state for closed in bench.written(CycleClosed)] == [CycleState.COMPLETED]


def test_executor_that_stays_is_left_holding_at_rest():
    bench = benched(Holder(hold_s=3_600, stays=True))
    cycle = enter(bench)
    assert not cycle.is_at_rest
    bench.wait(1)
    bench.tell(Commanded("reduce", "arbitrade", {"reason": "stopping"}))
    bench.wait(60)
    assert cycle.is_at_rest
    assert bench.written(CycleClosed) == []


def test_operator_who_flattens_takes_a_basket_out_of_its_executors_hands():
    bench = benched(Holder(hold_s=3_600, stays=True))
    enter(bench)
    bench.wait(1)
    bench.tell(Commanded("leave", "operator", {"reason": "flatten by operator"}))
    bench.wait(5)
    (closed,) = bench.written(CycleClosed)
    assert (closed.state, closed.reason) == (CycleState.UNWOUND, "flatten by operator")


# ── after a crash ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def rows() -> Sequence[Row]:
    """A basket that is left in good order, one that is unwound, one that is still held."""
    bench = benched(Holder(hold_s=5))
    enter(bench)
    bench.wait(10)
    enter(bench, key="second")
    bench.quote("ETH/USD", [("20", 90)], [("27", 90)])
    bench.wait(10)
    bench.quote("ETH/USD", [("26", 90)], [("27", 90)])
    enter(bench, key="third")
    bench.wait(1)
    ends = [closed.state for closed in bench.written(CycleClosed)]
    assert ends == [CycleState.COMPLETED, CycleState.UNWOUND]
    return tuple(bench.records)


def taken(rows: Sequence[Row]) -> Recovered:
    """Return the state a journal with these records ends in; each went through its bytes."""
    state = Recovered("main")
    for at_ns, run, record in rows:
        written = decode(encode(record, run, "main", at_ns))
        assert written.record == record
        state.take(at_ns, run, record)
    return state


def restarted(part: Sequence[Row], rows: Sequence[Row], holder: object) -> TradingBench:
    run, now_ns = "7e57ab1e-0000-4000-8000-000000000000", rows[-1][0] + SECOND
    bench = TradingBench(run=run, now_ns=now_ns, paper_ms="20")
    bench.executor = holder  # type: ignore[assignment]
    taken(part).restore(bench.state, Settings().risk, is_told_again=False)
    assert bench.paper is not None
    bench.paper.begin(bench.state.ledger.balances())
    return bench


@pytest.mark.parametrize("executor", [Holder(hold_s=5), SequentialExecutor()])
def test_every_prefix_of_a_run_is_brought_to_an_end_that_leaves_nothing_unnamed(rows, executor):
    for count in range(1, len(rows) + 1):
        part = rows[:count]
        bench = restarted(part, rows, executor)
        assert held(bench) == wallet(part), count
        bench.tell(Commanded("recover", "arbitrade", {}))
        bench.wait(60)
        assert not bench.state.cycles, count
        assert held(bench) == wallet([*part, *bench.records]), count
        closed = [r for _, _, r in (*part, *bench.records) if isinstance(r, CycleClosed)]
        opened = [r.cycle for _, _, r in part if isinstance(r, CycleOpened)]
        assert sorted(end.cycle for end in closed) == opened, count
        assert not any(end.residual for end in closed), count
        if opened:
            assert held(bench)["ETH"] == 20, count


def test_position_survives_the_death_of_the_process_wherever_it_was_whole(rows):
    entered = [
        at
        for at, (_, _, record) in enumerate(rows, start=1)
        if isinstance(record, CycleNoted) and record.what == "entered"
    ]
    bench = restarted(rows[: entered[-1]], rows, Holder(hold_s=5))
    bench.tell(Commanded("recover", "arbitrade", {}))
    (cycle,) = bench.state.cycles.values()
    before = cycle.flows()
    assert cycle.is_at_rest
    bench.wait(2)
    # It holds what it held, until the moment it had noted.
    assert cycle.flows() == before
    bench.wait(5)
    (closed,) = bench.written(CycleClosed)
    assert (closed.state, closed.is_recovered) == (CycleState.COMPLETED, True)


def test_executor_goes_on_only_when_all_it_had_sent_is_known(rows):
    bench = benched(Holder(hold_s=2))
    enter(bench)
    while not any(r.intent.role is OrderRole.UNWIND for r in bench.written(IntentWritten)):
        bench.wait(0.05)
    again = TradingBench(run="7e57ab1e-0000-4000-8000-000000000000", now_ns=bench.now_ns)
    again.executor = Holder(hold_s=2)
    taken(bench.records).restore(again.state, Settings().risk, is_told_again=False)
    again.tell(Commanded("recover", "arbitrade", {}))
    (cycle,) = again.state.cycles.values()
    (unknown,) = again.gateway.looked_up
    # Its time to leave has come; but whether the order to leave was filled nobody knows yet.
    assert again.gateway.sent == []
    again.tell(OrderFound(unknown, None))
    assert [sent.request.symbol for sent in again.gateway.sent] == ["BTC/USD"]
    assert cycle.reserves == cycle.approved.plan.inputs(at_once=True)


def test_resumed_executor_is_asked_once_trading_is_decided_on(rows):
    bench = restarted(rows, rows, Holder(hold_s=3_600))
    bench.tell(Commanded("reduce", "arbitrade", {"reason": "starting"}))
    bench.tell(Commanded("recover", "arbitrade", {}))
    bench.wait(60)
    (cycle,) = bench.state.cycles.values()
    assert cycle.is_at_rest
    bench.tell(Commanded("halt", "operator", {"reason": "as before"}))
    bench.wait(1)
    assert [closed.state for closed in bench.written(CycleClosed)] == [CycleState.COMPLETED]


def test_what_core_was_getting_out_of_is_not_handed_back_to_the_executor():
    bench = benched(Holder(hold_s=3_600))
    enter(bench)
    bench.wait(1)
    bench.books["BTC/USD"].tradable = bench.books["ETH/USD"].tradable = False
    bench.tell(Commanded("leave", "operator", {"reason": "out"}))
    again = restarted(bench.records, bench.records, Holder(hold_s=3_600))
    again.tell(Commanded("recover", "arbitrade", {}))
    again.wait(5)
    assert [closed.state for closed in again.written(CycleClosed)] == [CycleState.UNWOUND]


def test_executor_of_another_name_is_not_given_somebody_elses_basket(rows):
    bench = restarted(rows, rows, Holder(hold_s=3_600, name="other"))
    bench.tell(Commanded("recover", "arbitrade", {}))
    bench.wait(5)
    assert [closed.state for closed in bench.written(CycleClosed)] == [CycleState.UNWOUND]


# ── whatever happens ─────────────────────────────────────────────────────────────────────────────

MOVES = st.sampled_from(["99 100", "60 61", "140 141", "99 130", "dark", "thin"])


def move(bench: TradingBench, symbol: str, how: str) -> None:
    scale = {"BTC/USD": D(1), "ETH/USD": D("0.26")}[symbol]
    if how == "dark":
        bench.books[symbol].tradable = False
        return
    bid, ask = ("99", "100") if how == "thin" else how.split()
    depth = "0.3" if how == "thin" else "90"
    prices = [f"{(D(price) * scale).quantize(D('0.1')):f}" for price in (bid, ask)]
    bench.quote(symbol, [(prices[0], depth)], [(prices[1], depth)])


def spent_on_legs(bench: TradingBench) -> Mapping[str, Decimal]:
    """Return what the entries of all cycles took out of the wallet, by asset."""
    ours = {
        record.intent.request.client_id: record.intent for record in bench.written(IntentWritten)
    }
    sums: dict[str, Decimal] = {}
    for client_id, intent in ours.items():
        order = bench.state.orders.find(client_id)
        if intent.role is OrderRole.LEG and order is not None:
            sums[intent.spends] = sums.get(intent.spends, D(0)) + order.spent
    return sums


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["enter", "btc", "eth", "btc", "eth", "halt", "resume", "leave"]),
            MOVES,
            st.sampled_from([0.01, 0.03, 1, 7]),
        ),
        min_size=4,
        max_size=16,
    ),
    stays=st.booleans(),
    slippage_bps=st.sampled_from(["0", "25", "300"]),
)
def test_sums_are_the_flows_and_nothing_goes_beyond_what_was_reserved(steps, stays, slippage_bps):
    settings = Settings()
    settings = attrs.evolve(
        settings, execution=attrs.evolve(settings.execution, slippage_bps=D(slippage_bps))
    )
    bench = benched(Holder(hold_s=5, stays=stays), settings=settings)
    for what, how, seconds in [("enter", "", 0.01), *steps]:
        if what == "enter":
            bench.trader.at(bench.now_ns)
            found = make_basket(BASKET, size=900, key=str(bench.now_ns))
            bench.trader.on_opportunities([found], 0)
        elif what in ("btc", "eth"):
            move(bench, f"{what.upper()}/USD", how)
        else:
            bench.tell(Commanded(what, "operator", {"reason": "a test"}))
        bench.wait(seconds)
    for symbol in ("BTC/USD", "ETH/USD"):
        move(bench, symbol, "99 100")
    bench.wait(120)
    bench.tell(Commanded("leave", "operator", {"reason": "the end"}))
    bench.wait(120)
    assert not bench.state.cycles
    assert bench.halts == []

    # The ledger is the opening and the flows of what has ended.
    sums = {asset: D(amount) for asset, amount in OPENING.items()}
    for closed in bench.written(CycleClosed):
        for asset, amount in closed.flows.items():
            sums[asset] = sums.get(asset, D(0)) + amount
    assert held(bench) == {asset: amount for asset, amount in sums.items() if amount}

    # What is left is said aloud, or nothing could be done with it.
    for closed in bench.written(CycleClosed):
        left = [
            asset
            for asset, amount in closed.residual.items()
            if not bench.machine.quoting.is_dust(asset, amount, "USD")
        ]
        assert (closed.state is CycleState.FLAGGED) or not left
    flagged = [one for one in bench.written(CycleClosed) if one.state is CycleState.FLAGGED]
    assert len(flagged) == sum(
        alert.severity is Severity.CRITICAL and "flagged" in alert.title for alert in bench.alerts
    )

    # Entries took no more than was reserved, and that is at most what the risk rules let in.
    reserved: dict[str, Decimal] = {}
    for opened in bench.written(CycleOpened):
        plan = opened.approved.plan
        assert plan.spent <= 900
        for asset, amount in plan.inputs(at_once=True).items():
            reserved[asset] = reserved.get(asset, D(0)) + amount
    for asset, amount in spent_on_legs(bench).items():
        # Fees are rounded to the nearest step.
        assert amount <= reserved[asset] + D("0.001"), asset
