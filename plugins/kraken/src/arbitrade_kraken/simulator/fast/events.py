"""What a `FastVenue` is made with, and what comes out of it."""

import attrs

from arbitrade.models import (
    Balance,
    BalanceChange,
    ConnectionLost,
    ExecutionReport,
    OrderOutcome,
)

type Range = tuple[int, int]
"""The shortest and the longest."""


@attrs.frozen(kw_only=True)
class FastLatency:
    """How long things are on their way, in microseconds (shortest, longest).

    Args:
        feed_us: A public frame to the client.
        request_us: A request to the engine.
        answer_us: An answer or a private event to the client.
        timeout_us: An answer that isn't there after this makes the outcome unknown.
        deadline_us: After sending, for orders that say none.
    """

    feed_us: Range = (300, 3_000)
    request_us: Range = (1_000, 10_000)
    answer_us: Range = (500, 3_000)
    timeout_us: int = 5_000_000
    deadline_us: int = 5_000_000


@attrs.frozen(kw_only=True)
class FastFaults:
    """How often things go wrong; shares are from 0 to 1, of requests unless said otherwise.

    Args:
        lost_request: Never reaches the venue.
        lost_ack: Carried out, but never answered.
        busy_after: Carried out, but answered `EService:Busy`.
        refused: Answered `EService:Unavailable`, and not carried out.
        late: Takes `late_us` longer to the venue: beyond a deadline perhaps.
        early: The order's events come before its answer.
        duplicated: Private events that come twice.
        reordered: Private events that later ones overtake.
        partial: Orders of which a taker gets only a part of each level.
        fee_currency: Orders whose first fee is taken in the other asset.
        corrupted: Market steps whose next frame carries a wrong checksum.
        dropped: Market steps whose next frame is not sent.
        private_gap_s: Mean time between two losses of the private connection; 0 for never.
        public_gap_s: Mean time between two losses of market data; 0 for never.
        gap_ms: How long a connection stays away.
        late_us: See `late`.
    """

    lost_request: float = 0.0
    lost_ack: float = 0.0
    busy_after: float = 0.0
    refused: float = 0.0
    late: float = 0.0
    early: float = 0.0
    duplicated: float = 0.0
    reordered: float = 0.0
    partial: float = 0.0
    fee_currency: float = 0.0
    corrupted: float = 0.0
    dropped: float = 0.0
    private_gap_s: float = 0.0
    public_gap_s: float = 0.0
    gap_ms: Range = (200, 5_000)
    late_us: Range = (1_000_000, 8_000_000)

    @classmethod
    def storm(cls) -> "FastFaults":
        """Return a bit of everything, for soak tests."""
        share = 0.03
        return cls(
            lost_request=share,
            lost_ack=share,
            busy_after=share,
            refused=share,
            late=share,
            early=0.2,
            duplicated=share,
            reordered=share,
            partial=0.1,
            fee_currency=share,
            corrupted=0.0005,
            dropped=0.0005,
            private_gap_s=120.0,
            public_gap_s=120.0,
        )


@attrs.frozen
class PrivateGap:
    """Private events may have been missed: `AccountHandler.on_gap`."""

    reason: str


@attrs.frozen
class PrivateReadiness:
    """Orders may go out, or no more: `AccountHandler.on_ready`."""

    is_ready: bool


@attrs.frozen
class AllBalances:
    """All balances as told when the connection was made: `AccountHandler.on_balances`."""

    balances: tuple[Balance, ...]


@attrs.frozen
class Cancelled:
    """What became of a `cancel_all`: how many orders it reached, None where nobody knows."""

    count: int | None


@attrs.frozen
class Armed:
    """What became of a `cancel_all_after`: whether the venue confirmed it."""

    is_confirmed: bool


type RequestAnswer = OrderOutcome | Cancelled | Armed

type FastEvent = (
    bytes
    | RequestAnswer
    | ExecutionReport
    | BalanceChange
    | ConnectionLost
    | PrivateGap
    | PrivateReadiness
    | AllBalances
)
"""What a client gets; bytes are public frames."""


@attrs.frozen
class Answered:
    """An answer on its way.

    Args:
        key: What was asked for, and about which order.
        number: Of the request.
    """

    key: tuple[str, str]
    number: int
    answer: RequestAnswer
