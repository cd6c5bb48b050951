"""The statements the journal writer knows, in the order in which a batch needs them.

Rows of one table go together: appended ones by `INSERT`, those that come in bulk by `COPY`, changes
by an `UPDATE` that fails where there is nothing to change.
"""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

type Row = tuple[Any, ...]
"""Values for a statement; what they may be, the columns say."""


@attrs.frozen(eq=False)
class Action:
    """A statement that is run with many rows.

    Args:
        table: Where it writes.
        columns: The values of a row; empty for a change, which may be repeated.
        sql: The statement for one row.
        is_copied: Whether rows go in by `COPY`.
        combine: Makes fewer rows of many before they are written.
    """

    table: str
    columns: tuple[str, ...]
    sql: str
    is_copied: bool = False
    combine: Callable[[Sequence[Row]], Sequence[Row]] | None = None

    @property
    def find_sql(self) -> str:
        """Return the question whether exactly this row is there already."""
        same = (f"{name} IS NOT DISTINCT FROM ${n}" for n, name in enumerate(self.columns, 1))
        where = " AND ".join(same)
        return f"SELECT EXISTS (SELECT FROM {self.table} WHERE {where})"  # noqa: S608  # our names


def _insert(table: str, columns: str, *, is_copied: bool = False) -> Action:
    names = tuple(columns.split())
    return Action(table, names, _insert_sql(table, names), is_copied)


def _insert_sql(table: str, names: Sequence[str]) -> str:
    places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608


def _first_of_each(keys: int) -> Callable[[Sequence[Row]], Sequence[Row]]:
    """Keep the first row of those that begin with the same values."""

    def combine(rows: Sequence[Row]) -> Sequence[Row]:
        found: dict[Row, Row] = {}
        for row in rows:
            found.setdefault(row[:keys], row)
        return list(found.values())

    return combine


def _add_up(rows: Sequence[Row]) -> Sequence[Row]:
    """Join counts of the same run, account, minute, outcome and rule."""
    sums: dict[Row, tuple[int, int, Any]] = {}
    for *key, count, sightings, best in rows:
        known = sums.get(tuple(key))
        total = (count, sightings, best)
        if known is not None:
            total = (known[0] + count, known[1] + sightings, max(known[2], best))
        sums[tuple(key)] = total
    return [(*key, *total) for key, total in sums.items()]


RUN_STARTED = Action(
    "run",
    (),
    """
    INSERT INTO run (id, account, mode, venue, started_at, version, settings_digest, settings, seed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (id) DO UPDATE SET
        mode = excluded.mode, venue = excluded.venue, started_at = excluded.started_at,
        version = excluded.version, settings_digest = excluded.settings_digest,
        settings = excluded.settings, seed = excluded.seed
    WHERE run.mode = 'unknown' AND run.account = excluded.account
    """,
)
RUN_NEEDED = Action(
    "run",
    (),
    """
    INSERT INTO run (id, account, mode, venue, started_at, version, settings_digest)
    VALUES ($1, $2, 'unknown', 'unknown', $3, 'unknown', repeat('0', 64)) ON CONFLICT DO NOTHING
    """,
    combine=_first_of_each(2),
)
"""A place for records of a run whose beginning was lost; the start fills it in if it comes."""

CYCLE_OPENED = Action(
    "cycle",
    (),
    """
    INSERT INTO cycle (run, number, account, key, detector, executor, assets, start_asset, edge_bps,
        size, planned_spent, planned_received, cap, dust, limits_version, approved_at, opened_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    ON CONFLICT (run, number) DO UPDATE SET
        key = excluded.key, detector = excluded.detector, executor = excluded.executor,
        assets = excluded.assets, start_asset = excluded.start_asset, edge_bps = excluded.edge_bps,
        size = excluded.size, planned_spent = excluded.planned_spent,
        planned_received = excluded.planned_received, cap = excluded.cap, dust = excluded.dust,
        limits_version = excluded.limits_version, approved_at = excluded.approved_at,
        opened_at = excluded.opened_at
    WHERE cycle.detector IS NULL
    """,
)
CYCLE_NEEDED = Action(
    "cycle",
    (),
    """
    INSERT INTO cycle (run, number, account, opened_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING
    """,
    combine=_first_of_each(3),
)
"""The same for a cycle."""

LEG = _insert(
    "leg",
    "run account cycle leg symbol side quantity limit_price worst_price vwap spent received fee "
    "fee_asset leftover levels blocked",
)
INSTRUMENT = _insert(
    "instrument",
    "run account seq symbol seen_at base quote status price_precision quantity_precision "
    "cost_precision price_increment quantity_increment minimum_quantity minimum_notional",
    is_copied=True,
)
ORDER = _insert(
    "trade_order",
    "run account client_id cycle leg role intended_at symbol side quantity limit_price order_type "
    "time_in_force deadline expires_at fee_in is_post_only is_reduce_only is_dry_run spends "
    "receives",
)
ORDER_ANSWERED = Action(
    "trade_order",
    (),
    """
    WITH changed AS (
        UPDATE trade_order SET
            -- What is known does not become unknown again.
            outcome = CASE WHEN $3::text = 'unknown' THEN coalesce(outcome, $3) ELSE $3 END,
            answered_at = $4, order_id = coalesce($5, order_id), answer_reason = $6,
            sent_at = coalesce($7, sent_at)
        WHERE account = $1 AND client_id = $2 RETURNING 1)
    SELECT require_row(count(*), 'the order ' || $2::text) FROM changed
    """,
)
ORDER_ENDED = Action(
    "trade_order",
    (),
    """
    WITH changed AS (
        UPDATE trade_order SET
            ended_at = $3, order_id = coalesce($4, order_id), status = $5, end_reason = $6,
            filled_quantity = $7, filled_cost = $8, spent = $9, received = $10
        WHERE account = $1 AND client_id = $2 RETURNING 1)
    SELECT require_row(count(*), 'the order ' || $2::text) FROM changed
    """,
)
_EXECUTION = (
    "run",
    "account",
    "exec_id",
    "order_id",
    "client_id",
    "cycle",
    "leg",
    "booked_at",
    "venue_at",
    "quantity",
    "price",
    "cost",
    "is_maker",
    "is_anomaly",
)
EXECUTION = Action(
    "execution",
    _EXECUTION,
    f"""
    INSERT INTO execution ({", ".join(_EXECUTION)}, symbol, side)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
        coalesce($15, o.symbol), coalesce($16, o.side)
    FROM (VALUES (1)) AS one (line)
    LEFT JOIN trade_order o ON o.account = $2 AND o.client_id = $5
    """,  # noqa: S608  # our names
)
EXECUTION_FEE = _insert("execution_fee", "run account exec_id line asset amount")
TRANSACTION = _insert(
    "ledger_transaction", "run account transaction at reason cycle proof postings"
)
POSTING = _insert("posting", "run account transaction line ledger_account asset amount")
BALANCE = _insert("balance", "run account seq at asset venue_balance ledger_balance verdict")
UNWIND = _insert(
    "unwind_decision", "run account seq cycle at reason asset amount cost loss_cap chosen"
)
UNWIND_CANDIDATE = _insert(
    "unwind_candidate",
    "run account seq rank kind path quotes received loss blocked is_chosen",
)
CYCLE_UNWINDING = Action(
    "cycle",
    (),
    "UPDATE cycle SET state = 'unwinding' WHERE run = $1 AND number = $2 AND state = 'open'",
)
CYCLE_CLOSED = Action(
    "cycle",
    (),
    """
    WITH changed AS (
        UPDATE cycle SET
            key = coalesce(key, $3), start_asset = coalesce(start_asset, $4), state = $5,
            closed_at = $6, profit = $7, profit_reference = $8, reason = $9, is_recovered = $10
        WHERE run = $1 AND number = $2 RETURNING 1)
    SELECT require_row(count(*), 'cycle ' || $2::text) FROM changed
    """,
)
CYCLE_FLOW = _insert("cycle_flow", "run account cycle asset flow residual")
ATTRIBUTION = _insert(
    "attribution",
    "run account cycle expected realised moved_before_send moved_send_to_ack moved_ack_to_fill "
    "fees rounding_and_dust depth_misjudged unwinding",
)
CYCLE_NOTE = _insert("cycle_note", "run account seq at cycle what fields", is_copied=True)
BOOK = _insert(
    "book_snapshot",
    "run account seq at cycle symbol moment bid_prices bid_quantities ask_prices ask_quantities",
    is_copied=True,
)
OPPORTUNITY = _insert(
    "opportunity",
    "run account number first_seen_at last_seen_at detector key assets legs sightings edge_bps "
    "best_edge_bps size profit best_profit outcome rule reason value limit_value also flips cycle",
    is_copied=True,
)
RISK_DECISION = Action(
    "risk_decision",
    (),
    """
    INSERT INTO risk_decision AS known (run, account, minute, outcome, rule, opportunities,
        sightings, best_edge_bps)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (run, minute, outcome, rule) DO UPDATE SET
        opportunities = known.opportunities + excluded.opportunities,
        sightings = known.sightings + excluded.sightings,
        best_edge_bps = greatest(known.best_edge_bps, excluded.best_edge_bps)
    """,
    combine=_add_up,
)
LIMITS = _insert("limits_version", "run account version at actor limits")
AUDIT = _insert(
    "audit", "run account entry at time_ns actor action subject detail previous_hash hash"
)
ALERT = _insert("alert", "run account number at severity title body subject")
PLUGIN = _insert("plugin_change", "run account seq at plugin state reason")
LATENCY = _insert(
    "latency",
    "run account seq at from_at name count p50_us p99_us p999_us maximum_us",
    is_copied=True,
)
PROFIT = _insert(
    "profit_snapshot",
    "run account seq at realised_reference peak_reference today_reference consecutive_failures",
    is_copied=True,
)
PROFIT_BY_ASSET = _insert("profit_by_asset", "run account seq at asset realised", is_copied=True)
BALANCE_KEPT = _insert("balance_snapshot", "run account seq at asset balance", is_copied=True)
RUN_ENDED = Action(
    "run",
    (),
    """
    WITH changed AS (
        UPDATE run SET
            -- A clock may have been set back since.
            ended_at = greatest(started_at, $3), end_reason = $4, decisions = $5, decision_hash = $6
        WHERE id = $1 AND account = $2 RETURNING 1)
    SELECT require_row(count(*), 'run ' || $1::text || ' of account ' || $2::text) FROM changed
    """,
)
UNKNOWN = _insert("unknown_record", "account journal seq run at kind payload")
REJECTED = _insert("rejected_record", "account journal seq run kind error payload")

ORDER_OF_ACTIONS = (
    RUN_STARTED,
    RUN_NEEDED,
    INSTRUMENT,
    LIMITS,
    CYCLE_OPENED,
    CYCLE_NEEDED,
    LEG,
    ORDER,
    ORDER_ANSWERED,
    EXECUTION,
    EXECUTION_FEE,
    TRANSACTION,
    POSTING,
    BALANCE,
    ORDER_ENDED,
    UNWIND,
    UNWIND_CANDIDATE,
    CYCLE_UNWINDING,
    CYCLE_CLOSED,
    CYCLE_FLOW,
    ATTRIBUTION,
    CYCLE_NOTE,
    BOOK,
    OPPORTUNITY,
    RISK_DECISION,
    AUDIT,
    ALERT,
    PLUGIN,
    LATENCY,
    PROFIT,
    PROFIT_BY_ASSET,
    BALANCE_KEPT,
    RUN_ENDED,
    UNKNOWN,
    REJECTED,
)
"""What others refer to comes before what refers to it."""
