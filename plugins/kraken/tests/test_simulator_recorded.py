"""A recording as the simulated exchange's market."""

import os
from collections.abc import Sequence
from decimal import Decimal as D
from pathlib import Path

import orjson
import pytest

from arbitrade.clock import ReplayClock
from arbitrade.models import Side
from arbitrade.synthetic import MarketSettings, SyntheticMarket
from arbitrade_kraken.simulator.exchange.events import BookChanged, ExchangeEvent
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.exchange.orders import NewOrder
from arbitrade_kraken.simulator.exchange.recorded import RecordedMarket, recorded_pairs

START = 1_767_603_600_000_000_000


def synthetic() -> Sequence[bytes]:
    market = SyntheticMarket(MarketSettings(seed=5, pairs=6, frames=3_000, duplicate_share=0.0))
    return tuple(market.frames())


def play(frames: Sequence[bytes], *, is_endless: bool = False) -> Exchange:
    listed = recorded_pairs(frames, ListedPairs.load())
    market = RecordedMarket(frames, is_endless=is_endless)
    return Exchange(listed, market, ReplayClock(START))


def entries(frames: Sequence[bytes]) -> list[dict[str, object]]:
    messages = [orjson.loads(frame) for frame in frames]
    return [m["data"][0] for m in messages if m.get("channel") == "book"]


def test_untouched_the_books_are_those_of_the_recording_with_its_checksums() -> None:
    frames = synthetic()
    exchange = play(frames)
    assert len(exchange.listed.pairs) == 6
    for entry in entries(frames):
        exchange.step()
        symbol = entry["symbol"]
        assert isinstance(symbol, str)
        assert exchange.book(symbol, 10).checksum == entry["checksum"]
    exchange.step()
    assert exchange.is_over
    exchange.step()


def test_subscribers_of_a_recording_are_told_what_changed() -> None:
    frames = synthetic()
    exchange = play(frames)
    for _ in range(6):
        exchange.step()
    heard: list[ExchangeEvent] = []
    exchange.listen(heard.append)
    for symbol in exchange.listed.pairs:
        exchange.watch(symbol, 10)
    recorded = entries(frames)[6:]
    for _ in recorded:
        exchange.step()
    told = [event.checksum for event in heard if isinstance(event, BookChanged)]
    assert told == [entry["checksum"] for entry in recorded]


def test_what_we_take_stays_taken_until_the_recording_removes_the_price() -> None:
    frames = synthetic()
    exchange = play(frames)
    for _ in range(6):
        exchange.step()
    exchange.hand.open_account("alice", {"USD": D(10_000_000)})
    view, pair = exchange.book("BTC/USD", 10), exchange.pair("BTC/USD")
    ticks, lots = view.asks[0]
    price = D(ticks).scaleb(-pair.price_decimals)
    quantity = D(lots // 2).scaleb(-pair.lot_decimals)
    order = NewOrder(
        symbol="BTC/USD", side=Side.BUY, quantity=quantity, limit_price=price, time_in_force="ioc"
    )
    placed = exchange.add_order("alice", order).order
    assert placed is not None
    assert placed.status == "filled"
    assert exchange.book("BTC/USD", 10).asks[0] == (ticks, lots - lots // 2)
    for _ in range(2_900):
        exchange.step()
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_an_order_of_ours_in_the_way_of_the_recording_is_filled() -> None:
    exchange = play(synthetic())
    for _ in range(6):
        exchange.step()
    exchange.hand.open_account("alice", {"USD": D(10_000_000), "EUR": D(1_000_000)})
    for symbol in ("BTC/USD", "EUR/USD", "BTC/EUR"):
        pair, view = exchange.pair(symbol), exchange.book(symbol, 10)
        price = D(view.asks[0][0]).scaleb(-pair.price_decimals) - pair.tick
        order = NewOrder(
            symbol=symbol, side=Side.BUY, quantity=pair.minimum_quantity * 10, limit_price=price
        )
        exchange.add_order("alice", order)
    for _ in range(2_900):
        exchange.step()
    assert exchange.inquiry.fills("alice")
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_a_recording_can_begin_again() -> None:
    frames = synthetic()[:40]
    exchange = play(frames, is_endless=True)
    for _ in range(500):
        exchange.step()
        assert not exchange.is_over
    empty = Exchange(
        ListedPairs.load().only([]), RecordedMarket([], is_endless=True), ReplayClock(START)
    )
    empty.step()
    assert empty.is_over


def test_a_recorded_day_of_the_venue_keeps_every_checksum() -> None:
    shared = os.environ.get("ARBITRADE_SHARED_DATA")
    if not shared:
        pytest.skip("ARBITRADE_SHARED_DATA names no folder with recordings")
    lines = (Path(shared) / "kraken" / "ws-v2-btcusd-d10-20230730.jsonl").read_bytes().splitlines()
    exchange = play(lines)
    assert list(exchange.listed.pairs) == ["BTC/USD"]
    for entry in entries(lines):
        exchange.step()
        assert exchange.book("BTC/USD", 10).checksum == entry["checksum"]
