"""What can be asked of an account: exactly, as of now, without the lag that faces may add."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.accounts import Accounts, Holding
from arbitrade_kraken.simulator.exchange.events import LedgerEntry
from arbitrade_kraken.simulator.exchange.fees import FeeQuote
from arbitrade_kraken.simulator.exchange.orders import Order, OrderFill, OrderRef
from arbitrade_kraken.simulator.exchange.settlement import Settlement
from arbitrade_kraken.simulator.exchange.state import ExchangeState


class Inquiry:
    """Answers with copies; asking changes nothing.

    Every method raises `UsageError` for the name of an account that is not open.
    """

    def __init__(
        self, accounts: Accounts, state: ExchangeState, settlement: Settlement, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._state = state
        self._settlement = settlement
        self._clock = clock

    # ── orders ───────────────────────────────────────────────────────────────────────────────────

    def order(self, account: str, order_id: str) -> Order | None:
        """Return an order, open or closed."""
        order = self._accounts.get(account).orders.get(order_id)
        return order.copy() if order is not None else None

    def find_orders(self, account: str, ref: OrderRef) -> Sequence[Order]:
        """Return the orders meant, newest first, open or closed."""
        orders = reversed(self._accounts.get(account).orders.values())
        return tuple(
            order.copy()
            for order in orders
            if (ref.order_id is not None and order.order_id == ref.order_id)
            or (ref.client_id is not None and order.client_id == ref.client_id)
            or (ref.userref is not None and order.userref == ref.userref)
        )

    def open_orders(self, account: str) -> Sequence[Order]:
        """Return the open orders, oldest first."""
        return tuple(order.copy() for order in self._accounts.get(account).standing.values())

    def closed_orders(self, account: str) -> Sequence[Order]:
        """Return orders that ended, the latest end first."""
        orders = self._accounts.get(account).orders.values()
        closed = [order for order in orders if not order.is_open]
        closed.sort(key=lambda order: -(order.closed_ns or 0))
        return tuple(order.copy() for order in closed)

    # ── money ────────────────────────────────────────────────────────────────────────────────────

    def fills(self, account: str) -> Sequence[OrderFill]:
        """Return all fills, oldest first."""
        return tuple(self._accounts.get(account).fills)

    def ledger(self, account: str) -> Sequence[LedgerEntry]:
        """Return all ledger rows, oldest first."""
        return tuple(self._accounts.get(account).ledger)

    def holdings(self, account: str) -> Mapping[str, Holding]:
        """Return balances and holds by v2 asset, only assets the account ever had."""
        return self._accounts.get(account).holdings()

    def fee_quote(self, account: str, symbol: str) -> FeeQuote:
        """Return what the account pays on a pair now, with the tiers around it.

        Raises:
            VenueRefusal: `EQuery:Unknown asset pair`.
        """
        return self._settlement.fee_quote(self._accounts.get(account), self._state.pair(symbol))

    def volume_30d(self, account: str) -> Decimal:
        """Return the 30-day volume in USD that the fee tier follows."""
        return self._accounts.get(account).volume.at(self._clock.now_ns())

    def rate_counter(self, account: str, symbol: str) -> Decimal:
        """Return the trading counter of a pair now, decayed."""
        return self._accounts.get(account).counters.value(symbol, self._clock.now_ns())
