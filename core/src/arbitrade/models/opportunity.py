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
    """A cycle or a basket above its detector's threshold now.  Exact, never through a float.

    A basket is entered by legs between the start asset and one asset each, in no order, and held
    until its executor leaves it.  What it brings is the detector's estimate: `edge_bps` and
    `profit` then say what is expected after all fees, those of leaving included.

    Args:
        detector: Name of the detector that found it.
        key: Identifies it over time, the same for every sighting.
        assets: Start asset first.  Of a cycle, leg i turns assets[i] into assets[i+1], the last
            into the first; of a basket, leg i is about assets[i+1].
        legs: In trading order.
        edge_bps: Net edge at the best prices after fees, in basis points.
        size: Optimal input before lots and caps, in the start asset, fees in quote included.
        profit: What that size returns above itself, in the start asset.
        orders: The legs in whole lots, from the same books.  Empty when `blocked`.
        lot_profit: What those orders return above what they spend, dust valued at zero.
        dust: What they leave over.
        blocked: Why it can't be traded as it is, with subject and value; None when it can.
        timestamp: The venue's time of the book message that showed it.
        weights: Of a basket, for each leg its part of `size`, their sum without signs at most 1:
            positive, bought with the start asset; negative, sold out of what the account has and
            bought back at the end.  Empty for a cycle.
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
    weights: tuple[Decimal, ...] = ()

    @property
    def is_basket(self) -> bool:
        """True for a basket, False for a cycle."""
        return bool(self.weights)


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
