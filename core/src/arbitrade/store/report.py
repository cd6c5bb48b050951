"""Everything `arbitrade report` says about a run, gathered."""

from collections.abc import Sequence
from decimal import Decimal

from arbitrade.api.history import (
    MAXIMUM_ROWS,
    BalanceView,
    Cursor,
    CycleFilter,
    CycleView,
    History,
    LedgerBalance,
    LedgerLine,
    RunReport,
    RunView,
)

__all__ = ["gather_report"]

_ZERO = Decimal(0)
_COUNTERPARTS = ("opening", "trading", "fees", "rounding", "external")
"""Accounts of the ledger that say why the wallet changed."""


async def gather_report(
    history: History,
    run: RunView,
    *,
    with_cycles: bool = False,
    with_legs: bool = False,
    near_misses: int = 5,
) -> RunReport:
    """Return the report of a run.

    Args:
        history: What is asked.
        run: Which.
        with_cycles: Also every cycle.
        with_legs: Also every leg, order and fill; one question after the other, so it takes time.
        near_misses: How many opportunities that were nearly taken.
    """
    metrics = await history.runs.metrics(run.run)
    cycles = await _all_cycles(history, run.run) if with_cycles or with_legs else []
    details = []
    for cycle in cycles if with_legs else ():
        detail = await history.cycles.detail(run.run, cycle.number)
        if detail is not None:
            details.append(detail)
    ledger = await history.money.ledger(run.account, run.run)
    return RunReport(
        run=run,
        metrics=metrics,
        near_misses=tuple(await history.opportunities.near_misses(run.run, near_misses)),
        ledger=_ledger_lines(ledger, await history.money.balances(run.run)),
        cycles=tuple(cycles),
        details=tuple(details),
    )


async def _all_cycles(history: History, run: str) -> list[CycleView]:
    cycles: list[CycleView] = []
    before: Cursor | None = None
    while True:
        page = await history.cycles.page(CycleFilter(run=run), limit=MAXIMUM_ROWS, before=before)
        cycles.extend(page.rows)
        if page.next is None:
            return cycles
        before = page.next


def _ledger_lines(
    ledger: Sequence[LedgerBalance], compared: Sequence[BalanceView]
) -> tuple[LedgerLine, ...]:
    sums = {(one.asset, one.ledger_account): one.balance for one in ledger}
    last = {one.asset: one for one in compared}
    lines = []
    for asset in sorted({one.asset for one in ledger} | last.keys()):
        seen = last.get(asset)
        lines.append(
            LedgerLine(
                asset=asset,
                **{name: _negated(sums.get((asset, name), _ZERO)) for name in _COUNTERPARTS},
                wallet=sums.get((asset, "wallet"), _ZERO),
                venue=None if seen is None else seen.venue_balance,
                difference=None if seen is None else seen.difference,
                verdict=None if seen is None else seen.verdict,
            )
        )
    return tuple(lines)


def _negated(amount: Decimal) -> Decimal:
    """Change the sign; a minus would round to the digits of the context."""
    return amount.copy_negate() if amount else _ZERO
