"""Write a synthetic recording: `python -m arbitrade.synthetic --out market.jsonl.zst`.

Every line is one frame; `arbitrade detect` reads the file as it is.
"""

import argparse
import gzip
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import attrs
import zstandard

from arbitrade.synthetic.market import SyntheticMarket
from arbitrade.synthetic.settings import MarketSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the recording the command line asks for; return the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        settings = _settings(given)
    except ValueError as error:
        parser.error(str(error))
    market = SyntheticMarket(settings)
    with _opened(given.out) as out:
        lines = 0
        for frame in market.frames():
            out.write(frame + b"\n")
            lines += 1
    done = ", ".join(f"{count} {name}" for name, count in sorted(market.counters.items()))
    sys.stderr.write(f"{lines} lines of {settings.pairs} pairs: {done}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m arbitrade.synthetic",
        description="Write a recording of a synthetic market in the shape of Kraken's frames.",
    )
    parser.add_argument("--out", required=True, help="file ending in .gz or .zst, or - (plain)")
    parser.add_argument("--rough", action="store_true", help="turn every kind of fault on")
    for field in attrs.fields(MarketSettings):
        if field.name == "edge_bps":
            parser.add_argument("--edge-bps", nargs=2, type=float, metavar=("LOW", "HIGH"))
        else:
            kind = float if isinstance(field.default, float) else int
            parser.add_argument(
                f"--{field.name.replace('_', '-')}", type=kind, help=f"default {field.default}"
            )
    return parser


def _settings(given: argparse.Namespace) -> MarketSettings:
    base = MarketSettings().rough() if given.rough else MarketSettings()
    chosen = {
        field.name: getattr(given, field.name)
        for field in attrs.fields(MarketSettings)
        if getattr(given, field.name) is not None
    }
    if "edge_bps" in chosen:
        chosen["edge_bps"] = tuple(chosen["edge_bps"])
    return attrs.evolve(base, **chosen)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Open the output; the same content gives the same file, so no time of day goes in."""
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with Path(name).open("wb") as raw:
        if name.endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as out:
                yield cast(BinaryIO, out)
        elif name.endswith(".zst"):
            with zstandard.ZstdCompressor(level=19).stream_writer(raw, closefd=False) as out:
                yield cast(BinaryIO, out)
        else:
            yield raw


if __name__ == "__main__":
    raise SystemExit(main())
