"""Money at the simulated exchange: fees by schedule and tier, rounding, the ledger."""

from decimal import Decimal as D

import pytest

from arbitrade.clock import ReplayClock
from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.fees import fee_schedules
from arbitrade_kraken.simulator.exchange.keys import VerificationTier
from arbitrade_kraken.simulator.exchange.listed import ListedPairs
from arbitrade_kraken.simulator.exchange.oracle import ExchangeOracle
from arbitrade_kraken.simulator.exchange.orders import NewOrder
from arbitrade_kraken.simulator.exchange.rounding import to_nearest
from arbitrade_kraken.simulator.exchange.still import StillMarket

START = 1_767_603_600_000_000_000
DAY = 86_400_000_000_000
CYCLE = {
    "SOL/EUR": ([("172.28", "9")], [("172.31", "900")]),
    "SOL/USD": ([("201.10", "900")], [("201.20", "900")]),
    "EUR/USD": ([("1.16510", "900000")], [("1.16520", "900000")]),
    "ETH/USD": ([("3000.00", "900")], [("3001.00", "900")]),
}


def make(volume: str = "0", **settings: object) -> Exchange:
    exchange = Exchange(
        ListedPairs.load().only(tuple(CYCLE)),
        StillMarket(CYCLE),
        ReplayClock(START),
        ExchangeSettings(**settings),  # type: ignore[arg-type]
    )
    exchange.hand.open_account("alice", {"EUR": D("500")}, volume=D(volume))
    return exchange


def take(
    exchange: Exchange, symbol: str, side: Side, quantity: str, price: str, **more: object
) -> None:
    exchange.add_order(
        "alice",
        NewOrder(
            symbol=symbol,
            side=side,
            quantity=D(quantity),
            limit_price=D(price),
            time_in_force="ioc",
            **more,  # type: ignore[arg-type]
        ),
    )


def totals(exchange: Exchange) -> dict[str, D]:
    return {asset: holding.total for asset, holding in exchange.inquiry.holdings("alice").items()}


def test_the_worked_cycle_of_three_legs_comes_out_to_the_last_digit() -> None:
    exchange = make()
    # 2.89018610 × 172.31 = 498.007967; fee 0.40 % = 1.992032: together 499.999999 of 500.
    take(exchange, "SOL/EUR", Side.BUY, "2.89018610", "172.31")
    # 2.89018610 × 201.10 = 581.216425 less 0.40 % = 2.324866: 578.8915.
    take(exchange, "SOL/USD", Side.SELL, "2.89018610", "201.10")
    # 495.8256 × 1.1652 = 577.735989 and 0.20 % = 1.155472: 578.891461 of 578.8915.
    take(exchange, "EUR/USD", Side.BUY, "495.8256", "1.1652")
    fills = exchange.inquiry.fills("alice")
    assert [(fill.cost, fill.fee, fill.fee_asset) for fill in fills] == [
        (D("498.00797"), D("1.99203"), "EUR"),
        (D("581.21642"), D("2.32487"), "USD"),
        (D("577.73599"), D("1.15547"), "USD"),
    ]
    assert totals(exchange) == {"EUR": D("495.8256"), "SOL": D(0), "USD": D("0.0000")}
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_fees_are_reported_at_cost_precision_and_booked_at_ledger_precision() -> None:
    # 132.9995 × 0.26 % = 0.3457987, reported as 0.3458; 19.9743 × 0.25 % = 0.04993575 as 0.0499.
    assert to_nearest(D("132.9995") * D("0.0026"), 4) == D("0.3458")
    assert to_nearest(D("19.9743") * D("0.0025"), 4) == D("0.0499")


def test_fees_come_in_quote_by_default_whichever_side() -> None:
    exchange = make()
    take(exchange, "SOL/EUR", Side.BUY, "1", "172.31")
    take(exchange, "SOL/USD", Side.SELL, "1", "201.10")
    assert [fill.fee_asset for fill in exchange.inquiry.fills("alice")] == ["EUR", "USD"]


def test_fees_in_base_leave_less_of_what_was_bought() -> None:
    exchange = make()
    take(exchange, "SOL/EUR", Side.BUY, "1", "172.31", fee_preference="base")
    (fill,) = exchange.inquiry.fills("alice")
    assert (fill.fee, fill.fee_asset, fill.fee_in_quote) == (D("0.0040000000"), "SOL", D("0.68924"))
    assert totals(exchange) == {"EUR": D("327.69"), "SOL": D("0.996")}
    # A sell with the fee in base needs quantity × 1.004 of it.
    take(exchange, "SOL/EUR", Side.SELL, "0.99", "172.28", fee_preference="base")
    assert totals(exchange)["SOL"] == D("0.996") - D("0.99") - D("0.00396")


def test_a_switch_ignores_the_preference_and_another_follows_the_documentation() -> None:
    ignoring = make(honour_fee_preference=False)
    take(ignoring, "SOL/EUR", Side.BUY, "1", "172.31", fee_preference="base")
    assert ignoring.inquiry.fills("alice")[0].fee_asset == "EUR"
    documented = make(default_fee_in_base=True)
    take(documented, "SOL/EUR", Side.BUY, "1", "172.31")
    take(documented, "SOL/EUR", Side.SELL, "0.9", "172.28")
    assert [fill.fee_asset for fill in documented.inquiry.fills("alice")] == ["EUR", "SOL"]


@pytest.mark.parametrize(
    ("symbol", "volume", "taker", "maker"),
    [
        ("SOL/EUR", "0", "0.4", "0.25"),
        ("SOL/EUR", "9999.99", "0.4", "0.25"),
        ("SOL/EUR", "10000", "0.35", "0.2"),
        ("SOL/EUR", "10000000", "0.1", "0.0"),
        ("SOL/EUR", "500000000", "0.05", "0.0"),
        ("EUR/USD", "0", "0.2", "0.2"),
        ("EUR/USD", "1000000", "0.02", "0.02"),
        ("EUR/USD", "100000000", "0.001", "0.0"),
    ],
)
def test_fees_follow_the_pairs_schedule_and_the_30_day_volume(
    symbol: str, volume: str, taker: str, maker: str
) -> None:
    quote = make(volume).inquiry.fee_quote("alice", symbol)
    assert (quote.taker.fee, quote.maker.fee) == (D(taker), D(maker))


def test_a_tier_names_where_it_begins_and_what_comes_next() -> None:
    side = make("18250.7713").inquiry.fee_quote("alice", "SOL/EUR").taker
    assert (side.tier_volume, side.next_volume, side.next_fee) == (D(10_000), D(50_000), D("0.24"))
    assert (side.minimum, side.maximum) == (D("0.05"), D("0.4"))
    last = make("500000000").inquiry.fee_quote("alice", "SOL/EUR").taker
    assert (last.next_fee, last.next_volume) == (None, None)


def test_the_volume_grows_with_trades_but_not_with_pegged_pairs_and_ages_out() -> None:
    exchange = make()
    take(exchange, "EUR/USD", Side.SELL, "100", "1.1651")
    assert exchange.inquiry.volume_30d("alice") == 0
    take(exchange, "SOL/EUR", Side.BUY, "1", "172.31")
    # 172.31 EUR at a mid of 1.16515.
    assert exchange.inquiry.volume_30d("alice") == D("200.7670")
    exchange.clock.time_ns += 30 * DAY  # type: ignore[attr-defined]
    assert exchange.inquiry.volume_30d("alice") == 0


def test_a_maker_rebate_is_a_negative_fee_and_adds_to_the_balance() -> None:
    listed = ListedPairs.load()
    symbol = next(p.symbol for p in listed.pairs.values() if p.schedule == "B" and p.quote == "USD")
    exchange = Exchange(listed.only([symbol]), StillMarket(), ReplayClock(START))
    exchange.hand.open_account(
        "maker", {"USD": D(100_000)}, tier=VerificationTier.PRO, volume=D(10_000_000)
    )
    pair = exchange.pair(symbol)
    price, quantity = pair.tick * 1000, pair.minimum_quantity * 1000
    while price * quantity < 10_000:
        price *= 10
    quantity = to_nearest(50_000 / price, pair.lot_decimals)
    exchange.add_order(
        "maker", NewOrder(symbol=symbol, side=Side.BUY, quantity=quantity, limit_price=price)
    )
    exchange.hand.quote(symbol, side=Side.SELL, price=price, quantity=quantity)
    (fill,) = exchange.inquiry.fills("maker")
    assert fill.fee == to_nearest(-price * quantity * D("0.0002"), pair.cost_decimals) < 0
    row = next(
        row
        for row in exchange.inquiry.ledger("maker")
        if row.kind == "trade" and row.asset == "USD"
    )
    assert row.fee < 0
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_a_base_kept_coarser_than_its_quantities_is_booked_in_whole_units() -> None:
    exchange = make()
    take(exchange, "EUR/USD", Side.SELL, "10.12345678", "1.1651")
    row = next(
        row
        for row in exchange.inquiry.ledger("alice")
        if row.kind == "trade" and row.asset == "EUR"
    )
    assert row.amount == D("-10.1235")
    assert exchange.inquiry.fills("alice")[0].quantity == D("10.12345678")
    assert ExchangeOracle(exchange).discrepancies() == ()


def test_the_schedules_are_those_of_january_2026() -> None:
    counts: dict[str, int] = {}
    for pair in ListedPairs.load().pairs.values():
        counts[pair.schedule] = counts.get(pair.schedule, 0) + 1
    assert (counts["A"], counts["B"], counts["C"]) == (717, 630, 76)
    assert fee_schedules()["B"].maker[-1][1] == D("-0.02")
    assert [fee_schedules()[letter].counts for letter in "ABC"] == [True, True, False]
