"""Which cycles are above the threshold, at a cost of about a microsecond for a book change.

In floats: a pair is two directed edges, each with a rate that has the fee folded in.  Rates of
books we must not look at are 0, so no product through them reaches anything.  When an edge
improves, a cycle through it comes alive if rate · (product of the other two) exceeds the threshold;
when it worsens only cycles that are alive already can change.

A guard band decides what floats can't: screening lets everything pass that is not clearly below the
threshold, and sizing, which is exact, drops what is not strictly above it.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from arbitrade.models import Changed, Side
from arbitrade_triangular.graph import DirectedCycle

_GUARD = 1e-12
"""Relative width of the guard band.  The dozen roundings on the way lose less than 1e-14."""

_SAME, _BID, _ASK = Changed.NOTHING, Changed.BID, Changed.ASK


class Edges(NamedTuple):
    """Pairs and cycles by number: pair p is edge 2p when it buys its base, 2p + 1 when it sells it.

    Args:
        factors: By edge: what is divided by the ticks of the best ask, or multiplies those of the
            best bid.
        others: By edge: for each cycle through it the other two edges.
        through: By edge: for each cycle through it its index, in the order of `others`.
        cycles: By cycle: its three edges.
    """

    factors: list[float]
    others: list[list[tuple[int, int]]]
    through: list[list[int]]
    cycles: list[tuple[int, int, int]]


def index_edges(
    cycles: Sequence[DirectedCycle], places: Mapping[str, int], factors: list[float]
) -> Edges:
    """Note the edges of each cycle; and of each edge its cycles with their other two."""
    others: list[list[tuple[int, int]]] = [[] for _ in factors]
    through: list[list[int]] = [[] for _ in factors]
    edges = []
    for index, cycle in enumerate(cycles):
        first, second, third = (
            2 * places[leg.symbol] + (leg.side is Side.SELL) for leg in cycle.legs
        )
        edges.append((first, second, third))
        others[first].append((second, third))
        others[second].append((first, third))
        others[third].append((first, second))
        for edge in (first, second, third):
            through[edge].append(index)
    return Edges(factors, others, through, edges)


def floor_of(threshold: Fraction) -> float:
    """Return what a product of rates has to exceed to be let pass: the guard band's lower end."""
    return float(threshold) * (1 - _GUARD)


class Screen:
    """Rates and live cycles of one graph.  `_hot.CompiledScreen` does the same, compiled.

    Args:
        edges: What there is to watch.
        floor: A cycle is live while the product of its rates is above this.
    """

    def __init__(self, edges: Edges, floor: float) -> None:
        self._factors, self._others, self._through, self._cycles = edges
        self._floor = floor
        self._rates = [0.0] * len(edges.factors)
        self._live: list[list[int]] = [[] for _ in range(len(edges.factors) // 2)]

    def move(self, pair: int, bid: int, ask: int, changed: Changed) -> bool:
        """Take a pair's best prices in ticks, 0 for none; tell whether a cycle of it is live.

        A change that leads nowhere allocates nothing and costs one multiplication for each cycle
        through an edge that improved.
        """
        live = self._live[pair]
        if changed is _SAME:
            return bool(live)
        # PERF: spelled out for either edge; a method for both costs another 0.2 µs a change.
        rates, edge = self._rates, 2 * pair
        if changed is not _BID:
            rate = self._factors[edge] / ask if ask else 0.0
            before, rates[edge] = rates[edge], rate
            if rate > before:
                bound = self._floor / rate
                for one, other in self._others[edge]:
                    if rates[one] * rates[other] > bound:
                        self._admit(edge, bound)
                        break
            elif live:
                self._expel(pair)
        if changed is not _ASK:
            edge += 1
            rate = self._factors[edge] * bid
            before, rates[edge] = rates[edge], rate
            if rate > before:
                bound = self._floor / rate
                for one, other in self._others[edge]:
                    if rates[one] * rates[other] > bound:
                        self._admit(edge, bound)
                        break
            elif live:
                self._expel(pair)
        return bool(live)

    def void(self, pair: int) -> None:
        """Take a pair's rates out, and with them every cycle through it."""
        self._rates[2 * pair] = self._rates[2 * pair + 1] = 0.0
        self._expel(pair)

    def live(self, pair: int) -> Sequence[int]:
        """Return the indexes of the live cycles through a pair, ascending."""
        return tuple(self._live[pair])

    def _admit(self, edge: int, bound: float) -> None:
        """Put the cycles through an edge that improved among the live ones of their pairs."""
        rates = self._rates
        for index, (one, other) in zip(self._through[edge], self._others[edge], strict=True):
            if rates[one] * rates[other] > bound:
                for leg in self._cycles[index]:
                    live = self._live[leg // 2]
                    if index not in live:
                        insort(live, index)

    def _expel(self, pair: int) -> None:
        """Drop the live cycles of a pair that are clearly not above the threshold any more."""
        rates = self._rates
        for index in tuple(self._live[pair]):
            first, second, third = self._cycles[index]
            if rates[first] * rates[second] * rates[third] <= self._floor:
                for leg in (first, second, third):
                    self._live[leg // 2].remove(index)
