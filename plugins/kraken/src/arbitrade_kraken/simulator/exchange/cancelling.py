"""Where orders are cancelled: one by one, in batches, or all of an account."""

from collections.abc import Mapping, Sequence

from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange import rates
from arbitrade_kraken.simulator.exchange.accounts import CustomerAccount
from arbitrade_kraken.simulator.exchange.checks import check_cancels, invalid
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.matching import Matching
from arbitrade_kraken.simulator.exchange.orders import CancelResult, Order, OrderRef, VenueRefusal
from arbitrade_kraken.simulator.exchange.state import ExchangeState
from arbitrade_kraken.simulator.exchange.telling import Teller


class Cancelling:
    """Cancels orders as their account asks; a batch that makes no sense raises `VenueRefusal`."""

    def __init__(
        self,
        state: ExchangeState,
        matching: Matching,
        settings: ExchangeSettings,
        clock: Clock,
        teller: Teller,
    ) -> None:
        self._state = state
        self._matching = matching
        self._settings = settings
        self._clock = clock
        self._teller = teller

    def cancel(self, account: CustomerAccount, refs: Sequence[OrderRef]) -> Sequence[CancelResult]:
        """Cancel each of these; return a row for each order, in which a refusal stands too."""
        rows: list[CancelResult] = []
        for ref in refs:
            found = account.find_standing(ref)
            if not found:
                rows.append(CancelResult(ref, None, self._settings.gone_order))
            for order in found:
                try:
                    self._cancel_one(
                        account, order, is_counted=not self._settings.cancels_when_full
                    )
                    rows.append(CancelResult(ref, order.copy()))
                except VenueRefusal as refusal:
                    rows.append(CancelResult(ref, None, str(refusal)))
        return rows

    def cancel_batch(self, account: CustomerAccount, refs: Sequence[OrderRef]) -> int:
        """Cancel 2 to 50 orders, even if that overshoots the counter; return how many went."""
        if not 2 <= len(refs) <= 50:
            raise invalid("orders")
        # The counter is asked before anything is cancelled; after that the batch may overshoot it.
        for symbol in {order.symbol for ref in refs for order in account.find_standing(ref)}:
            account.counters.check(symbol, self._clock.now_ns())
        orders = [order for ref in refs for order in account.find_standing(ref)]
        return self._cancel_these(account, {order.order_id: order for order in orders})

    def cancel_all(self, account: CustomerAccount) -> int:
        """Cancel everything of the account that stands; return how many that was."""
        return self._cancel_these(account, dict(account.standing))

    def _cancel_these(self, account: CustomerAccount, orders: Mapping[str, Order]) -> int:
        count = 0
        for order in orders.values():
            try:
                self._cancel_one(account, order, is_counted=False)
            except VenueRefusal:
                continue
            count += 1
        return count

    def _cancel_one(self, account: CustomerAccount, order: Order, *, is_counted: bool) -> None:
        """Cancel an order and charge for it; `is_counted` refuses while the counter is full."""
        pair, now = self._state.pairs[order.symbol], self._clock.now_ns()
        check_cancels(self._state.engine, pair.status, self._settings.unavailable)
        if is_counted:
            account.counters.check(pair.symbol, now)
        account.counters.add(pair.symbol, rates.cancel_points(now - order.aged_ns), now)
        self._teller.touch(pair.symbol)
        self._matching.end(order, self._settings.reasons.user)
