"""What risk rules may look at, read off the machine; satisfies `RiskView`."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from arbitrade.book import OrderBook
from arbitrade.config.risk import RiskLimits
from arbitrade.errors import BookOutOfSyncError
from arbitrade.models import Opportunity, TradingState, VenueState
from arbitrade.pricing import FeeSchedule
from arbitrade.risk.limits import LimitBook
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.quoting import Quoting
from arbitrade.trading.machine.state import MachineState

ZERO = Decimal(0)


class TraderView:
    """Satisfies `RiskView`.

    Large because a rule may look at that much: a property for each fact, each of a line or two.

    Args:
        state: Orders, balances, cycles, and how things stand.
        ports: Books, and the venue's state.
        quoting: What may be spent.
        limit_book: The limits.
    """

    def __init__(
        self, state: MachineState, ports: Ports, quoting: Quoting, limit_book: LimitBook
    ) -> None:
        self._state = state
        self._ports = ports
        self._quoting = quoting
        self._limit_book = limit_book
        self._message_ns: int | None = None

    def at_message(self, opportunity: Opportunity) -> None:
        """Note which message is at hand."""
        timestamp = opportunity.timestamp
        try:
            sent = None if timestamp is None else datetime.fromisoformat(timestamp)
        except ValueError:
            sent = None
        self._message_ns = None if sent is None else round(sent.timestamp() * 1e6) * 1000

    @property
    def now_ns(self) -> int:
        """Time of the event at hand."""
        return self._state.now_ns

    @property
    def limits(self) -> RiskLimits:
        """As they are now."""
        return self._limit_book.limits

    @property
    def limits_version(self) -> int:
        """How often they were changed."""
        return self._limit_book.version

    @property
    def fees(self) -> FeeSchedule:
        """What orders cost, by pair where the account tells."""
        return self._state.fees

    @property
    def venue_state(self) -> VenueState:
        """State of the matching engine."""
        return self._ports.venue_state()

    @property
    def trading_state(self) -> TradingState:
        """What the bot may do."""
        return self._state.trading_state

    @property
    def halt_reason(self) -> str:
        """Why it isn't ACTIVE; empty when it is."""
        return self._state.halt_reason

    @property
    def journal_problem(self) -> str:
        """What is wrong with the journal or the database behind it; empty when nothing is."""
        return self._state.journal_problem

    @property
    def clock_skew_s(self) -> float:
        """How far the wall clock is off the run's, or the venue's."""
        return self._state.clock_skew_s

    @property
    def event_lag_s(self) -> float:
        """For how long the event loop was held up."""
        return self._state.event_lag_s

    def book(self, symbol: str) -> OrderBook | None:
        """Return a book as it is now, None where there is none."""
        return self._ports.books().get(symbol)

    def book_age_s(self, symbol: str) -> float | None:
        """Return seconds since its last message by the venue's time."""
        book = self.book(symbol)
        if book is None or book.timestamp is None:
            return None
        try:
            sent = datetime.fromisoformat(book.timestamp).timestamp()
        except ValueError:
            return None
        return max(0.0, self.now_ns / 1e9 - sent)

    @property
    def decision_age_s(self) -> float | None:
        """Seconds since the venue's time of the message at hand."""
        if self._message_ns is None:
            return None
        return max(0.0, (self.now_ns - self._message_ns) / 1e9)

    def available(self, asset: str) -> Decimal:
        """Return what new cycles may spend."""
        return self._quoting.available(asset)

    def value(self, asset: str, amount: Decimal) -> Decimal | None:
        """Return an amount in the reference asset."""
        return self._state.valuation.value(asset, amount, self.limits.reference_asset)

    @property
    def open_cycles(self) -> int:
        """How many cycles are under way, unwinding ones included."""
        return len(self._state.cycles)

    @property
    def symbols_in_use(self) -> Collection[str]:
        """Pairs of open cycles."""
        return {symbol for cycle in self._state.cycles.values() for symbol in cycle.symbols_in_use}

    def is_open(self, key: str) -> bool:
        """Tell whether such a cycle is under way."""
        return any(cycle.key == key for cycle in self._state.cycles.values())

    @property
    def in_flight(self) -> Decimal:
        """Planned input of open cycles and baskets."""
        total = ZERO
        for cycle in self._state.cycles.values():
            total += self._worth(cycle.start, cycle.approved.plan.spent)
        return total

    def exposure(self, asset: str) -> Decimal:
        """Return what open cycles hold or may come to hold of an asset."""
        total = ZERO
        for cycle in self._state.cycles.values():
            total += max(ZERO, self._worth(asset, cycle.exposed(asset)))
        return total

    def _worth(self, asset: str, amount: Decimal) -> Decimal:
        """Return an amount of what is out in the reference asset.

        Raises:
            BookOutOfSyncError: No book tells, so no limit can be kept: whoever asks has to refuse.
        """
        worth = self.value(asset, amount)
        if worth is None:
            raise BookOutOfSyncError(
                f"{amount} {asset} of open cycles can't be valued in {self.limits.reference_asset}"
            )
        return worth

    def failed_at_ns(self, key: str) -> int | None:
        """Return when such a cycle last failed."""
        return self._state.portfolio.failed_at_ns(key)

    @property
    def consecutive_failures(self) -> int:
        """Cycles in a row that didn't complete."""
        return self._state.portfolio.consecutive_failures

    @property
    def last_failure_ns(self) -> int | None:
        """When the last of them ended."""
        return self._state.portfolio.last_failure_ns

    @property
    def orders_last_minute(self) -> int:
        """Orders sent in the last sixty seconds."""
        return self._state.portfolio.orders_last_minute(self.now_ns)

    @property
    def realised_today(self) -> Decimal:
        """Realised profit since midnight UTC."""
        return self._state.portfolio.realised_today(self.now_ns)

    @property
    def drawdown(self) -> Decimal:
        """How far realised profit is below its peak."""
        return self._state.portfolio.drawdown

    @property
    def is_account_ready(self) -> bool:
        """Orders of new cycles may go out."""
        return self._state.is_connected and not self._state.balance_problem

    @property
    def account_problem(self) -> str:
        """Why orders of new cycles may not go out; empty when they may."""
        return self._state.connection_problem or self._state.balance_problem
