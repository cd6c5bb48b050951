"""Pairs to directed triangular cycles, each counted once.

An asset is a node and a pair two directed edges: buying spends the quote asset for the base asset,
selling the base asset for the quote asset.  A cycle is three edges through three different assets.
Turned round it is the same cycle; walked backwards, or over another pair between the same two
assets, it is another one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

import attrs

from arbitrade.models import Instrument, Leg, Side

type Assets = tuple[str, str, str]
type Legs = tuple[Leg, Leg, Leg]


@attrs.frozen
class DirectedCycle:
    """Three conversions that end in the asset they began with.

    Args:
        key: Readable name: ``USD>BTC>ETH``, with its pairs where others join the same assets.
        assets: Start asset first; leg i turns assets[i] into the next, the last back to the first.
        legs: In trading order.
    """

    key: str
    assets: Assets
    legs: Legs


def find_cycles(
    instruments: Iterable[Instrument], start_assets: Sequence[str] | None = None
) -> tuple[DirectedCycle, ...]:
    """Return every directed cycle of the pairs that are online.

    A cycle starts at the first of `start_assets` it contains; those that contain none are left out.
    With None nothing is left out, and a cycle starts at its alphabetically first asset.  Sorted by
    assets, then pairs, which is the order of reports: neither the venue's nor a hash seed's.
    """
    found = [
        (_turn(assets, at), _turn(legs, at))
        for assets, legs in _directed_triangles(_edges(instruments))
        if (at := _start(assets, start_assets)) is not None
    ]
    found.sort(key=lambda cycle: (cycle[0], [leg.symbol for leg in cycle[1]]))
    twins = Counter(assets for assets, _ in found)
    return tuple(
        DirectedCycle(_key(assets, legs, is_ambiguous=twins[assets] > 1), assets, legs)
        for assets, legs in found
    )


def _edges(instruments: Iterable[Instrument]) -> dict[str, dict[str, list[Leg]]]:
    """Return from asset → to asset → the legs that convert one into the other."""
    edges: dict[str, dict[str, list[Leg]]] = {}
    for pair in instruments:
        if not pair.is_online or pair.base == pair.quote:
            continue
        for source, target, side in (
            (pair.quote, pair.base, Side.BUY),
            (pair.base, pair.quote, Side.SELL),
        ):
            edges.setdefault(source, {}).setdefault(target, []).append(Leg(pair.symbol, side))
    return edges


def _directed_triangles(
    edges: Mapping[str, Mapping[str, list[Leg]]],
) -> Iterator[tuple[Assets, Legs]]:
    """Yield each directed cycle once, from its alphabetically first asset."""
    for first, neighbours in edges.items():
        for second in neighbours:
            if second <= first:
                continue
            # Edges run both ways, so what `first` and `second` both reach also leads back.
            for third in neighbours.keys() & edges[second].keys():
                if third <= first:
                    continue
                for legs in product(neighbours[second], edges[second][third], edges[third][first]):
                    yield (first, second, third), legs


def _turn[T](items: tuple[T, T, T], at: int) -> tuple[T, T, T]:
    return items[at], items[(at + 1) % 3], items[(at + 2) % 3]


def _start(assets: Sequence[str], start_assets: Sequence[str] | None) -> int | None:
    if start_assets is None:
        return 0
    return next((assets.index(start) for start in start_assets if start in assets), None)


def _key(assets: Assets, legs: Legs, *, is_ambiguous: bool) -> str:
    key = ">".join(assets)
    return f"{key} ({', '.join(leg.symbol for leg in legs)})" if is_ambiguous else key
