"""What goes wrong with orders and with the account, one thing at a time, in simulated time.

The exchange is the real matching engine with its own ledger; each test ends with `finish`, which
asserts that every cycle came to an end and every balance equals the exchange's, to the last digit.
"""

from decimal import Decimal as D
from typing import Any

import pytest
from fast_bot import KEY, FastBot, Scripted, make_settings, open_edge, ready, still_venue

from arbitrade.models import (
    CycleState,
    OrderRole,
    OrderStatus,
    Severity,
    Side,
    TradingState,
)
from arbitrade.records import (
    BalanceCompared,
    CycleClosed,
    CycleNoted,
    CycleOpened,
    ExecutionBooked,
    IntentWritten,
    OrderAnswered,
    OrderEnded,
    TransactionBooked,
    UnwindDecided,
)
from arbitrade.trading.machine.events import BalancesTold, Commanded, FeesTold
from arbitrade_kraken.simulator.exchange.orders import NewOrder
from arbitrade_kraken.simulator.fast.events import FastFaults, FastLatency

STEADY = FastLatency(request_us=(5_000, 5_000), answer_us=(1_000, 1_000), feed_us=(500, 500))


def bot_with(
    orders: dict[int, FastFaults] | None = None,
    *,
    settings: dict[str, Any] | None = None,
    latency: FastLatency = STEADY,
    balances: dict[str, D] | None = None,
) -> FastBot:
    """Return a bot that is ready, with faults by number of the order."""
    script = Scripted()
    venue = still_venue(script, latency, balances)
    bot = FastBot(venue, make_settings(**(settings or {})), script=script)
    ready(bot)
    script.orders = orders or {}
    return bot


def finish(bot: FastBot) -> list[CycleClosed]:
    bot.wind_down()
    bot.check()
    return bot.ends


def legs(bot: FastBot) -> list[tuple[str, str, D]]:
    """Return what was sent: role, pair, quantity."""
    return [(i.role.value, i.request.symbol, i.request.quantity) for i in bot.orders]


def on_fill(bot: FastBot, call: Any, leg: int = 0) -> None:
    """Call something once, at the moment a leg's fill was booked."""
    done = []

    def look(record: Any) -> None:
        if isinstance(record, ExecutionBooked) and record.leg == leg and not done:
            done.append(record)
            call()

    bot.on_write = look


def on_intent(bot: FastBot, call: Any, leg: int = 0) -> None:
    """Call something once, when a leg is written down and before it arrives."""
    done = []

    def look(record: Any) -> None:
        if isinstance(record, IntentWritten) and record.intent.leg == leg and not done:
            done.append(record)
            call()

    bot.on_write = look


CALM_END = {"USD": D("10006.4107")}


def test_nothing_goes_wrong_and_the_cycle_completes():
    """5 SOL: 502.0 USD in; 463.14 EUR between; 508.4 USD out."""
    bot = bot_with()
    open_edge(bot)
    bot.run(5)
    (end,) = finish(bot)
    assert end.state is CycleState.COMPLETED
    assert [leg[:2] for leg in legs(bot)] == [
        ("leg", "SOL/USD"),
        ("leg", "SOL/EUR"),
        ("leg", "EUR/USD"),
    ]
    assert end.profit > 6


# ── F7 to F11: what is lost, late, double or out of order ────────────────────────────────────────


@pytest.mark.parametrize("leg", [0, 1, 2])
def test_f7_lost_answer_leaves_one_order_and_its_fills(leg):
    bot = bot_with({leg: FastFaults(lost_ack=1.0)})
    open_edge(bot)
    bot.run(20)
    (end,) = finish(bot)
    assert end.state is CycleState.COMPLETED
    assert len(bot.venue.exchange.inquiry.closed_orders("main")) == 3


@pytest.mark.parametrize("leg", [0, 1, 2])
def test_f7_lost_answer_and_lost_connection_are_found_out_by_asking(leg):
    """Neither the answer nor the fill comes: the venue is asked, and its history tells the fill."""
    bot = bot_with({leg: FastFaults(lost_ack=1.0)})
    on_intent(bot, lambda: bot.after(7_000_000, bot.venue.lose_private), leg)
    open_edge(bot)
    bot.run(40)
    (end,) = finish(bot)
    assert end.state in (CycleState.COMPLETED, CycleState.UNWOUND)
    assert bot.counts["Unknown"] >= 1
    assert bot.counts["order_found"] >= 1
    mine = list(bot.venue.exchange.inquiry.closed_orders("main"))
    assert len({order.client_id for order in mine}) == len(mine)


def test_f7_part_finer_than_the_ledger_is_known_to_be_all_there_is():
    """100.00004321 EUR are filled and 100.0000 booked: an order that was looked up has ended."""
    bot = bot_with({2: FastFaults(lost_ack=1.0)})
    exchange = bot.venue.exchange

    def thin_out() -> None:
        exchange.hand.trade("EUR/USD", side=Side.SELL, quantity=D(40_000))
        exchange.hand.quote(
            "EUR/USD", side=Side.BUY, price=D("1.10000"), quantity=D("100.00004321")
        )
        bot.after(7_000_000, bot.venue.lose_private)

    on_intent(bot, thin_out, 2)
    open_edge(bot)
    bot.run(60)
    assert bot.counts["order_found"] >= 1
    finish(bot)


@pytest.mark.parametrize("leg", [0, 1, 2])
def test_f8_order_that_never_arrived_is_known_as_such_and_not_sent_again(leg):
    bot = bot_with({leg: FastFaults(lost_request=1.0)})
    open_edge(bot)
    bot.run(60)
    first, *_ = finish(bot)
    lost = bot.orders[leg].request.client_id
    (ended,) = [r for r in bot.of(OrderEnded) if r.client_id == lost]
    assert ended.status is None
    assert "never got it" in ended.reason
    assert bot.venue.ask(lost) is None
    assert first.state is (CycleState.ABORTED_CLEAN if leg == 0 else CycleState.UNWOUND)


@pytest.mark.parametrize("leg", [0, 1])
def test_f9_order_that_arrives_after_its_deadline_is_refused_and_nothing_booked(leg):
    """Six seconds in the network, a deadline of two."""
    bot = bot_with({leg: FastFaults(late=1.0, late_us=(6_000_000, 6_000_000))})
    open_edge(bot)
    bot.run(60)
    first, *_ = finish(bot)
    late = bot.orders[leg].request.client_id
    assert not [r for r in bot.of(ExecutionBooked) if r.report.client_id == late]
    assert first.state is (CycleState.ABORTED_CLEAN if leg == 0 else CycleState.UNWOUND)


def test_f10_what_is_told_twice_is_booked_once():
    everything = dict.fromkeys(range(9), FastFaults(duplicated=1.0))
    bot = bot_with(everything)
    open_edge(bot)
    bot.run(10)
    (end,) = finish(bot)
    told = [r.report.exec_id for r in bot.of(ExecutionBooked)]
    assert len(told) == len(set(told)) == 3
    assert bot.counts["execution"] > 9
    assert end.state is CycleState.COMPLETED


@pytest.mark.parametrize("fault", [FastFaults(early=1.0), FastFaults(reordered=1.0)])
def test_f11_order_of_arrival_makes_no_difference(fault):
    ends = []
    for faults in ({}, dict.fromkeys(range(9), fault)):
        bot = bot_with(faults)
        open_edge(bot)
        bot.run(20)
        (end,) = finish(bot)
        ends.append((end.state, dict(end.flows), bot.totals()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("seed", range(6))
def test_f11_fills_that_are_overtaken_by_the_end_of_their_order_still_count(seed):
    from random import Random

    random = Random(seed)
    bot = bot_with(dict.fromkeys(range(20), FastFaults(reordered=0.5, early=0.5, duplicated=0.3)))
    for _ in range(4):
        open_edge(bot, f"{random.randint(1, 9)}")
        bot.run(random.uniform(1, 15))
    finish(bot)


# ── F12 to F14: partial fills ────────────────────────────────────────────────────────────────────


def test_f12_second_leg_is_sized_by_what_the_first_really_brought():
    bot = bot_with()
    bot.venue.exchange.faults.inject("partial_fill", symbol="SOL/USD", value=D("0.5"))
    open_edge(bot)
    bot.run(5)
    end = finish(bot)[0]
    (first, second, *_) = bot.orders
    brought = next(r for r in bot.of(OrderEnded) if r.client_id == first.request.client_id).received
    assert brought < first.request.quantity
    assert second.request.quantity == brought
    assert end.state is CycleState.COMPLETED


def test_f12_part_too_small_to_trade_is_dust_and_named():
    """0.0201 SOL of 0.02 at least: 1 % of 5 SOL would do, 0.3 % leaves 0.015 SOL."""
    bot = bot_with()
    bot.venue.exchange.faults.inject("partial_fill", symbol="SOL/USD", value=D("0.003"))
    open_edge(bot)
    bot.run(5)
    end = finish(bot)[0]
    assert end.state is CycleState.UNWOUND
    assert set(end.residual) == {"SOL"}
    assert D(0) < end.residual["SOL"] < D("0.02")


@pytest.mark.parametrize("share", ["0.5", "0.03", "0.9"])
def test_f13_rest_of_a_partial_second_leg_goes_back_and_the_filled_part_is_finished(share):
    bot = bot_with()
    bot.venue.exchange.faults.inject("partial_fill", symbol="SOL/EUR", value=D(share))
    open_edge(bot)
    bot.run(10)
    end = finish(bot)[0]
    assert [symbol for _, symbol, _ in legs(bot)][:3] == ["SOL/USD", "SOL/EUR", "EUR/USD"]
    assert legs(bot)[3][0] == "unwind"
    assert legs(bot)[3][1] in ("SOL/EUR", "SOL/USD")
    assert end.state is CycleState.UNWOUND
    assert not end.residual or max(end.residual.values()) < D("0.6")
    assert bot.of(UnwindDecided)


def test_f14_first_leg_that_finds_nothing_ends_clean_and_the_cycle_cools_down():
    bot = bot_with()

    def take_away() -> None:
        exchange = bot.venue.exchange
        exchange.hand.trade("SOL/USD", side=Side.BUY, quantity=D(140))
        exchange.hand.quote("SOL/USD", side=Side.SELL, price=D("100.50"), quantity=D(50))

    on_intent(bot, take_away)
    open_edge(bot)
    bot.run(2)
    # The edge is there again, at another price; the cycle is left alone for a while.
    open_edge(bot, "7", "93.40")
    bot.run(2)
    (end,) = finish(bot)
    assert end.state is CycleState.ABORTED_CLEAN
    assert not end.flows
    assert bot.trader.funnel.refusals["cooldown"] >= 1


# ── F15 to F18: refusals, fees, rules, anomalies ─────────────────────────────────────────────────

REFUSALS = (
    "EService:Market in post_only mode",
    "EService:Market in limit_only mode",
    "EOrder:Invalid price",
    "EOrder:Orders limit exceeded",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_f15_refused_second_leg_is_brought_back_within_the_cap(text):
    bot = bot_with()
    bot.venue.exchange.faults.inject("refuse_order", symbol="SOL/EUR", text=text)
    open_edge(bot)
    bot.run(10)
    end = finish(bot)[0]
    assert end.state is CycleState.UNWOUND
    assert end.profit > -bot.settings.risk.unwind_loss_cap
    (opened,) = [r for r in bot.of(CycleOpened) if r.cycle == end.cycle]
    took_ns = next(t for t, r in bot.records if r is end) - opened.approved.approved_at_ns
    assert took_ns < 1_000_000_000


def test_f15_way_out_dearer_than_the_cap_is_held_and_flagged():
    """Bought 5 SOL for 502 USD, then the market falls by 20 %: 100 USD lost, 25 allowed."""
    bot = bot_with()
    exchange = bot.venue.exchange
    exchange.faults.inject("refuse_order", symbol="SOL/EUR", text=REFUSALS[0])

    def crash() -> None:
        for symbol, price in (("SOL/USD", "80"), ("SOL/EUR", "72")):
            exchange.hand.trade(symbol, side=Side.SELL, quantity=D(200))
            exchange.hand.quote(symbol, side=Side.BUY, price=D(price), quantity=D(50))

    on_intent(bot, crash, leg=1)
    open_edge(bot)
    bot.run(60)
    end = finish(bot)[0]
    assert end.state is CycleState.FLAGGED
    assert end.residual == {"SOL": D(5)}
    (alert,) = [a for a in bot.alerts if "flagged" in a.title]
    assert alert.severity is Severity.CRITICAL
    assert "5" in alert.title
    assert "SOL" in alert.title
    assert bot.of(UnwindDecided)[-1].decision.chosen.kind == "hold"


def test_f15_market_data_that_is_away_while_unwinding_is_waited_for():
    """Without books nothing can be priced; holding would be the dearest way of all."""
    bot = bot_with()
    bot.venue.exchange.faults.inject("refuse_order", symbol="SOL/EUR", text=REFUSALS[0])
    on_intent(bot, bot.venue.lose_public, leg=1)
    open_edge(bot)
    bot.run(30)
    end = finish(bot)[0]
    assert end.state is CycleState.UNWOUND
    assert not end.residual


def test_f16_leg_refused_for_want_of_funds_is_tried_once_more_a_lot_smaller():
    bot = bot_with()
    text = "EOrder:Insufficient funds"
    bot.venue.exchange.faults.inject("refuse_order", symbol="EUR/USD", text=text)
    open_edge(bot)
    bot.run(10)
    end = finish(bot)[0]
    assert end.state is CycleState.COMPLETED
    _, _, refused, again = bot.orders
    assert again.request.quantity == refused.request.quantity - D("1E-8")
    (note,) = bot.of(CycleNoted)
    assert note.what == "insufficient_funds"
    assert text in note.fields["why"]


@pytest.mark.parametrize("leg", ["SOL/USD", "SOL/EUR", "EUR/USD"])
def test_f16_fee_taken_in_the_other_asset_is_booked_as_it_was(leg):
    bot = bot_with()
    bot.venue.exchange.faults.inject("fee_currency", symbol=leg)
    open_edge(bot)
    bot.run(10)
    end = finish(bot)[0]
    assert end.state in (CycleState.COMPLETED, CycleState.UNWOUND)
    told = next(r.report for r in bot.of(ExecutionBooked) if r.report.symbol == leg)
    # Where all of the base is sold nothing is left to take a fee from, so there is none.
    assert [fee.asset for fee in told.fees] in ([leg.split("/")[0]], [])


@pytest.mark.parametrize(
    "change",
    [
        {"minimum_quantity": D("0.5")},
        {"minimum_quantity": D(50)},
        {"tick": D("0.05")},
        {"status": "cancel_only"},
        {"price_decimals": 3},
    ],
    ids=str,
)
def test_f17_rules_that_change_in_mid_cycle_hold_for_the_legs_that_follow(change):
    bot = bot_with()
    on_fill(bot, lambda: bot.venue.exchange.hand.set_pair("SOL/EUR", **change))
    open_edge(bot, price="93.10")
    bot.run(20)
    end = finish(bot)[0]
    assert end.state in (CycleState.COMPLETED, CycleState.UNWOUND)
    refused = [r for r in bot.of(OrderAnswered) if r.outcome == "rejected"]
    assert len(refused) <= 1, "no loop of refusals"


def test_f18_fill_beyond_the_limit_is_booked_as_told_and_the_pair_left_alone():
    bot = bot_with()
    bot.venue.exchange.faults.inject("worse_fill", symbol="SOL/USD", value=D(40))
    open_edge(bot)
    bot.run(5)
    (booked, *_) = bot.of(ExecutionBooked)
    assert booked.is_anomaly
    assert booked.report.last_price > bot.orders[0].request.limit_price
    (alert,) = [a for a in bot.alerts if "beyond the limit" in a.title]
    assert alert.severity is Severity.CRITICAL
    before = bot.counts["record.cycle_opened"]
    open_edge(bot, "6", "93.30")
    bot.run(30)
    assert bot.counts["record.cycle_opened"] == before
    assert bot.trader.funnel.refusals["suspended"] >= 1
    finish(bot)


# ── F30: the venue's own states ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["cancel_only", "post_only", "maintenance"])
def test_f30_nothing_is_begun_until_the_engine_is_online_again(state):
    bot = bot_with()
    exchange = bot.venue.exchange
    exchange.hand.set_engine(state)
    bot.run(5)
    assert not bot.state.is_connected
    exchange.hand.set_engine("online")
    bot.run(2)
    open_edge(bot)
    bot.run(5)
    finish(bot)
    assert bot.watch.cycles["completed"] == 1


@pytest.mark.parametrize("state", ["cancel_only", "post_only", "maintenance"])
@pytest.mark.parametrize("seconds", [3, 20])
def test_f30_cycle_in_the_middle_waits_for_the_engine_and_ends(state, seconds):
    bot = bot_with()
    exchange = bot.venue.exchange
    on_fill(bot, lambda: exchange.hand.set_engine(state))
    open_edge(bot)
    bot.run(seconds)
    exchange.hand.set_engine("online")
    bot.run(60)
    end = finish(bot)[0]
    assert end.state in (CycleState.COMPLETED, CycleState.UNWOUND)
    assert not end.residual


def test_f30_halted_pair_is_left_alone_and_others_are_not():
    bot = bot_with()
    exchange = bot.venue.exchange
    exchange.hand.set_pair("EUR/USD", status="cancel_only")
    bot.run(1)
    open_edge(bot)
    bot.run(5)
    assert not bot.orders
    exchange.hand.set_pair("EUR/USD", status="online")
    bot.run(1)
    open_edge(bot, "1")
    bot.run(5)
    finish(bot)
    assert bot.watch.cycles["completed"] == 1


# ── F45: settings that change ────────────────────────────────────────────────────────────────────


def test_f45_cycle_keeps_the_limits_it_began_with_and_the_next_has_the_new_ones():
    bot = bot_with()
    change = Commanded("limits", "anna", {"maximum_notional": "100", "unwind_loss_cap": "1"})
    on_intent(bot, lambda: bot.tell(change), leg=1)
    open_edge(bot)
    bot.run(5)
    open_edge(bot, "6", "93.20")
    bot.run(5)
    finish(bot)
    first, second, *_ = bot.of(CycleOpened)
    assert (first.approved.limits_version, second.approved.limits_version) == (0, 1)
    assert first.approved.plan.spent > 400
    assert D(90) < second.approved.plan.spent <= 100


def test_f45_fee_that_changes_in_mid_cycle_is_reckoned_with_from_then_on():
    bot = bot_with()

    def dearer() -> None:
        rates = bot.venue.fee_rates(["SOL/EUR", "EUR/USD", "SOL/USD"])
        import attrs

        bot.tell(FeesTold(tuple(attrs.evolve(rate, taker=D("0.02")) for rate in rates)))

    on_intent(bot, dearer, leg=0)
    open_edge(bot)
    bot.run(10)
    end = finish(bot)[0]
    # The rest would not pay at two per cent, so it went the cheapest way, which is on.
    assert end.state in (CycleState.COMPLETED, CycleState.UNWOUND)
    assert bot.trader.machine.state.fees.taker_rate("SOL/EUR") == D("0.02")
    open_edge(bot, "6", "93.20")
    assert bot.counts["record.cycle_opened"] == 1


# ── F46 to F48: what others do to the account ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "asset", "amount"),
    [("deposit", "BTC", "0.5"), ("transfer", "EUR", "12.34"), ("staking", "SOL", "0.0123")],
)
def test_f46_movement_the_venue_shows_is_booked_as_external_with_its_row(kind, asset, amount):
    bot = bot_with()
    row = bot.venue.exchange.hand.deposit("main", asset, D(amount), kind)
    bot.run(5)
    open_edge(bot)
    bot.run(10)
    finish(bot)
    (external,) = [r for r in bot.of(TransactionBooked) if r.reason == "external"]
    assert external.proof == row.ledger_id
    assert not bot.halts
    assert bot.watch.cycles["completed"] == 1


def test_f46_withdrawal_in_mid_cycle_adds_up():
    bot = bot_with()
    on_fill(bot, lambda: bot.venue.exchange.hand.withdraw("main", "USD", D(5_000), D("3.5")))
    open_edge(bot)
    bot.run(10)
    finish(bot)
    assert bot.watch.cycles["completed"] == 1
    external = [r for r in bot.of(TransactionBooked) if r.reason == "external"]
    assert [p.amount for p in external[0].postings if p.account == "fees"] == [D("3.5")]


def test_f46_movement_while_the_connection_is_away_is_found_in_the_history():
    bot = bot_with()
    bot.venue.lose_private()
    bot.run(0.05)
    bot.venue.exchange.hand.deposit("main", "EUR", D("77.7"))
    bot.run(30)
    finish(bot)
    assert bot.state.ledger.balance("EUR") == D("77.7")
    assert not bot.halts


@pytest.mark.parametrize("after_s", [0.0005, 0.002, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4])
def test_f46_connection_lost_while_the_first_balances_are_asked_for(after_s):
    """What was there before we began is in the opening balances already, and in no row again."""
    script = Scripted()
    venue = still_venue(script, STEADY, before=lambda e: e.hand.deposit("main", "EUR", D(50)))
    bot = FastBot(venue, make_settings(), script=script)
    bot.run(after_s)
    venue.lose_private()
    bot.run(30)
    finish(bot)
    assert not bot.halts
    assert bot.state.ledger.balances() == {"USD": D(10_000), "EUR": D(50)}


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.2])
def test_f46_movement_between_question_and_answer_is_not_lost(after_s):
    """The balances are told as they were; a row after that may be lost with the connection."""
    bot = bot_with()
    bot.trader.reconciliation.ask("now and then")
    bot.run(after_s)
    bot.venue.exchange.hand.deposit("main", "EUR", D(50))
    bot.venue.lose_private()
    bot.run(60)
    finish(bot)
    assert not bot.halts


def told_more(bot: FastBot, extra: str) -> None:
    """Let the venue tell a balance that nothing in its ledger explains."""
    tell = bot.tell

    def lying(*events: Any) -> None:
        import attrs

        tell(
            *(
                BalancesTold(
                    tuple(
                        attrs.evolve(b, total=b.total + D(extra)) if b.asset == "USD" else b
                        for b in e.balances
                    )
                )
                if isinstance(e, BalancesTold)
                else e
                for e in events
            )
        )

    bot.tell = lying


def test_f46_difference_nothing_explains_halts_and_nothing_is_begun_any_more():
    bot = bot_with()
    told_more(bot, "-0.0001")
    bot.trader.reconciliation.ask("now and then")
    bot.run(30)
    assert len(bot.halts) == 1
    assert "USD" in bot.halts[0]
    assert bot.of(BalanceCompared)[-1].verdict == "halt"
    open_edge(bot)
    bot.run(10)
    assert not bot.orders
    assert bot.trader.view.trading_state is TradingState.HALTED
    assert bot.trader.funnel.refusals["trading_state"] >= 1
    assert bot.state.ledger.balances() == {"USD": D(10_000)}


def test_f46_difference_within_the_tolerance_is_adopted_and_told():
    bot = bot_with(settings={"execution": {"balance_tolerance": "1"}})
    told_more(bot, "0.5")
    bot.trader.reconciliation.ask("now and then")
    bot.run(30)
    assert not bot.halts
    assert bot.state.ledger.balance("USD") == D("10000.5")
    assert [a.severity for a in bot.alerts] == [Severity.WARNING]


def foreign_order(bot: FastBot, **changes: Any) -> Any:
    """Let somebody else place an order on our account."""
    fields: dict[str, Any] = {
        "symbol": "SOL/USD",
        "side": Side.BUY,
        "quantity": D(20),
        "limit_price": D("90.00"),
        "client_id": "by-hand-1",
        **changes,
    }
    bot.counts["foreign"] += 1
    return bot.venue.exchange.add_order("main", NewOrder(**fields))


def test_f47_foreign_order_is_left_standing_and_what_it_holds_is_not_spent():
    """It holds 9,638.40 of 10,000 USD: 361.60 are left for us, less than the edge is worth."""
    bot = bot_with()
    foreign_order(bot, quantity=D(96), limit_price=D(100) - D("0.10") * 4)
    bot.run(1)
    bot.trader.reconciliation.ask("now and then")
    bot.run(5)
    open_edge(bot)
    bot.run(10)
    finish(bot)
    (standing,) = bot.venue.open_orders()
    assert standing.client_id == "by-hand-1"
    free = D(10_000) - standing.quantity * standing.limit_price * D("1.004")
    opened = bot.of(CycleOpened)[0]
    assert opened.approved.plan.spent <= free
    assert opened.approved.plan.cap == "balance"


def test_f47_foreign_order_is_reckoned_with_at_once():
    """No order of ours may be refused for funds that somebody else's order holds."""
    bot = bot_with()
    foreign_order(bot, quantity=D(96), limit_price=D(100) - D("0.10") * 4)
    bot.run(1)
    open_edge(bot)
    bot.run(10)
    finish(bot)
    assert not [r for r in bot.of(OrderAnswered) if "nsufficient" in r.reason]
    (alert,) = bot.alerts
    assert "not ours" in alert.title
    assert "dead man's switch" in alert.body


def test_f48_execution_of_an_order_that_is_not_ours_is_booked_and_told():
    bot = bot_with()
    foreign_order(bot, limit_price=D("100.00"), quantity=D(3), time_in_force="ioc")
    bot.run(5)
    (booked,) = bot.of(ExecutionBooked)
    assert booked.is_anomaly
    assert booked.cycle == 0
    assert [a.severity for a in bot.alerts] == [Severity.WARNING]
    assert not bot.halts
    open_edge(bot)
    bot.run(10)
    finish(bot)
    assert bot.watch.cycles["completed"] == 1
    assert bot.state.ledger.balance("SOL") == D(3)


def test_f48_execution_with_our_mark_that_is_not_in_the_journal_halts():
    bot = bot_with()
    foreign_order(
        bot, limit_price=D("100.00"), quantity=D(3), time_in_force="ioc", client_id="0bad0bad-1-0"
    )
    bot.run(5)
    assert len(bot.halts) == 1
    assert "not in the journal" in bot.halts[0]
    open_edge(bot)
    bot.run(10)
    assert not bot.orders
    finish(bot)
    assert next(a.severity for a in bot.alerts) is Severity.CRITICAL


def test_f48_foreign_trade_before_we_began_is_in_the_opening_and_booked_no_more():
    script = Scripted()
    order = NewOrder(
        symbol="SOL/USD", side=Side.BUY, quantity=D(3), limit_price=D(100), client_id="before"
    )
    venue = still_venue(script, STEADY, before=lambda e: e.add_order("main", order))
    bot = FastBot(venue, make_settings(), script=script)
    ready(bot)
    bot.venue.lose_private()
    bot.run(20)
    open_edge(bot)
    bot.run(10)
    bot.counts["foreign"] += 1
    finish(bot)
    assert bot.watch.cycles["completed"] == 1


__all__ = ["KEY", "OrderRole", "OrderStatus"]
