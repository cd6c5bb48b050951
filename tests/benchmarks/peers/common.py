"""What the scripts of this folder share.  Standard library only: their environments differ.

    python SCRIPT FEED

FEED is a folder that `run.py` wrote.  A script builds its peer, hands over the frames one by one as
the peer's own transport would, and prints one line of JSON.
"""

import gc
import json
import platform
import sys
import time
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Pair:
    """What a peer would learn of a pair by REST."""

    symbol: str
    price_precision: int
    quantity_precision: int


@dataclass(frozen=True)
class Feed:
    """Frames made before any clock starts.

    Args:
        head: Frames before the books: state, instruments, acknowledgements.
        opening: Book frames up to every pair's snapshot; not timed.
        timed: Book updates.
    """

    pairs: tuple[Pair, ...]
    head: list[bytes]
    opening: list[bytes]
    timed: list[bytes]


class Peer[F](Protocol):
    """A market-data path under the clock; `F` is what its transport hands over, bytes or text."""

    def frame(self, raw: bytes) -> F:
        """Return a frame as the transport would hand it over; not timed."""

    def on_frame(self, frame: F) -> object:
        """Decode one frame and bring the book up to date; timed."""

    def best(self, symbol: str) -> tuple[float, float] | None:
        """Return best bid and ask as they are now."""

    def wrong_checksums(self) -> int | None:
        """Return how many frames failed the check, None when it doesn't check."""


def read_feed(folder: Path) -> Feed:
    """Return what `run.py` wrote."""

    def lines(name: str) -> list[bytes]:
        return (folder / name).read_bytes().splitlines()

    rows = json.loads((folder / "pairs.json").read_bytes())
    pairs = tuple(Pair(**row) for row in rows)
    return Feed(pairs, lines("head.jsonl"), lines("opening.jsonl"), lines("timed.jsonl"))


def measure[F](distribution: str, build: Callable[[Feed], Peer[F]]) -> None:
    """Time a peer over the feed named on the command line; print the result."""
    feed = read_feed(Path(sys.argv[1]))
    peer = build(feed)
    for raw in feed.opening:
        peer.on_frame(peer.frame(raw))
    frames = [peer.frame(raw) for raw in feed.timed]
    times, overhead_ns = [0] * len(frames), timer_overhead_ns()
    clock, on_frame = time.perf_counter_ns, peer.on_frame
    # What is there stays out of collections, which go on as in production.
    gc.collect()
    gc.freeze()
    for at, frame in enumerate(frames):
        begun = clock()
        on_frame(frame)
        times[at] = clock() - begun
    ordered, count = sorted(times), len(times)
    result = {
        "version": version(distribution),
        "python": platform.python_version(),
        "p50": (ordered[count // 2] - overhead_ns) / 1000,
        "p99": (ordered[count * 99 // 100] - overhead_ns) / 1000,
        "mean": (sum(ordered) / count - overhead_ns) / 1000,
        "wrong": peer.wrong_checksums(),
        "state": digest(feed.pairs, peer.best),
    }
    print(json.dumps(result), flush=True)


def digest(pairs: tuple[Pair, ...], best: Callable[[str], tuple[float, float] | None]) -> str:
    """Return one number for the best bid and ask of all pairs: equal work ends in equal numbers."""
    parts = []
    for pair in pairs:
        top, digits = best(pair.symbol), pair.price_precision
        parts.append("-" if top is None else f"{top[0]:.{digits}f}/{top[1]:.{digits}f}")
    return f"{zlib.crc32('|'.join(parts).encode()):08x}"


def finish(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that never waits; an event loop would add to its time."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the coroutine waited for something")


def timer_overhead_ns(samples: int = 4001) -> int:
    """Return what two readings of the timer cost, the median."""
    clock = time.perf_counter_ns
    readings = [clock() for _ in range(samples + 1)]
    steps = sorted(readings[at + 1] - readings[at] for at in range(samples))
    return steps[samples // 2]
