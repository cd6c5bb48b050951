"""The oracle itself, against arithmetic done by hand and rules written out."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zlib import crc32

import pytest

from arbitrade.models import Side
from arbitrade.pricing import FeeConvention, FeeSchedule
from arbitrade.testing.oracle import ExpectedDetection, Oracle, Rung, best_size

type Ladder = list[tuple[str, str]]

PAIRS = ("BTC/USD", "ETH/BTC", "ETH/USD")
BTC_ASKS = [("50000", "0.10"), ("50025", "0.20"), ("50100", "1")]
ETH_BTC_ASKS = [("0.0600", "2"), ("0.0601", "3"), ("0.0603", "10")]
ETH_USD_BIDS = [("3025", "2.5"), ("3018", "3"), ("3000", "10")]


def rungs(side: Side, levels: Ladder, convention: FeeConvention) -> list[Rung]:
    spent, received = convention.factors(side, Decimal("0.001"))
    found = []
    for price, quantity in levels:
        base, quote = Fraction(quantity), Fraction(price) * Fraction(quantity)
        needs, brings = (quote, base) if side is Side.BUY else (base, quote)
        found.append((needs * spent, brings * received))
    return found


@pytest.mark.parametrize(
    ("convention", "size", "profit"),
    [
        (FeeConvention.PROCEEDS, "15005.000000", "42.248036"),
        (FeeConvention.QUOTE, "15020.005000", "42.302881"),
        (FeeConvention.KRAKEN_DEFAULT, "15020.005000", "42.335426"),
    ],
)
def test_worked_example_has_the_known_optimum(
    convention: FeeConvention, size: str, profit: str
) -> None:
    """USD→BTC→ETH→USD at a fee of 0.1 %, the same books under three conventions."""
    ladders = [
        rungs(Side.BUY, BTC_ASKS, convention),
        rungs(Side.BUY, ETH_BTC_ASKS, convention),
        rungs(Side.SELL, ETH_USD_BIDS, convention),
    ]
    best, gain = best_size(ladders)
    assert f"{float(best):.6f}" == size
    assert f"{float(gain):.6f}" == profit


def test_size_is_zero_when_the_first_unit_loses() -> None:
    flat = [(Fraction(1), Fraction(1))]
    losing = [(Fraction(1), Fraction(99, 100))]
    assert best_size([flat, flat, losing]) == (Fraction(0), Fraction(0))


def test_size_ends_where_levels_run_out() -> None:
    # 2 units in, each doubled twice, and a last leg that takes only 6 of the 8: 1.5 units in.
    double = [(Fraction(2), Fraction(4))]
    wide = [(Fraction(4), Fraction(8))]
    last = [(Fraction(6), Fraction(6))]
    assert best_size([double, wide, last]) == (Fraction(3, 2), Fraction(9, 2))


# ── rules ────────────────────────────────────────────────────────────────────────────────────────


def instrument_frame(kind: str = "snapshot", **changes: Any) -> bytes:
    """All three pairs with four price decimals; `changes` go to ETH/USD."""
    rows = []
    for symbol in PAIRS:
        base, quote = symbol.split("/")
        row: dict[str, Any] = {
            "symbol": symbol, "base": base, "quote": quote, "status": "online",
            "price_precision": 4, "qty_precision": 8, "price_increment": 0.0001,
            "qty_increment": 1e-8, "qty_min": 0.0001, "cost_min": 0.0001,
        }  # fmt: skip
        rows.append(row | changes if symbol == "ETH/USD" else row)
    data = {"assets": [{"id": "USD", "precision": 4}], "pairs": rows}
    return json.dumps({"channel": "instrument", "type": kind, "data": data}).encode()


def entry(symbol: str, bids: Ladder, asks: Ladder, checksum: int | None, price_digits: int) -> str:
    text = ""
    for price, quantity in asks + bids:
        for value, precision in ((price, price_digits), (quantity, 8)):
            text += f"{Decimal(value):.{precision}f}".replace(".", "").lstrip("0")
    if checksum is None:
        checksum = crc32(text.encode())
    sides = (
        ",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in side)
        for side in (bids, asks)
    )
    return '{{"symbol":"{}","bids":[{}],"asks":[{}],"checksum":{},"timestamp":"T"}}'.format(
        symbol, *sides, checksum
    )


def book_frame(
    symbol: str,
    bids: Ladder,
    asks: Ladder,
    *,
    kind: str = "snapshot",
    checksum: int | None = None,
    price_digits: int = 4,
) -> bytes:
    one = entry(symbol, bids, asks, checksum, price_digits)
    return f'{{"channel":"book","type":"{kind}","data":[{one}]}}'.encode()


BTC_USD = book_frame("BTC/USD", [("49000", "1")], BTC_ASKS)
ETH_BTC = book_frame("ETH/BTC", [("0.0590", "1")], ETH_BTC_ASKS)
ETH_USD = book_frame("ETH/USD", ETH_USD_BIDS, [("3100", "1")])


@pytest.fixture
def oracle() -> Oracle:
    made = Oracle(FeeSchedule(Decimal("0.001")))
    for line, frame in enumerate((instrument_frame(), BTC_USD, ETH_BTC), 1):
        assert made.on_frame(frame, line) == []
    return made


def test_snapshot_that_completes_a_cycle_shows_it(oracle: Oracle) -> None:
    (found,) = oracle.on_frame(ETH_USD, 4)
    assert isinstance(found, ExpectedDetection)
    assert found.line == 4
    assert found.assets == ("USD", "BTC", "ETH")
    assert found.legs == (("BTC/USD", "buy"), ("ETH/BTC", "buy"), ("ETH/USD", "sell"))
    assert f"{float(found.profit):.6f}" == "42.302881"
    quantities = [(symbol, quantity) for symbol, _, quantity, _ in found.orders]
    assert quantities[0] == ("BTC/USD", Fraction("0.3"))
    # 0.3 BTC pay for 2 ETH at 0.06 and, fee included, for the rest at 0.0601.
    rest = (Fraction("0.3") - Fraction("0.12") * Fraction("1.001")) / (
        Fraction("0.0601") * Fraction("1.001")
    )
    step = Fraction(1, 10**8)
    assert quantities[1] == ("ETH/BTC", (2 + rest) // step * step)


def test_cycle_is_shown_again_by_every_message_of_its_pairs(oracle: Oracle) -> None:
    assert len(oracle.on_frame(ETH_USD, 4)) == 1
    assert len(oracle.on_frame(BTC_USD, 5)) == 1
    assert oracle.on_frame(b'{"channel":"heartbeat"}', 6) == []


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(
            b'{"channel":"status","type":"update","data":[{"system":"post_only"}]}', id="engine"
        ),
        pytest.param(instrument_frame("update", status="cancel_only"), id="pair not online"),
        pytest.param(instrument_frame("update", price_precision=5), id="precision changed"),
        pytest.param(
            book_frame("ETH/USD", ETH_USD_BIDS, [("3025", "1")], kind="snapshot"), id="locked"
        ),
        pytest.param(book_frame("ETH/USD", ETH_USD_BIDS, []), id="one side is empty"),
        pytest.param(book_frame("ETH/USD", ETH_USD_BIDS, [("3100", "1")], checksum=1), id="wrong"),
        pytest.param(
            b'{"method":"unsubscribe","success":true,"result":{"channel":"book",'
            b'"symbol":"ETH/USD"}}',
            id="unsubscribed",
        ),
    ],
)
def test_nothing_is_shown_on_a_book_that_cannot_be_trusted(oracle: Oracle, frame: bytes) -> None:
    assert oracle.on_frame(ETH_USD, 4)
    assert oracle.on_frame(frame, 5) == []
    assert oracle.on_frame(BTC_USD, 6) == []


def test_book_is_out_from_a_wrong_checksum_to_the_next_snapshot(oracle: Oracle) -> None:
    oracle.on_frame(ETH_USD, 4)
    update = book_frame("ETH/USD", [("3024", "1")], [], kind="update", checksum=1)
    assert oracle.on_frame(update, 5) == []
    assert oracle.on_frame(update, 6) == []
    assert oracle.on_frame(update, 7) == []
    assert (oracle.right, oracle.wrong, oracle.skipped) == (3, 1, 2)
    assert len(oracle.on_frame(ETH_USD, 8)) == 1


def test_new_precision_is_used_from_the_next_snapshot_on(oracle: Oracle) -> None:
    oracle.on_frame(ETH_USD, 4)
    oracle.on_frame(instrument_frame("update", price_precision=5), 5)
    snapshot = book_frame("ETH/USD", ETH_USD_BIDS, [("3100", "1")], price_digits=5)
    assert len(oracle.on_frame(snapshot, 6)) == 1


def test_quantity_below_the_minimum_leaves_no_orders(oracle: Oracle) -> None:
    oracle.on_frame(instrument_frame("update", qty_min=6), 4)
    (found,) = oracle.on_frame(ETH_USD, 5)
    assert found.size > 0
    assert found.orders == ()


def test_edge_has_the_fee_of_every_leg_in_it(oracle: Oracle) -> None:
    (found,) = oracle.on_frame(ETH_USD, 4)
    # 3025 · 0.999 / (50000 · 1.001 · 0.06 · 1.001) − 1, in basis points.
    assert found.edge_bps == (Fraction(3025) * 999 * 1000 / (3000 * 1001 * 1001) - 1) * 10_000


@pytest.mark.parametrize(("threshold", "count"), [("99.9999", 1), ("100", 0)])
def test_edge_has_to_be_strictly_above_the_threshold(threshold: str, count: int) -> None:
    """3030 / (50000 · 0.06) is 1.01: exactly 100 basis points when nothing is paid."""
    oracle = Oracle(FeeSchedule(Decimal(0)), minimum_edge_bps=Decimal(threshold))
    for line, frame in enumerate((instrument_frame(), BTC_USD, ETH_BTC), 1):
        oracle.on_frame(frame, line)
    last = book_frame("ETH/USD", [("3030", "2.5")], [("3100", "1")])
    assert len(oracle.on_frame(last, 4)) == count
