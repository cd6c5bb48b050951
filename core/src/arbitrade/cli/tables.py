"""Aligned columns for people: words to the left, numbers to the right."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

type Cell = str | int | Decimal | datetime | None


def lines_of(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """Yield a table line by line, indented; nothing if it has no rows."""
    if not rows:
        return
    texts = [[shown(cell) for cell in row] for row in rows]
    columns = range(len(header))
    widths = [max(len(header[n]), *(len(row[n]) for row in texts)) for n in columns]
    right = [any(isinstance(row[n], int | Decimal) for row in rows) for n in columns]
    for line in [list(header), *texts]:
        cells = (
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        )
        yield f"  {'  '.join(cells)}".rstrip()


def shown(cell: Cell) -> str:
    """Return a value as text: amounts exact and without trailing zeros, times in UTC."""
    if cell is None:
        return "-"
    if isinstance(cell, Decimal):
        return exact(cell)
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    return str(cell)


def exact(amount: Decimal) -> str:
    """Return all digits of an amount, without exponent and trailing zeros."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
