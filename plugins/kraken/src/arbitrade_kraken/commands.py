"""Commands this plugin adds to `arbitrade`."""

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import click

from arbitrade.errors import MessageError, UsageError
from arbitrade_kraken.convert import convert
from arbitrade_kraken.instruments import read_instruments_file
from arbitrade_kraken.market.encoder import write_instruments


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
    first = None if instruments is None else _instruments_frame(instruments)
    if recording.exists():
        raise UsageError(f"{recording} exists already; name another file")
    partial = recording.with_name(recording.name + ".partial")
    try:
        with _opened(capture) as lines, partial.open("wb") as out:
            out.writelines(convert(lines, first))
        partial.rename(recording)
    except MessageError as error:
        raise MessageError(f"{capture}, {error}") from error
    except OSError as error:
        raise UsageError(f"{recording}: can't be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _instruments_frame(path: Path) -> bytes:
    from arbitrade import Instruments

    with _opened(path) as file:
        content = file.read()
    try:
        change = read_instruments_file(content)
    except MessageError as error:
        raise MessageError(f"--instruments {path}: {error}") from error
    return write_instruments(Instruments(change.pairs, change.assets))


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from error
