"""What is read back of runs, and of what they measured."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import attrs


@attrs.frozen
class RunView:
    """A run; `ended_at` is None while it runs, or if it ended without a word."""

    run: str
    account: str
    mode: str
    venue: str
    version: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    decisions: int | None
    decision_hash: str | None
    settings_digest: str


@attrs.frozen
class RunSummary:
    """A run in one line: cycles by state, profit by asset, how much of what."""

    run: RunView
    cycles: Mapping[str, int]
    profit: Mapping[str, Decimal]
    orders: int
    executions: int
    opportunities: int


@attrs.frozen
class LatencyView:
    """A latency over the stretches it was measured in, in microseconds.

    Args:
        p50_us: Median of their medians.
        p99_us: The worst of theirs.
    """

    name: str
    count: int
    p50_us: Decimal
    p99_us: Decimal
    maximum_us: Decimal


@attrs.frozen
class LatencyPoint:
    """One measurement of a latency, in microseconds, over the stretch from `from_at` to `at`."""

    name: str
    from_at: datetime
    at: datetime
    count: int
    p50_us: Decimal
    p99_us: Decimal
    p999_us: Decimal
    maximum_us: Decimal


@attrs.frozen
class InstrumentView:
    """A pair as the venue described it last in a run.

    Precisions count decimals; `minimum_quantity` is in base, `minimum_notional` in quote.
    """

    symbol: str
    seen_at: datetime
    base: str
    quote: str
    status: str
    price_precision: int
    quantity_precision: int
    cost_precision: int
    price_increment: Decimal
    quantity_increment: Decimal
    minimum_quantity: Decimal
    minimum_notional: Decimal
