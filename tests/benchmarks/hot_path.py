"""Microseconds from frame to decision, compiled and interpreted, beside a naive implementation.

    uv run python tests/benchmarks/hot_path.py [--pairs 700] [--frames 200000] [--seed 7] [--json]

Frames come from the synthetic market, are made before anything is timed, and all carry a checksum
that every implementation verifies.  The naive one is what one writes first: `json`, a plain dict a
side, both sides sorted and formatted for every checksum, every cycle of the graph scored again
after every message.  It is so slow that it only gets the first `--naive-frames` of them; all
implementations must then hold the same best prices.

The interpreted path is also timed stage by stage.  The compiled one has no seams to put a timer
in; "no detectors" is the same engine with nothing to screen, "without the call" what its own timer
says, which leaves out the call from Python and the timer's two readings.

Then `arbitrade detect` replays the same market from a file, or `--recording FILE`, with its results
thrown away; these figures are its own, from `--summary`.

The cost of reading the timer is taken off.  Compare ratios of one run, not times of two.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path

import attrs
import structlog
from measuring import (
    Detected,
    Spread,
    command_line,
    frozen_garbage,
    kinds,
    machine,
    make_engine,
    run_detect,
    times_of,
    today,
    write_recording,
)

from arbitrade.book import OrderBook
from arbitrade.engine.engine import Engine
from arbitrade.models import BookDelta, Changed, Instruments, Side
from arbitrade.pricing import FeeSchedule
from arbitrade.process.latency import timer_overhead_ns
from arbitrade.synthetic import MarketSettings, SyntheticMarket
from arbitrade_kraken.venue import KrakenVenue
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector
from arbitrade_triangular.graph import find_cycles

FEE = Decimal("0.0040")
NAIVE, NAIVE_BOOKS = "naive, whole path", "naive, books alone"


@attrs.define
class Feed:
    """Frames made before the clock starts: the opening, then the ones that are timed."""

    opening: list[bytes]
    timed: list[bytes]
    instruments: Instruments


def make_feed(pairs: int, frames: int, seed: int) -> Feed:
    """Return a market without faults."""
    market = SyntheticMarket(MarketSettings(seed=seed, pairs=pairs, frames=frames))
    made = list(market.frames())
    return Feed(made[:-frames], made[-frames:], market.instruments)


def time_engine(
    feed: Feed, kind: str, overhead_ns: int, *, screens: bool = True
) -> tuple[Spread, Engine]:
    """Return what `Engine.on_frame` takes, sizing and bookkeeping of what it finds included."""
    engine = engine_after(feed, kind, 0)
    if not screens:
        engine.swap_detectors(())
    return Spread.of(times_of(engine.on_frame, feed.timed), overhead_ns), engine


def time_stages(feed: Feed, overhead_ns: int) -> dict[str, Spread]:
    """Return what decode, book, checksum and detection take apart from each other."""
    venue = KrakenVenue()
    decode, checksum = venue.make_decoder().decode, venue.checksum
    detector = TriangularDetector(feed.instruments, FeeSchedule(FEE), TriangularSettings())
    on_book = detector.on_book
    books: dict[str, OrderBook] = {}
    stages: list[list[int]] = [[], [], [], []]
    add_decode, add_book, add_checksum, add_detect = (stage.append for stage in stages)
    clock = time.perf_counter_ns
    with frozen_garbage():
        for frame in feed.opening + feed.timed:
            begun = clock()
            delta = decode(frame)
            decoded = clock()
            if type(delta) is not BookDelta:
                continue
            book = books.get(delta.symbol)
            if book is None:
                book = books[delta.symbol] = OrderBook(feed.instruments[delta.symbol], 10)
                book.load(delta.bids, delta.asks)
                on_book(book, Changed.BOTH)
                continue
            applying = clock()
            changed = book.apply(delta.bids, delta.asks)
            applied = clock()
            computed = checksum(book)
            verified = clock()
            # Lazy: what is found is sized only when somebody reads it.
            on_book(book, changed)
            detected = clock()
            if computed != delta.checksum:
                raise SystemExit(f"{delta.symbol}: the synthetic market's checksum is not ours")
            add_decode(decoded - begun)
            add_book(applied - applying)
            add_checksum(verified - applied)
            add_detect(detected - verified)
    names = ("decode", "book", "checksum", "detection")
    return {name: Spread.of(times, overhead_ns) for name, times in zip(names, stages, strict=True)}


def time_throughput(feed: Feed, kind: str) -> float:
    """Return frames per second of a bare loop over `Engine.on_frame`, the median of ten slices."""
    on_frame = engine_after(feed, kind, 0).on_frame
    size = max(1, len(feed.timed) // 10)
    rates = []
    with frozen_garbage():
        for start in range(0, len(feed.timed), size):
            part = feed.timed[start : start + size]
            begun = time.perf_counter_ns()
            for frame in part:
                on_frame(frame)
            rates.append(len(part) / (time.perf_counter_ns() - begun) * 1e9)
    return statistics.median(rates)


class Naive:
    """The whole path as one writes it first."""

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self.bids: dict[str, dict[float, float]] = {symbol: {} for symbol in instruments}
        self.asks: dict[str, dict[float, float]] = {symbol: {} for symbol in instruments}
        self.tops: dict[str, tuple[float, float]] = {}
        self.wrong = 0
        self.seen = 0
        self.cycles = find_cycles(instruments.values(), TriangularSettings().start_assets)

    def on_frame(self, frame: bytes) -> None:
        """Decode, apply, sort, verify."""
        message = json.loads(frame)
        if message.get("channel") != "book":
            return
        entry = message["data"][0]
        bids, asks = self.bids[entry["symbol"]], self.asks[entry["symbol"]]
        for name, side in (("bids", bids), ("asks", asks)):
            for level in entry[name]:
                if level["qty"]:
                    side[level["price"]] = level["qty"]
                else:
                    side.pop(level["price"], None)
        bid_prices, ask_prices = sorted(bids, reverse=True), sorted(asks)
        for price in bid_prices[10:]:
            del bids[price]
        for price in ask_prices[10:]:
            del asks[price]
        pair = self.instruments[entry["symbol"]]
        text = ""
        for prices, side in ((ask_prices[:10], asks), (bid_prices[:10], bids)):
            for price in prices:
                text += f"{price:.{pair.price_precision}f}".replace(".", "").lstrip("0")
                text += f"{side[price]:.{pair.quantity_precision}f}".replace(".", "").lstrip("0")
        # Doubles can't hold the longest amounts: the naive way is wrong there, and says so.
        self.wrong += zlib.crc32(text.encode()) != entry["checksum"]
        if bids and asks:
            self.tops[entry["symbol"]] = bid_prices[0], ask_prices[0]

    def score(self) -> None:
        """Score every cycle there is."""
        tops = self.tops
        for cycle in self.cycles:
            rate = 1.0
            for leg in cycle.legs:
                bid, ask = tops[leg.symbol]
                if leg.side is Side.BUY:
                    rate /= ask * (1 + float(FEE))
                else:
                    rate *= bid * (1 - float(FEE))
            self.seen += rate > 1.0

    def best(self, symbol: str) -> str:
        """Return best bid and ask of a pair in plain notation."""
        digits = self.instruments[symbol].price_precision
        bids, asks = self.bids[symbol], self.asks[symbol]
        return f"{max(bids):.{digits}f}/{min(asks):.{digits}f}"


def time_naive(feed: Feed, frames: int, overhead_ns: int) -> tuple[dict[str, Spread], Naive]:
    """Return what the naive implementation takes for the first `frames` frames."""
    naive = Naive(feed.instruments)
    for frame in feed.opening:
        naive.on_frame(frame)

    def whole(frame: bytes) -> None:
        naive.on_frame(frame)
        naive.score()

    timed = Spread.of(times_of(whole, feed.timed[:frames]), overhead_ns)
    books = Naive(feed.instruments)
    for frame in feed.opening:
        books.on_frame(frame)
    apart = Spread.of(times_of(books.on_frame, feed.timed[:frames]), overhead_ns)
    return {NAIVE_BOOKS: apart, NAIVE: timed}, naive


@attrs.define
class Round:
    """One run of everything, so that ratios are of things that ran one after the other."""

    rows: dict[str, Spread]
    engines: dict[str, Engine]
    naive: Naive

    def ratio(self, kind: str) -> float:
        """Return how many times as long as an engine the naive path takes at the median."""
        return self.rows[NAIVE].p50 / self.rows[f"**{kind}, whole path**"].p50

    @property
    def ratio_of_books(self) -> float:
        """Return the same of the naive books and the interpreted stages that do their work."""
        ours = sum(self.rows[f"interpreted, {name}"].p50 for name in ("decode", "book", "checksum"))
        return self.rows[NAIVE_BOOKS].p50 / ours


def time_round(feed: Feed, kinds: Sequence[str], naive_frames: int, overhead_ns: int) -> Round:
    """Run everything once."""
    rows, engines = {}, {}
    for kind in kinds:
        rows[f"**{kind}, whole path**"], engines[kind] = time_engine(feed, kind, overhead_ns)
        if kind == "compiled":
            rows["compiled, no detectors"], _ = time_engine(feed, kind, overhead_ns, screens=False)
            rows["compiled, without the call"] = _own_spread(engines[kind])
    stages = time_stages(feed, overhead_ns)
    rows |= {f"interpreted, {name}": spread for name, spread in stages.items()}
    naive_rows, naive = time_naive(feed, naive_frames, overhead_ns)
    return Round(rows | naive_rows, engines, naive)


def digest(instruments: Instruments, best: Callable[[str], str]) -> str:
    """Return one number for the best bid and ask of all pairs."""
    return f"{zlib.crc32('|'.join(best(symbol) for symbol in instruments).encode()):08x}"


def engine_after(feed: Feed, kind: str, frames: int) -> Engine:
    """Return an engine that saw the opening and the first `frames` frames."""
    engine = make_engine(kind)
    for frame in feed.opening + feed.timed[:frames]:
        engine.on_frame(frame)
    return engine


def engine_best(engine: Engine, symbol: str) -> str:
    """Return best bid and ask of a pair in plain notation."""
    book = engine.books[symbol]
    assert book.best_bid is not None
    assert book.best_ask is not None
    scale, digits = 10**book.instrument.price_precision, book.instrument.price_precision
    return f"{book.best_bid / scale:.{digits}f}/{book.best_ask / scale:.{digits}f}"


def time_replay(given: argparse.Namespace, kinds: Sequence[str]) -> dict[str, Detected]:
    """Return what `arbitrade detect` says of a file, the middle one of some runs by turns."""
    with tempfile.TemporaryDirectory() as folder:
        recording = given.recording
        if recording is None:
            recording = Path(folder, "market.jsonl")
            settings = MarketSettings(seed=given.seed, pairs=given.pairs, frames=given.frames)
            write_recording(recording, settings)
        runs: dict[str, list[Detected]] = {kind: [] for kind in kinds}
        for _ in range(given.replays):
            for kind in kinds:
                runs[kind].append(run_detect(recording, kind))
    return {
        kind: sorted(some, key=lambda one: one.frames_per_s)[len(some) // 2]
        for kind, some in runs.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    overhead_ns = timer_overhead_ns()
    feed = make_feed(given.pairs, given.frames, given.seed)
    naive_frames = min(given.naive_frames, given.frames)
    present = kinds()
    rounds = [time_round(feed, present, naive_frames, overhead_ns) for _ in range(given.rounds)]
    rows = {name: _middle([one.rows[name] for one in rounds]) for name in rounds[0].rows}
    engines, naive = rounds[0].engines, rounds[0].naive
    per_second = {kind: time_throughput(feed, kind) for kind in present}
    states = {"naive": digest(feed.instruments, naive.best)}
    for kind in present:
        engine = engine_after(feed, kind, naive_frames)
        states[kind] = digest(feed.instruments, partial(engine_best, engine))
    tallies = {kind: engine.tally() for kind, engine in engines.items()}
    replays = time_replay(given, present) if given.replays else {}
    result = {
        "machine": machine(),
        "date": today(),
        "command": command_line("hot_path.py", arguments),
        "pairs": given.pairs,
        "cycles": len(naive.cycles),
        "frames": given.frames,
        "naive_frames": naive_frames,
        "mean_bytes": round(sum(map(len, feed.timed)) / len(feed.timed)),
        "microseconds": {name: attrs.asdict(spread) for name, spread in rows.items()},
        "frames_per_s": {kind: round(rate) for kind, rate in per_second.items()},
        "naive_frames_per_s": round(1e6 / rows[NAIVE].mean),
        "rounds": given.rounds,
        "ratio_whole": {
            kind: round(statistics.median(one.ratio(kind) for one in rounds)) for kind in present
        },
        "ratio_books": round(statistics.median(one.ratio_of_books for one in rounds), 1),
        "checksums": {
            kind: {"right": tally.right, "wrong": tally.wrong} for kind, tally in tallies.items()
        },
        "naive_wrong": naive.wrong,
        "counters": {kind: dict(engine.counters) for kind, engine in engines.items()},
        "detections": {kind: tally.detections for kind, tally in tallies.items()},
        "states": states,
        "replays": {kind: one.summary | {"peak_mb": one.peak_mb} for kind, one in replays.items()},
    }
    is_right = len(set(states.values())) == 1 and not any(one.wrong for one in tallies.values())
    print(json.dumps(result, indent=2) if given.json else _table(result, rows, replays))
    return 0 if is_right else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=700)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--naive-frames", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3, help="of everything; medians are taken")
    parser.add_argument("--recording", type=Path, help="what `arbitrade detect` replays")
    parser.add_argument("--replays", type=int, default=3, help="runs of it a kind; 0 for none")
    parser.add_argument("--json", action="store_true")
    return parser


def _middle(spreads: Sequence[Spread]) -> Spread:
    """Return the medians of several runs."""
    return Spread(
        *(
            statistics.median(getattr(one, part) for one in spreads)
            for part in ("p50", "p99", "mean")
        )
    )


def _own_spread(engine: Engine) -> Spread:
    """Return what the engine's own histogram says."""
    durations = engine.durations()
    summary = durations.summary()
    p50, p99 = summary["p50"], summary["p99"]
    assert p50 is not None
    assert p99 is not None
    total = sum(at * count for at, count in enumerate(durations.counts))
    return Spread(
        p50, p99, round(max(0.0, total / durations.count - durations.overhead_ns) / 1e3, 3)
    )


def _table(result: dict[str, object], rows: dict[str, Spread], replays: dict[str, Detected]) -> str:
    states, ratios = result["states"], result["ratio_whole"]
    per_second = result["frames_per_s"]
    assert isinstance(states, dict)
    assert isinstance(ratios, dict)
    assert isinstance(per_second, dict)
    is_equal = len(set(states.values())) == 1
    lines = [
        f"{result['machine']}; {result['date']}",
        f"{result['command']}",
        f"{result['pairs']} pairs, {result['cycles']} directed cycles, {result['frames']:,} frames "
        f"of {result['mean_bytes']} bytes (naive: the first {result['naive_frames']:,}), "
        f"medians of {result['rounds']} rounds",
        "",
        "| µs a frame | p50 | p99 | mean |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {one.p50:.2f} | {one.p99:.2f} | {one.mean:.2f} |"
            for name, one in rows.items()
        ),
        "",
        *(
            f"{kind}: {rate:,} frames/s; naive takes {ratios[kind]} times as long (p50)"
            for kind, rate in per_second.items()
        ),
        f"naive: {result['naive_frames_per_s']:,} frames/s; its books alone take "
        f"{result['ratio_books']} times as long as the interpreted stages (p50)",
        f"checksums {result['checksums']}, naive wrong {result['naive_wrong']}; "
        f"counted {result['counters']}; detections {result['detections']}",
        f"best prices after the naive frames: {states} ({'equal' if is_equal else 'DIFFERENT'})",
    ]
    if replays:
        lines += [
            "",
            "| arbitrade detect | frames/s | p50 µs | p99 µs | p99.9 µs | peak MB |",
            "|---|---:|---:|---:|---:|---:|",
            *(
                f"| {one.summary['hot_path']} | {one.frames_per_s:,.0f} | "
                f"{one.latency_us('p50'):.2f} | {one.latency_us('p99'):.2f} | "
                f"{one.latency_us('p999'):.2f} | {one.peak_mb} |"
                for one in replays.values()
            ),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
