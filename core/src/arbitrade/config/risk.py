"""The limits of risk as one value, so that a cycle can keep those it began with."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade.config.fields import setting


@attrs.frozen
class RiskLimits:
    """Section `risk`.  0 switches a limit off where its line says so."""

    reference_asset: str = setting(
        "USD", "Asset that limits across assets are valued in.", hint='write "EUR"'
    )
    minimum_edge_bps: Decimal = setting(
        Decimal(0),
        "Net edge an opportunity must exceed.",
        unit="basis points after fees",
        minimum=-10_000,
        maximum=100_000,
    )
    maximum_notional: Decimal = setting(
        Decimal(1_000),
        "Most a single cycle may put in; 0 for no limit.",
        unit="reference asset",
        minimum=0,
    )
    maximum_per_asset: Decimal = setting(
        Decimal(5_000),
        "Most open cycles may come to hold of one asset; 0 for no limit.",
        unit="reference asset",
        minimum=0,
    )
    maximum_in_flight: Decimal = setting(
        Decimal(5_000),
        "Most all open cycles together may put in; 0 for no limit.",
        unit="reference asset",
        minimum=0,
    )
    maximum_cycles: int = setting(3, "Cycles under way at once.", minimum=0, maximum=100)
    share_books: bool = setting(
        False, "Let two open cycles use the same pair; what one takes is off the other's book."
    )
    balance_share: Decimal = setting(
        Decimal(1),
        "Part of an asset's available balance that one cycle may put in.",
        unit="fraction",
        minimum=0,
        maximum=1,
    )
    reserve: Mapping[str, Decimal] = setting(
        {},
        "Amounts by asset that are never put in.",
        minimum=0,
        example={"USD": Decimal(100)},
    )
    maximum_book_age_s: Decimal = setting(
        Decimal(0),
        "Oldest last message of each book of a cycle; 0 for no limit: a quiet book is not stale.",
        unit="s",
        minimum=0,
    )
    maximum_decision_age_s: Decimal = setting(
        Decimal(2),
        "Most time between the venue's timestamp and the decision; 0 for no limit.",
        unit="s",
        minimum=0,
    )
    cooldown_s: Decimal = setting(
        Decimal(10),
        "A cycle that did not complete is left alone for so long.",
        unit="s",
        minimum=0,
    )
    maximum_orders_per_minute: int = setting(
        60, "Orders in any sixty seconds; 0 for no limit.", minimum=0
    )
    maximum_daily_loss: Decimal = setting(
        Decimal(100),
        "Realised loss since midnight UTC at which no cycle begins any more; 0 for no limit.",
        unit="reference asset",
        minimum=0,
    )
    maximum_drawdown: Decimal = setting(
        Decimal(200),
        "Fall of realised profit from its peak at which no cycle begins any more; 0 for no limit.",
        unit="reference asset",
        minimum=0,
    )
    maximum_failures: int = setting(
        5,
        "Cycles in a row that don't complete before trading pauses; 0 for no limit.",
        minimum=0,
    )
    retry_after_s: Decimal = setting(
        Decimal(60),
        "Length of that pause; then one cycle is tried, and its end decides.",
        unit="s",
        minimum=0,
    )
    maximum_clock_skew_s: Decimal = setting(
        Decimal(1),
        "Farthest our clock may be off; 0 for no limit.",
        unit="s",
        minimum=0,
    )
    maximum_event_lag_s: Decimal = setting(
        Decimal(1),
        "Longest the event loop may have been held up; 0 for no limit.",
        unit="s",
        minimum=0,
    )
    unwind_loss_cap: Decimal = setting(
        Decimal(25),
        "Most that getting out of one cycle may cost; beyond it the rest is held and flagged.",
        unit="reference asset",
        minimum=0,
    )
