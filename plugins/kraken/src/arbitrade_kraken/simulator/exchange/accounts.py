"""Accounts: keys, balances, holds, ledgers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs

from arbitrade_kraken.simulator.exchange.events import LedgerEntry
from arbitrade_kraken.simulator.exchange.fees import Volume
from arbitrade_kraken.simulator.exchange.keys import VerificationTier
from arbitrade_kraken.simulator.exchange.orders import Order, OrderFill

if TYPE_CHECKING:
    from arbitrade_kraken.simulator.exchange.rates import TradingCounters

ZERO = Decimal(0)


@attrs.frozen
class Holding:
    """An asset of an account, at its ledger precision.

    Args:
        total: In the spot wallet, held or not.
        held: Reserved by open orders.
        earning: In earn wallets; counted by no order.
    """

    asset: str
    total: Decimal
    held: Decimal
    earning: Decimal = ZERO

    @property
    def available(self) -> Decimal:
        """What a new order may use."""
        return self.total - self.held


@attrs.define(eq=False)
class CustomerAccount:
    """One customer.  Only the exchange changes it; ask `Exchange` for copies.

    Args:
        totals: Spot wallet by v2 asset, what orders hold included.
        earning: Earn wallets by v2 asset.
        orders: All orders ever, by id, oldest first.
        standing: The open ones.
        clients: Ids of open orders by `cl_ord_id`.
        opening: What it began with, by v2 asset; in the ledger these are its first deposits.
        dead_man_s: When everything will be cancelled, whole seconds since the epoch.
    """

    name: str
    tier: VerificationTier
    country: str
    volume: Volume
    counters: "TradingCounters"
    totals: dict[str, Decimal] = attrs.field(factory=dict)
    earning: dict[str, Decimal] = attrs.field(factory=dict)
    orders: dict[str, Order] = attrs.field(factory=dict)
    standing: dict[str, Order] = attrs.field(factory=dict)
    clients: dict[str, str] = attrs.field(factory=dict)
    fills: list[OrderFill] = attrs.field(factory=list)
    ledger: list[LedgerEntry] = attrs.field(factory=list)
    opening: dict[str, Decimal] = attrs.field(factory=dict)
    dead_man_s: int | None = None
    _held: dict[str, Decimal] = attrs.field(factory=dict)

    @property
    def max_rate_count(self) -> int:
        """The tier's threshold of the trading counter: 60, 125 or 180 (`maxratecount`)."""
        return self.counters.limits.threshold

    @property
    def max_open_orders(self) -> int:
        """How many orders of one pair may stand."""
        return self.counters.limits.open_orders

    def held(self, asset: str) -> Decimal:
        """Return what open orders hold of an asset."""
        return self._held.get(asset, ZERO)

    def available(self, asset: str) -> Decimal:
        """Return what a new order may use of an asset."""
        return self.totals.get(asset, ZERO) - self.held(asset)

    def hold(self, order: Order, asset: str, amount: Decimal) -> None:
        """Let an order hold exactly `amount` of an asset from now on."""
        self._held[asset] = self.held(asset) - order.held + amount
        order.held = amount

    def holdings(self) -> Mapping[str, Holding]:
        """Return balances and holds of every asset the account ever had."""
        return {
            asset: Holding(
                asset,
                self.totals.get(asset, ZERO),
                self.held(asset),
                self.earning.get(asset, ZERO),
            )
            for asset in {**self.totals, **self.earning}
        }

    def close(self, order: Order) -> None:
        """Take an order from those that stand."""
        self.standing.pop(order.order_id, None)
        if order.client_id is not None and self.clients.get(order.client_id) == order.order_id:
            del self.clients[order.client_id]
