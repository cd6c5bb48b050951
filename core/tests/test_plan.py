"""A cycle sized leg by leg: what each leaves goes into the next, and nothing is forgotten."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.book import OrderBook
from arbitrade.execution.walk import plan_cycle
from arbitrade.models import CyclePlan, Instruments, Leg, Side
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.testing.factories import make_book, make_instrument, make_instruments
from arbitrade.testing.strategies import books, fee_schedules, instruments

D = Decimal
ASSETS = ("USD", "BTC", "ETH")
LEGS = (Leg("BTC/USD", Side.BUY), Leg("ETH/BTC", Side.BUY), Leg("ETH/USD", Side.SELL))


def plenty(asset: str) -> Decimal:
    return D(10) ** 9


def nothing(asset: str) -> Decimal:
    return D(0)


def depth_example(**eth_rules: str) -> tuple[Instruments, dict[str, OrderBook]]:
    """The worked example of depth: only USD → BTC → ETH → USD pays."""
    listed = make_instruments(
        make_instrument("BTC/USD", price_precision=0),
        make_instrument("ETH/BTC", price_precision=4, **eth_rules),  # type: ignore[arg-type]  # of one test
        make_instrument("ETH/USD", price_precision=0, **eth_rules),  # type: ignore[arg-type]  # of one test
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
        ),
    }


def planned(
    listed: Instruments,
    held: Mapping[str, OrderBook],
    amount: str | Decimal,
    fees: FeeSchedule,
    *,
    available: Callable[[str], Decimal] | None = plenty,
    **options: object,
) -> CyclePlan:
    return plan_cycle(
        "USD>BTC>ETH",
        ASSETS,
        LEGS,
        held.get,
        D(amount),
        fees,
        instruments=listed,
        available=available,
        **options,  # type: ignore[arg-type]  # of one test
    )


def fee_of(rate: str, convention: FeeConvention = FeeConvention.PROCEEDS) -> FeeSchedule:
    return FeeSchedule(D(rate), charged_in=convention)


@pytest.mark.parametrize(
    ("size", "profit"),
    [
        # The table of the worked example: cumulative input and profit, before lots.
        ("5000", "26.556787"),
        ("6006.509009", "31.397041"),
        ("7518.796326", "36.141174"),
        ("15005", "42.248036"),
        ("15035.090090", "42.227500"),
        ("16563.766063", "36.117437"),
        # At this size the plan loses, and is blocked for it.
        ("45275.630631", "-249.202131"),
    ],
)
def test_the_worked_example_of_depth_at_every_breakpoint(size: str, profit: str) -> None:
    plan = planned(*depth_example(), size, fee_of("0.001"))
    dust = sum((part.value for part in plan.dust), D(0))
    unspent = D(size) - plan.spent
    # Lots of 1e-8 leave dust; with it, and what was not spent, it is the exact profit.
    assert abs(plan.expected_profit + dust - D(profit)) < D("0.00005") + unspent
    assert (plan.blocked is None) is (D(profit) > 0)


@pytest.mark.parametrize(
    ("lot", "quantities", "profit", "dust"),
    [
        # 0.3 BTC for 15005 bring 0.2997 BTC, which buy 4.99001663 ETH for 0.299699999463 BTC; they
        # bring 4.98502661337 ETH, of which whole lots are sold (orders of the triangular detector).
        ("0.00000001", ("0.3", "4.99001663", "4.98502661"), "42.247999", ("5.37E-10", "3.37E-9")),
        ("0.001", ("0.3", "4.990", "4.985"), "42.167770", ("0.000001", "0.00001")),
        ("0.01", ("0.3", "4.99", "4.98"), "27.092860", ("0.000001", "0.00501")),
    ],
)
def test_coarser_lots_leave_more_dust_which_is_valued(lot, quantities, profit, dust) -> None:
    listed, held = depth_example(quantity_increment=lot)
    plan = planned(listed, held, "15005", fee_of("0.001"))
    assert [quote.quantity for quote in plan.quotes] == [D(q) for q in quantities]
    assert f"{plan.expected_profit:.6f}" == profit
    assert [(part.asset, part.amount) for part in plan.dust] == [
        ("BTC", D(dust[0])),
        ("ETH", D(dust[1])),
    ]
    # At the plan's own rates: an ETH is worth what the plan gets for one.
    sold = plan.quotes[2]
    assert plan.dust[1].value == pytest.approx(D(dust[1]) * sold.received / sold.spent)
    # 0.00501 ETH at 3021.5 on average, not at the 3018 of the last level: 1.8 cents too much.
    whole = plan.expected_profit + sum((part.value for part in plan.dust), D(0))
    assert D("42.2480") <= whole < D("42.2660")


@pytest.mark.parametrize(
    ("convention", "size", "profit"),
    [
        (FeeConvention.PROCEEDS, "15005", "42.248036"),
        (FeeConvention.QUOTE, "15020.005", "42.302881"),
        (FeeConvention.KRAKEN_DEFAULT, "15020.005", "42.335426"),
    ],
)
def test_the_worked_example_under_all_conventions(convention, size, profit) -> None:
    plan = planned(*depth_example(), size, fee_of("0.001", convention))
    dust = sum((part.value for part in plan.dust), D(0))
    assert plan.spent == D(size)
    assert abs(plan.expected_profit + dust - D(profit)) < D("0.000002")


def test_without_a_wallet_beside_the_cycle_limits_stay_within_what_each_leg_has() -> None:
    listed, held = depth_example()
    plan = planned(listed, held, "15020.005", fee_of("0.001", FeeConvention.QUOTE), available=None)
    assert plan.blocked is None
    going_in = D("15020.005")
    for quote in plan.quotes[:2]:
        assert quote.quantity * quote.limit_price * D("1.001") <= going_in
        going_in = quote.received
    rich = planned(listed, held, "15020.005", fee_of("0.001", FeeConvention.QUOTE))
    assert plan.quotes[0].quantity < rich.quotes[0].quantity


def test_what_the_wallet_has_covers_a_limit_but_is_not_spent() -> None:
    listed, held = depth_example()
    fees = fee_of("0.001", FeeConvention.QUOTE)
    # 0.3 BTC come in; 5 ETH at the second level hold 0.0601 · 5 · 1.001 = 0.3008 BTC, a bit more.
    wallet = {"USD": D(20_000), "BTC": D("0.01"), "ETH": D(0)}
    plan = planned(listed, held, "15020.005", fees, available=wallet.__getitem__)
    assert plan.quotes == planned(listed, held, "15020.005", fees).quotes
    assert plan.quotes[1].spent <= plan.quotes[0].received


def test_the_first_leg_spends_no_more_than_the_wallet_has() -> None:
    wallet = {"USD": D(5_000), "BTC": D(1), "ETH": D(1)}
    plan = planned(*depth_example(), "15005", fee_of("0.001"), available=wallet.__getitem__)
    assert plan.spent == 5_000


def test_lots_of_other_orders_are_left_to_them() -> None:
    listed, held = depth_example()

    def skip(symbol: str, side: Side) -> int:
        return 10_000_000 if (symbol, side) == ("BTC/USD", Side.BUY) else 0

    plan = planned(listed, held, "5002.5", fee_of("0.001"), skip=skip)
    # The first 0.1 BTC are gone, so the next 0.1 cost 50025 each.
    assert (plan.quotes[0].worst_price, plan.quotes[0].quantity) == (50025, D("0.1"))


def test_slippage_and_cap_are_carried() -> None:
    plan = planned(*depth_example(), "5000", fee_of("0.001"), slippage_bps=D(2), cap="balance")
    assert plan.cap == "balance"
    assert [quote.limit_price for quote in plan.quotes] == [50010, D("0.0600"), 3025]


def test_the_ledgers_steps_are_kept_on_the_way() -> None:
    listed, held = depth_example()
    listed = make_instruments(*listed.values(), assets={"BTC": 4, "ETH": 3, "USD": 2})
    plan = planned(listed, held, "15005", fee_of("0.001"))
    # 0.3 BTC less 0.1 % are 0.2997; they buy 4.990 ETH, less 0.1 % 4.98501, of which 4.985 is kept.
    assert [quote.received for quote in plan.quotes[:2]] == [D("0.2997"), D("4.985")]
    assert plan.received == D("15047.16")


def test_a_plan_is_blocked_by_its_first_blocked_leg() -> None:
    listed, held = depth_example(minimum_quantity="9")
    plan = planned(listed, held, "15005", fee_of("0.001"))
    assert plan.blocked == ("ETH/BTC: order minimum not met: quantity 4.99001663 ETH is below 9")
    assert len(plan.quotes) == 2
    assert (plan.spent, plan.received, plan.expected_profit) == (0, 0, 0)


def test_a_plan_is_blocked_by_a_book_that_is_missing_or_not_to_be_traded_on() -> None:
    listed, held = depth_example()
    held["ETH/USD"].tradable = False
    plan = planned(listed, held, "15005", fee_of("0.001"))
    assert plan.blocked is not None
    assert plan.blocked.startswith("ETH/USD: its book may not be traded on now")
    del held["BTC/USD"]
    plan = planned(listed, held, "15005", fee_of("0.001"))
    assert (plan.blocked, plan.quotes) == ("BTC/USD: there is no book; subscribe to it", ())


def test_a_plan_that_whole_lots_make_a_loss_is_blocked() -> None:
    listed, held = depth_example(quantity_increment="1")
    plan = planned(listed, held, "15005", fee_of("0.001"))
    # 4 ETH are bought, 3.996 arrive, 3 are sold: (2.5 · 3025 + 0.5 · 3018) · 0.999 = 9062.4285.
    assert plan.blocked is not None
    assert plan.blocked.startswith("USD>BTC>ETH: whole lots leave -5942.5715 USD and dust worth ")
    assert plan.received == D("9062.4285")


# ── what must always hold ────────────────────────────────────────────────────────────────────────


@st.composite
def markets(draw: st.DrawFn) -> tuple[Instruments, dict[str, OrderBook], tuple[Leg, ...]]:
    """Draw three pairs, their books, and which way each pair is written."""
    legs = []
    held = {}
    for spends, brings in zip(ASSETS, (*ASSETS[1:], ASSETS[0]), strict=True):
        is_buy = draw(st.booleans())
        symbol = f"{brings}/{spends}" if is_buy else f"{spends}/{brings}"
        held[symbol] = draw(books(draw(instruments(symbol))))
        legs.append(Leg(symbol, Side.BUY if is_buy else Side.SELL))
    precisions = draw(st.none() | st.fixed_dictionaries({a: st.integers(0, 6) for a in ASSETS}))
    listed = make_instruments(*(book.instrument for book in held.values()), assets=precisions)
    return listed, held, tuple(legs)


@given(
    market=markets(),
    amount=st.decimals(0, 100_000, places=4),
    fees=fee_schedules(),
    slippage_bps=st.sampled_from([D(0), D(25)]),
    wallet=st.sampled_from([None, plenty, nothing]),
)
def test_the_flows_of_a_plan_add_up_and_create_nothing(
    market, amount, fees, slippage_bps, wallet
) -> None:
    listed, held, legs = market
    plan = plan_cycle(
        "key",
        ASSETS,
        legs,
        held.get,
        amount,
        fees,
        instruments=listed,
        slippage_bps=slippage_bps,
        available=wallet,
    )
    going_in = amount
    for quote in plan.quotes:
        assert quote.spent <= going_in
        assert Fraction(quote.spent) + Fraction(quote.left) == going_in
        going_in = quote.received
    if plan.blocked is None:
        assert len(plan.quotes) == 3
        assert plan.spent == plan.quotes[0].spent <= amount
        assert plan.received == plan.quotes[2].received > plan.spent
        assert all(part.amount > 0 and part.value > 0 for part in plan.dust)
        left = {
            asset: quote.left
            for asset, quote in zip(ASSETS[1:], plan.quotes[1:], strict=True)
            if quote.left
        }
        assert {part.asset: part.amount for part in plan.dust} == left


@given(market=markets(), amount=st.decimals(0, 100_000, places=4), fees=fee_schedules())
def test_fees_never_raise_what_a_plan_brings(market, amount, fees) -> None:
    listed, held, legs = market
    free = FeeSchedule(D(0), charged_in=fees.charged_in)
    brought = [
        plan_cycle(
            "key", ASSETS, legs, held.get, amount, some, instruments=listed, available=plenty
        )
        for some in (fees, free)
    ]
    if len(brought[0].quotes) == len(brought[1].quotes) == 3:
        assert brought[0].quotes[2].received <= brought[1].quotes[2].received
