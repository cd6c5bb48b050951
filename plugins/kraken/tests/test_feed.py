"""The feed over real sockets, the venue behaving well."""

from collections.abc import Callable
from typing import Any

import orjson

from arbitrade.models import Instruments


async def test_books_arrive_after_status_instruments_and_choice(
    kraken: Any, listener: Any, running: Any
) -> None:
    async with running(listener, ["BTC/USD", "SOL/EUR"]) as feed:
        await kraken.pulse.until(lambda: listener.snapshots.total() == 2)

    assert b'"status"' in listener.frames[0][1]
    asked = [message["params"]["channel"] for message in kraken.requests]
    assert asked == ["instrument", "book"]
    assert kraken.requests[1]["params"]["symbol"] == ["BTC/USD", "SOL/EUR"]
    assert [orjson.loads(frame) for _, frame in listener.sent] == kraken.requests
    assert feed.statistics()["connection_attempts"] == 1


async def test_many_symbols_share_a_request(kraken: Any, listener: Any, running: Any) -> None:
    async with running(listener, symbols_per_request=3):
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)

    sizes = [len(m["params"]["symbol"]) for m in kraken.requests if "symbol" in m["params"]]
    assert sizes == [3, 1]


async def test_books_are_spread_over_connections_and_stay_there(
    kraken: Any, listener: Any, running: Any
) -> None:
    async with running(listener, connections=2) as feed:
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
        before = [set(visitor.books) for visitor in kraken.visitors]
        assert sorted(map(len, before)) == [2, 2]

        for visitor in list(kraken.visitors):
            visitor.reset()
        await kraken.pulse.until(lambda: listener.snapshots.total() == 8)

        assert feed.statistics()["connections"] == 2
        after = [set(visitor.books) for visitor in kraken.visitors if not visitor.is_gone]
        assert sorted(map(sorted, before)) == sorted(map(sorted, after))


async def test_a_connection_without_books_is_not_opened(
    kraken: Any, listener: Any, running: Any
) -> None:
    async with running(listener, ["BTC/USD"], connections=3) as feed:
        await kraken.pulse.until(lambda: listener.snapshots.total() == 1)
        assert kraken.attempts == 1
        assert feed.statistics()["connections"] == 1


async def test_a_refused_symbol_fails_alone(kraken: Any, listener: Any, running: Any) -> None:
    chosen = ["BTC/USD", "XBT/USD", "SOL/EUR"]
    async with running(listener, chosen) as feed:
        await kraken.pulse.until(lambda: feed.statistics()["books_live"] == 2)
        statistics = feed.statistics()

    assert set(listener.snapshots) == {"BTC/USD", "SOL/EUR"}
    assert statistics["books_refused"] == 1
    assert statistics["books"] == 3
    assert kraken.books_asked("subscribe") == chosen  # Nobody was asked for twice.


async def test_pairs_follow_the_choice_when_instruments_change(
    kraken: Any, listener: Any, running: Any
) -> None:
    def online(instruments: Instruments) -> list[str]:
        return [pair.symbol for pair in instruments.online()]

    kraken.market["SOL/EUR"].status = "work_in_progress"
    async with running(listener, online) as feed:
        await kraken.pulse.until(lambda: listener.snapshots.total() == 3)
        assert "SOL/EUR" not in listener.snapshots

        kraken.market["SOL/EUR"].status = "online"
        kraken.market["ETH/USD"].status = "cancel_only"
        kraken.visitors[0].send(kraken.instruments("update", ["SOL/EUR", "ETH/USD"]))
        await kraken.pulse.until(lambda: listener.snapshots["SOL/EUR"] == 1)
        await kraken.pulse.until(lambda: feed.statistics()["books"] == 3)

    assert kraken.books_asked("unsubscribe") == ["ETH/USD"]


async def test_a_pair_back_online_gets_a_fresh_snapshot(
    kraken: Any, listener: Any, running: Any
) -> None:
    async with running(listener):
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
        for status in ("cancel_only", "online"):
            kraken.market["ETH/USD"].status = status
            kraken.visitors[0].send(kraken.instruments("update", ["ETH/USD"]))
        await kraken.pulse.until(lambda: listener.snapshots["ETH/USD"] == 2)

    assert kraken.books_asked("unsubscribe") == ["ETH/USD"]
    assert listener.snapshots.total() == 5


async def test_the_engine_back_online_gives_fresh_snapshots_of_all_books(
    kraken: Any, listener: Any, running: Any
) -> None:
    async with running(listener) as feed:
        await kraken.pulse.until(lambda: feed.statistics()["books_live"] == 4)
        for system in ("maintenance", "cancel_only", "post_only", "online"):
            row = {"channel": "status", "type": "update", "data": [{"system": system}]}
            kraken.visitors[0].send(row)
        await kraken.pulse.until(lambda: all(n == 2 for n in listener.snapshots.values()))

    assert sorted(kraken.books_asked("unsubscribe")) == sorted(kraken.market)


async def test_new_precision_resubscribes_that_pair_only(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader):
        await kraken.pulse.until(lambda: trader.is_synced(*kraken.market))
        pair = kraken.market["ETH/BTC"]
        pair.price_precision = 7
        pair.bids = {10 * ticks: lots for ticks, lots in pair.bids.items()}
        pair.asks = {10 * ticks: lots for ticks, lots in pair.asks.items()}
        kraken.visitors[0].send(kraken.instruments("update", ["ETH/BTC"]))
        await kraken.pulse.until(lambda: kraken.books_asked("subscribe").count("ETH/BTC") == 2)
        await kraken.pulse.until(lambda: trader.is_synced(*kraken.market))

        assert trader.equals(pair)
        assert kraken.books_asked("unsubscribe") == ["ETH/BTC"]
        assert trader.engine.tally().wrong == 0


async def test_new_precision_resubscribes_also_when_the_handler_does_not_ask(
    kraken: Any, listener: Any, running: Any
) -> None:
    async with running(listener):
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
        kraken.market["ETH/BTC"].quantity_precision = 9
        kraken.visitors[0].send(kraken.instruments("update", ["ETH/BTC"]))
        await kraken.pulse.until(lambda: listener.snapshots["ETH/BTC"] == 2)
    assert kraken.books_asked("unsubscribe") == ["ETH/BTC"]


async def test_idle_sockets_are_kept_alive_by_pings(
    kraken: Any, listener: Any, running: Any
) -> None:
    async with running(listener, [], ping_s=0.05):
        await kraken.pulse.until(lambda: sum(m["method"] == "ping" for m in kraken.requests) >= 3)


async def test_cancelling_says_goodbye(kraken: Any, listener: Any, running: Any) -> None:
    async with running(listener, connections=2):
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
    await kraken.pulse.until(lambda: all(visitor.is_gone for visitor in kraken.visitors))

    assert [visitor.library.close_rcvd.code for visitor in kraken.visitors] == [1000, 1000]
    assert listener.lost == []


async def test_a_connection_that_lost_all_its_books_is_closed_until_needed(
    kraken: Any, listener: Any, running: Any
) -> None:
    chosen = ["BTC/USD", "ETH/USD"]

    def choose(_: Instruments) -> list[str]:
        return list(chosen)

    async with running(listener, choose, connections=2) as feed:
        await kraken.pulse.until(lambda: feed.statistics()["books_live"] == 2)
        chosen.remove("ETH/USD")
        kraken.visitors[0].send(kraken.instruments())
        await kraken.pulse.until(lambda: any(visitor.is_gone for visitor in kraken.visitors))
        await kraken.pulse.until(lambda: feed.statistics()["connections"] == 1)

        chosen.append("ETH/USD")
        kraken.visitors[0].send(kraken.instruments())
        await kraken.pulse.until(lambda: listener.snapshots["ETH/USD"] == 2)

    assert listener.lost == []  # We hung up ourselves; the unsubscription had said it all.


async def test_a_connection_whose_books_were_all_refused_is_closed_and_not_opened_again(
    kraken: Any, listener: Any, running: Any
) -> None:
    kraken.refused["SOL/EUR"] = "Currency pair not supported SOL/EUR"
    async with running(listener, ["BTC/USD", "SOL/EUR"], connections=2) as feed:
        await kraken.pulse.until(lambda: feed.statistics()["books_refused"] == 1)
        await kraken.pulse.until(lambda: feed.statistics()["connections"] == 1)
        assert kraken.attempts == 2

        del kraken.refused["SOL/EUR"]
        kraken.market["SOL/EUR"].price_precision = 3
        kraken.of("BTC/USD").send(kraken.instruments("update", ["SOL/EUR"]))
        await kraken.pulse.until(lambda: listener.snapshots["SOL/EUR"] == 1)
        assert feed.statistics()["connections"] == 2
    assert listener.lost == []


async def test_what_the_handler_raises_ends_the_feed(
    kraken: Any, listener: Any, quick: Callable[..., Any]
) -> None:
    import pytest

    from arbitrade_kraken.market.feed import KrakenFeed

    def broken(connection: int, frame: bytes) -> None:
        raise ZeroDivisionError("a bug of ours")

    listener.on_frame = broken
    feed = KrakenFeed(quick(), tuple, listener, 10)
    with pytest.raises(ZeroDivisionError, match="a bug of ours"):
        await feed.run()
