"""What detectors find, and what became of it."""

from decimal import Decimal

import attrs

from arbitrade.models.market import Side


@attrs.frozen
class Leg:
    """One conversion of a plan.

    `buy` spends the quote asset for the base asset, `sell` the other way round.
    """

    symbol: str
    side: Side


@attrs.frozen
class PlannedOrder:
    """An order as it would be sent: on the venue's increments, at or above its minimums.

    Args:
        quantity: In base, rounded down to the lot step.
        limit_price: The worst price the walk through depth touches, in quote.
    """

    symbol: str
    side: Side
    quantity: Decimal
    limit_price: Decimal


@attrs.frozen
class Dust:
    """What rounding to lots leaves over in an asset, valued in the start asset."""

    asset: str
    amount: Decimal
    value: Decimal


@attrs.frozen
class Opportunity:
    """A cycle above its detector's threshold now.  Exact: nothing in it went through a float.

    Args:
        detector: Name of the detector that found it.
        key: Identifies the cycle over time, the same for every sighting.
        assets: Start asset first; leg i turns assets[i] into assets[i+1], the last into the first.
        legs: In trading order.
        edge_bps: Net edge at the best prices after fees, in basis points.
        size: Optimal input before lots and caps, in the start asset, fees in quote included.
        profit: What that size returns above itself, in the start asset.
        orders: The legs in whole lots, from the same books.  Empty when `blocked`.
        lot_profit: What those orders return above what they spend, dust valued at zero.
        dust: What they leave over.
        blocked: Why it can't be traded as it is, with subject and value; None when it can.
        timestamp: The venue's time of the book message that showed it.
    """

    detector: str
    key: str
    assets: tuple[str, ...]
    legs: tuple[Leg, ...]
    edge_bps: Decimal
    size: Decimal
    profit: Decimal
    orders: tuple[PlannedOrder, ...]
    lot_profit: Decimal
    dust: tuple[Dust, ...]
    blocked: str | None
    timestamp: str | None


@attrs.frozen
class Episode:
    """One uninterrupted life of an opportunity.

    Times are the venue's timestamps of the book messages, None where it sent none.

    Args:
        key: The opportunity's key.
        first_seen: Message that first showed it.
        last_seen: Last message that still showed it.
        ended: Message that showed it gone; None while it lives, or when the input ended first.
        peak_edge_bps: Highest net edge seen.
        peak_profit: Highest profit seen, in the start asset.
        sightings: How many messages showed it.
        lifetime_s: Seconds from first to last sighting; None without timestamps.
    """

    key: str
    first_seen: str | None
    last_seen: str | None
    ended: str | None
    peak_edge_bps: Decimal
    peak_profit: Decimal
    sightings: int
    lifetime_s: float | None
