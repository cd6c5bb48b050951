"""Requests byte by byte, and the answers in all their shapes."""

import json
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from arbitrade import Secret
from arbitrade.models import FeeAsset, OrderRequest, OrderType, Side, TimeInForce
from arbitrade_kraken.account.messages import (
    add_params,
    batch_add_params,
    cancelled_count,
    read_answer,
    request,
    write,
)
from arbitrade_kraken.account.sequences import Arrival, MessageSequence

MOMENT = datetime(2026, 9, 14, 8, 21, 39, 200_999, tzinfo=UTC)


def test_order_is_written_digit_by_digit() -> None:
    order = OrderRequest(
        "arb-7f3a-0002-l1", "SOL/EUR", Side.BUY, Decimal("2.89018610"), Decimal("1E+2")
    )
    frame = request("add_order", add_params(order, MOMENT), Secret("tok"), 5120)
    assert frame == (
        b'{"method":"add_order","params":{"order_type":"limit","side":"buy",'
        b'"order_qty":2.89018610,"cl_ord_id":"arb-7f3a-0002-l1","fee_preference":"quote",'
        b'"limit_price":100,"time_in_force":"ioc","symbol":"SOL/EUR",'
        b'"deadline":"2026-09-14T08:21:39.200Z","token":"tok"},"req_id":5120}'
    )


def test_market_order_and_order_with_an_expiry() -> None:
    market = OrderRequest(
        "a", "SOL/EUR", Side.SELL, Decimal(1), None, OrderType.MARKET, fee_in=FeeAsset.BASE
    )
    params = add_params(market, MOMENT)
    assert "limit_price" not in params
    assert "time_in_force" not in params
    assert params["fee_preference"] == "base"
    dated = OrderRequest(
        "b",
        "SOL/EUR",
        Side.SELL,
        Decimal(1),
        Decimal(2),
        time_in_force=TimeInForce.GTD,
        expires_at=MOMENT,
        is_post_only=True,
        is_dry_run=True,
    )
    params = add_params(dated, MOMENT)
    assert params["expire_time"] == "2026-09-14T08:21:39Z"
    assert (params["post_only"], params["validate"]) == (True, True)


@given(st.decimals(min_value=0, max_value=10**9, places=12))
def test_no_number_has_an_exponent_or_loses_a_digit(number: Decimal) -> None:
    text = write({"q": number}).decode()
    assert "e" not in text.lower().replace('"q"', "")
    assert json.loads(text, parse_float=Decimal, parse_int=Decimal)["q"] == number


def test_batch_has_pair_and_deadline_once() -> None:
    orders = [
        OrderRequest(name, "SOL/EUR", Side.BUY, Decimal(1), Decimal(2)) for name in ("a", "b")
    ]
    params = batch_add_params(orders, MOMENT)
    assert params["symbol"] == "SOL/EUR"
    assert all("symbol" not in row and "deadline" not in row for row in params["orders"])


def test_orders_a_cancel_reached_are_counted_where_the_venue_tells() -> None:
    head = {"method": "cancel_all", "req_id": 1, "success": True}
    assert cancelled_count(read_answer({**head, "result": {"count": 2}})) == 2
    assert cancelled_count(read_answer(head)) is None


def test_sequence_tells_gaps_late_ones_and_doubles() -> None:
    sequence = MessageSequence()
    arrivals = [
        sequence.arrived(number, is_snapshot=number == 1) for number in (1, 2, 5, 3, 3, 4, 6, 6)
    ]
    assert arrivals == [
        Arrival.NEXT,
        Arrival.NEXT,
        Arrival.GAP,
        Arrival.LATE,
        Arrival.AGAIN,
        Arrival.LATE,
        Arrival.NEXT,
        Arrival.AGAIN,
    ]
    assert sequence.arrived(1, is_snapshot=True) is Arrival.NEXT
