"""What comes back: answers, fills, ledger rows, balances; each booked once, whoever's it is."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import attrs

from arbitrade.accounting.ledger import TwoAssets
from arbitrade.models import (
    Alert,
    Balance,
    BalanceChange,
    ExecutionReport,
    OrderRequest,
    OrderState,
    Severity,
    Side,
)
from arbitrade.records import (
    BalanceCompared,
    ExecutionBooked,
    OrderAnswered,
    OrderEnded,
)
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.events import OrderAnswer
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.machine.marks import Marks
from arbitrade.trading.machine.orders import TrackedOrder
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.quoting import Quoting
from arbitrade.trading.machine.sending import Sending
from arbitrade.trading.machine.state import MachineState

ZERO = Decimal(0)
_OURS = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{1,5}-[0-9a-f]{1,2}$")
"""What client ids of any run of ours look like; see `Cycle.tag`."""


class Bookings:
    """Books what happened to orders and balances, ours and those of others.

    Args:
        state: Orders and the ledger.
        ports: Alerts, halts, instruments, the journal.
        gateway: Cancels what stands and should not, and is asked for fills that are missing.
        sending: Looks orders up.
        quoting: Tells what is dust.
        marks: Takes the books at which answers and fills came.
        decisions: Takes each fill.
    """

    def __init__(
        self,
        state: MachineState,
        ports: Ports,
        gateway: Gateway,
        sending: Sending,
        quoting: Quoting,
        marks: Marks,
        decisions: Decisions,
    ) -> None:
        self._state = state
        self._ports = ports
        self._gateway = gateway
        self._sending = sending
        self._quoting = quoting
        self._marks = marks
        self._decisions = decisions
        self._foreign: dict[str, str] = {}
        """Pairs of others' orders that stand, by the venue's id; empty once they were told of."""
        self._has_foreign_news = False
        self._unclaimed: dict[str, ExecutionReport] = {}
        """Fills that may be of an order whose id at the venue we don't know yet."""

    # ── orders of ours ───────────────────────────────────────────────────────────────────────────

    def on_answer(self, event: OrderAnswer) -> None:
        """Take what sending came to."""
        order = self._find(event.client_id)
        if order is None:
            return
        order.sent_ns = event.sent_ns
        order.order_id = order.order_id or event.order_id
        self._state.orders.index(order)
        # An execution may have come first, and knows better than "unknown".
        if order.answer in ("waiting", "unknown") and not (
            event.outcome == "unknown" and order.status is not None
        ):
            order.answer = event.outcome
        if event.outcome in ("rejected", "not_sent"):
            order.rejection = event.reason
            order.is_connection_refusal = event.is_connection
        elif event.outcome == "accepted":
            order.acknowledged_ns = order.acknowledged_ns or self._state.now_ns
            self._marks.mark_of(order, "ack")
        self._ports.write(
            OrderAnswered(
                event.client_id, event.outcome, event.order_id, event.reason, event.sent_ns
            ),
            self._run_of(order),
        )
        if event.outcome == "unknown":
            self._sending.look_up(order)
        self._ended(order)
        self._claim()

    def on_execution(self, report: ExecutionReport) -> None:
        """Take an event of an order; its fill is booked once, whoever's it is."""
        order = self._find(report.client_id, report.order_id)
        if order is None:
            self._on_stranger(report)
            return
        self._marks.mark_of(order, "fill" if report.exec_id else "ack")
        is_new = order.on_report(report)
        self._state.orders.index(order)
        if is_new:
            self._book(order, report)
        self._ended(order)
        self._claim()

    def on_found(self, client_id: str, state: OrderState | None) -> None:
        """Take the answer to a look-up."""
        order = self._find(client_id)
        if order is None:
            return
        order.on_state(state)
        self._state.orders.index(order)
        if state is not None and not state.status.is_final:
            # Immediate or cancel, and yet it stands: it must not fill behind our back.
            self._gateway.cancel([client_id])
        self._claim()
        if order.is_ended and not order.is_settled:
            self._gateway.reconcile(order.written_at_ns)
        self._ended(order)

    def _find(self, client_id: str | None, order_id: str = "") -> TrackedOrder | None:
        order = self._state.orders.find(client_id, order_id)
        if order is not None and order.base_step is None:
            # Of an earlier run: when it was restored there were no instruments yet.
            base = self._assets_of(order.intent.request.symbol).base
            order.base_step = self._quoting.step_of(base)
        return order

    def _book(self, order: TrackedOrder, report: ExecutionReport) -> None:
        state, intent = self._state, order.intent
        complete = attrs.evolve(
            report,
            client_id=order.client_id,
            symbol=report.symbol or intent.request.symbol,
            side=intent.request.side,
        )
        pair = self._assets_of(intent.request.symbol)
        with state.transactions.of(self._run_of(order)):
            flows = state.ledger.book_fill(complete, pair, intent.cycle)
        if flows is None:
            # Booked, then the process died before the fill itself was written.
            flows = state.ledger.flows_of(report.exec_id or "")
        order.add_flows(flows)
        order.filled_ns = order.filled_ns or state.now_ns
        state.execution_count += 1
        anomaly = _is_worse(intent.request, report)
        booked = ExecutionBooked(complete, intent.cycle, intent.leg, anomaly)
        self._ports.write(booked, self._run_of(order))
        self._decisions.add(
            state.now_ns,
            "fill",
            {
                "id": order.client_id,
                "exec_id": report.exec_id,
                "quantity": str(report.last_quantity),
                "price": str(report.last_price),
            },
        )
        if anomaly:
            self._on_worse_fill(intent.request, report)
        if isinstance(order.owner, Cycle) and self._is_late(order.owner, flows):
            self._on_late_fill(order, order.owner, report)

    def _ended(self, order: TrackedOrder) -> None:
        """Write an order's end down, once."""
        if order.is_closed or not order.is_settled:
            return
        order.is_closed = True
        self._marks.mark_of(order, "fill")
        self._ports.write(
            OrderEnded(
                order.client_id,
                order.order_id,
                order.status,
                order.rejection or order.reason,
                order.filled_quantity,
                order.filled_cost,
                order.spent,
                order.received,
            ),
            self._run_of(order),
        )

    def _run_of(self, order: TrackedOrder | None) -> str:
        """Return the run a record about an order goes to: that of its cycle."""
        owner = None if order is None else order.owner
        return owner.run if isinstance(owner, Cycle) else self._state.run

    def _assets_of(self, symbol: str) -> TwoAssets:
        """Return what a pair's fills are booked by, also when no instrument tells (any more)."""
        return self._ports.instruments().get(symbol) or _Assets(*symbol.split("/", 1))

    # ── fills that should not be ─────────────────────────────────────────────────────────────────

    def _is_late(self, cycle: Cycle, flows: Mapping[str, Decimal]) -> bool:
        """Tell whether a cycle has ended without a fill of its own that matters."""
        return cycle.state.is_final and any(
            asset != cycle.start and not self._quoting.is_dust(asset, amount, cycle.start)
            for asset, amount in flows.items()
        )

    def _on_late_fill(self, order: TrackedOrder, cycle: Cycle, report: ExecutionReport) -> None:
        """Stop: a cycle ended without knowing of it, so nobody brings back what it left."""
        request = order.intent.request
        self._ports.alert(
            Alert(
                Severity.CRITICAL,
                f"{request.symbol}: {request.side.value} {report.last_quantity} after cycle "
                f"{cycle.number} had ended",
                f"Order {order.client_id}, execution {report.exec_id}, is booked, so balances "
                "still add up. `arbitrade flatten` brings it back to the start asset.",
                subject=request.symbol,
            )
        )
        self._ports.halt(f"execution {report.exec_id} came after its cycle had ended")

    def _on_worse_fill(self, request: OrderRequest, report: ExecutionReport) -> None:
        self._state.suspended[request.symbol] = (
            f"filled at {report.last_price}, limit {request.limit_price}"
        )
        self._ports.alert(
            Alert(
                Severity.CRITICAL,
                f"{request.symbol}: filled at {report.last_price}, beyond the limit of "
                f"{request.limit_price}",
                f"Order {request.client_id}, execution {report.exec_id}; booked as reported. "
                "Nothing new is begun on this pair in this run. Ask the venue.",
                subject=request.symbol,
            )
        )

    # ── orders of others ─────────────────────────────────────────────────────────────────────────

    def _on_stranger(self, report: ExecutionReport) -> None:
        """Take an event of an order we know nothing of: book its fill, and say so."""
        state = self._state
        is_fill = report.exec_id is not None and report.last_quantity > 0
        is_ours = report.client_id is not None and bool(_OURS.match(report.client_id))
        # Histories tell fills of orders of ours, too, that ended with an earlier run.
        is_old = is_fill and self._is_older_than_ledger(report.timestamp)
        if not is_ours and not is_old and not state.ledger.is_booked(report.exec_id or ""):
            self._note_foreign(report)
        if not is_fill or report.symbol is None or report.side is None:
            return
        if self._is_older_than_ledger(report.timestamp):
            return
        if self._may_be_ours(report):
            self._unclaimed[report.exec_id or ""] = report
            return
        if state.ledger.book_fill(report, self._assets_of(report.symbol), 0) is None:
            return
        state.execution_count += 1
        self._ports.write(ExecutionBooked(report, 0, 0, True), state.run)
        whose = "has our mark and is not in the journal" if is_ours else "is not ours"
        self._ports.alert(
            Alert(
                Severity.CRITICAL if is_ours else Severity.WARNING,
                f"{report.symbol}: {report.side.value} {report.last_quantity} by order "
                f"{report.order_id}, which {whose}",
                f"Execution {report.exec_id} is booked, so balances still add up.",
                subject=report.symbol,
            )
        )
        if is_ours:
            self._ports.halt(f"execution {report.exec_id} of an order that is not in the journal")

    def _may_be_ours(self, report: ExecutionReport) -> bool:
        """Tell whether a fill without our id fits an order whose answer a crash swallowed.

        The venue's histories know orders by the venue's id only; a look-up tells us that.
        """
        return report.client_id is None and any(
            not order.order_id
            and (order.intent.request.symbol, order.intent.request.side)
            == (report.symbol, report.side)
            for order in self._state.orders.unsettled()
        )

    def _claim(self) -> None:
        """Take fills again that waited for an order's id to become known."""
        if self._unclaimed:
            waiting, self._unclaimed = self._unclaimed, {}
            for report in waiting.values():
                self.on_execution(report)

    def _note_foreign(self, report: ExecutionReport) -> None:
        """Remember orders of others for as long as they stand."""
        self._has_foreign_news = True
        if report.exec_id is not None:
            return
        if report.status.is_final:
            self._foreign.pop(report.order_id, None)
        else:
            self._foreign.setdefault(report.order_id, report.symbol or "some pair")

    def take_foreign_news(self) -> bool:
        """Return whether something happened to an order of others since this was last asked."""
        news, self._has_foreign_news = self._has_foreign_news, False
        return news

    def tell_foreign(self) -> None:
        """Say once of each order that stands and is not ours: what we arm cancels it as well."""
        for order_id, symbol in self._foreign.items():
            if not symbol:
                continue
            self._foreign[order_id] = ""
            self._ports.alert(
                Alert(
                    Severity.WARNING,
                    f"order {order_id} on {symbol} is not ours",
                    "It is left alone, and what it holds is not spent. The dead man's switch "
                    "cancels all orders of the account, this one too, when the bot falls silent.",
                    subject=symbol,
                )
            )

    # ── balances ─────────────────────────────────────────────────────────────────────────────────

    def on_row(self, change: BalanceChange) -> None:
        """Take a row of the venue's ledger."""
        state = self._state
        if not state.ledger.is_open:
            # What we are going to open with has it in.
            return
        if change.kind != "trade" and self._is_older_than_ledger(change.timestamp):
            # What we opened with has it in.
            return
        order = state.orders.with_fill(change.reference) if change.kind == "trade" else None
        with state.transactions.of(self._run_of(order)):
            flows = state.ledger.book_row(change)
        if not flows:
            return
        if change.kind != "trade":
            self._ports.alert(
                Alert(
                    Severity.INFO,
                    f"{change.kind} of {change.amount} {change.asset}",
                    f"Booked as external; the venue's ledger row {change.ledger_id} shows it.",
                    subject=change.asset,
                )
            )
            return
        if order is not None:
            order.add_flows(flows)

    def on_balances(self, balances: Sequence[Balance]) -> None:
        """Take what the venue holds for us; the first time, that is what we begin with."""
        state = self._state
        told = {balance.asset: balance.total for balance in balances}
        self.note_held(balances)
        if not state.ledger.is_open:
            state.opened_ns = state.now_ns
            state.ledger.open(told, state.run)
            return
        self.compare(told)

    def note_held(self, balances: Sequence[Balance]) -> None:
        """Note what orders hold that are not ours; while ours stand, nobody can tell."""
        state = self._state
        is_quiet = all(cycle.is_at_rest for cycle in state.cycles.values())
        if is_quiet and not any(state.orders.unsettled()):
            state.foreign_held = {b.asset: b.held for b in balances if b.held}

    def compare(self, told: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Return where the venue and the ledger differ; each difference is written down."""
        state = self._state
        differences = state.ledger.differences(told)
        for asset, amount in differences.items():
            ours = state.ledger.balance(asset)
            self._ports.write(BalanceCompared(asset, ours + amount, ours, "different"), state.run)
        return differences

    def _is_older_than_ledger(self, timestamp: str | None) -> bool:
        """Tell whether what we opened with has it in already."""
        if not self._state.ledger.is_open:
            return True
        try:
            at = datetime.fromisoformat(timestamp or "")
        except ValueError:
            return False
        # Told at the very moment we opened, it had happened before.
        return round(at.timestamp() * 1e6) * 1000 <= self._state.opened_ns


@attrs.frozen
class _Assets:
    """Of a pair no instrument tells of; satisfies `TwoAssets`."""

    base: str
    quote: str


def _is_worse(request: OrderRequest, report: ExecutionReport) -> bool:
    if request.limit_price is None:
        return False
    if request.side is Side.BUY:
        return report.last_price > request.limit_price
    return report.last_price < request.limit_price
