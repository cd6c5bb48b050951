"""`arbitrade record`: write the market down."""

import difflib
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
import orjson

from arbitrade.cli.parameters import DURATION, NAMES
from arbitrade.errors import ArbitradeError, UsageError

if TYPE_CHECKING:
    from arbitrade.cli.context import CommandLine
    from arbitrade.config import Settings
    from arbitrade.models import Instruments
    from arbitrade.protocols import Venue
    from arbitrade.recording.session import RecordReport


@click.command(
    epilog="""\b
Examples:
  arbitrade record --pairs BTC/USD,ETH/USD,ETH/BTC --for 10m
  arbitrade record --folder /data/kraken --compression zstd --rotate-mb 512
  arbitrade record --url ws://127.0.0.1:8080/v2 --for 30s --json"""
)
@click.option(
    "--pairs", type=NAMES, metavar="PAIRS", help="Pairs to record.  [default: all online ones]"
)
@click.option("--url", metavar="URL", help="Where the venue's market data is.  [default: setting]")
@click.option("--depth", type=int, help="Levels a side.  [default: setting]")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the parts go.  [default: recording.folder]",
)
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip", "zstd"]),
    help="[default: recording.compression]",
)
@click.option(
    "--rotate-mb",
    type=click.IntRange(min=1),
    help="Begin a new part at this size before compression.  [default: recording.rotate_mb]",
)
@click.option(
    "--rotate-every",
    type=DURATION,
    help="Begin a new part at this age: 30m, 1h.  [default: recording.rotate_s]",
)
@click.option("--for", "seconds", type=DURATION, help="End by itself after 30s, 10m, 2h, …")
@click.option("--json", "as_json", is_flag=True, help="Print the final report as JSON.")
@click.option("--venue", "venue_name", help="Venue to record.  [default: venue]")
@click.pass_obj
def record(
    line: "CommandLine",
    pairs: tuple[str, ...] | None,
    url: str | None,
    depth: int | None,
    folder: Path | None,
    compression: str | None,
    rotate_mb: int | None,
    rotate_every: float | None,
    seconds: float | None,
    as_json: bool,
    venue_name: str | None,
) -> None:
    """Record market data until Ctrl-C.

    Every part of the recording can be replayed by itself: it begins with the instruments and the
    books as they are.  A killed process tears at most the last line; compressed, it costs at most
    the last second.
    """
    # Here, as below asyncio and structlog: they take long to import, and --help needs none of them.
    from arbitrade.process import loops
    from arbitrade.process.logs import configure

    of_recording = _given(
        {
            "folder": None if folder is None else str(folder),
            "compression": compression,
            "rotate_mb": rotate_mb,
            "rotate_s": None if rotate_every is None else max(1, round(rotate_every)),
        }
    )
    of_venue = _given({"ws_url": url, "depth": depth})
    settings = line.load({"recording": of_recording})
    name = venue_name or settings.venue
    venue = line.registry.make_venue(settings, name)
    if of_venue:
        # Only now is it sure whose section they belong in.
        settings = line.load({"recording": of_recording, name: of_venue})
        venue = line.registry.make_venue(settings, name)
    configure(settings.log)
    report = loops.run(_record(line, settings, venue, pairs, seconds), settings.runtime.event_loop)
    if as_json:
        click.echo(orjson.dumps(attrs.asdict(report)).decode())
    if not report.parts:
        raise ArbitradeError(
            f"{name}: nothing was recorded in {report.seconds:,.1f} s, no frame came; "
            "look at the messages above, then at --url and the network"
        )
    if not as_json:
        click.echo(_as_text(report), err=True)


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


async def _record(
    line: "CommandLine",
    settings: "Settings",
    venue: "Venue",
    pairs: tuple[str, ...] | None,
    seconds: float | None,
) -> "RecordReport":
    from arbitrade.process.tasks import stop_on_signals
    from arbitrade.recording.session import RecordSession
    from arbitrade.recording.writer import RecordingWriter
    from arbitrade.store.absent import no_database
    from arbitrade.store.plugin_tables import PluginTables
    from arbitrade.store.repositories import Repositories

    absent = no_database("arbitrade record")
    chosen = settings.recording
    registry = line.registry
    writer = RecordingWriter(
        Path(chosen.folder),
        venue.name,
        chosen.compression,
        rotate_bytes=chosen.rotate_mb << 20,
        rotate_s=chosen.rotate_s,
    )
    writer.prepare()
    session = RecordSession(
        venue,
        writer,
        _chooser(venue.name, pairs),
        sinks=registry.alert_sinks(settings),
        plugins=registry.states,
    )
    stop_on_signals(session.stop)
    on_terminal = sys.stderr.isatty()
    try:
        return await session.run(
            registry.services(settings, session.view, Repositories(absent), PluginTables(absent)),
            seconds=seconds,
            on_progress=_progress_line if on_terminal else _progress_log,
            progress_s=1.0 if on_terminal else 60.0,
        )
    finally:
        if on_terminal:
            click.echo("", err=True)


def _chooser(
    venue: str, pairs: tuple[str, ...] | None
) -> "Callable[[Instruments], Collection[str]]":
    checked = pairs is None

    def choose(instruments: "Instruments") -> Collection[str]:
        nonlocal checked
        if not checked:
            _check(venue, pairs or (), instruments)
            checked = True
        if pairs is None:
            return [pair.symbol for pair in instruments.online()]
        return [symbol for symbol in pairs if symbol in instruments]

    return choose


def _check(venue: str, pairs: Collection[str], instruments: "Instruments") -> None:
    unknown = [symbol for symbol in pairs if symbol not in instruments]
    if not unknown:
        return
    near = difflib.get_close_matches(unknown[0], list(instruments), n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise UsageError(f"--pairs: {venue} has no {', '.join(unknown)}{hint}")


def _progress_line(report: "RecordReport") -> None:
    rate = report.frames / report.seconds if report.seconds else 0.0
    text = (
        f"{report.seconds:,.0f} s  {report.frames:,} frames ({rate:,.0f}/s)  "
        f"{report.books_in_sync:,}/{report.books:,} books in sync  {report.wrong} wrong  "
        f"{report.megabytes:,.1f} MB in part {report.parts}"
    )
    click.echo(f"\r\x1b[K{text}", nl=False, err=True)


def _progress_log(report: "RecordReport") -> None:
    import structlog

    log = structlog.stdlib.get_logger(__name__)
    log.info("record.progress", **attrs.asdict(report))


def _as_text(report: "RecordReport") -> str:
    return (
        f"recorded {report.frames:,} frames of {report.books:,} books in {report.seconds:,.1f} s: "
        f"{report.right:,} checksums right, {report.wrong:,} wrong, "
        f"{report.lost_connections:,} connections lost\n"
        f"{report.lines:,} lines, {report.megabytes:,.1f} MB before compression, "
        f"{report.parts:,} parts, the last: {report.path}"
    )
