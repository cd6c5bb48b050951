"""Opportunities as lines of JSON, exact to the last digit."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import TextIO

import orjson

from arbitrade.errors import ArbitradeError, UsageError
from arbitrade.models import Opportunity, PlannedOrder


class StoreError(ArbitradeError):
    """A store that can't be written; names it, the reason and the next step."""


class JsonLinesStore:
    """Writes one JSON object for each sighting.  About 3 µs a line; buffered.

    Numbers are written by `Decimal` itself, never through a float, so that a reader that can (such
    as Python's `json` with ``parse_float=Decimal``) gets exactly what was computed.

    Args:
        path: File to write, replaced if it exists; `-` is standard output, which is left open.

    Raises:
        UsageError: The path is empty.
        StoreError: The file can't be written.
    """

    def __init__(self, path: str) -> None:
        if not path:
            raise UsageError(
                "store 'jsonl:': no path; write jsonl:FILE, or jsonl:- for standard output"
            )
        self._path = "standard output" if path == "-" else path
        self._owns = path != "-"
        self._closed = False
        try:
            self._file = _open(path) if self._owns else sys.stdout
        except OSError as error:
            raise StoreError(
                f"{path}: can't be written ({error.strerror or error}); name another file"
            ) from error

    def write(self, opportunity: Opportunity, line: int) -> None:
        """Write one sighting.

        Raises:
            StoreError: The disk is full, or the file has gone.
            BrokenPipeError: Standard output has no reader any more.
        """
        try:
            self._file.write(encode(opportunity, line) + "\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Write what is buffered and close the file.  Idempotent.

        Raises:
            StoreError: The last lines could not be written; the file is closed all the same.
            BrokenPipeError: Standard output has no reader any more.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._failure(error) from error
        finally:
            if self._owns:
                self._release()

    def _release(self) -> None:
        try:
            self._file.close()
        except OSError:
            return  # closing flushes again; that failure has been reported

    def _failure(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self._path}: can't be written ({error.strerror or error}); what is in it so far "
            "may be incomplete.  Choose another place or make room, then run again"
        )


def encode(opportunity: Opportunity, line: int) -> str:
    """Return the line of JSON for one sighting, without its line break.

    Keys: line, timestamp, assets, legs (symbol, side), edge_bps, size, profit (JSON numbers with
    every digit), and orders (symbol, side, qty, limit_price) or blocked.  Of a basket also weights.
    """
    legs = ",".join(
        f'{{"symbol":{_text(leg.symbol)},"side":"{leg.side.value}"}}' for leg in opportunity.legs
    )
    outcome = (
        f'"orders":[{",".join(map(_order, opportunity.orders))}]'
        if opportunity.blocked is None
        else f'"blocked":{_text(opportunity.blocked)}'
    )
    weights = ""
    if opportunity.is_basket:
        weights = f'"weights":[{",".join(map(number, opportunity.weights))}],'
    return (
        f'{{"line":{line},"timestamp":{_text(opportunity.timestamp)},'
        f'"assets":{_text(opportunity.assets)},"legs":[{legs}],'
        f'"edge_bps":{number(opportunity.edge_bps)},"size":{number(opportunity.size)},'
        f'"profit":{number(opportunity.profit)},{weights}{outcome}}}'
    )


def number(value: Decimal) -> str:
    """Return a finite decimal as a JSON number, with all its digits.

    Raises:
        ValueError: It is infinite or no number; a bug of whoever computed it.
    """
    if not value.is_finite():
        raise ValueError(f"{value} can't be written as a JSON number")
    return str(value)  # Decimal's own notation, 1E+3 included, is JSON's


def _open(path: str) -> TextIO:
    return Path(path).open("w", encoding="utf-8", newline="\n")


def _order(order: PlannedOrder) -> str:
    return (
        f'{{"symbol":{_text(order.symbol)},"side":"{order.side.value}",'
        f'"qty":{number(order.quantity)},"limit_price":{number(order.limit_price)}}}'
    )


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
