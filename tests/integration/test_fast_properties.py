"""Properties of the trading machine against the real matching engine, in simulated time."""

from collections.abc import Callable
from decimal import Decimal as D
from random import Random
from typing import Any

import attrs
import pytest
from fast_bot import STILL, FastBot, make_settings, open_edge, ready, still_venue
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.models import CycleState, Opportunity, Side
from arbitrade.protocols.execution import CycleDesk
from arbitrade.records import CycleClosed, CycleOpened
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings
from arbitrade_kraken.simulator.fast.events import FastFaults, FastLatency
from arbitrade_kraken.simulator.fast.venue import FastVenue

FEW = settings(max_examples=4, deadline=None)
SLOW = FastLatency(request_us=(200_000, 400_000), answer_us=(100_000, 300_000))


def finish(bot: FastBot) -> list[CycleClosed]:
    bot.wind_down()
    bot.check()
    return bot.ends


# ── exposure ─────────────────────────────────────────────────────────────────────────────────────


@FEW
@given(
    seed=st.integers(1, 10_000),
    notional=st.sampled_from([50, 300, 1_000]),
    flight=st.sampled_from([60, 700, 1_500]),
    asset=st.sampled_from([80, 900, 2_000]),
    cycles=st.integers(1, 4),
    share=st.booleans(),
)
def test_limits_hold_at_every_instant(seed, notional, flight, asset, cycles, share):
    """`Watch` looks after each frame and event; slow orders keep several cycles under way."""
    market = GeneratedMarketSettings(seed=seed, edge_every=15, edge_lifetime=200)
    simulated = SimulatorSettings(pairs=16, seed=seed, rate=20, market=market)
    venue = FastVenue.make(simulated, FastFaults(partial=0.2, refused=0.1), SLOW)
    risk: dict[str, object] = {
        "maximum_notional": str(notional),
        "maximum_in_flight": str(flight),
        "maximum_per_asset": str(asset),
        "maximum_cycles": cycles,
        "share_books": share,
        "maximum_orders_per_minute": 0,
        "maximum_failures": 0,
        "cooldown_s": "0",
    }
    bot = FastBot(venue, make_settings(risk=risk), seed=seed)
    worst = {"flight": D(0), "asset": D(0), "cycles": 0}
    view, machine = bot.trader.view, bot.machine

    def look() -> None:
        worst["cycles"] = max(worst["cycles"], len(machine.state.cycles))
        if not machine.state.cycles or any(
            not book.tradable for book in bot.rig.engine.books.values()
        ):
            return
        worst["flight"] = max(worst["flight"], view.in_flight)
        if any(cycle.state is CycleState.UNWINDING for cycle in machine.state.cycles.values()):
            return  # A way out over a third asset holds that for a moment instead.
        for name in ("BTC", "ETH", "EUR", "USDT"):
            worst["asset"] = max(worst["asset"], view.exposure(name))

    bot.on_tick = look
    bot.run(15)
    finish(bot)
    # What was put in stays; what it is worth moves with the market, by an edge and its fees.
    assert worst["cycles"] <= cycles
    assert worst["flight"] <= flight * D("1.03")
    assert worst["asset"] <= asset * D("1.03")


# ── money ────────────────────────────────────────────────────────────────────────────────────────


@FEW
@given(
    seed=st.integers(1, 10_000),
    convention=st.sampled_from(["quote", "kraken_default", "proceeds"]),
    executor=st.sampled_from(["sequential", "parallel"]),
)
def test_no_rounding_makes_or_loses_money(seed, convention, executor):
    """Flows of cycles, the wallet's change, and the exchange's ledger are the same sums."""
    market = GeneratedMarketSettings(seed=seed, edge_every=25, edge_lifetime=100)
    simulated = SimulatorSettings(pairs=16, seed=seed, rate=20, market=market)
    venue = FastVenue.make(simulated, FastFaults(partial=0.2, refused=0.05, fee_currency=0.1))
    chosen = make_settings(fees={"charged_in": convention}, execution={"executor": executor})
    bot = FastBot(venue, chosen, seed=seed)
    opening = bot.totals()
    bot.run(15)
    ends = finish(bot)
    flows: dict[str, D] = {}
    for end in ends:
        for asset, amount in end.flows.items():
            flows[asset] = flows.get(asset, D(0)) + amount
        others = {asset: amount for asset, amount in end.flows.items() if asset != end.start_asset}
        assert others == end.residual
        assert end.profit == end.flows.get(end.start_asset, D(0))
    closing = bot.totals()
    changes = {a: closing.get(a, D(0)) - opening.get(a, D(0)) for a in {*opening, *closing}}
    assert {a: v for a, v in flows.items() if v} == {a: v for a, v in changes.items() if v}
    assert bot.state.portfolio.realised == flows or not ends


# ── competition ──────────────────────────────────────────────────────────────────────────────────

RIVALS = {
    **STILL,
    "ETH/USD": ([("2999.00", "5")], [("3000.00", "5")]),
    "ETH/EUR": ([("2700.00", "5")], [("2810.00", "5")]),
    "ADA/USD": ([("0.49900", "20000")], [("0.50000", "20000")]),
    "ADA/EUR": ([("0.45000", "20000")], [("0.47000", "20000")]),
}


def rivals(
    balance: str, shuffle: Callable[[list[Opportunity]], None], **risk: object
) -> tuple[FastBot, list[CycleOpened]]:
    """Let two cycles from USD pay and be reported in one go, in any order."""
    venue = still_venue(None, SLOW, {"USD": D(balance)}, RIVALS)
    limits = {"maximum_per_asset": "0", "maximum_notional": "0", "share_books": True, **risk}
    bot = FastBot(venue, make_settings(risk=limits))
    ready(bot)
    act = bot.trader.on_opportunities
    held: list[Opportunity] = []

    def keep(found: Any, position: int) -> None:
        held.extend(found)

    bot.rig.engine._act = keep
    open_edge(bot, "5", "93.00")
    open_edge(bot, "0.3", "2800.00", "ETH/EUR")
    bot.run(0.05)
    assert bot.rig.engine._act is keep
    latest = list({one.key: one for one in held}.values())
    assert len(latest) == 2
    shuffle(latest)
    bot._at()
    act(latest, 1)
    opened = bot.of(CycleOpened)
    bot.run(20)
    finish(bot)
    return bot, opened


@pytest.mark.parametrize("balance", ["10000", "1200", "900", "700", "510", "300"])
def test_two_that_compete_for_one_balance_are_served_best_first_whatever_their_order(balance):
    told = []
    for order in (list.reverse, lambda found: None, Random(1).shuffle):
        _, opened = rivals(balance, order)
        told.append([(o.approved.plan.key, o.approved.plan.spent) for o in opened])
    assert told[0] == told[1] == told[2]
    spent = [amount for _, amount in told[0]]
    assert sum(spent) <= D(balance)
    # ETH brings 0.3 × 2800 × 1.1 at a cost of 900: more than SOL's five.
    assert told[0][0][0] == "USD>ETH>EUR"
    if D(balance) >= 1_450:
        assert [key for key, _ in told[0]] == ["USD>ETH>EUR", "USD>SOL>EUR"]


def test_second_of_two_gets_what_the_first_leaves():
    _, (first, second) = rivals("1200", lambda found: None)
    assert second.approved.plan.cap == "balance"
    left = D(1_200) - first.approved.plan.spent
    assert left * D("0.98") < second.approved.plan.spent <= left


# ── executors that fail ──────────────────────────────────────────────────────────────────────────


class Broken(Exception):
    """What a plugin may raise."""


@attrs.define
class BrokenExecutor:
    """Sends the legs one by one and raises at the n-th opportunity to."""

    real: Any
    at: int
    name: str = "broken"
    needs_inventory: bool = False
    count: int = 0

    async def execute(self, desk: CycleDesk) -> CycleState:
        state: CycleState = await self.real.execute(Breaking(desk, self))
        return state

    def tick(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Broken(f"at {self.at}")


class Breaking:
    """A desk whose every use may be the last."""

    def __init__(self, desk: CycleDesk, owner: BrokenExecutor) -> None:
        self._desk, self._owner = desk, owner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._desk, name)
        if name in ("settled", "unwind", "pause"):
            return self._awaiting(found)
        if callable(found):
            return self._calling(found)
        return found

    def _calling(self, call: Any) -> Any:
        def go(*args: Any, **kwargs: Any) -> Any:
            self._owner.tick()
            result = call(*args, **kwargs)
            self._owner.tick()
            return result

        return go

    def _awaiting(self, call: Any) -> Any:
        async def go(*args: Any, **kwargs: Any) -> Any:
            self._owner.tick()
            result = await call(*args, **kwargs)
            self._owner.tick()
            return result

        return go


@pytest.mark.parametrize("is_parallel", [False, True])
@pytest.mark.parametrize("at", range(1, 24))
def test_executor_that_raises_anywhere_leaves_nothing_behind(at, is_parallel):
    name = "parallel" if is_parallel else "sequential"
    balances = {"USD": D(10_000)}
    if is_parallel:
        balances |= {"SOL": D(50), "EUR": D(5_000)}
    venue = still_venue(None, None, balances)
    broken: list[BrokenExecutor] = []
    bot = FastBot(
        venue,
        make_settings(execution={"executor": name}),
        wrap=lambda real: broken.append(BrokenExecutor(real, at)) or broken[0],
    )
    ready(bot)
    open_edge(bot)
    bot.run(30)
    (end, *_) = finish(bot)
    assert end.state is not CycleState.FLAGGED
    assert not end.residual or max(abs(v) for v in end.residual.values()) < D("0.02")
    if broken[0].count >= at:
        assert "Broken" in end.reason


def test_market_that_turns_while_an_executor_has_failed_is_left_by_the_cheapest_way():
    venue = still_venue()
    bot = FastBot(venue, make_settings(), wrap=lambda real: BrokenExecutor(real, 4))
    ready(bot)
    open_edge(bot)
    bot.run(0.001)
    venue.exchange.hand.trade("SOL/USD", side=Side.SELL, quantity=D(50))
    bot.run(30)
    (end, *_) = finish(bot)
    assert end.state is CycleState.UNWOUND
