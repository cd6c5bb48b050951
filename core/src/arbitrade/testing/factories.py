"""Instruments and books from the figures a test is about; everything else has a plain default."""

from arbitrade.synthetic.factories import (
    Figure,
    Rung,
    make_book,
    make_instrument,
    make_instruments,
    make_levels,
)

__all__ = ["Figure", "Rung", "make_book", "make_instrument", "make_instruments", "make_levels"]
