"""Orders: what is asked for, what the venue answers, what becomes of it."""

import enum
from datetime import datetime
from decimal import Decimal

import attrs

from arbitrade.models.market import Side


class OrderType(enum.Enum):
    """How an order meets the book."""

    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(enum.Enum):
    """How long an order stands."""

    GTC = "gtc"
    """Until cancelled."""
    GTD = "gtd"
    """Until its expiry."""
    IOC = "ioc"
    """What doesn't fill at once is cancelled."""
    FOK = "fok"
    """All at once or nothing."""


class FeeAsset(enum.Enum):
    """Which asset of the pair the fee is taken in."""

    BASE = "base"
    QUOTE = "quote"


class OrderStatus(enum.Enum):
    """Where an order stands.  The last four are final."""

    PENDING = "pending_new"
    OPEN = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """True when nothing more can happen to the order."""
        return self in _FINAL


_FINAL = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED)


@attrs.frozen
class OrderRequest:
    """An order as we want it.

    Args:
        client_id: Our own id, unique among the open orders of the account; by it an order is found
            again whatever happened to its answer.
        quantity: In base.
        limit_price: In quote; None for a market order.
        deadline: The venue must not match the order after this; aware UTC.
        fee_in: Which asset the fee is to be taken in; always said, never left to a default.
        expires_at: End of a `GTD` order; aware UTC.
        is_post_only: Cancel instead of taking.
        is_reduce_only: For margin; a spot venue refuses it.
        is_dry_run: Have it checked only.
    """

    client_id: str
    symbol: str
    side: Side
    quantity: Decimal
    limit_price: Decimal | None
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.IOC
    deadline: datetime | None = None
    fee_in: FeeAsset = FeeAsset.QUOTE
    expires_at: datetime | None = None
    is_post_only: bool = False
    is_reduce_only: bool = False
    is_dry_run: bool = False


@attrs.frozen
class Accepted:
    """The venue took the request.  Not yet a fill.

    Args:
        client_id: Of the order.
        order_id: The venue's id; empty for a dry run.
    """

    client_id: str
    order_id: str


@attrs.frozen
class Rejected:
    """The venue said no; nothing stands.

    Args:
        client_id: Of the order.
        reason: The venue's own words.
        error: Our error for it; its type tells what to do.
    """

    client_id: str
    reason: str
    error: Exception


@attrs.frozen
class Unknown:
    """Nobody knows whether the request arrived: a timeout, a closed socket, a busy venue.

    Never to be taken for a failure and never to be sent again: ask the venue by `client_id`.
    """

    client_id: str
    reason: str


type OrderOutcome = Accepted | Rejected | Unknown


@attrs.frozen
class Fee:
    """A fee as charged; negative for a rebate."""

    asset: str
    amount: Decimal


@attrs.frozen
class ExecutionReport:
    """One event in an order's life, as the venue told it.

    Args:
        order_id: The venue's id.
        client_id: Ours; None for an order that is not ours.
        exec_id: Identifies a fill, so that it is booked once; None for any other event.
        kind: The venue's word: `pending_new`, `new`, `trade`, `filled`, `canceled`, `expired`, …
        status: Where the order stands after it.
        symbol: None where the venue leaves it out; the order is known by its ids.
        side: The same.
        last_quantity: Filled now, in base, as the venue's ledger books it; zero unless a fill.
        last_price: In quote.
        cost: last_quantity × last_price as the ledger books it, in quote.
        fees: Charged for this fill, as the ledger books them; none of zero.
        cumulative_quantity: Filled so far, in base; None where not told.
        cumulative_cost: Paid or got so far, in quote; None where not told.
        is_maker: True if the order was resting; None where not told.
        reason: Why it ended, in the venue's words.
        timestamp: The venue's time, RFC 3339.
    """

    order_id: str
    client_id: str | None
    exec_id: str | None
    kind: str
    status: OrderStatus
    symbol: str | None
    side: Side | None
    last_quantity: Decimal
    last_price: Decimal
    cost: Decimal
    fees: tuple[Fee, ...]
    cumulative_quantity: Decimal | None
    cumulative_cost: Decimal | None
    is_maker: bool | None
    reason: str | None
    timestamp: str | None


@attrs.frozen
class OrderState:
    """What the venue says of an order when asked.

    Args:
        filled_quantity: In base.
        filled_cost: In quote.
        fee: In quote, as the venue sums it up.
    """

    order_id: str
    client_id: str | None
    symbol: str
    side: Side
    status: OrderStatus
    quantity: Decimal
    limit_price: Decimal | None
    filled_quantity: Decimal
    filled_cost: Decimal
    fee: Decimal
    reason: str | None = None
