"""Faults of the wire, end to end over a socket: F25, F26, F31, refusals, frames without sense."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from arbitrade.clock import ReplayClock
from arbitrade.errors import VenueUnavailableError
from arbitrade.testing.patience import until
from arbitrade_kraken.market.feed import KrakenFeed
from arbitrade_kraken.wire.plain import Wire

EVERYTHING = ("BTC/USD", "ETH/BTC", "ETH/USD", "SOL/EUR")


def touch(pair: Any, **options: Any) -> bytes:
    """Return an update that changes the best bid's quantity."""
    best = max(pair.bids)
    frame: bytes = pair.update([("bid", best, pair.bids[best] + 1)], **options)
    return frame


async def test_f25_a_half_open_socket_is_noticed_and_its_books_are_void_meanwhile(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader, silence_s=0.3) as feed:
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        silent = kraken.visitors[0]
        kraken.greets = False  # The next socket stays mute as well, until we look.
        silent.stop_heartbeat()
        await kraken.pulse.until(lambda: len(trader.lost) == 1)
        connection, lost = trader.lost[0]

        assert connection == 0
        assert set(lost.symbols) == set(EVERYTHING)
        assert "no frame for" in lost.reason
        assert not any(trader.is_synced(symbol) for symbol in EVERYTHING)
        assert feed.statistics()["books_live"] == 0
        decisions = len(trader.decisions)

        await kraken.pulse.until(lambda: len(kraken.visitors) == 2)
        kraken.visitors[1].send({"channel": "status", "data": [{"system": "online"}]})
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        kraken.visitors[1].send(touch(kraken.market["BTC/USD"]))
        await kraken.pulse.until(lambda: trader.equals(kraken.market["BTC/USD"]))
        assert len(trader.decisions) > decisions
        assert all(trader.good_at_decision)
        assert feed.statistics()["silences"] == 1
        assert feed.statistics()["reconnects"] == 1


async def test_f25_quiet_books_are_no_sign_of_death_while_heartbeats_come(
    kraken: Any, trader: Any, running: Any
) -> None:
    def heartbeats() -> int:
        return sum(b"heartbeat" in frame for _, frame in trader.frames)

    async with running(trader, silence_s=1.0) as feed:
        await kraken.pulse.until(lambda: heartbeats() >= 25)  # More than a second of them.
        assert feed.statistics()["silences"] == 0
        assert trader.is_synced(*EVERYTHING)


async def test_f26_a_reset_in_the_middle_of_a_frame_applies_nothing_of_it(
    kraken: Any, trader: Any, running: Any, encode: Callable[[bytes], bytes]
) -> None:
    async with running(trader) as feed:
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        visitor, pair = kraken.visitors[0], kraken.market["ETH/USD"]
        visitor.send(touch(pair))
        await kraken.pulse.until(lambda: trader.equals(pair))
        before = trader.engine.tally().right

        frame = encode(touch(pair))
        visitor.send_raw(frame[: len(frame) // 2])
        visitor.reset()
        await kraken.pulse.until(lambda: len(trader.lost) == 1)
        assert trader.engine.tally().right == before
        assert not any(trader.is_synced(symbol) for symbol in EVERYTHING)

        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        assert trader.equals(pair)
        assert feed.statistics()["bad_frames"] == 0
        assert feed.statistics()["reconnects"] == 1
    assert trader.engine.tally().wrong == 0


async def test_f26_frames_cut_into_single_bytes_are_whole_to_the_books(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        pair = kraken.market["SOL/EUR"]
        kraken.visitors[0].stop_heartbeat()  # It would land inside the torn frame.
        for _ in range(3):
            await kraken.visitors[0].send_torn(touch(pair))
        await kraken.pulse.until(lambda: trader.equals(pair))
        await kraken.visitors[0].send_torn(pair.snapshot())
        right = trader.engine.tally().right
        kraken.visitors[0].send(touch(pair))
        await kraken.pulse.until(lambda: trader.engine.tally().right > right)
    assert trader.engine.tally().wrong == 0


async def test_messages_in_fragments_with_pings_between_are_put_together(
    kraken: Any, trader: Any, running: Any
) -> None:
    async with running(trader):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        pair = kraken.market["SOL/EUR"]
        kraken.visitors[0].send_fragmented(touch(pair), 4)
        await kraken.pulse.until(lambda: trader.equals(pair))
        kraken.visitors[0].send(touch(pair))
        await kraken.pulse.until(lambda: trader.equals(pair))
    assert trader.engine.tally().wrong == 0


async def test_f31_a_burst_with_a_slow_consumer_keeps_books_right_and_stops_decisions(
    kraken: Any, make_trader: Any, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every frame of the burst was sent at one moment, and each takes us 5 ms: the backlog is
    # 2 s old at its 400th frame.
    wires: list[Wire] = []
    monkeypatch.setattr(
        "arbitrade_kraken.wire.plain.Wire.connection_made",
        lambda wire, transport, _real=Wire.connection_made: (
            wires.append(wire),
            _real(wire, transport),
        )[1],
    )
    burst_at = datetime(2026, 9, 14, 8, 21, 37, tzinfo=UTC)
    stamp = "2026-09-14T08:21:37.000000Z"
    clock = ReplayClock(int(burst_at.timestamp()) * 10**9)
    trader = make_trader(max_lag_s=2.0, clock=clock)
    handle, random, number = trader.on_frame, Random(31), 50 * 40

    def slowly(connection: int, frame: bytes) -> Any:
        if b'"update"' in frame and b'"book"' in frame:
            clock.move_to(clock.now_ns() + 5_000_000)
        return handle(connection, frame)

    def slowly_from_the_buffer(
        connection: int, buffer: bytearray, begin: int, end: int
    ) -> tuple[int, int]:
        text = begin + (4 if buffer[begin + 1] == 126 else 2)
        length = int.from_bytes(buffer[begin + 2 : text]) if text == begin + 4 else 0
        stop = text + (length or buffer[begin + 1])
        if stop > end:
            return begin, 0
        if b'"channel":"book","type":"update"' not in buffer[text:stop]:
            return begin, 0
        clock.move_to(clock.now_ns() + 5_000_000)
        taken: tuple[int, int] = take(connection, buffer, begin, stop)
        assert taken == (stop, 1)
        return taken

    trader.on_frame = slowly
    take = getattr(trader, "on_buffer", None)
    if take is not None:
        trader.on_buffer = slowly_from_the_buffer
    async with running(trader):
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        trader.decisions.clear()
        visitor = kraken.visitors[0]
        visitor.send(
            *(
                touch(kraken.market[random.choice(("BTC/USD", "ETH/USD"))], timestamp=stamp)
                for _ in range(number)
            )
        )
        await kraken.pulse.until(lambda: trader.updates_seen() == number)

        # Nothing was dropped, nothing piled up in memory, nothing old was decided on, all counted.
        assert all(map(trader.equals, kraken.market.values()))
        assert trader.engine.tally().wrong == 0
        assert len(trader.decisions) == 400
        assert trader.engine.counters["stale"] == number - 400
        for wire in wires:  # picows keeps its buffer to itself.
            assert len(wire._buffer) == 256 * 1024

        fresh = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).isoformat()
        visitor.send(touch(kraken.market["BTC/USD"], timestamp=fresh))
        await kraken.pulse.until(lambda: trader.updates_seen() == number + 1)
        assert len(trader.decisions) == 401


async def test_a_venue_that_is_busy_is_asked_again_later(
    kraken: Any, listener: Any, running: Any
) -> None:
    kraken.refuse_upgrades.extend((429, 503, 502))
    async with running(listener) as feed:
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
        statistics = feed.statistics()
    assert kraken.attempts == 4
    assert statistics["connections_refused"] == 3
    assert statistics["connection_attempts"] == 4


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait that was asked for; none is waited."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def no_sleep(seconds: float) -> None:
        asked.append(seconds)
        await sleep(0)

    monkeypatch.setattr("arbitrade_kraken.wire.link.asyncio.sleep", no_sleep)
    return asked


async def test_one_connection_too_many_costs_a_long_wait_other_refusals_a_short_one(
    kraken: Any, listener: Any, running: Any, waits: list[float]
) -> None:
    kraken.refuse_upgrades.extend((429, 503, 502))
    async with running(listener, busy_wait_s=30.0, reconnect_quick=5):
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
    assert [30 <= wait <= 45 for wait in waits] == [True, True, False]
    assert waits[2] == 0


async def test_reconnects_slow_down_during_maintenance(
    kraken: Any, listener: Any, running: Any, waits: list[float]
) -> None:
    kraken.system = "maintenance"
    async with running(listener, maintenance_wait_s=5.0):
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
        kraken.visitors[0].close(1012, "restart")
        await kraken.pulse.until(lambda: listener.snapshots.total() == 8)
    assert len(waits) == 1
    assert 5 <= waits[0] <= 7.5


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_venue_that_says_no_is_not_asked_again(
    kraken: Any, listener: Any, quick: Any, status: int
) -> None:
    kraken.refuse_upgrades.append(status)
    feed = KrakenFeed(quick(), tuple, listener, 10)
    with pytest.raises(VenueUnavailableError, match=f"HTTP {status}.*kraken.ws_url"):
        await feed.run()
    assert kraken.attempts == 1


async def test_a_policy_violation_ends_the_feed(kraken: Any, listener: Any, quick: Any) -> None:
    kraken.script = lambda visitor, message: visitor.close(1008, "too many requests") or True
    feed = KrakenFeed(quick(), tuple, listener, 10)
    with pytest.raises(VenueUnavailableError, match="1008 too many requests"):
        await feed.run()


@pytest.mark.parametrize(
    ("reason", "is_final"),
    [
        (
            "Public market data subscriptions are unavailable on this endpoint. Try ws.kraken.com",
            True,
        ),
        ("EService:Busy", False),
    ],
)
async def test_refused_instruments_end_the_feed_only_where_they_will_never_come(
    kraken: Any, listener: Any, quick: Any, reason: str, is_final: bool
) -> None:
    def refuse(visitor: Any, message: Any) -> bool:
        visitor.send({**message, "success": False, "error": reason, "params": None})
        return True

    kraken.script = refuse
    feed = KrakenFeed(quick(), tuple, listener, 10)
    task = asyncio.create_task(feed.run())
    task.add_done_callback(lambda _: kraken.pulse.beat())
    await kraken.pulse.until(lambda: task.done() or kraken.attempts == 4)
    assert kraken.attempts == (1 if is_final else 4)
    if is_final:
        with pytest.raises(VenueUnavailableError, match=r"kraken\.ws_url"):
            task.result()
        return
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
async def test_any_other_goodbye_is_followed_by_a_new_connection(
    kraken: Any, listener: Any, running: Any, code: int
) -> None:
    async with running(listener, connections=2):
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
        left = kraken.visitors[1]
        lost = set(left.books)
        left.close(code, "see you")
        await kraken.pulse.until(lambda: listener.snapshots.total() == 6)

    ((_, event),) = listener.lost
    assert set(event.symbols) == lost
    assert {s: n for s, n in listener.snapshots.items() if n == 2}.keys() == lost


@pytest.mark.parametrize("nonsense", [b"not json", b"[]", b'{"data":1}', b"\xff\xfe"])
async def test_a_frame_that_makes_no_sense_costs_that_connection(
    kraken: Any, trader: Any, running: Any, nonsense: bytes
) -> None:
    async with running(trader) as feed:
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        pair = kraken.market["BTC/USD"]
        # What follows the nonsense in the same read is not looked at any more.
        kraken.visitors[0].send(nonsense, touch(pair))
        await kraken.pulse.until(lambda: len(trader.lost) == 1)
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        assert trader.equals(pair)
        assert feed.statistics()["bad_frames"] == 1
    assert trader.engine.tally().wrong == 0


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"\x81\x85abcdHELLO", id="masked, which is for clients"),
        pytest.param(b"\xc1\x02{}", id="a bit of an extension nobody agreed on"),
        pytest.param(b"\x83\x02{}", id="an opcode that does not exist"),
        pytest.param(b"\x81\x7f\x00\x00\x00\x7f\x00\x00\x00\x00", id="half a terabyte"),
        pytest.param(b"\x01\x02{}\x81\x02{}", id="a message inside a fragmented one"),
        pytest.param(b"\x80\x02{}", id="the rest of a message that never began"),
    ],
)
async def test_frames_against_the_websocket_rules_cost_that_connection(
    kraken: Any, trader: Any, running: Any, broken: bytes
) -> None:
    async with running(trader) as feed:
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        kraken.visitors[0].send_raw(broken)
        await kraken.pulse.until(lambda: len(trader.lost) == 1)
        await kraken.pulse.until(lambda: trader.is_synced(*EVERYTHING))
        assert feed.statistics()["reconnects"] == 1


async def test_a_venue_that_never_greets_is_left_again(
    kraken: Any, listener: Any, running: Any
) -> None:
    kraken.greets = False
    async with running(listener, answer_timeout_s=0.05) as feed:
        await kraken.pulse.until(lambda: kraken.attempts == 3)
        assert feed.statistics()["timeouts"] >= 2
        kraken.greets = True
        await kraken.pulse.until(lambda: listener.snapshots.total() == 4)
    assert listener.lost == []  # There were no books to lose.


async def test_a_snapshot_that_never_comes_is_asked_for_again(
    kraken: Any, listener: Any, running: Any
) -> None:
    kraken.hold_snapshots = True
    async with running(listener, ["BTC/USD"], answer_timeout_s=0.1) as feed:
        await kraken.pulse.until(lambda: kraken.books_asked("unsubscribe") == ["BTC/USD"])
        kraken.hold_snapshots = False
        await kraken.pulse.until(lambda: listener.snapshots["BTC/USD"] == 1)
        await kraken.pulse.until(lambda: feed.statistics()["books_live"] == 1)
        assert feed.statistics()["books_unanswered"] >= 1
    assert kraken.attempts == 1


async def test_connection_attempts_come_out_of_one_budget(
    kraken: Any, listener: Any, running: Any
) -> None:
    # Two attempts in ten minutes, one of them at once: two sockets can't both open.
    async with running(listener, connections=2, connection_attempts_per_10_minutes=2) as feed:
        await kraken.pulse.until(lambda: listener.snapshots.total() == 2)
        assert feed.statistics()["connections"] == 1
        assert feed.statistics()["attempts_delayed"] == 1
        assert kraken.attempts == 1


async def test_nobody_at_the_address_is_tried_again_with_waits(
    listener: Any, quick: Any, unused_tcp_port: int
) -> None:
    settings = quick(ws_url=f"ws://127.0.0.1:{unused_tcp_port}/v2", reconnect_quick=1)
    feed = KrakenFeed(settings, tuple, listener, 10, random=Random(1))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    trying = asyncio.create_task(feed.run())
    await until(lambda: feed.statistics()["connection_failures"] >= 6)
    took_s = loop.time() - begun
    trying.cancel()
    await asyncio.gather(trying, return_exceptions=True)
    # One at once and one quick, then waits of at least 10, 20, 40 and 50 ms.
    assert took_s >= 0.12
