"""What a fill becomes in the venue's ledger.  Pure.

Executions are told at a pair's precision, but booked at that of each asset: 498.00797 EUR there,
498.0080 here, and 0.12345678 EUR of a base is 0.1235.  What counts is what is booked, so fills are
told as booked, wherever they come from.
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext

import attrs

from arbitrade.models import BalanceChange, ExecutionReport, Fee, Side

type Precisions = Mapping[str, int]
"""Decimals of the ledger by asset."""

_DIGITS = 60


def as_booked(fill: ExecutionReport, precisions: Precisions) -> ExecutionReport:
    """Return a fill with its amounts as the ledger will have them.

    Each to the nearest unit, half a unit up: that is what recorded rows show, though nobody has
    documented it.  Quantities finer than the ledger are rounded as the order fills, so that its
    fills together are booked as what it asked for; how the venue does that is not known.  Assets
    of unknown precision are left as told; a fee of nothing is none.
    """
    base, _, quote = (fill.symbol or "").partition("/")
    filled, decimals = fill.cumulative_quantity, precisions.get(base)
    quantity = _rounded(fill.last_quantity, decimals)
    if filled is not None:
        quantity = _rounded(filled, decimals) - _rounded(filled - fill.last_quantity, decimals)
    fees = [Fee(fee.asset, _rounded(fee.amount, precisions.get(fee.asset))) for fee in fill.fees]
    return attrs.evolve(
        fill,
        last_quantity=quantity,
        cost=_rounded(fill.cost, precisions.get(quote)),
        fees=tuple(fee for fee in fees if fee.amount),
    )


def from_rows(fill: ExecutionReport, rows: Iterable[BalanceChange]) -> ExecutionReport | None:
    """Return a fill with its amounts as the ledger has them, None if rows are missing.

    Args:
        fill: Of the trade history, which doesn't tell in which asset the fee was taken.
        rows: All rows of the ledger that the fill caused: one for each asset.
    """
    by_asset = {row.asset: row for row in rows}
    base, _, quote = (fill.symbol or "").partition("/")
    if base not in by_asset or quote not in by_asset:
        return None
    fees = (Fee(asset, by_asset[asset].fee) for asset in (base, quote))
    return attrs.evolve(
        fill,
        last_quantity=abs(by_asset[base].amount),
        cost=abs(by_asset[quote].amount),
        fees=tuple(fee for fee in fees if fee.amount),
    )


def changes_of(fill: ExecutionReport) -> dict[str, Decimal]:
    """Return by how much a fill changes the balance of each asset, fees included."""
    base, _, quote = (fill.symbol or "").partition("/")
    sign = 1 if fill.side is Side.BUY else -1
    changes = {base: sign * fill.last_quantity, quote: -sign * fill.cost}
    for fee in fill.fees:
        changes[fee.asset] = changes.get(fee.asset, Decimal(0)) - fee.amount
    return changes


def _rounded(amount: Decimal, decimals: int | None) -> Decimal:
    if decimals is None:
        return amount
    with localcontext(prec=_DIGITS):
        return amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
