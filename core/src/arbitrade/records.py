"""What a run writes down: the records of the journal, which the database is filled from.

Each is one JSON object in one journal entry:

    {"kind": "intent", "run": "<uuid>", "account": "main", "t": <ns since epoch>, "v": 1, ...fields}

Amounts are decimal strings, times nanoseconds since the epoch by the run's clock.  A record is
written once; which table it goes to stands in `arbitrade.store.mapping`.  A reader meets kinds and
fields of a newer version with what it knows: unknown kinds are kept and counted, never dropped.

Large because every kind there is stands here once: whoever reads a journal looks in one place.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

import attrs
import orjson

from arbitrade.errors import ArbitradeError
from arbitrade.models import (
    Alert,
    Approved,
    Attribution,
    CycleState,
    ExecutionReport,
    Flip,
    Instrument,
    Intent,
    Leg,
    OrderStatus,
    UnwindDecision,
)
from arbitrade.plain_json import from_json, to_json

VERSION = 1


@attrs.frozen
class RunStarted:
    """A command began to trade or measure."""

    kind: ClassVar[str] = "run_started"
    run_id: str
    mode: str
    venue: str
    version: str
    settings_digest: str
    settings: str
    """The settings without secrets, as JSON."""
    seed: int


@attrs.frozen
class RunEnded:
    """A run ended in good order; one that was killed has no such record."""

    kind: ClassVar[str] = "run_ended"
    reason: str
    decisions: int
    decision_hash: str


@attrs.frozen
class InstrumentSeen:
    """An instrument as the venue described it; written when first seen and when it changes."""

    kind: ClassVar[str] = "instrument"
    instrument: Instrument


@attrs.frozen
class OpportunitySeen:
    """An opportunity, from the first message that showed it with this outcome to the last.

    Args:
        opportunity: Number within the run.
        outcome: `approved`, `refused`, `blocked` (by lots or minimums), `observed`.
        rule: The binding rule, `lots` for blocked; empty when approved.
        also: Further rules that refused it at the same time.
        flips: Each alone would let the binding rule pass.
        cycle: Number of the cycle it became; None if it became none.
    """

    kind: ClassVar[str] = "opportunity"
    opportunity: int
    detector: str
    key: str
    assets: tuple[str, ...]
    legs: tuple[Leg, ...]
    first_ns: int
    last_ns: int
    sightings: int
    edge_bps: Decimal
    best_edge_bps: Decimal
    size: Decimal
    profit: Decimal
    best_profit: Decimal
    outcome: str
    rule: str
    reason: str
    value: str
    limit: str
    also: tuple[str, ...]
    flips: tuple[Flip, ...]
    cycle: int | None


@attrs.frozen
class CycleOpened:
    """A cycle began: what was approved, with its plan.  Comes before its first intent."""

    kind: ClassVar[str] = "cycle_opened"
    cycle: int
    executor: str
    approved: Approved


@attrs.frozen
class IntentWritten:
    """An order is going to be sent.  Durable before a byte of it leaves."""

    kind: ClassVar[str] = "intent"
    intent: Intent


@attrs.frozen
class OrderAnswered:
    """What became of sending it: `accepted`, `rejected`, `unknown`, `not_sent`."""

    kind: ClassVar[str] = "order_answered"
    client_id: str
    outcome: str
    order_id: str
    reason: str
    sent_ns: int | None
    """When its bytes left, None if they didn't or nobody knows."""


@attrs.frozen
class OrderEnded:
    """Nothing more happens to an order.

    Args:
        status: None when it never reached the venue.
        spent: Of `Intent.spends`, fees in it included.
        received: Of `Intent.receives`, less fees in it.
    """

    kind: ClassVar[str] = "order_ended"
    client_id: str
    order_id: str
    status: OrderStatus | None
    reason: str
    filled_quantity: Decimal
    filled_cost: Decimal
    spent: Decimal
    received: Decimal


@attrs.frozen
class ExecutionBooked:
    """A fill, booked once by its execution id."""

    kind: ClassVar[str] = "execution"
    report: ExecutionReport
    cycle: int
    """0 for an order that is no cycle's."""
    leg: int
    is_anomaly: bool
    """Filled worse than the limit, or not ours."""


@attrs.frozen
class Posting:
    """One line of a transaction: an account of the ledger, an asset, a signed amount.

    Args:
        account: `wallet` (what the venue holds for us), `trading`, `fees`, `rounding`, `opening`,
            `external`.
    """

    account: str
    asset: str
    amount: Decimal


@attrs.frozen
class TransactionBooked:
    """A transaction of the double-entry ledger; per asset its postings sum to zero.

    Args:
        transaction: Identifies it: `fill:<exec id>`, `external:<ledger id>`, `opening:<run>`.
        reason: `opening`, `fill`, `rounding`, `external`.
        proof: What shows it: the venue's ledger id; empty where it is the fill itself.
    """

    kind: ClassVar[str] = "transaction"
    transaction: str
    reason: str
    cycle: int
    proof: str
    postings: tuple[Posting, ...]


@attrs.frozen
class BalanceCompared:
    """The ledger against the venue, one asset.  Written when it differs, and now and then."""

    kind: ClassVar[str] = "balance"
    asset: str
    venue: Decimal
    ledger: Decimal
    verdict: str
    """`equal`, `different` (not looked into yet), `external` (explained by the venue's ledger, or
    tolerated), `halt`."""


@attrs.frozen
class UnwindDecided:
    """How to get out of an asset, and what else was looked at."""

    kind: ClassVar[str] = "unwind"
    cycle: int
    reason: str
    decision: UnwindDecision


@attrs.frozen
class CycleClosed:
    """A cycle ended.

    Args:
        flows: What its fills changed, by asset, all fees included.
        residual: What is left in other assets than the start asset, dust included.
        profit: Of the start asset.
        profit_reference: The same in the reference asset; None when no book told.
        is_recovered: True when a crash lay in between.
    """

    kind: ClassVar[str] = "cycle_closed"
    cycle: int
    key: str
    state: CycleState
    start_asset: str
    profit: Decimal
    profit_reference: Decimal | None
    flows: Mapping[str, Decimal]
    residual: Mapping[str, Decimal]
    attribution: Attribution | None
    reason: str
    is_recovered: bool
    opened_ns: int


@attrs.frozen
class CycleNoted:
    """Something an executor wrote about a cycle."""

    kind: ClassVar[str] = "cycle_note"
    cycle: int
    what: str
    fields: Mapping[str, str]


@attrs.frozen
class BookSeen:
    """A book as it was when a cycle began, ended or was unwound.  Levels are (price, quantity)."""

    kind: ClassVar[str] = "book"
    cycle: int
    symbol: str
    moment: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


@attrs.frozen
class LimitsChanged:
    """The limits of risk, from this version on."""

    kind: ClassVar[str] = "limits"
    limits_version: int
    values: Mapping[str, str]
    actor: str
    changed: Mapping[str, str] = attrs.field(factory=dict)
    """Those that differ from the settings the run began with."""


@attrs.frozen
class Audited:
    """A state change or an operator's action; each entry holds the hash of the one before.

    hash = SHA-256 over previous hash, then the canonical JSON of the other fields, run and time.
    """

    kind: ClassVar[str] = "audit"
    entry: int
    actor: str
    action: str
    subject: str
    detail: str
    previous_hash: str
    hash: str


@attrs.frozen
class AlertRaised:
    """An alert, numbered within the run."""

    kind: ClassVar[str] = "alert"
    number: int
    alert: Alert


@attrs.frozen
class PluginChanged:
    """A plugin was enabled, disabled or quarantined."""

    kind: ClassVar[str] = "plugin"
    plugin: str
    state: str
    reason: str


@attrs.frozen
class LatencyMeasured:
    """A latency over a stretch of time, in microseconds."""

    kind: ClassVar[str] = "latency"
    name: str
    """`tick_to_decision`, `tick_to_order`, `sizing`, `journal`, `send_to_ack`, …"""
    from_ns: int
    count: int
    p50_us: Decimal
    p99_us: Decimal
    p999_us: Decimal
    maximum_us: Decimal


@attrs.frozen
class ProfitMeasured:
    """Profit so far, by asset and in the reference asset."""

    kind: ClassVar[str] = "profit"
    realised: Mapping[str, Decimal]
    realised_reference: Decimal
    peak_reference: Decimal
    today_reference: Decimal
    consecutive_failures: int


@attrs.frozen
class BalancesKept:
    """All balances of the ledger, so that a start need not read the journal from its beginning."""

    kind: ClassVar[str] = "balances_kept"
    balances: Mapping[str, Decimal]


type Record = (
    RunStarted
    | RunEnded
    | InstrumentSeen
    | OpportunitySeen
    | CycleOpened
    | IntentWritten
    | OrderAnswered
    | OrderEnded
    | ExecutionBooked
    | TransactionBooked
    | BalanceCompared
    | UnwindDecided
    | CycleClosed
    | CycleNoted
    | BookSeen
    | LimitsChanged
    | Audited
    | AlertRaised
    | PluginChanged
    | LatencyMeasured
    | ProfitMeasured
    | BalancesKept
)

KINDS: Mapping[str, type[Any]] = {
    cls.kind: cls
    for cls in (
        RunStarted,
        RunEnded,
        InstrumentSeen,
        OpportunitySeen,
        CycleOpened,
        IntentWritten,
        OrderAnswered,
        OrderEnded,
        ExecutionBooked,
        TransactionBooked,
        BalanceCompared,
        UnwindDecided,
        CycleClosed,
        CycleNoted,
        BookSeen,
        LimitsChanged,
        Audited,
        AlertRaised,
        PluginChanged,
        LatencyMeasured,
        ProfitMeasured,
        BalancesKept,
    )
}

CRITICAL = frozenset({IntentWritten.kind, TransactionBooked.kind, ExecutionBooked.kind})
"""Kinds that may use the journal's reserve when it is full."""


@attrs.frozen
class Written:
    """A record with where it comes from.

    Args:
        record: None for a kind this version doesn't know; `raw` has it.
    """

    run: str
    account: str
    time_ns: int
    kind: str
    record: Record | None
    raw: bytes


def encode(record: Record, run: str, account: str, time_ns: int) -> bytes:
    """Return a record as a journal's payload."""
    fields = to_json(record)
    return orjson.dumps(
        {
            "kind": record.kind,
            "run": run,
            "account": account,
            "t": time_ns,
            "v": VERSION,
            **fields,
        }
    )


def decode(payload: bytes) -> Written:
    """Return the record in a journal's payload.

    Raises:
        ArbitradeError: It is none.
    """
    try:
        fields = orjson.loads(payload)
        kind, run, account = fields.pop("kind"), fields.pop("run"), fields.pop("account")
        time_ns, _ = fields.pop("t"), fields.pop("v")
        cls = KINDS.get(kind)
        record = None if cls is None else from_json(fields, cls)
    except Exception as error:
        # cattrs raises groups of anything; whatever it is, the payload is no record.
        raise ArbitradeError(f"journal: a record that can't be read ({error!r})") from error
    return Written(run, account, time_ns, kind, record, payload)
