"""The simulator's REST: names, shapes, signatures, and everything that goes wrong."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import attrs
import pytest

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.faces.rest import sign
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.probe import RestProbe, calling
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "SOL/USD", "SOL/EUR", "EUR/USD", "DOGE/USD")
NOON_NS = 1_789_387_200_000_000_000
SECOND_NS = 1_000_000_000

NONCES = itertools.count(10_000_000)

type Desk = tuple[RunningSimulator, RestProbe]


@asynccontextmanager
async def desk(rules: ExchangeSettings | None = None, **wire: Any) -> AsyncIterator[Desk]:
    """A simulator without delays whose market and clock move only when told, and its REST."""
    settings = SimulatorSettings(
        symbols=SYMBOLS,
        rate=0,
        wire=attrs.evolve(WireSettings().prompt(), **wire),
        exchange=rules,
    )
    async with (
        running_simulator(settings, MovableClock(NOON_NS)) as running,
        calling(running.rest, running.key.key, running.key.secret) as rest,
    ):
        yield running, rest


def ask_price(running: RunningSimulator, symbol: str = "SOL/EUR") -> Decimal:
    pair = running.exchange.pair(symbol)
    return Decimal(running.exchange.book(symbol, 1).asks[0][0]).scaleb(-pair.price_decimals)


async def taken(running: RunningSimulator, rest: RestProbe, **changes: object) -> str:
    """Buy half a SOL at once; return the order's id."""
    order: dict[str, object] = {
        "pair": "SOLEUR",
        "type": "buy",
        "ordertype": "limit",
        "volume": "0.5",
        "price": ask_price(running),
        "timeinforce": "IOC",
    }
    answer = await rest.private("AddOrder", **(order | changes))
    assert answer["error"] == [], answer
    order_id = answer["result"]["txid"][0]
    assert isinstance(order_id, str)
    return order_id


async def resting(rest: RestProbe, **changes: object) -> str:
    """Place a bid far below the market; return its id."""
    order: dict[str, object] = {
        "pair": "SOLEUR",
        "type": "buy",
        "ordertype": "limit",
        "volume": "0.5",
        "price": "20.00",
    }
    answer = await rest.private("AddOrder", **(order | changes))
    assert answer["error"] == [], answer
    order_id = answer["result"]["txid"][0]
    assert isinstance(order_id, str)
    return order_id


# ── signature and nonce ──────────────────────────────────────────────────────────────────────────


def test_the_published_vector_gives_the_published_signature():
    # In two parts each, so that a search for secrets doesn't find the venue's example.
    secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz" + (
        "84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    )
    expected = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8" + (
        "+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )
    body = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    assert sign(secret, "/0/private/AddOrder", "1616492376594", body) == expected.encode()


async def test_keys_signatures_and_nonces_are_checked_and_errors_come_with_http_200():
    async with desk() as (running, rest):
        stranger = rest.with_key("nobody", running.key.secret)
        assert await stranger.private("Balance") == {"error": ["EAPI:Invalid key"]}
        body = b"nonce=5"
        forged = await rest.signed(
            "Balance", body, "5", "application/x-www-form-urlencoded", signature="AAAA"
        )
        assert forged == {"error": ["EAPI:Invalid signature"]}
        assert (await rest.private("Balance", nonce=5_000_000))["error"] == []
        for stale in (5_000_000, 4_999_999):
            again = await rest.private("Balance", nonce=stale)
            assert again == {"error": ["EAPI:Invalid nonce"]}
        assert (await rest.private("Balance", nonce=1 << 64))["error"] == ["EAPI:Invalid nonce"]


async def test_a_nonce_window_lets_requests_overtake_each_other_but_none_come_twice():
    async with desk() as (running, rest):
        running.key.nonce_window = 10
        assert (await rest.private("Balance", nonce=1_000_000))["error"] == []
        assert (await rest.private("Balance", nonce=999_995))["error"] == []
        for bad in (999_995, 1_000_000, 999_980):
            assert (await rest.private("Balance", nonce=bad))["error"] == ["EAPI:Invalid nonce"]


async def test_a_failed_answer_has_no_result_or_null():
    async with desk(failed_result="null") as (_, rest):
        answer = await rest.public("Depth", pair="NOSUCH")
        assert answer == {"error": ["EQuery:Unknown asset pair"], "result": None}
    async with desk() as (_, rest):
        assert "result" not in await rest.public("Depth", pair="NOSUCH")


async def test_json_bodies_are_signed_and_read_too():
    async with desk() as (_, rest):
        answer = await rest.private_json("TradeVolume", pair="SOL/EUR")
        assert list(answer["result"]["fees"]) == ["SOL/EUR"]


async def test_unknown_paths_are_refused():
    async with desk() as (_, rest):
        assert await rest.public("Nothing") == {"error": ["EGeneral:Unknown method"]}
        assert await rest.private("Nothing") == {"error": ["EGeneral:Unknown method"]}


async def test_calls_are_counted_by_key_and_decay():
    async with desk() as (running, rest):
        errors = []
        for _ in range(30):
            errors = (await rest.private("Ledgers"))["error"]
            if errors:
                break
        assert errors == ["EAPI:Rate limit exceeded"]
        running.clock.forward(120 * SECOND_NS)
        assert (await rest.private("Ledgers"))["error"] == []


async def test_a_missing_permission_is_said():
    async with desk() as (running, rest):
        weak = running.exchange.accounts.make_key("main", ["query-funds"])
        other = rest.with_key(weak.key, weak.secret)
        assert (await other.private("Balance"))["error"] == []
        for name in ("OpenOrders", "Ledgers", "GetWebSocketsToken", "CancelAll"):
            assert await other.private(name) == {"error": ["EGeneral:Permission denied"]}


# ── names ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "key"),
    [("XXBTZUSD", "XXBTZUSD"), ("XBTUSD", "XXBTZUSD"), ("BTC/USD", "BTC/USD")],
)
async def test_results_stand_under_the_pairs_key_or_the_v2_symbol_that_was_sent(
    asked: str, key: str
):
    async with desk() as (_, rest):
        for name in ("Depth", "Ticker", "Trades", "OHLC", "AssetPairs"):
            result = (await rest.public(name, pair=asked))["result"]
            assert [found for found in result if found != "last"] == [key]


@pytest.mark.parametrize("asked", ["XBT/USD", "XDG/USD"])
async def test_v1_names_are_refused(asked: str):
    async with desk() as (_, rest):
        assert await rest.public("Depth", pair=asked) == {"error": ["EQuery:Unknown asset pair"]}


async def test_pairs_come_with_empty_fees_and_everything_a_client_needs():
    async with desk() as (_, rest):
        result = (await rest.public("AssetPairs"))["result"]
        assert len(result) == len(SYMBOLS)
        row = result["XXBTZUSD"]
        assert (row["altname"], row["wsname"]) == ("XBTUSD", "XBT/USD")
        assert (row["base"], row["quote"]) == ("XXBT", "ZUSD")
        assert row["fees"] == row["fees_maker"] == []
        assert (row["pair_decimals"], row["lot_decimals"], row["cost_decimals"]) == (1, 8, 5)
        assert (row["ordermin"], row["costmin"], row["tick_size"]) == ("0.00005", "0.5", "0.1")
        assert row["status"] == "online"
        fees = (await rest.public("AssetPairs", info="fees"))["result"]["XXBTZUSD"]
        assert set(fees) == {"fees", "fees_maker", "fee_volume_currency"}
        leverage = (await rest.public("AssetPairs", info="leverage"))["result"]["XXBTZUSD"]
        assert set(leverage) == {"leverage_buy", "leverage_sell"}
        margin = (await rest.public("AssetPairs", info="margin"))["result"]["XXBTZUSD"]
        assert set(margin) == {"margin_call", "margin_stop"}


async def test_a_country_leaves_out_what_it_may_not_trade():
    async with desk(ExchangeSettings(restricted={"DE": ["SOL"]})) as (_, rest):
        pairs = (await rest.public("AssetPairs", country_code="DE"))["result"]
        assert not [key for key in pairs if "SOL" in key]
        assert "SOLEUR" in (await rest.public("AssetPairs", country_code="FR"))["result"]


async def test_pairs_may_come_without_a_status():
    async with desk(status_missing=1.0) as (_, rest):
        rows = (await rest.public("AssetPairs"))["result"].values()
        assert not [row for row in rows if "status" in row]


async def test_assets_are_named_in_three_spellings():
    async with desk() as (_, rest):
        assets = (await rest.public("Assets"))["result"]
        assert assets["XXBT"]["altname"] == "XBT"
        assert assets["ZEUR"]["decimals"] == 4
        for name in ("XXBT", "XBT", "BTC"):
            assert list((await rest.public("Assets", asset=name))["result"]) == ["XXBT"]
        assert await rest.public("Assets", asset="NOPE") == {"error": ["EQuery:Unknown asset"]}


async def test_the_status_and_the_time_are_told():
    async with desk() as (running, rest):
        assert (await rest.public("Time"))["result"] == {
            "unixtime": NOON_NS // SECOND_NS,
            "rfc1123": "Mon, 14 Sep 26 12:00:00 +0000",
        }
        running.exchange.hand.set_engine("post_only")
        assert (await rest.public("SystemStatus"))["result"] == {
            "status": "post_only",
            "timestamp": "2026-09-14T12:00:00Z",
        }


# ── market data ──────────────────────────────────────────────────────────────────────────────────


async def test_depth_pads_prices_and_cuts_volumes_to_three_decimals():
    async with desk() as (running, rest):
        book = running.exchange.book("BTC/USD", 5)
        result = (await rest.public("Depth", pair="XBTUSD", count="5"))["result"]["XXBTZUSD"]
        assert len(result["asks"]) == len(result["bids"]) == 5
        for (price, volume, second), (ticks, lots) in zip(result["asks"], book.asks, strict=True):
            assert price == f"{Decimal(ticks) / 10:.5f}"
            assert volume == f"{Decimal(lots // 100_000) / 1000:.3f}"  # 8 decimals cut to 3
            assert isinstance(second, int)


async def test_trades_candles_tickers_and_spreads_have_the_documented_shape():
    async with desk() as (running, rest):
        running.exchange.hand.trade("SOL/EUR", side=Side.BUY, quantity=Decimal("0.5"))
        trades = (await rest.public("Trades", pair="SOLEUR"))["result"]
        price, volume, _, side, kind, misc, number = trades["SOLEUR"][-1]
        assert (volume, side, kind, misc) == ("0.50000000", "b", "m", "")
        assert isinstance(number, int)
        assert int(trades["last"]) > 0
        candle = (await rest.public("OHLC", pair="SOLEUR"))["result"]["SOLEUR"][-1]
        assert len(candle) == 8
        assert Decimal(candle[4]) == Decimal(price)
        ticker = (await rest.public("Ticker", pair="SOLEUR"))["result"]["SOLEUR"]
        assert {name: len(value) for name, value in ticker.items() if name != "o"} == {
            "a": 3, "b": 3, "c": 2, "v": 2, "p": 2, "t": 2, "l": 2, "h": 2,
        }  # fmt: skip
        assert len((await rest.public("Ticker"))["result"]) == len(SYMBOLS)
        spread = (await rest.public("Spread", pair="SOLEUR"))["result"]["SOLEUR"][0]
        assert Decimal(spread[1]) < Decimal(spread[2])


# ── account ──────────────────────────────────────────────────────────────────────────────────────


async def test_balances_are_by_asset_id_at_ledger_precision_with_holds_apart():
    async with desk() as (_, rest):
        await resting(rest)
        balances = (await rest.private("Balance"))["result"]
        assert balances["ZEUR"] == "100000.0000"
        assert balances["XXBT"] == "2.0000000000"
        extended = (await rest.private("BalanceEx"))["result"]["ZEUR"]
        # 0.5 at 20.00 and 0.40 % of fee.
        assert extended["balance"] == "100000.0000"
        assert Decimal(extended["hold_trade"]) == Decimal("10.04")
        assert (extended["credit"], extended["credit_used"]) == ("0.0000", "0.0000")


async def test_fees_come_from_trade_volume_in_both_spellings():
    async with desk() as (_, rest):
        result = (await rest.private("TradeVolume", pair="SOLEUR,XBTUSD"))["result"]
        assert result["currency"] == "ZUSD"
        assert result["fees"]["SOLEUR"]["fee"] == "0.4000"
        assert result["fees_maker"]["XXBTZUSD"]["fee"] == "0.2500"
        assert {"minfee", "maxfee", "nextfee", "nextvolume", "tiervolume"} < set(
            result["fees"]["SOLEUR"]
        )
        assert "fees" not in (await rest.private("TradeVolume"))["result"]
    async with desk(minimum_fee_names="documented") as (_, rest):
        row = (await rest.private("TradeVolume", pair="SOLEUR"))["result"]["fees"]["SOLEUR"]
        assert "min_fee" in row


async def test_the_keys_permissions_are_told_in_both_spellings():
    async with desk() as (_, rest):
        info = (await rest.private("GetApiKeyInfo"))["result"]
        assert "modify-trades" in info["permissions"]
        assert "withdraw-funds" not in info["permissions"]
        assert "nonce_window" in info
    async with desk(api_key_names="documented") as (_, rest):
        assert "apiKeyName" in (await rest.private("GetApiKeyInfo"))["result"]


async def test_a_token_for_the_websocket_lasts_900_seconds():
    async with desk() as (_, rest):
        result = (await rest.private("GetWebSocketsToken"))["result"]
        assert result["expires"] == 900
        assert len(result["token"]) == 43


# ── orders ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_is_described_filled_recorded_and_booked():
    async with desk() as (running, rest):
        price = ask_price(running)
        answer = await rest.private(
            "AddOrder", pair="SOL/EUR", type="buy", ordertype="limit", volume="0.5",
            price=price, timeinforce="IOC", cl_ord_id="arb-1", oflags="fciq",
        )  # fmt: skip
        result = answer["result"]
        assert result["descr"]["order"].startswith("buy 0.50000000 SOLEUR @ limit ")
        (order_id,) = result["txid"]
        record = (await rest.private("QueryOrders", txid=order_id, trades="true"))["result"][
            order_id
        ]
        assert record["status"] == "closed"
        assert record["vol"] == record["vol_exec"] == "0.50000000"
        assert record["descr"]["pair"] == "SOLEUR"
        assert record["cl_ord_id"] == "arb-1"
        assert record["oflags"] == "fciq"
        assert Decimal(record["cost"]) == price / 2
        history = (await rest.private("TradesHistory"))["result"]
        assert history["count"] == 1
        (row,) = history["trades"].values()
        assert (row["ordertxid"], row["pair"], row["maker"]) == (order_id, "SOLEUR", False)
        assert row["cost"] == record["cost"]
        assert row["fee"] == record["fee"]
        ledger = (await rest.private("Ledgers", asset="EUR"))["result"]["ledger"]
        newest = next(iter(ledger.values()))
        assert newest["type"] == "trade"
        assert newest["asset"] == "ZEUR"
        balance = (await rest.private("Balance"))["result"]["ZEUR"]
        assert newest["balance"] == balance
        by_id = (await rest.private("QueryLedgers", id=next(iter(ledger))))["result"]
        assert next(iter(by_id.values())) == newest


async def test_validation_gives_no_id():
    async with desk() as (running, rest):
        answer = await rest.private(
            "AddOrder", pair="SOLEUR", type="buy", ordertype="market", volume="1", validate="true"
        )
        assert set(answer["result"]) == {"descr"}
        assert not running.exchange.inquiry.closed_orders("main")


async def test_a_market_order_can_be_given_in_quote():
    async with desk() as (running, rest):
        order_id = await taken(
            running, rest, ordertype="market", volume="100", oflags="viqc", timeinforce="GTC",
            price="0",
        )  # fmt: skip
        record = (await rest.private("QueryOrders", txid=order_id))["result"][order_id]
        assert Decimal(99) < Decimal(record["cost"]) <= Decimal(100)


async def test_fok_fills_whole_or_not_at_all():
    async with desk() as (running, rest):
        whole = await taken(running, rest, timeinforce="FOK")
        record = (await rest.private("QueryOrders", txid=whole))["result"][whole]
        assert record["vol_exec"] == "0.50000000"
        pair, book = running.exchange.pair("SOL/EUR"), running.exchange.book("SOL/EUR", 1)
        there = Decimal(book.asks[0][1]).scaleb(-pair.lot_decimals)
        await rest.private(
            "AddOrder", pair="SOLEUR", type="buy", ordertype="limit", volume=there + 1,
            price=ask_price(running), timeinforce="FOK",
        )  # fmt: skip
        # Whether it was refused or cancelled: nothing was filled.
        assert len(running.exchange.inquiry.fills("main")) == 1
        assert running.exchange.book("SOL/EUR", 1).asks == book.asks


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"volume": "0.0001"}, "EOrder:Order minimum not met"),
        ({"volume": "many"}, "EGeneral:Invalid arguments:volume"),
        ({"price": "+5"}, "EGeneral:Invalid arguments:price"),
        ({"pair": "XBT/USD"}, "EQuery:Unknown asset pair"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"volume": "900000"}, "EOrder:Insufficient funds"),
        ({"deadline": "2026-09-14T12:00:01Z"}, None),
        ({"cl_ord_id": "a", "userref": "4"}, None),
    ],
)
async def test_a_wrong_order_is_refused(changes: dict[str, str], error: str | None):
    async with desk() as (running, rest):
        order = {"pair": "SOLEUR", "type": "buy", "ordertype": "limit"}
        order |= {"volume": "0.5", "price": "20.00"}
        answer = await rest.private("AddOrder", **(order | changes))
        assert answer["error"] == [error] if error else answer["error"]
        assert "result" not in answer
        assert not running.exchange.inquiry.open_orders("main")


async def test_a_batch_has_text_ids_and_refusals_in_its_rows():
    async with desk() as (_, rest):
        row = {"ordertype": "limit", "type": "buy", "volume": "0.5", "price": "20.00"}
        rich = row | {"volume": "4900"}
        answer = await rest.private_json("AddOrderBatch", pair="SOLEUR", orders=[row, rich, rich])
        assert answer["error"] == []
        first, second, third = answer["result"]["orders"]
        assert isinstance(first["txid"], str)
        assert first["descr"]["order"].startswith("buy 0.5")
        assert "txid" in second
        assert third["error"] == "EOrder:Insufficient funds"
        one = await rest.private_json("AddOrderBatch", pair="SOLEUR", orders=[row])
        assert one["error"] == ["EGeneral:Invalid arguments:orders"]


async def test_orders_are_amended_edited_and_cancelled():
    async with desk() as (running, rest):
        order_id = await resting(rest)
        amended = await rest.private("AmendOrder", txid=order_id, order_qty="0.4")
        assert amended["result"]["amend_id"].startswith("T")
        record = (await rest.private("QueryOrders", txid=order_id))["result"][order_id]
        assert (record["vol"], record["misc"]) == ("0.40000000", "amended")
        edited = (
            await rest.private("EditOrder", txid=order_id, pair="SOLEUR", volume="0.3")
        )["result"]  # fmt: skip
        assert edited["originaltxid"] == order_id
        assert edited["txid"] != order_id
        assert (await rest.private("CancelOrder", txid=edited["txid"]))["result"] == {"count": 1}
        gone = await rest.private("CancelOrder", txid=edited["txid"])
        assert gone == {"error": ["EOrder:Unknown order"]}
        for _ in range(2):
            await resting(rest, userref="42")
        assert (await rest.private("CancelOrder", txid="42"))["result"] == {"count": 2}
        named = await resting(rest, cl_ord_id="named")
        other = await resting(rest)
        batch = await rest.private_json("CancelOrderBatch", orders=[other], cl_ord_ids=["named"])
        assert batch["result"] == {"count": 2}
        await resting(rest)
        assert (await rest.private("CancelAll"))["result"] == {"count": 1}
        assert not running.exchange.inquiry.open_orders("main")
        closed = (await rest.private("ClosedOrders"))["result"]
        assert closed["closed"][named]["reason"] == "User requested"


async def test_the_dead_mans_switch_is_set_over_rest_too():
    async with desk() as (running, rest):
        await resting(rest)
        answer = await rest.private("CancelAllOrdersAfter", timeout="60")
        assert answer["result"] == {
            "currentTime": "2026-09-14T12:00:00Z",
            "triggerTime": "2026-09-14T12:01:00Z",
        }
        running.clock.forward(61 * SECOND_NS)
        assert (await rest.private("OpenOrders"))["result"] == {"open": {}}


async def test_open_orders_may_lag_while_query_orders_is_exact():
    async with desk(open_orders_lag_ms=2000) as (running, rest):
        order_id = await resting(rest)
        assert (await rest.private("OpenOrders"))["result"]["open"] == {}
        record = (await rest.private("QueryOrders", txid=order_id))["result"][order_id]
        assert record["status"] == "open"
        running.clock.forward(3 * SECOND_NS)
        assert list((await rest.private("OpenOrders"))["result"]["open"]) == [order_id]
        await rest.private("CancelOrder", txid=order_id)
        stale = (await rest.private("OpenOrders"))["result"]["open"]
        assert stale[order_id]["status"] == "open"
        record = (await rest.private("QueryOrders", txid=order_id))["result"][order_id]
        assert record["status"] == "canceled"


async def test_rest_can_lag_behind_the_stream_on_demand():
    async with desk() as (running, rest):
        running.faults.inject("rest_lag", value=Decimal(5000))
        await taken(running, rest)
        assert (await rest.private("TradesHistory"))["result"]["trades"] == {}
        assert (await rest.private("TradesHistory"))["result"]["count"] == 1


async def test_fills_of_a_taker_come_as_one_trade_unless_asked_for():
    async with desk() as (running, rest):
        book = running.exchange.book("SOL/EUR", 3)
        pair = running.exchange.pair("SOL/EUR")
        both = sum(lots for _, lots in book.asks[:2])
        order_id = await taken(
            running, rest, volume=Decimal(both).scaleb(-pair.lot_decimals),
            price=Decimal(book.asks[2][0]).scaleb(-pair.price_decimals),
        )  # fmt: skip
        fills = running.exchange.inquiry.fills("main")
        assert len(fills) >= 2
        (row,) = (await rest.private("TradesHistory"))["result"]["trades"].values()
        assert row["ordertxid"] == order_id
        assert Decimal(row["vol"]) == Decimal(both).scaleb(-pair.lot_decimals)
        apart = await rest.private("TradesHistory", consolidate_taker="false", ledgers="true")
        rows = apart["result"]["trades"]
        assert set(rows) == {fill.exec_id for fill in fills}
        exact = await rest.private("QueryTrades", txid=",".join(rows))
        assert set(exact["result"]) == set(rows)


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["EService:Busy", "EService:Unavailable"])
async def test_the_venue_can_say_busy_after_it_took_the_order(text: str):
    async with desk() as (running, rest):
        running.faults.inject("busy_after", text=text)
        answer = await rest.private(
            "AddOrder", pair="SOLEUR", type="buy", ordertype="limit", volume="0.5",
            price="20.00", cl_ord_id="taken",
        )  # fmt: skip
        assert answer == {"error": [text]}
        assert [order.client_id for order in running.exchange.inquiry.open_orders("main")] == [
            "taken"
        ]
        found = (await rest.private("OpenOrders", cl_ord_id="taken"))["result"]["open"]
        assert len(found) == 1


async def test_a_gateway_error_comes_before_or_after_the_order_was_taken():
    async with desk() as (running, rest):
        for text, open_orders in ((None, 0), ("after", 1)):
            running.faults.inject("http_error", method="AddOrder", value=Decimal(502), text=text)
            with pytest.raises(AssertionError, match="502"):
                await resting(rest)
            assert len(running.exchange.inquiry.open_orders("main")) == open_orders


@pytest.mark.parametrize(("kind", "open_orders"), [("lost_request", 0), ("lost_ack", 1)])
async def test_an_answer_may_never_come(kind: str, open_orders: int):
    async with desk() as (running, rest):
        running.faults.inject(kind, method="AddOrder")
        waiting = asyncio.create_task(resting(rest))
        async with calling(running.rest, running.key.key, running.key.secret) as other:
            while not running.faults.counts().get(kind):
                await other.public("Time")
        assert not waiting.done()
        assert len(running.exchange.inquiry.open_orders("main")) == open_orders
        waiting.cancel()
        await asyncio.wait((waiting,))


async def test_an_answer_can_be_slow():
    async with desk() as (running, rest):
        running.faults.inject("slow_response", method="Balance", value=Decimal(60))
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await rest.private("Balance"))["error"] == []
        assert loop.time() - began >= 0.06


async def test_nothing_that_a_client_sends_breaks_rest():
    odd: list[object] = [
        None,
        True,
        -1,
        10**30,
        "",
        "x",
        "-",
        "1e400",
        "NaN",
        [],
        [{}, {}],
        {"a": 1},
    ]
    private = (
        "AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder", "CancelOrder", "CancelOrderBatch",
        "CancelAllOrdersAfter", "OpenOrders", "ClosedOrders", "QueryOrders", "TradesHistory",
        "QueryTrades", "Ledgers", "QueryLedgers", "TradeVolume",
    )  # fmt: skip
    fields = (
        "pair", "type", "ordertype", "volume", "price", "oflags", "timeinforce", "deadline", "txid",
        "cl_ord_id", "userref", "orders", "starttm", "expiretm", "timeout", "ofs", "start", "asset",
        "order_qty", "limit_price", "id", "nonce",
    )  # fmt: skip
    order = {"pair": "SOLEUR", "type": "buy", "ordertype": "limit", "volume": "1", "price": "20"}
    async with desk() as (running, rest):
        for value in odd:
            for name in private:
                running.clock.forward(4 * SECOND_NS)
                for field in fields:
                    nonce = str(next(NONCES))
                    body = json.dumps({"nonce": nonce, **order, field: value}).encode()
                    answer = await rest.signed(name, body, nonce, "application/json")
                    assert answer["error"] or "result" in answer
            for name in ("Depth", "Trades", "OHLC", "AssetPairs", "Ticker", "Assets", "Spread"):
                for field in ("pair", "count", "since", "interval", "info", "asset"):
                    given = {"pair": "SOLEUR"} | {field: json.dumps(value)}
                    answer = await rest.public(name, **given)
                    assert answer["error"] or "result" in answer


async def test_every_answer_is_json_with_http_200():
    async with (
        desk() as (running, _),
        aiohttp.ClientSession() as session,
        session.post(f"{running.rest}/0/private/Balance") as response,
    ):
        assert response.status == 200
        assert response.content_type == "application/json"
        assert await response.json() == {"error": ["EAPI:Invalid key"]}
