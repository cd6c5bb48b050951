"""What screening a change and sizing a candidate cost, on the real list of pairs.

    python tests/benchmarks/sizing.py [--pairs 700] [--changes 20000] [--json]

Books are made of random fair values around which every pair is quoted; fees make candidates rare,
as they are.  Sizing is measured apart, on cycles with a price error planted in them.  Prints
microseconds, the timer's own cost subtracted; asserts nothing, machines differ.
"""

import csv
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import fmean

import click

from arbitrade.book import OrderBook
from arbitrade.models import Changed, Instrument, Level
from arbitrade.pricing import FeeSchedule
from arbitrade.testing.factories import make_book, make_instrument, make_instruments
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector

PAIRS = Path(__file__).parents[2] / "plugins" / "triangular" / "tests" / "pairs-2026-01.csv"
PRICE_DIGITS = 6
"""Significant digits of a price: one tick is about a tenth of a basis point."""
LEVELS = 10


@click.command()
@click.option("--pairs", default=700, show_default=True, help="How many pairs to quote.")
@click.option("--changes", default=20_000, show_default=True, help="Best prices to move.")
@click.option("--seed", default=7, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(pairs: int, changes: int, seed: int, as_json: bool) -> None:
    """Measure screening and sizing of triangular cycles."""
    chance = random.Random(seed)
    market = _Market(pairs, chance)
    overhead = _timer_overhead_ns()
    timings = {
        "screening_us": _summary(market.move(changes), overhead),
        "sizing_us": _summary(market.size_candidates(changes // 20), overhead),
    }
    cycles = market.detector.cycle_count
    if as_json:
        click.echo(json.dumps({"pairs": len(market.books), "cycles": cycles, **timings}))
        return
    click.echo(f"{len(market.books)} pairs in {cycles} directed cycles")
    for name, timing in timings.items():
        click.echo(f"{name:22}" + "  ".join(f"{k} {v:8.2f}" for k, v in timing.items()))


class _Market:
    """Books around fair values, and the detector on them."""

    def __init__(self, pairs: int, chance: random.Random) -> None:
        self._chance = chance
        with PAIRS.open(encoding="utf-8") as lines:
            rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        online = [(row["base"], row["quote"]) for row in rows if row["status"] == "online"]
        values = {asset: math.exp(chance.gauss(0, 3)) for pair in sorted(online) for asset in pair}
        # Assets with several markets first: that is where triangles are.
        markets = {asset: sum(asset in pair for pair in online) for asset in values}
        online.sort(key=lambda pair: -min(markets[pair[0]], markets[pair[1]]))
        chosen = online[:pairs]
        self._fair: dict[str, float] = {}
        listed = []
        for base, quote in chosen:
            price = values[base] / values[quote]
            digits = max(0, PRICE_DIGITS - 1 - math.floor(math.log10(price)))
            listed.append(make_instrument(f"{base}/{quote}", price_precision=digits))
            self._fair[f"{base}/{quote}"] = price * 10**digits
        self.instruments = make_instruments(*listed)
        self.books = {pair.symbol: self._quoted(pair) for pair in listed}
        self.detector = self._detector(Decimal("0.0040"))
        self._show(self.detector)

    def move(self, changes: int) -> Iterator[int]:
        """Move best prices, small steps mostly; yield the nanoseconds of each call."""
        chance, detector = self._chance, self.detector
        symbols = list(self.books)
        for symbol in chance.choices(symbols, k=changes):
            book = self.books[symbol]
            is_bid = chance.random() < 0.5
            best = book.best_bid if is_bid else book.best_ask
            assert best is not None
            step = max(1, int(self._fair[symbol] * 1e-5)) * (1 if is_bid else -1)
            if chance.random() < 0.5:
                levels = [(best + step, 10**8)]
            else:
                levels = [(best, 0), (best - step * 20 * LEVELS, 10**8)]
            changed = book.apply(levels, ()) if is_bid else book.apply((), levels)
            yield _timed(partial(detector.on_book, book, changed))

    def size_candidates(self, candidates: int) -> Iterator[int]:
        """Yield the nanoseconds of sizing live cycles, the first sighting of each left out."""
        cheap = self._detector(Decimal(0))
        self._show(cheap)
        for again in (False, True):
            for book in self.books.values():
                found = iter(cheap.on_book(book, Changed.NOTHING))
                for _ in range(candidates if again else sys.maxsize):
                    started = time.perf_counter_ns()
                    opportunity = next(found, None)
                    spent = time.perf_counter_ns() - started
                    if opportunity is None:
                        break
                    if again:
                        candidates -= 1
                        yield spent

    def _detector(self, taker: Decimal) -> TriangularDetector:
        return TriangularDetector(self.instruments, FeeSchedule(taker), TriangularSettings())

    def _show(self, detector: TriangularDetector) -> None:
        for book in self.books.values():
            detector.on_book(book, Changed.BOTH)

    def _quoted(self, pair: Instrument) -> OrderBook:
        """Quote within 8 bps of the fair value, where three pairs rarely agree to the tick."""
        middle = self._fair[pair.symbol] * (1 + self._chance.uniform(-4e-4, 4e-4))
        step = max(1, int(middle * 1e-4))
        book = make_book(pair, depth=LEVELS)
        book.load(self._ladder(int(middle), -step), self._ladder(int(middle), step))
        return book

    def _ladder(self, middle: int, step: int) -> list[Level]:
        lots = self._chance.randrange
        return [(middle + step * at, lots(10**6, 10**10)) for at in range(1, LEVELS + 1)]


def _timed(call: Callable[[], object]) -> int:
    started = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - started


def _timer_overhead_ns() -> int:
    return sorted(_timed(lambda: None) for _ in range(1001))[500]


def _summary(samples: Iterable[int], overhead: int) -> dict[str, float]:
    ordered = sorted(max(0, sample - overhead) / 1000 for sample in samples)
    count = len(ordered)
    return {
        "samples": count,
        "mean": fmean(ordered),
        "p50": ordered[count // 2],
        "p99": ordered[count * 99 // 100],
    }


if __name__ == "__main__":
    main()
