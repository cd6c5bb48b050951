"""REST calls that place, change and cancel orders."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from arbitrade.models import Side
from arbitrade_kraken.simulator.exchange.keys import ApiKey
from arbitrade_kraken.simulator.exchange.orders import (
    Amendment,
    Edit,
    NewOrder,
    OrderRef,
    Placed,
    VenueRefusal,
)
from arbitrade_kraken.simulator.faces.arguments import Arguments
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.order_methods import CANCEL, PLACE, switch_times
from arbitrade_kraken.simulator.faces.rest_public import PublicCalls
from arbitrade_kraken.simulator.faces.wire import Fields

_FEES = {"fcib": "base", "fciq": "quote"}
_OTHER_TYPES = ("stop-loss-limit", "take-profit-limit", "trailing-stop-limit")


class OrderCalls:
    """Answers order calls of a key's account.

    Args:
        public: Knows the names of pairs.
    """

    def __init__(self, face: Face, public: PublicCalls) -> None:
        self._face = face
        self._public = public
        self.methods = {
            "AddOrder": ((PLACE,), self._add),
            "AddOrderBatch": ((PLACE,), self._add_batch),
            "AmendOrder": ((PLACE,), self._amend),
            "EditOrder": ((PLACE,), self._edit),
            "CancelOrder": ((CANCEL,), self._cancel),
            "CancelOrderBatch": ((CANCEL,), self._cancel_batch),
            "CancelAll": ((CANCEL,), self._cancel_all),
            "CancelAllOrdersAfter": ((CANCEL,), self._cancel_all_after),
        }

    def _add(self, key: ApiKey, arguments: Arguments) -> Fields:
        order = self._read(arguments, arguments)
        placed = self._face.exchange.add_order(key.account, order)
        if placed.refusal is not None:
            raise VenueRefusal(placed.refusal)
        answer: Fields = {"descr": {"order": placed.description}}
        if not order.validate and placed.order is not None:
            answer["txid"] = [placed.order.order_id]
        return answer

    def _add_batch(self, key: ApiKey, arguments: Arguments) -> Fields:
        rows = arguments.raw("orders")
        if not isinstance(rows, list) or not 2 <= len(rows) <= 15:
            raise VenueRefusal("EGeneral:Invalid arguments:orders")
        if not all(isinstance(row, Mapping) for row in rows):
            raise VenueRefusal("EGeneral:Invalid arguments:orders")
        orders = [self._read(Arguments(_flat(row)), arguments) for row in rows]
        placed = self._face.exchange.add_batch(key.account, orders)
        return {"orders": [_batch_row(one, orders[0].validate) for one in placed]}

    def _amend(self, key: ApiKey, arguments: Arguments) -> Fields:
        amendment = Amendment(
            ref=_ref(arguments),
            quantity=arguments.number("order_qty"),
            limit_price=arguments.number("limit_price"),
            display_quantity=arguments.number("display_qty"),
            post_only=arguments.flag("post_only"),
            deadline_ns=arguments.time_ns("deadline"),
            received_ns=self._face.now_ns(),
            origin="rest",
        )
        return {"amend_id": self._face.exchange.amend_order(key.account, amendment).amend_id}

    def _edit(self, key: ApiKey, arguments: Arguments) -> Fields:
        original = arguments.required("txid")
        _, pair = self._public.find(arguments.text("pair"))
        flags = arguments.names("oflags")
        edit = Edit(
            ref=OrderRef(order_id=original),
            symbol=pair.symbol,
            quantity=arguments.number("volume"),
            limit_price=arguments.number("price"),
            post_only="post" in flags if flags else None,
            userref=arguments.integer("userref"),
            deadline_ns=arguments.time_ns("deadline"),
            received_ns=self._face.now_ns(),
            validate=arguments.flag("validate"),
            origin="rest",
        )
        placed = self._face.exchange.edit_order(key.account, edit)
        order = placed.order
        return {
            "status": "ok",
            "txid": order.order_id if order is not None else "",
            "originaltxid": original,
            "volume": str(order.quantity) if order is not None else "",
            "price": str(order.limit_price) if order is not None else "",
            "orders_cancelled": 1,
            "descr": {"order": placed.description},
        }

    def _cancel(self, key: ApiKey, arguments: Arguments) -> Fields:
        rows = self._face.exchange.cancel_orders(key.account, [_ref(arguments, groups=True)])
        refusals = [row.refusal for row in rows if row.refusal is not None]
        if len(refusals) == len(rows):
            raise VenueRefusal(refusals[0] if refusals else "EOrder:Unknown order")
        return {"count": len(rows) - len(refusals)}

    def _cancel_batch(self, key: ApiKey, arguments: Arguments) -> Fields:
        refs = [_id_or_userref(name) for name in arguments.names("orders")]
        refs += [OrderRef(client_id=name) for name in arguments.names("cl_ord_ids")]
        if not 1 <= len(refs) <= 50:
            raise VenueRefusal("EGeneral:Invalid arguments:orders")
        exchange = self._face.exchange
        if len(refs) > 1:
            return {"count": exchange.cancel_batch(key.account, refs)}
        rows = exchange.cancel_orders(key.account, refs)
        return {"count": sum(row.refusal is None for row in rows)}

    def _cancel_all(self, key: ApiKey, arguments: Arguments) -> Fields:
        return {"count": self._face.exchange.cancel_all(key.account)}

    def _cancel_all_after(self, key: ApiKey, arguments: Arguments) -> Fields:
        timeout = arguments.integer("timeout")
        if timeout is None or not 0 <= timeout < 86_400:
            raise VenueRefusal("EGeneral:Invalid arguments:timeout")
        switch = self._face.exchange.cancel_all_after(key.account, timeout)
        return switch_times(self._face, switch.current_s, switch.trigger_s)

    def _read(self, row: Arguments, outer: Arguments) -> NewOrder:
        """Read one order; pair, deadline and validation stand outside the rows of a batch."""
        _, pair = self._public.find(outer.text("pair"))
        side = row.text("type")
        if side not in ("buy", "sell"):
            raise VenueRefusal("EGeneral:Invalid arguments:type")
        flags = row.names("oflags")
        preferences = [_FEES[flag] for flag in flags if flag in _FEES]
        if len(preferences) > 1:
            raise VenueRefusal("EGeneral:Invalid arguments:oflags")
        volume, order_type = row.number("volume"), row.required("ordertype")
        if volume is None:
            raise VenueRefusal("EGeneral:Invalid arguments:volume")
        now_ns = self._face.now_ns()
        price = row.number("price2" if order_type in _OTHER_TYPES else "price")
        return NewOrder(
            symbol=pair.symbol,
            side=Side(side),
            order_type=order_type,
            quantity=None if "viqc" in flags else volume,
            limit_price=price if price else None,  # clients send 0 with market orders
            cash_quantity=volume if "viqc" in flags else None,
            time_in_force=(row.text("timeinforce") or "GTC").lower(),
            expire_ns=row.unix_ns("expiretm", now_ns),
            effective_ns=row.unix_ns("starttm", now_ns),
            deadline_ns=outer.time_ns("deadline"),
            received_ns=now_ns,
            post_only="post" in flags,
            reduce_only=row.flag("reduce_only"),
            margin=(row.text("leverage") or "none") not in ("none", "0", "1", "1:1"),
            client_id=row.text("cl_ord_id"),
            userref=row.integer("userref"),
            fee_preference=preferences[0] if preferences else None,
            stp_type=(row.text("stptype") or "cancel-newest").replace("-", "_"),
            validate=outer.flag("validate"),
            display_quantity=row.number("displayvol"),
            has_conditional=row.text("close[ordertype]") is not None,
            origin="rest",
        )


def _ref(arguments: Arguments, *, groups: bool = False) -> OrderRef:
    order_id, client_id = arguments.text("txid"), arguments.text("cl_ord_id")
    if (order_id is None) == (client_id is None):
        raise VenueRefusal("EGeneral:Invalid arguments:txid")
    if order_id is not None and groups:
        return _id_or_userref(order_id)
    return OrderRef(order_id=order_id, client_id=client_id)


def _id_or_userref(name: str) -> OrderRef:
    if name.removeprefix("-").isdecimal():
        return OrderRef(userref=int(name))
    return OrderRef(order_id=name)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order of a JSON batch with its close order named as in a form."""
    flat = dict(row)
    close = flat.pop("close", None)
    if isinstance(close, Mapping):
        flat |= {f"close[{name}]": value for name, value in close.items()}
    return {name: _text(value) for name, value in flat.items()}


def _text(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


def _batch_row(placed: Placed, is_dry: bool) -> Fields:
    """Return a row: its id is text here, and a refusal stands in the row alone."""
    row: Fields = {}
    if placed.refusal is not None:
        row["error"] = placed.refusal
    elif not is_dry and placed.order is not None:
        row["txid"] = placed.order.order_id
    if placed.description:
        row["descr"] = {"order": placed.description}
    return row
