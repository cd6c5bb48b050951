"""The simulator's market channels: books that add up, instruments, tickers, trades, candles."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from zlib import crc32

import attrs
import pytest

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.generated_settings import GeneratedMarketSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.probe import SocketProbe, probing
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "SOL/USD", "SOL/EUR", "EUR/USD")
NOON_NS = 1_789_387_200_000_000_000


@asynccontextmanager
async def simulator(
    symbols: tuple[str, ...] = SYMBOLS, **market: Any
) -> AsyncIterator[RunningSimulator]:
    """A simulator without delays whose market and clock move only when told."""
    settings = SimulatorSettings(
        symbols=symbols,
        rate=0,
        wire=attrs.evolve(WireSettings().prompt(), heartbeat_s=0),
        market=GeneratedMarketSettings(seed=5, **market),
    )
    async with running_simulator(settings, MovableClock(NOON_NS)) as running:
        yield running


class LocalBook:
    """A book kept as the venue's guide says, written a second time on purpose."""

    def __init__(self, depth: int, decimals: tuple[int, int]) -> None:
        self.depth, self.decimals = depth, decimals
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}

    def apply(self, frame: dict[str, Any]) -> bool:
        """Apply a frame; True if its checksum is right."""
        (row,) = frame["data"]
        if frame["type"] == "snapshot":
            self.bids.clear()
            self.asks.clear()
        for name, side in (("bids", self.bids), ("asks", self.asks)):
            for entry in row[name]:
                if entry["qty"]:
                    side[entry["price"]] = entry["qty"]
                else:
                    side.pop(entry["price"], None)
            for price in sorted(side, reverse=name == "bids")[self.depth :]:
                del side[price]
        return self.checksum() == row["checksum"]

    def checksum(self) -> int:
        asks = sorted(self.asks.items())[:10]
        bids = sorted(self.bids.items(), reverse=True)[:10]
        digits = [
            f"{number:.{decimals}f}".replace(".", "").lstrip("0")
            for level in (*asks, *bids)
            for number, decimals in zip(level, self.decimals, strict=True)
        ]
        return crc32("".join(digits).encode())


def follow(running: RunningSimulator, symbol: str, depth: int) -> LocalBook:
    pair = running.exchange.pair(symbol)
    return LocalBook(depth, (pair.price_decimals, pair.lot_decimals))


async def subscribed(
    probe: SocketProbe, symbol: str = "SOL/EUR", depth: int = 10
) -> dict[str, Any]:
    answer = await probe.ask("subscribe", channel="book", symbol=[symbol], depth=depth)
    assert answer["success"]
    return await probe.update("book", "snapshot")


def book_frames(probe: SocketProbe, symbol: str) -> list[dict[str, Any]]:
    return [
        frame
        for frame in probe.frames
        if frame.get("channel") == "book" and frame["data"][0]["symbol"] == symbol
    ]


def venue_levels(running: RunningSimulator, symbol: str, depth: int) -> Any:
    pair, book = running.exchange.pair(symbol), running.exchange.book(symbol, depth)
    return tuple(
        [
            (Decimal(t).scaleb(-pair.price_decimals), Decimal(q).scaleb(-pair.lot_decimals))
            for t, q in side
        ]
        for side in (book.bids, book.asks)
    )


@pytest.mark.parametrize("depth", [10, 25, 100, 500, 1000])
async def test_books_add_up_to_the_venues_own_over_thousands_of_updates(depth: int):
    async with simulator() as running, probing(running.ws) as probe:
        books = {symbol: follow(running, symbol, depth) for symbol in SYMBOLS}
        await probe.ask("subscribe", channel="book", symbol=list(SYMBOLS), depth=depth)
        for _ in range(1500):
            running.exchange.step()
        await probe.settle()
        for symbol, book in books.items():
            frames = book_frames(probe, symbol)
            assert all(book.apply(frame) for frame in frames)
            bids, asks = venue_levels(running, symbol, depth)
            assert sorted(book.bids.items(), reverse=True) == bids
            assert sorted(book.asks.items()) == asks
        assert sum(len(book_frames(probe, symbol)) for symbol in SYMBOLS) > 500


async def test_a_new_level_in_sight_comes_with_the_removal_and_one_out_of_sight_without_a_word():
    async with simulator() as running, probing(running.ws) as probe:
        book = follow(running, "BTC/USD", 10)
        assert book.apply(await subscribed(probe, "BTC/USD"))
        for _ in range(6000):
            running.exchange.step()
        await probe.settle()
        fell_out = removed = 0
        for frame in book_frames(probe, "BTC/USD")[1:]:
            before = {"bids": set(book.bids), "asks": set(book.asks)}
            assert book.apply(frame)
            after = {"bids": set(book.bids), "asks": set(book.asks)}
            for side in ("bids", "asks"):
                gone = before[side] - after[side]
                told = {e["price"] for e in frame["data"][0][side] if not e["qty"]}
                removed += len(gone & told)
                fell_out += len(gone - told)
                assert len(after[side]) == 10  # never short: what comes into sight was told too
        assert removed > 20
        assert fell_out > 20


async def test_book_numbers_have_exactly_the_pairs_decimals_and_no_exponents():
    symbols = ("BTC/USD", "PEPE/USD", "SHIB/USD", "SOL/EUR", "ETH/BTC", "BTC/EUR")
    async with simulator(symbols) as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="book", symbol=list(symbols))
        for _ in range(300):
            running.exchange.step()
        await probe.settle()
        checked = 0
        for text in probe.texts:
            if '"channel":"book"' not in text:
                continue
            symbol = re.search(r'"symbol":"([^"]+)"', text)
            assert symbol is not None
            pair = running.exchange.pair(symbol[1])
            price, quantity = (rf"\d+\.\d{{{n}}}" for n in (pair.price_decimals, pair.lot_decimals))
            level = rf'\{{"price":{price},"qty":{quantity}\}}'
            levels = re.findall(r'\{"price":[^}]*\}', text)
            assert all(re.fullmatch(level, found) for found in levels)
            checked += len(levels)
        assert checked > 300


async def test_entries_come_in_no_order_on_both_sides_and_a_price_now_and_then_twice():
    async with simulator(duplicate_share=0.3) as running, probing(running.ws) as probe:
        book = follow(running, "BTC/USD", 10)
        await subscribed(probe, "BTC/USD")
        for _ in range(5000):
            running.exchange.step()
        await probe.settle()
        twice = unordered = both = 0
        for frame in book_frames(probe, "BTC/USD"):
            assert book.apply(frame)
            row = frame["data"][0]
            if frame["type"] == "snapshot":
                continue
            both += bool(row["bids"]) and bool(row["asks"])
            for side in ("bids", "asks"):
                prices = [entry["price"] for entry in row[side]]
                twice += len(prices) != len(set(prices))
                unordered += prices not in (sorted(prices), sorted(prices, reverse=True))
        assert twice > 10
        assert unordered > 10
        assert both > 10


async def test_a_book_may_have_fewer_than_ten_levels():
    symbols = ("SOL/USD", "SOL/EUR", "ADA/USD", "ADA/EUR", "EUR/USD")
    async with simulator(symbols, thin_share=1.0) as running, probing(running.ws) as probe:
        books = {symbol: follow(running, symbol, 10) for symbol in symbols}
        await probe.ask("subscribe", channel="book", symbol=list(symbols))
        for _ in range(500):
            running.exchange.step()
        await probe.settle()
        assert all(book.apply(f) for s, book in books.items() for f in book_frames(probe, s))
        assert any(len(book.asks) < 10 for book in books.values())


async def test_a_checksum_can_be_corrupted_once():
    async with simulator() as running, probing(running.ws) as probe:
        book = follow(running, "BTC/USD", 10)
        assert book.apply(await subscribed(probe, "BTC/USD"))
        running.faults.inject("corrupt_checksum", symbol="BTC/USD")
        for _ in range(500):
            running.exchange.step()
        await probe.settle()
        verdicts = [book.apply(frame) for frame in book_frames(probe, "BTC/USD")[1:]]
        assert verdicts[0] is False
        assert all(verdicts[1:])
        assert running.faults.counts()["corrupt_checksum"] == 1


async def test_a_dropped_frame_shows_in_a_later_checksum():
    async with simulator() as running, probing(running.ws) as probe:
        book = follow(running, "BTC/USD", 10)
        assert book.apply(await subscribed(probe, "BTC/USD"))
        running.faults.inject("dropped_frame", symbol="BTC/USD")
        for _ in range(800):
            running.exchange.step()
        await probe.settle()
        assert not all(book.apply(frame) for frame in book_frames(probe, "BTC/USD")[1:])


async def test_a_fresh_snapshot_after_a_new_subscription_looks_like_the_first():
    async with simulator() as running, probing(running.ws) as probe:
        await subscribed(probe)
        answer = await probe.ask("unsubscribe", channel="book", symbol=["SOL/EUR"], depth=10)
        assert answer["method"] == "unsubscribe"
        assert answer["success"]
        frames = len(book_frames(probe, "SOL/EUR"))
        for _ in range(300):
            running.exchange.step()
        await probe.settle()
        assert len(book_frames(probe, "SOL/EUR")) == frames
        book = follow(running, "SOL/EUR", 10)
        assert book.apply(await subscribed(probe))


async def test_a_second_subscription_and_an_end_of_none_are_refused():
    async with simulator() as running, probing(running.ws) as probe:
        await subscribed(probe)
        twice = await probe.ask("subscribe", channel="book", symbol=["SOL/EUR"])
        assert twice["error"] == WireSettings().already_subscribed
        other_depth = await probe.ask("unsubscribe", channel="book", symbol=["SOL/EUR"], depth=25)
        assert other_depth["error"] == WireSettings().not_subscribed


async def test_no_snapshot_comes_if_none_is_wanted():
    async with simulator() as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="book", symbol=["BTC/USD"], snapshot=False)
        for _ in range(300):
            running.exchange.step()
        assert (await probe.update("book"))["type"] == "update"


# ── instruments ──────────────────────────────────────────────────────────────────────────────────


async def test_instruments_come_complete_with_exponents_and_a_deprecation():
    async with simulator() as running, probing(running.ws) as probe:
        answer = await probe.ask("subscribe", channel="instrument")
        assert answer["result"]["warnings"] == ["tick_size is deprecated, use price_increment"]
        snapshot = await probe.update("instrument", "snapshot")
        pairs = {row["symbol"]: row for row in snapshot["data"]["pairs"]}
        assert set(pairs) == set(SYMBOLS)
        assert {"BTC", "EUR", "USD", "ETH", "SOL"} == {r["id"] for r in snapshot["data"]["assets"]}
        row = pairs["BTC/USD"]
        assert (row["price_precision"], row["qty_precision"], row["cost_precision"]) == (1, 8, 5)
        assert (row["qty_min"], row["cost_min"]) == (Decimal("0.00005"), Decimal("0.5"))
        assert row["price_increment"] == row["tick_size"] == Decimal("0.1")
        assert row["status"] == "online"
        text = next(text for text in probe.texts if '"channel":"instrument","type"' in text)
        assert '"qty_increment":1e-08' in text
        assert '"qty_min":5e-05' in text


async def test_a_change_of_precision_arrives_while_the_book_is_subscribed():
    async with simulator() as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="instrument")
        old = follow(running, "ETH/BTC", 10)
        assert old.apply(await subscribed(probe, "ETH/BTC"))
        decimals = running.exchange.pair("ETH/BTC").price_decimals
        running.exchange.hand.set_pair("ETH/BTC", price_decimals=decimals + 1)
        update = await probe.update("instrument", "update")
        assert update["data"]["assets"] == []
        (row,) = update["data"]["pairs"]
        assert row["symbol"] == "ETH/BTC"
        assert row["price_precision"] == decimals + 1
        assert len(row) > 12  # the whole row, not only what changed
        for _ in range(800):
            running.exchange.step()
        await probe.settle()
        later = book_frames(probe, "ETH/BTC")[1:]
        assert later
        assert not all(old.apply(frame) for frame in later)
        await probe.ask("unsubscribe", channel="book", symbol=["ETH/BTC"], depth=10)
        fresh = follow(running, "ETH/BTC", 10)
        probe_frames = len(book_frames(probe, "ETH/BTC"))
        await subscribed(probe, "ETH/BTC")
        for _ in range(800):
            running.exchange.step()
        await probe.settle()
        assert all(fresh.apply(f) for f in book_frames(probe, "ETH/BTC")[probe_frames:])


@pytest.mark.parametrize("status", ["cancel_only", "post_only", "reduce_only"])
async def test_a_pairs_status_changes_through_the_instrument_channel(status: str):
    async with simulator() as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="instrument")
        running.exchange.hand.set_pair("SOL/EUR", status=status)
        update = await probe.update("instrument", "update")
        assert update["data"]["pairs"][0]["status"] == status


async def test_the_engines_status_reaches_every_socket():
    async with (
        simulator() as running,
        probing(running.ws) as public,
        probing(running.ws_auth) as private,
    ):
        for probe in (public, private):
            await probe.update("status")
        for state in ("maintenance", "cancel_only", "post_only", "online"):
            running.exchange.hand.set_engine(state)
            for probe in (public, private):
                assert (await probe.update("status"))["data"][0]["system"] == state


# ── the other channels ───────────────────────────────────────────────────────────────────────────


async def test_trades_are_told_as_the_takers_and_counted_per_pair():
    async with simulator() as running, probing(running.ws) as probe:
        answer = await probe.ask("subscribe", channel="trade", symbol=["SOL/EUR"])
        assert answer["result"] == {"channel": "trade", "symbol": "SOL/EUR", "snapshot": False}
        for _ in range(2):
            running.exchange.hand.trade("SOL/EUR", side=Side.BUY, quantity=Decimal("0.5"))
        rows = [(await probe.update("trade"))["data"][0] for _ in range(2)]
        assert {row["side"] for row in rows} == {"buy"}
        assert {row["ord_type"] for row in rows} == {"market"}
        assert rows[1]["trade_id"] == rows[0]["trade_id"] + 1
        async with probing(running.ws) as late:
            await late.ask("subscribe", channel="trade", symbol=["SOL/EUR"], snapshot=True)
            snapshot = await late.update("trade", "snapshot")
            assert [row["trade_id"] for row in snapshot["data"][-2:]] == [
                row["trade_id"] for row in rows
            ]


async def test_a_ticker_follows_trades_or_the_best_prices():
    async with simulator() as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="ticker", symbol=["SOL/EUR"])
        first = (await probe.update("ticker", "snapshot"))["data"][0]
        assert first["bid"] < first["ask"]
        running.exchange.hand.trade("SOL/EUR", side=Side.SELL, quantity=Decimal("0.5"))
        after = (await probe.update("ticker", "update"))["data"][0]
        assert after["trades"] >= 1
        assert after["last"] == first["bid"]
    async with simulator() as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="ticker", symbol=["BTC/USD"], event_trigger="bbo")
        await probe.update("ticker", "snapshot")
        for _ in range(500):
            running.exchange.step()
        row = (await probe.update("ticker", "update"))["data"][0]
        assert row["bid"] < row["ask"]


async def test_candles_carry_both_times_and_the_last_one_is_still_forming():
    async with simulator() as running, probing(running.ws) as probe:
        running.exchange.hand.trade("SOL/EUR", side=Side.BUY, quantity=Decimal("0.5"))
        running.clock.forward(60_000_000_000)
        answer = await probe.ask("subscribe", channel="ohlc", symbol=["SOL/EUR"], interval=1)
        assert answer["result"]["warnings"] == ["timestamp is deprecated, use interval_begin"]
        await probe.update("ohlc", "snapshot")
        running.exchange.hand.trade("SOL/EUR", side=Side.BUY, quantity=Decimal("0.25"))
        update = await probe.update("ohlc", "update")
        assert update["timestamp"].endswith("Z")
        (row,) = update["data"]
        assert row["interval_begin"] == "2026-09-14T12:01:00.000000000Z"
        assert row["timestamp"] == "2026-09-14T12:02:00.000000Z"
        assert row["low"] <= row["close"] <= row["high"]
        assert row["interval"] == 1


async def test_an_interval_that_no_candle_has_is_refused():
    async with simulator() as running, probing(running.ws) as probe:
        answer = await probe.ask("subscribe", channel="ohlc", symbol=["SOL/EUR"], interval=7)
        assert answer["error"] == "Subscription ohlc interval not supported"


# ── faults of the wire ───────────────────────────────────────────────────────────────────────────


async def test_a_message_can_come_twice_or_cut_in_the_middle():
    async with simulator() as running, probing(running.ws) as probe:
        await subscribed(probe, "BTC/USD")
        running.faults.inject("duplicate_message", channel="book")
        for _ in range(300):
            running.exchange.step()
        await probe.settle()
        texts = [text for text in probe.texts if '"channel":"book","type":"update"' in text]
        assert texts[0] == texts[1]
        running.faults.inject("bad_json", channel="book")
        for _ in range(300):
            running.exchange.step()
        await probe.settle()
        assert any("broken" in frame for frame in probe.frames)


async def test_the_same_seed_sends_the_same_books():
    async def session() -> list[str]:
        async with simulator() as running, probing(running.ws) as probe:
            await probe.ask("subscribe", channel="book", symbol=list(SYMBOLS))
            for _ in range(500):
                running.exchange.step()
            await probe.settle()
            return [text for text in probe.texts if '"channel":"book"' in text]

    assert await session() == await session()
