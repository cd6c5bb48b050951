"""What kind of market to make."""

from typing import Self

import attrs


def _positive(instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if value <= 0:
        raise ValueError(f"{attribute.name}: {value} is not above 0; choose a larger one")


def _share(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name}: {value} is not a share; choose one from 0 to 1")


@attrs.frozen(kw_only=True)
class MarketSettings:
    """Everything a synthetic market depends on.

    What is called `…_every` is the mean number of frames between two such events, 0 for never;
    what is called `…_share` is a fraction of the update frames.  `rough` turns all of them on.

    Args:
        seed: Any integer; another seed is another market.
        pairs: Number of pairs, at least 3.
        quote_density: More or fewer triangles among as many pairs: 0 lists coins against few assets
            besides USD and EUR, as the venue does; 1 each coin against all nine, −1 against USD
            alone.
        frames: Frames after the opening (status, instruments, acknowledgements, snapshots).
        depth: Levels a side that a subscriber sees: 10, 25, 100, 500 or 1000.
        frames_per_s: Pace of the market's clock.
        started_at: First moment of the market's clock, in seconds since the epoch.
        volatility: Size of one step of an asset's value, as a fraction; one step per frame.
        liquidity: What levels hold, as a multiple of what is usual; a small one meets the venue's
            minimum order sizes.
        edge_every: Frames between two openings of a triangular edge.
        edge_bps: Smallest and largest net edge that opens, in basis points after `taker_fee` on
            every leg.  A target: ticks and moving prices shift it a little.
        edge_lifetime: Mean life of an edge, in frames.
        taker_fee: What three legs are assumed to pay, as a fraction of the notional.
        lost_every: Updates that never arrive, until `resync_after` a fresh snapshot comes.
        corrupt_every: Updates whose checksum is wrong; also followed by a fresh snapshot.
        resync_after: Mean number of frames from a fault to the fresh snapshot.
        precision_change_every: Changes of a pair's price or quantity decimals.
        status_change_every: Pairs that leave `online` for `outage` frames.
        engine_change_every: The matching engine leaves `online` for `outage` frames.
        crossed_every: Books that are crossed or locked for a while, with valid checksums.
        one_sided_every: Books that lose a whole side for a while.
        outage: Mean length of the four conditions above, in frames.
        thin_share: Pairs (not frames) whose books have fewer than ten levels a side.
        duplicate_share: Messages that name one price twice.
        trimmed_share: Messages whose numbers lost trailing zeros or carry an exponent.
        reordered_share: Messages with other key orders or with white space.
        batched_share: Messages with two entries in `data`.
    """

    seed: int = 1
    pairs: int = attrs.field(default=700, validator=attrs.validators.ge(3))
    quote_density: float = attrs.field(
        default=0.0, validator=[attrs.validators.ge(-1), attrs.validators.le(1)]
    )
    frames: int = attrs.field(default=20_000, validator=attrs.validators.ge(0))
    depth: int = attrs.field(default=10, validator=attrs.validators.in_((10, 25, 100, 500, 1000)))
    frames_per_s: int = attrs.field(default=2_000, validator=_positive)
    started_at: int = 1_767_603_600
    volatility: float = 2e-5
    liquidity: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    edge_every: int = 1_500
    edge_bps: tuple[float, float] = (1.0, 40.0)
    edge_lifetime: int = attrs.field(default=300, validator=_positive)
    taker_fee: float = 0.0040
    lost_every: int = 0
    corrupt_every: int = 0
    resync_after: int = attrs.field(default=60, validator=_positive)
    precision_change_every: int = 0
    status_change_every: int = 0
    engine_change_every: int = 0
    crossed_every: int = 0
    one_sided_every: int = 0
    outage: int = attrs.field(default=150, validator=_positive)
    thin_share: float = attrs.field(default=0.03, validator=_share)
    duplicate_share: float = attrs.field(default=0.002, validator=_share)
    trimmed_share: float = attrs.field(default=0.0, validator=_share)
    reordered_share: float = attrs.field(default=0.0, validator=_share)
    batched_share: float = attrs.field(default=0.0, validator=_share)

    def rough(self) -> Self:
        """Return these settings with every kind of fault and oddity turned on."""
        return attrs.evolve(
            self,
            lost_every=300,
            corrupt_every=500,
            precision_change_every=400,
            status_change_every=350,
            engine_change_every=1_500,
            crossed_every=300,
            one_sided_every=400,
            thin_share=0.15,
            duplicate_share=0.02,
            trimmed_share=0.1,
            reordered_share=0.05,
            batched_share=0.02,
        )
