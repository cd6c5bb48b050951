"""What a journal tells about the runs before: balances, open cycles, halts, the audit's end."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

import attrs
import structlog

from arbitrade.journal import JournalEntry
from arbitrade.models import CycleState, OrderRole
from arbitrade.records import (
    Audited,
    BalancesKept,
    CycleClosed,
    CycleOpened,
    ExecutionBooked,
    IntentWritten,
    LimitsChanged,
    OrderAnswered,
    OrderEnded,
    ProfitMeasured,
    Record,
    RunStarted,
    TransactionBooked,
    decode,
    encode,
)
from arbitrade.trading.cycles import Cycle
from arbitrade.trading.machine import OPERATOR, Machine
from arbitrade.trading.orders import TrackedOrder

log = structlog.stdlib.get_logger(__name__)
ZERO = Decimal(0)
_KEPT = 2_000
"""Transactions kept apart, at least: by them a fill that is told again is known."""


@attrs.define(eq=False)
class Recovered:
    """State at the end of a journal.

    Args:
        transactions: Since `balances` were kept, oldest first.
        orders: Of cycles that are open, by our id.
        cycles: Opened and not closed, by run and number.
        last_ns: Time of the newest record; 0 for an empty journal.
        first_ns: When the ledger was opened or its balances were kept.
        unknown: Records of kinds this version doesn't know.
    """

    account: str
    records: int = 0
    last_ns: int = 0
    first_ns: int = 0
    last_run: str = ""
    balances: dict[str, Decimal] = attrs.field(factory=dict)
    transactions: list[TransactionBooked] = attrs.field(factory=list)
    cycles: dict[tuple[str, int], CycleOpened] = attrs.field(factory=dict)
    opened_ns: dict[tuple[str, int], int] = attrs.field(factory=dict)
    orders: dict[str, TrackedOrder] = attrs.field(factory=dict)
    runs_of: dict[str, str] = attrs.field(factory=dict)
    history: dict[tuple[str, int], list[tuple[int, Record]]] = attrs.field(factory=dict)
    """What was written about open cycles, with the time."""
    profit: ProfitMeasured | None = None
    profit_ns: int = 0
    audit_entry: int = 0
    audit_hash: str | None = None
    limits: LimitsChanged | None = None
    unknown: int = 0
    ended: Counter[str] = attrs.field(factory=Counter)
    """Cycles that ended, by executor and state."""

    @property
    def is_empty(self) -> bool:
        """True when the account was never traded with this journal."""
        return not self.balances and not self.transactions

    def restore(self, machine: Machine) -> list[Cycle]:
        """Put ledger, profit and open orders back; return the cycles that have to be ended."""
        machine.ledger.restore(self.balances)
        for transaction in self.transactions:
            machine.ledger.replay(transaction)
        if self.profit is not None:
            machine.portfolio.restore(self.profit, self.profit_ns)
        machine.opened_ns = self.first_ns
        flows = self._flows()
        cycles = []
        for (run, number), opened in sorted(self.cycles.items()):
            cycle = Cycle(
                number,
                run,
                opened.approved,
                machine.limits,
                self.opened_ns[run, number],
                {},
                is_recovered=True,
                state=CycleState.UNWINDING,
            )
            if opened.executor == OPERATOR:
                cycle.way_role = OrderRole.FLATTEN
            for order in self.orders.values():
                if (self.runs_of[order.client_id], order.intent.cycle) == (run, number):
                    order.owner = cycle
                    order.add_flows(flows.get(order.client_id, {}))
                    cycle.orders.append(order)
                    machine.orders.add(order)
            cycles.append(cycle)
        return cycles

    def take(self, time_ns: int, run: str, record: Record) -> None:
        """Take one more record, in order."""
        self.last_ns = max(self.last_ns, time_ns)
        match record:
            case RunStarted():
                self.last_run = run
            case BalancesKept():
                self.balances, self.transactions = dict(record.balances), []
                self.first_ns = time_ns
            case TransactionBooked():
                self.transactions.append(record)
                self.first_ns = self.first_ns or time_ns
                if len(self.transactions) > 2 * _KEPT:
                    self._fold()
            case CycleOpened():
                self.cycles[run, record.cycle] = record
                self.opened_ns[run, record.cycle] = time_ns
            case CycleClosed():
                opened = self.cycles.get((run, record.cycle))
                name = "" if opened is None else opened.executor
                self.ended[f"{name} {record.state.value}"] += 1
                self._close(run, record.cycle)
            case IntentWritten():
                order = TrackedOrder(record.intent, time_ns)
                order.answer = "unknown"
                self.orders[order.client_id] = order
                self.runs_of[order.client_id] = run
            case OrderAnswered() | OrderEnded() | ExecutionBooked():
                self._on_order(record)
            case ProfitMeasured():
                self.profit, self.profit_ns = record, time_ns
            case Audited():
                self.audit_entry, self.audit_hash = record.entry, record.hash
            case LimitsChanged():
                self.limits = record
            case _:
                pass
        key = self._cycle_of(run, record)
        if key is not None and key in self.cycles:
            self.history.setdefault(key, []).append((time_ns, record))

    def essence(self) -> tuple[str, ...]:
        """Return the records that bring a fresh state to where this one is, for a replay."""
        kept: list[tuple[int, str, Record]] = [
            (self.first_ns, self.last_run, BalancesKept(self.balances)),
            *((self.last_ns, self.last_run, row) for row in self.transactions),
        ]
        if self.profit is not None:
            kept.append((self.profit_ns, self.last_run, self.profit))
        for (run, _), records in sorted(self.history.items()):
            kept += [(at, run, record) for at, record in records]
        return tuple(encode(record, run, self.account, at).decode() for at, run, record in kept)

    def _fold(self) -> None:
        """Put the older half of the transactions into the balances."""
        for transaction in self.transactions[:_KEPT]:
            for posting in transaction.postings:
                if posting.account == "wallet":
                    before = self.balances.get(posting.asset, ZERO)
                    self.balances[posting.asset] = before + posting.amount
        del self.transactions[:_KEPT]

    def _cycle_of(self, run: str, record: Record) -> tuple[str, int] | None:
        match record:
            case CycleOpened():
                return run, record.cycle
            case IntentWritten():
                return run, record.intent.cycle
            case OrderAnswered() | OrderEnded():
                order = self.orders.get(record.client_id)
                return None if order is None else (run, order.intent.cycle)
            case ExecutionBooked():
                return run, record.cycle
            case _:
                return None

    def _on_order(self, record: OrderAnswered | OrderEnded | ExecutionBooked) -> None:
        if isinstance(record, ExecutionBooked):
            order = self.orders.get(record.report.client_id or "")
            if order is not None:
                order.on_report(record.report)
            return
        order = self.orders.get(record.client_id)
        if order is None:
            return
        order.order_id = order.order_id or record.order_id
        if isinstance(record, OrderAnswered):
            if record.outcome != "unknown" and order.status is None:
                order.answer = record.outcome
            order.rejection = record.reason if record.outcome == "rejected" else ""
            return
        order.is_closed = True
        order.status = record.status or order.status
        order.told_filled = max(order.told_filled, record.filled_quantity)
        if record.status is None:
            order.answer = "not_sent" if not order.rejection else "rejected"

    def _close(self, run: str, cycle: int) -> None:
        self.cycles.pop((run, cycle), None)
        self.history.pop((run, cycle), None)
        self.opened_ns.pop((run, cycle), None)
        for client_id, order in list(self.orders.items()):
            if (self.runs_of[client_id], order.intent.cycle) == (run, cycle):
                del self.orders[client_id], self.runs_of[client_id]

    def _flows(self) -> dict[str, dict[str, Decimal]]:
        """Return what the ledger booked by order, rounding included."""
        by_fill = {fill: order.client_id for order in self.orders.values() for fill in order.fills}
        flows: dict[str, dict[str, Decimal]] = {}
        for transaction in self.transactions:
            kind, _, rest = transaction.transaction.partition(":")
            reference = rest if kind == "fill" else rest.split(":")[0]
            client_id = by_fill.get(reference)
            if client_id is None or kind not in ("fill", "rounding"):
                continue
            total = flows.setdefault(client_id, {})
            for posting in transaction.postings:
                if posting.account == "wallet":
                    total[posting.asset] = total.get(posting.asset, ZERO) + posting.amount
        return flows


def read_state(entries: Iterable[JournalEntry], account: str) -> Recovered:
    """Return the state at the end of a journal.

    Raises:
        ArbitradeError: A record can't be read.
    """
    state = Recovered(account)
    for entry in entries:
        written = decode(entry.payload)
        if written.account != account:
            continue
        state.records += 1
        if written.record is None:
            state.unknown += 1
            log.warning("journal.unknown_record", kind=written.kind, number=entry.seq)
            continue
        state.take(written.time_ns, written.run, written.record)
    return state
