"""Orders, fills, balances and cycles: everything between an approval and its end.

Deterministic: it is told what happened and when, writes down what it is going to do, and hands it
to the gateway.  `trader.py` decides what begins; this carries it to its end.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import attrs
import structlog

from arbitrade.accounting.attribution import attribute
from arbitrade.accounting.ledger import Ledger, TwoAssets
from arbitrade.accounting.portfolio import Portfolio
from arbitrade.accounting.valuation import Valuation
from arbitrade.book import OrderBook
from arbitrade.config import Settings
from arbitrade.config.risk import RiskLimits
from arbitrade.errors import ArbitradeError
from arbitrade.execution.unwind import ways_out
from arbitrade.execution.walk import fee_in, quote_leg
from arbitrade.models import (
    Alert,
    Approved,
    Attribution,
    Balance,
    BalanceChange,
    CycleState,
    ExecutionReport,
    Instrument,
    Instruments,
    Intent,
    Leg,
    LegQuote,
    OrderRequest,
    OrderRole,
    OrderState,
    PlannedOrder,
    Severity,
    Side,
    TimeInForce,
    UnwindDecision,
)
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols.execution import Executor
from arbitrade.records import (
    BalanceCompared,
    BookSeen,
    CycleClosed,
    CycleNoted,
    CycleOpened,
    ExecutionBooked,
    IntentWritten,
    OrderAnswered,
    OrderEnded,
    Record,
    TransactionBooked,
    UnwindDecided,
)
from arbitrade.trading.machine import marks
from arbitrade.trading.machine.cycles import Cycle, done_legs
from arbitrade.trading.machine.decisions import Decisions
from arbitrade.trading.machine.desk import Desk
from arbitrade.trading.machine.events import OrderAnswer
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.machine.kernel import Process, Timers
from arbitrade.trading.machine.orders import OrderTable, TrackedOrder
from arbitrade.trading.machine.ports import Ports

log = structlog.stdlib.get_logger(__name__)
ZERO = Decimal(0)
_OURS = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{1,5}-[0-9a-f]{1,2}$")
_LOOK_UP_AGAIN_NS = 1_000_000_000
_BOOK_LEVELS = 10
OPERATOR = "operator"
"""Who carries out what no executor began."""
BROUGHT = "brought"
"""The note that says what such a cycle was given; without it a restart would buy it back."""


class Machine:
    """Carries cycles to their end and keeps the account.

    Args:
        settings: Everything configured.
        run_id: A UUID; the client ids of its orders begin with its first eight digits.
        ports: The way out.
        decisions: Where decisions go.
    """

    def __init__(self, settings: Settings, run_id: str, ports: Ports, decisions: Decisions) -> None:
        execution = settings.execution
        self.run = self._run_at_hand = run_id
        self._ports = ports
        self._execution = execution
        self.decisions = decisions
        self.books = ports.books
        self.fees: FeeSchedule = settings.fees.schedule()
        self.gateway: Gateway
        self.executor: Executor
        self.timers = Timers()
        self.orders = OrderTable()
        self.cycles: dict[str, Cycle] = {}
        self.portfolio = Portfolio()
        self.valuation = Valuation(ports.books, ports.instruments)
        self.ledger = Ledger(self._precision, self._on_transaction)
        self.now_ns = 0
        self.opened_ns = 0
        """When the ledger was opened; a venue repeats older fills when it is connected."""
        self.limits = settings.risk
        self.may_begin = True
        self.is_account_ready = False
        self.last_cycle = 0
        self.settle_timeout_ns = round(execution.settle_timeout_s * 1e9)
        self.unwind_attempts = execution.unwind_attempts
        self.order_count = 0
        self.execution_count = 0
        self.transaction_count = 0
        self.foreign_held: dict[str, Decimal] = {}
        self._foreign: dict[str, str] = {}
        """Pairs of others' orders that stand, by the venue's id; empty once they were told of."""
        self.on_foreign_order: Callable[[], None] | None = None
        """Called when something happened to an order of others."""
        self._unclaimed: dict[str, ExecutionReport] = {}
        """Fills that may be of an order whose id at the venue we don't know yet."""
        self.suspended: dict[str, str] = {}
        """Pairs nothing is begun on until the end of the run, with the reason."""
        self.on_cycle_end: Callable[[Cycle, CycleClosed], None] | None = None

    @property
    def instruments(self) -> Instruments:
        """As they are now."""
        return self._ports.instruments()

    def write(self, record: Record, run: str = "") -> int:
        """Append a record to the journal, of this run unless it is about an older one's cycle."""
        return self._ports.write(record, run or self.run)

    # ── cycles ───────────────────────────────────────────────────────────────────────────────────

    def begin(
        self, approved: Approved, limits: RiskLimits, reserves: Mapping[str, Decimal]
    ) -> Cycle:
        """Open a cycle and let its executor run as far as it goes."""
        self.last_cycle += 1
        cycle = Cycle(self.last_cycle, self.run, approved, limits, self.now_ns, dict(reserves))
        self.cycles[cycle.tag] = cycle
        self.write(CycleOpened(cycle.number, self.executor.name, approved))
        self._run(cycle, self.executor.execute(Desk(self, cycle)))
        # After the first orders left: the books are the same, and nobody waits for it.
        self._snapshot_books(cycle, "decision")
        return cycle

    def recover(self, cycle: Cycle) -> None:
        """Bring a cycle that a crash interrupted to its end."""
        cycle.is_recovered = True
        self.cycles[cycle.tag] = cycle
        for order in cycle.orders:
            if not order.is_settled:
                self.look_up(order)
        self._run(cycle, Desk(self, cycle).unwind("recovered after a restart"))

    def flatten(self, asset: str, amount: Decimal, target: str, limits: RiskLimits) -> Cycle:
        """Bring an asset to `target` on an operator's word, as a cycle of its own."""
        return marks.flatten(self, asset, amount, target, limits)

    def step(self) -> None:
        """Let every cycle run on that can; call after each event."""
        for cycle in list(self.cycles.values()):
            if cycle.process is not None:
                cycle.process.step(self.now_ns)

    def next_timer_ns(self) -> int | None:
        """Return when `step` is due next by time alone."""
        waits = [
            cycle.process.wait.until_ns
            for cycle in self.cycles.values()
            if cycle.process is not None
            and cycle.process.wait is not None
            and cycle.process.wait.until_ns is not None
        ]
        timer = self.timers.next_ns
        return min([*waits, *([] if timer is None else [timer])], default=None)

    def start_unwinding(self, cycle: Cycle, reason: str) -> None:
        """Run a cycle that only brings something back."""
        self.cycles[cycle.tag] = cycle
        self.write(CycleOpened(cycle.number, OPERATOR, cycle.approved))
        self.note(cycle, BROUGHT, cycle.brought)
        self._run(cycle, Desk(self, cycle).unwind(reason))

    def _run(self, cycle: Cycle, coroutine: object) -> None:
        def on_end(state: CycleState | None, error: Exception | None) -> None:
            self._on_end(cycle, state, error)

        cycle.process = Process(coroutine, on_end)  # type: ignore[arg-type]
        cycle.process.step(self.now_ns)

    def _on_end(self, cycle: Cycle, state: CycleState | None, error: Exception | None) -> None:
        """Close a cycle; one whose executor raised, or left something behind, is unwound first."""
        if error is not None:
            log.error("cycle.executor_failed", cycle=cycle.number, error=repr(error))
            cycle.reason = f"{self.executor.name} raised {type(error).__name__}: {error}"
        unsettled = any(not order.is_settled for order in cycle.orders)
        must_unwind = error is not None or unsettled or (state is None or not state.is_final)
        left = any(
            asset != cycle.start and not self.is_dust(asset, amount, cycle.start)
            for asset, amount in cycle.holdings().items()
        )
        if (must_unwind or (left and state is not CycleState.FLAGGED)) and not _is_unwinding(cycle):
            self._run(cycle, Desk(self, cycle).unwind(cycle.reason or "something was left"))
            return
        final = state if state is not None and state.is_final else CycleState.FLAGGED
        self._close(cycle, final)

    def _close(self, cycle: Cycle, state: CycleState) -> None:
        flows = cycle.flows()
        residual = cycle.holdings()
        residual.pop(cycle.start, None)
        if not flows:
            state = CycleState.ABORTED_CLEAN
        elif state is CycleState.ABORTED_CLEAN or not (residual or state is CycleState.COMPLETED):
            state = CycleState.UNWOUND
        cycle.state = state
        profit = flows.get(cycle.start, ZERO)
        closed = CycleClosed(
            cycle=cycle.number,
            key=cycle.key,
            state=state,
            start_asset=cycle.start,
            profit=profit,
            profit_reference=self._worth(flows),
            flows=flows,
            residual=residual,
            attribution=self._attribution(cycle) if flows else None,
            reason=cycle.reason,
            is_recovered=cycle.is_recovered,
            opened_ns=cycle.opened_ns,
        )
        self._snapshot_books(cycle, "end")
        self.write(closed, cycle.run)
        self.decisions.add(
            self.now_ns,
            "cycle",
            {
                "cycle": cycle.number,
                "state": state.value,
                "flows": {asset: str(amount) for asset, amount in sorted(flows.items())},
            },
        )
        del self.cycles[cycle.tag]
        self.orders.retire(cycle.orders)
        rehearsal = any(order.intent.role is OrderRole.REHEARSAL for order in cycle.orders)
        self.portfolio.on_cycle_closed(closed, self.now_ns, is_rehearsal=rehearsal)
        self.write(self.portfolio.measured(self.now_ns))
        if state is CycleState.FLAGGED:
            left = ", ".join(f"{amount} {asset}" for asset, amount in sorted(residual.items()))
            self._ports.alert(
                Alert(
                    Severity.CRITICAL,
                    f"cycle {cycle.number} ({cycle.key}) is flagged: {left or 'see its orders'}",
                    f"{cycle.reason}. What is left stays in the account; look at it, then "
                    "`arbitrade flatten` brings it back to the start asset.",
                    subject=cycle.key,
                )
            )
        if self.on_cycle_end is not None:
            self.on_cycle_end(cycle, closed)

    def _attribution(self, cycle: Cycle) -> Attribution | None:
        if not cycle.approved.plan.quotes:
            return None
        try:
            return attribute(marks.journey(self, cycle))
        except Exception as error:
            # Figures about the past: whatever is wrong with them, the cycle has ended.
            log.exception("cycle.not_attributed", cycle=cycle.number, error=repr(error))
            return None

    def note(self, cycle: Cycle, what: str, fields: Mapping[str, object]) -> None:
        """Write something about a cycle."""
        told = {name: str(value) for name, value in fields.items()}
        self.write(CycleNoted(cycle.number, what, told), cycle.run)

    # ── orders out ───────────────────────────────────────────────────────────────────────────────

    def place(self, cycle: Cycle, leg: int, order: PlannedOrder, role: OrderRole) -> TrackedOrder:
        """Write an order down and hand it to the gateway."""
        pair = self.instruments[order.symbol]
        is_buy = order.side is Side.BUY
        request = OrderRequest(
            client_id=f"{cycle.tag}-{len(cycle.orders):x}",
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            limit_price=order.limit_price,
            time_in_force=TimeInForce.IOC,
            deadline=self._deadline(),
            fee_in=fee_in(self.fees.charged_in, order.side),
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
        tracked = TrackedOrder(intent, self.now_ns, cycle)
        tracked.skip_lots = self.skip(order.symbol, order.side)
        tracked.base_step = self.step_of(pair.base)
        cycle.orders.append(tracked)
        self.orders.add(tracked)
        self.order_count += 1
        self.portfolio.on_order(self.now_ns)
        self.decisions.add(
            self.now_ns,
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
        sequence = self.write(IntentWritten(intent), cycle.run)
        self.gateway.send(intent, sequence)
        # After it left: the books are the same as before, and nobody waits.
        marks.mark(self, cycle, tracked, "send")
        return tracked

    def look_up(self, order: TrackedOrder) -> None:
        """Ask the venue what became of an order, not more often than once a second."""
        if order.asked_at_ns is not None and self.now_ns - order.asked_at_ns < _LOOK_UP_AGAIN_NS:
            return
        order.asked_at_ns = self.now_ns
        order.look_ups += 1
        log.info("order.looked_up", client_id=order.client_id, answer=order.answer)
        if order.is_ended:
            # Its end is known, a fill is not: fills come by another way.
            self.gateway.reconcile(order.written_at_ns)
        else:
            self.gateway.look_up(order.client_id)

    def is_connection_refusal(self, client_id: str) -> bool:
        """Tell whether an order was refused because nothing could be sent."""
        order = self.orders.find(client_id)
        return order is not None and order.is_connection_refusal

    # ── what comes back ──────────────────────────────────────────────────────────────────────────

    def on_answer(self, event: OrderAnswer) -> None:
        """Take what sending came to."""
        order = self._find(event.client_id)
        if order is None:
            return
        order.sent_ns = event.sent_ns
        order.order_id = order.order_id or event.order_id
        self.orders.index(order)
        if order.answer in ("waiting", "unknown") and not (
            event.outcome == "unknown" and order.status is not None
        ):
            order.answer = event.outcome
        if event.outcome in ("rejected", "not_sent"):
            order.rejection = event.reason
            order.is_connection_refusal = event.is_connection
        elif event.outcome == "accepted":
            order.acknowledged_ns = order.acknowledged_ns or self.now_ns
            marks.mark_of(self, order, "ack")
        self.write(
            OrderAnswered(
                event.client_id, event.outcome, event.order_id, event.reason, event.sent_ns
            ),
            _run_of(order),
        )
        if event.outcome == "unknown":
            self.look_up(order)
        self._ended(order)
        self._claim()

    def on_execution(self, report: ExecutionReport) -> None:
        """Take an event of an order; its fill is booked once, whoever's it is."""
        order = self._find(report.client_id, report.order_id)
        if order is None:
            self._on_stranger(report)
            return
        marks.mark_of(self, order, "fill" if report.exec_id else "ack")
        is_new = order.on_report(report)
        self.orders.index(order)
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
        self.orders.index(order)
        if state is not None and not state.status.is_final:
            # Immediate or cancel, and yet it stands: it must not fill behind our back.
            self.gateway.cancel([client_id])
        self._claim()
        if order.is_ended and not order.is_settled:
            self.gateway.reconcile(order.written_at_ns)
        self._ended(order)

    def on_row(self, change: BalanceChange) -> None:
        """Take a row of the venue's ledger."""
        if not self.ledger.is_open:
            # What we are going to open with has it in.
            return
        if change.kind != "trade" and self._is_older_than_ledger(change.timestamp):
            # What we opened with has it in.
            return
        order = self._order_of(change.reference) if change.kind == "trade" else None
        with self._writing_for(order):
            flows = self.ledger.book_row(change)
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
        told = {balance.asset: balance.total for balance in balances}
        self.note_held(balances)
        if not self.ledger.is_open:
            self.opened_ns = self.now_ns
            self.ledger.open(told, self.run)
            return
        self.compare(told)

    def note_held(self, balances: Sequence[Balance]) -> None:
        """Note what orders hold that are not ours; while ours stand, nobody can tell."""
        if not self.cycles and not any(self.orders.unsettled()):
            self.foreign_held = {b.asset: b.held for b in balances if b.held}

    def compare(self, told: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Return where the venue and the ledger differ; each difference is written down."""
        differences = self.ledger.differences(told)
        for asset, amount in differences.items():
            ours = self.ledger.balance(asset)
            self.write(BalanceCompared(asset, ours + amount, ours, "different"))
        return differences

    def _book(self, order: TrackedOrder, report: ExecutionReport) -> None:
        intent = order.intent
        complete = attrs.evolve(
            report,
            client_id=order.client_id,
            symbol=report.symbol or intent.request.symbol,
            side=intent.request.side,
        )
        pair = self._assets_of(intent.request.symbol)
        with self._writing_for(order):
            flows = self.ledger.book_fill(complete, pair, intent.cycle)
        if flows is None:
            # Booked, then the process died before the fill itself was written.
            flows = self.ledger.flows_of(report.exec_id or "")
        order.add_flows(flows)
        order.filled_ns = order.filled_ns or self.now_ns
        self.execution_count += 1
        anomaly = _is_worse(intent.request, report)
        booked = ExecutionBooked(complete, intent.cycle, intent.leg, anomaly)
        self.write(booked, _run_of(order))
        self.decisions.add(
            self.now_ns,
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

    def _assets_of(self, symbol: str) -> TwoAssets:
        """Return what a pair's fills are booked by, also when no instrument tells (any more)."""
        return self.instruments.get(symbol) or _Assets(*symbol.split("/", 1))

    def _is_late(self, cycle: Cycle, flows: Mapping[str, Decimal]) -> bool:
        """Tell whether a cycle has ended without a fill of its own that matters."""
        return cycle.state.is_final and any(
            asset != cycle.start and not self.is_dust(asset, amount, cycle.start)
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
        self.suspended[request.symbol] = (
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

    def _on_stranger(self, report: ExecutionReport) -> None:
        """Take an event of an order we know nothing of: book its fill, and say so."""
        is_fill = report.exec_id is not None and report.last_quantity > 0
        is_ours = report.client_id is not None and bool(_OURS.match(report.client_id))
        # Histories tell fills of orders of ours, too, that ended with an earlier run.
        is_old = is_fill and self._is_older_than_ledger(report.timestamp)
        if not is_ours and not is_old and not self.ledger.is_booked(report.exec_id or ""):
            self._note_foreign(report)
        if not is_fill or report.symbol is None or report.side is None:
            return
        if self._is_older_than_ledger(report.timestamp):
            return
        if self._may_be_ours(report):
            self._unclaimed[report.exec_id or ""] = report
            return
        if self.ledger.book_fill(report, self._assets_of(report.symbol), 0) is None:
            return
        self.execution_count += 1
        self.write(ExecutionBooked(report, 0, 0, True))
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

    def _find(self, client_id: str | None, order_id: str = "") -> TrackedOrder | None:
        order = self.orders.find(client_id, order_id)
        if order is not None and order.base_step is None:
            # Of an earlier run: when it was restored there were no instruments yet.
            order.base_step = self.step_of(self._assets_of(order.intent.request.symbol).base)
        return order

    def _may_be_ours(self, report: ExecutionReport) -> bool:
        """Tell whether a fill without our id fits an order whose answer a crash swallowed.

        The venue's histories know orders by the venue's id only; a look-up tells us that.
        """
        return report.client_id is None and any(
            not order.order_id
            and (order.intent.request.symbol, order.intent.request.side)
            == (report.symbol, report.side)
            for order in self.orders.unsettled()
        )

    def _claim(self) -> None:
        """Take fills again that waited for an order's id to become known."""
        if self._unclaimed:
            waiting, self._unclaimed = self._unclaimed, {}
            for report in waiting.values():
                self.on_execution(report)

    def _note_foreign(self, report: ExecutionReport) -> None:
        """Remember orders of others for as long as they stand."""
        if self.on_foreign_order is not None:
            self.on_foreign_order()
        if report.exec_id is not None:
            return
        if report.status.is_final:
            self._foreign.pop(report.order_id, None)
        else:
            self._foreign.setdefault(report.order_id, report.symbol or "some pair")

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

    def _is_older_than_ledger(self, timestamp: str | None) -> bool:
        """Tell whether what we opened with has it in already."""
        if not self.ledger.is_open:
            return True
        try:
            at = datetime.fromisoformat(timestamp or "")
        except ValueError:
            return False
        # Told at the very moment we opened, it had happened before.
        return round(at.timestamp() * 1e6) * 1000 <= self.opened_ns

    def _order_of(self, execution_id: str) -> TrackedOrder | None:
        return self.orders.with_fill(execution_id)

    def _ended(self, order: TrackedOrder) -> None:
        """Write an order's end down, once."""
        if order.is_closed or not order.is_settled:
            return
        order.is_closed = True
        marks.mark_of(self, order, "fill")
        self.write(
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
            _run_of(order),
        )

    def _on_transaction(self, transaction: TransactionBooked) -> None:
        self.transaction_count += 1
        self.write(transaction, self._run_at_hand)

    @contextmanager
    def _writing_for(self, order: TrackedOrder | None) -> Iterator[None]:
        """Let transactions go to the run an order is of."""
        self._run_at_hand = _run_of(order)
        try:
            yield
        finally:
            self._run_at_hand = self.run

    # ── arithmetic ───────────────────────────────────────────────────────────────────────────────

    def quote(self, leg: Leg, amount: Decimal, cycle: Cycle | None = None) -> LegQuote:
        """Return what converting up to `amount` through a leg's book would be now.

        Raises:
            ArbitradeError: There is no book that could be asked.
        """
        book = self.books().get(leg.symbol)
        if book is None or not book.tradable:
            raise ArbitradeError(f"{leg.symbol}: no book to trade on now")
        pair = book.instrument
        spends = pair.quote if leg.side is Side.BUY else pair.base
        # What an earlier leg is yet to bring is not in the wallet.
        wallet = None if cycle is None else max(amount, self.available(spends, but=cycle))
        return quote_leg(
            book,
            leg.side,
            amount,
            self.fees,
            base_step=self.step_of(pair.base),
            quote_step=self.step_of(pair.quote),
            skip_lots=self.skip(leg.symbol, leg.side),
            slippage_bps=self._execution.slippage_bps,
            available=wallet,
        )

    def way_out(self, cycle: Cycle, asset: str, amount: Decimal, reason: str) -> UnwindDecision:
        """Return the cheapest way out of an asset, written down with all others.

        What the books can't take as a whole is judged by the part they take, cost and cap pro rata;
        the rest has its turn when they have filled up again.
        """
        cost, cap = self._cost_of(cycle, asset, amount), self.loss_cap(cycle)
        decision = self._ways_out(cycle, asset, amount, cost, cap)
        part = _part_taken(decision)
        if part is not None:
            share = part / amount
            sliced = self._ways_out(cycle, asset, part, cost * share, cap * share)
            if sliced.chosen.kind != "hold":
                decision = sliced
        cycle.decisions.append(decision)
        self.write(UnwindDecided(cycle.number, reason, decision), cycle.run)
        return decision

    def _ways_out(
        self, cycle: Cycle, asset: str, amount: Decimal, cost: Decimal, cap: Decimal
    ) -> UnwindDecision:
        plan = cycle.approved.plan
        position = plan.assets.index(asset) if asset in plan.assets else None
        remaining = plan.legs[position:] if position else ()
        return ways_out(
            asset=asset,
            amount=amount,
            cost=cost,
            start=cycle.start,
            remaining_legs=remaining,
            done_legs=done_legs(cycle),
            instruments=self.instruments,
            books=self.books(),
            fees=self.fees,
            loss_cap=cap,
            slippage_bps=self._execution.slippage_bps,
            step_of=self.step_of,
            skip=self.skip,
            available=lambda name: self.available(name, but=cycle),
        )

    def buy_back(self, cycle: Cycle, asset: str, amount: Decimal) -> PlannedOrder | None:
        """Return the order that buys back inventory spent on a cycle that didn't go through."""
        return marks.buy_back(self, cycle, asset, amount)

    def is_dust(self, asset: str, amount: Decimal, target: str | None = None) -> bool:
        """Tell whether an amount, held or missing, is too little for any order of its asset.

        With `target`: for any way there, over one asset in between at most.
        """
        amount = abs(amount)
        for pair in self.instruments.values():
            if not self._fits(pair, asset, amount):
                continue
            other = pair.quote if pair.base == asset else pair.base
            if target is None or other == target:
                return False
            worth = self.valuation.value(asset, amount, other)
            for second in self.instruments.values():
                if {second.base, second.quote} == {other, target} and (
                    worth is None or self._fits(second, other, worth)
                ):
                    return False
        return True

    def _fits(self, pair: Instrument, asset: str, amount: Decimal) -> bool:
        """Tell whether an amount of one of its assets reaches a pair's minimums."""
        # Online or not: what is held is no dust because its pair has stopped for a while.
        if asset not in (pair.base, pair.quote):
            return False
        is_base = asset == pair.base
        rate = self.valuation.rate(asset, pair.quote if is_base else pair.base)
        if is_base:
            least, other = pair.minimum_quantity, pair.minimum_notional
        else:
            least, other = pair.minimum_notional, pair.minimum_quantity
        return amount >= least and (rate is None or amount * rate >= other)

    def available(self, asset: str, but: Cycle | None = None) -> Decimal:
        """Return what may be spent: balance less what others hold or reserve."""
        amount = self.ledger.balance(asset) - self.foreign_held.get(asset, ZERO)
        for cycle in self.cycles.values():
            if cycle is not but:
                amount -= cycle.reserved(asset)
                # What it bought on its way belongs to it.
                amount -= (
                    max(ZERO, cycle.flows().get(asset, ZERO)) if asset != cycle.start else ZERO
                )
        return max(ZERO, amount)

    def skip(self, symbol: str, side: Side) -> int:
        """Return lots at the front of a book that somebody of us is taking already."""
        lots = self.gateway.taken(symbol, side)
        book = self.books().get(symbol)
        if book is None:
            return lots
        scale = book.instrument.quantity_precision
        for cycle in self.cycles.values():
            for order in cycle.orders:
                request = order.intent.request
                if (request.symbol, request.side) == (symbol, side) and not order.is_settled:
                    lots += int((request.quantity - order.filled_quantity).scaleb(scale))
        return lots

    def step_of(self, asset: str) -> Decimal | None:
        """Return the smallest amount the venue's ledger knows of an asset."""
        precision = self._precision(asset)
        return None if precision is None else Decimal(1).scaleb(-precision)

    def _precision(self, asset: str) -> int | None:
        found = self.instruments.assets.get(asset)
        return None if found is None else found.precision

    def _cost_of(self, cycle: Cycle, asset: str, amount: Decimal) -> Decimal:
        """Return the part of what is out that an asset stands for, by value."""
        if asset in cycle.brought:
            return amount * self._mid_rate(asset, cycle.start)
        out = -min(ZERO, cycle.flows().get(cycle.start, ZERO))
        held = {a: v for a, v in cycle.flows().items() if a != cycle.start and v > 0}
        worth = {a: self.valuation.value(a, v, cycle.start) or ZERO for a, v in held.items()}
        total = sum(worth.values(), ZERO)
        return out if not total else out * worth.get(asset, ZERO) / total

    def _mid_rate(self, asset: str, target: str) -> Decimal:
        """Return the rate between selling and buying, 0 where nobody bids."""
        sold, bought = self.valuation.rate(asset, target), self.valuation.rate(target, asset)
        if sold is None or not bought:
            return sold or ZERO
        return (sold + 1 / bought) / 2

    def loss_cap(self, cycle: Cycle) -> Decimal:
        """Return most that getting out may cost, in the start asset."""
        cap, limits = cycle.limits.unwind_loss_cap, cycle.limits
        worth = self.valuation.value(limits.reference_asset, cap, cycle.start)
        # Nobody knows what the cap is worth: not a reason to hold, but to accept little.
        return worth if worth is not None else ZERO

    def _worth(self, flows: Mapping[str, Decimal]) -> Decimal | None:
        reference = self.reference_asset
        worth = [self.valuation.value(asset, amount, reference) for asset, amount in flows.items()]
        if any(value is None for value in worth):
            return None
        return sum((value for value in worth if value is not None), ZERO)

    reference_asset = "USD"

    def _deadline(self) -> datetime:
        at_ns = self.now_ns + self._execution.deadline_ms * 1_000_000
        return datetime.fromtimestamp(at_ns // 1_000_000 / 1000, UTC)

    def _snapshot_books(self, cycle: Cycle, moment: str) -> None:
        for symbol in cycle.symbols:
            book = self.books().get(symbol)
            if book is not None:
                self.write(_seen(cycle.number, book, moment), cycle.run)


@attrs.frozen
class _Assets:
    """Of a pair no instrument tells of; satisfies `TwoAssets`."""

    base: str
    quote: str


def _seen(cycle: int, book: OrderBook, moment: str) -> BookSeen:
    pair = book.instrument

    def levels(side: object) -> tuple[tuple[Decimal, Decimal], ...]:
        rows = []
        for ticks, lots in side:  # type: ignore[attr-defined]
            price = Decimal(ticks).scaleb(-pair.price_precision)
            rows.append((price, Decimal(lots).scaleb(-pair.quantity_precision)))
            if len(rows) == _BOOK_LEVELS:
                break
        return tuple(rows)

    return BookSeen(cycle, book.symbol, moment, levels(book.bids), levels(book.asks))


def _is_worse(request: OrderRequest, report: ExecutionReport) -> bool:
    if request.limit_price is None:
        return False
    if request.side is Side.BUY:
        return report.last_price > request.limit_price
    return report.last_price < request.limit_price


def _part_taken(decision: UnwindDecision) -> Decimal | None:
    """Return how much of an amount the best way takes, when it is held for want of depth."""
    if decision.chosen.kind != "hold":
        return None
    for candidate in decision.candidates:
        if candidate.kind == "hold" or candidate.blocked is not None or not candidate.quotes:
            continue
        first = candidate.quotes[0]
        if first.spent and first.left > 0:
            return first.spent
    return None


def _run_of(order: TrackedOrder | None) -> str:
    return order.owner.run if order is not None and isinstance(order.owner, Cycle) else ""


def _is_unwinding(cycle: Cycle) -> bool:
    return cycle.state is CycleState.UNWINDING
