"""`arbitrade demo`: the whole bot against a simulated venue, with nothing to set up."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs
import click

from arbitrade.cli.parameters import DURATION
from arbitrade.errors import ArbitradeError

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.protocols import RunningSimulation
    from arbitrade.trading.run.outcome import RunOutcome

_PAIRS, _RATE, _SEED = 50, 500.0, 1
_ZERO = Decimal(0)


@click.command(
    epilog="""\b
Examples:
  arbitrade demo
  arbitrade demo --for 60s --json
  arbitrade demo --paper --seed 7"""
)
@click.option("--paper", is_flag=True, help="Simulate the fills here instead of sending orders.")
@click.option("--for", "seconds", type=DURATION, help="End by itself after 30s, 10m, 2h, …")
@click.option("--json", "as_json", is_flag=True, help="Print the final report as JSON.")
@click.option("--pairs", type=click.IntRange(3), default=_PAIRS, show_default=True, help="Pairs.")
@click.option(
    "--rate",
    type=click.FloatRange(min=1, max=20_000),
    default=_RATE,
    show_default=True,
    help="Moves of the market a second.",
)
@click.option("--seed", type=int, default=_SEED, show_default=True, help="Another market.")
@click.pass_obj
def demo(
    line: "CommandLine",
    paper: bool,
    seconds: float | None,
    as_json: bool,
    pairs: int,
    rate: float,
    seed: int,
) -> None:
    """Trade on a simulated venue: no account, no network, no real money.

    A Kraken of our own runs beside the bot, with the real list of pairs and a made-up market in
    which cycles do pay.  Orders take the live path: WebSocket out, executions in, everything booked
    in PostgreSQL.  In the end the bot's ledger is compared with the venue's, to the last digit.
    """
    from arbitrade.cli.trading import show_report
    from arbitrade.process import loops
    from arbitrade.process.logs import configure

    settings = line.load()
    configure(settings.log)
    report = loops.run(
        _demo(
            line, paper=paper, seconds=seconds, as_json=as_json, pairs=pairs, rate=rate, seed=seed
        ),
        settings.runtime.event_loop,
    )
    show_report(report, as_json=as_json)
    if any(report.differences.values()):
        raise ArbitradeError(
            "the ledger differs from the simulated venue's, which is a bug; please report it"
        )


async def _demo(
    line: "CommandLine",
    *,
    paper: bool,
    seconds: float | None,
    as_json: bool,
    pairs: int,
    rate: float,
    seed: int,
) -> "RunOutcome":
    from arbitrade.cli.trading import trade
    from arbitrade.models import Mode
    from arbitrade.trading.run.session import TradingSession

    settings = line.load()
    simulation = line.registry.make_simulation(settings, settings.venue)
    account = f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    async with simulation.running(seed=seed, pairs=pairs, rate=rate, account=account) as running:
        # A rehearsal of its own: there is nothing to ramp up for, nothing is at stake.
        ready = {"rehearsal_cycles": 0, "minimum_size_cycles": 0}
        settings = line.load({**running.overrides, "live": ready})
        venue = line.registry.make_venue(settings, settings.venue)
        session = TradingSession(
            settings,
            line.registry,
            venue,
            mode=Mode.PAPER if paper else Mode.LIVE,
            account=account,
            command="demo",
        )
        report = await trade(session, line.registry, settings, seconds=seconds, is_quiet=as_json)
        return report if paper else await _compared(report, running)


async def _compared(report: "RunOutcome", running: "RunningSimulation") -> "RunOutcome":
    """Return the report with the ledger held against the venue's own."""
    told = await running.balances()
    assets = sorted({*told, *report.ledger})
    differences = {a: told.get(a, _ZERO) - report.ledger.get(a, _ZERO) for a in assets}
    return attrs.evolve(report, differences=differences)
