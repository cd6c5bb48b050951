"""Reads cycles, orders and fills."""

# ruff: noqa: S608  # only names of our own are put into statements

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from arbitrade.api.history import (
    BookView,
    CandidateView,
    Cursor,
    CycleDetail,
    CycleFigures,
    CycleFilter,
    CycleView,
    ExecutionView,
    FeeView,
    FlowView,
    LegView,
    NoteView,
    OrderFilter,
    OrderView,
    Page,
    UnwindView,
)
from arbitrade.store.metrics import ATTRIBUTION_NAMES
from arbitrade.store.reading import Order, Reader, Where, grouped, maker, run_id, value_of

_CYCLE = """
    SELECT run::text AS run, account, number, key, start_asset, executor, state, opened_at,
           closed_at, edge_bps, size, planned_spent, expected_profit, profit, profit_reference,
           cap, reason, is_recovered FROM cycle
"""
_FIGURES = """
    SELECT start_asset, count(*) AS cycles, count(closed_at) AS closed,
           count(*) FILTER (WHERE state = 'completed') AS completed,
           count(*) FILTER (WHERE closed_at IS NOT NULL AND state <> 'aborted_clean') AS traded,
           count(*) FILTER (WHERE state <> 'aborted_clean' AND profit > 0) AS won,
           coalesce(sum(expected_profit) FILTER (WHERE closed_at IS NOT NULL), 0) AS expected,
           coalesce(sum(profit), 0) AS profit,
           coalesce(sum(profit) FILTER (WHERE profit > 0), 0) AS gains,
           coalesce(-sum(profit) FILTER (WHERE profit < 0), 0) AS losses,
           round(avg(extract(epoch FROM closed_at - opened_at)), 6) AS mean_duration_s
    FROM cycle
"""
_EXECUTION = """
    SELECT run::text AS run, account, exec_id, order_id, client_id, cycle, leg, booked_at, venue_at,
           symbol, side, quantity, price, cost, is_maker, is_anomaly,
           fee.assets AS fee_assets, fee.amounts AS fee_amounts
    FROM execution e
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(asset ORDER BY line), '{}') AS assets,
               coalesce(array_agg(amount ORDER BY line), '{}') AS amounts
        FROM execution_fee f WHERE f.account = e.account AND f.exec_id = e.exec_id
    ) fee
"""


class Cycles:
    """Cycles, orders and fills, as `CycleHistory` says."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def page(
        self,
        where: CycleFilter = CycleFilter(),  # noqa: B008  # frozen
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[CycleView]:
        """Return cycles by the time they were opened."""
        order = Order.numbered("opened_at", "number")
        make = maker(CycleView)
        return await self._reader.page(make, _CYCLE, order, _where(where), limit, before)

    async def figures(
        self,
        where: CycleFilter = CycleFilter(),  # noqa: B008  # frozen
    ) -> list[CycleFigures]:
        """Return counts and sums of the cycles, one line a start asset, in order of its name."""
        chosen = _where(where)
        rows = await self._reader.rows(
            f"{_FIGURES} WHERE {chosen.sql} GROUP BY start_asset ORDER BY start_asset NULLS LAST",
            *chosen.values,
        )
        return [value_of(CycleFigures, row) for row in rows]

    async def detail(self, run: str, number: int) -> CycleDetail | None:
        """Return everything about a cycle, all of one moment; None if there is no such one."""
        async with self._reader.moment() as reader:
            row = await reader.row(
                f"{_CYCLE} WHERE run = $1 AND number = $2", *(run_id(run), number)
            )
            return None if row is None else await _detail(reader, row)

    async def orders(
        self,
        where: OrderFilter = OrderFilter(),  # noqa: B008  # frozen
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[OrderView]:
        """Return orders by the time they were intended, those of no cycle too."""
        chosen = Where()
        chosen.of(where.run, where.account)
        chosen.add("symbol = ?", where.symbol)
        chosen.add("role = ?", where.role)
        chosen.add("(ended_at IS NOT NULL) = ?", where.is_finished)
        chosen.add("intended_at >= ?", where.begin)
        chosen.add("intended_at < ?", where.end)
        order = Order("intended_at", "account || '/' || client_id")
        select = "SELECT * FROM trade_order"
        return await self._reader.page(maker(OrderView), select, order, chosen, limit, before)

    async def executions(
        self,
        run: str | None = None,
        account: str | None = None,
        *,
        limit: int = 50,
        before: Cursor | None = None,
    ) -> Page[ExecutionView]:
        """Return fills by the time they were booked."""
        where = Where()
        where.of(run, account)
        order = Order("booked_at", "account || '/' || exec_id")
        return await self._reader.page(_execution, _EXECUTION, order, where, limit, before)

    async def all_executions(
        self,
        account: str | None = None,
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
    ) -> AsyncIterator[ExecutionView]:
        """Yield fills booked from `begin` on and before `end`, oldest first, without a limit."""
        where = Where()
        where.add("account = ?", account)
        where.add("booked_at >= ?", begin)
        where.add("booked_at < ?", end)
        sql = f"{_EXECUTION} WHERE {where.sql} ORDER BY booked_at, account, exec_id"
        async for row in self._reader.stream(sql, *where.values):
            yield _execution(row)


def _where(asked: CycleFilter) -> Where:
    where = Where()
    where.of(asked.run, asked.account)
    where.among("state", asked.states)
    where.add("start_asset = ?", asked.start_asset)
    where.contains("key", asked.key)
    where.add("(profit > 0) = ?", asked.is_won)
    where.add("is_recovered = ?", asked.is_recovered)
    where.add("opened_at >= ?", asked.begin)
    where.add("opened_at < ?", asked.end)
    return where


# ── parts of a cycle ─────────────────────────────────────────────────────────────────────────────


async def _detail(reader: Reader, row: Any) -> CycleDetail:
    of = (run_id(row["run"]), row["number"])
    flows = await reader.rows(_of_cycle("cycle_flow", "asset"), *of)
    legs = await reader.rows(_of_cycle("leg_outcome", "leg"), *of)
    orders = await reader.rows(_of_cycle("trade_order", "intended_at, client_id"), *of)
    fills = await reader.rows(
        f"{_EXECUTION} WHERE run = $1 AND cycle = $2 ORDER BY booked_at, exec_id", *of
    )
    books = await reader.rows(_of_cycle("book_snapshot", "seq"), *of)
    notes = await reader.rows(_of_cycle("cycle_note", "seq"), *of)
    return CycleDetail(
        cycle=value_of(CycleView, row),
        flows=tuple(value_of(FlowView, one) for one in flows),
        legs=tuple(value_of(LegView, one) for one in legs),
        orders=tuple(value_of(OrderView, one) for one in orders),
        executions=tuple(_execution(one) for one in fills),
        unwinds=await _unwinds(reader, of),
        attribution=await _attribution(reader, of),
        books=tuple(_book(one) for one in books),
        notes=tuple(value_of(NoteView, one) for one in notes),
    )


def _of_cycle(table: str, order: str) -> str:
    return f"SELECT * FROM {table} WHERE run = $1 AND cycle = $2 ORDER BY {order}"


async def _unwinds(reader: Reader, of: tuple[Any, int]) -> tuple[UnwindView, ...]:
    rows = await reader.rows(_of_cycle("unwind_decision", "seq"), *of)
    ways = await reader.rows(
        "SELECT * FROM unwind_candidate WHERE run = $1 AND seq = ANY ($2) ORDER BY seq, rank",
        *(of[0], [row["seq"] for row in rows]),
    )
    found = grouped([(way["seq"], value_of(CandidateView, way)) for way in ways])
    return tuple(
        value_of(UnwindView, row, candidates=tuple(found.get(row["seq"], ()))) for row in rows
    )


async def _attribution(reader: Reader, of: tuple[Any, int]) -> Mapping[str, Decimal]:
    row = await reader.row(_of_cycle("attribution", "cycle"), *of)
    return {} if row is None else {name: row[name] for name in ATTRIBUTION_NAMES}


def _book(row: Any) -> BookView:
    return value_of(
        BookView,
        row,
        bids=tuple(zip(row["bid_prices"], row["bid_quantities"], strict=True)),
        asks=tuple(zip(row["ask_prices"], row["ask_quantities"], strict=True)),
    )


def _execution(row: Any) -> ExecutionView:
    fees = zip(row["fee_assets"], row["fee_amounts"], strict=True)
    return value_of(ExecutionView, row, fees=tuple(FeeView(*fee) for fee in fees))
