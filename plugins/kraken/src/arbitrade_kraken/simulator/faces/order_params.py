"""Parameters of the WebSocket order methods, checked as the venue checks them: name, JSON type.

What an order may be (ticks, minimums, funds, states) is the exchange's business, not ours.
"""

from decimal import Decimal

import attrs

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.orders import Amendment, Edit, NewOrder, OrderRef
from arbitrade_kraken.simulator.faces.wire import Message, WireError, parse_time

_ORDER = {
    "order_type", "side", "order_qty", "limit_price", "limit_price_type", "time_in_force",
    "expire_time", "effective_time", "post_only", "cash_order_qty", "cl_ord_id", "order_userref",
    "fee_preference", "stp_type", "margin", "reduce_only", "display_qty", "triggers", "conditional",
    "sender_sub_id", "no_mpp", "stop_price", "trigger",
}  # fmt: skip
_ADD = _ORDER | {"symbol", "deadline", "validate", "token"}
_AMEND = {
    "order_id", "cl_ord_id", "order_qty", "limit_price", "limit_price_type", "display_qty",
    "trigger_price", "trigger_price_type", "post_only", "deadline", "symbol", "token",
}  # fmt: skip
_EDIT = {
    "order_id", "symbol", "order_qty", "limit_price", "display_qty", "fee_preference", "no_mpp",
    "order_userref", "post_only", "reduce_only", "triggers", "validate", "deadline", "token",
}  # fmt: skip
_CANCEL = {"order_id", "cl_ord_id", "order_userref", "token"}
_BATCH_ADD = {"symbol", "orders", "deadline", "validate", "token"}
_BATCH_CANCEL = {"orders", "cl_ord_id", "token"}
_USERREF_LIMIT = 1 << 31
LARGEST_EXPONENT = 11
"""No price and no quantity has more than twelve digits before the point."""


@attrs.frozen
class CancelTarget:
    """One order to cancel, and how its answer names it."""

    ref: OrderRef
    echo: dict[str, object]


def read_add(params: Message, received_ns: int) -> NewOrder:
    """Read `add_order`.

    Raises:
        WireError: A field nobody knows, or of the wrong JSON type.
    """
    _only(params, _ADD)
    return _new_order(params, params, received_ns)


def read_batch_add(params: Message, received_ns: int) -> list[NewOrder]:
    """Read `batch_add`: two to fifteen orders of one pair.

    Raises:
        WireError: As for `add_order`, or too few or too many.
    """
    _only(params, _BATCH_ADD)
    rows = params.get("orders")
    if not isinstance(rows, list):
        raise WireError("Orders field must be an array")
    if not 2 <= len(rows) <= 15:
        raise WireError("EGeneral:Invalid arguments:orders")
    orders = []
    for row in rows:
        if not isinstance(row, dict):
            raise WireError("EGeneral:Invalid arguments:orders")
        _only(row, _ORDER)
        orders.append(_new_order(row, params, received_ns))
    return orders


def read_amend(params: Message, received_ns: int) -> Amendment:
    """Read `amend_order`.

    Raises:
        WireError: As for `add_order`; also without exactly one id.
    """
    _only(params, _AMEND)
    return Amendment(
        ref=_one_ref(params),
        quantity=_number(params, "order_qty"),
        limit_price=_number(params, "limit_price"),
        display_quantity=_number(params, "display_qty"),
        post_only=_flag(params, "post_only"),
        deadline_ns=_time(params, "deadline"),
        received_ns=received_ns,
    )


def read_edit(params: Message, received_ns: int) -> Edit:
    """Read `edit_order`.

    Raises:
        WireError: As for `add_order`.
    """
    _only(params, _EDIT)
    order_id = _text(params, "order_id")
    if order_id is None:
        raise WireError("EGeneral:Invalid arguments:order_id")
    return Edit(
        ref=OrderRef(order_id=order_id),
        symbol=_required(params, "symbol"),
        quantity=_number(params, "order_qty"),
        limit_price=_number(params, "limit_price"),
        post_only=_flag(params, "post_only") if "post_only" in params else None,
        userref=_userref(params),
        deadline_ns=_time(params, "deadline"),
        received_ns=received_ns,
        validate=_flag(params, "validate"),
    )


def read_cancel(params: Message) -> list[CancelTarget]:
    """Read `cancel_order`: arrays of ids, one answer each.

    Raises:
        WireError: No id at all, or not in arrays.
    """
    _only(params, _CANCEL)
    targets = [
        CancelTarget(OrderRef(order_id=value), {"order_id": value})
        for value in _texts(params, "order_id")
    ]
    targets += [
        CancelTarget(OrderRef(client_id=value), {"cl_ord_id": value})
        for value in _texts(params, "cl_ord_id")
    ]
    references = params.get("order_userref", [])
    if not isinstance(references, list):
        raise WireError("Order_userref field must be an array")
    for value in references:
        if type(value) is not int or not -_USERREF_LIMIT <= value < _USERREF_LIMIT:
            raise WireError("Order_userref field must be a number_integer")
        targets.append(CancelTarget(OrderRef(userref=value), {"order_userref": value}))
    if not targets:
        raise WireError("EGeneral:Invalid arguments:order_id")
    return targets


def read_batch_cancel(params: Message) -> list[OrderRef]:
    """Read `batch_cancel`: order ids or userrefs as strings, client ids; two to fifty in all.

    Raises:
        WireError: Too few, too many, or not in arrays.
    """
    _only(params, _BATCH_CANCEL)
    refs = [_id_or_userref(text) for text in _texts(params, "orders")]
    refs += [OrderRef(client_id=text) for text in _texts(params, "cl_ord_id")]
    if not 2 <= len(refs) <= 50:
        raise WireError("EGeneral:Invalid arguments:orders")
    return refs


def read_timeout(params: Message) -> int:
    """Read `cancel_all_orders_after`: seconds, below a day; zero disarms.

    Raises:
        WireError: Not such a number.
    """
    _only(params, {"timeout", "token"})
    timeout = _integer(params, "timeout")
    if timeout is None or not 0 <= timeout < 86_400:
        raise WireError("EGeneral:Invalid arguments:timeout")
    return timeout


def read_cancel_all(params: Message) -> None:
    """Read `cancel_all`, which has nothing to say.

    Raises:
        WireError: It says something.
    """
    _only(params, {"token"})


def _id_or_userref(text: str) -> OrderRef:
    if text.removeprefix("-").isdecimal():
        return OrderRef(userref=int(text))
    return OrderRef(order_id=text)


def _new_order(row: Message, outer: Message, received_ns: int) -> NewOrder:
    side = _required(row, "side")
    if side not in ("buy", "sell"):
        raise WireError("EGeneral:Invalid arguments:side")
    userref = _userref(row)
    _text(row, "limit_price_type")
    preference = _text(row, "fee_preference")
    if preference not in (None, "base", "quote"):
        raise WireError("EGeneral:Invalid arguments:fee_preference")
    return NewOrder(
        symbol=_required(outer, "symbol"),
        side=Side(side),
        order_type=_required(row, "order_type"),
        quantity=_number(row, "order_qty"),
        limit_price=_number(row, "limit_price"),
        cash_quantity=_number(row, "cash_order_qty"),
        time_in_force=(_text(row, "time_in_force") or "gtc").lower(),
        expire_ns=_time(row, "expire_time"),
        effective_ns=_time(row, "effective_time"),
        deadline_ns=_time(outer, "deadline"),
        received_ns=received_ns,
        post_only=_flag(row, "post_only"),
        reduce_only=_flag(row, "reduce_only"),
        margin=_flag(row, "margin"),
        client_id=_text(row, "cl_ord_id"),
        userref=userref,
        fee_preference=preference,
        stp_type=_text(row, "stp_type") or "cancel_newest",
        validate=_flag(outer, "validate"),
        display_quantity=_number(row, "display_qty"),
        has_conditional="conditional" in row,
    )


def _only(params: Message, known: set[str]) -> None:
    for name in params:
        if name not in known:
            raise WireError(f"Unsupported field: '{name}'")


def _one_ref(params: Message) -> OrderRef:
    order_id, client_id = _text(params, "order_id"), _text(params, "cl_ord_id")
    if (order_id is None) == (client_id is None):
        raise WireError("EGeneral:Invalid arguments:order_id")
    return OrderRef(order_id=order_id, client_id=client_id)


def _number(params: Message, name: str) -> Decimal | None:
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise WireError(f"{name.capitalize()} field must be a number_float")
    number = Decimal(value)
    if number.adjusted() > LARGEST_EXPONENT:
        raise WireError(f"EGeneral:Invalid arguments:{name}")
    return number


def _integer(params: Message, name: str) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError(f"{name.capitalize()} field must be a number_integer")
    return value


def _userref(params: Message) -> int | None:
    userref = _integer(params, "order_userref")
    if userref is not None and not -_USERREF_LIMIT <= userref < _USERREF_LIMIT:
        raise WireError("EGeneral:Invalid arguments:order_userref")
    return userref


def _flag(params: Message, name: str) -> bool:
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise WireError(f"{name.capitalize()} field must be a boolean")
    return value


def _text(params: Message, name: str) -> str | None:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise WireError(f"{name.capitalize()} field must be a string")
    return value


def _required(params: Message, name: str) -> str:
    value = _text(params, name)
    if not value:
        raise WireError(f"EGeneral:Invalid arguments:{name}")
    return value


def _texts(params: Message, name: str) -> list[str]:
    values = params.get(name, [])
    if not isinstance(values, list):
        raise WireError(f"{name.capitalize()} field must be an array")
    if not all(isinstance(value, str) for value in values):
        raise WireError(f"{name.capitalize()} field must be a string")
    return values


def _time(params: Message, name: str) -> int | None:
    text = _text(params, name)
    return None if text is None else parse_time(text, name)
