"""`arbitrade detect`: what a recording had to offer."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
import orjson

from arbitrade.cli.parameters import NAMES, DecimalType
from arbitrade.errors import ArbitradeError, MessageError, RecordingError, UsageError

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.config import Settings
    from arbitrade.models import InstrumentsChanged, Opportunity
    from arbitrade.protocols import Venue
    from arbitrade.recording import RecordingReader
    from arbitrade.research.detection import DetectionSummary

_BEST_CYCLES = 5
_TRIANGULAR = "triangular"
"""Section and detector that `--start` and `--min-edge-bps` are about."""


@click.command(
    epilog="""\b
Examples:
  arbitrade detect recording.jsonl.zst
  arbitrade detect recording.jsonl --taker-fee 0.0010 --out found.jsonl
  zcat recording.jsonl.gz | arbitrade detect - --start USD,EUR --out -"""
)
@click.argument("recording", type=click.Path(path_type=str))
@click.option(
    "--taker-fee",
    type=DecimalType("-0.01", "0.2"),
    metavar="RATE",
    help="Fee of every pair as a fraction, overrides ignored; 0.0040 is 40 bps.  "
    "[default: fees.taker and fees.overrides]",
)
@click.option(
    "--start",
    type=NAMES,
    metavar="ASSETS",
    help="Assets to start from, in order.  [default: triangular.start_assets]",
)
@click.option(
    "--min-edge-bps",
    type=DecimalType("-9999"),
    metavar="BPS",
    help="Report cycles whose net edge is above this.  [default: triangular.min_edge_bps]",
)
@click.option(
    "--out",
    metavar="FILE",
    help="Write one JSON object a line for each sighting; - for stdout.  SCHEME:REST for a store "
    "of a plugin's.",
)
@click.option("--summary", metavar="FILE", help="Write the summary as JSON; - for stdout.")
@click.option(
    "--instruments",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Instruments of a recording that doesn't begin with them: an instrument snapshot or a "
    "REST AssetPairs answer.",
)
@click.option(
    "--depth",
    type=click.IntRange(min=1, max=10_000),
    help="Levels a side, where the recording has no subscription.  [default: from the snapshots]",
)
@click.option("--venue", "venue_name", help="Whose frames these are.  [default: venue]")
@click.pass_obj
def detect(
    line: "CommandLine",
    recording: str,
    taker_fee: Decimal | None,
    start: tuple[str, ...] | None,
    min_edge_bps: Decimal | None,
    out: str | None,
    summary: str | None,
    instruments: Path | None,
    depth: int | None,
    venue_name: str | None,
) -> None:
    """Detection RECORDING through order books and detectors; report what there was.

    RECORDING is a file of JSON lines, raw frames or envelopes, plain, gzip or zstd; - is standard
    input.  No risk rules, no orders, no database: a cycle is reported with every verified book
    message of its pairs while its net edge after fees is above the threshold.
    """
    from arbitrade.recording import RecordingReader

    if out == "-" and summary == "-":
        raise UsageError("--out - and --summary - both want standard output; name a file for one")
    if summary is not None and summary != "-":
        _check_writable(Path(summary))
    _check_apart(
        {
            "RECORDING": recording,
            "--instruments": None if instruments is None else str(instruments),
            "--out": out,
            "--summary": summary,
        }
    )
    settings = _settings(line, taker_fee, start, min_edge_bps)
    venue = line.registry.make_venue(settings, venue_name or settings.venue)
    with RecordingReader(recording) as reader:
        result = _replay(line, settings, venue, reader, out, instruments, depth)
    click.echo(_as_text(reader, result), err=True)
    if not result.detectors:
        click.echo(
            "Warning: no detector is enabled, so nothing was looked for; "
            "see arbitrade plugins list",
            err=True,
        )
    elif not result.cycles and _TRIANGULAR in result.detectors:
        click.echo(
            f"No cycle: {_count(result.pairs, 'pair')} with none among them that begins at a start "
            "asset; see --start and triangular.start_assets",
            err=True,
        )
    if summary is not None:
        _write_summary(summary, result)


def _settings(
    line: "CommandLine",
    taker_fee: Decimal | None,
    start: tuple[str, ...] | None,
    min_edge_bps: Decimal | None,
) -> "Settings":
    section: dict[str, object] = {}
    if start is not None:
        section["start_assets"] = list(start)
    if min_edge_bps is not None:
        section["min_edge_bps"] = str(min_edge_bps)
    settings = line.load({_TRIANGULAR: section} if section else None)
    if taker_fee is None:
        return settings
    return attrs.evolve(settings, fees=attrs.evolve(settings.fees, taker=taker_fee, overrides={}))


def _store_url(out: str) -> str:
    """Return what to ask stores for: a word and a colon name one, everything else is a file."""
    # One letter and a colon is a drive.
    return out if re.match(r"[a-z][a-z0-9_]+:", out) else f"jsonl:{out}"


def _replay(
    line: "CommandLine",
    settings: "Settings",
    venue: "Venue",
    reader: "RecordingReader",
    out: str | None,
    instruments: Path | None,
    depth: int | None,
) -> "DetectionSummary":
    from arbitrade.clock import ReplayClock
    from arbitrade.engine.assembly import assemble
    from arbitrade.research.detection import CycleRecords, Detection

    store = None if out is None else line.registry.make_store(settings, _store_url(out))

    def keep(opportunities: "Sequence[Opportunity]", position: int) -> None:
        if store is not None:
            for opportunity in opportunities:
                store.write(opportunity, position)

    clock, records = ReplayClock(), CycleRecords()
    engine = assemble(
        settings,
        line.registry,
        venue,
        keep,
        depth=depth,
        clock=clock,
        on_episode_end=records.add,
    )
    try:
        if instruments is not None:
            engine.learn(_read_instruments(venue, instruments))
        replay = Detection(engine, clock, records)
        with _progress(reader) as on_progress:
            replay.run(reader, on_progress)
    except RecordingError as error:
        if out is not None:
            raise RecordingError(
                error.path, error.line, f"{error.reason}; --out {out} has what was found before it"
            ) from error
        raise
    finally:
        if store is not None:
            store.close()
    return replay.summary(reader)


def _read_instruments(venue: "Venue", path: Path) -> "InstrumentsChanged":
    try:
        return venue.read_instruments(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--instruments {path}: can't be read ({error.strerror})") from error
    except MessageError as error:
        raise MessageError(f"--instruments {path}: {error}") from error


def _check_apart(files: Mapping[str, str | None]) -> None:
    """Refuse to write over what is read, or twice to one file, before anything is lost."""
    named: dict[Path, str] = {}
    for option, name in files.items():
        # A device such as /dev/null takes everything.
        if name is None or name == "-" or (Path(name).exists() and not Path(name).is_file()):
            continue
        path = Path(name).resolve()
        if path in named:
            raise UsageError(f"{option} {name}: is {named[path]} too; name another file")
        named[path] = option


def _check_writable(path: Path) -> None:
    """Find out before minutes of replaying rather than after; makes no file."""
    if path.is_dir():
        raise UsageError(f"--summary {path}: is a folder; name a file in it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(
            f"--summary {path}: can't be written; is its folder there, and may you write to it?"
        )


@contextmanager
def _progress(reader: "RecordingReader") -> Iterator[Callable[[], None] | None]:
    """Show a bar on a terminal, nothing elsewhere."""
    if reader.size is None or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=reader.size, label="replaying", file=sys.stderr) as bar:

        def on_progress() -> None:
            bar.update(reader.bytes_read - bar.pos)

        yield on_progress
        bar.update(reader.size - bar.pos)


def _write_summary(path: str, result: "DetectionSummary") -> None:
    text = orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2).decode()
    if path == "-":
        click.echo(text)
        return
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ArbitradeError(f"--summary {path}: can't be written ({error.strerror})") from error


def _as_text(reader: "RecordingReader", result: "DetectionSummary") -> str:
    """Return the summary as a person reads it."""
    speed = f"{result.frames_per_s:,.0f} frames/s in {result.seconds:.2f} s"
    hint = "" if result.hot_path == "compiled" else " (arbitrade doctor tells why)"
    rows = [
        f"{reader.path}: {result.frames:,} frames, {result.book_updates:,} book messages, "
        f"{_count(result.pairs, 'pair')}, {_count(result.cycles, 'directed cycle')}",
        f"  checksums   {result.right:,} right, {result.wrong:,} wrong, "
        f"{result.skipped:,} skipped until {_count(result.resyncs, 'resync')}",
        f"  detections  {result.detections:,} in {_count(result.episodes, 'episode')}",
        f"  hot path    {result.hot_path}{hint}, {_spread(result.latency_us)} a frame; {speed}",
    ]
    if result.detections:
        rows.append(f"  sizing      {_spread(result.sizing_us)} a candidate")
    if result.counters:
        counted = ", ".join(f"{name} {count:,}" for name, count in result.counters.items())
        rows.append(f"  counted     {counted}")
    if result.torn_line is not None:
        rows.append(f"  line {result.torn_line} is torn (the writer was stopped in it); skipped")
    if result.by_cycle:
        rows += ["", *_best_cycles(result)]
    return "\n".join(rows)


def _best_cycles(result: "DetectionSummary") -> Iterator[str]:
    yield "  seen most            episodes  sightings   longest   best edge   best profit"
    for record in result.by_cycle[:_BEST_CYCLES]:
        name = record.key.partition(":")[2]
        longest = "?" if record.longest_s is None else f"{record.longest_s:.3f} s"
        yield (
            f"  {name:<20} {record.episodes:>8,} {record.sightings:>10,} {longest:>9} "
            f"{record.peak_edge_bps:>7.2f} bps {record.peak_profit:>9.4f} {name.split('>')[0]}"
        )
    left = len(result.by_cycle) - _BEST_CYCLES
    if left > 0:
        yield f"  and {left:,} more (all of them in --summary)"


def _spread(latency: object) -> str:
    assert isinstance(latency, dict)
    if latency["p50"] is None:
        return "nothing timed"
    return f"p50 {latency['p50']:.1f} µs, p99 {latency['p99']:.1f}, p99.9 {latency['p999']:.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
