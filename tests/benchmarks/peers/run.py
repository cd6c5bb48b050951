"""Our market-data path beside other people's, on frames of our own generator.

    uv run nox -s peers                                    all of it, into docs/performance.md
    uv run python tests/benchmarks/peers/run.py --help     what can be chosen

Each peer gets an environment of its own, made by uv with the newest versions (this needs a package
index, so it is no part of the ordinary checks), and every frame as its own transport would hand it
over.  It decodes and keeps its book with its own code; only connections and REST answers are stood
in for.  Coroutines run without an event loop, which favours the peers.

The contestants take turns, each in a process of its own, the order turning from round to round.
Ratios are taken within a round, the medians of the rounds are printed.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from measuring import kinds, machine, replace_part, today  # noqa: E402

from arbitrade.hot import INTERPRETED, REQUIRED  # noqa: E402
from arbitrade.synthetic import MarketSettings, SyntheticMarket  # noqa: E402

_SIDE = re.compile(rb'("(?:bids|asks)":\[)([^\]]+)\]')
_REMOVAL = re.compile(rb'"qty":0\.?0*}?$')
DOCUMENT = FOLDER.parents[2] / "docs" / "performance.md"


@attrs.frozen
class Contestant:
    """One row of the table.

    Args:
        script: File of this folder.
        label: What the row is called; the version is put behind it.
        packages: What its environment gets; none means the project's own environment.
        scores: Whether it looks for cycles.
        expected: How many times as long as our compiled path it should take at least.
        variables: Added to the process's environment.
    """

    script: str
    label: str
    packages: tuple[str, ...] = ()
    scores: bool = False
    expected: float | None = None
    variables: dict[str, str] = attrs.field(factory=dict)


OURS = {
    "compiled": Contestant("ours.py", "**arbitrade, compiled**", scores=True),
    "interpreted": Contestant(
        "ours.py",
        "**arbitrade, interpreted**",
        scores=True,
        variables={INTERPRETED: "1", REQUIRED: "0"},
    ),
}
PEERS = {
    "kraken_sdk": Contestant(
        "kraken_sdk.py",
        "python-kraken-sdk, order book client",
        ("python-kraken-sdk", "orjson"),
        expected=40,
    ),
    "ccxt": Contestant("ccxt_kraken.py", "ccxt.pro, Kraken", ("ccxt", "orjson"), expected=35),
    "nautilus": Contestant(
        "nautilus.py", "nautilus_trader, order book", ("nautilus_trader", "orjson"), expected=6
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environments, run the rounds, print and write the table."""
    given = _parser().parse_args(arguments)
    chosen = {name: PEERS[name] for name in given.peers}
    environments = given.environments.absolute()
    environments.mkdir(parents=True, exist_ok=True)
    pythons = {name: _environment(environments / name, one) for name, one in chosen.items()}
    contestants = {kind: OURS[kind] for kind in kinds()} | chosen
    with tempfile.TemporaryDirectory() as name:
        feed = Path(name)
        bytes_a_frame = _write_feed(feed, given.pairs, given.frames, given.seed)
        rounds = _run(contestants, pythons, feed, given.rounds)
    text = "\n".join(
        [
            f"{machine()}; {today()}. {given.pairs} pairs, seed {given.seed}, {given.frames:,} "
            f"timed frames of {bytes_a_frame} bytes on average, medians of {given.rounds} rounds.",
            "",
            *_table(contestants, rounds),
        ]
    )
    print(text)
    if given.write:
        replace_part(DOCUMENT, "peers", text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=700)
    parser.add_argument("--frames", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--environments", type=Path, default=Path(".nox/peers/tmp"))
    parser.add_argument("--write", action="store_true", help="put the table into the documents")
    return parser


def _environment(folder: Path, one: Contestant) -> Path:
    """Return the Python of a peer's environment, made now, with the newest versions."""
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    make = [uv, "venv", "-q", "--clear", "-p", sys.executable, str(folder)]
    install = [uv, "pip", "install", "-q", "--upgrade", "--python", str(python), *one.packages]
    for command in (make, install):
        # At the root of the file system, or uv would hold the peers to this project's pins.
        if subprocess.run(command, cwd=folder.anchor, check=False).returncode:
            names = ", ".join(one.packages)
            raise SystemExit(f"{names}: no environment in {folder}; is a package index reachable?")
    return python


def _write_feed(folder: Path, pairs: int, frames: int, seed: int) -> int:
    """Write a market without faults where `common.read_feed` looks; return bytes a timed frame."""
    market = SyntheticMarket(
        MarketSettings(seed=seed, pairs=pairs, frames=frames, duplicate_share=0)
    )
    known = [
        {
            "symbol": pair.symbol,
            "price_precision": pair.price_precision,
            "quantity_precision": pair.quantity_precision,
        }
        for pair in market.instruments.values()
    ]
    (folder / "pairs.json").write_text(json.dumps(known), encoding="utf-8")
    made = [_removals_first(frame) for frame in market.frames()]
    parts = {
        "head": [frame for frame in made if not _is_book(frame)],
        "opening": [frame for frame in made[:-frames] if _is_book(frame)],
        "timed": [frame for frame in made[-frames:] if _is_book(frame)],
    }
    for name, part in parts.items():
        (folder / f"{name}.jsonl").write_bytes(b"".join(frame + b"\n" for frame in part))
    return round(sum(map(len, parts["timed"])) / len(parts["timed"]))


def _is_book(frame: bytes) -> bool:
    return frame.startswith(b'{"channel":"book"')


def _removals_first(frame: bytes) -> bytes:
    """Return the frame with its levels in the order the venue is seen to use.

    Our market shuffles them, because nothing promises that order; but a peer that cuts its book
    after every single level keeps a true one only this way.
    """
    if not frame.startswith(b'{"channel":"book","type":"update"'):
        return frame

    def ordered(side: re.Match[bytes]) -> bytes:
        levels = side[2].split(b"},")
        is_removal = [_REMOVAL.search(level) is not None for level in levels]
        if len(set(is_removal)) < 2:
            return side[0]
        whole = [level if level.endswith(b"}") else level + b"}" for level in levels]
        kept = sorted(range(len(whole)), key=lambda at: not is_removal[at])
        return side[1] + b",".join(whole[at] for at in kept) + b"]"

    return _SIDE.sub(ordered, frame)


type Result = dict[str, float | int | str | None]


def _run(
    contestants: dict[str, Contestant], pythons: dict[str, Path], feed: Path, rounds: int
) -> list[dict[str, Result]]:
    done = []
    names = list(contestants)
    for number in range(rounds):
        turn = number % len(names)
        one_round = {}
        for name in names[turn:] + names[:turn]:
            one = contestants[name]
            command = [str(pythons.get(name, sys.executable)), str(FOLDER / one.script), str(feed)]
            environment = {**os.environ, **one.variables}
            if name in pythons:
                environment.pop("PYTHONPATH", None)
            ran = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if ran.returncode:
                raise SystemExit(f"{one.script} failed:\n{ran.stderr}")
            one_round[name] = json.loads(ran.stdout.splitlines()[-1])
        done.append(one_round)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return done


def _table(contestants: dict[str, Contestant], rounds: list[dict[str, Result]]) -> list[str]:
    """Return the rows, fastest first; `×` is how many times our time a peer takes, at p50."""
    bases = [kind for kind in OURS if kind in contestants]
    state = rounds[-1][bases[0]]["state"]
    lines = [
        "| µs a frame | p50 | p99 | mean | checksums | scores cycles | "
        + " | ".join(f"× {base}" for base in bases)
        + " | expected of compiled | same best prices |",
        "|---|" + "---:|" * 3 + "---|---|" + "---:|" * len(bases) + "---:|---|",
    ]
    for name in sorted(contestants, key=lambda name: _median(rounds, name, "p50")):
        one, last = contestants[name], rounds[-1][name]
        wrong = last["wrong"]
        cells = [
            f"{one.label} {last['version']}",
            *(f"{_median(rounds, name, part):.2f}" for part in ("p50", "p99", "mean")),
            "not checked" if wrong is None else f"checked, {wrong:,} wrong",
            "yes" if one.scores else "no",
            *(_short(_ratio(rounds, name, base)) for base in bases),
            "" if one.expected is None else f"≥ {one.expected:g}",
            "yes" if last["state"] == state else "no",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _short(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def _median(rounds: list[dict[str, Result]], name: str, part: str) -> float:
    return statistics.median(_number(one[name][part]) for one in rounds)


def _ratio(rounds: list[dict[str, Result]], name: str, base: str) -> float:
    """Return the median of the ratios that were taken within a round."""
    return statistics.median(
        _number(one[name]["p50"]) / _number(one[base]["p50"]) for one in rounds
    )


def _number(value: float | str | None) -> float:
    assert isinstance(value, float | int)
    return float(value)


if __name__ == "__main__":
    raise SystemExit(main())
