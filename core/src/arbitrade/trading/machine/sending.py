"""Orders on their way out: written down, handed to the gateway, and looked up when nobody knows."""

from datetime import UTC, datetime

import structlog

from arbitrade.config import ExecutionSettings
from arbitrade.execution.walk import fee_in
from arbitrade.models import (
    Intent,
    OrderRequest,
    OrderRole,
    PlannedOrder,
    Side,
    TimeInForce,
)
from arbitrade.records import IntentWritten
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.machine.marks import Marks
from arbitrade.trading.machine.orders import TrackedOrder
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.quoting import Quoting
from arbitrade.trading.machine.state import MachineState

log = structlog.stdlib.get_logger(__name__)
_LOOK_UP_AGAIN_NS = 1_000_000_000


class Sending:
    """Places orders and asks what became of them.

    Args:
        state: Where orders are kept.
        ports: Instruments, and the journal.
        execution: How long an order may be on its way.
        gateway: The way out.
        quoting: What is spoken for at the front of a book.
        marks: Takes the book an order leaves at.
        decisions: Takes each order.
    """

    def __init__(
        self,
        state: MachineState,
        ports: Ports,
        execution: ExecutionSettings,
        gateway: Gateway,
        quoting: Quoting,
        marks: Marks,
        decisions: Decisions,
    ) -> None:
        self._state = state
        self._ports = ports
        self._deadline_ms = execution.deadline_ms
        self._gateway = gateway
        self._quoting = quoting
        self._marks = marks
        self._decisions = decisions

    def place(self, cycle: Cycle, leg: int, order: PlannedOrder, role: OrderRole) -> TrackedOrder:
        """Write an order down and hand it to the gateway."""
        state = self._state
        tracked = self._track(cycle, leg, order, role)
        cycle.orders.append(tracked)
        state.orders.add(tracked)
        state.order_count += 1
        state.portfolio.on_order(state.now_ns)
        request = tracked.intent.request
        self._decisions.add(
            state.now_ns,
            "order",
            {
                "id": request.client_id,
                "symbol": request.symbol,
                "side": request.side.value,
                "quantity": str(request.quantity),
                "limit": str(request.limit_price),
                "role": role.value,
            },
        )
        sequence = self._ports.write(IntentWritten(tracked.intent), cycle.run)
        self._gateway.send(tracked.intent, sequence)
        # After it left: the books are the same as before, and nobody waits.
        self._marks.mark(cycle, tracked, "send")
        return tracked

    def _track(self, cycle: Cycle, leg: int, order: PlannedOrder, role: OrderRole) -> TrackedOrder:
        state, pair = self._state, self._ports.instruments()[order.symbol]
        is_buy = order.side is Side.BUY
        request = OrderRequest(
            client_id=f"{cycle.tag}-{len(cycle.orders):x}",
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            limit_price=order.limit_price,
            time_in_force=TimeInForce.IOC,
            deadline=self._deadline(),
            fee_in=fee_in(state.fees.charged_in, order.side),
            is_dry_run=role is OrderRole.REHEARSAL,
        )
        intent = Intent(
            cycle.number,
            leg,
            role,
            request,
            pair.quote if is_buy else pair.base,
            pair.base if is_buy else pair.quote,
        )
        tracked = TrackedOrder(intent, state.now_ns, cycle)
        tracked.skip_lots = self._quoting.skip(order.symbol, order.side)
        tracked.base_step = self._quoting.step_of(pair.base)
        return tracked

    def _deadline(self) -> datetime:
        """Return when the venue shall not take it any more, in whole milliseconds as it reads."""
        at_ns = self._state.now_ns + self._deadline_ms * 1_000_000
        return datetime.fromtimestamp(at_ns // 1_000_000 / 1000, UTC)

    def look_up(self, order: TrackedOrder) -> None:
        """Ask the venue what became of an order, not more often than once a second."""
        now_ns = self._state.now_ns
        if order.asked_at_ns is not None and now_ns - order.asked_at_ns < _LOOK_UP_AGAIN_NS:
            return
        order.asked_at_ns = now_ns
        order.look_ups += 1
        log.info("order.looked_up", client_id=order.client_id, answer=order.answer)
        if order.is_ended:
            # Its end is known, a fill is not: fills come by another way.
            self._gateway.reconcile(order.written_at_ns)
        else:
            self._gateway.look_up(order.client_id)

    def is_connection_refusal(self, client_id: str) -> bool:
        """Tell whether an order was refused because nothing could be sent."""
        order = self._state.orders.find(client_id)
        return order is not None and order.is_connection_refusal
