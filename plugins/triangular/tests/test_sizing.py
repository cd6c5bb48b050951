"""The optimum through depth: worked examples by hand, then against a brute-force oracle."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.book import OrderBook
from arbitrade.errors import BrokenCycleError, ConfigError
from arbitrade.models import Instruments, Leg, Side
from arbitrade.pricing import FeeConvention, FeeSchedule, net_edge_bps, to_decimal
from arbitrade.testing.factories import make_book, make_instrument, make_instruments
from arbitrade.testing.strategies import books, fee_schedules
from arbitrade_triangular.graph import DirectedCycle, find_cycles
from arbitrade_triangular.sizing import Optimum, optimal_size
from arbitrade_triangular.terms import CycleTerms, TermsTable

ANY_EDGE = (1, 10_000)
"""A threshold so low that every cycle is sized."""
ABOVE_ZERO = (1, 1)


def terms_of(
    instruments: Instruments, key: str, fees: FeeSchedule, start: tuple[str, ...] = ("USD",)
) -> CycleTerms:
    cycle = next(c for c in find_cycles(instruments.values(), start) if c.key == key)
    return TermsTable(instruments, fees).of(cycle)


def size_of(
    terms: CycleTerms,
    books: Mapping[str, OrderBook],
    threshold: tuple[int, int] = ABOVE_ZERO,
) -> Optimum | None:
    return optimal_size(
        terms, [books[leg.symbol].side(leg.side) for leg in terms.cycle.legs], threshold
    )


def size_and_profit(terms: CycleTerms, optimum: Optimum) -> tuple[Fraction, Fraction]:
    scale = terms.legs[0].spend_scale
    size = Fraction(*optimum.size) / scale
    return size, Fraction(*optimum.output) / scale - size


# ── worked examples ──────────────────────────────────────────────────────────────────────────────


def test_one_bitcoin_through_lpt_and_yen_gains_2_5095_per_cent() -> None:
    # A fee of 0.1 % on what each leg brings.
    #   1 BTC / 0.00003620 · 0.999         = 27,596.685083 LPT
    #   27,596.685083 · 513.90 · 0.999     = 14,167,754.527624 JPY
    #   14,167,754.527624 / 13,807,098 · 0.999 = 1.0250949745628433 BTC, an edge of 250.95 bps
    instruments = make_instruments(
        make_instrument("LPT/BTC", price_precision=8),
        make_instrument("LPT/JPY", price_precision=2),
        make_instrument("BTC/JPY", price_precision=0),
    )
    fees = FeeSchedule(Decimal("0.001"), charged_in=FeeConvention.PROCEEDS)
    terms = terms_of(instruments, "BTC>LPT>JPY", fees, ("BTC",))
    # Leg 1 holds exactly what one bitcoin buys (27,624.30939226 LPT at 0.00003620), the rest more.
    held = "27624.30939226"
    optimum = size_of(
        terms,
        {
            "LPT/BTC": make_book(instruments["LPT/BTC"], asks=[("0.00003620", held)]),
            "LPT/JPY": make_book(instruments["LPT/JPY"], bids=[("513.90", "50000")]),
            "BTC/JPY": make_book(instruments["BTC/JPY"], asks=[("13807098", "5")]),
        },
    )
    assert optimum is not None
    assert f"{optimum.edge_bps:.12f}" == "250.949745628433"
    gross = Fraction("0.999") ** 3 * Fraction("513.90") / Fraction("0.00003620") / 13_807_098
    assert optimum.edge_bps == net_edge_bps(gross)
    size, profit = size_and_profit(terms, optimum)
    assert size == Fraction(held) * Fraction("0.00003620")
    assert profit == size * (gross - 1)
    assert (
        f"{float(Fraction(1) / Fraction('0.00003620') * Fraction('0.999')):.6f}" == "27596.685083"
    )


USD_BTC_ETH = make_instruments(
    make_instrument("BTC/USD", price_precision=0),
    make_instrument("ETH/BTC", price_precision=4),
    make_instrument("ETH/USD", price_precision=0),
)


def depth_example(btc: int = 3, eth: int = 3, usd: int = 3) -> dict[str, OrderBook]:
    """The books of the example, cut to the first levels of each leg."""
    asks = [("50000", "0.10"), ("50025", "0.20"), ("50100", "1")]
    rates = [("0.0600", "2"), ("0.0601", "3"), ("0.0603", "10")]
    bids = [("3025", "2.5"), ("3018", "3"), ("3000", "10")]
    return {
        "BTC/USD": make_book(USD_BTC_ETH["BTC/USD"], asks=asks[:btc]),
        "ETH/BTC": make_book(USD_BTC_ETH["ETH/BTC"], asks=rates[:eth]),
        "ETH/USD": make_book(USD_BTC_ETH["ETH/USD"], bids=bids[:usd]),
    }


# Segments of USD>BTC>ETH at 0.1 % of what each leg brings.  A marginal rate is 0.999³ · (bid of
# ETH/USD) / (ask of BTC/USD) / (ask of ETH/BTC), for example 0.999³ · 3025 / 50000 / 0.06 =
# 1.00531136.  What ends them, in dollars put in:
#   0.10 BTC at 50000                                                     = 5000
#   2 ETH at 0.06 = 0.12 BTC = 0.120120 before fee: 5000 + 0.020120·50025 = 6006.509009
#   2.5 ETH sold = 2.502503 before fee: 0.502503 at 0.0601, / 0.999        = 7518.796326
#   0.20 BTC at 50025                                                     = 5000 + 10005 = 15005
#   5 ETH: 0.3003 BTC = 0.300601 before fee: 15005 + 0.000601·50100        = 15035.090090
#   5.5 ETH sold                                                          = 16563.766063
#   15 ETH: 0.9033 BTC = 0.904204 before fee                               = 45275.630631
SEGMENTS = [
    # levels of each leg in use, where it ends, marginal rate, profit up to there
    ((1, 1, 1), "5000.000000", "1.00531136", "26.556787"),
    ((2, 1, 1), "6006.509009", "1.00480895", "31.397041"),
    ((2, 2, 1), "7518.796326", "1.00313706", "36.141174"),
    ((2, 2, 2), "15005.000000", "1.00081575", "42.248036"),
    ((3, 2, 2), "15035.090090", "0.99931752", "42.227500"),
    ((3, 3, 2), "16563.766063", "0.99600304", "36.117437"),
    ((3, 3, 3), "45275.630631", "0.99006266", "-249.202131"),
]


@pytest.mark.parametrize(("levels", "ends", "marginal", "profit"), SEGMENTS)
def test_profit_along_the_depth_example_is_the_published_table(
    oracle, levels, ends, marginal, profit
) -> None:
    books = depth_example()
    fees = FeeSchedule(Decimal("0.001"), charged_in=FeeConvention.PROCEEDS)
    terms = terms_of(USD_BTC_ETH, "USD>BTC>ETH", fees)
    legs = [oracle.segments(books[leg.symbol], leg.side, fees) for leg in terms.cycle.legs]
    rate = Fraction(1)
    for segments, level in zip(legs, levels, strict=True):
        rate *= segments[level - 1][1] / segments[level - 1][0]
    assert f"{float(rate):.8f}" == marginal
    assert f"{to_decimal(oracle.profit_at(legs, oracle.end_of(legs, levels))):.6f}" == profit
    assert f"{to_decimal(oracle.end_of(legs, levels)):.6f}" == ends


@pytest.mark.parametrize(("levels", "ends", "marginal", "profit"), SEGMENTS[:4])
def test_the_optimum_of_cut_books_is_the_last_breakpoint_they_hold(
    levels, ends, marginal, profit
) -> None:
    # Hold only the levels of a row and the walk must stop at its end, while rates are above 1.
    fees = FeeSchedule(Decimal("0.001"), charged_in=FeeConvention.PROCEEDS)
    terms = terms_of(USD_BTC_ETH, "USD>BTC>ETH", fees)
    optimum = size_of(terms, depth_example(*levels))
    assert optimum is not None
    size, gained = size_and_profit(terms, optimum)
    assert (f"{to_decimal(size):.6f}", f"{to_decimal(gained):.6f}") == (ends, profit)
    assert f"{optimum.edge_bps:.4f}" == "53.1136"  # (1.00531136 - 1) · 10⁴


@pytest.mark.parametrize(
    ("convention", "size", "profit"),
    [
        # Buying 0.3 BTC costs 0.1·50000 + 0.2·50025 = 15005; a fee in quote comes on top: · 1.001.
        (FeeConvention.PROCEEDS, "15005.000000", "42.248036"),
        (FeeConvention.QUOTE, "15020.005000", "42.302881"),
        (FeeConvention.KRAKEN_DEFAULT, "15020.005000", "42.335426"),
    ],
)
def test_each_fee_convention_has_its_own_optimum(convention, size, profit) -> None:
    terms = terms_of(
        USD_BTC_ETH, "USD>BTC>ETH", FeeSchedule(Decimal("0.001"), charged_in=convention)
    )
    optimum = size_of(terms, depth_example())
    assert optimum is not None
    found = size_and_profit(terms, optimum)
    assert [f"{to_decimal(value):.6f}" for value in found] == [size, profit]


@pytest.mark.parametrize(
    ("fee", "gross_bps"),
    # 1/(1−f)³ − 1, the fee taken of what each leg brings.  78.4068 is often printed as 78.40.
    [
        ("0.0004", "12.01"),
        ("0.0010", "30.06"),
        ("0.0025", "75.38"),
        ("0.0026", "78.41"),
        ("0.0040", "120.97"),
    ],
)
def test_break_even_of_three_legs(fee, gross_bps) -> None:
    assert f"{(1 / (1 - Decimal(fee)) ** 3 - 1) * 10_000:.2f}" == gross_bps
    # Parity at no fee: 100 · 1 / 100 = 1, so the edge is what the fees cost: (1−f)³ − 1.
    instruments, books = parity()
    fees = FeeSchedule(Decimal(fee), charged_in=FeeConvention.PROCEEDS)
    optimum = size_of(terms_of(instruments, "USD>BTC>ETH", fees), books, ANY_EDGE)
    assert optimum is not None
    assert optimum.edge_bps == ((1 - Decimal(fee)) ** 3 - 1) * 10_000


@pytest.mark.parametrize(
    ("legs", "loss", "needed"),
    [
        # Per cent; loss = 1 − Π(1−f), gross edge needed = 1/Π(1−f) − 1.
        # 3 × 0.40: 0.996³ = 0.98804794, so 1.195 lost and 1/0.98804794 − 1 = 1.210 needed.
        (("0.40", "0.40", "0.40"), "1.195", "1.210"),
        (("0.40", "0.40", "0.20"), "0.997", "1.007"),
        (("0.35", "0.35", "0.35"), "1.046", "1.057"),
        (("0.24", "0.24", "0.24"), "0.718", "0.723"),
        (("0.10", "0.10", "0.10"), "0.300", "0.301"),
        (("0.05", "0.05", "0.05"), "0.150", "0.150"),
    ],
)
def test_what_three_taker_legs_cost(legs, loss, needed) -> None:
    instruments, books = parity()
    symbols = ("BTC/USD", "ETH/BTC", "ETH/USD")
    rates = {s: Decimal(fee) / 100 for s, fee in zip(symbols, legs, strict=True)}
    fees = FeeSchedule(Decimal(0), overrides=rates, charged_in=FeeConvention.PROCEEDS)
    optimum = size_of(terms_of(instruments, "USD>BTC>ETH", fees), books, ANY_EDGE)
    assert optimum is not None
    assert f"{-optimum.edge_bps / 100:.3f}" == loss
    kept = 1 + optimum.edge_bps / 10_000
    assert f"{(1 / kept - 1) * 100:.3f}" == needed


def test_the_venues_worked_cycle_loses_83_basis_points_net() -> None:
    # EUR→SOL→USD→EUR at 172.31, 201.10, 1.16520 and fees of 0.40, 0.40, 0.20 % in quote:
    # gross 201.10 / 172.31 / 1.1652 = 1.00161… (+0.16 %),
    # net   1.00161 · 0.996 / 1.004 / 1.002 = 0.99165… (−0.83 %)
    instruments, books, fees = sol_example()
    free = FeeSchedule(Decimal(0))
    terms = terms_of(instruments, "EUR>SOL>USD", fees, ("EUR",))
    net = size_of(terms, books, ANY_EDGE)
    gross = size_of(terms_of(instruments, "EUR>SOL>USD", free, ("EUR",)), books)
    assert net is not None
    assert gross is not None
    assert (f"{gross.edge_bps:.0f}", f"{net.edge_bps:.0f}") == ("16", "-83")
    assert net.size[0] == 0
    assert size_of(terms, books) is None


def parity() -> tuple[Instruments, dict[str, OrderBook]]:
    instruments = make_instruments("BTC/USD", "ETH/BTC", "ETH/USD")
    return instruments, {
        "BTC/USD": make_book(instruments["BTC/USD"], asks=[("100", "1")]),
        "ETH/BTC": make_book(instruments["ETH/BTC"], asks=[("1", "1")]),
        "ETH/USD": make_book(instruments["ETH/USD"], bids=[("100", "1")]),
    }


def sol_example() -> tuple[Instruments, dict[str, OrderBook], FeeSchedule]:
    instruments = make_instruments(
        make_instrument("SOL/EUR"),
        make_instrument("SOL/USD"),
        make_instrument("EUR/USD", price_precision=5),
    )
    books = {
        "SOL/EUR": make_book(instruments["SOL/EUR"], asks=[("172.31", "100")]),
        "SOL/USD": make_book(instruments["SOL/USD"], bids=[("201.10", "100")]),
        "EUR/USD": make_book(instruments["EUR/USD"], asks=[("1.16520", "100000")]),
    }
    fees = FeeSchedule(Decimal("0.0040"), overrides={"EUR/USD": Decimal("0.0020")})
    return instruments, books, fees


# ── where the walk ends ──────────────────────────────────────────────────────────────────────────


def test_the_threshold_decides_what_counts_and_not_how_much() -> None:
    # The first segment's edge is 53.11 bps; 50 still counts, and the size is that of no threshold.
    fees = FeeSchedule(Decimal("0.001"), charged_in=FeeConvention.PROCEEDS)
    terms = terms_of(USD_BTC_ETH, "USD>BTC>ETH", fees)
    unlimited = size_of(terms, depth_example())
    assert size_of(terms, depth_example(), (10_050, 10_000)) == unlimited
    assert size_of(terms, depth_example(), (10_054, 10_000)) is None


def test_an_edge_of_exactly_the_threshold_does_not_count() -> None:
    instruments, books = parity()
    terms = terms_of(instruments, "USD>BTC>ETH", FeeSchedule(Decimal(0)))
    assert size_of(terms, books) is None
    optimum = size_of(terms, books, (9_999, 10_000))
    assert optimum is not None
    assert optimum.edge_bps == 0


def test_levels_that_end_together_are_all_used_up() -> None:
    # Every leg holds what the other two take: 1 BTC at 100, 1 ETH at 1, 1 ETH at 110.  Then leg 1
    # goes on at 101 and leg 3 at 102, which pays too (102 / 101) as far as 2 ETH are held.
    instruments, books = parity()
    books["BTC/USD"] = make_book(instruments["BTC/USD"], asks=[("100", "1"), ("101", "9")])
    books["ETH/BTC"] = make_book(instruments["ETH/BTC"], asks=[("1", "2")])
    books["ETH/USD"] = make_book(instruments["ETH/USD"], bids=[("110", "1"), ("102", "9")])
    terms = terms_of(instruments, "USD>BTC>ETH", FeeSchedule(Decimal(0)))
    optimum = size_of(terms, books)
    assert optimum is not None
    assert size_and_profit(terms, optimum) == (201, 11)


def test_units_that_gain_exactly_nothing_are_not_taken() -> None:
    # 1 BTC at 100 brings 110; the next one costs 110, a marginal rate of exactly 1.
    instruments, books = parity()
    books["BTC/USD"] = make_book(instruments["BTC/USD"], asks=[("100", "1"), ("110", "1")])
    books["ETH/BTC"] = make_book(instruments["ETH/BTC"], asks=[("1", "2")])
    books["ETH/USD"] = make_book(instruments["ETH/USD"], bids=[("110", "2")])
    terms = terms_of(instruments, "USD>BTC>ETH", FeeSchedule(Decimal(0)))
    optimum = size_of(terms, books)
    assert optimum is not None
    assert size_and_profit(terms, optimum) == (100, 10)


def test_a_book_deeper_than_its_window_is_walked_to_its_end() -> None:
    # 25 asks of 1 BTC at 100.00, 100.01 … 100.24, everything sold at 110: all 25 pay.
    instruments, books = parity()
    asks = [(Decimal(100) + Decimal(step) / 100, "1") for step in range(25)]
    books["BTC/USD"] = make_book(instruments["BTC/USD"], asks=asks, depth=25)
    books["ETH/BTC"] = make_book(instruments["ETH/BTC"], asks=[("1", "100")])
    books["ETH/USD"] = make_book(instruments["ETH/USD"], bids=[("110", "100")])
    terms = terms_of(instruments, "USD>BTC>ETH", FeeSchedule(Decimal(0)))
    optimum = size_of(terms, books)
    assert optimum is not None
    # Σ (100 + i/100) for i < 25 = 2500 + 3 = 2503; 25 · 110 − 2503 = 247.
    assert size_and_profit(terms, optimum) == (2503, 247)


# ── against the oracle ───────────────────────────────────────────────────────────────────────────


@st.composite
def sized_cycles(
    draw: st.DrawFn,
) -> tuple[DirectedCycle, CycleTerms, dict[str, OrderBook], FeeSchedule]:
    """Draw a cycle over pairs in either orientation, with books, fees and their convention."""
    symbols = [
        draw(st.sampled_from((f"{one}/{other}", f"{other}/{one}")))
        for one, other in (("A", "B"), ("B", "C"), ("C", "A"))
    ]
    assets = draw(st.sampled_from(({}, {"A": 3, "B": 1, "C": 2})))
    instruments = make_instruments(
        *(
            make_instrument(
                symbol,
                price_precision=2,
                quantity_precision=draw(st.integers(0, 4)),
            )
            for symbol in symbols
        ),
        assets=assets,
    )
    fees = draw(st.one_of(st.just(FeeSchedule(Decimal(0))), fee_schedules(symbols)))
    cycle = draw(st.sampled_from(find_cycles(instruments.values(), ("A",))))
    drawn = {
        symbol: draw(books(instruments[symbol], ticks=(94, 106), max_levels=4))
        for symbol in symbols
    }
    terms = TermsTable(instruments, fees).of(cycle)
    return cycle, terms, drawn, fees


@given(sized_cycles())
def test_sizing_finds_the_exact_optimum_of_trying_every_breakpoint(oracle, drawn) -> None:
    cycle, terms, held, fees = drawn
    expected = oracle.answer(cycle.legs, held, fees)
    optimum = size_of(terms, held, ANY_EDGE)
    assert optimum is not None
    assert optimum.edge_bps == net_edge_bps(expected.product)
    assert size_and_profit(terms, optimum) == (expected.size, expected.profit)
    assert (size_of(terms, held) is not None) == (expected.product > 1)


@given(sized_cycles())
def test_the_size_never_exceeds_the_depth_held(oracle, drawn) -> None:
    cycle, terms, held, fees = drawn
    optimum = size_of(terms, held, ANY_EDGE)
    assert optimum is not None
    size, profit = size_and_profit(terms, optimum)
    first, last = cycle.legs[0], cycle.legs[2]
    most_in = sum(spent for spent, _ in oracle.segments(held[first.symbol], first.side, fees))
    most_out = sum(got for _, got in oracle.segments(held[last.symbol], last.side, fees))
    assert 0 <= size <= most_in
    assert size + profit <= most_out
    assert profit >= 0


@given(sized_cycles(), st.sampled_from(FeeConvention))
def test_fees_never_raise_an_edge_or_a_profit(oracle, drawn, convention) -> None:
    cycle, terms, held, _ = drawn
    instruments = make_instruments(*(book.instrument for book in held.values()))
    unpaid_fees = FeeSchedule(Decimal(0), charged_in=convention)
    free = TermsTable(instruments, unpaid_fees).of(cycle)
    paid, unpaid = size_of(terms, held, ANY_EDGE), size_of(free, held, ANY_EDGE)
    assert paid is not None
    assert unpaid is not None
    assert paid.edge_bps <= unpaid.edge_bps
    assert size_and_profit(terms, paid)[1] <= size_and_profit(free, unpaid)[1]


def test_a_leg_that_does_not_spend_what_the_cycle_says_is_our_bug() -> None:
    buy, sell = Side.BUY, Side.SELL
    broken = DirectedCycle(
        "USD>BTC>ETH",
        ("USD", "BTC", "ETH"),
        (Leg("BTC/USD", buy), Leg("ETH/BTC", sell), Leg("ETH/USD", sell)),
    )
    with pytest.raises(BrokenCycleError, match="ETH/BTC does not spend BTC"):
        TermsTable(USD_BTC_ETH, FeeSchedule(Decimal(0))).of(broken)


def test_a_fee_that_leaves_nothing_is_refused_by_name() -> None:
    fees = FeeSchedule(Decimal(0), overrides={"ETH/USD": Decimal(1)})
    with pytest.raises(ConfigError, match="the taker fee 1 of ETH/USD leaves nothing"):
        terms_of(USD_BTC_ETH, "USD>BTC>ETH", fees)


def test_terms_are_kept_while_the_pairs_of_a_cycle_stay_the_same() -> None:
    table = TermsTable(USD_BTC_ETH, FeeSchedule(Decimal(0)))
    first, second = find_cycles(USD_BTC_ETH.values(), ("USD",))
    terms = table.of(second)
    more = make_instruments(*USD_BTC_ETH.values(), "SOL/USD")
    table.update(more)
    assert table.of(second) is terms
    finer = attrs.evolve(USD_BTC_ETH["ETH/USD"], quantity_precision=9)
    table.update(more.merged([finer]))
    assert table.of(first).legs[2].pair is finer
    table.update(make_instruments(*more.values(), finer, assets={"USD": 4}))
    assert table.of(first).ledger_steps[2] > 1
