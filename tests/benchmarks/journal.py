"""The journal: what an append costs, how long until it is durable, and how many a second.

    uv run python tests/benchmarks/journal.py [--folder F] [--rate N] [--seconds S] [--rounds N]
                                              [--json]

For each fsync policy, on the disk that holds the folder:

* *paced*: records at a fixed rate from an event loop with nothing else to do;
* *paced, busy loop*: the same while the loop computes half of the time, in pieces of a millisecond,
  which is what keeps the committing thread from running;
* *as fast as it goes*: batches of 1,000 records, each batch awaited.

Beside them *the disk alone*: one record after the other written and synced by this script, with
pauses, which is what no journal can be faster than.

`append` is the call, `durable` from before the call to the callback on the loop.  Times include the
timer's own cost, some 0.05 µs.  What is printed are medians over the rounds: one round in which
somebody else keeps the disk busy shall not decide.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import attrs
from measuring import command_line, frozen_garbage, machine, today

from arbitrade.journal import FsyncPolicy, Journal
from arbitrade.process.loops import run

PAYLOAD = (
    b'{"type":"intent","client_id":"b7c4a2d0-5a0e-4c8e-9a38-0f3a5d1c2e77","cycle":"c-000123",'
    b'"leg":1,"symbol":"BTC/USD","side":"buy","quantity":"0.00123456","limit_price":"64123.1",'
    b'"deadline":"2026-01-01T00:00:00.250Z"}'
)
BATCH = 1_000
BUSY_NS = 1_000_000
LOADS = ("paced", "paced, busy loop", "as fast as it goes")


@attrs.frozen
class Times:
    """Microseconds."""

    p50: float
    p99: float
    p999: float
    worst: float

    @classmethod
    def of(cls, times_ns: Sequence[int]) -> "Times":
        ordered = sorted(times_ns)

        def at(share: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000, 1)

        return cls(at(0.5), at(0.99), at(0.999), at(1.0))

    @classmethod
    def median(cls, some: Sequence["Times"]) -> "Times":
        return cls(
            *(
                round(statistics.median(getattr(one, field.name) for one in some), 1)
                for field in attrs.fields(cls)
            )
        )


@attrs.frozen
class Result:
    """One load under one policy."""

    policy: str
    load: str
    records: int
    records_per_s: float
    commits: int
    append_us: Times
    durable_us: Times


async def paced(journal: Journal, rate: int, seconds: float, *, busy: bool) -> tuple[Times, Times]:
    """Append at a fixed rate; return the times of the calls and until durable."""
    appends: list[int] = []
    durables: list[int] = []
    now = time.perf_counter_ns
    begun = now()
    for number in range(int(rate * seconds)):
        due = begun + number * 1_000_000_000 // rate
        while (wait_ns := due - now()) > 0:
            if busy:
                compute_until(now() + BUSY_NS)
                await asyncio.sleep(BUSY_NS / 1e9)
            else:
                # Shorter, and uvloop goes round and round without letting go of the interpreter.
                await asyncio.sleep(max(wait_ns / 1e9, 0.001))
        before = now()
        seq = journal.append(PAYLOAD)
        appends.append(now() - before)
        journal.on_durable(seq, lambda before=before: durables.append(now() - before))  # type: ignore[misc]
    await journal.durable(seq)
    return Times.of(appends), Times.of(durables)


def compute_until(end_ns: int) -> None:
    while time.perf_counter_ns() < end_ns:
        json.loads(PAYLOAD)


async def flat_out(journal: Journal, seconds: float) -> tuple[Times, Times]:
    """Append batches as fast as they become durable."""
    appends: list[int] = []
    durables: list[int] = []
    now = time.perf_counter_ns
    end = now() + int(seconds * 1e9)
    while now() < end:
        first = now()
        for _ in range(BATCH):
            before = now()
            seq = journal.append(PAYLOAD)
            appends.append(now() - before)
        await journal.durable(seq)
        durables.append(now() - first)
    return Times.of(appends), Times.of(durables)


async def measure(
    folder: Path, policy: FsyncPolicy, load: str, rate: int, seconds: float
) -> Result:
    journal = Journal(folder, fsync=policy)
    journal.open()
    try:
        with frozen_garbage():
            begun = time.perf_counter()
            if load == "as fast as it goes":
                appends, durables = await flat_out(journal, seconds)
            else:
                busy = load.endswith("busy loop")
                appends, durables = await paced(journal, rate, seconds, busy=busy)
            took = time.perf_counter() - begun
        done = journal.statistics()
    finally:
        journal.close()
    return Result(
        policy=policy.value,
        load=load,
        records=done.appended,
        records_per_s=round(done.appended / took),
        commits=done.commits,
        append_us=appends,
        durable_us=durables,
    )


def measure_disk(folder: Path, rate: int, seconds: float) -> Result:
    """Write and sync records without any journal."""
    sync = getattr(os, "fdatasync", os.fsync)
    times: list[int] = []
    now = time.perf_counter_ns
    begun = now()
    with (folder / "alone").open("wb", buffering=0) as file:
        while now() < begun + int(seconds * 1e9):
            time.sleep(1 / rate)
            before = now()
            file.write(PAYLOAD)
            sync(file.fileno())
            times.append(now() - before)
    per_s = round(len(times) * 1e9 / (now() - begun))
    nothing = Times(0, 0, 0, 0)
    return Result("", "the disk alone", len(times), per_s, len(times), nothing, Times.of(times))


async def measure_all(folder: Path, rate: int, seconds: float, rounds: int) -> list[Result]:
    cases = list(product(FsyncPolicy, LOADS))
    runs: list[list[Result]] = [[] for _ in cases]
    alone: list[Result] = []
    for number in range(rounds):
        alone.append(measure_disk(folder, rate, seconds))
        for at, (policy, load) in enumerate(cases):
            with tempfile.TemporaryDirectory(dir=folder, prefix=f"{number}-") as own:
                runs[at].append(await measure(Path(own), policy, load, rate, seconds))
    return [median(some) for some in [*runs, alone]]


def median(results: Sequence[Result]) -> Result:
    """Return what is in the middle, number by number."""
    return attrs.evolve(
        results[0],
        records=int(statistics.median(one.records for one in results)),
        records_per_s=round(statistics.median(one.records_per_s for one in results)),
        commits=int(statistics.median(one.commits for one in results)),
        append_us=Times.median([one.append_us for one in results]),
        durable_us=Times.median([one.durable_us for one in results]),
    )


def table(results: Sequence[Result]) -> list[str]:
    lines = [
        "| fsync | load | records/s | commits | append µs p50 | p99 | p99.9 "
        "| durable µs p50 | p99 | p99.9 | worst |",
        "|---|---|" + "---:|" * 9,
    ]
    for one in results:
        append, durable = one.append_us, one.durable_us
        cells = [one.policy, one.load, f"{one.records_per_s:,.0f}", f"{one.commits:,}"]
        cells += [
            f"{value:,.1f}" if value else "" for value in (append.p50, append.p99, append.p999)
        ]
        cells += [
            f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
            for value in (durable.p50, durable.p99, durable.p999, durable.worst)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the journal on a disk.")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: temporary)")
    parser.add_argument("--rate", type=int, default=2_000, help="records a second, paced")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load, per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = run(measure_all(Path(folder), options.rate, options.seconds, options.rounds))
    about = {
        "machine": machine(),
        "command": command_line("journal.py", None),
        "date": today(),
        "record": f"{len(PAYLOAD)} bytes",
    }
    if options.json:
        print(json.dumps({**about, "results": [attrs.asdict(one) for one in results]}))
        return
    for name, value in about.items():
        print(f"{name}: {value}")
    print("", *table(results), sep="\n")
    print("\n`durable` of the last load is that of a whole batch of 1,000.")


if __name__ == "__main__":
    main()
