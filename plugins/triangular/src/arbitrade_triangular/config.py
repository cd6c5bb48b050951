"""The settings section `triangular`."""

from decimal import Decimal

import attrs

from arbitrade import setting


@attrs.frozen
class TriangularSettings:
    """Which cycles are looked at, and from which edge on they are reported."""

    start_assets: tuple[str, ...] = setting(
        ("USD", "EUR", "GBP", "USDT", "USDC", "BTC", "ETH"),
        "Assets to start from; a cycle starts at the first one it contains, others are not traded.",
        example=("USD", "EUR"),
    )
    min_edge_bps: Decimal = setting(
        Decimal(0),
        "A cycle counts when its net edge is strictly above this; negative shows near misses too.",
        unit="basis points after fees",
        minimum=-9_999,
        maximum=100_000,
        hint="write 5 for 5 bps",
    )
