"""The order methods of the WebSocket: parameters in, answers out."""

from collections.abc import Callable, Sequence
from decimal import InvalidOperation

import attrs

from arbitrade_kraken.simulator.exchange.keys import ApiKey
from arbitrade_kraken.simulator.exchange.orders import Placed, VenueRefusal
from arbitrade_kraken.simulator.faces import order_params as read
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.wire import Fields, Message, whole_seconds

PLACE, CANCEL = "modify-trades", "close-trades"
"""The permissions a key needs, to place or change orders and to cancel them."""


@attrs.frozen(kw_only=True)
class MethodAnswer:
    """One answer to a request.

    Args:
        success: False together with a result for a batch of which a part was refused.
        refusal: The venue's words when there is no result.
        extra: More fields at the top.
    """

    result: object = None
    success: bool = True
    refusal: str | None = None
    extra: Fields = attrs.field(factory=dict)


class OrderMethods:
    """Carries out order methods for whoever's token a request holds."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._methods: dict[
            str, tuple[str, Callable[[str, Message, int], Sequence[MethodAnswer]]]
        ] = {
            "add_order": (PLACE, self._add),
            "batch_add": (PLACE, self._batch_add),
            "amend_order": (PLACE, self._amend),
            "edit_order": (PLACE, self._edit),
            "cancel_order": (CANCEL, self._cancel),
            "batch_cancel": (CANCEL, self._batch_cancel),
            "cancel_all": (CANCEL, self._cancel_all),
            "cancel_all_orders_after": (CANCEL, self._cancel_all_after),
        }

    def carry_out(self, request: Message, key: ApiKey, received_ns: int) -> Sequence[MethodAnswer]:
        """Return the answers to a request, after it was carried out.

        Raises:
            WireError: Wrong parameters.
            VenueRefusal: The exchange refuses.
        """
        permission, method = self._methods[request["method"]]
        if permission not in key.permissions:
            raise VenueRefusal("EGeneral:Permission denied")
        try:
            return method(key.account, request.get("params", {}), received_ns)
        except InvalidOperation:
            # Price × quantity has more digits than any account could pay.
            raise VenueRefusal("EGeneral:Invalid arguments:volume") from None

    def _add(self, account: str, params: Message, received_ns: int) -> Sequence[MethodAnswer]:
        placed = self._face.exchange.add_order(account, read.read_add(params, received_ns))
        if placed.refusal is not None:
            return [MethodAnswer(refusal=placed.refusal)]
        return [MethodAnswer(result=_placed_row(placed, params))]

    def _batch_add(self, account: str, params: Message, received_ns: int) -> Sequence[MethodAnswer]:
        orders = read.read_batch_add(params, received_ns)
        placed = self._face.exchange.add_batch(account, orders)
        rows = [_placed_row(*pair) for pair in zip(placed, params["orders"], strict=True)]
        return [MethodAnswer(result=rows, success=all(row.refusal is None for row in placed))]

    def _amend(self, account: str, params: Message, received_ns: int) -> Sequence[MethodAnswer]:
        amended = self._face.exchange.amend_order(account, read.read_amend(params, received_ns))
        name = "order_id" if "order_id" in params else "cl_ord_id"
        return [MethodAnswer(result={"amend_id": amended.amend_id, name: params[name]})]

    def _edit(self, account: str, params: Message, received_ns: int) -> Sequence[MethodAnswer]:
        placed = self._face.exchange.edit_order(account, read.read_edit(params, received_ns))
        order_id = placed.order.order_id if placed.order is not None else ""
        return [
            MethodAnswer(result={"order_id": order_id, "original_order_id": params["order_id"]})
        ]

    def _cancel(self, account: str, params: Message, received_ns: int) -> Sequence[MethodAnswer]:
        """One answer an order.  One that fails doesn't say which it was."""
        answers = []
        for target in read.read_cancel(params):
            for row in self._face.exchange.cancel_orders(account, [target.ref]):
                if row.refusal is not None:
                    answers.append(MethodAnswer(refusal=row.refusal))
                else:
                    answers.append(MethodAnswer(result=target.echo))
        return answers

    def _batch_cancel(
        self, account: str, params: Message, received_ns: int
    ) -> Sequence[MethodAnswer]:
        count = self._face.exchange.cancel_batch(account, read.read_batch_cancel(params))
        if self._face.wire.batch_cancel_count == "top_level":
            return [MethodAnswer(extra={"orders_cancelled": count})]
        return [MethodAnswer(result={"count": count})]

    def _cancel_all(
        self, account: str, params: Message, received_ns: int
    ) -> Sequence[MethodAnswer]:
        read.read_cancel_all(params)
        return [MethodAnswer(result={"count": self._face.exchange.cancel_all(account)})]

    def _cancel_all_after(
        self, account: str, params: Message, received_ns: int
    ) -> Sequence[MethodAnswer]:
        switch = self._face.exchange.cancel_all_after(account, read.read_timeout(params))
        return [MethodAnswer(result=switch_times(self._face, switch.current_s, switch.trigger_s))]


def switch_times(face: Face, current_s: int, trigger_s: int | None) -> Fields:
    """Return the two times of the dead man's switch, in whole seconds."""
    times: Fields = {"currentTime": whole_seconds(current_s * 1_000_000_000)}
    if trigger_s is not None:
        times["triggerTime"] = whole_seconds(trigger_s * 1_000_000_000)
    elif face.wire.disarmed_trigger is not None:
        times["triggerTime"] = face.wire.disarmed_trigger
    return times


def _placed_row(placed: Placed, params: Message) -> Fields:
    row: Fields = {}
    if placed.refusal is not None:
        row["error"] = placed.refusal
    else:
        row["order_id"] = placed.order.order_id if placed.order is not None else ""
    for name in ("cl_ord_id", "order_userref"):
        if name in params:
            row[name] = params[name]
    return row
