"""Whole lots, the venue's rules, and what is left over."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.book import OrderBook
from arbitrade.lots import cut
from arbitrade.models import Changed, Instrument, Instruments, Level, Opportunity, Side
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.testing.factories import make_book, make_instrument, make_instruments
from arbitrade.testing.strategies import fee_schedules
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector
from arbitrade_triangular.graph import find_cycles
from arbitrade_triangular.terms import TermsTable


def found(
    listed: Instruments,
    held: Mapping[str, OrderBook],
    fees: FeeSchedule,
    *,
    start: tuple[str, ...] = ("USD",),
    min_edge_bps: Decimal = Decimal(0),
) -> list[Opportunity]:
    """Return what is there once every book has been seen."""
    settings = TriangularSettings(start_assets=start, min_edge_bps=min_edge_bps)
    detector = TriangularDetector(listed, fees, settings)
    seen: list[Opportunity] = []
    for book in held.values():
        seen = list(detector.on_book(book, Changed.BOTH))
    return seen


# ── worked examples ──────────────────────────────────────────────────────────────────────────────


def depth_example(**eth_rules: str) -> tuple[Instruments, dict[str, OrderBook]]:
    """Bids of BTC/USD and ETH/BTC and asks of ETH/USD are far off: only one direction pays."""
    listed = make_instruments(
        make_instrument("BTC/USD", price_precision=0),
        make_instrument("ETH/BTC", price_precision=4, **eth_rules),  # type: ignore[arg-type]  # one rule at a time
        make_instrument("ETH/USD", price_precision=0, **eth_rules),  # type: ignore[arg-type]  # one rule at a time
    )
    return listed, {
        "BTC/USD": make_book(
            listed["BTC/USD"],
            bids=[("49000", "1")],
            asks=[("50000", "0.10"), ("50025", "0.20"), ("50100", "1")],
        ),
        "ETH/BTC": make_book(
            listed["ETH/BTC"],
            bids=[("0.0590", "1")],
            asks=[("0.0600", "2"), ("0.0601", "3"), ("0.0603", "10")],
        ),
        "ETH/USD": make_book(
            listed["ETH/USD"],
            bids=[("3025", "2.5"), ("3018", "3"), ("3000", "10")],
            asks=[("3100", "1")],
            timestamp="2026-01-12T00:00:00.000001Z",
        ),
    }


@pytest.mark.parametrize(
    ("lot", "quantities", "profit", "dust"),
    [
        # A fee of 0.1 % on what each leg brings.  Buying 0.3 BTC for 15005 brings 0.2997 BTC.
        # ETH: 2 at 0.06 = 0.12 BTC; (0.2997 − 0.12) / 0.0601 = 2.99001663… more.
        #   lot 1e-8: 4.99001663 ETH for 0.299699999463 BTC, 5.37e-10 BTC left; it brings
        #             4.98502661337 ETH, of which 4.98502661 is sold:
        #             (2.5·3025 + 2.48502661·3018)·0.999 = 15047.24799867 USD, − 15005 = 42.24799867
        ("0.00000001", ("0.3", "4.99001663", "4.98502661"), "42.247999", ("5.37E-10", "3.37E-9")),
        #   lot 0.001: 4.99 ETH for 0.299699 BTC, 0.000001 BTC left; it brings 4.98501 ETH, 4.985
        #              sold: (7562.5 + 2.485·3018)·0.999 = 15047.16777, 0.00001 ETH left
        ("0.001", ("0.3", "4.990", "4.985"), "42.167770", ("0.000001", "0.00001")),
        #   lot 0.01: 4.99 ETH as before, 4.98 sold: (7562.5 + 2.48·3018)·0.999 = 15032.09286,
        #             0.00501 ETH left, about 15 USD
        ("0.01", ("0.3", "4.99", "4.98"), "27.092860", ("0.000001", "0.00501")),
    ],
)
def test_coarser_lots_leave_more_dust_and_less_profit(lot, quantities, profit, dust) -> None:
    listed, held = depth_example(quantity_increment=lot)
    fees = FeeSchedule(Decimal("0.001"), charged_in=FeeConvention.PROCEEDS)
    (opportunity,) = found(listed, held, fees)
    assert opportunity.key == "USD>BTC>ETH"
    assert opportunity.timestamp == "2026-01-12T00:00:00.000001Z"
    assert (opportunity.size, f"{opportunity.profit:.6f}") == (15005, "42.248036")
    assert [order.quantity for order in opportunity.orders] == [Decimal(q) for q in quantities]
    # The worst prices touched: the second level of every book.
    assert [order.limit_price for order in opportunity.orders] == [
        Decimal("50025"),
        Decimal("0.0601"),
        Decimal("3018"),
    ]
    assert f"{opportunity.lot_profit:.6f}" == profit
    assert [(part.asset, part.amount) for part in opportunity.dust] == [
        ("BTC", Decimal(dust[0])),
        ("ETH", Decimal(dust[1])),
    ]
    # A dust of ETH is worth what the level where the sale ended pays for it: 3018 · 0.999.
    assert opportunity.dust[1].value == Decimal(dust[1]) * 3018 * Decimal("0.999")
    # Dust, valued, makes up for what lots took: nothing is lost, nothing gained.
    total = opportunity.lot_profit + sum(part.value for part in opportunity.dust)
    assert abs(total - opportunity.profit) < Decimal("1e-20")


def test_the_venues_worked_cycle_leg_by_leg() -> None:
    # 500 EUR; fees of 0.40, 0.40 and 0.20 % in quote; the ledger keeps 4 decimals of USD and EUR.
    listed = make_instruments(
        make_instrument("SOL/EUR"),
        make_instrument("SOL/USD"),
        make_instrument("EUR/USD", price_precision=5),
        assets={"EUR": 4, "USD": 4, "SOL": 10},
    )
    fees = FeeSchedule(Decimal("0.0040"), overrides={"EUR/USD": Decimal("0.0020")})
    (cycle,) = (c for c in find_cycles(listed.values(), ("EUR",)) if c.key == "EUR>SOL>USD")
    terms = TermsTable(listed, fees).of(cycle)
    first, second, third = terms.legs
    prices, lots = (17231, 20110, 116520), 10**12

    def level(at: int) -> list[Level]:
        return [(prices[at], lots)]

    # 500 / (172.31 · 1.004) = 2.89018610… SOL, for 172.31 · 2.8901861 · 1.004 = 499.99999…
    bought = first.fill(level(0), first.units(Decimal(500)))
    assert bought.lots == 289_018_610
    assert f"{terms.amount(0, first.spent(bought)):.4f}" == "500.0000"
    assert terms.amount(1, first.received(bought)) == Decimal("2.8901861")
    # 2.8901861 · 201.10 = 581.21642471, less 0.4 % = 578.89155901…; the ledger keeps 578.8915.
    sold = second.fill(level(1), first.received(bought))
    brought = second.received(sold)
    kept = brought - brought % terms.ledger_steps[1]
    assert sold.lots == 289_018_610
    assert f"{terms.amount(2, brought):.8f}" == "578.89155901"
    assert terms.amount(2, kept) == Decimal("578.8915")
    # 578.8915 / (1.1652 · 1.002) = 495.8256…, and EUR has 4 decimals although the lot has 8.
    back = third.fill(level(2), kept)
    assert third.rules.lot_step == 10_000
    back = cut(level(2), back.lots - back.lots % 10_000)
    assert Decimal(back.lots).scaleb(-8) == Decimal("495.8256")
    assert terms.amount(0, third.received(back)) == Decimal("495.8256")
    # It costs 1.1652 · 495.8256 = 577.73599 and a fee of 1.15547.
    cost = Decimal("577.73599") + Decimal("1.15547")
    assert f"{terms.amount(2, third.spent(back)):.5f}" == f"{cost:.5f}"


# ── what the venue would refuse ──────────────────────────────────────────────────────────────────


def gainful(
    **rules: dict[str, str | int],
) -> tuple[Instruments, dict[str, OrderBook]]:
    """A cycle that pays 10 %: 1 BTC for 100 USD, 1 ETH for 1 BTC, 1 ETH brings 110 USD."""
    symbols = {"btc_usd": "BTC/USD", "eth_btc": "ETH/BTC", "eth_usd": "ETH/USD"}
    listed = make_instruments(
        *(
            make_instrument(symbol, **rules.get(name, {}))  # type: ignore[arg-type]  # one rule at a time
            for name, symbol in symbols.items()
        )
    )
    return listed, {
        "BTC/USD": make_book(listed["BTC/USD"], asks=[("100", "1")], bids=[("50", "1")]),
        "ETH/BTC": make_book(listed["ETH/BTC"], asks=[("1", "1")], bids=[("0.5", "1")]),
        "ETH/USD": make_book(listed["ETH/USD"], asks=[("200", "1")], bids=[("110", "1")]),
    }


FREE = FeeSchedule(Decimal(0))


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (
            {"eth_btc": {"minimum_quantity": "1.5"}},
            "ETH/BTC: quantity 1 is below the minimum 1.5",
        ),
        (
            {"eth_usd": {"minimum_notional": "110.5"}},
            "ETH/USD: notional 110 USD is below the minimum 110.5",
        ),
        (
            {"btc_usd": {"quantity_increment": "2"}},
            "BTC/USD: 100 USD does not reach one lot of 2 BTC",
        ),
        (
            {"btc_usd": {"price_increment": "0.03"}},
            "BTC/USD: price 100 is not a multiple of the increment 0.03; 99.99 would not reach it",
        ),
        (
            {"eth_usd": {"price_increment": "0.07"}},
            "ETH/USD: price 110 is not a multiple of the increment 0.07; 110.04 would not reach it",
        ),
    ],
)
def test_a_rule_of_the_venue_blocks_with_subject_value_and_limit(rules, reason) -> None:
    listed, held = gainful(**rules)
    (opportunity,) = found(listed, held, FREE)
    assert opportunity.blocked == reason
    assert (opportunity.orders, opportunity.dust, opportunity.lot_profit) == ((), (), 0)
    # It is reported all the same, with what it would be worth: 1 · 110 − 100.
    assert (opportunity.edge_bps, opportunity.size, opportunity.profit) == (1000, 100, 10)


def test_minimums_are_met_when_they_are_just_reached() -> None:
    listed, held = gainful(eth_btc={"minimum_quantity": "1"}, eth_usd={"minimum_notional": "110"})
    (opportunity,) = found(listed, held, FREE)
    assert opportunity.blocked is None
    assert opportunity.lot_profit == 10


def test_rounding_that_leaves_no_profit_blocks_and_says_what_is_left() -> None:
    # Lots of 0.6 ETH: of the one ETH bought only 0.6 is bought at all, 0.6 · 110 = 66 < 100 spent.
    listed, held = gainful(
        eth_btc={"quantity_increment": "0.6"}, eth_usd={"quantity_increment": "0.6"}
    )
    (opportunity,) = found(listed, held, FREE)
    # 0.4 BTC is left; it would bring 0.4 ETH and 44 USD.
    assert opportunity.blocked == (
        "USD>BTC>ETH: rounding to lots leaves -34 USD and dust worth 44 USD; the limit is above 0"
    )
    assert opportunity.orders == ()


def test_dust_that_reaches_into_a_worse_level_is_valued_there() -> None:
    # 2 BTC for 200 USD and 2 ETH for 2 BTC, sold in lots of 1.5: 1.5 · 110 = 165 USD, no profit.
    # Of the 0.5 ETH left 0.1 would still bring 110, the rest 108: 11 + 43.2 = 54.2.
    listed, held = gainful(eth_usd={"quantity_increment": "1.5"})
    held["BTC/USD"].load(bids=[(5_000, 10**8)], asks=[(10_000, 2 * 10**8)])
    held["ETH/BTC"].load(bids=[(50, 10**8)], asks=[(100, 2 * 10**8)])
    held["ETH/USD"].load(bids=[(11_000, 16 * 10**7), (10_800, 10**9)], asks=[(20_000, 10**8)])
    (opportunity,) = found(listed, held, FREE)
    # 1.6 · 110 + 0.4 · 108 − 200 = 19.2 = 54.2 − 35
    assert opportunity.profit == Decimal("19.2")
    assert opportunity.blocked == (
        "USD>BTC>ETH: rounding to lots leaves -35 USD and dust worth 54.2 USD; the limit is above 0"
    )


def test_a_near_miss_is_shown_without_a_size_when_the_threshold_is_negative() -> None:
    listed, held = gainful()
    held["ETH/USD"].load(bids=[(9_990, 10**8)], asks=[(20_000, 10**8)])
    (opportunity,) = found(listed, held, FREE, min_edge_bps=Decimal(-20))
    # 99.90 / 100 / 1 − 1 = −10 bps
    assert (opportunity.edge_bps, opportunity.size, opportunity.profit) == (-10, 0, 0)
    assert opportunity.blocked == (
        "USD>BTC>ETH: at an edge of -10.0000 bps no size is profitable; the limit is above 0"
    )


def test_a_base_the_ledger_keeps_coarser_is_ordered_in_the_ledgers_steps() -> None:
    listed, held = gainful()
    held["ETH/BTC"].load(bids=[(50, 10**8)], asks=[(100, 99_999_999)])
    coarse = Instruments(listed.values(), make_instruments(assets={"ETH": 4}).assets.values())
    (opportunity,) = found(coarse, held, FREE)
    # 0.99999999 ETH pays, but only 0.9999 can be held.
    assert [order.quantity for order in opportunity.orders[1:]] == [Decimal("0.9999")] * 2


# ── what must always hold ────────────────────────────────────────────────────────────────────────


@st.composite
def markets(draw: st.DrawFn) -> tuple[Instruments, dict[str, OrderBook], FeeSchedule]:
    """Draw three pairs in either orientation, prices around 1, rules that bite now and then."""
    symbols = [
        draw(st.sampled_from((f"{one}/{other}", f"{other}/{one}")))
        for one, other in (("A", "B"), ("B", "C"), ("C", "A"))
    ]
    listed = make_instruments(
        *(
            make_instrument(
                symbol,
                price_precision=2,
                quantity_precision=draw(st.integers(1, 3)),
                price_increment=draw(st.sampled_from(("0.01",) * 7 + ("0.03",))),
                quantity_increment=draw(st.sampled_from(("0.001", "0.001", "0.1", "0.7"))),
                minimum_quantity=draw(st.sampled_from(("0", "0", "0.5"))),
                minimum_notional=draw(st.sampled_from(("0", "0", "0.5"))),
            )
            for symbol in symbols
        ),
        assets=draw(st.sampled_from(({}, {}, {"A": 3, "B": 1, "C": 2}))),
    )
    # One direction is quoted so that it pays more often than not, the other far from it.
    cycle = draw(st.sampled_from(find_cycles(listed.values(), ("A",))))
    held = {symbol: make_book(listed[symbol]) for symbol in symbols}
    for leg in cycle.legs:
        is_buy = leg.side is Side.BUY
        ticks = st.integers(92, 103) if is_buy else st.integers(97, 108)
        prices = draw(st.sets(ticks, min_size=1, max_size=5))
        levels = [(price, draw(st.integers(1, 5_000))) for price in prices]
        far = [(1 if is_buy else 1_000, 1)]
        held[leg.symbol].load(*((far, levels) if is_buy else (levels, far)))
    return listed, held, draw(fee_schedules(symbols))


@given(markets())
def test_orders_keep_every_rule_and_no_rounding_creates_money(market) -> None:
    listed, held, fees = market
    for opportunity in found(listed, held, fees, start=("A",), min_edge_bps=Decimal(-9_000)):
        assert (opportunity.blocked is None) == (len(opportunity.orders) == 3)
        if opportunity.blocked is not None:
            assert opportunity.key in opportunity.blocked or any(
                opportunity.blocked.startswith(f"{leg.symbol}: ") for leg in opportunity.legs
            )
            continue
        returned = _carry_out(opportunity, listed, held, fees)
        assert returned == opportunity.lot_profit > 0
        dust = sum((part.value for part in opportunity.dust), Decimal(0))
        assert all(part.amount > 0 for part in opportunity.dust)
        assert all(part.value > 0 for part in opportunity.dust)
        assert opportunity.lot_profit + dust <= opportunity.profit + Decimal("1e-20")


def _carry_out(
    opportunity: Opportunity,
    listed: Instruments,
    held: Mapping[str, OrderBook],
    fees: FeeSchedule,
) -> Fraction:
    """Fill the orders against the books by the rules of a venue; return the cash gained."""
    spent_first, purse = Fraction(0), Fraction(0)
    for at, (leg, order) in enumerate(zip(opportunity.legs, opportunity.orders, strict=True)):
        pair = listed[order.symbol]
        quantity, limit = Fraction(order.quantity), Fraction(order.limit_price)
        _assert_venue_takes(pair, quantity, limit)
        if (ledger := listed.assets.get(pair.base)) is not None:
            assert (quantity * 10**ledger.precision).denominator == 1
        lots = quantity * 10**pair.quantity_precision
        assert lots.denominator == 1
        walk = held[order.symbol].walk(leg.side, int(lots))
        assert walk.lots == lots
        assert walk.worst_ticks == limit * 10**pair.price_precision
        notional = Fraction(walk.cost_units, 10 ** (pair.price_precision + pair.quantity_precision))
        spent_factor, received_factor = fees.charged_in.factors(
            leg.side, fees.taker_rate(order.symbol)
        )
        is_buy = leg.side is Side.BUY
        spent = (notional if is_buy else quantity) * spent_factor
        received = (quantity if is_buy else notional) * received_factor
        if at == 0:
            spent_first = spent
            assert spent <= Fraction(opportunity.size) + Fraction(1, 10**20)
        else:
            assert spent <= purse
        asset = listed.assets.get(pair.base if is_buy else pair.quote)
        purse = received
        if asset is not None:
            purse = Fraction(received * 10**asset.precision // 1, 10**asset.precision)
    return Fraction(Decimal(1)) * (purse - spent_first)


def _assert_venue_takes(pair: Instrument, quantity: Fraction, limit: Fraction) -> None:
    assert (quantity / Fraction(pair.quantity_increment)).denominator == 1
    assert (limit / Fraction(pair.price_increment)).denominator == 1
    assert quantity >= Fraction(pair.minimum_quantity)
    assert quantity * limit >= Fraction(pair.minimum_notional)
