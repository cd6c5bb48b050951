"""What `run` and `demo` share: one session, its signals, what it shows, what it leaves."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import orjson

if TYPE_CHECKING:
    from arbitrade.api import BotState
    from arbitrade.config import Settings
    from arbitrade.plugins import PluginRegistry
    from arbitrade.protocols import Service
    from arbitrade.trading.run.outcome import RunOutcome
    from arbitrade.trading.run.session import TradingSession

_LOG_EVERY_S = 10.0


async def trade(
    session: "TradingSession",
    registry: "PluginRegistry",
    settings: "Settings",
    *,
    seconds: float | None,
    is_quiet: bool,
) -> "RunOutcome":
    """Run a session with the plugins' services, shown on a terminal, logged elsewhere."""
    from arbitrade.process.ending import Ending
    from arbitrade.trading.run.last_words import say_last_words

    parts = session.parts
    ending = Ending(session.stop, parts.warden.suspect, lambda: say_last_words(parts))
    ending.begin(seconds)
    try:
        return await _shown(session, registry, settings, seconds=seconds, is_quiet=is_quiet)
    finally:
        ending.over()


async def _shown(
    session: "TradingSession",
    registry: "PluginRegistry",
    settings: "Settings",
    *,
    seconds: float | None,
    is_quiet: bool,
) -> "RunOutcome":
    if is_quiet or not sys.stderr.isatty():
        return await session.run(
            lambda bot: _services(bot, registry, settings),
            seconds=seconds,
            on_state=_write,
            every_s=_LOG_EVERY_S,
        )
    from rich.console import Console

    from arbitrade.cli.live_view import HeldBackLog, LiveView

    console = Console(stderr=True)
    with HeldBackLog():
        return await session.run(
            lambda bot: [*_services(bot, registry, settings), LiveView(bot, console)],
            seconds=seconds,
        )


def _services(
    bot: "TradingSession", registry: "PluginRegistry", settings: "Settings"
) -> "Sequence[Service]":
    return registry.services(settings, bot, bot.database.history, bot.database.tables)


def _write(state: "BotState") -> None:
    import structlog

    from arbitrade.cli.live_view import plain_line

    structlog.stdlib.get_logger("arbitrade.run").info("run.progress", **plain_line(state))


def show_report(report: "RunOutcome", *, as_json: bool) -> None:
    """Print what a run did."""
    if as_json:
        click.echo(orjson.dumps(report.as_json()).decode())
        return
    told = report.as_json()
    cycles = ", ".join(f"{count} {name}" for name, count in report.state.cycles.items()) or "none"
    funnel = ", ".join(f"{count} {name}" for name, count in report.state.funnel.items())
    profit = ", ".join(f"{amount:+f} {name}" for name, amount in report.state.profit.items())
    rows = [
        f"run {report.state.run} ended: {report.reason}",
        *_market(report),
        f"  opportunities  {funnel or 'none'}",
        f"  cycles         {cycles}",
        f"  orders         {report.state.orders} sent, {report.state.executions} fills",
        f"  profit         {profit or 'none'}",
        f"  ledger         {_difference(report)}",
        f"  decisions      {report.state.decisions}, hash {report.state.decision_hash[:16]}…",
    ]
    if report.recording:
        rows.append(f"  recording      {report.recording}")
    latency = told["latency_us"]
    if isinstance(latency, dict) and latency.get("p50") is not None:
        rows.append(f"  tick to order  p50 {latency['p50']:.0f} µs, p99 {latency['p99']:.0f} µs")
    rows.append("`arbitrade report` tells more.")
    click.echo("\n".join(rows), err=True)


def _market(report: "RunOutcome") -> list[str]:
    counters = report.state.counters
    # A venue may send no checksums at all; then a book that was never wrong was there.
    if counters.get("checksums.right") or (
        report.state.books and not counters.get("checksums.wrong")
    ):
        return []
    return ["  market         never there: not one book was in sync; see the messages above"]


def _difference(report: "RunOutcome") -> str:
    wrong = [f"{amount:+f} {asset}" for asset, amount in report.differences.items() if amount]
    if wrong:
        return "differs from the venue's by " + ", ".join(wrong)
    if not report.has_venue_ledger:
        return "adds up; paper has no venue's to agree with"
    if not report.ledger:
        return "not begun: the venue was never asked for its balances"
    return "agrees with the venue to the last digit"
