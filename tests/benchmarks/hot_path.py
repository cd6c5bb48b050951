"""Microseconds from frame to decision, stage by stage, beside a naive implementation.

    uv run python tests/benchmarks/hot_path.py [--pairs 700] [--frames 200000] [--seed 7] [--json]

Frames come from the synthetic market, are made before anything is timed, and all carry a checksum
that both implementations verify.  The naive one is what one writes first: `json`, a plain dict a
side, both sides sorted and formatted for every checksum, every cycle of the graph scored again
after every message.  It is so slow that it only gets the first `--naive-frames` of them; both
implementations must then hold the same best prices.

The cost of reading the timer is taken off.  Compare ratios of one run, not times of two.
"""

import argparse
import gc
import json
import logging
import platform
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import attrs
import structlog

from arbitrade.book import OrderBook
from arbitrade.engine import Engine
from arbitrade.latency import timer_overhead_ns
from arbitrade.models import BookDelta, Changed, Instruments, Opportunity, Side
from arbitrade.pricing import FeeSchedule
from arbitrade.testing.market import MarketSettings, SyntheticMarket
from arbitrade_kraken.venue import KrakenVenue
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector
from arbitrade_triangular.graph import find_cycles

FEE = Decimal("0.0040")


@attrs.frozen
class Spread:
    """Distribution of one stage's times, in microseconds."""

    p50: float
    p99: float
    mean: float

    @classmethod
    def of(cls, times_ns: Sequence[int], overhead_ns: int) -> "Spread":
        """Return the spread of what the timer read, its own cost taken off."""
        ordered = sorted(times_ns)
        count = len(ordered)

        def micros(value: float) -> float:
            return round(max(0.0, value - overhead_ns) / 1000, 3)

        return cls(
            micros(ordered[count // 2]),
            micros(ordered[count * 99 // 100]),
            micros(sum(ordered) / count),
        )


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


def time_engine(feed: Feed, overhead_ns: int) -> tuple[Spread, Engine, int]:
    """Return what `Engine.on_frame` takes, sizing and bookkeeping of what it finds included."""
    engine = _engine()
    for frame in feed.opening:
        engine.on_frame(frame)
    found = engine.detections
    return Spread.of(_times(engine.on_frame, feed.timed), overhead_ns), engine, found


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
    with _FrozenGarbage():
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


def time_throughput(feed: Feed) -> float:
    """Return frames per second of a bare loop over `Engine.on_frame`, the median of ten slices."""
    engine = _engine()
    for frame in feed.opening:
        engine.on_frame(frame)
    on_frame = engine.on_frame
    size = max(1, len(feed.timed) // 10)
    rates = []
    with _FrozenGarbage():
        for start in range(0, len(feed.timed), size):
            part = feed.timed[start : start + size]
            begun = time.perf_counter_ns()
            for frame in part:
                on_frame(frame)
            rates.append(len(part) / (time.perf_counter_ns() - begun) * 1e9)
    return sorted(rates)[len(rates) // 2]


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

    timed = Spread.of(_times(whole, feed.timed[:frames]), overhead_ns)
    books = Naive(feed.instruments)
    for frame in feed.opening:
        books.on_frame(frame)
    apart = Spread.of(_times(books.on_frame, feed.timed[:frames]), overhead_ns)
    return {"naive, books alone": apart, "naive, whole path": timed}, naive


def digest(instruments: Instruments, best: Callable[[str], str]) -> str:
    """Return one number for the best bid and ask of all pairs."""
    return f"{zlib.crc32('|'.join(best(symbol) for symbol in instruments).encode()):08x}"


def engine_after(feed: Feed, frames: int) -> Engine:
    """Return an engine that saw the opening and the first `frames` frames."""
    engine = _engine()
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    overhead_ns = timer_overhead_ns()
    feed = make_feed(given.pairs, given.frames, given.seed)
    whole, engine, _ = time_engine(feed, overhead_ns)
    stages = time_stages(feed, overhead_ns)
    per_second = time_throughput(feed)
    naive_frames = min(given.naive_frames, given.frames)
    naive_spreads, naive = time_naive(feed, naive_frames, overhead_ns)
    naive_whole, naive_books = (
        naive_spreads["naive, whole path"],
        naive_spreads["naive, books alone"],
    )
    book_stages = sum(stages[name].p50 for name in ("decode", "book", "checksum"))
    ours = engine_after(feed, naive_frames)
    states = {
        "ours": digest(feed.instruments, lambda symbol: engine_best(ours, symbol)),
        "naive": digest(feed.instruments, naive.best),
    }
    result = {
        "machine": f"{platform.machine()} {platform.system()}, {_cpu()}",
        "python": platform.python_version(),
        "command": " ".join(["hot_path.py", *(arguments or sys.argv[1:])]),
        "pairs": given.pairs,
        "cycles": len(naive.cycles),
        "frames": given.frames,
        "naive_frames": naive_frames,
        "mean_bytes": round(sum(map(len, feed.timed)) / len(feed.timed)),
        "stages_us": {name: attrs.asdict(spread) for name, spread in stages.items()},
        "whole_us": attrs.asdict(whole),
        "frames_per_s": round(per_second),
        "naive_us": {name: attrs.asdict(spread) for name, spread in naive_spreads.items()},
        "naive_frames_per_s": round(1e6 / naive_whole.mean),
        "ratio_whole": round(naive_whole.p50 / whole.p50, 1),
        "ratio_books": round(naive_books.p50 / book_stages, 1),
        "checksums": {"right": engine.right, "wrong": engine.wrong, "naive_wrong": naive.wrong},
        "read_from_text": engine.counters.get("exact", 0),
        "detections": engine.detections,
        "states": states,
    }
    print(
        json.dumps(result, indent=2) if given.json else _table(result, stages, whole, naive_spreads)
    )
    return 0 if states["ours"] == states["naive"] and not engine.wrong else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=700)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--naive-frames", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    return parser


def _engine() -> Engine:
    def ignore(opportunity: Opportunity, position: int) -> None:
        """Nobody trades here."""

    return Engine(
        KrakenVenue(),
        lambda pairs: [TriangularDetector(pairs, FeeSchedule(FEE), TriangularSettings())],
        ignore,
    )


def _times(on_frame: Callable[[bytes], object], frames: Sequence[bytes]) -> list[int]:
    clock = time.perf_counter_ns
    times = [0] * len(frames)
    with _FrozenGarbage():
        for at, frame in enumerate(frames):
            begun = clock()
            on_frame(frame)
            times[at] = clock() - begun
    return times


class _FrozenGarbage:
    """Collects, then keeps what is there out of later collections, which stay on."""

    def __enter__(self) -> None:
        gc.collect()
        gc.freeze()

    def __exit__(self, *exception: object) -> None:
        gc.unfreeze()


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def _table(
    result: dict[str, object],
    stages: dict[str, Spread],
    whole: Spread,
    naive: dict[str, Spread],
) -> str:
    rows = [*stages.items(), ("**whole path**", whole), *naive.items()]
    states = result["states"]
    assert isinstance(states, dict)
    lines = [
        f"{result['machine']}, Python {result['python']}",
        f"{result['command']}",
        f"{result['pairs']} pairs, {result['cycles']} directed cycles, {result['frames']:,} frames "
        f"of {result['mean_bytes']} bytes (naive: the first {result['naive_frames']:,})",
        "",
        "| µs a frame | p50 | p99 | mean |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {one.p50:.2f} | {one.p99:.2f} | {one.mean:.2f} |" for name, one in rows),
        "",
        f"{result['frames_per_s']:,} frames/s, naive {result['naive_frames_per_s']:,}; "
        f"naive takes {result['ratio_whole']} times as long, its books alone "
        f"{result['ratio_books']} times (p50)",
        f"checksums {result['checksums']}, frames read from text {result['read_from_text']:,}, "
        f"detections {result['detections']:,}",
        f"best prices after the naive frames: ours {states['ours']}, naive {states['naive']}"
        f" ({'equal' if states['ours'] == states['naive'] else 'DIFFERENT'})",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
