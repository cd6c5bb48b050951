"""What is read back of cycles: their plan, their orders and fills, their end."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import attrs


@attrs.frozen
class CycleView:
    """A cycle; amounts in its start asset.  Of the plan all is None if its record was lost."""

    run: str
    account: str
    number: int
    key: str | None
    start_asset: str | None
    executor: str | None
    state: str
    opened_at: datetime
    closed_at: datetime | None
    edge_bps: Decimal | None
    size: Decimal | None
    planned_spent: Decimal | None
    expected_profit: Decimal | None
    profit: Decimal | None
    profit_reference: Decimal | None
    cap: str | None
    reason: str | None
    is_recovered: bool


@attrs.frozen
class FlowView:
    """What a cycle changed of an asset, and what of that is left outside of the start asset."""

    asset: str
    flow: Decimal
    residual: Decimal


@attrs.frozen
class LegView:
    """A leg: the plan, and the sum of the orders sent for it."""

    leg: int
    symbol: str
    side: str
    quantity: Decimal | None
    limit_price: Decimal | None
    vwap: Decimal | None
    spent: Decimal | None
    received: Decimal | None
    fee: Decimal | None
    fee_asset: str | None
    blocked: str | None
    orders: int
    filled_quantity: Decimal
    filled_cost: Decimal
    actual_spent: Decimal
    actual_received: Decimal

    @property
    def filled_price(self) -> Decimal | None:
        """Average price of what was filled; None if nothing was."""
        return self.filled_cost / self.filled_quantity if self.filled_quantity else None

    @property
    def slippage_bps(self) -> Decimal | None:
        """Average price against the plan's, in basis points; positive is worse."""
        price = self.filled_price
        if price is None or not self.vwap:
            return None
        worse = price - self.vwap if self.side == "buy" else self.vwap - price
        return worse / self.vwap * 10_000


@attrs.frozen
class OrderView:
    """An order from intent to end; answer and end are None before they come."""

    client_id: str
    order_id: str | None
    cycle: int | None
    leg: int
    role: str
    symbol: str
    side: str
    quantity: Decimal
    limit_price: Decimal | None
    intended_at: datetime
    sent_at: datetime | None
    outcome: str | None
    answered_at: datetime | None
    answer_reason: str | None
    status: str | None
    ended_at: datetime | None
    end_reason: str | None
    filled_quantity: Decimal | None
    filled_cost: Decimal | None
    spent: Decimal | None
    received: Decimal | None


@attrs.frozen
class FeeView:
    """A fee; negative for a rebate."""

    asset: str
    amount: Decimal


@attrs.frozen
class ExecutionView:
    """A fill as it was booked."""

    run: str
    account: str
    exec_id: str
    order_id: str
    client_id: str | None
    cycle: int | None
    leg: int
    booked_at: datetime
    venue_at: datetime | None
    symbol: str | None
    side: str | None
    quantity: Decimal
    price: Decimal
    cost: Decimal
    is_maker: bool | None
    is_anomaly: bool
    fees: tuple[FeeView, ...] = ()


@attrs.frozen
class CandidateView:
    """A way out that was looked at."""

    kind: str
    path: Sequence[Mapping[str, str]]
    received: Decimal
    loss: Decimal
    blocked: str | None
    is_chosen: bool


@attrs.frozen
class UnwindView:
    """How a cycle got out of an asset, and between what it chose."""

    at: datetime
    reason: str
    asset: str
    amount: Decimal
    cost: Decimal
    loss_cap: Decimal
    chosen: str
    candidates: tuple[CandidateView, ...]


@attrs.frozen
class BookView:
    """A book at a moment; levels are (price, quantity), best first."""

    at: datetime
    symbol: str
    moment: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


@attrs.frozen
class NoteView:
    """What an executor wrote."""

    at: datetime
    what: str
    fields: Mapping[str, str]


@attrs.frozen
class CycleDetail:
    """All there is about a cycle.  `attribution`: the terms by name, also expected and realised."""

    cycle: CycleView
    flows: tuple[FlowView, ...]
    legs: tuple[LegView, ...]
    orders: tuple[OrderView, ...]
    executions: tuple[ExecutionView, ...]
    unwinds: tuple[UnwindView, ...]
    attribution: Mapping[str, Decimal]
    books: tuple[BookView, ...]
    notes: tuple[NoteView, ...]


@attrs.frozen
class CycleFilter:
    """Which cycles; what is None asks nothing, all the rest must hold.

    Args:
        run: Of this run.
        account: Of this account.
        states: In one of these states; all for none.
        start_asset: That began with this asset.
        key: Whose key contains this text, in any case.
        is_won: True for a profit above zero, False for one of zero or below; closed ones only.
        is_recovered: Whether a crash lay between their opening and their end.
        begin: Opened at this time or later.
        end: Opened before this time.
    """

    run: str | None = None
    account: str | None = None
    states: tuple[str, ...] = ()
    start_asset: str | None = None
    key: str | None = None
    is_won: bool | None = None
    is_recovered: bool | None = None
    begin: datetime | None = None
    end: datetime | None = None


@attrs.frozen
class CycleFigures:
    """Cycles that began with one asset, counted and summed; amounts in that asset, exact.

    Args:
        start_asset: None for those whose plan was lost and that have not ended.
        cycles: How many.
        closed: Of these, ended.
        completed: Of these, as planned.
        traded: Of the closed, those in which anything was filled.
        won: Of the traded, with a profit above zero.
        expected: Profit of the plans of the closed.
        profit: What the closed brought.
        gains: Sum of the profits above zero.
        losses: Sum of the profits below zero, as a positive amount; gains / losses is the profit
            factor.
        mean_duration_s: From opening to end over the closed; None without any.
    """

    start_asset: str | None
    cycles: int
    closed: int
    completed: int
    traded: int
    won: int
    expected: Decimal
    profit: Decimal
    gains: Decimal
    losses: Decimal
    mean_duration_s: Decimal | None


@attrs.frozen
class OrderFilter:
    """Which orders; what is None asks nothing, all the rest must hold.

    Args:
        run: Of this run.
        account: Of this account.
        symbol: Of this pair.
        role: `leg`, `unwind`, `flatten` or `rehearsal`.
        is_finished: Whether its end is known.
        begin: Intended at this time or later.
        end: Intended before this time.
    """

    run: str | None = None
    account: str | None = None
    symbol: str | None = None
    role: str | None = None
    is_finished: bool | None = None
    begin: datetime | None = None
    end: datetime | None = None
