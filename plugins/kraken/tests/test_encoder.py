"""What we write reads back as itself; instruments from files."""

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from arbitrade import Instruments, OrderBook
from arbitrade.errors import MessageError
from arbitrade.models import (
    BookDelta,
    InstrumentsChanged,
    InstrumentStatus,
    Subscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade_kraken.instruments import read_instruments_file
from arbitrade_kraken.market import encoder
from arbitrade_kraken.market.checksum import book_checksum
from arbitrade_kraken.market.decoder import KrakenDecoder

ASSET_PAIRS = {
    "error": [],
    "result": {
        "XXBTZUSD": {
            "altname": "XBTUSD",
            "wsname": "XBT/USD",
            "aclass_base": "currency",
            "base": "XXBT",
            "quote": "ZUSD",
            "cost_decimals": 5,
            "pair_decimals": 1,
            "lot_decimals": 8,
            "fees": [],
            "ordermin": "0.00005",
            "costmin": "0.5",
            "tick_size": "0.1",
            "status": "online",
        },
        "XIONEUR": {
            "altname": "XIONEUR",
            "wsname": "XION/EUR",
            "aclass_base": "currency",
            "base": "XION",
            "quote": "ZEUR",
            "cost_decimals": 5,
            "pair_decimals": 4,
            "lot_decimals": 5,
            "ordermin": "5",
            "costmin": "0.45",
            "tick_size": "0.0001",
        },
        "AAPLxUSD": {"wsname": "AAPLx/USD", "aclass_base": "tokenized_asset"},
    },
}


def read(content: object) -> InstrumentsChanged:
    return read_instruments_file(json.dumps(content).encode())


def test_asset_pairs_become_instruments_under_their_v2_names() -> None:
    btc, xion = read(ASSET_PAIRS).pairs
    assert (btc.symbol, btc.base, btc.quote) == ("BTC/USD", "BTC", "USD")
    assert (btc.price_precision, btc.quantity_precision, btc.cost_precision) == (1, 8, 5)
    assert btc.price_increment == Decimal("0.1")
    assert btc.quantity_increment == Decimal("1e-8")
    assert btc.minimum_quantity == Decimal("0.00005")
    assert btc.minimum_notional == Decimal("0.5")
    assert xion.symbol == "XION/EUR"


def test_a_pair_without_a_status_is_not_tradable_until_the_channel_says_so() -> None:
    xion = read(ASSET_PAIRS).pairs[1]
    assert xion.status is InstrumentStatus.UNKNOWN
    assert not xion.is_online


def test_the_result_alone_is_read_too() -> None:
    assert read(ASSET_PAIRS["result"]) == read(ASSET_PAIRS)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b'{"result": {"X": {}}}', b"\xff"])
def test_a_file_that_is_neither_says_what_would_be(content: bytes) -> None:
    with pytest.raises(MessageError, match="instruments file"):
        read_instruments_file(content)


def test_a_broken_row_names_the_pair_and_the_field() -> None:
    row = {**ASSET_PAIRS["result"]["XXBTZUSD"], "ordermin": "much"}  # type: ignore[index]
    with pytest.raises(MessageError, match=r"XBT/USD has ordermin 'much'"):
        read({"result": {"XXBTZUSD": row}})


def test_written_frames_read_back_as_what_they_were_written_from() -> None:
    change = read(ASSET_PAIRS)
    decoder = KrakenDecoder()
    again = decoder.decode(encoder.write_instruments(Instruments(change.pairs, change.assets)))
    assert isinstance(again, InstrumentsChanged)
    assert again.pairs == change.pairs

    book = OrderBook(change.pairs[0], 10)
    book.load([(452835, 10_000_000), (452834, 154_582_015)], [(452852, 100_000)])
    frame = encoder.write_snapshot(book, "2026-09-14T08:21:36.977310Z")
    snapshot = decoder.decode(frame)
    assert isinstance(snapshot, BookDelta)
    assert snapshot.is_snapshot
    assert list(snapshot.bids) == list(book.bids)
    assert list(snapshot.asks) == list(book.asks)
    assert snapshot.checksum == book_checksum(book)
    assert snapshot.timestamp == "2026-09-14T08:21:36.977310Z"
    assert b'"price":45283.5,"qty":0.10000000' in frame

    assert decoder.decode(encoder.write_subscribed("BTC/USD", 25)) == Subscribed("BTC/USD", 25)
    state = encoder.write_state(VenueState.POST_ONLY)
    assert decoder.decode(state) == VenueStateChanged(VenueState.POST_ONLY)


@pytest.mark.parametrize(
    ("units", "precision", "text"),
    [(17231, 2, "172.31"), (51, 8, "0.00000051"), (0, 8, "0.00000000"), (45281, 0, "45281")],
)
def test_fixed_notation_has_exactly_the_decimals(units: int, precision: int, text: str) -> None:
    assert encoder.fixed(units, precision) == text


def test_the_january_2026_answer_is_read_whole() -> None:
    folder = os.environ.get("ARBITRADE_SHARED_DATA")
    if folder is None:
        pytest.skip("ARBITRADE_SHARED_DATA is not set: the full AssetPairs answer isn't here")
    content = (Path(folder) / "kraken" / "rest-assetpairs-20260112.json").read_bytes()
    instruments = Instruments(read_instruments_file(content).pairs)
    assert len(instruments) == 1434
    assert len(instruments.online()) == 1365
    assert instruments["BTC/USD"].minimum_quantity == Decimal("0.00005")
    assert instruments["DOGE/BTC"].price_increment == Decimal("0.000000001")


def test_the_instrument_snapshot_of_april_2024_is_read_whole() -> None:
    folder = os.environ.get("ARBITRADE_SHARED_DATA")
    if folder is None:
        pytest.skip("ARBITRADE_SHARED_DATA is not set: the full instrument snapshot isn't here")
    content = (Path(folder) / "kraken" / "ws-v2-instrument-snapshot-20240403.json").read_bytes()
    change = read_instruments_file(content)
    assert len(change.pairs) == 683
    assert len(change.assets) == 296
    assert len(Instruments(change.pairs).online()) == 672
