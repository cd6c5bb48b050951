"""The simulated market with its defaults shows cycles that pay, at the account's own fees.

It is made so: a pair is quoted away from its fair price now and then.  That proves nothing about a
real market, but a demonstration in which nothing ever happens would show nothing either.
"""

from pathlib import Path

import attrs
import pytest

from arbitrade.config.load import load_settings
from arbitrade.engine.assembly import assemble
from arbitrade.plugins import discover
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings
from arbitrade_kraken.simulator.fast.venue import FastVenue
from arbitrade_kraken.venue import KrakenVenue

STEPS = 20_000
SECOND_NS = 1_000_000_000


@attrs.frozen
class Sighting:
    time_ns: int
    cycle: str
    profit: float


def sightings(simulated: SimulatorSettings) -> list[Sighting]:
    """Return every opportunity that is free of obstacles in so many steps of the market."""
    registry = discover()
    venue = FastVenue.make(simulated)
    rates = venue.fee_rates([pair.symbol for pair in venue.exchange.pairs()])
    settings = load_settings(
        registry.settings_sections(),
        folder=Path(__file__).parent,
        environ={},
        overrides={"fees": {"overrides": {rate.symbol: str(rate.taker) for rate in rates}}},
        plugin_names=[plugin.name for plugin in registry],
    )
    registry.configure(settings)
    found: list[Sighting] = []

    def act(opportunities, position):
        found.extend(
            Sighting(position, opportunity.key, float(opportunity.profit))
            for opportunity in opportunities
            if opportunity.blocked is None
        )

    engine = assemble(settings, registry, KrakenVenue(), act)
    for time_ns, event in venue.run(venue.now_ns + int(STEPS / simulated.rate * SECOND_NS)):
        if isinstance(event, bytes):
            engine.position = time_ns
            engine.on_frame(event)
    assert engine.tally().wrong == 0
    return found


def moments(found: list[Sighting]) -> int:
    """Return how often something began to pay after a second in which nothing did."""
    times = sorted(sighting.time_ns for sighting in found)
    return sum(
        later - earlier > SECOND_NS for earlier, later in zip([0, *times], times, strict=False)
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("pairs", [20, 50, 120])
def test_default_market_pays_a_few_times_a_minute(pairs, seed):
    simulated = SimulatorSettings(pairs=pairs, seed=seed)
    found = sightings(simulated)
    minutes = STEPS / simulated.rate / 60
    assert 2 <= moments(found) / minutes <= 20
    assert len({sighting.cycle for sighting in found}) > 5
    assert all(sighting.profit > 0 for sighting in found)


def test_market_without_edges_pays_nothing():
    """What pays is made, and nothing else does: fees are higher than what noise leaves."""
    market = GeneratedMarketSettings(seed=1, edge_every=0)
    assert sightings(SimulatorSettings(pairs=50, seed=1, market=market)) == []
