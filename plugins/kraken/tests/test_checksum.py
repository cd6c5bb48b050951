"""The venue's CRC-32, on its own published example and on recorded traffic."""

import os
from pathlib import Path

import pytest

from arbitrade import OrderBook
from arbitrade.models import Batch, BookDelta
from arbitrade_kraken.convert import convert
from arbitrade_kraken.instruments import read_instruments_file
from arbitrade_kraken.market.checksum import book_checksum
from arbitrade_kraken.market.decoder import KrakenDecoder

HERE = Path(__file__).parent

ASKS = (
    "45285.2 0.00100000, 45286.4 1.54571953, 45286.6 1.54571109, 45289.6 1.54560911, "
    "45290.2 0.15890660, 45291.8 1.54553491, 45294.7 0.04454749, 45296.1 0.35380000, "
    "45297.5 0.09945542, 45299.5 0.18772827"
)
BIDS = (
    "45283.5 0.10000000, 45283.4 1.54582015, 45282.1 0.10000000, 45281.0 0.10000000, "
    "45280.3 1.54592586, 45279.0 0.07990000, 45277.6 0.03310103, 45277.5 0.30000000, "
    "45277.3 1.54602737, 45276.6 0.15445238"
)


def frame(kind: str, symbol: str, bids: str, asks: str, checksum: int) -> bytes:
    def side(text: str) -> str:
        levels = [level.split() for level in text.split(", ") if level]
        return ",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in levels)

    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{side(bids)}],'
        f'"asks":[{side(asks)}],"checksum":{checksum}}}]}}'
    ).encode()


def instruments_of(symbol: str, price_precision: int, quantity_precision: int) -> bytes:
    base, quote = symbol.split("/")
    return (
        f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[],"pairs":[{{"symbol":'
        f'"{symbol}","base":"{base}","quote":"{quote}","status":"online","qty_precision":'
        f'{quantity_precision},"qty_increment":1e-08,"price_precision":{price_precision},'
        f'"cost_min":0.5,"price_increment":{10.0**-price_precision},"qty_min":0.0001}}]}}}}'
    ).encode()


def verify(frames: list[bytes], depth: int = 10) -> tuple[int, int]:
    """Return how many checksums are right and wrong; nothing is skipped after a wrong one."""
    decoder = KrakenDecoder()
    instruments = None
    books: dict[str, OrderBook] = {}
    right = wrong = 0
    for one in frames:
        if b'"instrument"' in one[:40]:
            instruments = {pair.symbol: pair for pair in read_instruments_file(one).pairs}
        event = decoder.decode(one)
        for delta in event.events if isinstance(event, Batch) else (event,):
            if not isinstance(delta, BookDelta):
                continue
            assert instruments is not None
            if delta.is_snapshot:
                books[delta.symbol] = OrderBook(instruments[delta.symbol], depth)
                books[delta.symbol].load(delta.bids, delta.asks)
            else:
                books[delta.symbol].apply(delta.bids, delta.asks)
            is_right = book_checksum(books[delta.symbol]) == delta.checksum
            right, wrong = right + is_right, wrong + (not is_right)
    return right, wrong


def test_the_published_vector_is_reproduced() -> None:
    frames = [
        instruments_of("BTC/USD", 1, 8),
        frame("snapshot", "BTC/USD", BIDS, ASKS, 3310070434),
    ]
    assert verify(frames) == (1, 0)


def test_a_book_of_fewer_than_ten_levels_and_its_update() -> None:
    frames = [
        instruments_of("SOL/EUR", 2, 8),
        frame(
            "snapshot",
            "SOL/EUR",
            "172.28 3.07500000, 172.25 41.00000000, 172.10 0.06000000",
            "172.31 14.20000000, 172.33 0.58100000, 172.40 210.00000000",
            2006718726,
        ),
        frame(
            "update",
            "SOL/EUR",
            "172.29 1.25000000",
            "172.31 0.00000000, 172.41 5.00000000",
            4111740976,
        ),
    ]
    assert verify(frames) == (2, 0)


def shared(name: str) -> Path:
    folder = os.environ.get("ARBITRADE_SHARED_DATA")
    if folder is None:
        pytest.skip(f"ARBITRADE_SHARED_DATA is not set: {name} isn't here")
    return Path(folder) / "kraken" / name


def test_recorded_btcusd_every_checksum_is_right() -> None:
    lines = shared("ws-v2-btcusd-d10-20230730.jsonl").read_bytes().splitlines()
    assert verify(lines) == (510, 0)


def test_recorded_ethbtc_is_right_with_six_decimals_and_wrong_with_five() -> None:
    lines = shared("ws-v2-session-ethbtc-d10-20260826.ndjson").read_bytes().splitlines()
    assert verify([instruments_of("ETH/BTC", 6, 8), *lines]) == (2, 0)
    # With five decimals the sixth does not fit: refused as unreadable, nothing is verified.
    assert verify([instruments_of("ETH/BTC", 5, 8), *lines]) == (0, 0)


def test_recorded_gstusd_snapshot_is_right() -> None:
    content = shared("ws-v2-book-snapshot-gstusd-d10.json").read_bytes()
    assert verify([instruments_of("GST/USD", 3, 8), content]) == (1, 0)


def test_recorded_minagbp_session_is_right_across_its_resubscription() -> None:
    with shared("ws-v2-session-minagbp-d25-20260818.ndjson").open("rb") as capture:
        lines = list(convert(capture, instruments_of("MINA/GBP", 4, 8)))
    from arbitrade.recording.reader import _split

    frames = [lines[0], *(_split(line)[0] for line in lines[1:])]
    assert verify(frames, depth=25) == (19, 0)
