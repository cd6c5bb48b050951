"""What happens to orders by the clock alone: the dead man's switch, and the end of `gtd` orders."""

from heapq import heappop, heappush

from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.accounts import Accounts, CustomerAccount
from arbitrade_kraken.simulator.exchange.checks import invalid
from arbitrade_kraken.simulator.exchange.conduct import ExchangeSettings
from arbitrade_kraken.simulator.exchange.matching import Matching
from arbitrade_kraken.simulator.exchange.orders import DeadManSwitch, Order
from arbitrade_kraken.simulator.exchange.state import ExchangeState
from arbitrade_kraken.simulator.exchange.telling import Teller

_SECOND_NS = 1_000_000_000


class OrderTimers:
    """Knows what falls due and when; whoever drives the exchange calls `run` in time."""

    def __init__(
        self,
        accounts: Accounts,
        state: ExchangeState,
        matching: Matching,
        settings: ExchangeSettings,
        clock: Clock,
        teller: Teller,
    ) -> None:
        self._accounts = accounts
        self._state = state
        self._matching = matching
        self._settings = settings
        self._clock = clock
        self._teller = teller
        self._expiries: list[tuple[int, str, str]] = []
        """(due, account, order id) of every order that was to expire, ended since or not."""

    def watch(self, account: CustomerAccount, order: Order) -> None:
        """Let an order expire when its time is over; nothing for one that has no such time."""
        if order.expire_ns is not None:
            heappush(self._expiries, (order.expire_ns, account.name, order.order_id))

    def cancel_all_after(self, account: CustomerAccount, timeout_s: int) -> DeadManSwitch:
        """Arm or disarm the dead man's switch; whole seconds.

        Raises:
            VenueRefusal: Not from 0 to 86399.
        """
        if not 0 <= timeout_s < 86_400:
            raise invalid("timeout")
        now_s = self._clock.now_ns() // _SECOND_NS
        account.dead_man_s = now_s + timeout_s if timeout_s else None
        return DeadManSwitch(now_s, account.dead_man_s)

    def run(self) -> None:
        """Fire what is due; in `maintenance` it waits."""
        if self._state.engine == "maintenance":
            return
        now, reasons = self._clock.now_ns(), self._settings.reasons
        for account in self._accounts.all():
            if account.dead_man_s is not None and account.dead_man_s * _SECOND_NS <= now:
                account.dead_man_s = None
                for order in tuple(account.standing.values()):
                    self._teller.touch(order.symbol)
                    self._matching.end(order, reasons.dead_man)
        while self._expiries and self._expiries[0][0] <= now:
            _, name, order_id = heappop(self._expiries)
            expired = self._accounts.get(name).standing.get(order_id)
            if expired is not None:
                self._teller.touch(expired.symbol)
                self._matching.end(expired, reasons.expiry, "expired")
        self._teller.tell_touched()

    def next_ns(self) -> int | None:
        """Return when something falls due next, None if nothing does."""
        due = [
            account.dead_man_s * _SECOND_NS
            for account in self._accounts.all()
            if account.dead_man_s is not None
        ]
        due += [self._expiries[0][0]] if self._expiries else []
        return min(due, default=None)
