"""The control API: what an operator or a foreign test suite can do to the simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import attrs
import pytest

from arbitrade_kraken.simulator.exchange.clock import MovableClock
from arbitrade_kraken.simulator.exchange.faults import EXCHANGE_FAULTS, WIRE_FAULTS
from arbitrade_kraken.simulator.faces.settings import SimulatorSettings, WireSettings
from arbitrade_kraken.simulator.probe import calling, probing
from arbitrade_kraken.simulator.running import RunningSimulator, running_simulator

NOON_NS = 1_789_387_200_000_000_000


@attrs.frozen
class Panel:
    """A simulator and its control API."""

    running: RunningSimulator
    session: aiohttp.ClientSession

    async def get(self, path: str = "") -> Any:
        async with self.session.get(self.running.control + path) as response:
            assert response.status == 200
            return await response.json()

    async def post(self, path: str, expected: int = 200, **body: object) -> Any:
        async with self.session.post(self.running.control + path, json=body) as response:
            assert response.status == expected, await response.text()
            return await response.json()

    async def delete(self, path: str) -> Any:
        async with self.session.delete(self.running.control + path) as response:
            assert response.status == 200
            return await response.json()


@asynccontextmanager
async def panel() -> AsyncIterator[Panel]:
    settings = SimulatorSettings(
        symbols=("SOL/EUR", "SOL/USD", "EUR/USD"), rate=0, wire=WireSettings().prompt()
    )
    async with (
        running_simulator(settings, MovableClock(NOON_NS)) as running,
        aiohttp.ClientSession() as session,
    ):
        yield Panel(running, session)


async def test_the_front_page_tells_what_runs():
    async with panel() as at:
        about = await at.get()
        assert set(about["pairs"]) == {"SOL/EUR", "SOL/USD", "EUR/USD"}
        assert about["engine"] == "online"
        assert about["accounts"] == ["main"]
        assert about["now_ns"] == NOON_NS


async def test_faults_are_set_listed_counted_and_cleared():
    async with panel() as at:
        known = (await at.get("/faults"))["kinds"]
        assert set(known) == set(EXCHANGE_FAULTS) | set(WIRE_FAULTS)
        first = await at.post("/faults", kind="busy_after", method="AddOrder", count=3)
        second = await at.post("/faults", kind="slow_response", value="20", for_ms=0)
        active = (await at.get("/faults"))["active"]
        assert [fault["kind"] for fault in active] == ["busy_after", "slow_response"]
        assert (active[0]["remaining"], active[0]["method"]) == (3, "AddOrder")
        assert active[1]["value"] == "20"
        left = await at.delete(f"/faults/{first['id']}")
        assert [fault["fault_id"] for fault in left["active"]] == [second["id"]]
        assert (await at.delete("/faults"))["active"] == []


async def test_a_socket_is_cut_the_moment_the_fault_is_set():
    async with panel() as at, probing(at.running.ws) as probe:
        await probe.update("status")
        await at.post("/faults", kind="disconnect", channel="public")
        await probe.until(lambda: probe.is_over)
        assert (await at.get("/faults"))["counts"]["disconnect"] == 1


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/faults", {"kind": "earthquake"}, "earthquake"),
        ("/faults", {}, "kind"),
        ("/faults", {"kind": "lost_ack", "count": "many"}, "count"),
        ("/pair", {"symbol": "NO/SUCH", "status": "online"}, ""),
        ("/engine", {"state": "asleep"}, "asleep"),
        ("/deposit", {"account": "main", "asset": "EUR"}, "amount"),
        ("/deposit", {"account": "nobody", "asset": "EUR", "amount": "1"}, ""),
        ("/trade", {"symbol": "SOL/EUR", "side": "hold", "quantity": 1}, "hold"),
        ("/clock", {"forward_s": -5}, ""),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused_with_its_reason(
    path: str, body: dict[str, object], word: str
):
    async with panel() as at:
        answer = await at.post(path, 400, **body)
        assert word in answer["error"]
        assert answer["error"]


async def test_pairs_and_the_engine_change_while_it_runs():
    async with panel() as at, probing(at.running.ws) as probe:
        await probe.ask("subscribe", channel="instrument")
        await at.post("/pair", symbol="SOL/EUR", status="post_only", minimum_quantity="0.25")
        row = (await probe.update("instrument", "update"))["data"]["pairs"][0]
        while row["qty_min"] != Decimal("0.25") or row["status"] != "post_only":
            row = (await probe.update("instrument", "update"))["data"]["pairs"][0]
        await probe.update("status")
        await at.post("/engine", state="maintenance")
        assert (await probe.update("status"))["data"][0]["system"] == "maintenance"


async def test_the_clock_moves_and_what_is_due_happens():
    async with panel() as at:
        async with calling(at.running.rest, at.running.key.key, at.running.key.secret) as rest:
            await rest.private(
                "AddOrder", pair="SOLEUR", type="buy", ordertype="limit", volume="1", price="20"
            )
            await rest.private("CancelAllOrdersAfter", timeout="60")
        moved = await at.post("/clock", forward_s=61)
        assert moved["now_ns"] == NOON_NS + 61_000_000_000
        oracle = await at.get("/oracle/main")
        assert oracle["open_orders"] == []
        assert len(oracle["closed_orders"]) == 1


async def test_the_oracle_tells_the_ledger_to_the_last_digit():
    async with panel() as at:
        before = await at.get("/oracle/main")
        assert before["holdings"]["EUR"]["total"] == "100000.0000"
        await at.post("/deposit", account="main", asset="EUR", amount="0.0001")
        await at.post("/withdraw", account="main", asset="EUR", amount="1", fee="0.5")
        after = await at.get("/oracle/main")
        assert Decimal(after["holdings"]["EUR"]["total"]) == Decimal("99998.5001")
        rows = [row for row in after["ledger"] if row["asset"] == "EUR"]
        assert [row["kind"] for row in rows[-2:]] == ["deposit", "withdrawal"]
        total = sum(Decimal(row["amount"]) - Decimal(row["fee"]) for row in rows)
        assert total == Decimal("99998.5001")


async def test_a_new_account_gets_a_key_that_works():
    async with panel() as at:
        made = await at.post("/accounts", name="second", balances={"EUR": "1000"}, tier="pro")
        assert (await at.get("/accounts"))["accounts"] == ["main", "second"]
        async with calling(at.running.rest, made["key"], made["secret"]) as rest:
            assert (await rest.private("Balance"))["result"] == {"ZEUR": "1000.0000"}
        weak = await at.post(
            "/keys", account="second", permissions=["query-funds"], nonce_window=100
        )
        async with calling(at.running.rest, weak["key"], weak["secret"]) as rest:
            info = (await rest.private("GetApiKeyInfo"))["result"]
            assert info["permissions"] == ["query-funds"]
            assert info["nonce_window"] == "100"


async def test_strangers_trade_and_quote_and_the_market_steps_when_told():
    async with panel() as at, probing(at.running.ws) as probe:
        await probe.ask("subscribe", channel="trade", symbol=["SOL/EUR"])
        await at.post("/trade", symbol="SOL/EUR", side="buy", quantity="0.5")
        assert (await probe.update("trade"))["data"][0]["qty"] == Decimal("0.5")
        book = at.running.exchange.book("SOL/EUR", 1)
        better = Decimal(book.bids[0][0] + 1).scaleb(-2)
        if book.bids[0][0] + 1 < book.asks[0][0]:
            await at.post("/quote", symbol="SOL/EUR", side="buy", price=str(better), quantity="3")
            assert at.running.exchange.book("SOL/EUR", 1).bids[0] == (
                book.bids[0][0] + 1,
                300_000_000,
            )
        before = at.running.exchange.book("SOL/USD", 10)
        await at.post("/step", count=500)
        assert at.running.exchange.book("SOL/USD", 10) != before


async def test_flows_tell_how_each_balance_came_about():
    async with panel() as at:
        await at.post("/accounts", name="second", balances={"EUR": "1000", "SOL": "5"})
        await at.post("/deposit", account="second", asset="EUR", amount="20.5")
        await at.post("/withdraw", account="second", asset="SOL", amount="1", fee="0.01")
        at.running.exchange.hand.deposit("second", "SOL", Decimal("0.25"), "reward")
        flows = await at.get("/flows/second")
        assert {key: Decimal(amount) for key, amount in flows["EUR"].items()} == {
            "opening": 1000, "deposited": Decimal("20.5"), "withdrawn": 0, "traded": 0, "fees": 0,
            "other": 0, "closing": Decimal("1020.5"),
        }  # fmt: skip
        assert {key: Decimal(amount) for key, amount in flows["SOL"].items()} == {
            "opening": 5, "deposited": 0, "withdrawn": 1, "traded": 0, "fees": Decimal("0.01"),
            "other": Decimal("0.25"), "closing": Decimal("4.24"),
        }  # fmt: skip
        assert await at.get("/discrepancies") == {"discrepancies": []}


async def test_books_that_do_not_add_up_are_named():
    async with panel() as at:
        at.running.exchange.accounts.get("main").totals["EUR"] += 1
        (found,) = (await at.get("/discrepancies"))["discrepancies"]
        assert "EUR is not the sum of its ledger" in found
