"""Names: REST asset ids and v1 names to the names of WebSocket v2."""

import pytest

from arbitrade_kraken.symbols import asset_name, pair_symbol


@pytest.mark.parametrize(
    ("rest_id", "name"),
    [
        ("XXBT", "BTC"),
        ("XBT", "BTC"),
        ("XXDG", "DOGE"),
        ("XDG", "DOGE"),
        ("ZUSD", "USD"),
        ("ZJPY", "JPY"),
        ("XETH", "ETH"),
        ("XXRP", "XRP"),
        ("XREP", "REP"),
        ("SOL", "SOL"),
        ("USDT", "USDT"),
    ],
)
def test_a_rest_asset_id_becomes_its_v2_name(rest_id: str, name: str) -> None:
    assert asset_name(rest_id) == name


@pytest.mark.parametrize(
    "real", ["XAUT", "XION", "XNAP", "XTER", "ZBCN", "ZETA", "ZEUS", "ZORA", "XTZ", "ZRX"]
)
def test_an_asset_that_only_looks_like_a_fossil_keeps_its_name(real: str) -> None:
    assert asset_name(real) == real


def test_renaming_is_per_asset_and_on_both_sides() -> None:
    assert pair_symbol("XBT/USD") == "BTC/USD"
    assert pair_symbol("ETH/XBT") == "ETH/BTC"
    assert pair_symbol("XDG/XBT") == "DOGE/BTC"
    assert pair_symbol("XBTX/USD") == "XBTX/USD"  # a name that merely contains the letters
