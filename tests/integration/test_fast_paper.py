"""Simulated fills in simulated time: no lot is taken twice, and the sums are the ledger's."""

from collections import Counter
from decimal import Decimal as D

import pytest
from fast_bot import FastBot, make_settings

from arbitrade.models import Mode, TradingState
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings
from arbitrade_kraken.simulator.fast.venue import FastVenue


def paper_bot(seed, executor):
    """Return a bot in a market with many edges, and the venue that simulates its fills, late."""
    market = GeneratedMarketSettings(seed=seed, edge_every=15, edge_lifetime=200)
    venue = FastVenue.make(SimulatorSettings(pairs=16, seed=seed, rate=20, market=market))
    risk: dict[str, object] = {
        "share_books": True,
        "maximum_cycles": 4,
        "maximum_orders_per_minute": 0,
        "cooldown_s": "0",
    }
    chosen = make_settings(
        risk=risk,
        execution={"executor": executor},
        paper={"send_ms": "uniform(5,300)", "ack_ms": "uniform(5,300)"},
    )
    bot = FastBot(venue, chosen, seed=seed, mode=Mode.PAPER)
    return bot, bot.rig.gateway


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_paper_balances_are_the_ledgers_after_any_run(seed, executor):
    bot, paper = paper_bot(seed, executor)
    opening = bot.settings.paper.balances
    bot.run(30)
    while bot.state.cycles:
        bot.rig.state.trading_state = TradingState.REDUCING
        bot.run(1)
    assert bot.ends
    ours = {asset: amount for asset, amount in bot.state.ledger.balances().items() if amount}
    assert ours == {asset: amount for asset, amount in paper.balances().items() if amount}
    told: Counter[str] = Counter()
    for end in bot.ends:
        for asset, amount in end.flows.items():
            told[asset] += amount  # type: ignore[assignment]
    for asset in {*ours, *opening}:
        assert ours.get(asset, D(0)) == opening.get(asset, D(0)) + told[asset]
