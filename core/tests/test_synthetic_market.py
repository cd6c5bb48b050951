"""The synthetic market speaks as the venue does, and tells the truth about itself."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard

from arbitrade.synthetic import MarketSettings, SyntheticMarket
from arbitrade.synthetic.__main__ import main

ROUGH = MarketSettings(seed=5, pairs=30, frames=6_000).rough()

DIGEST = "ed92ddc90f0f42605782ec3f04c1740f37372ed4e4d192e8e0379c94a65a80f8"


class Subscriber:
    """What a client holds that does as the documentation says, in text and decimals only."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.precisions: dict[str, tuple[int, int]] = {}
        self.books: dict[str, dict[str, dict[Decimal, Decimal]]] = {}
        self.lost: set[str] = set()

    def on_frame(self, frame: bytes) -> list[tuple[str, str, bool]]:
        """Return (symbol, kind, whether the checksum is right) of each entry."""
        message = json.loads(frame, parse_float=Decimal)
        if message.get("channel") == "instrument":
            for row in message["data"]["pairs"]:
                digits = row["price_precision"], row["qty_precision"]
                if self.precisions.get(row["symbol"], digits) != digits:
                    self.lost.add(row["symbol"])
                self.precisions[row["symbol"]] = digits
        if message.get("channel") != "book":
            return []
        return [self._apply(entry, message["type"]) for entry in message["data"]]

    def _apply(self, entry: dict[str, Any], kind: str) -> tuple[str, str, bool]:
        symbol = entry["symbol"]
        if kind == "snapshot":
            self.books[symbol] = {"bids": {}, "asks": {}}
            self.lost.discard(symbol)
        book = self.books[symbol]
        text = ""
        for name in ("asks", "bids"):
            for level in entry[name]:
                if level["qty"]:
                    book[name][Decimal(level["price"])] = Decimal(level["qty"])
                else:
                    book[name].pop(Decimal(level["price"]), None)
            prices = sorted(book[name], reverse=name == "bids")
            for price in prices[self.depth :]:
                del book[name][price]
            for price in prices[: min(10, self.depth)]:
                for value, digits in zip(
                    (price, book[name][price]), self.precisions[symbol], strict=True
                ):
                    text += f"{value:.{digits}f}".replace(".", "").lstrip("0")
        return symbol, kind, zlib.crc32(text.encode()) == entry["checksum"]


def books_of(frames: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for frame in frames:
        message = json.loads(frame, parse_float=Decimal)
        if message.get("channel") == "book":
            yield message


def test_same_settings_give_the_same_bytes() -> None:
    first = SyntheticMarket(ROUGH)
    assert list(first.frames()) == list(SyntheticMarket(ROUGH).frames())
    assert list(first.frames()) == list(first.frames()), "a market can be begun again"


def test_bytes_are_those_of_every_machine_and_python() -> None:
    """If this fails on a new platform, something the market uses is not portable."""
    digest = hashlib.sha256(b"\n".join(SyntheticMarket(ROUGH).frames())).hexdigest()
    assert digest == DIGEST


def test_hash_seed_does_not_matter() -> None:
    code = (
        "import hashlib; from arbitrade.synthetic import *;"
        "m = SyntheticMarket(MarketSettings(seed=5, pairs=30, frames=500).rough());"
        "print(hashlib.sha256(b''.join(m.frames())).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_other_seed_is_another_market() -> None:
    settings = MarketSettings(pairs=5, frames=10)
    other = MarketSettings(pairs=5, frames=10, seed=2)
    assert list(SyntheticMarket(settings).frames()) != list(SyntheticMarket(other).frames())


def test_opening_is_status_instruments_acknowledgements_then_snapshots() -> None:
    market = SyntheticMarket(MarketSettings(pairs=20, frames=0))
    messages = [json.loads(frame) for frame in market.frames()]
    assert messages[0]["channel"] == "status"
    assert messages[1]["result"]["channel"] == "instrument"
    assert messages[2]["channel"] == "instrument"
    assert [row["symbol"] for row in messages[2]["data"]["pairs"]] == list(market.instruments)
    acknowledged = [m["result"]["symbol"] for m in messages[3:23]]
    assert acknowledged == list(market.instruments)
    snapshots = [m["data"][0]["symbol"] for m in messages[23:] if m["type"] == "snapshot"]
    assert snapshots == list(market.instruments)


def test_instrument_frame_writes_small_numbers_with_exponents() -> None:
    frame = next(
        frame
        for frame in SyntheticMarket(MarketSettings(pairs=20, frames=0)).frames()
        if b'"instrument","type"' in frame
    )
    assert b'"qty_increment":1e-08' in frame


@pytest.mark.parametrize("depth", [10, 25])
def test_subscriber_who_cuts_to_the_depth_holds_the_truth_after_every_frame(depth: int) -> None:
    market = SyntheticMarket(MarketSettings(seed=3, pairs=30, frames=4_000, depth=depth))
    subscriber = Subscriber(depth)
    for frame in market.frames():
        for symbol, _, is_right in subscriber.on_frame(frame):
            assert is_right
            pair = market.instruments[symbol]
            bids, asks = market.levels(symbol)
            for name, levels in (("bids", bids), ("asks", asks)):
                assert subscriber.books[symbol][name] == {
                    Decimal(ticks).scaleb(-pair.price_precision): Decimal(lots).scaleb(
                        -pair.quantity_precision
                    )
                    for ticks, lots in levels
                }


def test_subscriber_who_does_not_cut_is_found_out_by_checksums() -> None:
    """The venue never says that a level fell out of the window."""
    market = SyntheticMarket(MarketSettings(seed=3, pairs=10, frames=2_000))
    careless = Subscriber(1_000)
    right = Counter(
        is_right for frame in market.frames() for _, _, is_right in careless.on_frame(frame)
    )
    assert right[False] > right[True]


def test_clean_market_is_never_crossed_nor_one_sided() -> None:
    market = SyntheticMarket(MarketSettings(seed=4, pairs=40, frames=4_000))
    for message in books_of(market.frames()):
        bids, asks = market.levels(message["data"][0]["symbol"])
        assert bids[0][0] < asks[0][0]


def test_numbers_have_exactly_the_decimals_of_their_pair() -> None:
    market = SyntheticMarket(MarketSettings(seed=4, pairs=40, frames=500))
    for frame in market.frames():
        message = json.loads(frame, parse_float=str, parse_int=str)
        if message.get("channel") != "book":
            continue
        (entry,) = message["data"]
        pair = market.instruments[entry["symbol"]]
        for level in entry["bids"] + entry["asks"]:
            assert len(level["price"].partition(".")[2]) == pair.price_precision
            assert len(level["qty"].partition(".")[2]) == pair.quantity_precision


def test_every_oddity_of_the_venue_occurs() -> None:
    market = SyntheticMarket(MarketSettings(seed=6, pairs=60, frames=8_000).rough())
    duplicates = both_sides = unordered = several = 0
    for message in books_of(market.frames()):
        several += len(message["data"]) > 1
        for entry in message["data"]:
            both_sides += bool(entry["bids"] and entry["asks"] and message["type"] == "update")
            prices = [level["price"] for level in entry["asks"]]
            duplicates += len(set(prices)) < len(prices)
            unordered += prices != sorted(prices)
    assert min(duplicates, both_sides, unordered, several) > 0
    names = {"heartbeats", "edges", "lost", "corrupted", "precision_changes", "status_changes"}
    names |= {"engine_changes", "crossed", "one_sided", "trimmed", "reordered", "batched"}
    for name in names:
        assert market.counters[name] > 0, name


def test_faults_show_in_checksums_and_a_snapshot_heals_them() -> None:
    market = SyntheticMarket(ROUGH)
    subscriber = Subscriber(10)
    wrong: Counter[str] = Counter()
    for frame in market.frames():
        for symbol, kind, is_right in subscriber.on_frame(frame):
            if kind == "snapshot":
                assert is_right
            elif symbol in subscriber.lost or market.is_disturbed(symbol):
                wrong["disturbed"] += not is_right
            else:
                assert is_right
    assert wrong["disturbed"] > 20


def test_some_books_are_thin_and_some_amounts_exceed_a_double() -> None:
    market = SyntheticMarket(MarketSettings(seed=6, pairs=200, frames=0, thin_share=0.2))
    list(market.frames())
    books = [market.levels(symbol) for symbol in market.instruments]
    assert any(len(bids) < 10 for bids, _ in books)
    assert any(lots > 2**53 for bids, asks in books for _, lots in bids + asks)
    steps = [
        pair.price_increment.scaleb(pair.price_precision) for pair in market.instruments.values()
    ]
    assert any(step > 1 for step in steps)
    for pair, step in zip(market.instruments.values(), steps, strict=True):
        bids, asks = market.levels(pair.symbol)
        assert all(ticks % int(step) == 0 for ticks, _ in bids + asks)


def test_universe_has_the_venues_proportions() -> None:
    market = SyntheticMarket(MarketSettings(pairs=700, frames=0))
    quotes = Counter(pair.quote for pair in market.instruments.values())
    assert len(market.instruments) == 700
    assert quotes["USD"] > 250
    assert quotes["EUR"] > 230
    assert sum(quotes.values()) - quotes["USD"] - quotes["EUR"] < 200


@pytest.mark.parametrize(("density", "lowest", "highest"), [(-1, 0.0, 0.1), (1, 6.0, 8.5)])
def test_density_lists_coins_against_fewer_or_more_assets_among_as_many_pairs(
    density: float, lowest: float, highest: float
) -> None:
    settings = MarketSettings(seed=3, pairs=1_500, frames=0, quote_density=density)
    pairs = SyntheticMarket(settings).instruments.values()
    assert len(pairs) == 1_500
    quotes = Counter(pair.base for pair in pairs)
    symbols = {pair.symbol for pair in pairs}
    coins = [base for base in quotes if f"{base}/USD" in symbols]
    beyond_usd = sum(quotes[base] - 1 for base in coins) / len(coins)
    assert lowest <= beyond_usd <= highest


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_command_writes_a_recording(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"market.jsonl{suffix}"
    arguments = ["--seed", "3", "--pairs", "8", "--frames", "50", "--edge-bps", "1", "9"]
    assert main([*arguments, "--rough", "--out", str(out)]) == 0
    content = out.read_bytes()
    if suffix == ".gz":
        content = gzip.decompress(content)
    elif suffix == ".zst":
        content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
    settings = MarketSettings(seed=3, pairs=8, frames=50, edge_bps=(1.0, 9.0)).rough()
    assert content.splitlines() == list(SyntheticMarket(settings).frames())
    assert "8 pairs" in capsys.readouterr().err


def test_command_refuses_what_is_no_market(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--pairs", "2", "--out", "-"])
    assert refused.value.code == 2
    assert "'pairs' must be >= 3" in capsys.readouterr().err
