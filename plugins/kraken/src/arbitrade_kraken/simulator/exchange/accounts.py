"""Accounts: balances, holds, orders, ledgers; and which there are, with their keys."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import attrs

from arbitrade.errors import UsageError
from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.events import LedgerEntry
from arbitrade_kraken.simulator.exchange.fees import Volume
from arbitrade_kraken.simulator.exchange.ids import Identifiers
from arbitrade_kraken.simulator.exchange.keys import TRADING_PERMISSIONS, ApiKey, VerificationTier
from arbitrade_kraken.simulator.exchange.orders import Order, OrderFill, OrderRef
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
    """The account of one customer.  Only the exchange changes it; `Inquiry` hands out copies.

    Args:
        totals: Spot wallet by v2 asset, what orders hold included.
        earning: Earn wallets by v2 asset.
        orders: All orders ever, by id, oldest first.
        standing: The open ones.
        clients: Ids of open orders by `cl_ord_id`.
        opening: What it began with, by v2 asset; in the ledger these are its first deposits.
        dead_man_s: When everything will be cancelled, in whole seconds since the epoch, or None.
    """

    name: str
    tier: VerificationTier
    country: str
    volume: Volume
    counters: TradingCounters
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
        """Take an order from those that stand; its client id is free again from now on."""
        self.standing.pop(order.order_id, None)
        if order.client_id is not None and self.clients.get(order.client_id) == order.order_id:
            del self.clients[order.client_id]

    def find_standing(self, ref: OrderRef) -> Sequence[Order]:
        """Return the open orders meant: one at most, or several by a `userref`."""
        if ref.order_id is not None:
            order = self.standing.get(ref.order_id)
            return () if order is None else (order,)
        if ref.client_id is not None:
            order = self.standing.get(self.clients.get(ref.client_id, ""))
            return () if order is None else (order,)
        if ref.userref is None:
            return ()
        return tuple(order for order in self.standing.values() if order.userref == ref.userref)


class Accounts:
    """All accounts by name, and the keys that open them.

    Args:
        ids: Make keys and secrets, the same for the same seed.
    """

    def __init__(self, ids: Identifiers, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._accounts: dict[str, CustomerAccount] = {}
        self._keys: dict[str, ApiKey] = {}

    def add(self, account: CustomerAccount) -> None:
        """Take in a new account.

        Raises:
            UsageError: The name is taken.
        """
        if account.name in self._accounts:
            raise UsageError(f"account: {account.name!r} is open already; choose another name")
        self._accounts[account.name] = account

    def get(self, name: str) -> CustomerAccount:
        """Return an account.

        Raises:
            UsageError: There is none of this name.
        """
        account = self._accounts.get(name)
        if account is None:
            raise UsageError(f"account: {name!r} is not open; open it first")
        return account

    def all(self) -> Sequence[CustomerAccount]:
        """Return all accounts, in the order they were opened."""
        return tuple(self._accounts.values())

    def make_key(self, account: str, permissions: Iterable[str] | None = None) -> ApiKey:
        """Make an API key; None for the permissions that trading needs, none of them withdrawing.

        Key and secret are made from the seed.  Whoever checks nonces keeps them in the `ApiKey`.

        Raises:
            UsageError: There is no account of this name.
        """
        self.get(account)
        secret = base64.b64encode(self._ids.secret_bytes(64)).decode()
        key = ApiKey(
            name=f"key-{len(self._keys) + 1}",
            account=account,
            key=base64.b64encode(self._ids.secret_bytes(42)).decode(),
            secret=secret,
            permissions=TRADING_PERMISSIONS if permissions is None else frozenset(permissions),
            created_ns=self._clock.now_ns(),
        )
        self._keys[key.key] = key
        return key

    def find_key(self, key: str) -> ApiKey | None:
        """Return the API key whose public part this is."""
        return self._keys.get(key)
