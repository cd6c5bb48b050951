"""Fail when the hot path got slower than the numbers in `guard.toml` allow.

    uv run nox -s guard                  compare
    uv run nox -s guard -- --update      measure, and keep the result in guard.toml

What is compared is no time but a ratio taken within one run: how many times as long as ours the
naive implementation of `hot_path.py` takes for the same frames, its books alone (its scoring would
only dilute what changes on our side).  A faster machine makes both faster.

Noise is met in four ways.  Contestants take turns every thousand frames, so a slow spell of the
machine hits all.  Each is timed over groups of frames, not single ones, and the median of the
groups is taken, so interruptions don't count.  The ratio is the median of the turns' ratios.  And
what falls below the minimum is measured again, up to `--attempts` times, the best attempt counting:
noise passes, a slower hot path stays slow.  The minimum is 0.8 of what was measured with
`--update`.  On a machine that was quiet, busy, or busy three times over, ratios were 0.86 to 1.1
of that; so what takes 1.5 times as long falls below it always.

Exit code 1 when below.  Without compiled modules only the interpreted path is compared; with
`ARBITRADE_REQUIRE_COMPILED=1` their absence is an error.
"""

import argparse
import logging
import statistics
import time
import tomllib
from collections.abc import Callable, Sequence
from itertools import batched
from pathlib import Path

import attrs
import structlog
from hot_path import Feed, Naive, engine_after, make_feed
from measuring import frozen_garbage, kinds, machine, today

NUMBERS = Path(__file__).with_name("guard.toml")
MARGIN = 0.8
GROUP = 10
"""Frames timed together."""


@attrs.frozen
class Verdict:
    """What became of one kind of engine.

    Args:
        ratio: Naive time by ours, the best attempt.
        minimum: What it may not fall below.
        attempts: How often it was measured.
    """

    kind: str
    ratio: float
    minimum: float
    attempts: int

    @property
    def is_kept(self) -> bool:
        return self.ratio >= self.minimum


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, compare with the numbers kept, or keep new ones."""
    given = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    present = kinds()
    numbers = {} if given.update else _minimums(given.numbers)
    feed = make_feed(given.pairs, given.frames * given.turns, given.seed)
    first = measure(feed, present, given.frames)
    if given.update:
        ratios = [first, *(measure(feed, present, given.frames) for _ in range(2))]
        measured = {kind: statistics.median(one[kind] for one in ratios) for kind in present}
        _keep(given.numbers, measured)
        print(given.numbers.read_text(encoding="utf-8"))
        return 0
    best, attempts = dict(first), dict.fromkeys(present, 1)
    for _ in range(given.attempts - 1):
        below = [kind for kind in present if best[kind] < numbers[kind]]
        if not below:
            break
        for kind, ratio in measure(feed, below, given.frames).items():
            best[kind] = max(best[kind], ratio)
            attempts[kind] += 1
    verdicts = [Verdict(kind, best[kind], numbers[kind], attempts[kind]) for kind in present]
    print(_table(verdicts, [kind for kind in numbers if kind not in present]))
    return 0 if all(verdict.is_kept for verdict in verdicts) else 1


def measure(feed: Feed, kinds: Sequence[str], frames: int) -> dict[str, float]:
    """Return how many times as long as each kind the naive books take, medians over the turns.

    Args:
        frames: How many frames a turn has.
    """
    naive = Naive(feed.instruments)
    for frame in feed.opening:
        naive.on_frame(frame)
    contestants: dict[str, Callable[[bytes], object]] = {"naive": naive.on_frame}
    contestants |= {kind: engine_after(feed, kind, 0).on_frame for kind in kinds}
    ratios: dict[str, list[float]] = {kind: [] for kind in kinds}
    with frozen_garbage():
        for number, turn in enumerate(batched(feed.timed, frames)):
            groups = list(batched(turn, GROUP))
            order = list(contestants)
            order = order[number % len(order) :] + order[: number % len(order)]
            taken = {name: _median_ns(contestants[name], groups) for name in order}
            for kind in kinds:
                ratios[kind].append(taken["naive"] / taken[kind])
    return {kind: statistics.median(some) for kind, some in ratios.items()}


def _median_ns(on_frame: Callable[[bytes], object], groups: list[tuple[bytes, ...]]) -> float:
    clock = time.perf_counter_ns
    times = []
    for group in groups:
        begun = clock()
        for frame in group:
            on_frame(frame)
        times.append(clock() - begun)
    return statistics.median(times)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="keep what is measured now")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--frames", type=int, default=1_000, help="a turn has so many")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--numbers", type=Path, default=NUMBERS, help="file with the minimums")
    return parser


def _minimums(path: Path) -> dict[str, float]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return {kind: float(ratio) for kind, ratio in content["minimum"].items()}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise SystemExit(
            f"{path}: no minimums in it ({error!r}); make them with --update"
        ) from None


def _keep(path: Path, measured: dict[str, float]) -> None:
    """Write the numbers; a kind that is not there keeps what it had."""
    known = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    minimum: dict[str, float] = dict(known.get("minimum", {}))
    seen: dict[str, float] = dict(known.get("measured", {}))
    for kind, ratio in measured.items():
        seen[kind] = round(ratio, 2)
        minimum[kind] = round(ratio * MARGIN, 2)
    lines = [
        "# How many times as long as ours the naive books take.",
        "# Written by `nox -s guard -- --update`.",
        f"# {machine()}; {today()}",
        "",
        "[minimum]",
        *(f"{kind} = {ratio}" for kind, ratio in sorted(minimum.items())),
        "",
        "[measured]",
        *(f"{kind} = {ratio}" for kind, ratio in sorted(seen.items())),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(verdicts: Sequence[Verdict], absent: Sequence[str]) -> str:
    lines = [
        f"{machine()}",
        "",
        f"{'hot path':<14}{'naive / ours':>13}{'minimum':>10}{'attempts':>10}",
        *(
            f"{one.kind:<14}{one.ratio:>13.2f}{one.minimum:>10.2f}{one.attempts:>10}  "
            f"{'kept' if one.is_kept else 'TOO SLOW'}"
            for one in verdicts
        ),
        *(f"{kind:<14}{'not there':>13}" for kind in absent),
    ]
    slow = [one for one in verdicts if not one.is_kept]
    for one in slow:
        lines += [
            "",
            f"{one.kind}: takes {one.minimum / MARGIN / one.ratio:.2f} times as long as when "
            "guard.toml was written.  tests/benchmarks/hot_path.py shows the stages.  If it is "
            "meant to be so: nox -s guard -- --update",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
