"""Faults of the venue under a whole run: F27 to F30, F42."""

from decimal import Decimal

import pytest

from arbitrade.errors import AuthenticationError
from arbitrade.models import CycleState
from arbitrade.records import CycleClosed, OrderAnswered

QUICK_SWITCH = {"kraken": {"dead_man_s": 4, "dead_man_every_s": 0.2}}


async def test_f27_orders_over_the_venues_rate_limit_are_refused_and_cycles_end(bench):
    bench.inject("refuse_order", method="add_order", count=6, text="EOrder:Rate limit exceeded")
    async with bench.running() as bot:
        await bot.until(lambda: bench.faults.counts().get("refuse_order", 0) == 6, "refusals")
        await bot.until(lambda: bot.state.portfolio.cycles["completed"] >= 2, "cycles")
    await bench.assert_whole(bot)
    refused = [one for one in bot.records(OrderAnswered) if "Rate limit" in one.reason]
    assert len(refused) == 6


async def test_f27_rest_that_answers_429_for_a_while_neither_stops_nor_confuses_a_run(bench):
    async with bench.running() as bot:
        await bot.until(lambda: bot.closed > 0, "a cycle")
        bench.inject("http_error", value=Decimal(429), count=4)
        bench.inject("sequence_gap", channel="executions", count=1)
        await bot.until_more_cycles(3)
        await bot.until(lambda: bench.faults.counts().get("http_error", 0) == 4, "429s")
        await bot.until_more_cycles(2)
    await bench.assert_whole(bot)


async def test_f28_without_the_private_socket_nothing_begins_and_the_open_cycle_ends(bench):
    async with bench.running() as bot:
        await bot.until(lambda: bot.closed > 1, "cycles")
        # What answers the next order never comes: the connection ends first.
        bench.inject("lost_ack", method="add_order", count=1)
        bench.inject("delayed_executions", value=Decimal(5_000), for_ms=0)
        await bot.until(lambda: bench.faults.counts().get("lost_ack", 0) == 1, "an order out")
        bench.gate.go_down()
        bench.faults.clear()
        assert bot.state.cycles
        begun = bot.begun
        (order,) = [o for cycle in bot.state.cycles.values() for o in cycle.orders][-1:]
        await bot.until(lambda: order.is_ended, "its outcome, asked for over REST")
        await bot.until(lambda: bot.refusals["account_ready"] > 5, "refusals")
        assert bot.begun == begun
        assert bot.has_alert("warning: orders can't go out: there is no private connection")
        bench.gate.come_back()
        await bot.until_more_cycles()
        assert bot.has_alert("info: orders can go out again")
    await bench.assert_whole(bot)
    assert bot.state.portfolio.cycles["flagged"] == 0


async def test_f29_a_token_that_expired_is_renewed_once_and_trading_goes_on(bench):
    async with bench.running() as bot:
        await bot.until(lambda: bot.closed > 0, "a cycle")
        bench.inject("token_expired", count=1)
        await bot.until(lambda: bench.faults.counts().get("token_expired", 0) == 1, "a refusal")
        await bot.until_more_cycles(3)
        assert bot.session.parts.hands.venue_account.statistics()["tokens_renewed"] == 1
    await bench.assert_whole(bot)


async def test_f29_a_key_that_lacks_a_permission_ends_the_start_with_a_plain_message(bench):
    key = bench.simulator.key
    key.permissions = key.permissions - {"modify-trades"}
    async with bench.running(is_ready=False) as bot:
        await bot.until_over()
    assert isinstance(bot.error, AuthenticationError)
    assert 'lacks "' in str(bot.error)
    assert "grant it" in str(bot.error)
    assert bot.begun == 0


async def test_f29_an_order_refused_for_want_of_a_permission_halts_at_once(bench):
    async with bench.running() as bot:
        await bot.until(lambda: bot.closed > 0, "a cycle")
        bench.inject("refuse_order", method="add_order", text="EGeneral:Permission denied")
        await bot.until_halted("the venue refuses the account")
        assert "ermission denied" in bot.halt_reason
        await bot.refuses_everything("trading_state", 2)
    await bench.assert_whole(bot)


async def test_f29_a_key_revoked_in_a_run_halts_it_and_nobody_asks_in_a_loop(bench):
    asked = []

    def refuse(key: str) -> None:
        asked.append(key)

    async with bench.running({"execution": {"shutdown_grace_s": 0.1}}) as bot:
        await bot.until(lambda: bot.closed > 0 and bool(bot.state.cycles), "an open cycle")
        accounts = bench.exchange.accounts
        find_key, accounts.find_key = accounts.find_key, refuse
        bench.gate.cut()
        await bot.until_halted("the venue refuses the account")
        assert "nvalid key" in bot.halt_reason
        await bot.until(lambda: bot.session.parts.rig.gateway._refusal != "", "a question refused")
        begun = bot.begun
        # Long enough for three look-ups of an open order, and two questions for balances.
        now = bot.session.parts.clock.real_ns()
        await bot.until(lambda: bot.session.parts.clock.real_ns() > now + 3_000_000_000, "time")
        assert bot.begun == begun
        # One question of each who asks: for the token, for the order, for balances, and goodbye.
        assert len(asked) <= 4
        assert any("trading is halted" in alert for alert in bot.alerts())
        assert bot.session.state().halt_reason == bot.halt_reason
    assert bot.error is None
    # The halt stays over a restart; the key works again.
    accounts.find_key = find_key
    async with bench.running() as again:
        await again.refuses_everything("trading_state")
        await again.resume()
        await again.until_more_cycles()
    await bench.assert_whole(again)


@pytest.mark.parametrize("state", ["cancel_only", "post_only", "maintenance"])
async def test_f30_an_engine_that_takes_no_orders_gets_none_until_it_is_online(bench, state):
    async with bench.running(QUICK_SWITCH) as bot:
        await bot.until(lambda: bot.closed > 0, "a cycle")
        bench.exchange.hand.set_engine(state)
        await bot.until(lambda: not bot.state.is_connected, state)
        await bot.until(lambda: bot.session.parts.rig.engine.venue_state.value == state, state)
        begun, sent = bot.begun, bench.orders()
        assert bot.has_alert(f"orders can't go out: the venue's engine is {state}")
        if state == "maintenance":
            switch = bench.exchange.accounts.get("main")
            await bot.until(lambda: switch.dead_man_s is None, "the switch let go")
        # In maintenance there are heartbeats only.
        await bot.wait_frames(4)
        assert (bot.begun, bench.orders()) == (begun, sent)
        bench.exchange.hand.set_engine("online")
        await bot.until_more_cycles()
    await bench.assert_whole(bot)


async def test_f30_a_halted_pair_gets_no_orders_and_the_other_pairs_do(bench):
    async with bench.running() as bot:
        await bot.until(lambda: bot.closed > 0, "a cycle")
        bench.exchange.hand.set_pair("ETH/BTC", status="cancel_only")
        await bot.until(
            lambda: not bot.session.parts.rig.engine.instruments["ETH/BTC"].is_online, "the news"
        )
        await bot.until(lambda: not bot.state.cycles, "no open cycle")
        sent = bench.orders()
        await bot.until_more_cycles(3)
        more = {symbol for name, symbol in bench.orders().items() if name not in sent}
        assert more
        assert "ETH/BTC" not in more
    await bench.assert_whole(bot)


async def test_f42_a_dead_mans_switch_that_is_not_confirmed_lets_no_cycle_begin(bench):
    async with bench.running(QUICK_SWITCH) as bot:
        await bot.until(lambda: bot.closed > 0, "a cycle")
        bench.inject(
            "refuse_order",
            method="cancel_all_orders_after",
            for_ms=0,
            text="EService:Unavailable",
        )
        await bot.until(lambda: not bot.state.is_connected, "not ready")
        begun = bot.begun
        await bot.until(lambda: bot.refusals["account_ready"] > 5, "refusals")
        assert bot.begun == begun
        assert bot.has_alert("orders can't go out: the venue doesn't confirm the dead man's switch")
        bench.faults.clear()
        await bot.until_more_cycles()
    await bench.assert_whole(bot)


async def test_f42_an_unconfirmed_switch_is_no_reason_to_leave_an_open_cycle_alone(bench):
    async with bench.running(QUICK_SWITCH) as bot:
        bench.inject("slow_response", method="add_order", value=Decimal(300), for_ms=0)
        await bot.until(lambda: bool(bot.state.cycles), "an open cycle")
        bench.inject(
            "refuse_order",
            method="cancel_all_orders_after",
            for_ms=0,
            text="EService:Unavailable",
        )
        await bot.until(lambda: not bot.state.is_connected, "not ready")
        await bot.until(lambda: not bot.state.cycles, "the end of the cycle")
        bench.faults.clear()
    await bench.assert_whole(bot)
    states = {one.state for one in bot.records(CycleClosed)}
    assert CycleState.FLAGGED not in states
