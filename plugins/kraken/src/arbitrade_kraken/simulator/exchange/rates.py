"""Rate counters: the engine's per account and pair, and REST's per key.

The numbers are those of the venue's guides on API rate limits, May 2026.
"""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade.protocols import Clock
from arbitrade_kraken.simulator.exchange.keys import ApiKey, VerificationTier
from arbitrade_kraken.simulator.exchange.orders import VenueRefusal

_SECOND_NS = 1_000_000_000


@attrs.frozen
class TierLimits:
    """What a tier allows.

    Args:
        threshold: Of the trading counter of one pair.
        decay: Of it, per second.
        open_orders: Per pair.
        calls: Maximum of the REST counter.
        call_decay: Of it, per second.
    """

    threshold: int
    decay: Decimal
    open_orders: int
    calls: int
    call_decay: Decimal


LIMITS: Mapping[VerificationTier, TierLimits] = {
    VerificationTier.STARTER: TierLimits(60, Decimal("1.00"), 60, 15, Decimal("0.33")),
    VerificationTier.INTERMEDIATE: TierLimits(125, Decimal("2.34"), 80, 20, Decimal("0.5")),
    VerificationTier.PRO: TierLimits(180, Decimal("3.75"), 225, 20, Decimal("1.0")),
}

ADD = Decimal(1)
AMEND = Decimal(1)
EDIT = Decimal(1)

_AMEND_BY_AGE = ((5, 3), (10, 2), (15, 1))
_EDIT_BY_AGE = ((5, 6), (10, 5), (15, 4), (45, 2), (90, 1))
_CANCEL_BY_AGE = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))

_COSTLY_CALLS = frozenset({"Ledgers", "QueryLedgers", "TradesHistory", "QueryTrades"})
_FREE_CALLS = frozenset(
    {
        "AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder", "CancelOrder", "CancelOrderBatch",
        "CancelAll", "CancelAllOrdersAfter",
    }
)  # fmt: skip
"""Calls that count in the trading counters instead."""


def amend_points(age_ns: int) -> Decimal:
    """Return what amending an order costs beside the fixed point, by its age."""
    return _by_age(_AMEND_BY_AGE, age_ns)


def edit_points(age_ns: int) -> Decimal:
    """Return what replacing an order costs beside the fixed point, by its age."""
    return _by_age(_EDIT_BY_AGE, age_ns)


def cancel_points(age_ns: int) -> Decimal:
    """Return what cancelling an order costs, by its age."""
    return _by_age(_CANCEL_BY_AGE, age_ns)


def batch_points(count: int) -> Decimal:
    """Return what adding a batch costs: half a point an order."""
    return Decimal(count) / 2


@attrs.define
class DecayingCounter:
    """A counter that decays evenly, exactly to the nanosecond."""

    decay: Decimal
    _value: Decimal = Decimal(0)
    _at_ns: int = 0

    def at(self, now_ns: int) -> Decimal:
        """Return the value at a time, decayed until then."""
        gone = max(0, now_ns - self._at_ns) * self.decay / _SECOND_NS
        return max(Decimal(0), self._value - gone)

    def add(self, points: Decimal, now_ns: int) -> None:
        """Count points, on top of what is left by then."""
        self._value = self.at(now_ns) + points
        self._at_ns = now_ns


class TradingCounters:
    """The engine's counters of one account: one a pair, and perhaps one for all of them."""

    def __init__(self, tier: VerificationTier, domain_limit: Decimal | None) -> None:
        self.limits = LIMITS[tier]
        self._domain_limit = domain_limit
        self._domain = DecayingCounter(self.limits.decay)
        self._pairs: dict[str, DecayingCounter] = {}

    def value(self, symbol: str, now_ns: int) -> Decimal:
        """Return the counter of a pair now."""
        counter = self._pairs.get(symbol)
        return counter.at(now_ns) if counter is not None else Decimal(0)

    def check(self, symbol: str, now_ns: int) -> None:
        """Refuse while a counter is full.

        Raises:
            VenueRefusal: `EOrder:Rate limit exceeded` or `EOrder:Domain rate limit exceeded`.
        """
        if self.value(symbol, now_ns) >= self.limits.threshold:
            raise VenueRefusal("EOrder:Rate limit exceeded")
        if self._domain_limit is not None and self._domain.at(now_ns) >= self._domain_limit:
            raise VenueRefusal("EOrder:Domain rate limit exceeded")

    def add(self, symbol: str, points: Decimal, now_ns: int) -> None:
        """Count points on a pair."""
        self._pairs.setdefault(symbol, DecayingCounter(self.limits.decay)).add(points, now_ns)
        self._domain.add(points, now_ns)


class CallCounters:
    """Counts private REST calls, each key for itself."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counters: dict[str, DecayingCounter] = {}

    def charge(self, key: ApiKey, tier: VerificationTier, method: str) -> None:
        """Count one private call, before it is carried out.

        Raises:
            VenueRefusal: `EAPI:Rate limit exceeded`; the call counts all the same.
        """
        if method in _FREE_CALLS:
            return
        limits, now = LIMITS[tier], self._clock.now_ns()
        counter = self._counters.setdefault(key.key, DecayingCounter(limits.call_decay))
        counter.add(Decimal(4 if method in _COSTLY_CALLS else 1), now)
        if counter.at(now) > limits.calls:
            raise VenueRefusal("EAPI:Rate limit exceeded")

    def value(self, key: ApiKey) -> Decimal:
        """Return a key's counter now."""
        counter = self._counters.get(key.key)
        return counter.at(self._clock.now_ns()) if counter is not None else Decimal(0)


def _by_age(points: tuple[tuple[int, int], ...], age_ns: int) -> Decimal:
    for below_s, cost in points:
        if age_ns < below_s * _SECOND_NS:
            return Decimal(cost)
    return Decimal(0)
