"""Faults of the books, end to end over a socket: F19 to F24."""

import zlib
from random import Random
from typing import Any

from arbitrade.clock import ReplayClock

EVERYTHING = ("BTC/USD", "ETH/BTC", "ETH/USD", "SOL/EUR")
CYCLE = EVERYTHING[:3]


def touch(pair: Any) -> bytes:
    """Return an update that changes the best bid's quantity."""
    best = max(pair.bids)
    frame: bytes = pair.update([("bid", best, pair.bids[best] + 1)])
    return frame


async def test_f19_a_checksum_mismatch_takes_out_that_pair_until_its_fresh_snapshot(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader) as feed:
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        visitor, market = kraken.visitors[0], kraken.market
        visitor.send(touch(market["ETH/BTC"]))
        await kraken.pulse.until(lambda: trader.equals(market["ETH/BTC"]))
        assert trader.decisions
        subscribed = list(kraken.books_asked("subscribe"))

        # One level of one message arrives with another quantity than the checksum was made of.
        kraken.hold_snapshots = True
        frame = market["ETH/BTC"].update([("ask", 31_351, 123_456_789)])
        visitor.send(frame.replace(b"1.23456789", b"1.23456788"))
        await kraken.pulse.until(lambda: kraken.books_asked("subscribe").count("ETH/BTC") == 2)
        assert not trader.is_synced("ETH/BTC")
        decisions = len(trader.decisions)

        # The other books go on; nothing is decided on the cycle.
        right = trader.engine.tally().right
        visitor.send(*(touch(market[symbol]) for symbol in ("BTC/USD", "ETH/USD", "SOL/EUR")))
        await kraken.pulse.until(lambda: trader.engine.tally().right == right + 3)
        assert len(trader.decisions) == decisions
        assert feed.statistics()["books_recovered"] == 0

        visitor.send(market["ETH/BTC"].snapshot())
        await kraken.pulse.until(lambda: trader.is_synced("ETH/BTC"))
        visitor.send(touch(market["BTC/USD"]))
        await kraken.pulse.until(lambda: len(trader.decisions) > decisions)
        statistics = feed.statistics()

    assert kraken.books_asked("unsubscribe") == ["ETH/BTC"]
    assert kraken.books_asked("subscribe") == [*subscribed, "ETH/BTC"]
    assert all(trader.good_at_decision)
    assert trader.engine.tally().wrong == 1
    assert statistics["resyncs"] == statistics["books_recovered"] == 1
    assert statistics["recovery_ms_most"] >= statistics["recovery_ms_mean"] >= 0


async def test_f19_a_book_that_never_fits_is_asked_for_one_at_a_time_and_harms_no_other(
    kraken: Any, trader: Any, running: Any
) -> None:
    bad = {"left": 5}

    def corrupt(visitor: Any, message: Any) -> bool:
        params = message.get("params", {})
        if message["method"] != "subscribe" or params.get("symbol") != ["SOL/EUR"]:
            return False
        if not bad["left"]:
            return False
        bad["left"] -= 1
        result = {"channel": "book", "symbol": "SOL/EUR", "depth": 10, "snapshot": True}
        ack = {"method": "subscribe", "req_id": message["req_id"], "success": True}
        visitor.books["SOL/EUR"] = 10
        visitor.send({**ack, "result": result}, kraken.market["SOL/EUR"].snapshot(checksum=1))
        return True

    kraken.script = corrupt
    async with running(trader, symbols_per_request=1):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))

    about = [
        message["method"]
        for message in kraken.requests
        if message["params"].get("symbol") == ["SOL/EUR"]
    ]
    assert about == ["subscribe", *["unsubscribe", "subscribe"] * 5]
    assert kraken.books_asked("unsubscribe") == ["SOL/EUR"] * 5
    assert trader.engine.tally().wrong == 5


async def test_f20_a_lost_message_shows_with_the_next_one_of_that_pair(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader) as feed:
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        visitor, market = kraken.visitors[0], kraken.market
        touch(market["ETH/USD"])  # Made, never sent.

        # Nothing can show it as long as that pair is silent.
        visitor.send(touch(market["BTC/USD"]))
        await kraken.pulse.until(lambda: trader.equals(market["BTC/USD"]))
        assert trader.is_synced("ETH/USD")
        assert not trader.equals(market["ETH/USD"])

        visitor.send(market["ETH/USD"].update([("ask", min(market["ETH/USD"].asks), 77)]))
        await kraken.pulse.until(lambda: feed.statistics()["books_recovered"] == 1)
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        assert trader.equals(market["ETH/USD"])

    assert trader.engine.tally().wrong == 1
    assert kraken.books_asked("unsubscribe") == ["ETH/USD"]


async def test_f21_a_crossed_book_with_a_valid_checksum_is_not_traded_on(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        visitor, market = kraken.visitors[0], kraken.market
        visitor.send(touch(market["BTC/USD"]))
        await kraken.pulse.until(lambda: trader.equals(market["BTC/USD"]))
        assert trader.decisions

        for crossing in (0, 1):  # Locked, then crossed.
            pair = market["ETH/BTC"]
            bid = min(pair.asks) + crossing
            decisions = len(trader.decisions)
            visitor.send(pair.update([("bid", bid, 5)]), touch(market["BTC/USD"]))
            await kraken.pulse.until(lambda: trader.equals(market["BTC/USD"]))
            assert len(trader.decisions) == decisions
            assert trader.engine.books["ETH/BTC"].is_crossed
            assert trader.is_synced("ETH/BTC")

            visitor.send(pair.update([("bid", bid, 0)]), touch(market["BTC/USD"]))
            await kraken.pulse.until(lambda: trader.equals(market["BTC/USD"]))
            assert len(trader.decisions) == decisions + 2

    assert trader.engine.counters["crossed"] == 2
    assert trader.engine.tally().wrong == 0


async def test_f22_levels_that_fall_out_of_the_window_never_pile_up(
    kraken: Any, trader: Any, running: Any
) -> None:
    random = Random(22)
    number = 4000
    async with running(trader, connections=2):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        for _ in range(number // 100):
            for _ in range(100):
                symbol = random.choice(EVERYTHING)
                kraken.of(symbol).send(kraken.market[symbol].random_update(random))
            await kraken.pulse.until(lambda: all(map(trader.equals, kraken.market.values())))

        for symbol in EVERYTHING:
            book = trader.engine.books[symbol]
            assert (len(book.bids), len(book.asks)) == (10, 10)
    assert trader.engine.tally().wrong == 0
    assert trader.engine.tally().right == number + len(EVERYTHING)


async def test_f22_at_depth_25_where_the_checksum_would_not_show_it(
    kraken: Any, trader: Any, running: Any
) -> None:
    random = Random(25)
    async with running(trader, ["ETH/USD"], depth=25):
        await kraken.pulse.until(lambda: trader.is_synced("ETH/USD"))
        pair = kraken.market["ETH/USD"]
        for ticks in range(40):
            kraken.visitors[0].send(pair.update([("bid", 309_950 - ticks, 9 + ticks)]))
        for _ in range(500):
            kraken.visitors[0].send(pair.random_update(random))
        await kraken.pulse.until(lambda: trader.updates_seen() == 540)
        assert trader.equals(pair)
        assert len(trader.engine.books["ETH/USD"].bids) == 25


async def test_f23_updates_before_the_snapshot_are_ignored_and_a_snapshot_replaces_all(
    kraken: Any, trader: Any, running: Any
) -> None:
    random = Random(23)
    kraken.hold_snapshots = True
    async with running(trader, ["SOL/EUR"]):
        await kraken.pulse.until(lambda: kraken.books_asked("subscribe") == ["SOL/EUR"])
        visitor, pair = kraken.visitors[0], kraken.market["SOL/EUR"]
        visitor.send(*(pair.random_update(random) for _ in range(5)))
        await kraken.pulse.until(lambda: trader.engine.counters.get("before_snapshot") == 5)
        assert not trader.is_synced("SOL/EUR")

        visitor.send(pair.snapshot())
        visitor.send(*(pair.random_update(random) for _ in range(5)))
        await kraken.pulse.until(lambda: trader.engine.tally().right == 6)
        assert trader.equals(pair)

        # Out of the blue, a whole new book in the middle of updates.
        pair.bids = {ticks - 300: lots for ticks, lots in pair.bids.items()}
        pair.asks = {ticks - 300: lots for ticks, lots in pair.asks.items()}
        visitor.send(pair.snapshot(), *(pair.random_update(random) for _ in range(5)))
        await kraken.pulse.until(lambda: trader.engine.tally().right == 12)
        assert trader.equals(pair)

    assert trader.engine.tally().wrong == 0
    assert kraken.books_asked("unsubscribe") == []


async def test_f24_exponents_integers_and_padding_are_read_exactly(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        visitor, pair = kraken.visitors[0], kraken.market["SOL/EUR"]
        for wire, ticks, lots in (
            (b'{"price":1.7232e2,"qty":3}', 17_232, 3 * 10**8),
            (b'{"price":172.320000,"qty":5E-8}', 17_232, 5),
            (b'{"price":172.32,"qty":1234567890.12345678}', 17_232, 123456789012345678),
            (b'{"price":173,"qty":0.10}', 17_300, 10**7),
        ):
            plain = pair.update([("ask", ticks, lots)])
            level = plain.partition(b'"asks":[')[2].partition(b"]")[0]
            visitor.send(plain.replace(level, wire))
            await kraken.pulse.until(lambda: trader.equals(pair))
    assert trader.engine.tally().wrong == 0


async def test_f24_more_decimals_than_the_pair_has_are_refused_not_rounded(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        visitor, pair = kraken.visitors[0], kraken.market["SOL/EUR"]
        frame = touch(pair)
        visitor.send(frame.replace(b'"price":172.29', b'"price":172.2912'))
        await kraken.pulse.until(lambda: kraken.books_asked("unsubscribe") == ["SOL/EUR"])
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        assert trader.equals(pair)
    assert trader.engine.counters["lost_unreadable"] == 1


async def test_f24_a_pair_of_unknown_precision_is_not_guessed(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader, ["BTC/USD"]):
        await kraken.pulse.until(lambda: trader.is_synced("BTC/USD"))
        foreign = b'{"price":1.5,"qty":2.0}'
        checksum = zlib.crc32(b"1520")
        visitor = kraken.visitors[0]
        visitor.send(
            b'{"channel":"book","type":"snapshot","data":[{"symbol":"NEW/USD","bids":[],"asks":['
            + foreign
            + b'],"checksum":%d}]}' % checksum,
            touch(kraken.market["BTC/USD"]),
        )
        await kraken.pulse.until(lambda: trader.equals(kraken.market["BTC/USD"]))
    assert "NEW/USD" not in trader.engine.books
    assert trader.engine.counters["unknown_pair"] == 1


async def test_f21_a_book_that_stays_crossed_is_asked_for_anew(
    kraken: Any, make_trader: Any, running: Any
) -> None:
    clock = ReplayClock(10**18)
    trader = make_trader(max_crossed_s=5.0, clock=clock)
    async with running(trader):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        visitor, pair = kraken.visitors[0], kraken.market["ETH/BTC"]
        bid = min(pair.asks) + 1
        visitor.send(pair.update([("bid", bid, 5)]))
        await kraken.pulse.until(lambda: trader.equals(pair))
        assert kraken.books_asked("unsubscribe") == []

        clock.move_to(clock.now_ns() + 6 * 10**9)
        frame = pair.update([("bid", bid, 6)])
        pair.bids.pop(bid)  # The venue's own book was never crossed: what it sent was wrong.
        visitor.send(frame)
        await kraken.pulse.until(lambda: kraken.books_asked("unsubscribe") == ["ETH/BTC"])
        await kraken.pulse.until(lambda: trader.is_synced("ETH/BTC"))
        assert trader.equals(pair)
        assert not trader.engine.books["ETH/BTC"].is_crossed
