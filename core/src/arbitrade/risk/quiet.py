"""A view of nothing: what rules are built with when nothing runs."""

from collections.abc import Collection
from decimal import Decimal

import attrs

from arbitrade.book import OrderBook
from arbitrade.config.risk import RiskLimits
from arbitrade.models import TradingState, VenueState
from arbitrade.pricing import FeeSchedule
from arbitrade.risk.amounts import ZERO

_ENTRY_FEES = FeeSchedule(Decimal("0.0040"))


@attrs.frozen
class QuietView:
    """Everything is healthy, nothing is under way, and there is nothing to trade with.

    Args:
        limits: The limits, by default those of the settings.
        fees: What orders would cost.
    """

    limits: RiskLimits = attrs.field(factory=RiskLimits)
    fees: FeeSchedule = _ENTRY_FEES
    now_ns: int = 0
    limits_version: int = 0
    trading_state: TradingState = TradingState.ACTIVE
    halt_reason: str = ""
    venue_state: VenueState = VenueState.ONLINE
    decision_age_s: float | None = 0.0
    open_cycles: int = 0
    symbols_in_use: Collection[str] = ()
    in_flight: Decimal = ZERO
    consecutive_failures: int = 0
    last_failure_ns: int | None = None
    orders_last_minute: int = 0
    realised_today: Decimal = ZERO
    drawdown: Decimal = ZERO
    is_account_ready: bool = True
    account_problem: str = ""
    clock_skew_s: float = 0.0
    journal_problem: str = ""
    event_lag_s: float = 0.0

    def book(self, symbol: str) -> OrderBook | None:
        """Return None: no book was seen."""
        return None

    def book_age_s(self, symbol: str) -> float | None:
        """Return None: no book was seen."""
        return None

    def available(self, asset: str) -> Decimal:
        """Return 0: there is nothing to trade with."""
        return ZERO

    def value(self, asset: str, amount: Decimal) -> Decimal | None:
        """Return the amount for the reference asset, None for others: no book tells."""
        return amount if asset == self.limits.reference_asset else None

    def is_open(self, key: str) -> bool:
        """Return False: nothing is under way."""
        return False

    def exposure(self, asset: str) -> Decimal:
        """Return 0: nothing is under way."""
        return ZERO

    def failed_at_ns(self, key: str) -> int | None:
        """Return None: nothing has failed."""
        return None
