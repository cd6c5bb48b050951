"""From a frame of the market to the bytes of an order, over loopback, with and without fsync.

    uv run python tests/benchmarks/tick_to_order.py [--seconds S] [--rate N] [--rounds N]
                                                    [--json] [--write]

The whole bot in live mode against the simulator, which is a process of its own: frame in, decode,
book, checksum, screening, sizing, every risk rule, plan, intent into the journal, order out.  The
clock starts when the frame's bytes are handed over by the socket's reader and stops when the
order's bytes are with the operating system.  With `fsync always` the intent is on disk in between.

Only orders that follow a frame count, not second and third legs, which follow fills; those are
`event to order`.  `tick to decision` is everything a frame that showed something cost, refusals
included.  Timers' own cost is subtracted.
"""

import argparse
import json
import statistics
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from measuring import command_line, machine, replace_part, today

from arbitrade.config.load import load_settings
from arbitrade.models import Mode
from arbitrade.plugins import discover
from arbitrade.process.logs import configure
from arbitrade.process.loops import run
from arbitrade.trading.run.session import TradingSession

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
PART = "tick to order"
NAMES = ("tick_to_decision", "tick_to_order", "event_to_order", "intent_to_durable")


@attrs.frozen
class Measured:
    """One run's percentiles in microseconds, by name; and how many orders there were."""

    orders: int
    figures: Mapping[str, Mapping[str, float | None]]


async def measured(fsync: str, seconds: float, rate: float, seed: int) -> Measured:
    """Trade at the simulator and return what was timed."""
    registry = discover()
    sections = registry.settings_sections()
    with tempfile.TemporaryDirectory() as folder:
        plain = load_settings(sections, folder=Path(folder), environ={})
        registry.configure(plain)
        simulation = registry.make_simulation(plain, plain.venue)
        account = f"bench-{uuid.uuid4().hex[:8]}"
        async with simulation.running(seed=seed, pairs=50, rate=rate, account=account) as running:
            given = {
                **running.overrides,
                "runtime": {"folder": folder},
                "journal": {"fsync": fsync},
                "live": {"rehearsal_cycles": 0, "minimum_size_cycles": 0},
                "risk": {"maximum_orders_per_minute": 0, "cooldown_s": "0", "maximum_cycles": 5},
                "log": {"level": "error"},
            }
            settings = load_settings(sections, folder=Path(folder), environ={}, overrides=given)
            registry.configure(settings)
            configure(settings.log)
            venue = registry.make_venue(settings, settings.venue)
            session = TradingSession(
                settings, registry, venue, mode=Mode.LIVE, account=account, command="benchmark"
            )
            report = await session.run(seconds=seconds)
            assert not any(report.differences.values()), report.differences
    found = {
        row.name: {"count": row.count, "p50": row.p50_us, "p99": row.p99_us}
        for row in report.state.latencies
        if row.name in NAMES
    }
    return Measured(report.state.orders, found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=2_000.0, help="moves of the market a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    chosen = parser.parse_args(arguments)
    rounds = {
        fsync: [
            run(measured(fsync, chosen.seconds, chosen.rate, seed), "auto")
            for seed in range(1, chosen.rounds + 1)
        ]
        for fsync in ("never", "always")
    }
    if chosen.json:
        print(json.dumps({k: [attrs.asdict(one) for one in v] for k, v in rounds.items()}))
        return
    text = table(rounds, command_line("tick_to_order.py", arguments))
    print(text)
    if chosen.write:
        replace_part(DOCUMENT, PART, text)


def table(rounds: Mapping[str, Sequence[Measured]], command: str) -> str:
    """Return the medians over the rounds as a table."""
    rows = [
        f"`{command}`, {today()}, {machine()}",
        "",
        "| fsync | orders | | count | p50 | p99 |",
        "|---|---|---|---|---|---|",
    ]
    for fsync, runs in rounds.items():
        orders = sum(one.orders for one in runs)
        for name in NAMES:
            found = [one.figures[name] for one in runs if one.figures.get(name, {}).get("p50")]
            if not found:
                continue
            count = sum(int(one["count"] or 0) for one in found)
            middle, high = (
                statistics.median(float(one[key] or 0) for one in found) for key in ("p50", "p99")
            )
            label = name.replace("_", " ")
            rows.append(
                f"| {fsync} | {orders} | {label} | {count} | {middle:,.0f} µs | {high:,.0f} µs |"
            )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
