"""Reads profit, the ledger, and how it compares with the venue."""

# ruff: noqa: S608  # only names of our own are put into statements

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal

from arbitrade.api.history import (
    MAXIMUM_ROWS,
    BalancePoint,
    BalanceView,
    Cursor,
    LedgerBalance,
    Page,
    PostingView,
    ProfitPoint,
    ProfitView,
)
from arbitrade.errors import UsageError
from arbitrade.store.reading import Order, Reader, Where, maker, run_id, value_of

_SPLITS: Mapping[str | None, tuple[str, str]] = {
    None: ("NULL::date AS day, NULL AS key", ""),
    "day": ("(c.closed_at AT TIME ZONE 'UTC')::date AS day, NULL AS key", "day, "),
    "key": ("NULL::date AS day, c.key AS key", "c.key, "),
}
"""What profit is split by: the columns, and what the rows are grouped and sorted by before."""

_COMPARISON = "SELECT asset, at, venue_balance, ledger_balance, difference, verdict FROM balance"
_POSTING = """
    SELECT t.run::text AS run, t.account, t.at, t.transaction, p.line, t.reason, t.cycle, t.proof,
           p.ledger_account, p.asset, p.amount
    FROM ledger_transaction t
    JOIN posting p ON p.account = t.account AND p.transaction = t.transaction
"""


class Money:
    """Profit, the ledger, and how it compares with the venue, as `MoneyHistory` says."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def profit(
        self, run: str | None = None, *, account: str | None = None, by: str | None = None
    ) -> list[ProfitView]:
        """Return what closed cycles changed, by asset, and by day or key."""
        return await profit_by_asset(self._reader, run, account=account, by=by)

    async def profit_points(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        every_s: float = 0,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> list[ProfitPoint]:
        """Return profit over time, oldest first."""
        where = _of(run, account, begin, end)
        by_asset = (
            "SELECT coalesce(jsonb_object_agg(asset, realised::text), '{}') FROM profit_by_asset a "
            "WHERE a.run = s.run AND a.seq = s.seq AND a.at = s.at"
        )
        inner = _last_of_each("*", "profit_snapshot", every_s, where)
        rows = await self._reader.rows(
            f"SELECT s.*, ({by_asset}) AS realised FROM ({inner}) s "
            f"ORDER BY at DESC, run DESC, seq DESC LIMIT {MAXIMUM_ROWS}",
            *where.values,
        )
        return [
            value_of(ProfitPoint, row, realised=_amounts(row["realised"])) for row in reversed(rows)
        ]

    async def balance_points(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        every_s: float = 0,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> list[BalancePoint]:
        """Return balances over time, oldest first."""
        where = _of(run, account, begin, end)
        inner = _last_of_each("run, account, seq, at", "balance_snapshot", every_s, where)
        balances = (
            "SELECT jsonb_object_agg(asset, balance::text) FROM balance_snapshot b "
            "WHERE b.run = s.run AND b.seq = s.seq AND b.at = s.at"
        )
        rows = await self._reader.rows(
            f"SELECT s.*, ({balances}) AS balances FROM ({inner}) s "
            f"ORDER BY at DESC, run DESC, seq DESC LIMIT {MAXIMUM_ROWS}",
            *where.values,
        )
        return [
            value_of(BalancePoint, row, balances=_amounts(row["balances"]))
            for row in reversed(rows)
        ]

    async def ledger(self, account: str, run: str | None = None) -> list[LedgerBalance]:
        """Return the balances of an account's ledger, or what a run changed of them."""
        where = Where()
        where.of(run, account)
        rows = await self._reader.rows(
            "SELECT ledger_account, asset, sum(amount) AS balance FROM posting "
            f"WHERE {where.sql} GROUP BY ledger_account, asset ORDER BY asset, ledger_account",
            *where.values,
        )
        return [value_of(LedgerBalance, row) for row in rows]

    async def balances(self, run: str) -> list[BalanceView]:
        """Return the last comparison with the venue in a run, asset by asset."""
        rows = await self._reader.rows(
            "SELECT DISTINCT ON (asset) asset, at, venue_balance, ledger_balance, difference, "
            "verdict FROM balance WHERE run = $1 ORDER BY asset, at DESC, seq DESC",
            run_id(run),
        )
        return [value_of(BalanceView, row) for row in rows]

    async def comparisons(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        is_equal: bool | None = None,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[BalanceView]:
        """Return comparisons with the venue."""
        where = _of(run, account)
        where.add("(verdict = 'equal') = ?", is_equal)
        order = Order.numbered("at", "seq")
        make = maker(BalanceView)
        return await self._reader.page(make, _COMPARISON, order, where, limit, before)

    async def postings(
        self,
        account: str | None = None,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[PostingView]:
        """Yield lines of the ledger, oldest first, without a limit."""
        where = Where()
        where.of(None, account, "t")
        where.add("t.at >= ?", begin)
        where.add("t.at < ?", end)
        sql = f"{_POSTING} WHERE {where.sql} ORDER BY t.at, t.account, t.transaction, p.line"
        async for row in self._reader.stream(sql, *where.values):
            yield value_of(PostingView, row)


async def profit_by_asset(
    reader: Reader, run: str | None = None, *, account: str | None = None, by: str | None = None
) -> list[ProfitView]:
    """Return what closed cycles changed, by asset, and by day or key."""
    if by not in _SPLITS:
        raise UsageError(f"by: {by!r} is none of day, key")
    columns, groups = _SPLITS[by]
    where = Where()
    where.of(run, account, "f")
    rows = await reader.rows(
        f"SELECT f.asset, sum(f.flow) AS flow, count(*) AS cycles, {columns} "
        f"FROM cycle_flow f JOIN cycle c ON c.run = f.run AND c.number = f.cycle "
        f"WHERE {where.sql} GROUP BY {groups}f.asset ORDER BY {groups}f.asset",
        *where.values,
    )
    return [value_of(ProfitView, row) for row in rows]


def _of(
    run: str | None,
    account: str | None,
    begin: datetime | None = None,
    end: datetime | None = None,
) -> Where:
    where = Where()
    where.of(run, account)
    where.add("at >= ?", begin)
    where.add("at < ?", end)
    return where


def _last_of_each(columns: str, table: str, every_s: float, where: Where) -> str:
    """Return what selects of each run the last moment in each stretch of so many seconds."""
    stretch = "at" if every_s <= 0 else f"floor(extract(epoch FROM at) / {float(every_s)!r})"
    return (
        f"SELECT DISTINCT ON (run, {stretch}) {columns} FROM {table} WHERE {where.sql} "
        f"ORDER BY run, {stretch}, at DESC, seq DESC"
    )


def _amounts(texts: Mapping[str, str]) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in sorted(texts.items())}
