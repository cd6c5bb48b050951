"""What kind of market is generated."""

import attrs


@attrs.frozen(kw_only=True)
class GeneratedMarketSettings:
    """What a generated market depends on.  The pace is set by who calls `Exchange.step`.

    Args:
        seed: Any integer; another seed is another market.
        volatility: Size of one step of an asset's worth, as a fraction; one per step.
        liquidity: What levels hold, as a multiple of what is usual.
        levels: Levels a side a book has before anybody asks for more.
        edge_every: Mean number of steps between two openings of a triangular edge; 0 for none.
        edge_bps: Smallest and largest net edge that opens, after `taker_fee` on every leg.
        edge_lifetime: Mean life of an edge, in steps.  Taking it ends it at once.
        taker_fee: What three legs are assumed to pay, as a fraction of the notional.
        trade_share: Steps in which somebody takes from a book instead of quoting.
        duplicate_share: Messages that name one price twice.
        thin_share: Coins' pairs whose books have fewer than ten levels a side.
    """

    seed: int = 1
    volatility: float = 2e-5
    liquidity: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    levels: int = attrs.field(default=40, validator=attrs.validators.ge(12))
    edge_every: int = attrs.field(default=1_500, validator=attrs.validators.ge(0))
    edge_bps: tuple[float, float] = (1.0, 40.0)
    edge_lifetime: int = attrs.field(default=300, validator=attrs.validators.ge(1))
    taker_fee: float = 0.0040
    trade_share: float = 0.05
    duplicate_share: float = 0.002
    thin_share: float = 0.03
