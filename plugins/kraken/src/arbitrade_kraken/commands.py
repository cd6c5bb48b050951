"""Commands this plugin adds to `arbitrade`."""

from pathlib import Path

import click

from arbitrade.errors import MessageError, UsageError
from arbitrade_kraken.convert import convert
from arbitrade_kraken.messages import read_instruments_file, write_instruments


@click.command(
    "convert",
    epilog="""\b
Example:
  arbitrade convert capture.ndjson recording.jsonl --instruments instruments.json""",
)
@click.argument("capture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("recording", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--instruments",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instrument snapshot or AssetPairs answer to put first, for captures without one.",
)
def convert_command(capture: Path, recording: Path, instruments: Path | None) -> None:
    """Turn a CAPTURE of Kraken traffic by another program into a RECORDING.

    CAPTURE has a JSON object a line: frames, or {"rx_ns": …, "frame": …}.  RECORDING is made, never
    overwritten.
    """
    from arbitrade import Instruments

    first = None
    if instruments is not None:
        change = read_instruments_file(instruments.read_bytes())
        first = write_instruments(Instruments(change.pairs, change.assets))
    partial = recording.with_name(recording.name + ".partial")
    if recording.exists():
        raise UsageError(f"{recording} exists already; name another file")
    try:
        with capture.open("rb") as lines, partial.open("wb") as out:
            out.writelines(convert(lines, first))
        partial.rename(recording)
    except MessageError as error:
        raise MessageError(f"{capture}, {error}") from error
    except OSError as error:
        raise UsageError(f"{recording}: can't be written ({error.strerror})") from error
    finally:
        partial.unlink(missing_ok=True)
