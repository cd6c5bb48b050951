"""What is read back of opportunities, and of why they were not taken."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs


@attrs.frozen
class FunnelStep:
    """How many opportunities ended how, by which rule."""

    outcome: str
    rule: str
    opportunities: int
    sightings: int
    best_edge_bps: Decimal


@attrs.frozen
class NearMiss:
    """An opportunity that was not taken; each change in `flips` alone would have let it pass."""

    number: int
    key: str
    first_seen_at: datetime
    last_seen_at: datetime
    sightings: int
    best_edge_bps: Decimal
    best_profit: Decimal
    asset: str
    outcome: str
    rule: str
    reason: str
    value: str
    limit: str
    also: tuple[str, ...]
    flips: tuple[Mapping[str, Any], ...]


@attrs.frozen
class OpportunityView:
    """An opportunity from first to last sighting; amounts in its first asset.

    Args:
        number: Within the run.
        legs: In trading order: `symbol`, `side`.
        outcome: `approved`, `refused`, `blocked` or `observed`.
        rule: What decided; empty when it was approved.
        value: What the rule measured, `limit` what it allows, both as text.
        also: Further rules that refused it at the same time.
        flips: Changes, each of which alone would have let it pass: `parameter`, `current`,
            `needed`, `unit`.
        cycle: Number of the cycle it became.
    """

    run: str
    account: str
    number: int
    detector: str
    key: str
    assets: tuple[str, ...]
    legs: tuple[Mapping[str, Any], ...]
    first_seen_at: datetime
    last_seen_at: datetime
    sightings: int
    edge_bps: Decimal
    best_edge_bps: Decimal
    size: Decimal
    profit: Decimal
    best_profit: Decimal
    outcome: str
    rule: str
    reason: str
    value: str
    limit: str
    also: tuple[str, ...]
    flips: tuple[Mapping[str, Any], ...]
    cycle: int | None


@attrs.frozen
class OpportunityFilter:
    """Which opportunities; what is None asks nothing, all the rest must hold.

    Args:
        run: Of this run.
        account: Of this account.
        outcomes: With one of these outcomes; all for none.
        rule: Decided by this rule.
        detector: Found by this detector.
        asset: That go through this asset.
        key: Whose key contains this text, in any case.
        minimum_edge_bps: Whose best edge was at least this.
        minimum_profit: Whose best profit was at least this, in their first asset.
        begin: First seen at this time or later.
        end: First seen before this time.
    """

    run: str | None = None
    account: str | None = None
    outcomes: tuple[str, ...] = ()
    rule: str | None = None
    detector: str | None = None
    asset: str | None = None
    key: str | None = None
    minimum_edge_bps: Decimal | None = None
    minimum_profit: Decimal | None = None
    begin: datetime | None = None
    end: datetime | None = None


@attrs.frozen
class FunnelPoint:
    """What became of the opportunities first seen in a stretch of time that begins at `at`."""

    at: datetime
    outcome: str
    rule: str
    opportunities: int
    sightings: int
    best_edge_bps: Decimal
