"""One leg: whole lots, a limit that fills, minimums, and no money out of rounding."""

from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.book import OrderBook
from arbitrade.engine.compiled_book import CompiledSide
from arbitrade.errors import BrokenCycleError
from arbitrade.execution.walk import expected_fee, fee_asset, fee_in, net_flow, quote_leg
from arbitrade.models import ExecutionReport, Fee, FeeAsset, LegQuote, Level, OrderStatus, Side
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.testing.factories import make_book, make_instrument
from arbitrade.testing.strategies import books, fee_rates, fee_schedules

D = Decimal
PLENTY = D(10) ** 12
FREE = FeeSchedule(D(0))


def btc_usd(**rules: object) -> OrderBook:
    """Return the first book of the worked example of depth."""
    return make_book(
        make_instrument("BTC/USD", price_precision=1, **rules),  # type: ignore[arg-type]  # of one test
        bids=[("49990", "0.10"), ("49980", "0.20"), ("49000", "1")],
        asks=[("50000", "0.10"), ("50025", "0.20"), ("50100", "1")],
    )


# ── worked examples ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("convention", "amount", "received", "fee"),
    [
        # 0.1·50000 + 0.2·50025 = 15005 USD for 0.3 BTC, to which a fee of 0.1 % comes: 15.005 USD,
        # or of which it is taken: 0.0003 BTC.
        (FeeConvention.QUOTE, "15020.005", "0.3", ("15.005", "USD")),
        (FeeConvention.KRAKEN_DEFAULT, "15020.005", "0.3", ("15.005", "USD")),
        (FeeConvention.PROCEEDS, "15005", "0.2997", ("0.0003", "BTC")),
    ],
)
def test_a_buy_takes_two_levels_whole(convention, amount, received, fee) -> None:
    fees = FeeSchedule(D("0.001"), charged_in=convention)
    quote = quote_leg(btc_usd(), Side.BUY, D(amount), fees, available=PLENTY)
    assert (quote.quantity, quote.received) == (D("0.3"), D(received))
    assert (quote.spent, quote.left) == (D(amount), 0)
    assert (quote.fee, quote.fee_asset) == (D(fee[0]), fee[1])
    assert (quote.worst_price, quote.limit_price, quote.levels) == (50025, 50025, 2)
    assert f"{quote.vwap:.6f}" == "50016.666667"  # 15005 / 0.3
    assert quote.blocked is None


@pytest.mark.parametrize(
    ("convention", "amount", "received", "fee"),
    [
        # 0.1·49990 + 0.2·49980 = 14995 USD for 0.3 BTC.
        (FeeConvention.QUOTE, "0.3", "14980.005", ("14.995", "USD")),
        (FeeConvention.PROCEEDS, "0.3", "14980.005", ("14.995", "USD")),
        (FeeConvention.KRAKEN_DEFAULT, "0.3003", "14995", ("0.0003", "BTC")),
    ],
)
def test_a_sell_takes_two_levels_whole(convention, amount, received, fee) -> None:
    fees = FeeSchedule(D("0.001"), charged_in=convention)
    quote = quote_leg(btc_usd(), Side.SELL, D(amount), fees)
    assert (quote.quantity, quote.received) == (D("0.3"), D(received))
    assert (quote.spent, quote.left) == (D(amount), 0)
    assert (quote.fee, quote.fee_asset) == (D(fee[0]), fee[1])
    assert (quote.worst_price, quote.levels) == (49980, 2)


def test_the_venues_worked_cycle_leg_by_leg() -> None:
    # 500 EUR; fees of 0.40, 0.40 and 0.20 % in quote; the ledger keeps 4 decimals of USD and EUR.
    fees = FeeSchedule(D("0.0040"), overrides={"EUR/USD": D("0.0020")})
    cents = {"quote_step": D("0.0001")}

    def book(symbol: str, price: str, decimals: int) -> OrderBook:
        pair = make_instrument(symbol, price_precision=decimals, cost_precision=5)
        return make_book(pair, bids=[(price, "5000")], asks=[(price, "5000")])

    first = quote_leg(book("SOL/EUR", "172.31", 2), Side.BUY, D(500), fees, **cents)
    # 500 / (172.31 · 1.004) = 2.890186107… SOL; 2.8901861 costs 497.9979… and 1.99203 on top.
    assert first.quantity == first.received == D("2.89018610")
    assert first.fee == D("1.99203")
    second = quote_leg(book("SOL/USD", "201.10", 2), Side.SELL, first.received, fees, **cents)
    # 2.8901861 · 201.10 = 581.21642471, less 2.32486569884: 578.89155901, kept to 4 decimals.
    assert (second.fee, second.received) == (D("2.32487"), D("578.8915"))
    third = quote_leg(
        book("EUR/USD", "1.16520", 5),
        Side.BUY,
        second.received,
        fees,
        base_step=D("0.0001"),
        **cents,
    )
    # 578.8915 / (1.1652 · 1.002) = 495.82562… EUR, of which the ledger keeps 4 decimals, not 8.
    assert third.quantity == D("495.8256")
    assert third.fee == D("1.15547")
    # What is left buys 0.0001 EUR no more.
    assert 0 < third.left < D("0.0001") * D("1.1652") * D("1.002")


def test_a_book_that_ends_leaves_the_rest_of_the_amount() -> None:
    quote = quote_leg(btc_usd(), Side.SELL, D(2), FREE)
    assert (quote.quantity, quote.left, quote.levels) == (D("1.3"), D("0.7"), 3)
    assert quote.blocked is None


# ── limits ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("side", "slippage_bps", "increment", "limit"),
    [
        (Side.BUY, "0", "0.1", "50025"),
        # 50025 · 1.0002 = 50035.005, never beyond: 50035.0; on half units the same, on 50s 50000
        # would not fill, so slippage has to reach 50050: 10 bps do, 50075.025.
        (Side.BUY, "2", "0.1", "50035"),
        (Side.BUY, "2", "0.5", "50035"),
        (Side.BUY, "10", "50", "50050"),
        # 49980 · 0.9998 = 49970.004, never beyond: 49970.1.
        (Side.SELL, "2", "0.1", "49970.1"),
        (Side.SELL, "2", "0.5", "49970.5"),
        (Side.SELL, "10", "50", "49950"),
    ],
)
def test_the_limit_is_the_worst_price_plus_slippage_on_the_increment(
    side: Side, slippage_bps: str, increment: str, limit: str
) -> None:
    book = btc_usd(price_increment=increment)
    amount = D(15005) if side is Side.BUY else D("0.3")
    quote = quote_leg(book, side, amount, FREE, slippage_bps=D(slippage_bps), available=PLENTY)
    assert quote.quantity == D("0.3")
    assert quote.limit_price == D(limit)


def test_the_limit_gives_way_to_the_wallet_before_the_quantity_does() -> None:
    # 0.3 BTC at 50035 hold 15010.50 USD.
    def quoted(available: str) -> LegQuote:
        return quote_leg(
            btc_usd(),
            Side.BUY,
            D(15005),
            FREE,
            slippage_bps=D(2),
            available=D(available),
        )

    enough = quoted("15010.50")
    assert (enough.quantity, enough.limit_price) == (D("0.3"), 50035)
    # 15009 / 0.3 = 50030.
    less = quoted("15009")
    assert (less.quantity, less.limit_price) == (D("0.3"), 50030)
    # 0.3 at the worst price touched, 50025, hold 15007.50: not a cent less for all of it.
    just = quoted("15007.50")
    assert (just.quantity, just.limit_price) == (D("0.3"), 50025)
    # 15007.49 / 50025 = 0.29999980… BTC.
    short = quoted("15007.49")
    assert (short.quantity, short.limit_price) == (D("0.29999980"), 50025)
    assert short.left > 0


def test_without_a_word_about_the_wallet_the_amount_is_all_there_is() -> None:
    # 15005 / 50025 = 0.29995002… BTC: buying two levels holds more than it costs.
    quote = quote_leg(btc_usd(), Side.BUY, D(15005), FREE, slippage_bps=D(2))
    assert (quote.quantity, quote.limit_price) == (D("0.29995002"), 50025)
    # 5000 USD buy the first level; nothing is left for slippage.
    quote = quote_leg(btc_usd(), Side.BUY, D(5000), FREE, slippage_bps=D(2))
    assert (quote.quantity, quote.limit_price, quote.left) == (D("0.1"), 50000, 0)


def test_the_wallet_must_cover_the_fee_where_it_is_charged_in_what_is_spent() -> None:
    fees = FeeSchedule(D("0.01"))
    quote = quote_leg(btc_usd(), Side.BUY, PLENTY, fees, available=D(5050))
    assert (quote.quantity, quote.limit_price) == (D("0.1"), 50000)
    in_base = FeeSchedule(D("0.01"), charged_in=FeeConvention.KRAKEN_DEFAULT)
    quote = quote_leg(btc_usd(), Side.SELL, PLENTY, in_base, available=D("0.101"))
    assert (quote.quantity, quote.spent) == (D("0.1"), D("0.101"))


def test_a_level_no_limit_on_the_increment_reaches_is_not_walked_to() -> None:
    book = make_book(
        make_instrument("BTC/USD", price_increment="0.05"), asks=[("100.05", "1"), ("100.07", "1")]
    )
    quote = quote_leg(book, Side.BUY, D(150), FREE, available=PLENTY)
    assert (quote.quantity, quote.limit_price, quote.blocked) == (D(1), D("100.05"), None)
    # Three basis points of slippage allow 100.10.
    quote = quote_leg(book, Side.BUY, D(150), FREE, available=PLENTY, slippage_bps=D(3))
    assert (quote.levels, quote.limit_price) == (2, D("100.10"))


def test_a_limit_so_deep_that_the_order_is_worth_too_little_is_not_walked_to() -> None:
    book = make_book(
        make_instrument("BTC/USD", minimum_notional=50), bids=[("100", "1"), ("1", "9")]
    )
    # The venue would take 1.5 at a limit of 1 for an order worth 1.5.
    quote = quote_leg(book, Side.SELL, D("1.5"), FREE)
    assert (quote.quantity, quote.limit_price, quote.left) == (D(1), D(100), D("0.5"))


# ── what other orders take, what the ledger keeps ────────────────────────────────────────────────


def test_lots_other_orders_will_take_are_not_there() -> None:
    skipped = 15_000_000  # lots of 1e-8: 0.15 BTC, the first level and a part of the second
    quote = quote_leg(btc_usd(), Side.BUY, D(10_000), FREE, skip_lots=skipped, available=PLENTY)
    # 0.15 BTC at 50025 cost 7503.75; 2496.25 are left for 50100: 0.04982534… BTC.
    assert quote.quantity == D("0.15") + D("0.04982534")
    assert quote.levels == 2


def test_a_quantity_is_a_multiple_of_lot_and_ledger_step() -> None:
    book = make_book(
        make_instrument("EUR/USD", quantity_increment="0.00000004"), asks=[("1", "9000")]
    )
    quote = quote_leg(book, Side.BUY, D("10.12345678"), FREE, base_step=D("0.0001"))
    assert quote.quantity == D("10.1234")
    book = make_book(make_instrument("EUR/USD", quantity_increment="0.0003"), asks=[("1", "9000")])
    quote = quote_leg(book, Side.BUY, D("10.12345678"), FREE, base_step=D("0.0002"))
    assert quote.quantity == D("10.1232")  # multiples of 0.0006


def test_what_comes_in_is_rounded_down_to_the_ledger() -> None:
    book = make_book("EUR/USD", bids=[("1.17", "900")])
    fees = FeeSchedule(D("0.0040"))
    quote = quote_leg(book, Side.SELL, D("10.1234"), fees, quote_step=D("0.0001"))
    # 10.1234 · 1.17 · 0.996 = 11.797000488
    assert quote.received == D("11.7970")
    in_base = FeeSchedule(D("0.0040"), charged_in=FeeConvention.PROCEEDS)
    book = make_book("EUR/USD", asks=[("1.17", "900")])
    quote = quote_leg(book, Side.BUY, D("11.7"), in_base, base_step=D("0.001"))
    assert (quote.quantity, quote.received) == (D(10), D("9.960"))


class Store:
    """Levels as the compiled loop hands them out."""

    def __init__(self, held: list[Level]) -> None:
        self._held = held

    def levels(self, slot: int, asks: bool, begin: int = 0, count: int = 1_000) -> list[Level]:
        return self._held[begin : begin + count]


def test_a_side_the_compiled_loop_keeps_gives_the_same_quote() -> None:
    book = btc_usd()
    kept = btc_usd()
    kept.asks = CompiledSide(10, 1, Store(list(book.asks)), 0)
    amount, fees = D(12_345), FeeSchedule(D("0.0026"))
    assert quote_leg(kept, Side.BUY, amount, fees) == quote_leg(book, Side.BUY, amount, fees)


# ── why not ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "side", "amount", "reason"),
    [
        (
            {"minimum_quantity": "0.001"},
            Side.SELL,
            "0.0009",
            "BTC/USD: order minimum not met: quantity 0.0009 BTC is below 0.001",
        ),
        (
            {"minimum_notional": "50"},
            Side.SELL,
            "0.001",
            "BTC/USD: cost minimum not met: notional 49.99 USD is below 50",
        ),
        (
            {"quantity_increment": "0.01"},
            Side.BUY,
            "499.99",
            "BTC/USD: order minimum not met: 499.99 USD does not reach one lot of 0.01 BTC",
        ),
        (
            {},
            Side.BUY,
            "0",
            "BTC/USD: order minimum not met: 0 USD does not reach one lot of 0.00000001 BTC",
        ),
        (
            {"price_increment": "7"},
            Side.BUY,
            "5000",
            "BTC/USD: price 50000 is not a multiple of the increment 7; 49994 would not reach it",
        ),
    ],
)
def test_a_blocked_quote_names_pair_value_and_limit(rules, side, amount, reason) -> None:
    quote = quote_leg(btc_usd(**rules), side, D(amount), FREE)
    assert quote.blocked == reason
    assert (quote.quantity, quote.spent, quote.received, quote.fee) == (0, 0, 0, 0)
    assert quote.left == D(amount)


def test_an_empty_wallet_blocks_by_name() -> None:
    quote = quote_leg(btc_usd(), Side.SELL, D(1), FREE, available=D(0))
    assert quote.blocked == (
        "BTC/USD: order minimum not met: 0 free BTC do not reach one lot of 0.00000001 BTC"
    )


def test_a_side_with_nothing_on_it_blocks() -> None:
    book = make_book("BTC/USD", asks=[("100", "2")])
    assert quote_leg(book, Side.SELL, D(1), FREE).blocked == "BTC/USD: the book holds no bids"
    quote = quote_leg(book, Side.BUY, D(1), FREE, skip_lots=2 * 10**8)
    assert quote.blocked == "BTC/USD: the book holds no asks but 2 BTC for other orders"


def test_a_fee_that_leaves_nothing_blocks() -> None:
    quote = quote_leg(btc_usd(), Side.SELL, D(1), FeeSchedule(D(1)))
    assert quote.blocked == "BTC/USD: a fee of 1 leaves nothing; write 0.0040 for 40 bps"


# ── fees and flows ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("convention", "side", "where"),
    [
        (FeeConvention.QUOTE, Side.BUY, FeeAsset.QUOTE),
        (FeeConvention.QUOTE, Side.SELL, FeeAsset.QUOTE),
        (FeeConvention.KRAKEN_DEFAULT, Side.BUY, FeeAsset.QUOTE),
        (FeeConvention.KRAKEN_DEFAULT, Side.SELL, FeeAsset.BASE),
        (FeeConvention.PROCEEDS, Side.BUY, FeeAsset.BASE),
        (FeeConvention.PROCEEDS, Side.SELL, FeeAsset.QUOTE),
    ],
)
def test_an_order_says_where_its_fee_is_taken(convention, side, where) -> None:
    assert fee_in(convention, side) is where
    name = "BTC" if where is FeeAsset.BASE else "USD"
    assert fee_asset(make_instrument("BTC/USD"), side, convention) == name


def test_an_expected_fee_is_rounded_to_the_nearest_as_the_venue_reports_it() -> None:
    # 132.9995 · 0.26 % = 0.3457987, reported as 0.3458.
    pair = make_instrument("BTC/USD", cost_precision=4)
    fees = FeeSchedule(D("0.0026"))
    assert expected_fee(pair, Side.SELL, D(1), D("132.9995"), fees) == D("0.3458")
    in_base = FeeSchedule(D("0.0026"), charged_in=FeeConvention.PROCEEDS)
    assert expected_fee(pair, Side.BUY, D("0.5"), D(1), in_base, D("0.001")) == D("0.001")
    assert expected_fee(pair, Side.BUY, D("0.5"), D(1), in_base) == D("0.0013")


def report(**changes: object) -> ExecutionReport:
    plain = ExecutionReport(
        order_id="O1",
        client_id="c1",
        exec_id="E1",
        kind="trade",
        status=OrderStatus.FILLED,
        symbol="BTC/USD",
        side=Side.BUY,
        last_quantity=D("0.3"),
        last_price=D(50_000),
        cost=D(15_000),
        fees=(Fee("USD", D("39")),),
        cumulative_quantity=None,
        cumulative_cost=None,
        is_maker=False,
        reason=None,
        timestamp=None,
    )
    return attrs.evolve(plain, **changes)  # type: ignore[arg-type]  # of one test


def test_a_fill_changes_both_assets_by_what_was_reported() -> None:
    pair = make_instrument("BTC/USD")
    assert net_flow(report(), pair) == {"BTC": D("0.3"), "USD": D(-15_039)}
    assert net_flow(report(side=Side.SELL), pair) == {"BTC": D("-0.3"), "USD": D(14_961)}


def test_a_fee_in_any_other_asset_is_a_change_of_that_asset() -> None:
    fees = (Fee("KFEE", D(2)), Fee("BTC", D("0.001")))
    flows = net_flow(report(fees=fees), make_instrument("BTC/USD"))
    assert flows == {"BTC": D("0.299"), "USD": D(-15_000), "KFEE": D(-2)}


def test_a_report_without_a_side_needs_the_orders() -> None:
    pair, nameless = make_instrument("BTC/USD"), report(side=None)
    assert net_flow(nameless, pair, Side.SELL)["BTC"] == D("-0.3")
    with pytest.raises(BrokenCycleError, match="BTC/USD: execution E1 without a side"):
        net_flow(nameless, pair)


def test_a_flow_keeps_every_digit() -> None:
    cost, fee = D("12345678901234567890.12345678"), D("0.0000000000000001")
    flows = net_flow(report(cost=cost, fees=(Fee("USD", fee),)), make_instrument("BTC/USD"))
    assert flows["USD"] == D("-12345678901234567890.1234567800000001")


# ── what must always hold ────────────────────────────────────────────────────────────────────────

amounts = st.decimals(0, 100_000, places=6, allow_nan=False)
sides = st.sampled_from(Side)
steps = st.sampled_from([None, D(1), D("0.1"), D("0.0001")])
slippages = st.sampled_from([D(0), D(2), D("33.3"), D(1_000)])


def converted(book: OrderBook, quote: LegQuote, fees: FeeSchedule) -> tuple[Fraction, Fraction]:
    """Return what the quote's quantity costs and brings on the book, in exact fractions."""
    pair = book.instrument
    spend, receive = fees.charged_in.factors(quote.side, fees.taker_rate(pair.symbol))
    left, notional = Fraction(quote.quantity), Fraction(0)
    for ticks, lots in book.side(quote.side):
        part = min(left, Fraction(lots, 10**pair.quantity_precision))
        notional += part * Fraction(ticks, 10**pair.price_precision)
        left -= part
    assert left == 0
    quantity = Fraction(quote.quantity)
    is_buy = quote.side is Side.BUY
    goes_in, comes_out = (notional, quantity) if is_buy else (quantity, notional)
    return goes_in * spend, comes_out * receive


@given(
    book=books(),
    side=sides,
    amount=amounts,
    fees=fee_schedules(["BTC/USD"]),
    base_step=steps,
    quote_step=steps,
    slippage_bps=slippages,
    available=st.none() | amounts,
)
def test_no_rounding_creates_money_and_every_order_obeys_the_venue(
    book, side, amount, fees, base_step, quote_step, slippage_bps, available
) -> None:
    quote = quote_leg(
        book,
        side,
        amount,
        fees,
        base_step=base_step,
        quote_step=quote_step,
        slippage_bps=slippage_bps,
        available=available,
    )
    wallet = amount if available is None else available
    pair = book.instrument
    spent, received = converted(book, quote, fees)
    assert Fraction(quote.spent) == spent <= min(amount, wallet)
    assert Fraction(quote.spent) + Fraction(quote.left) == amount
    assert Fraction(quote.received) <= received
    if quote.blocked is not None:
        assert quote.spent == quote.received == quote.quantity == 0
        return
    out_step = base_step if side is Side.BUY else quote_step
    assert received - Fraction(quote.received) < (out_step or Fraction(1, 10**30))
    assert quote.quantity >= max(pair.minimum_quantity, D(10) ** -pair.quantity_precision)
    assert quote.quantity * quote.limit_price >= pair.minimum_notional
    assert quote.quantity % pair.quantity_increment == 0
    assert base_step is None or quote.quantity % base_step == 0
    assert quote.limit_price % pair.price_increment == 0
    beyond = quote.worst_price * slippage_bps / 10_000
    if side is Side.BUY:
        assert quote.worst_price <= quote.limit_price <= quote.worst_price + beyond
        spend, _ = fees.charged_in.factors(side, fees.taker_rate(pair.symbol))
        assert Fraction(quote.quantity * quote.limit_price) * spend <= wallet
    else:
        assert quote.worst_price - beyond <= quote.limit_price <= quote.worst_price


@given(
    book=books(),
    side=sides,
    amount=amounts,
    more=amounts,
    fees=fee_schedules(["BTC/USD"]),
    slippage_bps=slippages,
    available=st.none() | amounts,
)
def test_more_never_brings_less(book, side, amount, more, fees, slippage_bps, available) -> None:
    def brought(going_in: Decimal) -> Decimal:
        return quote_leg(
            book, side, going_in, fees, slippage_bps=slippage_bps, available=available
        ).received

    assert brought(amount) <= brought(amount + more)


@given(
    book=books(),
    side=sides,
    amount=amounts,
    rates=st.tuples(fee_rates(), fee_rates()),
    convention=st.sampled_from(FeeConvention),
    slippage_bps=slippages,
)
def test_a_fee_never_raises_what_comes_out(
    book, side, amount, rates, convention, slippage_bps
) -> None:
    low, high = (
        quote_leg(
            book,
            side,
            amount,
            FeeSchedule(rate, charged_in=convention),
            slippage_bps=slippage_bps,
            available=PLENTY,
        )
        for rate in sorted(rates)
    )
    assert high.received <= low.received


@given(
    book=books(),
    side=sides,
    amount=amounts,
    fees=fee_schedules(["BTC/USD"]),
    base_step=steps,
    quote_step=steps,
    slippage_bps=slippages,
)
def test_going_on_with_what_is_left_never_beats_one_order_for_all(
    book, side, amount, fees, base_step, quote_step, slippage_bps
) -> None:
    def quoted(going_in: Decimal, skip_lots: int) -> LegQuote:
        return quote_leg(
            book,
            side,
            going_in,
            fees,
            base_step=base_step,
            quote_step=quote_step,
            skip_lots=skip_lots,
            slippage_bps=slippage_bps,
            available=PLENTY,
        )

    once = quoted(amount, 0)
    taken = once.quantity.scaleb(book.instrument.quantity_precision)
    assert quoted(once.left, int(taken)).received == 0 or once.blocked is not None
    part = quoted(amount / 2, 0)
    rest = quoted(
        part.left + (amount - amount / 2),
        int(part.quantity.scaleb(book.instrument.quantity_precision)),
    )
    assert part.received + rest.received <= once.received
