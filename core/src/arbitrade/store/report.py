"""Everything `arbitrade report` says about a run, gathered."""

from collections.abc import Sequence
from decimal import Decimal

from arbitrade.api.history import (
    BalanceView,
    LedgerBalance,
    LedgerLine,
    RunReport,
    RunView,
)
from arbitrade.store.metrics import run_metrics
from arbitrade.store.repositories import Repositories

__all__ = ["LedgerLine", "RunReport", "gather_report"]

_ALL = 1_000_000
_ZERO = Decimal(0)


async def gather_report(
    repositories: Repositories,
    run: RunView,
    *,
    with_cycles: bool = False,
    with_legs: bool = False,
    near_misses: int = 5,
) -> RunReport:
    """Return the report of a run.

    Args:
        repositories: What is read.
        run: Which.
        with_cycles: Also every cycle.
        with_legs: Also every leg, order and fill; one question after the other, so it takes time.
        near_misses: How many opportunities that were nearly taken.
    """
    metrics = await run_metrics(repositories.pool, run.run)
    cycles = await repositories.cycles(run.run, limit=_ALL) if with_cycles or with_legs else []
    details = []
    for cycle in cycles if with_legs else ():
        detail = await repositories.cycle(run.run, cycle.number)
        if detail is not None:
            details.append(detail)
    ledger = await repositories.ledger(run.account, run.run)
    return RunReport(
        run=run,
        metrics=metrics,
        near_misses=tuple(await repositories.near_misses(run.run, near_misses)),
        ledger=_ledger_lines(ledger, await repositories.balances(run.run)),
        cycles=tuple(cycles),
        details=tuple(details),
    )


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


_COUNTERPARTS = ("opening", "trading", "fees", "rounding", "external")
