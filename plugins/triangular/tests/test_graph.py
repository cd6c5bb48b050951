"""Every directed cycle once, whatever the venue's order."""

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.models import Instrument, InstrumentStatus, Side
from arbitrade.testing.factories import make_instrument
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.graph import find_cycles

START = TriangularSettings().start_assets
FACTS = Path(__file__).parent / "pairs-2026-01.csv"


def pairs(*symbols: str) -> list[Instrument]:
    return [make_instrument(symbol) for symbol in symbols]


def legs(instruments: Iterable[Instrument], start: tuple[str, ...] = START) -> list[str]:
    return [
        f"{cycle.key}: " + ", ".join(f"{leg.side.value} {leg.symbol}" for leg in cycle.legs)
        for cycle in find_cycles(instruments, start)
    ]


def test_a_triangle_has_two_directions_and_each_starts_at_the_first_start_asset() -> None:
    assert legs(pairs("ETH/BTC", "ETH/USD", "BTC/USD")) == [
        "USD>BTC>ETH: buy BTC/USD, buy ETH/BTC, sell ETH/USD",
        "USD>ETH>BTC: buy ETH/USD, sell ETH/BTC, sell BTC/USD",
    ]


def test_the_order_of_start_assets_decides_where_a_cycle_starts() -> None:
    cycles = find_cycles(pairs("ETH/BTC", "ETH/USD", "BTC/USD"), ("SOL", "ETH", "USD"))
    assert [cycle.assets for cycle in cycles] == [("ETH", "BTC", "USD"), ("ETH", "USD", "BTC")]


def test_cycles_without_a_start_asset_are_not_traded_but_can_be_counted() -> None:
    triangle = pairs("ADA/DOT", "DOT/KSM", "ADA/KSM")
    assert find_cycles(triangle, START) == ()
    assert [cycle.key for cycle in find_cycles(triangle)] == ["ADA>DOT>KSM", "ADA>KSM>DOT"]


def test_a_pair_that_is_not_online_is_in_no_cycle() -> None:
    triangle = pairs("ETH/BTC", "ETH/USD")
    for status in InstrumentStatus:
        found = find_cycles([*triangle, make_instrument("BTC/USD", status=status)], START)
        assert len(found) == (2 if status is InstrumentStatus.ONLINE else 0)


def test_both_orientations_of_a_pair_make_cycles_of_their_own_with_keys_that_tell_them_apart() -> (
    None
):
    found = legs(pairs("BTC/USD", "USD/BTC", "ETH/BTC", "ETH/USD"))
    assert found == [
        "USD>BTC>ETH (BTC/USD, ETH/BTC, ETH/USD): buy BTC/USD, buy ETH/BTC, sell ETH/USD",
        "USD>BTC>ETH (USD/BTC, ETH/BTC, ETH/USD): sell USD/BTC, buy ETH/BTC, sell ETH/USD",
        "USD>ETH>BTC (ETH/USD, ETH/BTC, BTC/USD): buy ETH/USD, sell ETH/BTC, sell BTC/USD",
        "USD>ETH>BTC (ETH/USD, ETH/BTC, USD/BTC): buy ETH/USD, sell ETH/BTC, buy USD/BTC",
    ]


def test_several_pairs_between_two_assets_are_all_used() -> None:
    """The same two assets under another symbol, as venues list wrapped or duplicated markets."""
    twin = attrs.evolve(make_instrument("BTC/USD"), symbol="XBT.B/USD")
    cycles = find_cycles([*pairs("BTC/USD", "ETH/BTC", "ETH/USD"), twin], START)
    assert len(cycles) == 4
    assert len({cycle.key for cycle in cycles}) == 4


def test_a_pair_of_an_asset_with_itself_and_two_pairs_make_no_cycle() -> None:
    assert find_cycles(pairs("USD/USD", "BTC/USD", "USD/BTC", "ETH/USD"), START) == ()


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_change_the_cycles(random: Random) -> None:
    listed = pairs("BTC/USD", "ETH/BTC", "ETH/USD", "BTC/EUR", "ETH/EUR", "EUR/USD", "USD/BTC")
    expected = find_cycles(listed, START)
    random.shuffle(listed)
    assert find_cycles(listed, START) == expected


@given(st.sets(st.tuples(st.sampled_from("ABCDE"), st.sampled_from("ABCDE")), max_size=12))
def test_cycles_are_those_of_trying_every_three_pairs(oracle, listed) -> None:
    instruments = pairs(*(f"{base}/{quote}" for base, quote in sorted(listed)))
    found = find_cycles(instruments, ("C", "A"))
    assert {cycle.legs: cycle.assets for cycle in found} == oracle.cycles(instruments, ("C", "A"))
    assert len({cycle.key for cycle in found}) == len(found)


def test_january_2026_has_1215_triangles_and_2430_directed_cycles() -> None:
    with FACTS.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == 1434
    _assert_january_2026(
        make_instrument(
            f"{row['base']}/{row['quote']}", status=InstrumentStatus.parse(row["status"])
        )
        for row in rows
    )


def test_the_full_answer_of_january_2026_gives_the_same_counts() -> None:
    folder = os.environ.get("ARBITRADE_SHARED_DATA")
    if not folder:
        pytest.skip("ARBITRADE_SHARED_DATA does not name a folder with more recordings")
    answer = json.loads(Path(folder, "kraken", "rest-assetpairs-20260112.json").read_bytes())
    _assert_january_2026(
        make_instrument(row["wsname"], status=InstrumentStatus.parse(row["status"]))
        for row in answer["result"].values()
        if row["aclass_base"] == row["aclass_quote"] == "currency"
    )


def _assert_january_2026(listed: Iterable[Instrument]) -> None:
    instruments = list(listed)
    assert sum(pair.is_online for pair in instruments) == 1365
    cycles = find_cycles(instruments)
    assert len(cycles) == 2430
    assert len({frozenset(cycle.assets) for cycle in cycles}) == 1215
    assert len({leg.symbol for cycle in cycles for leg in cycle.legs}) == 1339
    assert sum("USD" in cycle.assets for cycle in cycles) == 2 * 770
    for cycle in cycles:
        for leg, asset, following in zip(
            cycle.legs, cycle.assets, (*cycle.assets[1:], cycle.assets[0]), strict=True
        ):
            base, quote = leg.symbol.split("/")
            assert (asset, following) == ((quote, base) if leg.side is Side.BUY else (base, quote))
