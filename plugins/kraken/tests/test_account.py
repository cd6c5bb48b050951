"""The account against a scripted venue: ready, orders, executions, gaps, the dead man's switch."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest

from arbitrade.errors import AuthenticationError, ConfigError, UsageError
from arbitrade.models import (
    Accepted,
    OrderRequest,
    OrderStatus,
    Rejected,
    Side,
    TimeInForce,
    Unknown,
)
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.account.account import make_account
from arbitrade_kraken.account.config import KrakenAccountSettings
from arbitrade_kraken.venue_errors import (
    InsufficientFundsError,
    OrderGoneError,
    PairRestrictedError,
    RateLimitedError,
)


def an_order(client_id: str = "arb-1", **changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "client_id": client_id,
        "symbol": "SOL/EUR",
        "side": Side.BUY,
        "quantity": Decimal("2.89018610"),
        "limit_price": Decimal("172.31"),
    }
    return OrderRequest(**{**values, **changes})


def fill(order_id: str, exec_id: str, quantity: float = 1.5, **fields: Any) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "exec_id": exec_id,
        "exec_type": "trade",
        "trade_id": 7,
        "symbol": "SOL/EUR",
        "side": "buy",
        "last_qty": quantity,
        "last_price": 172.31,
        "liquidity_ind": "t",
        "cost": 258.465,
        "order_status": "partially_filled",
        "cum_qty": quantity,
        "cum_cost": 258.465,
        "fees": [{"asset": "EUR", "qty": 1.03386}],
        "timestamp": "2026-09-14T08:21:38.204455Z",
        **fields,
    }


def ended(order_id: str, kind: str = "canceled", **fields: Any) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "exec_type": kind,
        "order_status": kind,
        "timestamp": "2026-09-14T08:21:38.204455Z",
        **fields,
    }


def record(order: OrderRequest, status: str, filled: str = "0", **fields: Any) -> dict[str, Any]:
    return {
        "status": status,
        "cl_ord_id": order.client_id,
        "descr": {
            "pair": "SOLEUR",
            "type": order.side.value,
            "ordertype": "limit",
            "price": str(order.limit_price),
        },
        "vol": str(order.quantity),
        "vol_exec": filled,
        "cost": "1.0",
        "fee": "0.1",
        "reason": None,
        **fields,
    }


# ── becoming ready ───────────────────────────────────────────────────────────────────────────────


async def test_account_is_ready_once_snapshots_came_and_the_switch_was_confirmed(
    trading, venue_account, owner
):
    venue_account.snapshots["balances"] = [
        {
            "asset": "SOL",
            "balance": 3.5,
            "wallets": [
                {"type": "spot", "id": "main", "balance": 1.5},
                {"type": "earn", "id": "flexible", "balance": 2.0},
            ],
        }
    ]
    async with trading():
        (balances,) = owner.balances
        assert [(b.asset, b.total) for b in balances] == [("SOL", Decimal("1.5"))]
        (armed,) = venue_account.requests_of("cancel_all_orders_after")
        assert armed["params"]["timeout"] == 60
    assert owner.readiness == [True, False]


async def test_subscriptions_say_everything_they_want(trading, venue_account):
    async with trading():
        executions, balances = venue_account.requests_of("subscribe")
    assert executions["params"] == {
        "channel": "executions",
        "snap_orders": True,
        "snap_trades": True,
        "order_status": True,
        "ratecounter": True,
        "token": venue_account.tokens[0],
    }
    assert balances["params"]["snapshot"] is True


async def test_switch_that_is_not_confirmed_keeps_the_account_from_being_ready(
    trading, venue_account, owner, pulse
):
    refusals = 2

    def refuse(request: dict[str, Any]) -> Any:
        nonlocal refusals
        refusals -= 1
        return {"result": {}} if refusals < 0 else "EGeneral:Internal error"

    venue_account.answers["cancel_all_orders_after"] = refuse
    venue_account.rest["CancelAllOrdersAfter"] = "EGeneral:Internal error"
    async with trading(wait=False, dead_man_every_s=0.05):
        await pulse.until(lambda: len(venue_account.calls_of("CancelAllOrdersAfter")) == 1)
        assert not owner.is_ready
        await pulse.until(lambda: owner.is_ready)


async def test_switch_is_put_off_again_and_again_and_let_go_at_the_end(
    trading, venue_account, pulse
):
    async with trading(dead_man_every_s=0.05):
        await pulse.until(lambda: len(venue_account.requests_of("cancel_all_orders_after")) >= 3)
    assert venue_account.calls_of("CancelAllOrdersAfter")[-1]["timeout"] == "0"


async def test_switch_stays_armed_when_we_end_with_an_order_standing(trading, venue_account):
    async with trading() as account:
        await account.add(an_order(time_in_force=TimeInForce.GTC))
    assert venue_account.calls_of("CancelAllOrdersAfter") == []


async def test_switch_is_let_go_for_maintenance_and_armed_again_after_it(
    trading, venue_account, owner, pulse
):
    def timeouts() -> list[int]:
        asked = venue_account.requests_of("cancel_all_orders_after")
        return [request["params"]["timeout"] for request in asked]

    async with trading():
        await venue_account.push_status("maintenance")
        await pulse.until(lambda: timeouts() == [60, 0])
        assert not owner.is_ready
        await venue_account.push_status("online")
        await pulse.until(lambda: owner.is_ready)
        assert timeouts() == [60, 0, 60]


async def test_switch_is_let_go_before_announced_maintenance(trading, venue_account, owner, pulse):
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    async with trading():
        await venue_account.push_status("online", upcoming_maintenance=[{"starts": soon}])
        await pulse.until(lambda: not owner.is_ready)
        await pulse.until(lambda: venue_account.requests[-1].get("params", {}).get("timeout") == 0)


async def test_key_without_permissions_is_refused_with_all_of_them(
    account_settings, venue_account, owner
):
    venue_account.rest["GetApiKeyInfo"] = {
        "api_key_name": "bot",
        "permissions": ["query-funds", "query_open_trades", "withdraw-funds"],
    }
    account = make_account(account_settings())
    with pytest.raises(AuthenticationError) as refused:
        await account.run(owner)
    text = str(refused.value)
    assert "'bot'" in text
    for name in ("Query closed orders", "Create & modify", "Cancel & close", "WebSocket"):
        assert name in text
    assert "Withdraw" in text
    assert "Query funds" not in text


async def test_key_whose_permissions_nobody_tells_is_refused(
    account_settings, venue_account, owner
):
    venue_account.rest["GetApiKeyInfo"] = "EGeneral:Unknown method"
    account = make_account(account_settings())
    with pytest.raises(AuthenticationError, match="does not tell what the API key may do"):
        await account.run(owner)
    assert not owner.is_ready
    assert not venue_account.requests_of("add_order")


async def test_pairs_of_other_countries_are_left_out(trading, venue_account):
    everything = venue_account.rest["AssetPairs"]

    def pairs(fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("country_code") == "DE":
            return {"XXBTZUSD": everything["XXBTZUSD"]}
        return dict(everything)

    venue_account.rest["AssetPairs"] = pairs
    async with trading(country="DE") as account:
        assert await account.allowed_symbols() == {"BTC/USD"}
        outcome = await account.add(an_order())
        assert isinstance(outcome, Rejected)
        assert isinstance(outcome.error, PairRestrictedError)
        assert not venue_account.requests_of("add_order")


def test_account_without_credentials_names_both() -> None:
    with pytest.raises(ConfigError) as refused:
        make_account(KrakenAccountSettings())
    assert len(refused.value.problems) == 2


def test_account_over_picows_is_refused_by_name_where_it_is_not_installed(
    account_settings, monkeypatch
):
    monkeypatch.setattr("arbitrade_kraken.wire.choosing.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"kraken\.transport: 'picows' is not installed"):
        make_account(account_settings(transport="picows"))


async def test_refused_token_permission_ends_the_run(account_settings, venue_account, owner):
    venue_account.rest["GetWebSocketsToken"] = "EGeneral:Permission denied"
    with pytest.raises(AuthenticationError):
        await make_account(account_settings()).run(owner)


# ── orders ───────────────────────────────────────────────────────────────────────────────────────


async def test_order_goes_out_with_everything_said_and_its_digits(trading, venue_account):
    async with trading() as account:
        outcome = await account.add(an_order())
    assert outcome == Accepted("arb-1", "O1")
    (request,) = venue_account.requests_of("add_order")
    params = request["params"]
    assert params.pop("deadline").endswith("Z")
    assert params == {
        "order_type": "limit",
        "side": "buy",
        "symbol": "SOL/EUR",
        "order_qty": 2.8901861,
        "limit_price": 172.31,
        "time_in_force": "ioc",
        "cl_ord_id": "arb-1",
        "fee_preference": "quote",
        "token": venue_account.tokens[0],
    }


async def test_refusal_is_ours_by_type_and_theirs_by_words(trading, venue_account):
    venue_account.answers["add_order"] = "EOrder:Insufficient funds"
    async with trading() as account:
        outcome = await account.add(an_order())
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "EOrder:Insufficient funds"
    assert isinstance(outcome.error, InsufficientFundsError)


@pytest.mark.parametrize(
    "text",
    [
        "EService:Unavailable",
        "EService:Busy",
        "EService:Deadline elapsed",
        "EGeneral:Internal error",
        "EService: Busy",
    ],
)
async def test_refusal_that_proves_nothing_is_an_unknown_outcome(trading, venue_account, text):
    venue_account.answers["add_order"] = text
    async with trading() as account:
        assert await account.add(an_order()) == Unknown("arb-1", text)
    assert len(venue_account.requests_of("add_order")) == 1


async def test_order_without_answer_is_unknown_and_is_not_sent_again(trading, venue_account):
    venue_account.answers["add_order"] = None
    async with trading(order_timeout_s=0.05) as account:
        assert isinstance(await account.add(an_order()), Unknown)
    assert len(venue_account.requests_of("add_order")) == 1


async def test_disconnect_during_an_order_makes_it_unknown(trading, venue_account, pulse):
    async def hang_up(request: dict[str, Any]) -> None:
        await venue_account.sockets[-1].close()

    venue_account.answers["add_order"] = hang_up
    async with trading() as account:
        assert isinstance(await account.add(an_order()), Unknown)


async def test_orders_without_an_answer_are_told_before_what_may_have_been_missed(
    trading, venue_account, owner, pulse
):
    """Whoever hears of a gap asks the venue at once, and has to know what to ask for."""
    told: list[str] = []
    venue_account.answers["add_order"] = None
    async with trading() as account:
        order = asyncio.create_task(account.add(an_order()))
        order.add_done_callback(lambda _: told.append("order"))
        await pulse.until(lambda: len(venue_account.requests_of("add_order")) == 1)
        on_gap = owner.on_gap
        owner.on_gap = lambda reason: (told.append("gap"), on_gap(reason))
        await venue_account.sockets[-1].close()
        await pulse.until(lambda: len(owner.gaps) == 1)
        assert isinstance(await order, Unknown)
    assert told == ["order", "gap"]


async def test_answer_after_the_timeout_is_counted_and_does_no_harm(
    trading, venue_account, owner, pulse
):
    late: list[dict[str, Any]] = []

    def keep(request: dict[str, Any]) -> None:
        late.append(request)

    venue_account.answers["add_order"] = keep
    async with trading(order_timeout_s=0.05) as account:
        assert isinstance(await account.add(an_order()), Unknown)
        await venue_account.send(
            venue_account.sockets[-1],
            {"method": "add_order", "req_id": late[0]["req_id"], "success": True, "result": {}},
        )
        await venue_account.emit("executions", fill("OX", "T1"))
        await pulse.until(lambda: len(owner.reports) == 1)
        assert account.statistics()["private_answers_late"] == 1


async def test_order_is_not_sent_without_a_connection(account_settings, venue_account):
    account = make_account(account_settings())
    outcome = await account.add(an_order())
    assert isinstance(outcome, Rejected)
    assert "no private connection" in outcome.reason
    await account.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time_in_force": TimeInForce.FOK}, "fill-or-kill"),
        ({"deadline": datetime(2020, 1, 1, tzinfo=UTC)}, "deadline"),
        ({"limit_price": None}, "without a limit price"),
        ({"quantity": Decimal(0)}, "quantity of 0"),
        ({"is_reduce_only": True}, "margin"),
        ({"time_in_force": TimeInForce.GTD}, "expiry"),
    ],
)
async def test_order_the_venue_would_refuse_is_not_sent(trading, venue_account, changes, words):
    async with trading() as account:
        outcome = await account.add(an_order(**changes))
    assert isinstance(outcome, Rejected)
    assert words in outcome.reason
    assert not venue_account.requests_of("add_order")


async def test_fill_or_kill_goes_out_once_it_is_switched_on(trading, venue_account):
    async with trading(fok_over_websocket=True) as account:
        await account.add(an_order(time_in_force=TimeInForce.FOK))
    assert venue_account.requests_of("add_order")[0]["params"]["time_in_force"] == "fok"


async def test_client_id_of_an_open_order_is_not_used_twice(trading, venue_account):
    async with trading() as account:
        await account.add(an_order())
        outcome = await account.add(an_order())
    assert isinstance(outcome, Rejected)
    assert len(venue_account.requests_of("add_order")) == 1


async def test_full_trading_counter_keeps_orders_back_and_lets_cancels_out(trading, venue_account):
    venue_account.maxratecount = 60
    async with trading() as account:
        outcomes = [
            await account.add(an_order(f"a{n}", time_in_force=TimeInForce.GTC)) for n in range(9)
        ]
        refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
        assert len(refused) == 4  # 60 − 8 in reserve; each takes 1 and 8 for its cancel.
        assert all(isinstance(outcome.error, RateLimitedError) for outcome in refused)
        cancelled = await account.cancel([f"a{n}" for n in range(5)])
    assert all(isinstance(outcome, Accepted) for outcome in cancelled.values())


async def test_batch_rows_decide_one_by_one(trading, venue_account):
    venue_account.answers["batch_add"] = {
        "success": False,
        "result": [
            {"order_id": "OA", "cl_ord_id": "a"},
            {"error": "EOrder:Insufficient funds", "cl_ord_id": "b"},
            {"error": "EService:Busy", "cl_ord_id": "c"},
        ],
    }
    async with trading() as account:
        a, b, c, d = await account.add_batch([an_order(name) for name in "abcd"])
    assert a == Accepted("a", "OA")
    assert isinstance(b, Rejected)
    assert isinstance(c, Unknown)
    assert isinstance(d, Unknown)


async def test_batch_refused_as_a_whole_refuses_every_order(trading, venue_account):
    venue_account.answers["batch_add"] = "EGeneral:Invalid arguments:volume minimum not met"
    async with trading() as account:
        outcomes = await account.add_batch([an_order("a"), an_order("b")])
        with pytest.raises(UsageError, match="one pair"):
            await account.add_batch([an_order("c"), an_order("d", symbol="BTC/USD")])
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


async def test_cancel_of_a_gone_order_says_so_and_the_others_go(trading, venue_account):
    def cancel(request: dict[str, Any]) -> Any:
        return "EOrder:Unknown order" if request["params"]["cl_ord_id"] == ["b"] else {"result": {}}

    venue_account.answers["cancel_order"] = cancel
    async with trading() as account:
        outcomes = await account.cancel(["a", "b"])
    assert isinstance(outcomes["a"], Accepted)
    gone = outcomes["b"]
    assert isinstance(gone, Rejected)
    assert isinstance(gone.error, OrderGoneError)


async def test_cancels_go_over_rest_without_a_private_connection(account_settings, venue_account):
    venue_account.rest["CancelOrder"] = {"count": 1}
    venue_account.rest["CancelAll"] = {"count": 4}
    account = make_account(account_settings())
    assert await account.cancel(["a"]) == {"a": Accepted("a", "")}
    assert await account.cancel_all() == 4
    assert await account.cancel_all_after(60)
    venue_account.rest["CancelAll"] = "EService:Unavailable"
    assert await account.cancel_all() is None
    assert len(venue_account.calls_of("CancelAll")) == 2
    await account.close()


async def test_cancel_all_tells_how_many(trading):
    async with trading() as account:
        assert await account.cancel_all() == 3


async def test_amend_sends_plain_numbers(trading, venue_account):
    async with trading() as account:
        await account.add(an_order(time_in_force=TimeInForce.GTC))
        assert await account.amend("arb-1", quantity="0.00000012") == Accepted("arb-1", "O1")
        with pytest.raises(UsageError):
            await account.amend("arb-1")
    (request,) = venue_account.requests_of("amend_order")
    assert request["params"]["order_qty"] == 1.2e-7


# ── executions ───────────────────────────────────────────────────────────────────────────────────


async def test_sparse_events_are_joined_with_the_order_even_before_its_answer(
    trading, venue_account, owner, pulse
):
    async def events_first(request: dict[str, Any]) -> dict[str, Any]:
        head = {"order_id": "OX", "cl_ord_id": "arb-1", "timestamp": "2026-09-14T08:21:38.2Z"}
        await venue_account.emit("executions", {**head, "exec_type": "new", "order_status": "new"})
        await venue_account.emit("executions", fill("OX", "T1"))
        await venue_account.emit("executions", ended("OX", "filled", cum_qty=1.5))
        return {"result": {"order_id": "OX", "cl_ord_id": "arb-1"}}

    venue_account.answers["add_order"] = events_first
    async with trading() as account:
        assert await account.add(an_order()) == Accepted("arb-1", "OX")
    assert owner.kinds() == ["new", "trade", "filled"]
    assert {(r.client_id, r.symbol, r.side) for r in owner.reports} == {
        ("arb-1", "SOL/EUR", Side.BUY)
    }
    trade = owner.reports[1]
    assert (trade.last_quantity, trade.cost) == (Decimal("1.5"), Decimal("258.465"))
    # Told as 1.03386, booked with the four decimals that the ledger keeps of EUR.
    assert [(fee.asset, fee.amount) for fee in trade.fees] == [("EUR", Decimal("1.0339"))]
    assert trade.is_maker is False
    assert owner.reports[2].status is OrderStatus.FILLED


async def test_fill_is_reported_once_however_often_it_comes(trading, venue_account, owner, pulse):
    async with trading():
        await venue_account.emit("executions", fill("OX", "T1"))
        await venue_account.emit_again("executions", fill("OX", "T2"))
        await venue_account.emit("executions", fill("OX", "T1"), fill("OX", "T3"))
        await pulse.until(lambda: len(owner.reports) == 2)
    assert [report.exec_id for report in owner.reports] == ["T1", "T3"]


async def test_gap_is_told_and_mended_by_fresh_snapshots(trading, venue_account, owner, pulse):
    async with trading():
        venue_account.snapshots["executions"] = [fill("OX", "T1"), fill("OX", "T2")]
        await venue_account.emit("executions", fill("OX", "T2"), skip=1)
        await pulse.until(lambda: owner.readiness == [True, False, True])
        assert [report.exec_id for report in owner.reports] == ["T2", "T1"]
        assert owner.in_snapshot == [False, True]
        (reason,) = owner.gaps
        assert "executions" in reason
        assert [r["params"]["channel"] for r in venue_account.requests_of("unsubscribe")] == [
            "executions"
        ]


async def test_gap_in_balances_leaves_executions_alone(trading, venue_account, owner, pulse):
    row = {
        "ledger_id": "L1",
        "ref_id": "T1",
        "type": "trade",
        "asset": "EUR",
        "wallet_type": "spot",
        "wallet_id": "main",
        "amount": -498.008,
        "fee": 1.992,
        "balance": 0,
    }
    async with trading():
        await venue_account.emit("balances", row)
        await venue_account.emit("balances", {**row, "wallet_type": "earn", "ledger_id": "L2"})
        await venue_account.emit("balances", row)
        await venue_account.emit("balances", {**row, "ledger_id": "L3"}, skip=3)
        await pulse.until(lambda: owner.readiness == [True, False, True])
    assert [change.ledger_id for change in owner.changes] == ["L1", "L3"]
    assert owner.changes[0].amount == Decimal("-498.008")
    assert len(owner.balances) == 2


async def test_order_that_ended_while_we_were_away_is_reported_with_its_fills(
    trading, venue_account, owner, pulse
):
    order = an_order(time_in_force=TimeInForce.GTC)
    venue_account.rest["TradesHistory"] = {
        "count": 1,
        "trades": {
            "TX": {
                "ordertxid": "O1",
                "pair": "SOLEUR",
                "time": 4_000_000_000.5,
                "type": "buy",
                "ordertype": "limit",
                "price": "172.31",
                "cost": "498.0",
                "fee": "1.99",
                "vol": "2.89018610",
                "maker": True,
            }
        },
    }
    async with trading() as account:
        await account.add(order)
        venue_account.rest["QueryOrders"] = {"O1": record(order, "closed", "2.89018610")}
        await venue_account.sockets[-1].close()
        await pulse.until(lambda: owner.readiness == [True, False, True])
    assert owner.kinds() == ["trade", "filled"]
    trade, end = owner.reports
    assert (trade.exec_id, trade.client_id, trade.is_maker) == ("TX", "arb-1", True)
    assert end.cumulative_quantity == Decimal("2.89018610")
    assert venue_account.calls_of("TradesHistory")[0]["consolidate_taker"] == "false"
    assert owner.gaps


async def test_every_connection_has_a_token_of_its_own(trading, venue_account, owner, pulse):
    async with trading():
        await venue_account.sockets[-1].close()
        await pulse.until(lambda: owner.readiness == [True, False, True])
    first, second = (
        {request["params"]["token"] for request in venue_account.requests_of("subscribe")[:2]},
        {request["params"]["token"] for request in venue_account.requests_of("subscribe")[2:]},
    )
    assert not first & second


async def test_stale_token_is_replaced_and_the_order_is_not_sent_again(
    trading, venue_account, pulse
):
    async with trading() as account:
        venue_account.stale.add(venue_account.tokens[-1])
        outcome = await account.add(an_order())
        assert isinstance(outcome, Rejected)
        assert "Invalid session" in outcome.reason
        await pulse.until(lambda: len(venue_account.tokens) == 2)
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance(await account.add(an_order()), Accepted):
                await asyncio.sleep(0)


async def test_token_is_renewed_at_half_its_life(trading, venue_account, pulse):
    fresh = venue_account.rest["GetWebSocketsToken"]
    venue_account.rest["GetWebSocketsToken"] = lambda fields: {**fresh(fields), "expires": 0.1}
    async with trading():
        await pulse.until(lambda: len(venue_account.tokens) >= 3)
    assert venue_account.attempts == 1


async def test_tokens_that_are_always_refused_end_the_run(account_settings, venue_account, owner):
    venue_account.answers["subscribe"] = "ESession:Invalid session"
    with pytest.raises(AuthenticationError, match="fresh tokens"):
        await make_account(account_settings()).run(owner)


async def test_frame_that_is_not_json_costs_the_connection_only(
    trading, venue_account, owner, pulse
):
    async with trading():
        await venue_account.sockets[-1].send_str("no frame")
        await pulse.until(lambda: owner.readiness == [True, False, True])
    assert venue_account.attempts == 2


# ── finding out ──────────────────────────────────────────────────────────────────────────────────


async def test_unknown_order_that_was_taken_is_found_by_our_id(trading, venue_account):
    venue_account.answers["add_order"] = "EService:Busy"
    order = an_order()
    venue_account.rest["ClosedOrders"] = lambda fields: {
        "closed": {"OZ": record(order, "canceled", "1.5")} if fields["cl_ord_id"] == "arb-1" else {}
    }
    async with trading() as account:
        assert isinstance(await account.add(order), Unknown)
        state = await account.resolve("arb-1")
    assert state is not None
    assert (state.order_id, state.status) == ("OZ", OrderStatus.CANCELED)
    assert (state.symbol, state.filled_quantity) == ("SOL/EUR", Decimal("1.5"))


async def test_order_that_never_arrived_is_none_only_after_its_deadline(trading, venue_account):
    venue_account.answers["add_order"] = None
    async with trading(order_timeout_s=0.05, order_deadline_s=0.5) as account:
        begun = asyncio.get_running_loop().time()
        assert isinstance(await account.add(an_order()), Unknown)
        assert await account.resolve("arb-1") is None
        assert asyncio.get_running_loop().time() - begun >= 0.5
    assert len(venue_account.calls_of("OpenOrders")) == 2
    assert len(venue_account.calls_of("ClosedOrders")) == 2


async def test_lost_answer_is_resolved_by_what_the_stream_says(trading, venue_account, pulse):
    order = an_order()

    async def swallowed(request: dict[str, Any]) -> None:
        await venue_account.emit(
            "executions", {"order_id": "OS", "cl_ord_id": "arb-1", "exec_type": "new",
                           "order_status": "new", "timestamp": "2026-09-14T08:21:38.2Z"},
        )  # fmt: skip

    venue_account.answers["add_order"] = swallowed
    venue_account.rest["QueryOrders"] = {"OS": record(order, "open")}
    async with trading(order_timeout_s=0.05) as account:
        assert isinstance(await account.add(order), Unknown)
        state = await account.resolve("arb-1")
    assert state is not None
    assert (state.order_id, state.status) == ("OS", OrderStatus.OPEN)
    assert not venue_account.calls_of("OpenOrders")


async def test_fee_rates_are_fractions_by_symbol_in_either_spelling(trading, venue_account):
    venue_account.rest["TradeVolume"] = {
        "currency": "ZUSD",
        "volume": "18250.7713",
        "fees": {"SOLEUR": {"fee": "0.3500", "minfee": "0.0500", "nextvolume": None}},
        "fees_maker": {"SOLEUR": {"fee": "0.2000", "min_fee": "0.0000"}},
    }
    async with trading() as account:
        (rates,) = await account.fee_rates(["SOL/EUR"])
    assert (rates.symbol, rates.taker, rates.maker) == (
        "SOL/EUR",
        Decimal("0.0035"),
        Decimal("0.002"),
    )


async def test_balances_are_told_with_what_is_held(trading):
    async with trading() as account:
        (eur,) = await account.balances()
    assert (eur.asset, eur.available) == ("EUR", Decimal("379.5"))


async def test_fills_since_carry_our_ids(trading, venue_account):
    row = {
        "ordertxid": "OQ",
        "pair": "XXBTZUSD",
        "time": 1_789_374_000.25,
        "type": "sell",
        "price": "60000.1",
        "cost": "6.0",
        "fee": "-0.01",
        "vol": "0.0001",
    }
    older = {**row, "time": 1_789_373_000.0}
    venue_account.rest["TradesHistory"] = {"count": 2, "trades": {"T2": row, "T1": older}}
    mine = attrs.evolve(an_order("mine"), symbol="BTC/USD")
    venue_account.rest["QueryOrders"] = {"OQ": record(mine, "closed")}
    async with trading() as account:
        fills = await account.fills_since("2026-09-14T07:00:00Z")
    assert [fill.exec_id for fill in fills] == ["T1", "T2"]
    assert {(f.client_id, f.symbol, f.fees[0].asset) for f in fills} == {("mine", "BTC/USD", "USD")}
    assert fills[1].timestamp == "2026-09-14T08:20:00.250000Z"
