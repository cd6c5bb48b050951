"""`arbitrade report`: what a run brought, what it refused and why, where the edge went."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from arbitrade.cli.history import read_history

if TYPE_CHECKING:
    from arbitrade.api.history import CycleDetail, NearMiss, RunReport, RunSummary
    from arbitrade.cli.context import CommandLine
    from arbitrade.cli.tables import Cell
    from arbitrade.store.repositories import Repositories


@click.command(
    epilog="""\b
Examples:
  arbitrade report
  arbitrade report 3f9c --cycles --legs
  arbitrade report --last 10
  arbitrade report --json | jq .metrics.profit"""
)
@click.argument("run", required=False)
@click.option("--account", help="Runs of this account only.")
@click.option("--last", type=click.IntRange(min=1), help="List so many of the last runs instead.")
@click.option("--cycles", "with_cycles", is_flag=True, help="Every cycle, one line each.")
@click.option("--legs", "with_legs", is_flag=True, help="Every cycle's legs and attribution.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; amounts as exact text.")
@click.pass_obj
def report(
    line: "CommandLine",
    run: str | None,
    account: str | None,
    last: int | None,
    with_cycles: bool,
    with_legs: bool,
    as_json: bool,
) -> None:
    """Tell what a run did: the last one, or the one whose id begins with RUN.

    Profit is what fills changed, fees included, asset by asset.  Opportunities that were not taken
    are counted by the rule that decided; for the nearest ones it says what would have let them
    pass.  The ledger's columns add up to its balance.
    """
    from arbitrade.config.converter import converter
    from arbitrade.errors import UsageError

    if last is not None and (run or with_cycles or with_legs):
        raise UsageError("--last: lists runs; leave RUN, --cycles and --legs out")
    if last is not None:
        runs = read_history(line, lambda found: _last(found, account, last))
        click.echo(converter.dumps(runs) if as_json else "\n".join(_run_lines(runs)))
        return
    told = read_history(line, lambda found: _tell(found, run, account, with_cycles, with_legs))
    click.echo(converter.dumps(told) if as_json else "\n".join(_lines(told)))


async def _last(found: "Repositories", account: str | None, limit: int) -> "list[RunSummary]":
    return [await found.runs.summary(run) for run in await found.runs.latest(account, limit)]


async def _tell(
    found: "Repositories", name: str | None, account: str | None, with_cycles: bool, with_legs: bool
) -> "RunReport":
    run = await found.runs.find(name, account)
    return await found.report(run, with_cycles=with_cycles, with_legs=with_legs)


def _run_lines(runs: "list[RunSummary]") -> Iterator[str]:
    from arbitrade.cli.tables import exact, lines_of

    header = ("run", "account", "mode", "started (UTC)", "cycles", "orders", "seen", "profit")
    rows = [
        (
            *(one.run.run[:8], one.run.account, one.run.mode, one.run.started_at),
            *(sum(one.cycles.values()), one.orders, one.opportunities),
            ", ".join(f"{exact(amount)} {asset}" for asset, amount in one.profit.items()) or "-",
        )
        for one in runs
    ]
    yield from lines_of(header, rows)
    if not runs:
        yield "No runs yet."


def _lines(told: "RunReport") -> Iterator[str]:
    yield from _head(told)
    yield from _money(told)
    yield from _funnel(told)
    yield from _ledger(told)
    yield from _speed(told)
    yield from _cycles(told)
    for detail in told.details:
        yield from _detail(detail)


def _head(told: "RunReport") -> Iterator[str]:
    from arbitrade.cli.tables import shown

    run, metrics = told.run, told.metrics
    end = "and not ended" if run.ended_at is None else f"to {shown(run.ended_at)}"
    yield f"Run {run.run}: {run.mode} on {run.venue}, account {run.account}"
    yield f"  {shown(run.started_at)} {end} (UTC), version {run.version}"
    if run.decision_hash is not None:
        yield f"  {run.decisions:,} decisions, hash {run.decision_hash}"
    states = ", ".join(f"{count} {state}" for state, count in metrics.cycles.items()) or "none"
    yield f"  cycles: {states}"
    if metrics.win_rate is not None:
        percent = metrics.win_rate * 100
        yield f"  won {metrics.won} of {metrics.traded} with fills ({percent:.1f} %)"
    orders = ", ".join(f"{count} {outcome}" for outcome, count in metrics.orders.items()) or "none"
    yield f"  orders: {orders}; {metrics.fully_filled} filled whole; {metrics.executions} fills"
    if metrics.anomalies:
        yield f"  {metrics.anomalies} fills were worse than their limit, or not ours"


def _money(told: "RunReport") -> Iterator[str]:
    from arbitrade.cli.tables import lines_of

    metrics = told.metrics
    zero = Decimal(0)
    yield from ("", "Profit")
    assets = sorted({*metrics.profit, *metrics.fees})
    parts = (metrics.profit, metrics.fees, metrics.residual)
    rows: list[list[Cell]] = [
        [asset, *(part.get(asset, zero) for part in parts)] for asset in assets
    ]
    yield from lines_of(("asset", "profit", "fees in it", "left outside the start asset"), rows)
    if not rows:
        yield "  nothing was filled"
    for asset, terms in metrics.attribution.items():
        yield from ("", f"Where the edge of cycles from {asset} went")
        yield from lines_of(("", asset), _terms(terms))


def _terms(terms: Mapping[str, Decimal]) -> list[tuple[str, Decimal]]:
    rows = [(f"- {name.replace('_', ' ')}", terms[name]) for name in list(terms)[2:]]
    return [("expected", terms["expected"]), *rows, ("= realised", terms["realised"])]


def _funnel(told: "RunReport") -> Iterator[str]:
    from arbitrade.cli.tables import lines_of

    yield from ("", "Opportunities")
    header = ("outcome", "rule", "opportunities", "sightings", "best edge (bps)")
    steps = told.metrics.funnel
    yield from lines_of(
        header,
        [
            (
                *(one.outcome, one.rule or "-", one.opportunities, one.sightings),
                round(one.best_edge_bps, 2),
            )
            for one in steps
        ],
    )
    if not steps:
        yield "  none"
    if told.near_misses:
        yield from ("", "Nearest misses, and what alone would have let them pass")
    for miss in told.near_misses:
        yield from _miss(miss)


def _miss(miss: "NearMiss") -> Iterator[str]:
    from arbitrade.cli.tables import exact, shown

    edge, profit = exact(round(miss.best_edge_bps, 2)), exact(round(miss.best_profit, 6))
    yield (
        f"  {shown(miss.first_seen_at)}  {miss.key}  {edge} bps, {profit} {miss.asset}: "
        f"{miss.rule} ({miss.value or '-'}; limit: {miss.limit or '-'})"
    )
    for flip in miss.flips:
        unit = f" {flip['unit']}" if flip.get("unit") else ""
        yield f"      {flip['parameter']}: {flip['current']} → {flip['needed']}{unit}"
    if miss.also:
        yield f"      also refused by {', '.join(miss.also)}"


def _ledger(told: "RunReport") -> Iterator[str]:
    from arbitrade.cli.tables import lines_of

    yield from ("", "Ledger of this run")
    header = (
        *("asset", "opening", "trading", "fees", "rounding", "external", "= wallet"),
        *("venue", "difference", ""),
    )
    rows = [
        (
            *(one.asset, one.opening, one.trading, one.fees, one.rounding, one.external),
            *(one.wallet, one.venue, one.difference, one.verdict or "not compared"),
        )
        for one in told.ledger
    ]
    yield from lines_of(header, rows)
    if not rows:
        yield "  nothing was booked"


def _speed(told: "RunReport") -> Iterator[str]:
    from arbitrade.cli.tables import lines_of

    measured = told.metrics.latencies
    if not measured:
        return
    yield from ("", "Latency (µs)")
    rows = [(one.name, one.count, one.p50_us, one.p99_us, one.maximum_us) for one in measured]
    yield from lines_of(("", "count", "p50", "worst p99", "maximum"), rows)


def _cycles(told: "RunReport") -> Iterator[str]:
    from arbitrade.cli.tables import lines_of

    if not told.cycles:
        return
    yield from ("", "Cycles")
    header = ("no.", "opened", "key", "state", "asset", "expected", "profit", "reason")
    rows = [
        (
            *(one.number, one.opened_at, one.key, one.state, one.start_asset),
            *(one.expected_profit, one.profit, one.reason or ""),
        )
        for one in told.cycles
    ]
    yield from lines_of(header, rows)


def _detail(detail: "CycleDetail") -> Iterator[str]:
    from arbitrade.cli.tables import exact, lines_of

    cycle = detail.cycle
    recovered = ", recovered after a crash" if cycle.is_recovered else ""
    yield from ("", f"Cycle {cycle.number} {cycle.key}: {cycle.state}{recovered}")
    header = (
        *("leg", "pair", "side", "planned", "filled", "at", "planned price", "worse by (bps)"),
        *("received", "planned", "orders"),
    )
    rows = [
        (
            *(leg.leg, leg.symbol, leg.side, leg.quantity, leg.filled_quantity),
            *(_rounded(leg.filled_price, 10), leg.vwap, _rounded(leg.slippage_bps, 3)),
            *(leg.actual_received, leg.received, leg.orders),
        )
        for leg in detail.legs
    ]
    yield from lines_of(header, rows)
    for unwind in detail.unwinds:
        yield (
            f"  out of {exact(unwind.amount)} {unwind.asset} by {unwind.chosen} ({unwind.reason}); "
            f"most that may be lost: {exact(unwind.loss_cap)}"
        )
        ways = [(way.kind, way.received, way.loss, way.blocked or "") for way in unwind.candidates]
        yield from lines_of(("way", "received", "loss", "blocked"), ways)
    flows = [(one.asset, one.flow, one.residual) for one in detail.flows]
    yield from lines_of(("asset", "change", "left over"), flows)
    if detail.attribution:
        yield from lines_of(("", cycle.start_asset or ""), _terms(detail.attribution))
    elif detail.flows:
        # A basket's profit was an estimate, and an operator's cycle was expected to bring nothing.
        yield "  not attributed: no plan told from the books what it would bring"


def _rounded(value: Decimal | None, digits: int) -> Decimal | None:
    return None if value is None else round(value, digits)
