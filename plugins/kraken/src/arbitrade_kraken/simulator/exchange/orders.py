"""Orders as they are asked for, as they stand and as they were filled; answers to requests."""

from decimal import Decimal

import attrs

from arbitrade.models import Side

ZERO = Decimal(0)


class VenueRefusal(Exception):  # noqa: N818 - a refusal is the venue's answer, not our error
    """The venue says no.  `str()` is the exact text of the answer's `error`."""


@attrs.frozen(kw_only=True)
class NewOrder:
    """An order as a client asks for it, in whichever dialect; already of the right JSON types.

    Args:
        symbol: v2 spelling.
        order_type: The venue's word; all but `limit` and `market` are refused.
        quantity: In base; None only together with `cash_quantity`.
        limit_price: In quote; required for `limit`.
        cash_quantity: In quote, buy market orders only.
        time_in_force: `gtc`, `gtd`, `ioc` or `fok`.
        expire_ns: End of a `gtd` order, nanoseconds since the epoch.
        effective_ns: Scheduled start; refused when in the future.
        deadline_ns: The engine doesn't match after it; None for the default of five seconds.
        received_ns: When the venue's gateway read the request; None for now.  The deadline's range
            is counted from it.
        fee_preference: `base`, `quote` or None for the venue's default.
        stp_type: `cancel_newest`, `cancel_oldest` or `cancel_both`.
        validate: Check only; nothing is placed and no event is sent.
        display_quantity: Of an iceberg; refused.
        has_conditional: A close order came along; refused together with `client_id`, and anyway.
        origin: `ws` or `rest`: FOK and the shortest deadline differ.
    """

    symbol: str
    side: Side
    order_type: str = "limit"
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    cash_quantity: Decimal | None = None
    time_in_force: str = "gtc"
    expire_ns: int | None = None
    effective_ns: int | None = None
    deadline_ns: int | None = None
    received_ns: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    margin: bool = False
    client_id: str | None = None
    userref: int | None = None
    fee_preference: str | None = None
    stp_type: str = "cancel_newest"
    validate: bool = False
    display_quantity: Decimal | None = None
    has_conditional: bool = False
    origin: str = "ws"


@attrs.frozen(kw_only=True)
class OrderRef:
    """What a client calls an order: exactly one of the three.

    A `userref` may mean several orders.
    """

    order_id: str | None = None
    client_id: str | None = None
    userref: int | None = None


@attrs.frozen(kw_only=True)
class Amendment:
    """A change in place.  `quantity` is the new total, not what remains."""

    ref: OrderRef
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    display_quantity: Decimal | None = None
    post_only: bool = False
    deadline_ns: int | None = None
    received_ns: int | None = None
    origin: str = "ws"


@attrs.frozen(kw_only=True)
class Edit:
    """Cancel and replace.  What is None stays as it was."""

    ref: OrderRef
    symbol: str
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    post_only: bool | None = None
    userref: int | None = None
    deadline_ns: int | None = None
    received_ns: int | None = None
    validate: bool = False
    origin: str = "ws"


@attrs.frozen(kw_only=True)
class OrderFill:
    """One fill of one of our orders.

    Args:
        exec_id: Also the `refid` of the two ledger rows.
        trade_id: Counts per pair; the public trade has the same.
        quantity: In base.
        cost: price × quantity in quote at the pair's cost precision, rounded to nearest.
        fee: As reported, at the pair's cost precision in quote (at the base's ledger precision in
            base); negative for a rebate.
        fee_asset: v2 name of the asset the fee is taken in.
        fee_in_quote: The same fee valued in quote, what REST's `fee` shows.
        is_maker: The order was resting.
        ledger_ids: The rows this fill booked, in order.
    """

    exec_id: str
    trade_id: int
    order_id: str
    account: str
    symbol: str
    side: Side
    order_type: str
    price: Decimal
    quantity: Decimal
    cost: Decimal
    fee: Decimal
    fee_asset: str
    fee_in_quote: Decimal
    is_maker: bool
    time_ns: int
    ledger_ids: tuple[str, ...]


@attrs.define(kw_only=True)
class Order:
    """An order at the venue.  Events and queries hand out copies.

    Args:
        status: `pending_new`, `new`, `partially_filled`, `filled`, `canceled` or `expired`.
        held: What it holds of the quote (buy) or base (sell) asset now, the fee included.
        aged_ns: Created or last amended; the rate counter asks how long ago.
        queued: Place in the queue at its price; smaller is earlier.
    """

    order_id: str
    account: str
    symbol: str
    side: Side
    order_type: str
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: str
    client_id: str | None
    userref: int | None
    post_only: bool
    fee_in_base: bool
    stp_type: str
    created_ns: int
    aged_ns: int
    deadline_ns: int
    expire_ns: int | None = None
    cash_quantity: Decimal | None = None
    status: str = "pending_new"
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    held: Decimal = ZERO
    amended: bool = False
    closed_ns: int | None = None
    reason: str | None = None
    replaces: str | None = None
    origin: str = "ws"
    fills: list[str] = attrs.field(factory=list)

    @property
    def remaining(self) -> Decimal:
        """What is still to be filled, in base."""
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        """Cost by filled quantity, unrounded; zero before the first fill."""
        return self.cost / self.filled if self.filled else ZERO

    @property
    def is_open(self) -> bool:
        """True while the order stands."""
        return self.status in ("pending_new", "new", "partially_filled")

    def copy(self) -> "Order":
        """Return the order as it is now."""
        return attrs.evolve(self, fills=list(self.fills))


@attrs.frozen
class Placed:
    """An order was taken.  Answer of `Exchange.add_order` and of a row of a batch.

    Args:
        order: As it stood when the call ended, filled perhaps; its `order_id` is empty for
            `validate`; None in a refused row.
        description: `buy 2.89018610 SOLEUR @ limit 172.31`, what REST calls `descr.order`.
        refusal: Why not, in a row of a batch; None for an order that was taken.
    """

    order: Order | None
    description: str
    refusal: str | None = None


@attrs.frozen
class Amended:
    """An order was changed in place.  Answer of `Exchange.amend_order`."""

    amend_id: str
    order: Order


@attrs.frozen
class DeadManSwitch:
    """Answer of `cancel_all_after`, in whole seconds; `trigger_s` is None when disarmed."""

    current_s: int
    trigger_s: int | None


@attrs.frozen
class CancelResult:
    """One row of the answer to a cancel: the order, or why not."""

    ref: OrderRef
    order: Order | None
    refusal: str | None = None
