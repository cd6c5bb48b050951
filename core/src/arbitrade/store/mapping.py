"""Which rows a record of the journal becomes.  Pure: no I/O.

Times come as nanoseconds and are kept to the microsecond, which is what PostgreSQL has.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import attrs
import orjson

from arbitrade import records
from arbitrade.models import LegQuote, Plan
from arbitrade.plain_json import to_json
from arbitrade.records import Written
from arbitrade.store import actions
from arbitrade.store.actions import Action, Row

type Step = tuple[Action, Row]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO = Decimal(0)


@attrs.frozen
class Origin:
    """Where a record comes from, as its rows carry it."""

    run: UUID
    account: str
    seq: int
    at: datetime
    time_ns: int


def steps_of(written: Written, seq: int, journal: UUID) -> list[Step]:
    """Return what has to be done to keep a record.

    Args:
        written: The record.
        seq: Its number in the journal.
        journal: Identity of the journal.

    Raises:
        ValueError: Something in it is not what it should be: a run that is no UUID, a settings
            text that is no JSON.
    """
    at = instant(written.time_ns)
    if written.record is None:
        values = (written.account, journal, seq, written.run, at, written.kind, written.raw)
        return [(actions.UNKNOWN, values)]
    origin = Origin(_uuid(written.run), written.account, seq, at, written.time_ns)
    steps: list[Step] = [(actions.RUN_NEEDED, (origin.run, origin.account, at))]
    steps.extend(_MAPPERS[type(written.record)](origin, written.record))
    return steps


def instant(time_ns: int) -> datetime:
    """Return nanoseconds since the epoch as a time, rounded down to the microsecond."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


@lru_cache(maxsize=64)
def _uuid(text: str) -> UUID:
    return UUID(text)


# ── one function a kind ──────────────────────────────────────────────────────────────────────────


def _run_started(of: Origin, record: records.RunStarted) -> Iterator[Step]:
    settings = orjson.loads(record.settings) if record.settings else {}
    values = (record.mode, record.venue, of.at, record.version, record.settings_digest)
    yield actions.RUN_STARTED, (of.run, of.account, *values, settings, record.seed)


def _run_ended(of: Origin, record: records.RunEnded) -> Iterator[Step]:
    values = (of.at, record.reason, record.decisions, record.decision_hash)
    yield actions.RUN_ENDED, (of.run, of.account, *values)


def _instrument(of: Origin, record: records.InstrumentSeen) -> Iterator[Step]:
    pair = record.instrument
    yield (
        actions.INSTRUMENT,
        (
            *(of.run, of.account, of.seq, pair.symbol, of.at, pair.base, pair.quote),
            *(pair.status.value, pair.price_precision, pair.quantity_precision),
            *(pair.cost_precision, pair.price_increment, pair.quantity_increment),
            *(pair.minimum_quantity, pair.minimum_notional),
        ),
    )


def _opportunity(of: Origin, record: records.OpportunitySeen) -> Iterator[Step]:
    first = instant(record.first_ns)
    last = max(first, instant(record.last_ns))  # a clock may have been set back in between
    yield (
        actions.OPPORTUNITY,
        (
            *(of.run, of.account, record.opportunity, first, last, record.detector, record.key),
            *(list(record.assets), [to_json(leg) for leg in record.legs], record.sightings),
            *(record.edge_bps, record.best_edge_bps, record.size, record.profit),
            *(record.best_profit, record.outcome, record.rule, record.reason, record.value),
            *(record.limit, list(record.also), [to_json(flip) for flip in record.flips]),
            record.cycle,
        ),
    )
    key = (of.run, of.account, first.replace(second=0, microsecond=0), record.outcome, record.rule)
    yield actions.RISK_DECISION, (*key, 1, record.sightings, record.best_edge_bps)


def _cycle_opened(of: Origin, record: records.CycleOpened) -> Iterator[Step]:
    found, plan = record.approved.opportunity, record.approved.plan
    yield (
        actions.CYCLE_OPENED,
        (
            *(of.run, record.cycle, of.account, plan.key, found.detector, record.executor),
            *(list(plan.assets), plan.assets[0], found.edge_bps, found.size, plan.spent),
            *(plan.received, plan.cap, [to_json(dust) for dust in plan.dust]),
            *(record.approved.limits_version, instant(record.approved.approved_at_ns), of.at),
        ),
    )
    for index, _ in enumerate(plan.legs):
        yield actions.LEG, (of.run, of.account, record.cycle, *_leg(plan, index))


def _leg(plan: Plan, index: int) -> Row:
    leg = plan.legs[index]
    quote: LegQuote | None = plan.quotes[index] if index < len(plan.quotes) else None
    if quote is None:
        return (index, leg.symbol, leg.side.value, *(None,) * 10, plan.blocked)
    return (
        *(index, leg.symbol, leg.side.value, quote.quantity, quote.limit_price, quote.worst_price),
        *(quote.vwap, quote.spent, quote.received, quote.fee, quote.fee_asset, quote.left),
        *(quote.levels, quote.blocked),
    )


def _intent(of: Origin, record: records.IntentWritten) -> Iterator[Step]:
    intent, request = record.intent, record.intent.request
    yield from _cycle_needed(of, intent.cycle)
    yield (
        actions.ORDER,
        (
            *(of.run, of.account, request.client_id, intent.cycle or None, intent.leg),
            *(intent.role.value, of.at, request.symbol, request.side.value, request.quantity),
            *(request.limit_price, request.order_type.value, request.time_in_force.value),
            *(request.deadline, request.expires_at, request.fee_in.value, request.is_post_only),
            *(request.is_reduce_only, request.is_dry_run, intent.spends, intent.receives),
        ),
    )


def _order_answered(of: Origin, record: records.OrderAnswered) -> Iterator[Step]:
    sent_at = None if record.sent_ns is None else instant(record.sent_ns)
    values = (record.outcome, of.at, record.order_id or None, record.reason, sent_at)
    yield actions.ORDER_ANSWERED, (of.account, record.client_id, *values)


def _order_ended(of: Origin, record: records.OrderEnded) -> Iterator[Step]:
    status = None if record.status is None else record.status.value
    values = (of.at, record.order_id or None, status, record.reason, record.filled_quantity)
    amounts = (record.filled_cost, record.spent, record.received)
    yield actions.ORDER_ENDED, (of.account, record.client_id, *values, *amounts)


def _execution(of: Origin, record: records.ExecutionBooked) -> Iterator[Step]:
    report = record.report
    yield from _cycle_needed(of, record.cycle)
    side = None if report.side is None else report.side.value
    yield (
        actions.EXECUTION,
        (
            *(of.run, of.account, report.exec_id, report.order_id, report.client_id),
            *(record.cycle or None, record.leg, of.at, _venue_time(report.timestamp)),
            *(report.last_quantity, report.last_price, report.cost, report.is_maker),
            *(record.is_anomaly, report.symbol, side),
        ),
    )
    for line, fee in enumerate(report.fees, start=1):
        values = (report.exec_id, line, fee.asset, fee.amount)
        yield actions.EXECUTION_FEE, (of.run, of.account, *values)


def _transaction(of: Origin, record: records.TransactionBooked) -> Iterator[Step]:
    yield from _cycle_needed(of, record.cycle)
    values = (record.transaction, of.at, record.reason, record.cycle or None, record.proof)
    yield actions.TRANSACTION, (of.run, of.account, *values, len(record.postings))
    for line, posting in enumerate(record.postings, start=1):
        at = (record.transaction, line, posting.account, posting.asset, posting.amount)
        yield actions.POSTING, (of.run, of.account, *at)


def _balance(of: Origin, record: records.BalanceCompared) -> Iterator[Step]:
    values = (record.asset, record.venue, record.ledger, record.verdict)
    yield actions.BALANCE, (of.run, of.account, of.seq, of.at, *values)


def _unwind(of: Origin, record: records.UnwindDecided) -> Iterator[Step]:
    made = record.decision
    yield from _cycle_needed(of, record.cycle)
    where = (of.run, of.account, of.seq)
    values = (made.asset, made.amount, made.cost, made.loss_cap, made.chosen.kind)
    yield actions.UNWIND, (*where, record.cycle, of.at, record.reason, *values)
    candidates = list(made.candidates)
    if made.chosen not in candidates:
        candidates.append(made.chosen)
    chosen = candidates.index(made.chosen)
    for index, way in enumerate(candidates):
        path, quotes = [to_json(leg) for leg in way.path], [to_json(q) for q in way.quotes]
        amounts = (way.received, way.loss, way.blocked, index == chosen)
        yield actions.UNWIND_CANDIDATE, (*where, index + 1, way.kind, path, quotes, *amounts)
    yield actions.CYCLE_UNWINDING, (of.run, record.cycle)


def _cycle_closed(of: Origin, record: records.CycleClosed) -> Iterator[Step]:
    where = (of.run, of.account, record.cycle)
    yield actions.CYCLE_NEEDED, (of.run, record.cycle, of.account, instant(record.opened_ns))
    amounts = (record.profit, record.profit_reference, record.reason, record.is_recovered)
    state = (record.key, record.start_asset, record.state.value, of.at)
    yield actions.CYCLE_CLOSED, (of.run, record.cycle, *state, *amounts)
    for asset in dict.fromkeys((*record.flows, *record.residual)):
        values = (record.flows.get(asset, _ZERO), record.residual.get(asset, _ZERO))
        yield actions.CYCLE_FLOW, (*where, asset, *values)
    if record.attribution is not None:
        split = record.attribution
        yield (
            actions.ATTRIBUTION,
            (*where, split.expected, split.realised, *split.terms().values()),
        )


def _cycle_note(of: Origin, record: records.CycleNoted) -> Iterator[Step]:
    values = (record.cycle or None, record.what, dict(record.fields))
    yield actions.CYCLE_NOTE, (of.run, of.account, of.seq, of.at, *values)


def _book(of: Origin, record: records.BookSeen) -> Iterator[Step]:
    values = (record.cycle or None, record.symbol, record.moment)
    columns = [[level[n] for level in side] for side in (record.bids, record.asks) for n in (0, 1)]
    yield actions.BOOK, (of.run, of.account, of.seq, of.at, *values, *columns)


def _limits(of: Origin, record: records.LimitsChanged) -> Iterator[Step]:
    values = (record.limits_version, of.at, record.actor, dict(record.values))
    yield actions.LIMITS, (of.run, of.account, *values)


def _audit(of: Origin, record: records.Audited) -> Iterator[Step]:
    values = (record.actor, record.action, record.subject, record.detail)
    hashes = (record.previous_hash, record.hash)
    where = (of.run, of.account, record.entry, of.at, of.time_ns)
    yield actions.AUDIT, (*where, *values, *hashes)


def _alert(of: Origin, record: records.AlertRaised) -> Iterator[Step]:
    alert = record.alert
    values = (int(alert.severity), alert.title, alert.body, alert.subject)
    yield actions.ALERT, (of.run, of.account, record.number, of.at, *values)


def _plugin(of: Origin, record: records.PluginChanged) -> Iterator[Step]:
    values = (record.plugin, record.state, record.reason)
    yield actions.PLUGIN, (of.run, of.account, of.seq, of.at, *values)


def _latency(of: Origin, record: records.LatencyMeasured) -> Iterator[Step]:
    begin = min(of.at, instant(record.from_ns))
    values = (record.p50_us, record.p99_us, record.p999_us, record.maximum_us)
    where = (of.run, of.account, of.seq, of.at, begin)
    yield actions.LATENCY, (*where, record.name, record.count, *values)


def _profit(of: Origin, record: records.ProfitMeasured) -> Iterator[Step]:
    where = (of.run, of.account, of.seq, of.at)
    values = (record.realised_reference, record.peak_reference, record.today_reference)
    yield actions.PROFIT, (*where, *values, record.consecutive_failures)
    for asset, amount in record.realised.items():
        yield actions.PROFIT_BY_ASSET, (*where, asset, amount)


def _balances_kept(of: Origin, record: records.BalancesKept) -> Iterator[Step]:
    for asset, amount in record.balances.items():
        yield actions.BALANCE_KEPT, (of.run, of.account, of.seq, of.at, asset, amount)


def _cycle_needed(of: Origin, cycle: int) -> Iterator[Step]:
    if cycle:
        yield actions.CYCLE_NEEDED, (of.run, cycle, of.account, of.at)


def _venue_time(text: str | None) -> datetime | None:
    """Read the venue's time; None where there is none that can be read."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if time.tzinfo is None else time


_MAPPERS: dict[type[Any], Callable[[Origin, Any], Iterator[Step]]] = {
    records.RunStarted: _run_started,
    records.RunEnded: _run_ended,
    records.InstrumentSeen: _instrument,
    records.OpportunitySeen: _opportunity,
    records.CycleOpened: _cycle_opened,
    records.IntentWritten: _intent,
    records.OrderAnswered: _order_answered,
    records.OrderEnded: _order_ended,
    records.ExecutionBooked: _execution,
    records.TransactionBooked: _transaction,
    records.BalanceCompared: _balance,
    records.UnwindDecided: _unwind,
    records.CycleClosed: _cycle_closed,
    records.CycleNoted: _cycle_note,
    records.BookSeen: _book,
    records.LimitsChanged: _limits,
    records.Audited: _audit,
    records.AlertRaised: _alert,
    records.PluginChanged: _plugin,
    records.LatencyMeasured: _latency,
    records.ProfitMeasured: _profit,
    records.BalancesKept: _balances_kept,
}
