import io
import json
import os
import sys
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade import Leg, Opportunity, Side
from arbitrade.config import Settings
from arbitrade.errors import ArbitradeError, UsageError
from arbitrade.models import PlannedOrder
from arbitrade.plugins import PluginRegistry
from arbitrade.store.jsonl import JsonLinesStore, StoreError, encode, number
from arbitrade.testing.risk import make_basket

FOUND = Opportunity(
    detector="triangular",
    key="triangular:EUR>USDT>SOL",
    assets=("EUR", "USDT", "SOL"),
    legs=(
        Leg("USDT/EUR", Side.BUY),
        Leg("SOL/USDT", Side.BUY),
        Leg("SOL/EUR", Side.SELL),
    ),
    edge_bps=Decimal("13.60123456789012345678901234"),
    size=Decimal("2292.000000000000000000000001"),
    profit=Decimal("3.12"),
    orders=(PlannedOrder("USDT/EUR", Side.BUY, Decimal("2500.1"), Decimal("0.9168")),),
    lot_profit=Decimal("3.11"),
    dust=(),
    blocked=None,
    timestamp="2026-01-05T10:00:00.000001Z",
)


def test_line_has_the_keys_scripts_read_in_their_order():
    assert list(json.loads(encode(FOUND, 2839))) == [
        "line",
        "timestamp",
        "assets",
        "legs",
        "edge_bps",
        "size",
        "profit",
        "orders",
    ]


def test_line_says_everything_exactly():
    read = json.loads(encode(FOUND, 2839), parse_float=Decimal)
    assert read["line"] == 2839
    assert read["timestamp"] == FOUND.timestamp
    assert read["assets"] == ["EUR", "USDT", "SOL"]
    assert read["legs"][2] == {"symbol": "SOL/EUR", "side": "sell"}
    assert (read["edge_bps"], read["size"], read["profit"]) == (
        FOUND.edge_bps,
        FOUND.size,
        FOUND.profit,
    )
    assert read["orders"] == [
        {
            "symbol": "USDT/EUR",
            "side": "buy",
            "qty": Decimal("2500.1"),
            "limit_price": Decimal("0.9168"),
        }
    ]


def test_blocked_cycle_has_the_reason_in_place_of_orders():
    blocked = attrs.evolve(FOUND, orders=(), blocked='SOL/EUR: "0.001" is below 0.02')
    read = json.loads(encode(blocked, 1))
    assert read["blocked"] == 'SOL/EUR: "0.001" is below 0.02'
    assert "orders" not in read


def test_line_of_a_basket_has_its_weights():
    basket = make_basket({"BTC/USD": "0.5", "ETH/USD": "-0.5"})
    assert json.loads(encode(basket, 1))["weights"] == [0.5, -0.5]
    assert "weights" not in encode(FOUND, 1)


def test_missing_timestamp_is_null():
    assert json.loads(encode(attrs.evolve(FOUND, timestamp=None), 1))["timestamp"] is None


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_every_finite_number_comes_back_to_the_last_digit(value):
    assert Decimal(json.loads(number(value), parse_float=str, parse_int=str)) == value


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_no_number_is_never_written(value):
    with pytest.raises(ValueError, match="can't be written as a JSON number"):
        number(Decimal(value))


def test_store_replaces_the_file_and_writes_a_line_for_each_sighting(tmp_path):
    path = tmp_path / "found.jsonl"
    path.write_text("old")
    store = PluginRegistry.of([]).make_store(Settings(), f"jsonl:{path}")
    for line in (3, 5):
        store.write(FOUND, line)
    store.close()
    store.close()
    assert [json.loads(row)["line"] for row in path.read_bytes().split(b"\n")[:-1]] == [3, 5]


def test_dash_is_standard_output_and_stays_open(capsys):
    store = JsonLinesStore("-")
    store.write(FOUND, 1)
    store.close()
    print("still open")
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[0])["line"] == 1
    assert lines[1] == "still open"


def test_path_with_a_colon_is_a_path(tmp_path):
    if os.name == "nt":
        pytest.skip("Windows has no such paths")
    path = tmp_path / "a:b.jsonl"
    PluginRegistry.of([]).make_store(Settings(), f"jsonl:{path}").close()
    assert path.read_bytes() == b""


def test_missing_path_is_wrong_usage():
    with pytest.raises(UsageError, match="no path; write jsonl:FILE"):
        JsonLinesStore("")


def test_file_that_cannot_be_opened_is_a_clear_error(tmp_path):
    with pytest.raises(StoreError, match=r"found\.jsonl: can't be written \(No such file"):
        JsonLinesStore(str(tmp_path / "missing" / "found.jsonl"))


class FullDisk(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        raise OSError(28, "No space left on device")


def test_full_disk_is_a_clear_error_while_writing_and_while_closing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", FullDisk())
    store = JsonLinesStore("-")
    for fail in (lambda: store.write(FOUND, 1), store.close):
        with pytest.raises(ArbitradeError, match=r"No space left on device.*make room"):
            fail()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_device_is_reported_at_the_latest_on_closing():
    store = JsonLinesStore("/dev/full")
    store.write(FOUND, 1)
    with pytest.raises(StoreError, match="No space left"):
        store.close()


def test_reader_that_went_away_is_not_taken_for_a_full_disk(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(BrokenPipeError):
        JsonLinesStore("-").write(FOUND, 1)
