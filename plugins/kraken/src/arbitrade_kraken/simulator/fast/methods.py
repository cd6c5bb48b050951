"""What requests of a `FastVenue` do once they reach the engine, and what it says to them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from arbitrade.models import Accepted, OrderRequest, Unknown
from arbitrade_kraken.account import messages
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.orders import NewOrder, OrderRef, VenueRefusal
from arbitrade_kraken.simulator.fast.chance import Chance
from arbitrade_kraken.simulator.fast.events import Armed, Cancelled, FastFaults, RequestAnswer

type Key = tuple[str, str]
"""A method and the client id of the order it is about, empty for a method about all of them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FastMethods:
    """The order methods of one account.

    Args:
        chance: Of the client: whether an order meets one of its faults.
        name: Of the account.
    """

    def __init__(self, exchange: Exchange, chance: Chance, faults: FastFaults, name: str) -> None:
        self._exchange = exchange
        self._chance = chance
        self._faults = faults
        self._name = name

    def answer_to(self, key: Key, act: Callable[[], RequestAnswer]) -> RequestAnswer:
        """Return what the venue says; that it didn't do it, or was too busy, may be a lie."""
        if self._chance.happens(self._faults.refused):
            return refused(key, "EService:Unavailable")
        try:
            answer = act()
        except VenueRefusal as refusal:
            return refused(key, str(refusal))
        if self._chance.happens(self._faults.busy_after):
            return refused(key, "EService:Busy")
        return answer

    def add(self, order: OrderRequest, deadline_ns: int) -> RequestAnswer:
        """Place an order; by chance a part of it only, or with its fee in the other asset."""
        exchange = self._exchange
        if self._chance.happens(self._faults.partial):
            exchange.faults.inject("partial_fill", symbol=order.symbol, account=self._name)
        if self._chance.happens(self._faults.fee_currency):
            exchange.faults.inject("fee_currency", symbol=order.symbol, account=self._name)
        wanted = _new_order(order, deadline_ns, exchange.clock.now_ns())
        placed = exchange.add_order(self._name, wanted)
        order_id = "" if placed.order is None else placed.order.order_id
        return Accepted(order.client_id, order_id)

    def cancel(self, client_id: str) -> RequestAnswer:
        """Cancel one order by its client id."""
        (row,) = self._exchange.cancel_orders(self._name, [OrderRef(client_id=client_id)])
        if row.refusal is not None:
            raise VenueRefusal(row.refusal)
        return Accepted(client_id, "" if row.order is None else row.order.order_id)

    def cancel_all(self) -> RequestAnswer:
        """Cancel whatever stands, and say how much that was."""
        return Cancelled(self._exchange.cancel_all(self._name))

    def arm(self, timeout_s: int) -> RequestAnswer:
        """Arm the dead man's switch; 0 disarms."""
        self._exchange.cancel_all_after(self._name, timeout_s)
        return Armed(is_confirmed=True)


def refused(key: Key, text: str) -> RequestAnswer:
    """Return what a client makes of a refusal in the venue's words."""
    method, client_id = key
    if method == "cancel_all":
        return Cancelled(None)
    if method == "cancel_all_orders_after":
        return Armed(is_confirmed=False)
    return messages.refused(client_id, method, text)


def unknown(key: Key, reason: str) -> RequestAnswer:
    """Return what a client makes of no answer at all."""
    method, client_id = key
    if method in ("cancel_all", "cancel_all_orders_after"):
        return refused(key, reason)
    return Unknown(client_id, reason)


def nanoseconds(moment: datetime) -> int:
    """Return a moment as nanoseconds since the epoch."""
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def _new_order(order: OrderRequest, deadline_ns: int, received_ns: int) -> NewOrder:
    return NewOrder(
        symbol=order.symbol,
        side=order.side,
        order_type=order.order_type.value,
        quantity=order.quantity,
        limit_price=order.limit_price,
        time_in_force=order.time_in_force.value if order.limit_price is not None else "gtc",
        expire_ns=None if order.expires_at is None else nanoseconds(order.expires_at),
        deadline_ns=deadline_ns,
        received_ns=received_ns,
        fee_preference=order.fee_in.value,
        post_only=order.is_post_only,
        client_id=order.client_id,
        validate=order.is_dry_run,
    )
