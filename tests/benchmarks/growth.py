"""How cost grows with pairs, with cycles and with depth, and that memory doesn't grow with frames.

    uv run python tests/benchmarks/growth.py [--frames 100000] [--rounds 3] [--write]

Every figure is what a whole `arbitrade detect` process says of itself (`--summary`) and what the
system says of its memory; its results are thrown away.  The recordings are synthetic markets of one
seed, written before.  Compiled and interpreted take turns; medians of the rounds.

* pairs: 100 to 1,500, with as many triangles as such a venue has;
* cycles: as many pairs each time, listed against ever more assets;
* depth: 10 to 1,000 levels a side, few pairs;
* memory: the same updates again and again, each time after the same snapshots, through a pipe.

`--write` puts the tables into docs/performance.md.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
from measuring import (
    Detected,
    command_line,
    kinds,
    machine,
    replace_part,
    run_detect,
    today,
    write_recording,
)

from arbitrade.synthetic import MarketSettings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
_BOOK = b'{"channel":"book"'


@attrs.frozen
class Figures:
    """Medians over the rounds: microseconds a frame, frames a second, 10^6 bytes."""

    p50: float
    p99: float
    frames_per_s: float
    peak_mb: float | None

    @classmethod
    def of(cls, runs: Sequence[Detected]) -> "Figures":
        peaks = [run.peak_mb for run in runs if run.peak_mb is not None]
        return cls(
            statistics.median(run.latency_us("p50") for run in runs),
            statistics.median(run.latency_us("p99") for run in runs),
            statistics.median(run.frames_per_s for run in runs),
            max(peaks) if peaks else None,
        )


@attrs.frozen
class Point:
    """One market that was measured, and what each kind of engine made of it."""

    settings: MarketSettings
    cycles: int
    figures: dict[str, Figures]


@attrs.frozen
class Sweep:
    """One table: markets that differ in one thing."""

    name: str
    column: str
    markets: tuple[MarketSettings, ...]
    value: Callable[[Point], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write if asked to."""
    given = _parser().parse_args(arguments)
    present = kinds()
    parts = [
        f"{machine()}; {today()}. `{command_line('growth.py', arguments)}`, medians of "
        f"{given.rounds} rounds."
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for sweep in _sweeps(given):
            points = [_measure(market, present, given.rounds, folder) for market in sweep.markets]
            parts.append(_table(sweep, points))
            print(parts[-1], end="\n\n")
        parts.append(_memory(given, present, folder))
        print(parts[-1])
    if given.write:
        replace_part(DOCUMENT, "growth", "\n\n".join(parts))
    return 0


def _sweeps(given: argparse.Namespace) -> Iterator[Sweep]:
    base = MarketSettings(seed=given.seed, frames=given.frames)
    yield Sweep(
        "Pairs",
        "pairs",
        tuple(attrs.evolve(base, pairs=pairs) for pairs in given.pairs),
        lambda point: point.settings.pairs,
    )
    most = max(given.pairs) + 100
    yield Sweep(
        f"Cycles, {most:,} pairs",
        "directed cycles",
        tuple(attrs.evolve(base, pairs=most, quote_density=density) for density in given.densities),
        lambda point: point.cycles,
    )
    yield Sweep(
        f"Depth, {given.deep_pairs} pairs",
        "levels a side",
        tuple(attrs.evolve(base, pairs=given.deep_pairs, depth=depth) for depth in given.depths),
        lambda point: point.settings.depth,
    )


def _measure(market: MarketSettings, kinds: Sequence[str], rounds: int, folder: Path) -> Point:
    recording = folder / "market.jsonl"
    write_recording(recording, market)
    runs: dict[str, list[Detected]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            runs[kind].append(_checked(run_detect(recording, kind)))
    cycles = runs[kinds[0]][0].summary["cycles"]
    assert isinstance(cycles, int)
    return Point(market, cycles, {kind: Figures.of(some) for kind, some in runs.items()})


def _table(sweep: Sweep, points: Sequence[Point]) -> str:
    kinds = list(points[0].figures)
    heads = [f"{kind} {part}" for kind in kinds for part in ("p50 µs", "p99 µs", "frames/s", "MB")]
    first = [sweep.column] if sweep.column == "directed cycles" else [sweep.column, "cycles"]
    lines = [
        f"**{sweep.name}**",
        "",
        f"| {' | '.join(first + heads)} |",
        "|" + "---:|" * (len(first) + len(heads)),
    ]
    for point in points:
        cells = [f"{sweep.value(point):,}"]
        if len(first) > 1:
            cells.append(f"{point.cycles:,}")
        for one in point.figures.values():
            peak = "?" if one.peak_mb is None else f"{one.peak_mb:.0f}"
            cells += [f"{one.p50:.2f}", f"{one.p99:.2f}", f"{one.frames_per_s:,.0f}", peak]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _memory(given: argparse.Namespace, kinds: Sequence[str], folder: Path) -> str:
    """Return the table of peak memory after few and after many frames."""
    recording = folder / "market.jsonl"
    pairs = max(given.pairs)
    write_recording(recording, MarketSettings(seed=given.seed, frames=given.frames, pairs=pairs))
    lines = recording.read_bytes().splitlines(keepends=True)
    head = b"".join(line for line in lines if not line.startswith(_BOOK))
    books = b"".join(line for line in lines if line.startswith(_BOOK))
    text = [
        f"**Memory, {pairs:,} pairs at depth 10**: peak size of the whole process",
        "",
        "| hot path | frames | peak MB | checksums right | wrong |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind in kinds:
        wanted = given.memory_frames if kind == "compiled" else given.memory_frames // 10
        for passes in (1, max(2, wanted // given.frames)):
            run = run_detect(_again(head, books, passes), kind)
            checksums = _checked(run).summary["checksums"]
            assert isinstance(checksums, dict)
            text.append(
                f"| {kind} | {run.summary['frames']:,} | {run.peak_mb} | "
                f"{checksums['right']:,} | {checksums['wrong']:,} |"
            )
    return "\n".join(text)


def _again(head: bytes, books: bytes, passes: int) -> Iterator[bytes]:
    """Yield a recording that goes through the same snapshots and updates several times."""
    yield head
    for _ in range(passes):
        yield books


def _checked(run: Detected) -> Detected:
    """Return the run.

    Raises:
        SystemExit: A checksum was wrong: whatever was measured is not the path meant.
    """
    checksums = run.summary["checksums"]
    assert isinstance(checksums, dict)
    if checksums["wrong"] or checksums["skipped"]:
        raise SystemExit(f"wrong checksums in a market without faults: {json.dumps(checksums)}")
    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=100_000, help="frames of each market")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pairs", type=int, nargs="+", default=[100, 350, 700, 1_500])
    parser.add_argument(
        "--densities", type=float, nargs="+", default=[-1.0, -0.7, 0.0, 0.4, 1.0], help="of quotes"
    )
    parser.add_argument("--depths", type=int, nargs="+", default=[10, 25, 100, 500, 1_000])
    parser.add_argument("--deep-pairs", type=int, default=50, help="pairs of the table of depths")
    parser.add_argument("--memory-frames", type=int, default=10_000_000, help="at least")
    parser.add_argument("--write", action="store_true", help="put the tables into the documents")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
