"""Orders on the wire of WebSocket v2: requests we send, and what their answers mean.  Pure.

Numbers are written by us, digit by digit: the venue takes no text for them, a float would lose
digits, and an exponent may not be understood.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs

from arbitrade import Secret
from arbitrade.errors import MessageError, OrderRejectedError, UsageError
from arbitrade.models import (
    Accepted,
    OrderOutcome,
    OrderRequest,
    OrderType,
    Rejected,
    TimeInForce,
    Unknown,
)
from arbitrade_kraken.venue_errors import make_error, rule_for

type Value = str | int | bool | Decimal | Sequence[Value] | Mapping[str, Value]

BATCH_LEAST, BATCH_MOST = 2, 15
DEADLINE_LEAST = timedelta(milliseconds=500)
DEADLINE_MOST = timedelta(seconds=60)


@attrs.frozen
class VenueAnswer:
    """The venue's answer to one request.

    Args:
        method: What was asked.
        request_id: By which it is matched, and by nothing else.
        is_success: As the venue says; a missing `result` means nothing.
        result: An object, a list for a batch, or None.
        error: The venue's words, None on success.
    """

    method: str
    request_id: int | None
    is_success: bool
    result: Any
    error: str | None


def read_answer(message: Mapping[str, Any]) -> VenueAnswer:
    """Return the answer in a frame that has a `method`.

    Raises:
        MessageError: It is no answer of the venue's.
    """
    method, request_id = message.get("method"), message.get("req_id")
    if not isinstance(method, str) or not (request_id is None or isinstance(request_id, int)):
        raise MessageError("kraken: an answer whose method or req_id is not what it should be")
    is_success = message.get("success") is True or method == "pong"
    error = message.get("error")
    return VenueAnswer(
        method=method,
        request_id=request_id,
        is_success=is_success,
        result=message.get("result"),
        error=None if is_success else str(error or "refused without a reason"),
    )


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


def request(method: str, params: Mapping[str, Value], token: Secret, request_id: int) -> bytes:
    """Return a private request.  It carries the token: it must not be logged or recorded."""
    return write(
        {"method": method, "params": {**params, "token": token.reveal()}, "req_id": request_id}
    )


def add_params(order: OrderRequest, deadline: datetime) -> dict[str, Value]:
    """Return the parameters of `add_order`."""
    params = _order_params(order)
    params["symbol"] = order.symbol
    params["deadline"] = _millis(deadline)
    if order.is_dry_run:
        params["validate"] = True
    return params


def batch_add_params(orders: Sequence[OrderRequest], deadline: datetime) -> dict[str, Value]:
    """Return the parameters of `batch_add`: one pair, one deadline.

    Raises:
        UsageError: Too few, too many, several pairs, or some of them to be checked only.
    """
    if not BATCH_LEAST <= len(orders) <= BATCH_MOST:
        raise UsageError(
            f"a batch of {len(orders)} orders; the venue takes {BATCH_LEAST} to {BATCH_MOST}"
        )
    symbols = {order.symbol for order in orders}
    if len(symbols) > 1:
        raise UsageError(
            f"a batch for {', '.join(sorted(symbols))}; the venue takes one pair a batch, send "
            "them one by one"
        )
    if len({order.is_dry_run for order in orders}) > 1:
        raise UsageError("a batch where only some orders are to be checked only; split it")
    params: dict[str, Value] = {
        "symbol": orders[0].symbol,
        "orders": [_order_params(order) for order in orders],
        "deadline": _millis(deadline),
    }
    if orders[0].is_dry_run:
        params["validate"] = True
    return params


def amend_params(
    client_id: str, quantity: str | None, limit_price: str | None, deadline: datetime
) -> dict[str, Value]:
    """Return the parameters of `amend_order`; the quantity is the new total.

    Raises:
        UsageError: Nothing to change, or not a number.
    """
    if quantity is None and limit_price is None:
        raise UsageError(f"amend of {client_id}: neither a quantity nor a limit price")
    params: dict[str, Value] = {"cl_ord_id": client_id, "deadline": _millis(deadline)}
    if quantity is not None:
        params["order_qty"] = _number(quantity)
    if limit_price is not None:
        params["limit_price"] = _number(limit_price)
    return params


def cancel_params(client_ids: Sequence[str]) -> dict[str, Value]:
    """Return the parameters of `cancel_order`; the venue answers once for each order."""
    return {"cl_ord_id": list(client_ids)}


def check_order(order: OrderRequest, now: datetime, *, may_fok: bool) -> str | None:
    """Return why the venue would refuse an order, None when nothing speaks against it.

    Args:
        order: What is to be sent.
        now: Aware UTC.
        may_fok: Fill-or-kill may be sent although it is documented for REST only.
    """
    if order.order_type is OrderType.LIMIT and order.limit_price is None:
        return "a limit order without a limit price"
    if order.order_type is OrderType.MARKET and order.limit_price is not None:
        return "a market order with a limit price"
    if not order.quantity > 0:
        return f"a quantity of {order.quantity}"
    if order.limit_price is not None and not order.limit_price > 0:
        return f"a limit price of {order.limit_price}"
    if order.is_reduce_only:
        return "reduce-only is for margin, and this is a spot account"
    if order.time_in_force is TimeInForce.FOK and not may_fok:
        return (
            "fill-or-kill over the WebSocket is not documented; send IOC, or set "
            "kraken.fok_over_websocket"
        )
    if (order.time_in_force is TimeInForce.GTD) != (order.expires_at is not None):
        return "an expiry goes with time in force GTD and with no other"
    if order.is_post_only and order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        return "post-only never takes, IOC and FOK only take"
    if order.deadline is not None:
        left = order.deadline - now
        if not DEADLINE_LEAST <= left <= DEADLINE_MOST:
            return (
                f"a deadline in {left.total_seconds():.3f} s; the venue takes "
                f"{DEADLINE_LEAST.total_seconds():g} to {DEADLINE_MOST.total_seconds():g} s"
            )
    return None


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


def outcome(client_id: str, answer: VenueAnswer) -> OrderOutcome:
    """Return what the answer to `add_order`, `amend_order` or `cancel_order` means."""
    if answer.is_success:
        result = answer.result if isinstance(answer.result, Mapping) else {}
        return Accepted(client_id, str(result.get("order_id") or ""))
    return refused(client_id, answer.method, answer.error or "")


def refused(client_id: str, subject: str, text: str) -> Rejected | Unknown:
    """Return what a refusal means: some leave open whether the order was taken."""
    if rule_for(text).is_ambiguous:
        return Unknown(client_id, text)
    return Rejected(client_id, text, make_error(f"{subject} {client_id}", text))


def not_sent(client_id: str, reason: str) -> Rejected:
    """Return the outcome of an order that we didn't send, because of what it asks for."""
    error = OrderRejectedError(f"kraken: order {client_id} not sent: {reason}")
    return Rejected(client_id, reason, error)


def batch_outcomes(client_ids: Sequence[str], answer: VenueAnswer) -> list[OrderOutcome]:
    """Return what the answer to `batch_add` means for each order, in the order of the request.

    The rows decide: the answer as a whole may be a failure while some orders stand.
    """
    rows = answer.result
    if not isinstance(rows, list):
        if answer.is_success:
            reason = "the venue answered a batch without rows"
            return [Unknown(client_id, reason) for client_id in client_ids]
        return [refused(client_id, answer.method, answer.error or "") for client_id in client_ids]
    outcomes: list[OrderOutcome] = []
    for index, client_id in enumerate(client_ids):
        row = rows[index] if index < len(rows) else None
        outcomes.append(_row_outcome(client_id, answer.method, row))
    return outcomes


def cancelled_count(answer: VenueAnswer) -> int | None:
    """Return how many orders `cancel_all` reached, None if the answer doesn't tell."""
    result = answer.result if isinstance(answer.result, Mapping) else {}
    count = result.get("count")
    return count if isinstance(count, int) else None


def _row_outcome(client_id: str, method: str, row: object) -> OrderOutcome:
    if not isinstance(row, Mapping):
        return Unknown(client_id, "the venue's answer lacks a row for this order")
    error = row.get("error")
    if error:
        return refused(client_id, method, str(error))
    return Accepted(client_id, str(row.get("order_id") or ""))


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def write(message: Mapping[str, Value]) -> bytes:
    """Return JSON in which every `Decimal` is a number in plain digits."""
    return _text(message).encode()


def _text(value: Value) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise UsageError(f"{value} can't be sent to the venue")
        return format(value, "f")
    if isinstance(value, str | int):  # A bool is an int, and json knows how to write it.
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(k)}:{_text(v)}" for k, v in value.items()) + "}"
    return "[" + ",".join(_text(item) for item in value) + "]"


def _order_params(order: OrderRequest) -> dict[str, Value]:
    params: dict[str, Value] = {
        "order_type": order.order_type.value,
        "side": order.side.value,
        "order_qty": order.quantity,
        "cl_ord_id": order.client_id,
        # The documented default differs from what happens, so it is always said.
        "fee_preference": order.fee_in.value,
    }
    if order.limit_price is not None:
        params["limit_price"] = order.limit_price
        params["time_in_force"] = order.time_in_force.value
    if order.expires_at is not None:
        params["expire_time"] = f"{order.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if order.is_post_only:
        params["post_only"] = True
    return params


def _millis(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise UsageError(f"{text!r} is not a number") from error
