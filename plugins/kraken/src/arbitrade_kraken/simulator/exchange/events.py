"""What the exchange tells whoever listens, in the order it happens."""

from collections.abc import Sequence
from decimal import Decimal

import attrs

from arbitrade.models import Level, Side
from arbitrade_kraken.simulator.exchange.orders import Order, OrderFill


@attrs.define(eq=False)
class BookChanged:
    """What subscribers of one book at one depth have to be told.

    One such event per watched (symbol, depth); the levels are in no price order, the same price may
    occur twice (the later counts), zero lots remove.  Not frozen because one is made per frame.

    Args:
        bids: (ticks, lots) in 10^-price_decimals and 10^-lot_decimals of the pair now.
        checksum: After the change, true.
        time_ns: Of the change.
    """

    symbol: str
    depth: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    checksum: int
    time_ns: int


@attrs.frozen
class BookSnapshot:
    """A book as a fresh subscriber sees it; best first.  Answer of `Exchange.book`.

    Args:
        time_ns: Of the last change, so older than the request for a quiet book.
    """

    symbol: str
    depth: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    checksum: int
    time_ns: int


@attrs.frozen
class PublicTrade:
    """A trade as everybody sees it.  `side` and `order_type` are the taker's."""

    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    order_type: str
    trade_id: int
    time_ns: int


@attrs.frozen
class PairChanged:
    """A pair's status, precision or minimum changed; ask `Exchange.pair` for the row.

    With `is_rescaled` the integers of its book mean something else from now on.
    """

    symbol: str
    is_rescaled: bool


@attrs.frozen
class EngineChanged:
    """The matching engine's state: `online`, `post_only`, `cancel_only` or `maintenance`."""

    state: str


@attrs.frozen
class OrderEvent:
    """One report of the executions stream.

    Args:
        exec_type: `pending_new`, `new`, `trade`, `filled`, `amended`, `restated`, `canceled`,
            `expired`.
        order_status: As the venue writes it in this event: a `trade` always says
            `partially_filled`.
        order: A copy, as the order stood after the event.
        fill: Of a `trade`.
        reason: Of an ending or an amend.
        rate_counter: The account's trading counter of the pair after the event.
    """

    account: str
    exec_type: str
    order_status: str
    order: Order
    fill: OrderFill | None
    reason: str | None
    rate_counter: Decimal
    time_ns: int


@attrs.frozen
class LedgerEntry:
    """One row of an account's ledger, and one message of the balances stream.

    balance after = balance before + amount − fee, exactly, at the asset's ledger precision.

    Args:
        reference: What caused it; the two rows of a trade share it (it is the fill's `exec_id`).
        kind: `trade`, `deposit`, `withdrawal`, `transfer`, …
        asset: v2 name.
        fee: Positive, negative for a rebate.
        wallet: `main`, or the earn wallet's id.
    """

    account: str
    ledger_id: str
    reference: str
    kind: str
    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal
    wallet: str
    time_ns: int


type ExchangeEvent = (
    BookChanged | PublicTrade | PairChanged | EngineChanged | OrderEvent | LedgerEntry
)
