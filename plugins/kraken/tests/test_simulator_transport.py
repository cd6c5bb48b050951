"""The simulator's sockets: what comes first, what is refused and how, tokens, and their ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import attrs
import pytest

from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.faces.session import ORDER_METHODS
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.probe import SocketProbe, calling, probing
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "SOL/USD", "SOL/EUR", "EUR/USD")
NOON_NS = 1_789_387_200_000_000_000


@asynccontextmanager
async def simulator(**wire: Any) -> AsyncIterator[RunningSimulator]:
    """A simulator without delays whose market and clock move only when told."""
    manners = attrs.evolve(WireSettings().prompt(), **wire)
    settings = SimulatorSettings(symbols=SYMBOLS, rate=0, wire=manners)
    async with running_simulator(settings, MovableClock(NOON_NS)) as running:
        yield running


async def token_of(running: RunningSimulator) -> str:
    async with calling(running.rest, running.key.key, running.key.secret) as rest:
        answer = await rest.private("GetWebSocketsToken")
        token = answer["result"]["token"]
        assert isinstance(token, str)
        return token


async def stays_open(probe: SocketProbe) -> bool:
    pong = await probe.ask("ping")
    return bool(pong["method"] == "pong")


async def test_status_comes_first_and_nothing_else_before_a_subscription():
    async with (
        simulator(heartbeat_s=0.01) as running,
        probing(running.ws) as probe,
        probing(running.ws) as subscriber,
    ):
        status = await probe.update("status")
        await subscriber.ask("subscribe", channel="instrument")
        for _ in range(4):
            await subscriber.update("heartbeat")
        await probe.ask("ping")
        assert [frame.get("channel") or frame["method"] for frame in probe.frames] == [
            "status",
            "pong",
        ]
        (row,) = status["data"]
        assert row["system"] == "online"
        assert row["api_version"] == "v2"
        assert row["connection_id"] >= 1 << 63
        assert row["upcoming_maintenance"] == row["emergency"] == []


async def test_the_private_host_also_begins_with_status():
    async with simulator() as running, probing(running.ws_auth) as probe:
        await probe.update("status")
        assert len(probe.frames) == 1


async def test_heartbeats_come_also_between_data():
    assert WireSettings().heartbeat_s == 1.0
    async with simulator(heartbeat_s=0.01) as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="book", symbol=list(SYMBOLS))
        for _ in range(3):
            sent = running.server.frames
            while running.server.frames == sent:
                running.exchange.step()
            await probe.update("heartbeat")
            await probe.update("heartbeat")
        kinds = [frame.get("channel") for frame in probe.frames]
        first, last = kinds.index("heartbeat"), len(kinds) - kinds[::-1].index("heartbeat")
        assert "book" in kinds[first:last]


async def test_a_pong_carries_both_times_and_no_success():
    async with simulator() as running, probing(running.ws) as probe:
        pong = await probe.ask("ping")
        assert pong == {
            "method": "pong",
            "req_id": 1,
            "time_in": "2026-09-14T12:00:00.000000Z",
            "time_out": "2026-09-14T12:00:00.000000Z",
        }


async def test_every_symbol_has_its_own_acknowledgement_with_the_shared_req_id():
    async with simulator() as running, probing(running.ws) as probe:
        number = await probe.tell(
            "subscribe", channel="book", symbol=["BTC/USD", "NO/SUCH", "SOL/EUR"], depth=25
        )
        answers = [await probe.answer(number) for _ in range(3)]
        good = [answer for answer in answers if answer["success"]]
        assert [answer["result"]["symbol"] for answer in good] == ["BTC/USD", "SOL/EUR"]
        assert good[0]["result"] == {
            "channel": "book",
            "depth": 25,
            "snapshot": True,
            "symbol": "BTC/USD",
        }
        (bad,) = [answer for answer in answers if not answer["success"]]
        assert bad["error"] == "Currency pair not supported NO/SUCH"
        assert bad["symbol"] == "NO/SUCH"
        assert "result" not in bad


async def test_the_snapshot_follows_its_acknowledgement_and_other_books_go_on_meanwhile():
    assert WireSettings().snapshot_ms == (40, 250)
    async with simulator(snapshot_ms=(60, 80)) as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="book", symbol=["BTC/USD"])
        await probe.update("book", "snapshot")
        ack = await probe.ask("subscribe", channel="book", symbol=["SOL/EUR"])
        for _ in range(200):
            running.exchange.step()
        snapshot = await probe.update("book", "snapshot")
        assert snapshot["data"][0]["symbol"] == "SOL/EUR"
        between = probe.frames[probe.frames.index(ack) + 1 : probe.frames.index(snapshot)]
        symbols = {frame["data"][0]["symbol"] for frame in between if "data" in frame}
        assert symbols == {"BTC/USD"}


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"channel": "book", "symbol": ["XBT/USD"]}, "Currency pair not supported XBT/USD"),
        (
            {"channel": "book", "symbol": ["SOL/EUR"], "depth": 11},
            "Subscription depth not supported",
        ),
        ({"channel": "cards", "symbol": ["SOL/EUR"]}, "Subscription name invalid"),
        ({"channel": "book", "symbol": []}, "Symbol(s) not found"),
        ({"channel": "book"}, "Symbol(s) not found"),
        (
            {"channel": "executions", "token": "x"},
            "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com",
        ),
    ],
)  # fmt: skip
async def test_a_wrong_subscription_is_refused_in_the_venues_words(params: Any, text: str):
    async with simulator() as running, probing(running.ws) as probe:
        answer = await probe.ask("subscribe", **params)
        assert answer["error"] == text
        assert answer["success"] is False
        assert answer["method"] == "subscribe"
        assert "result" not in answer
        assert await stays_open(probe)


async def test_an_order_on_the_public_host_is_refused():
    async with simulator() as running, probing(running.ws) as probe:
        answer = await probe.ask("add_order", symbol="SOL/EUR", token="x")
        assert answer["error"].startswith("Private data and trading are unavailable")
        assert await stays_open(probe)


async def test_a_public_subscription_on_the_private_host_is_refused():
    async with simulator() as running, probing(running.ws_auth) as probe:
        answer = await probe.ask("subscribe", channel="book", symbol=["SOL/EUR"])
        assert answer["error"] == (
            "Public market data subscriptions are unavailable on this endpoint. Try ws.kraken.com"
        )
        assert await stays_open(probe)


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"method": 7}', '{"method":"x","params":[]}'])
async def test_nonsense_is_refused_and_the_socket_stays(text: str):
    async with simulator() as running, probing(running.ws) as probe:
        await probe.send(text)
        answer = await probe.take(lambda frame: frame.get("success") is False)
        assert isinstance(answer["error"], str)
        assert await stays_open(probe)


async def test_nothing_that_a_client_sends_closes_a_socket():
    odd: list[object] = [None, True, -1, 1 << 70, 10.0, 1e-9, "", "x", [], [[]], {}, {"a": 1}]
    odd += [[1 << 70], ["x", 1], "9999-99-99", [{}], [{}, {}]]
    fields = ("channel", "symbol", "depth", "interval", "event_trigger", "snapshot", "token")
    orders = (
        "order_type", "side", "order_qty", "limit_price", "deadline", "orders", "order_id",
        "cl_ord_id", "order_userref", "timeout", "time_in_force", "expire_time", "stp_type",
        "cash_order_qty", "symbol",
    )  # fmt: skip
    async with (
        simulator(requests_per_s=0) as running,
        probing(running.ws) as public,
        probing(running.ws_auth) as private,
    ):
        token = await token_of(running)
        requests: list[dict[str, object]] = [{"method": "ping", "req_id": value} for value in odd]
        for value in odd:
            for channel in ("book", "ticker", "ohlc", "trade", "instrument", "executions"):
                params = {"channel": channel, "symbol": ["SOL/EUR"], "token": token}
                for method in ("subscribe", "unsubscribe"):
                    requests += [
                        {"method": method, "params": params | {field: value}} for field in fields
                    ]
            for method in ORDER_METHODS:
                order = {"symbol": "SOL/EUR", "order_type": "limit", "side": "buy"}
                order |= {"order_qty": 1, "limit_price": 20, "token": token}
                for field in orders:
                    requests.append({"method": method, "params": order | {field: value}})
                    requests.append({"method": method, "params": {"token": token, field: value}})
        for request in requests:
            await public.send(json.dumps(request))
            await private.send(json.dumps(request))
        assert await stays_open(public)
        assert await stays_open(private)


async def test_too_many_requests_at_once_are_refused():
    async with simulator(requests_per_s=3) as running, probing(running.ws) as probe:
        for symbol in SYMBOLS:
            await probe.tell("subscribe", channel="book", symbol=[symbol])
        answer = await probe.take(lambda frame: frame.get("success") is False)
        assert answer["error"] == "Exceeded msg rate"
        assert await stays_open(probe)


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("token", [None, "made-up"])
async def test_a_private_subscription_without_a_good_token_is_refused(token: str | None):
    async with simulator() as running, probing(running.ws_auth) as probe:
        answer = await probe.ask("subscribe", token=token, channel="executions")
        assert answer["error"] == "ESession:Invalid session"
        assert answer["channel"] == "executions"
        assert answer["status"] == "error"
        assert await stays_open(probe)


async def test_a_token_expires_after_900_seconds_unless_it_is_used():
    async with simulator() as running, probing(running.ws_auth) as probe:
        used, unused = await token_of(running), await token_of(running)
        assert (await probe.ask("subscribe", token=used, channel="balances"))["success"]
        running.clock.forward(901_000_000_000)
        stale = await probe.ask("subscribe", token=unused, channel="executions")
        assert stale["error"] == "ESession:Invalid session"
        assert (await probe.ask("subscribe", token=used, channel="executions"))["success"]
        async with probing(running.ws_auth) as other:
            # Good for the connection it was used on, not for another one.
            refused = await other.ask("subscribe", token=used, channel="executions")
            assert refused["error"] == "ESession:Invalid session"


async def test_a_token_that_is_refused_on_demand_does_not_close_the_socket():
    async with simulator() as running, probing(running.ws_auth) as probe:
        token = await token_of(running)
        running.faults.inject("token_expired")
        answer = await probe.ask("cancel_all", token=token)
        assert answer["error"] == "EAPI:Invalid token"
        assert (await probe.ask("cancel_all", token=token))["success"]


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_socket_without_subscription_is_closed_when_idle():
    assert WireSettings().idle_s == 60.0
    async with simulator(idle_s=0.05) as running, probing(running.ws) as probe:
        await probe.until(lambda: probe.is_over)


async def test_a_socket_with_a_subscription_is_not_closed_when_idle():
    async with (
        simulator(idle_s=0.05, heartbeat_s=0.02) as running,
        probing(running.ws) as probe,
    ):
        await probe.ask("subscribe", channel="instrument")
        for _ in range(6):
            await probe.update("heartbeat")
        assert not probe.is_over


async def test_too_many_connection_attempts_ban_the_address():
    assert WireSettings().attempts == 150
    async with simulator(attempts=2) as running:
        for _ in range(2):
            async with probing(running.ws) as probe:
                await probe.update("status")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with probing(running.ws):
                pass
        assert refused.value.status == 429


async def test_sockets_are_cut_at_random_if_wanted():
    async with simulator(disconnect_every_s=0.001) as running, probing(running.ws) as probe:
        await probe.until(lambda: probe.is_over)


async def test_frames_queue_for_a_slow_reader_and_none_is_lost():
    async with (
        simulator() as running,
        aiohttp.ClientSession() as session,
        session.ws_connect(running.ws, max_msg_size=1 << 26) as socket,
    ):
        await socket.send_json(
            {"method": "subscribe", "params": {"channel": "book", "symbol": list(SYMBOLS)}}
        )
        transport = socket.get_extra_info("socket")
        assert transport is not None
        reader = socket._response.connection.transport
        while running.server.frames < 1:
            running.exchange.step()
            await asyncio.sleep(0)
        reader.pause_reading()
        sent_before = running.server.frames
        while running.server.waiting < 1000:
            running.exchange.step()
            await asyncio.sleep(0)
        produced = running.server.frames - sent_before
        assert produced >= 1000
        assert running.server.connections == 1
        reader.resume_reading()
        got = 0
        async with asyncio.timeout(PATIENCE_S):
            while got < running.server.frames:
                message = await socket.receive_json()
                got += message.get("type") == "update" and message.get("channel") == "book"
        assert running.server.waiting == 0


async def test_messages_can_carry_fields_nobody_knows():
    async with simulator(unknown_fields=True) as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="book", symbol=["BTC/USD"])
        snapshot = await probe.update("book", "snapshot")
        assert snapshot["extra_field"]["bids"] == [1]
        assert snapshot["data"][0]["symbol"] == "BTC/USD"


@pytest.mark.parametrize("host", ["public", "private"])
async def test_a_socket_can_be_cut_on_demand(host: str):
    async with simulator() as running:
        urls = {"public": running.ws, "private": running.ws_auth}
        other = urls["private" if host == "public" else "public"]
        async with probing(urls[host]) as probe, probing(other) as spared:
            await probe.update("status")
            await spared.update("status")
            running.faults.inject("disconnect", channel=host)
            await probe.until(lambda: probe.is_over)
            assert await stays_open(spared)


async def test_a_half_open_socket_says_nothing_more_and_is_not_closed():
    async with simulator(heartbeat_s=0.01) as running, probing(running.ws) as probe:
        await probe.ask("subscribe", channel="book", symbol=["BTC/USD"])
        await probe.update("heartbeat")
        running.faults.inject("half_open", channel="public")
        async with probing(running.ws) as healthy:
            await healthy.update("status")
            running.server.poke()
            await healthy.settle()
            frames = len(probe.frames)
            await probe.tell("ping")
            await healthy.ask("subscribe", channel="book", symbol=["BTC/USD"])
            for _ in range(3):
                await healthy.update("heartbeat")
            assert len(probe.frames) <= frames + 1  # one beat may have been on its way
            assert not probe.is_over


async def test_a_wrong_clock_shows_in_every_time():
    async with simulator() as running, probing(running.ws) as probe:
        running.faults.inject("clock_skew", for_ms=0, value=Decimal(3000))
        pong = await probe.ask("ping")
        assert pong["time_in"] == "2026-09-14T12:00:03.000000Z"
