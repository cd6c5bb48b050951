"""What a journal tells about the runs before: balances, open cycles, halts, the audit's end."""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import attrs
import orjson
import structlog

from arbitrade.config.risk import RiskLimits
from arbitrade.journal import JournalEntry
from arbitrade.models import CycleState, ExecutionReport, Fee, OrderRole, OrderStatus, Side
from arbitrade.plain_json import canonical
from arbitrade.records import (
    Audited,
    BalancesKept,
    CycleClosed,
    CycleNoted,
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
from arbitrade.trading.machine.cycles import BROUGHT, OPERATOR, UNWINDING, Cycle
from arbitrade.trading.machine.events import RunBegan, RunEnding
from arbitrade.trading.machine.orders import TrackedOrder, is_fill_of
from arbitrade.trading.machine.state import MachineState

log = structlog.stdlib.get_logger(__name__)
ZERO = Decimal(0)
_KEPT = 2_000
"""Transactions known one by one, at least: by them a fill that is told again is known."""


@attrs.define(eq=False)
class Recovered:
    """State at the end of a journal.

    Args:
        transactions: Since `balances` were kept, oldest first.
        known: The last ones before that, which `balances` have in them.
        orders: Of cycles that are open, by our id.
        cycles: Opened and not closed, by run and number.
        last_ns: Time of the newest record; 0 for an empty journal.
        first_ns: When the ledger was opened.
        unknown: Records of kinds this version doesn't know.
    """

    account: str
    records: int = 0
    last_ns: int = 0
    first_ns: int = 0
    last_run: str = ""
    balances: dict[str, Decimal] = attrs.field(factory=dict)
    transactions: list[TransactionBooked] = attrs.field(factory=list)
    known: list[TransactionBooked] = attrs.field(factory=list)
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
    unmeasured: list[tuple[int, str, CycleClosed]] = attrs.field(factory=list)
    """Cycles that ended after `profit` was written, with time and run."""

    @property
    def is_empty(self) -> bool:
        """True when the account was never traded with this journal."""
        return not self.balances and not self.transactions

    def restore(
        self, state: MachineState, limits: RiskLimits, *, is_told_again: bool = True
    ) -> list[Cycle]:
        """Put ledger, profit and open orders back; return the cycles that have to be ended.

        Args:
            state: A fresh one.
            limits: By which the cycles are brought to their end.
            is_told_again: A venue tells fills once more; simulated ones nobody knows but we.
        """
        if not is_told_again:
            self._adopt_fills()
        for transaction in self.known:
            state.ledger.remember(transaction)
        state.ledger.restore(self.balances)
        for transaction in self.transactions:
            state.ledger.replay(transaction)
        if self.profit is not None:
            state.portfolio.restore(self.profit, self.profit_ns)
        for at_ns, _, closed in self.unmeasured:
            state.portfolio.on_cycle_closed(closed, at_ns)
        state.opened_ns = self.first_ns
        flows = self._flows()
        state.to_recover = [
            self._restored(run, number, opened, state, limits, flows)
            for (run, number), opened in sorted(self.cycles.items())
        ]
        return state.to_recover

    def _restored(
        self,
        run: str,
        number: int,
        opened: CycleOpened,
        state: MachineState,
        limits: RiskLimits,
        flows: Mapping[str, Mapping[str, Decimal]],
    ) -> Cycle:
        """Return a cycle as it was when the process died, with its orders."""
        cycle = Cycle(
            number,
            run,
            opened.approved,
            limits,
            self.opened_ns[run, number],
            {},
            executor=opened.executor,
            is_recovered=True,
            notes=self._notes(run, number),
        )
        if UNWINDING in cycle.notes:
            cycle.state = CycleState.UNWINDING
        if opened.executor == OPERATOR:
            cycle.way_role = OrderRole.FLATTEN
            brought = cycle.notes.get(BROUGHT, {})
            cycle.brought = {asset: Decimal(amount) for asset, amount in brought.items()}
        for order in self.orders.values():
            if (self.runs_of[order.client_id], order.intent.cycle) == (run, number):
                order.owner = cycle
                order.add_flows(flows.get(order.client_id, {}))
                cycle.orders.append(order)
                state.orders.add(order)
        return cycle

    def take(self, time_ns: int, run: str, record: Record) -> None:
        """Take one more record, in order."""
        self.last_ns = max(self.last_ns, time_ns)
        match record:
            case RunStarted():
                self.last_run = run
            case BalancesKept():
                # What was booked so far is in these; it is known on, in case it is told again.
                self._forget(len(self.transactions))
                self.balances = dict(record.balances)
                self.first_ns = self.first_ns or time_ns
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
                self.unmeasured.append((time_ns, run, record))
                self._close(run, record.cycle)
            case IntentWritten():
                order = TrackedOrder(record.intent, time_ns)
                order.answer = "unknown"
                self.orders[order.client_id] = order
                self.runs_of[order.client_id] = run
            case OrderAnswered() | OrderEnded() | ExecutionBooked():
                self._on_order(record)
            case ProfitMeasured():
                self.profit, self.profit_ns, self.unmeasured = record, time_ns, []
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
        run = self.last_run
        kept: list[tuple[int, str, Record]] = [
            *((self.first_ns, run, row) for row in self.known),
            (self.first_ns, run, BalancesKept(self.balances)),
            *((self.last_ns, run, row) for row in self.transactions),
        ]
        if self.profit is not None:
            kept.append((self.profit_ns, run, self.profit))
        kept += self.unmeasured
        if self.limits is not None:
            kept.append((self.last_ns, run, self.limits))
        for (run, _), records in sorted(self.history.items()):
            kept += [(at, run, record) for at, record in records]
        return tuple(encode(record, run, self.account, at).decode() for at, run, record in kept)

    def _fold(self) -> None:
        """Put the older half of the transactions into the balances."""
        for transaction in self.transactions[:_KEPT]:
            for asset, amount in _wallet(transaction).items():
                self.balances[asset] = self.balances.get(asset, ZERO) + amount
        self._forget(_KEPT)

    def _forget(self, count: int) -> None:
        """Let the oldest transactions, now in the balances, only be known: the last of them."""
        self.known += self.transactions[:count]
        del self.transactions[:count]
        if len(self.known) > 2 * _KEPT:
            fills = {fill for order in self.orders.values() for fill in order.fills}
            older = [row for row in self.known[:-_KEPT] if _execution_of(row) in fills]
            self.known[:-_KEPT] = older

    def _adopt_fills(self) -> None:
        """Give orders the fills that were booked when the process died before it wrote them."""
        fills = {fill for order in self.orders.values() for fill in order.fills}
        for transaction in self.transactions:
            execution = _execution_of(transaction)
            if transaction.reason != "fill" or execution in fills:
                continue
            for order in self.orders.values():
                if is_fill_of(execution, order.client_id):
                    order.on_report(_fill_of(order, execution, transaction))

    def _notes(self, run: str, number: int) -> dict[str, Mapping[str, str]]:
        """Return the last note of each name about a cycle."""
        records = (record for _, record in self.history.get((run, number), ()))
        return {one.what: one.fields for one in records if isinstance(one, CycleNoted)}

    def _cycle_of(self, run: str, record: Record) -> tuple[str, int] | None:
        match record:
            case CycleOpened():
                return run, record.cycle
            case IntentWritten():
                return run, record.intent.cycle
            case OrderAnswered() | OrderEnded():
                order = self.orders.get(record.client_id)
                return None if order is None else (run, order.intent.cycle)
            case ExecutionBooked() | CycleNoted():
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
        for transaction in (*self.known, *self.transactions):
            client_id = by_fill.get(_execution_of(transaction))
            if client_id is None:
                continue
            total = flows.setdefault(client_id, {})
            for asset, amount in _wallet(transaction).items():
                total[asset] = total.get(asset, ZERO) + amount
        return flows


def _execution_of(transaction: TransactionBooked) -> str:
    """Return the execution id of a fill or of what settled it; empty for anything else."""
    kind, _, rest = transaction.transaction.partition(":")
    if kind == "rounding":
        return rest.rsplit(":", 2)[0]
    return rest if kind == "fill" else ""


def _wallet(transaction: TransactionBooked) -> dict[str, Decimal]:
    """Return what a transaction changed of what the venue holds for us."""
    sums: dict[str, Decimal] = {}
    for posting in transaction.postings:
        if posting.account == "wallet":
            sums[posting.asset] = sums.get(posting.asset, ZERO) + posting.amount
    return sums


def _fill_of(
    order: TrackedOrder, execution: str, transaction: TransactionBooked
) -> ExecutionReport:
    """Return the report a fill's transaction was made of, as far as it tells."""
    request, intent = order.intent.request, order.intent
    is_buy = request.side is Side.BUY
    base, quote = (intent.receives, intent.spends) if is_buy else (intent.spends, intent.receives)
    traded = {p.asset: abs(p.amount) for p in transaction.postings if p.account == "trading"}
    return ExecutionReport(
        order_id=order.order_id,
        client_id=order.client_id,
        exec_id=execution,
        kind="trade",
        status=OrderStatus.PARTIALLY_FILLED,
        symbol=request.symbol,
        side=request.side,
        last_quantity=traded[base],
        last_price=traded[quote] / traded[base],
        cost=traded[quote],
        fees=tuple(Fee(p.asset, p.amount) for p in transaction.postings if p.account == "fees"),
        cumulative_quantity=None,
        cumulative_cost=None,
        is_maker=None,
        reason=None,
        timestamp=None,
    )


def run_began(recovered: Recovered, **fields: Any) -> RunBegan:
    """Return the event by which a run goes on from what earlier ones left.

    Args:
        recovered: What the journal tells.
        fields: Of `RunBegan`, all but `recovered`; to its `features` is added what the records
            alone don't tell.
    """
    features = {
        **fields.pop("features"),
        "ended": canonical(dict(recovered.ended)),
        "last_ns": str(recovered.last_ns),
        "ends_with": RunEnding.kind,
    }
    essence = () if recovered.is_empty else recovered.essence()
    return RunBegan(**fields, recovered=essence, features=features)


def recovered_of(event: RunBegan) -> Recovered:
    """Return what `run_began` was told: a run goes on from its own first event, as its replay does.

    Raises:
        ArbitradeError: A record can't be read.
    """
    state = Recovered(event.account)
    for text in event.recovered:
        written = decode(text.encode())
        if written.record is not None:
            state.take(written.time_ns, written.run, written.record)
    state.ended = Counter(orjson.loads(event.features.get("ended", "{}")))
    # Recordings of versions before it was told know no better than their records.
    state.last_ns = max(state.last_ns, int(event.features.get("last_ns", "0")))
    return state


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
