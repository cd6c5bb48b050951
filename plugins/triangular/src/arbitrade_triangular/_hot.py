# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The compiled screen stage: from a moved best price to the cycles that are live.

Compiled only.  Does what `arbitrade_triangular.screening.Screen` does, in the same order and with
the same operations on doubles, so that both let the same cycles pass.
"""

import cython
from cython.cimports.cpython.mem import PyMem_Calloc, PyMem_Free
from cython.cimports.cpython.pycapsule import PyCapsule_New
from cython.cimports.libc.stdint import int64_t, uint8_t

_CAPSULE = cython.declare(cython.p_const_char, b"arbitrade.screen_stage.1")


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def _set_live(graph: cython.pointer(Graph), cycle: cython.int, is_live: uint8_t) -> cython.void:
    leg: cython.int
    graph.is_live[cycle] = is_live
    for leg in range(3):
        graph.live[graph.edges[3 * cycle + leg] >> 1] += 1 if is_live else -1


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def _expel(graph: cython.pointer(Graph), pair: int64_t) -> cython.void:
    """Drop the live cycles of a pair that are clearly not above the threshold any more."""
    at: cython.int
    cycle: cython.int
    edges: cython.pointer(cython.int)
    product: cython.double
    for at in range(graph.first[2 * pair], graph.first[2 * pair + 2]):
        cycle = graph.cycle[at]
        if graph.is_live[cycle]:
            edges = graph.edges + 3 * cycle
            product = graph.rates[edges[0]] * graph.rates[edges[1]] * graph.rates[edges[2]]
            if product <= graph.floor:
                _set_live(graph, cycle, 0)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
@cython.nogil
def _move(
    graph: cython.pointer(Graph), pair: int64_t, edge: int64_t, rate: cython.double
) -> cython.void:
    """Take an edge's new rate: an improvement may admit cycles, a worsening expel some."""
    before: cython.double = graph.rates[edge]
    bound: cython.double
    at: cython.int
    cycle: cython.int
    graph.rates[edge] = rate
    if rate > before:
        bound = graph.floor / rate
        for at in range(graph.first[edge], graph.first[edge + 1]):
            if graph.rates[graph.one[at]] * graph.rates[graph.other[at]] > bound:
                cycle = graph.cycle[at]
                if not graph.is_live[cycle]:
                    _set_live(graph, cycle, 1)
    elif graph.live[pair]:
        _expel(graph, pair)


@cython.cfunc
@cython.exceptval(check=False)
@cython.nogil
def _screen(
    context: cython.p_void, slot: int64_t, bid: int64_t, ask: int64_t, changed: cython.int
) -> cython.int:
    """Take a pair's best prices in ticks; return how many cycles through it are live."""
    graph: cython.pointer(Graph) = cython.cast(cython.pointer(Graph), context)
    if slot >= graph.slots or graph.pairs[slot] < 0:
        return 0
    pair: int64_t = graph.pairs[slot]
    edge: int64_t = 2 * pair
    if changed & ASK:
        _move(graph, pair, edge, graph.factors[edge] / ask if ask else 0.0)
    if changed & BID:
        _move(graph, pair, edge + 1, graph.factors[edge + 1] * bid)
    return graph.live[pair]


@cython.cclass
class CompiledScreen:
    """Rates and live cycles of one graph.

    Args:
        factors: By edge: what is divided by the ask's ticks, or multiplied with the bid's.
        others: By edge: for each cycle through it the other two edges.
        through: By edge: for each cycle through it its index, in the order of `others`.
        edges: By cycle: its three edges.
        floor: A cycle is live while the product of its rates is above this.
    """

    _graph: Graph
    _stage: ScreenStage
    _pairs: cython.Py_ssize_t

    def __cinit__(
        self,
        factors: list,
        others: list,
        through: list,
        edges: list,
        floor: cython.double,
    ):
        count: cython.Py_ssize_t = len(factors)
        entries: cython.Py_ssize_t = sum([len(one) for one in others])
        self._pairs = count // 2
        graph: cython.pointer(Graph) = cython.address(self._graph)
        graph.floor = floor
        graph.factors = cython.cast(cython.pointer(cython.double), PyMem_Calloc(count + 1, 8))
        graph.rates = cython.cast(cython.pointer(cython.double), PyMem_Calloc(count + 1, 8))
        graph.first = _ints(count + 1)
        graph.one = _ints(entries + 1)
        graph.other = _ints(entries + 1)
        graph.cycle = _ints(entries + 1)
        graph.edges = _ints(3 * len(edges) + 1)
        graph.live = _ints(self._pairs + 1)
        graph.is_live = cython.cast(cython.pointer(uint8_t), PyMem_Calloc(len(edges) + 1, 1))
        if (
            graph.factors == cython.NULL
            or graph.rates == cython.NULL
            or graph.first == cython.NULL
            or graph.one == cython.NULL
            or graph.other == cython.NULL
            or graph.cycle == cython.NULL
            or graph.edges == cython.NULL
            or graph.live == cython.NULL
            or graph.is_live == cython.NULL
        ):
            raise MemoryError
        at: cython.int = 0
        edge: cython.Py_ssize_t
        for edge in range(count):
            graph.factors[edge] = factors[edge]
            graph.first[edge] = at
            for (one, other), cycle in zip(others[edge], through[edge], strict=True):
                graph.one[at] = one
                graph.other[at] = other
                graph.cycle[at] = cycle
                at += 1
        graph.first[count] = at
        at = 0
        for three in edges:
            for one in three:
                graph.edges[at] = one
                at += 1
        self._stage.context = graph
        self._stage.screen = _screen

    def __dealloc__(self):
        PyMem_Free(self._graph.pairs)
        PyMem_Free(self._graph.factors)
        PyMem_Free(self._graph.rates)
        PyMem_Free(self._graph.first)
        PyMem_Free(self._graph.one)
        PyMem_Free(self._graph.other)
        PyMem_Free(self._graph.cycle)
        PyMem_Free(self._graph.edges)
        PyMem_Free(self._graph.live)
        PyMem_Free(self._graph.is_live)

    def use_slots(self, pairs: list) -> None:
        """Take the pairs' places in the books: by slot the pair, -1 for one in no cycle."""
        slots: cython.pointer(int64_t) = cython.cast(
            cython.pointer(int64_t), PyMem_Calloc(len(pairs) + 1, 8)
        )
        if slots == cython.NULL:
            raise MemoryError
        at: cython.Py_ssize_t
        for at in range(len(pairs)):
            pair: cython.Py_ssize_t = pairs[at]
            slots[at] = pair if -1 <= pair < self._pairs else -1
        PyMem_Free(self._graph.pairs)
        self._graph.pairs = slots
        self._graph.slots = len(pairs)

    def capsule(self) -> object:
        """Return the stage for `arbitrade.hot`; lives no longer than this object."""
        return PyCapsule_New(cython.address(self._stage), _CAPSULE, cython.NULL)

    def move(self, pair: cython.Py_ssize_t, bid: object, ask: object, changed: cython.int) -> bool:
        """Take a pair's best prices in ticks, 0 for none; tell whether a cycle of it is live."""
        self._check(pair)
        graph: cython.pointer(Graph) = cython.address(self._graph)
        ticks: cython.double
        if changed & ASK:
            ticks = ask
            _move(graph, pair, 2 * pair, graph.factors[2 * pair] / ticks if ticks else 0.0)
        if changed & BID:
            ticks = bid
            _move(graph, pair, 2 * pair + 1, graph.factors[2 * pair + 1] * ticks)
        return graph.live[pair] > 0

    def void(self, pair: cython.Py_ssize_t) -> None:
        """Take a pair's rates out, and with them every cycle through it."""
        self._check(pair)
        self._graph.rates[2 * pair] = self._graph.rates[2 * pair + 1] = 0.0
        if self._graph.live[pair]:
            _expel(cython.address(self._graph), pair)

    def live(self, pair: cython.Py_ssize_t) -> list:
        """Return the indexes of the live cycles through a pair, ascending."""
        self._check(pair)
        graph: cython.pointer(Graph) = cython.address(self._graph)
        if not graph.live[pair]:
            return []
        at: cython.int
        found = []
        for at in range(graph.first[2 * pair], graph.first[2 * pair + 2]):
            if graph.is_live[graph.cycle[at]]:
                found.append(graph.cycle[at])
        return sorted(set(found))

    @cython.cfunc
    def _check(self, pair: cython.Py_ssize_t) -> cython.int:
        if not 0 <= pair < self._pairs:
            raise IndexError(f"no pair {pair}")
        return 0


@cython.cfunc
def _ints(count: cython.Py_ssize_t) -> cython.pointer(cython.int):
    return cython.cast(cython.pointer(cython.int), PyMem_Calloc(count, cython.sizeof(cython.int)))
