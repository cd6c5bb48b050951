"""The private side of a `FastVenue`: orders in, outcomes and events out."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial

from arbitrade.models import (
    ExecutionReport,
    OrderRequest,
    OrderState,
    Rejected,
)
from arbitrade_kraken.account import messages, wallets
from arbitrade_kraken.account.connection import NotSentError
from arbitrade_kraken.account.tracking import VenueOrders, as_report
from arbitrade_kraken.simulator.exchange.events import (
    EngineChanged,
    ExchangeEvent,
    LedgerEntry,
    OrderEvent,
)
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.exchange.orders import OrderFill, OrderRef
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.reports import Reports
from arbitrade_kraken.simulator.fast.chance import Chance
from arbitrade_kraken.simulator.fast.events import (
    AllBalances,
    Answered,
    FastEvent,
    FastFaults,
    FastLatency,
    PrivateGap,
    PrivateReadiness,
    RequestAnswer,
)
from arbitrade_kraken.simulator.fast.history import FastHistory, state_of
from arbitrade_kraken.simulator.fast.methods import EPOCH, FastMethods, Key, nanoseconds, unknown
from arbitrade_kraken.simulator.fast.queue import FastQueue, Lane, Parcel, around

_MS_US = 1_000
_OVERTAKEN_NS = 20_000_000
"""How long an event that is overtaken stays behind."""


class FastAccount:
    """One account as its client sees it; private events are read by the code that reads sockets.

    Args:
        name: Of the account.
    """

    def __init__(
        self,
        exchange: Exchange,
        face: Face,
        queue: FastQueue,
        chance: Chance,
        faults: FastFaults,
        latency: FastLatency,
        name: str,
    ) -> None:
        self._exchange = exchange
        self._face = face
        self._queue = queue
        self._chance = chance
        self._faults = faults
        self._latency = latency
        self._name = name
        self._methods = FastMethods(exchange, chance, faults, name)
        self._reports = Reports(face)
        self.history = FastHistory(exchange, face, name)
        self._table = VenueOrders()
        self._table.precisions = {asset.name: asset.decimals for asset in exchange.assets()}
        self._lane = Lane(latency.answer_us, self._arrived)
        self._held: list[FastEvent] | None = None
        """Events that wait for the answer to the request that caused them."""
        self._waiting: dict[tuple[str, str], int] = {}
        """Requests without an answer yet: what about which order, and which one it is."""
        self._requests = 0
        self._untold: dict[str, OrderFill] = {}
        self._standing: dict[str, None] = {}
        """Ids of orders that stand as far as the client knows."""
        exchange.listen(self._on_event)

    def open(self) -> None:
        """Connect for the first time: how things stand comes first, then what happens."""
        self._snapshot()
        if self._faults.private_gap_s:
            self._queue.after(around(self._faults.private_gap_s), self.lose)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────

    def submit(self, order: OrderRequest) -> None:
        """Send an order, once it passes what is checked before anything is sent."""
        reason = messages.check_order(order, self._time(), may_fok=False)
        entry = self._table.by_client(order.client_id)
        if reason is None and entry is not None and entry.is_live:
            reason = "its client id belongs to an order that is open; each needs its own"
        if reason is not None:
            self._queue.tell(messages.not_sent(order.client_id, reason))
            return
        if not self._lane.is_up:
            text = "there is no private connection now"
            error = NotSentError(f"kraken: order not sent: {text}")
            self._queue.tell(Rejected(order.client_id, text, error))
            return
        if not order.is_dry_run:
            self._table.register(order, 0.0)
        usual_ns = self._queue.now_ns + self._latency.deadline_us * 1000
        deadline_ns = nanoseconds(order.deadline) if order.deadline is not None else usual_ns
        self._request(
            ("add_order", order.client_id), partial(self._methods.add, order, deadline_ns)
        )

    def cancel(self, client_ids: Collection[str]) -> None:
        """Cancel orders, one request each; each has an outcome of its own."""
        for client_id in client_ids:
            self._request(("cancel_order", client_id), partial(self._methods.cancel, client_id))

    def cancel_all(self) -> None:
        """Cancel whatever stands when the request arrives."""
        self._request(("cancel_all", ""), self._methods.cancel_all)

    def cancel_all_after(self, timeout_s: int) -> None:
        """Arm the dead man's switch; 0 disarms."""
        key = ("cancel_all_orders_after", "")
        self._request(key, partial(self._methods.arm, timeout_s))

    def _request(self, key: Key, act: Callable[[], RequestAnswer]) -> None:
        """Put a request on its way, to be answered, or unknown in the end."""
        self._requests += 1
        number, queue, faults = self._requests, self._queue, self._faults
        self._waiting[key] = number
        queue.at(
            queue.now_ns + self._latency.timeout_us * 1000, partial(self._give_up, key, number)
        )
        is_lost, is_late = (
            self._chance.happens(faults.lost_request),
            self._chance.happens(faults.late),
        )
        delay_ns = queue.delay_ns(self._latency.request_us)
        if is_late:
            delay_ns += queue.delay_ns(faults.late_us)
        if not is_lost:
            queue.at(queue.now_ns + delay_ns, partial(self._carry_out, key, number, act))

    def _carry_out(self, key: Key, number: int, act: Callable[[], RequestAnswer]) -> None:
        """Let a request reach the engine."""
        faults, exchange = self._faults, self._exchange
        exchange.run_timers()
        self._held = None if self._chance.happens(faults.early) else []
        answer = self._methods.answer_to(key, act)
        held, self._held = self._held or [], None
        if not self._chance.happens(faults.lost_ack):
            self._answer(Answered(key, number, answer))
        for event in held:
            self._send(event)
        if (due_ns := exchange.next_timer_ns()) is not None:
            self._queue.at(due_ns, exchange.run_timers)

    def _answer(self, answered: Answered) -> None:
        if self._lane.is_up:
            self._queue.send(self._lane, answered)
        elif self._waiting.get(answered.key) == answered.number:
            # Asked while there was no connection, so over REST.
            del self._waiting[answered.key]
            self._queue.tell(answered.answer)

    def _give_up(self, key: Key, number: int) -> None:
        """An answer that isn't there by now won't be waited for."""
        if self._waiting.get(key) == number:
            del self._waiting[key]
            self._queue.tell(unknown(key, "no answer in time"))

    # ── events ───────────────────────────────────────────────────────────────────────────────────

    def _on_event(self, event: ExchangeEvent) -> None:
        told: FastEvent | None = None
        if isinstance(event, OrderEvent) and event.account == self._name:
            told = self._table.read(self._reports.event(event), is_snapshot=False)
            if event.fill is not None:
                self._untold[event.fill.exec_id] = event.fill
        elif isinstance(event, LedgerEntry) and event.account == self._name:
            told = wallets.read_change(self._reports.ledger_entry(event))
        elif isinstance(event, EngineChanged):
            told = self._readiness()
        if told is None:
            return
        if self._held is not None:
            self._held.append(told)
        else:
            self._send(told)

    def _send(self, event: FastEvent) -> None:
        is_twice = self._chance.happens(self._faults.duplicated)
        extra_ns = _OVERTAKEN_NS if self._chance.happens(self._faults.reordered) else 0
        self._queue.send(self._lane, event, extra_ns)
        if is_twice:
            self._queue.send(self._lane, event, extra_ns)

    def _arrived(self, parcel: Parcel) -> FastEvent | None:
        """Note what the client knows from now on."""
        if isinstance(parcel, Answered):
            if self._waiting.get(parcel.key) != parcel.number:
                return None  # Too late: nobody waits for it any more.
            del self._waiting[parcel.key]
            if parcel.key[0] == "add_order" and isinstance(parcel.answer, Rejected):
                self._table.rejected(parcel.answer.client_id)
            return parcel.answer
        if isinstance(parcel, ExecutionReport):
            self._note(parcel)
        return parcel

    def _note(self, report: ExecutionReport) -> None:
        if report.exec_id is not None:
            self._untold.pop(report.exec_id, None)
        elif report.status.is_final:
            self._standing.pop(report.order_id, None)
        else:
            self._standing[report.order_id] = None

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    def lose(self) -> None:
        """Lose the connection; it comes back after `FastFaults.gap_ms`."""
        self._lane.cut()
        for key in self._waiting:
            self._queue.tell(unknown(key, "the connection was lost"))
        self._waiting.clear()
        self._queue.tell(PrivateReadiness(is_ready=False))
        self._queue.tell(PrivateGap("the private connection was lost (simulated)"))
        shortest, longest = self._faults.gap_ms
        self._queue.after((shortest * _MS_US, longest * _MS_US), self._come_back)

    def _come_back(self) -> None:
        self._lane.restore()
        self._snapshot()
        if self._faults.private_gap_s:
            self._queue.after(around(self._faults.private_gap_s), self.lose)

    def _snapshot(self) -> None:
        """Tell how things stand, and what happened meanwhile: fills, then how orders ended."""
        for order in self._exchange.inquiry.open_orders(self._name):
            report = self._table.read(self._reports.open_order(order), is_snapshot=True)
            if report is not None:
                self._tell(report)
        self._queue.tell(AllBalances(tuple(self.history.balances())))
        for fill in self.history.fills(self._untold):
            self._tell(fill)
        for order_id in tuple(self._standing):
            ended = self._exchange.inquiry.order(self._name, order_id)
            if ended is not None and not ended.is_open:
                self._tell(as_report(state_of(ended)))
        self._queue.tell(self._readiness())

    def _readiness(self) -> PrivateReadiness:
        return PrivateReadiness(is_ready=self._exchange.engine_state == "online")

    def _tell(self, report: ExecutionReport) -> None:
        self._note(report)
        self._queue.tell(report)

    def ask(self, client_id: str) -> OrderState | None:
        """Return what the venue knows of an order now."""
        found = self._exchange.inquiry.find_orders(self._name, OrderRef(client_id=client_id))
        if found:
            return state_of(found[0])
        if ("add_order", client_id) not in self._waiting:
            self._table.rejected(client_id)
        return None

    def _time(self) -> datetime:
        return EPOCH + timedelta(microseconds=self._queue.now_ns // 1000)
