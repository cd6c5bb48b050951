"""The exact optimum of a cycle through all levels held of its three books.

Each leg's output is a concave, piecewise linear function of its input, so profit is concave in the
input too, and the optimum is the first breakpoint behind which the product of the three marginal
rates is no longer above 1.  We walk there: all three books at once, level by level, in integers.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from arbitrade.book import BookSide
from arbitrade.lots import LegTerms
from arbitrade_triangular.terms import CycleTerms, ratio

type Rung = tuple[int, int, int, int]
"""A level of a leg: ticks, lots, input units and output units of taking it whole."""


_FIRST_RUNGS = 2
"""Levels a side that are read at first; most optima lie within them."""


class Optimum(NamedTuple):
    """The best size of a cycle, exact.

    Args:
        edge_bps: Net edge at the best prices.
        size: Input in units of the start asset, as numerator and denominator.
        output: What that brings back, the same.
        rungs: Per leg, the levels the walk looked at, best first; the last one may be untouched.
    """

    edge_bps: Decimal
    size: tuple[int, int]
    output: tuple[int, int]
    rungs: tuple[Sequence[Rung], Sequence[Rung], Sequence[Rung]]


def optimal_size(
    terms: CycleTerms, sides: Sequence[BookSide], threshold: tuple[int, int]
) -> Optimum | None:
    """Return the size with the highest profit; None unless the edge is strictly above `threshold`.

    Ends where a book's held levels run out, because nothing is known beyond.  The size is 0 when
    even the first unit loses, which takes a negative threshold.  O(levels touched).

    Args:
        terms: The cycle's constants.
        sides: Per leg, the side of the book it takes from; none may be empty.
        threshold: One plus the edge to exceed, as numerator and denominator.
    """
    leg1, leg2, leg3 = terms.legs
    side1, side2, side3 = sides
    rungs1, rungs2, rungs3 = _rungs(side1, leg1), _rungs(side2, leg2), _rungs(side3, leg3)
    _, _, in1, out1 = rungs1[0]
    _, _, in2, out2 = rungs2[0]
    _, _, in3, out3 = rungs3[0]
    gain, cost = out1 * out2 * out3, in1 * in2 * in3
    if gain * threshold[1] <= cost * threshold[0]:
        return None
    edge_bps = ratio((gain - cost) * 10_000, cost)
    # What the levels before the current one took and gave: a, b, c and d are the start asset, the
    # two between, and the start asset again.
    a1 = b1 = b2 = c2 = c3 = d3 = 0
    at1 = at2 = at3 = exhausted = 0
    while gain > cost:
        b_end1, b_end2 = b1 + out1, b2 + in2
        c_end2, c_end3 = c2 + out2, c3 + in3
        # Whose level ends first?  Legs 1 and 2 meet in b, legs 2 and 3 in c; to compare 1 with 3,
        # the end of 1 is carried through the current level of 2.  Of those that end together one is
        # enough: the others follow after a segment of no length.
        if b_end1 <= b_end2:
            is_first = c2 * in2 + (b_end1 - b2) * out2 <= c_end3 * in2
            exhausted = 1 if is_first else 3
        else:
            exhausted = 2 if c_end2 <= c_end3 else 3
        # Added up first: a book that ends here leaves everything on the breakpoint.
        if exhausted == 1:
            a1, b1 = a1 + in1, b_end1
            at1 += 1
            if at1 == len(rungs1) and not _reach(rungs1, side1, leg1):
                break
            _, _, in1, out1 = rungs1[at1]
        elif exhausted == 2:
            b2, c2 = b_end2, c_end2
            at2 += 1
            if at2 == len(rungs2) and not _reach(rungs2, side2, leg2):
                break
            _, _, in2, out2 = rungs2[at2]
        else:
            c3, d3 = c_end3, d3 + out3
            at3 += 1
            if at3 == len(rungs3) and not _reach(rungs3, side3, leg3):
                break
            _, _, in3, out3 = rungs3[at3]
        gain, cost = out1 * out2 * out3, in1 * in2 * in3
    size, output = (0, 1), (0, 1)
    if exhausted == 1:
        c = c2 * in2 + (b1 - b2) * out2
        size = (a1, 1)
        output = (d3 * in2 * in3 + (c - c3 * in2) * out3, in2 * in3)
    elif exhausted == 2:
        size = (a1 * out1 + (b2 - b1) * in1, out1)
        output = (d3 * in3 + (c2 - c3) * out3, in3)
    elif exhausted == 3:
        b = b2 * out2 + (c3 - c2) * in2
        size = (a1 * out1 * out2 + (b - b1 * out2) * in1, out1 * out2)
        output = (d3, 1)
    del rungs1[at1 + 1 :], rungs2[at2 + 1 :], rungs3[at3 + 1 :]
    return Optimum(edge_bps, size, output, (rungs1, rungs2, rungs3))


def _rungs(side: BookSide, leg: LegTerms, begin: int = 0, count: int = _FIRST_RUNGS) -> list[Rung]:
    """Return the levels a leg takes, best first, each with what it needs and what it brings."""
    spend, receive = leg.spend, leg.receive
    if leg.is_buy:
        return [
            (ticks, lots, ticks * lots * spend, lots * receive)
            for ticks, lots in side.first(count, begin)
        ]
    return [
        (ticks, lots, lots * spend, ticks * lots * receive)
        for ticks, lots in side.first(count, begin)
    ]


def _reach(rungs: list[Rung], side: BookSide, leg: LegTerms) -> bool:
    """Go further down a side; tell whether there was more."""
    held = len(rungs)
    rungs += _rungs(side, leg, held, 2 * held)
    return len(rungs) > held
