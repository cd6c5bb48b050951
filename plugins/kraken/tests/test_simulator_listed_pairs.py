"""The packaged list of pairs, and the script that makes it."""

import json
import os
from decimal import Decimal as D
from pathlib import Path

import pytest

from arbitrade.errors import UsageError
from arbitrade_kraken.simulator.exchange.facts import DATA, main
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.worth import asset_worths


def triangles(listed: ListedPairs) -> int:
    edges = {frozenset((pair.base, pair.quote)) for pair in listed.pairs.values()}
    assets = sorted(listed.assets)
    return sum(
        frozenset((b, c)) in edges and frozenset((a, c)) in edges
        for a, b in (sorted(edge) for edge in edges)
        for c in assets
        if c > b
    )


def test_the_list_is_the_venues_of_january_2026() -> None:
    listed = ListedPairs.load()
    pairs = listed.pairs.values()
    assert (len(listed.pairs), len(listed.assets)) == (1434, 619)
    statuses = [pair.status for pair in pairs]
    counted = {status: statuses.count(status) for status in set(statuses)}
    assert counted == {"online": 1365, "cancel_only": 47, "post_only": 19, "reduce_only": 3}
    assert sum(pair.lot_decimals == 8 for pair in pairs) == 601


@pytest.mark.parametrize(
    ("symbol", "key", "altname", "wsname", "numbers"),
    [
        ("BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD", ("0.00005", "0.5", "0.1", 1, 8, 5)),
        ("DOGE/BTC", "XXDGXXBT", "XDGXBT", "XDG/XBT", ("13", "0.00002", "0.000000001", 9, 8, 9)),
        ("USDT/USD", "USDTZUSD", "USDTUSD", "USDT/USD", ("5", "0.5", "0.00001", 5, 8, 8)),
        ("EUR/USD", "ZEURZUSD", "EURUSD", "EUR/USD", ("0.5", "0.5", "0.00001", 5, 8, 5)),
    ],
)
def test_a_pair_has_four_spellings_and_its_rules(
    symbol: str, key: str, altname: str, wsname: str, numbers: tuple[object, ...]
) -> None:
    pair = ListedPairs.load().pairs[symbol]
    assert (pair.key, pair.altname, pair.wsname) == (key, altname, wsname)
    minimum, cost, tick, *decimals = numbers
    assert pair.minimum_quantity == D(str(minimum))
    assert pair.minimum_cost == D(str(cost))
    assert pair.tick == D(str(tick))
    assert [pair.price_decimals, pair.lot_decimals, pair.cost_decimals] == decimals


def test_rest_names_find_a_pair_and_v1_names_do_not() -> None:
    listed = ListedPairs.load()
    for name in ("XXBTZUSD", "XBTUSD", "BTC/USD"):
        pair = listed.find_pair(name)
        assert pair is not None
        assert pair.symbol == "BTC/USD"
    assert listed.find_pair("XBT/USD") is None
    for name in ("XXBT", "XBT", "BTC"):
        asset = listed.find_asset(name)
        assert asset is not None
        assert asset.asset_id == "XXBT"
    assert {name: listed.assets[name].decimals for name in ("EUR", "JPY", "USDC", "BTC")} == {
        "EUR": 4, "JPY": 2, "USDC": 8, "BTC": 10,
    }  # fmt: skip
    xaut = listed.find_asset("XAUT")
    assert xaut is not None
    assert xaut.name == "XAUT"


@pytest.mark.parametrize(("count", "least"), [(3, 1), (6, 3), (12, 8), (60, 50), (500, 400)])
def test_a_selection_is_online_and_forms_triangles(count: int, least: int) -> None:
    chosen = ListedPairs.load().select(count)
    assert len(chosen.pairs) == count
    assert all(pair.status == "online" for pair in chosen.pairs.values())
    assert triangles(chosen) >= least


def test_what_is_not_listed_is_refused_with_what_fits() -> None:
    with pytest.raises(UsageError, match="XBT/USD"):
        ListedPairs.load().only(["BTC/USD", "XBT/USD"])
    with pytest.raises(UsageError, match="1365"):
        ListedPairs.load().select(1366)


def test_every_asset_has_a_worth_that_gives_prices_with_enough_digits() -> None:
    listed = ListedPairs.load()
    worths = asset_worths(listed)
    for pair in listed.pairs.values():
        assert worths[pair.base] / worths[pair.quote] / float(pair.tick) > 10, pair.symbol


def test_the_script_makes_the_packaged_files_from_the_venues_answer(tmp_path: Path) -> None:
    shared = os.environ.get("ARBITRADE_SHARED_DATA")
    if not shared:
        pytest.skip("ARBITRADE_SHARED_DATA names no folder with the venue's answer")
    folder = Path(shared) / "kraken"
    answer = folder / "rest-assetpairs-20260112.json"
    frame = folder / "ws-v2-instrument-snapshot-20240403.json"
    assert main([str(answer), "--instrument", str(frame), "--out", str(tmp_path)]) == 0
    for name in ("pairs.csv", "assets.csv", "fees.csv"):
        assert (tmp_path / name).read_text() == (DATA / name).read_text()


def test_the_script_works_without_an_instrument_frame(tmp_path: Path) -> None:
    row = {
        "altname": "ABCUSD", "wsname": "ABC/USD", "base": "ABC", "quote": "ZUSD",
        "pair_decimals": 4, "lot_decimals": 5, "cost_decimals": 6, "tick_size": "0.0001",
        "ordermin": "5", "costmin": "0.5", "status": "online", "leverage_buy": [2, 3],
        "leverage_sell": [], "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]],
    }  # fmt: skip
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({"error": [], "result": {"ABCUSD": row}}))
    assert main([str(answer), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "pairs.csv").read_text().splitlines()[1] == (
        "ABCUSD,ABCUSD,ABC/USD,ABC,ZUSD,4,5,6,0.0001,5,0.5,online,A,3,,,"
    )
    assert (tmp_path / "assets.csv").read_text().splitlines()[1] == "ABC,ABC,ABC,5,5"
