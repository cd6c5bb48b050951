"""The simulator's private host: orders, executions, balances, and everything that goes wrong."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import attrs
import pytest

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.probe import SocketProbe, calling, probing
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

SYMBOLS = ("BTC/USD", "ETH/USD", "ETH/BTC", "SOL/USD", "SOL/EUR", "EUR/USD")
NOON_NS = 1_789_387_200_000_000_000
SECOND_NS = 1_000_000_000
ORDER_ID = re.compile(r"[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{6}")


@attrs.frozen
class Desk:
    """A simulator, a socket on its private host, and a token."""

    running: RunningSimulator
    probe: SocketProbe
    token: str

    async def ask(self, method: str, **params: object) -> Any:
        return await self.probe.ask(method, token=self.token, **params)

    async def tell(self, method: str, **params: object) -> int:
        return await self.probe.tell(method, token=self.token, **params)

    def price(self, side: str, symbol: str = "SOL/EUR", away: int = 0) -> Decimal:
        """The best price a taker of this side pays, or one `away` ticks worse for the maker."""
        pair = self.running.exchange.pair(symbol)
        book = self.running.exchange.book(symbol, 1)
        ticks = book.asks[0][0] if side == "buy" else book.bids[0][0]
        return Decimal(ticks - away if side == "buy" else ticks + away).scaleb(-pair.price_decimals)

    def resting(self, symbol: str = "SOL/EUR") -> Decimal:
        """A buy price far below the market."""
        pair = self.running.exchange.pair(symbol)
        return (self.price("sell", symbol) / 2).quantize(pair.tick)

    async def add(self, **changes: object) -> Any:
        order: dict[str, object] = {
            "order_type": "limit",
            "side": "buy",
            "symbol": "SOL/EUR",
            "order_qty": Decimal("0.5"),
        }
        if "limit_price" not in changes and changes.get("order_type") != "market":
            order["limit_price"] = self.resting()
        return await self.ask("add_order", **(order | changes))

    async def executions(self, until: str) -> list[dict[str, Any]]:
        """The unread reports up to and including one of this kind."""
        rows = []
        while not rows or rows[-1]["exec_type"] != until:
            rows += (await self.probe.update("executions", "update"))["data"]
        return rows


@asynccontextmanager
async def desk(
    *, subscribe: bool = True, rules: ExchangeSettings | None = None, **wire: Any
) -> AsyncIterator[Desk]:
    """A simulator without delays whose market and clock move only when told."""
    settings = SimulatorSettings(
        symbols=SYMBOLS,
        rate=0,
        wire=attrs.evolve(WireSettings().prompt(), heartbeat_s=0, **wire),
        exchange=rules,
    )
    async with (
        running_simulator(settings, MovableClock(NOON_NS)) as running,
        probing(running.ws_auth) as probe,
        calling(running.rest, running.key.key, running.key.secret) as rest,
    ):
        token = (await rest.private("GetWebSocketsToken"))["result"]["token"]
        found = Desk(running, probe, token)
        if subscribe:
            for channel in ("executions", "balances"):
                await found.ask("subscribe", channel=channel)
                await probe.update(channel, "snapshot")
        yield found


# ── subscriptions ────────────────────────────────────────────────────────────────────────────────


async def test_the_acknowledgement_of_executions_reveals_the_tier():
    async with desk(subscribe=False) as at:
        answer = await at.ask("subscribe", channel="executions", snap_trades=True)
        assert answer["result"] == {
            "channel": "executions",
            "maxratecount": 125,
            "snap_orders": True,
            "snap_trades": True,
        }
        snapshot = await at.probe.update("executions")
        assert (snapshot["type"], snapshot["data"], snapshot["sequence"]) == ("snapshot", [], 1)


async def test_a_snapshot_has_open_orders_complete_and_fills_without_sums():
    async with desk(subscribe=False) as at:
        resting = await at.add(cl_ord_id="rests")
        await at.add(limit_price=at.price("buy"), time_in_force="ioc", cl_ord_id="fills")
        await at.ask("subscribe", channel="executions", snap_trades=True)
        rows = (await at.probe.update("executions", "snapshot"))["data"]
        order, fill = rows
        assert order["order_id"] == resting["result"]["order_id"]
        assert order["order_status"] == "new"
        assert {"symbol", "side", "order_qty", "limit_price", "time_in_force", "cum_qty"} <= set(
            order
        )
        assert fill["exec_type"] == "trade"
        assert fill["order_status"] == "filled"
        assert not {"cum_qty", "cum_cost", "avg_price"} & set(fill)


async def test_fills_of_the_snapshot_can_come_again():
    async with desk(subscribe=False) as at:
        await at.add(limit_price=at.price("buy"), time_in_force="ioc")
        at.running.faults.inject("duplicate_snapshot_trades")
        await at.ask("subscribe", channel="executions", snap_trades=True)
        snapshot = await at.probe.update("executions", "snapshot")
        again = await at.probe.update("executions", "update")
        assert again["data"] == snapshot["data"]
        assert again["sequence"] == 2


async def test_balances_tell_wallets_at_ledger_precision():
    async with desk(subscribe=False) as at:
        await at.ask("subscribe", channel="balances")
        snapshot = await at.probe.update("balances", "snapshot")
        assert snapshot["sequence"] == 1
        rows = {row["asset"]: row for row in snapshot["data"]}
        assert str(rows["EUR"]["balance"]) == "100000.0000"
        assert rows["EUR"]["wallets"] == [
            {"type": "spot", "id": "main", "balance": Decimal("100000.0000")}
        ]
        at.running.exchange.hand.deposit("main", "EUR", Decimal("5.5"))
        update = await at.probe.update("balances", "update")
        (row,) = update["data"]
        assert (row["type"], row["asset"], str(row["amount"])) == ("deposit", "EUR", "5.5000")
        assert row["balance"] == Decimal("100005.5")
        assert update["sequence"] == 2


# ── an order's life ──────────────────────────────────────────────────────────────────────────────


async def test_a_taker_order_is_acknowledged_and_reported_in_order():
    async with desk() as at:
        answer = await at.add(
            limit_price=at.price("buy"), time_in_force="ioc", cl_ord_id="arb-7f3a-0002-l1"
        )
        assert answer["success"]
        assert answer["result"]["cl_ord_id"] == "arb-7f3a-0002-l1"
        assert ORDER_ID.fullmatch(answer["result"]["order_id"])
        rows = await at.executions("filled")
        assert [row["exec_type"] for row in rows] == ["pending_new", "new", "trade", "filled"]
        pending, new, trade, filled = rows
        assert {row["order_id"] for row in rows} == {answer["result"]["order_id"]}
        assert pending["limit_price_type"] == "static"
        assert pending["time_in_force"] == "IOC"
        assert pending["stop_price"] == 0
        assert pending["fee_ccy_pref"] == "fciq"
        assert set(new) == {"timestamp", "order_status", "exec_type", "cl_ord_id", "order_id"}
        assert trade["order_status"] == "partially_filled"  # even though it completes the order
        assert trade["liquidity_ind"] == "t"
        assert trade["cum_qty"] == trade["last_qty"] == Decimal("0.5")
        assert trade["fees"][0]["asset"] == "EUR"
        assert filled["order_status"] == "filled"
        assert "symbol" not in filled
        assert "side" not in filled
        # The acknowledgement came before the first report.
        frames = at.probe.frames
        first = next(f for f in frames if f.get("channel") == "executions" and f["sequence"] == 2)
        assert frames.index(answer) < frames.index(first)


async def test_money_is_rounded_as_the_venue_rounds_it():
    async with desk() as at:
        price = at.price("buy")
        await at.add(limit_price=price, order_qty=Decimal("0.12345678"), time_in_force="ioc")
        trade = (await at.executions("filled"))[2]
        # SOL/EUR: cost and fee to the nearest 5 decimals, the entry tier pays 0.40 %.
        cost = (Decimal("0.12345678") * price).quantize(Decimal("0.00001"))
        assert trade["cost"] == cost
        assert str(trade["cost"])[::-1].find(".") == 5
        assert trade["fees"][0]["qty"] == (cost * Decimal("0.004")).quantize(Decimal("0.00001"))


async def test_a_trade_makes_two_balance_messages_each_with_its_own_number():
    async with desk() as at:
        await at.add(limit_price=at.price("buy"), time_in_force="ioc")
        trade = (await at.executions("filled"))[2]
        messages = [await at.probe.update("balances", "update") for _ in range(2)]
        assert [message["sequence"] for message in messages] == [2, 3]
        rows = [message["data"][0] for message in messages]
        assert {row["asset"] for row in rows} == {"EUR", "SOL"}
        assert {row["ref_id"] for row in rows} == {trade["exec_id"]}
        for row in rows:
            before = Decimal(100_000) if row["asset"] == "EUR" else Decimal(500)
            assert row["balance"] == before + row["amount"] - row["fee"]
            assert (row["wallet_type"], row["wallet_id"]) == ("spot", "main")
        frames = at.probe.frames
        report = next(f for f in frames if f.get("data") == [trade])
        assert frames.index(report) < frames.index(messages[0])


async def test_an_ioc_order_fills_what_is_there_and_the_rest_is_cancelled():
    async with desk() as at:
        exchange = at.running.exchange
        pair, book = exchange.pair("SOL/EUR"), exchange.book("SOL/EUR", 1)
        there = Decimal(book.asks[0][1]).scaleb(-pair.lot_decimals)
        await at.add(order_qty=there + 1, limit_price=at.price("buy"), time_in_force="ioc")
        canceled = (await at.executions("canceled"))[-1]
        assert canceled["cum_qty"] == there
        assert canceled["order_status"] == "canceled"
        assert canceled["reason"] == canceled["cancel_reason"]
        # What was taken is gone from the book.
        assert exchange.book("SOL/EUR", 1).asks[0][0] > book.asks[0][0]


async def test_an_ioc_order_that_reaches_nothing_is_cancelled_empty():
    async with desk() as at:
        await at.add(time_in_force="ioc")
        rows = await at.executions("canceled")
        assert [row["exec_type"] for row in rows] == ["pending_new", "new", "canceled"]
        assert rows[-1]["cum_qty"] == 0


async def test_a_resting_order_is_filled_as_maker_when_somebody_hits_it():
    async with desk() as at:
        price = at.price("sell", away=1)
        if price >= at.price("buy"):
            price = at.price("sell")
        await at.add(limit_price=price, cl_ord_id="bid")
        await at.executions("new")
        at.running.exchange.hand.trade("SOL/EUR", side=Side.SELL, quantity=Decimal(5000))
        rows = await at.executions("filled")
        assert {row["liquidity_ind"] for row in rows if row["exec_type"] == "trade"} == {"m"}
        assert sum(row["last_qty"] for row in rows if row["exec_type"] == "trade") == Decimal("0.5")


async def test_validation_places_nothing_and_names_no_order():
    async with desk() as at:
        answer = await at.add(validate=True)
        assert answer["success"]
        assert answer["result"]["order_id"] == ""
        assert not at.running.exchange.inquiry.open_orders("main")


async def test_executions_may_overtake_the_acknowledgement():
    async with desk(executions_first=True) as at:
        answer = await at.add()
        frames = at.probe.frames
        report = next(f for f in frames if f.get("channel") == "executions" and f["sequence"] == 2)
        assert frames.index(report) < frames.index(answer)
    async with desk() as at:
        at.running.faults.inject("early_executions")
        answer = await at.add()
        frames = at.probe.frames
        report = next(f for f in frames if f.get("channel") == "executions" and f["sequence"] == 2)
        assert frames.index(report) < frames.index(answer)


async def test_order_status_false_leaves_out_changes_between_the_ends():
    async with desk(subscribe=False) as at:
        await at.ask("subscribe", channel="executions", order_status=False)
        await at.add(cl_ord_id="a")
        await at.ask("amend_order", cl_ord_id="a", order_qty=Decimal("0.4"))
        await at.ask("cancel_order", cl_ord_id=["a"])
        rows = await at.executions("canceled")
        assert [row["exec_type"] for row in rows] == ["new", "canceled"]


async def test_the_rate_counter_can_be_asked_into_the_stream():
    async with desk(subscribe=False) as at:
        await at.ask("subscribe", channel="executions", ratecounter=True)
        await at.add()
        rows = await at.executions("new")
        assert rows[-1]["ratecount"] == 1


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"order_qty": Decimal("0.001")}, "EOrder:Order minimum not met"),
        ({"limit_price": Decimal("1.001")}, None),
        ({"limit_price": "12.5"}, "Limit_price field must be a number_float"),
        ({"order_qty": "1"}, "Order_qty field must be a number_float"),
        ({"leverage": 2}, "Unsupported field: 'leverage'"),
        ({"timeinforce": "ioc"}, "Unsupported field: 'timeinforce'"),
        ({"order_qty": Decimal(900_000)}, "EOrder:Insufficient funds"),
        ({"symbol": "SOL/XYZ"}, None),
        ({"order_qty": Decimal("0.123456789")}, None),
        ({"cl_ord_id": "a", "order_userref": 7}, None),
        ({"deadline": "2026-09-14T12:00:00.100Z"}, None),
        ({"deadline": "2026-09-14T12:01:01Z"}, None),
        ({"deadline": "soon"}, "EGeneral:Invalid arguments:deadline"),
        ({"side": "hold"}, "EGeneral:Invalid arguments:side"),
        ({"time_in_force": "fok"}, None),
        ({"reduce_only": True}, None),
        ({"post_only": True, "order_type": "market"}, None),
        ({"order_qty": Decimal(1), "limit_price": Decimal("0.01")}, "EOrder:Cost minimum not met"),
    ],
)
async def test_a_wrong_order_is_refused(changes: dict[str, object], text: str | None):
    async with desk() as at:
        answer = await at.add(**changes)
        assert answer["success"] is False
        assert isinstance(answer["error"], str)
        assert text is None or answer["error"] == text
        assert "result" not in answer
        assert not at.running.exchange.inquiry.open_orders("main")
        assert (await at.probe.ask("ping"))["method"] == "pong"


async def test_funds_must_cover_the_fee_too():
    async with desk() as at:
        price = at.resting()
        # 100,000 EUR buy exactly this at the price, and nothing is left for the fee.
        quantity = (Decimal(100_000) / price).quantize(Decimal("0.00001"))
        quantity -= Decimal("0.00001")
        answer = await at.add(order_qty=quantity, limit_price=price)
        assert answer["error"] == "EOrder:Insufficient funds"
        afford = (Decimal(100_000) / price / Decimal("1.004")).quantize(Decimal("0.00001"))
        afford -= Decimal("0.00001")
        assert (await at.add(order_qty=afford, limit_price=price))["success"]


async def test_a_client_id_is_unique_among_open_orders():
    async with desk() as at:
        assert (await at.add(cl_ord_id="same"))["success"]
        assert not (await at.add(cl_ord_id="same"))["success"]
        await at.ask("cancel_order", cl_ord_id=["same"])
        assert (await at.add(cl_ord_id="same"))["success"]


async def test_a_post_only_order_that_would_take_does_not():
    async with desk() as at:
        answer = await at.add(post_only=True, limit_price=at.price("buy"))
        assert answer["success"] is False
        assert answer["error"] == "EOrder:Post only order"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("cancel_only", "EService:Market in cancel_only mode"),
        ("post_only", "EService:Market in post_only mode"),
    ],
)
async def test_a_pair_or_engine_that_is_not_online_refuses_orders(status: str, text: str):
    async with desk() as at:
        await at.add(cl_ord_id="before")
        at.running.exchange.hand.set_pair("SOL/EUR", status=status)
        assert (await at.add())["error"] == text
        assert (await at.ask("cancel_order", cl_ord_id=["before"]))["success"]
        at.running.exchange.hand.set_pair("SOL/EUR", status="online")
        at.running.exchange.hand.set_engine(status)
        assert (await at.add())["error"] == text


async def test_the_rate_counter_refuses_and_decays():
    async with desk() as at:
        refused = None
        for _ in range(140):
            answer = await at.add(order_qty=Decimal("0.001"))  # refused ones are charged too
            if answer["error"] == "EOrder:Rate limit exceeded":
                refused = answer
                break
        assert refused is not None
        at.running.clock.forward(60 * SECOND_NS)
        assert (await at.add())["success"]


async def test_too_many_open_orders_in_a_pair_are_refused():
    async with desk() as at:
        for number in range(81):
            at.running.clock.forward(SECOND_NS)
            answer = await at.add(cl_ord_id=f"o-{number}")
        assert answer["error"] == "EOrder:Orders limit exceeded"


async def test_fok_over_the_websocket_is_behind_a_switch():
    async with desk(rules=ExchangeSettings(allow_fok_over_ws=True)) as at:
        answer = await at.add(time_in_force="fok", limit_price=at.price("buy"))
        assert answer["success"]
        assert (await at.executions("filled"))[-1]["cum_qty"] == Decimal("0.5")


async def test_an_order_does_not_trade_with_another_of_the_account():
    async with desk() as at:
        exchange = at.running.exchange
        bid, ask = at.price("sell"), at.price("buy")
        tick = exchange.pair("SOL/EUR").tick
        price = bid + tick if bid + tick < ask else bid
        await at.add(limit_price=price, cl_ord_id="mine", order_qty=Decimal(1))
        await at.executions("new")
        await at.add(
            side="sell", limit_price=price, cl_ord_id="newest", order_qty=Decimal(1),
            time_in_force="ioc",
        )  # fmt: skip
        rows = await at.executions("canceled")
        assert rows[-1]["cl_ord_id"] == "newest"
        assert [order.client_id for order in exchange.inquiry.open_orders("main")] == ["mine"]


async def test_a_market_order_stops_where_the_price_protection_is():
    rules = ExchangeSettings(protection=Decimal("0.0001"))
    async with desk(rules=rules) as at:
        await at.add(order_type="market", order_qty=Decimal(400), side="sell")
        rows = await at.executions("canceled")
        assert rows[-1]["cum_qty"] < 400


# ── change and cancel ────────────────────────────────────────────────────────────────────────────


async def test_an_amend_keeps_the_id_and_echoes_what_was_sent():
    async with desk() as at:
        placed = await at.add(cl_ord_id="a")
        await at.executions("new")
        answer = await at.ask("amend_order", cl_ord_id="a", order_qty=Decimal("0.4"))
        assert set(answer["result"]) == {"amend_id", "cl_ord_id"}
        (row,) = await at.executions("amended")
        assert row["order_id"] == placed["result"]["order_id"]
        assert row["order_qty"] == Decimal("0.4")
        assert row["amended"] is True
        assert row["order_status"] == "new"
        by_id = await at.ask(
            "amend_order", order_id=placed["result"]["order_id"], order_qty=Decimal("0.3")
        )
        assert by_id["result"]["order_id"] == placed["result"]["order_id"]
        nothing = await at.ask("amend_order", cl_ord_id="a", order_qty=Decimal("0.3"))
        assert nothing["success"] is False


async def test_an_edit_replaces_the_order():
    async with desk() as at:
        placed = (await at.add(order_userref=5))["result"]["order_id"]
        answer = await at.ask(
            "edit_order", order_id=placed, symbol="SOL/EUR", order_qty=Decimal("0.4")
        )
        assert answer["result"]["original_order_id"] == placed
        assert answer["result"]["order_id"] != placed
        (order,) = at.running.exchange.inquiry.open_orders("main")
        assert order.order_id == answer["result"]["order_id"]


async def test_every_cancelled_order_has_its_own_answer():
    async with desk() as at:
        await at.add(cl_ord_id="a")
        await at.add(cl_ord_id="b")
        number = await at.tell("cancel_order", cl_ord_id=["a", "gone", "b"])
        answers = [await at.probe.answer(number) for _ in range(3)]
        good = [answer for answer in answers if answer["success"]]
        assert [answer["result"] for answer in good] == [{"cl_ord_id": "a"}, {"cl_ord_id": "b"}]
        (bad,) = [answer for answer in answers if not answer["success"]]
        assert bad["error"] == "EOrder:Unknown order"
        assert "gone" not in str(bad)
        rows = await at.executions("canceled")
        assert rows[-1]["reason"] == "User requested"


async def test_ids_to_cancel_must_be_arrays():
    async with desk() as at:
        answer = await at.ask("cancel_order", order_id="OQ7ZKD-5WLMN-X2RBTA")
        assert answer["error"] == "Order_id field must be an array"


async def test_cancel_all_counts():
    async with desk() as at:
        for number in range(3):
            await at.add(order_userref=number)
        assert (await at.ask("cancel_all"))["result"] == {"count": 3}
        assert (await at.ask("cancel_all"))["result"] == {"count": 0}


async def test_a_batch_answers_row_by_row():
    async with desk() as at:
        row = {
            "order_type": "limit",
            "side": "buy",
            "order_qty": Decimal("0.5"),
            "limit_price": at.resting(),
        }
        rich = row | {"order_qty": Decimal(1400), "cl_ord_id": "rich"}
        answer = await at.ask(
            "batch_add",
            symbol="SOL/EUR",
            orders=[row | {"cl_ord_id": "ok"}, rich, rich | {"cl_ord_id": "more"}],
        )
        first, second, third = answer["result"]
        assert ORDER_ID.fullmatch(first["order_id"])
        assert first["cl_ord_id"] == "ok"
        assert "order_id" in second
        assert third["error"] == "EOrder:Insufficient funds"
        assert answer["success"] is False
        assert len(at.running.exchange.inquiry.open_orders("main")) == 2


async def test_one_invalid_order_rejects_the_whole_batch():
    async with desk() as at:
        row = {
            "order_type": "limit",
            "side": "buy",
            "order_qty": Decimal("0.5"),
            "limit_price": at.resting(),
        }
        small = row | {"order_qty": Decimal("0.0001")}
        for orders in ([row, small], [row], [row | {"symbol": "BTC/USD"}, row]):
            answer = await at.ask("batch_add", symbol="SOL/EUR", orders=orders)
            assert answer["success"] is False
            assert answer.get("result") is None
        assert not at.running.exchange.inquiry.open_orders("main")


@pytest.mark.parametrize("shape", ["result", "top_level"])
async def test_batch_cancel_counts_in_both_shapes(shape: str):
    async with desk(batch_cancel_count=shape) as at:
        one = (await at.add(cl_ord_id="a"))["result"]["order_id"]
        await at.add(order_userref=77)
        answer = await at.ask("batch_cancel", orders=[one, "77"])
        assert answer["success"]
        if shape == "result":
            assert answer["result"] == {"count": 2}
        else:
            assert answer["orders_cancelled"] == 2
            assert "result" not in answer


async def test_the_dead_mans_switch_cancels_everything_once_and_then_is_off():
    async with desk() as at:
        armed = await at.ask("cancel_all_orders_after", timeout=60)
        assert armed["result"] == {
            "currentTime": "2026-09-14T12:00:00Z",
            "triggerTime": "2026-09-14T12:01:00Z",
        }
        await at.add(cl_ord_id="a")
        await at.executions("new")
        at.running.clock.forward(59 * SECOND_NS)
        await at.probe.settle()
        assert len(at.running.exchange.inquiry.open_orders("main")) == 1
        at.running.clock.forward(2 * SECOND_NS)
        rows = await at.executions("canceled")
        assert rows[-1]["cl_ord_id"] == "a"
        await at.add(cl_ord_id="b")
        at.running.clock.forward(300 * SECOND_NS)
        await at.probe.settle()
        assert len(at.running.exchange.inquiry.open_orders("main")) == 1
        off = await at.ask("cancel_all_orders_after", timeout=0)
        assert off["result"]["triggerTime"] == "0"


# ── time and chance ──────────────────────────────────────────────────────────────────────────────


async def test_requests_take_their_time():
    assert WireSettings().processing_ms == (1, 10)
    async with desk(processing_ms=(30, 30), network_ms=(10, 10)) as at:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert (await at.add())["success"]
        assert loop.time() - began >= 0.04


async def test_unacknowledged_cancels_may_change_places_but_none_overtakes_its_order():
    async def swaps(reorder: bool) -> int:
        count = 0
        async with desk(processing_ms=(0, 20), reorder_unacknowledged=reorder) as at:
            for _ in range(6):
                number = await at.tell(
                    "add_order", order_type="limit", side="buy", symbol="SOL/EUR",
                    order_qty=Decimal("0.5"), limit_price=at.resting(), cl_ord_id="x",
                )  # fmt: skip
                amend = await at.tell("amend_order", cl_ord_id="x", order_qty=Decimal("0.4"))
                cancel = await at.tell("cancel_order", cl_ord_id=["x"])
                assert (await at.probe.answer(number))["success"]
                canceled = await at.probe.answer(cancel)
                assert canceled["success"]
                amended = await at.probe.answer(amend)
                count += not amended["success"]
                at.running.clock.forward(60 * SECOND_NS)
        return count

    assert await swaps(reorder=True) > 0
    assert await swaps(reorder=False) == 0


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_can_be_taken_and_its_acknowledgement_lost():
    async with desk() as at:
        at.running.faults.inject("lost_ack", method="add_order")
        await at.tell(
            "add_order", order_type="limit", side="buy", symbol="SOL/EUR",
            order_qty=Decimal("0.5"), limit_price=at.resting(), cl_ord_id="quiet",
        )  # fmt: skip
        assert (await at.executions("new"))[-1]["cl_ord_id"] == "quiet"
        await at.probe.settle()
        assert not [f for f in at.probe.frames if f.get("method") == "add_order"]
        assert len(at.running.exchange.inquiry.open_orders("main")) == 1


async def test_a_request_can_be_lost():
    async with desk() as at:
        at.running.faults.inject("lost_request", method="add_order")
        await at.tell(
            "add_order", order_type="limit", side="buy", symbol="SOL/EUR",
            order_qty=Decimal("0.5"), limit_price=at.resting(),
        )  # fmt: skip
        await at.probe.settle()
        assert not [f for f in at.probe.frames if f.get("method") == "add_order"]
        assert not at.running.exchange.inquiry.open_orders("main")


@pytest.mark.parametrize("text", ["EService:Busy", "EService:Unavailable"])
async def test_the_venue_can_say_busy_after_it_took_the_order(text: str):
    async with desk() as at:
        at.running.faults.inject("busy_after", method="add_order", text=text)
        answer = await at.add(cl_ord_id="taken")
        assert answer["error"] == text
        assert [order.client_id for order in at.running.exchange.inquiry.open_orders("main")] == [
            "taken"
        ]


async def test_executions_can_be_late_swapped_twice_or_missing():
    async with desk() as at:
        at.running.faults.inject("sequence_gap", channel="executions")
        await at.add(cl_ord_id="gap")
        assert (await at.probe.update("executions"))["sequence"] == 3

        at.running.faults.inject("reordered_executions", channel="executions")
        await at.add(cl_ord_id="swap")
        numbers = [(await at.probe.update("executions"))["sequence"] for _ in range(2)]
        assert numbers == [5, 4]

        at.running.faults.inject("duplicate_message", channel="executions")
        await at.add(cl_ord_id="twice")
        numbers = [(await at.probe.update("executions"))["sequence"] for _ in range(3)]
        assert numbers == [6, 6, 7]

        at.running.faults.inject("delayed_executions", count=2, value=Decimal(50))
        await at.add(cl_ord_id="late")
        await at.probe.settle()
        assert at.probe.frames[-1]["method"] == "pong"
        assert (await at.probe.update("executions"))["sequence"] == 8


async def test_an_answer_can_be_slow():
    async with desk() as at:
        at.running.faults.inject("slow_response", method="add_order", value=Decimal(60))
        number = await at.tell(
            "add_order", order_type="limit", side="buy", symbol="SOL/EUR",
            order_qty=Decimal("0.5"), limit_price=at.resting(),
        )  # fmt: skip
        await at.probe.settle()  # the pong overtakes it
        assert not [f for f in at.probe.frames if f.get("req_id") == number]
        assert (await at.probe.answer(number))["success"]


async def test_a_key_without_the_permission_may_not_trade():
    async with desk(subscribe=False) as at:
        weak = at.running.exchange.accounts.make_key(
            "main", ["create-ws-token", "query-open-trades"]
        )
        async with calling(at.running.rest, weak.key, weak.secret) as rest:
            token = (await rest.private("GetWebSocketsToken"))["result"]["token"]
        answer = await at.probe.ask("cancel_all", token=token)
        assert answer["error"] == "EGeneral:Permission denied"


async def test_accounts_do_not_see_each_other():
    async with desk() as at:
        at.running.exchange.hand.open_account("other", {"EUR": Decimal(1000)})
        key = at.running.exchange.accounts.make_key("other")
        async with (
            calling(at.running.rest, key.key, key.secret) as rest,
            probing(at.running.ws_auth) as probe,
        ):
            token = (await rest.private("GetWebSocketsToken"))["result"]["token"]
            await probe.ask("subscribe", token=token, channel="executions")
            await at.add(cl_ord_id="mine")
            await at.executions("new")
            await probe.settle()
            assert [f for f in probe.frames if f.get("channel") == "executions"] == [
                {"channel": "executions", "type": "snapshot", "data": [], "sequence": 1}
            ]
            assert (await probe.ask("cancel_all", token=token))["result"] == {"count": 0}
