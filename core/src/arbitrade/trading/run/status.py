"""The read models of a run, made from its parts; cheap, and without any effect."""

from collections.abc import Mapping
from importlib.metadata import version

from arbitrade.api import BotState, LatencyRow, OpenCycle, Status
from arbitrade.process.latency import Latency
from arbitrade.risk.limits import texts
from arbitrade.store.writer import JournalWriter
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.run.parts import Parts


def status_of(parts: Parts) -> Status:
    """Return the state of things for services."""
    state = state_of(parts)
    return Status(
        command=parts.command,
        started_at=state.started_at,
        is_ready=state.is_market_connected,
        books_in_sync=state.books_in_sync,
        books=state.books,
        counters=state.counters,
        plugins=state.plugins,
    )


def state_of(parts: Parts) -> BotState:
    """Return everything about a run now."""
    trader, state, engine = parts.rig.trader, parts.rig.state, parts.rig.engine
    view, writer = trader.view, parts.ground.writer
    return BotState(
        run=parts.run_id,
        account=parts.account,
        venue=parts.venue.name,
        mode=parts.hands.mode,
        version=version("arbitrade-core"),
        started_at=parts.began.isoformat(timespec="milliseconds"),
        uptime_s=(parts.clock.real_ns() - parts.began_ns) / 1e9,
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
        latencies=latencies(parts),
        hot_path=engine.hot_path,
        journal=view.journal_problem or "ok",
        journal_lag=writer.lag_records,
        database=_database(writer),
        limits=texts(view.limits),
        decisions=trader.decisions.count,
        decision_hash=trader.decisions.hash,
        alerts=parts.outlet.recent,
        counters=_counters(parts),
        plugins=parts.registry.states(),
    )


def latencies(parts: Parts) -> tuple[LatencyRow, ...]:
    """Return percentiles of everything timed."""
    engine = parts.rig.engine
    timed: dict[str, Latency] = {
        "frame": engine.durations(),
        "sizing": engine.sizing_durations(),
        "tick_to_decision": parts.shell.decisions,
        **parts.rig.gateway.latencies(),
    }
    return tuple(_row(name, latency) for name, latency in timed.items())


def tick_to_order(parts: Parts) -> Mapping[str, float | None]:
    """Return percentiles from a frame's bytes to an order's, in microseconds.

    Where orders are simulated and so never become bytes: to everything decided.
    """
    timed = parts.rig.gateway.latencies()
    return timed.get("tick_to_order", parts.shell.decisions).summary()


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


def _database(writer: JournalWriter) -> str:
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
        **parts.warden.counters,
        **parts.control.counters,
        "database.rejected": parts.ground.writer.rejected,
    }
