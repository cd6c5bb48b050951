"""The read models of a run, made from its parts; cheap, and without any effect."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

import attrs
import orjson

from arbitrade.alerts.dispatch import Alerts
from arbitrade.api import BotState, LatencyRow, OpenCycle
from arbitrade.config import Secret, Settings
from arbitrade.control.server import ControlServer
from arbitrade.errors import DatabaseError
from arbitrade.journal import Journal
from arbitrade.models import Mode
from arbitrade.plain_json import to_json
from arbitrade.plugins import PluginRegistry
from arbitrade.process.latency import Latency
from arbitrade.process.watchdog import Watchdog
from arbitrade.protocols import Feed
from arbitrade.risk.limits import texts
from arbitrade.store.failures import CUT
from arbitrade.store.writer import JournalWriter
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.run.keeper import DatabaseKeeper
from arbitrade.trading.run.rig import Rig
from arbitrade.trading.run.shell import Shell

if TYPE_CHECKING:
    from arbitrade.trading.run.session import TradingSession

_TABLES_SQL = """
    SELECT c.relname, c.oid::regclass::text
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'run' AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relnamespace = current_schema()::regnamespace
    ORDER BY c.relname
"""


@attrs.frozen
class Parts:
    """What a run's read models are made of."""

    settings: Settings
    registry: PluginRegistry
    venue: str
    mode: Mode
    rig: Rig
    shell: Shell
    feed: Feed
    journal: Journal
    writer: JournalWriter | None
    gateway: Gateway
    control: ControlServer | None
    alerts: Alerts
    watchdog: Watchdog
    journal_problem: str


def state_of(session: "TradingSession") -> BotState:
    """Return everything about a run now."""
    parts = session.parts()
    trader, state, engine = parts.rig.trader, parts.rig.state, parts.rig.engine
    view, writer = trader.view, parts.writer
    return BotState(
        run=session.run_id,
        account=session.account,
        venue=parts.venue,
        mode=parts.mode,
        version=version("arbitrade-core"),
        started_at=session.began.isoformat(timespec="milliseconds"),
        uptime_s=session.uptime_s,
        trading_state=view.trading_state,
        halt_reason=view.halt_reason,
        venue_state=engine.venue_state.value,
        is_market_connected=engine.books_in_sync > 0,
        is_account_ready=state.is_connected,
        account_problem=view.account_problem,
        books=len(engine.books),
        books_in_sync=engine.books_in_sync,
        cycles_watched=parts.rig.cycle_count,
        funnel={"seen": trader.funnel.count, **dict(sorted(trader.funnel.outcomes.items()))},
        refusals=dict(trader.funnel.refusals.most_common()),
        cycles=dict(sorted(state.portfolio.cycles.items())),
        open_cycles=tuple(_open(cycle, state.now_ns) for cycle in state.cycles.values()),
        orders=state.order_count,
        executions=state.execution_count,
        profit={a: v for a, v in sorted(state.portfolio.realised.items()) if v},
        profit_reference=state.portfolio.realised_reference,
        reference_asset=view.limits.reference_asset,
        balances={a: v for a, v in sorted(state.ledger.balances().items()) if v},
        ledger_differences=dict(trader.reconciliation.differences),
        latencies=latencies(session),
        hot_path=engine.hot_path,
        journal=parts.journal_problem or "ok",
        journal_lag=0 if writer is None else writer.lag_records,
        database=_database(writer),
        limits=texts(view.limits),
        decisions=trader.decisions.count,
        decision_hash=trader.decisions.hash,
        alerts=session.alerts_shown,
        counters=_counters(parts),
        plugins=parts.registry.states(),
    )


def latencies(session: "TradingSession") -> tuple[LatencyRow, ...]:
    """Return percentiles of everything timed."""
    parts = session.parts()
    engine = parts.rig.engine
    timed: dict[str, Latency] = {
        "frame": engine.durations(),
        "sizing": engine.sizing_durations(),
        "tick_to_decision": parts.shell.decisions,
        **parts.gateway.latencies(),
    }
    return tuple(_row(name, latency) for name, latency in timed.items())


async def rows_by_table(keeper: DatabaseKeeper, run: str) -> Mapping[str, int]:
    """Return how many rows of a run each table has; nothing where the database is away."""
    try:
        async with keeper.session() as connection:
            rows: dict[str, int] = {}
            for name, quoted in await connection.fetch(_TABLES_SQL):
                query = f"SELECT count(*) FROM {quoted} WHERE run::text = $1"  # noqa: S608
                rows[name] = await connection.fetchval(query, run)
            return rows
    except (DatabaseError, *CUT):
        return {}


def settings_of(settings: Settings) -> tuple[str, str]:
    """Return the settings without secrets as canonical JSON, and its SHA-256."""
    table: dict[str, object] = {"venue": settings.venue}
    for field in attrs.fields(Settings):
        value = getattr(settings, field.name)
        if attrs.has(type(value)) and field.name != "structured":
            table[field.name] = _section(value)
    for name, section in sorted(settings.structured.items()):
        table[name] = _section(section)
    text = canonical(table)
    return text, hashlib.sha256(text.encode()).hexdigest()


def canonical(value: object) -> str:
    """Return JSON with sorted keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str).decode()


def _section(section: object) -> dict[str, object]:
    """Return a section without its secrets, and without what only this machine knows."""
    cls = type(section)
    if not attrs.has(cls):
        return {}
    hidden = [f.name for f in attrs.fields(cls) if isinstance(getattr(section, f.name), Secret)]
    shown = attrs.evolve(section, **dict.fromkeys(hidden))  # type: ignore[misc]
    return to_json(shown)


def _open(cycle: Cycle, now_ns: int) -> OpenCycle:
    plan = cycle.approved.plan
    return OpenCycle(
        cycle=cycle.number,
        key=cycle.key,
        state=cycle.state,
        legs=tuple(f"{leg.side.value} {leg.symbol}" for leg in plan.legs),
        held=cycle.holdings(),
        expected_profit=plan.expected_profit,
        start_asset=cycle.start,
        age_s=(now_ns - cycle.opened_ns) / 1e9,
    )


def _row(name: str, latency: Latency) -> LatencyRow:
    figures = latency.summary()
    return LatencyRow(name, latency.count, figures["p50"], figures["p99"], figures["p999"])


def _database(writer: JournalWriter | None) -> str:
    if writer is None:
        return "connecting"
    if writer.is_connected:
        return "ok"
    return writer.last_error or "connecting"


def _counters(parts: Parts) -> dict[str, int]:
    engine, tally = parts.rig.engine, parts.rig.engine.tally()
    return {
        "frames": parts.shell.frames,
        "checksums.right": tally.right,
        "checksums.wrong": tally.wrong,
        "resyncs": tally.resyncs,
        "detections": tally.detections,
        "alerts.dropped": parts.alerts.dropped,
        "alerts.failed": parts.alerts.failed,
        **{f"feed.{name}": count for name, count in parts.feed.statistics().items()},
        **{f"engine.{name}": count for name, count in engine.counters.items()},
        **parts.watchdog.counters,
        **({} if parts.control is None else dict(parts.control.counters)),
        **({} if parts.writer is None else {"database.rejected": parts.writer.rejected}),
    }
