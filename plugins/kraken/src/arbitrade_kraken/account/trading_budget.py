"""The venue's rate counters, kept on our side so that we never run into them.

Both are leaky: what is done adds points, points decay with time, above a threshold the venue
refuses.  Sources: REST documentation, "Rate limits" and "Trading rate limits" (May 2026).
"""

from collections.abc import Callable, Iterable

import attrs

from arbitrade_kraken.rest.call_budget import Tier

_TRADING: dict[Tier, tuple[float, float, int]] = {
    "starter": (60.0, 1.0, 60),
    "intermediate": (125.0, 2.34, 80),
    "pro": (180.0, 3.75, 225),
}
"""Most points of a pair, their decay a second, and the most open orders of a pair."""


_AGES_S = (5.0, 10.0, 15.0, 45.0, 90.0, 300.0)
_CANCEL = (8, 6, 5, 4, 2, 1, 0)
_AMEND = (3, 2, 1, 0, 0, 0, 0)


def tier_of(most_points: int) -> Tier | None:
    """Return the tier whose `maxratecount` this is, None for a number we don't know."""
    return next((tier for tier, row in _TRADING.items() if row[0] == most_points), None)


def cancel_points(age_s: float) -> int:
    """Return what cancelling an order costs, by seconds since it was made or last amended."""
    return _CANCEL[_age_class(age_s)]


def amend_points(age_s: float) -> int:
    """Return what amending an order costs, by seconds since it was made or last amended."""
    return 1 + _AMEND[_age_class(age_s)]


def _age_class(age_s: float) -> int:
    return sum(age_s >= limit for limit in _AGES_S)


@attrs.define
class _PairCounter:
    points: float = 0.0
    at: float = 0.0
    resting: dict[str, float] = attrs.field(factory=dict)
    """When each order that may rest was made or last amended, by client id."""


@attrs.define
class TradingBudget:
    """The trading counters of an account, one for each pair.

    An order that may rest is only let out while there is room to cancel it and all others of the
    pair at once; a cancel is never held back.

    Args:
        now: Seconds that never go back.
        tier: Until the venue has told `maxratecount`; `starter` is the safe guess.
        reserve: Points of a pair that no order may use, for orders we know nothing of.
    """

    now: Callable[[], float]
    tier: Tier = "starter"
    reserve: float = 8.0
    _pairs: dict[str, _PairCounter] = attrs.field(factory=dict, init=False)
    _closed_until: float = attrs.field(default=float("-inf"), init=False)

    def learn(self, most_points: int) -> Tier | None:
        """Take the threshold the venue told; return the tier it belongs to, None if none does."""
        tier = tier_of(most_points)
        if tier is not None:
            self.tier = tier
        return tier

    def points(self, symbol: str) -> float:
        """Return what the pair's counter stands at, as far as we know."""
        pair = self._pairs.get(symbol)
        return 0.0 if pair is None else self._decayed(pair).points

    def refusal(self, symbol: str, orders: int = 1, resting: int = 0) -> str | None:
        """Return why no order may go out now, None if it may.

        Args:
            symbol: The pair.
            orders: How many at once.
            resting: How many of them may rest in the book.
        """
        most, per_s, most_open = _TRADING[self.tier]
        closed_s = self._closed_until - self.now()
        if closed_s > 0:
            return f"the account traded too fast; nothing goes out for {closed_s:.1f} s"
        pair = self._decayed(self._pair(symbol))
        if resting and len(pair.resting) + resting > most_open:
            return f"{len(pair.resting)} orders are open in {symbol}, {most_open} is the most"
        room = most - self.reserve - self._cancel_all_points(pair) - resting * _CANCEL[0]
        needed = pair.points + _add_points(orders)
        if needed <= room:
            return None
        return (
            f"the trading counter of {symbol} stands at {pair.points:.1f} of {most:.0f}; the rest "
            f"is kept for cancels, there is room in {(needed - room) / per_s:.1f} s"
        )

    def added(self, symbol: str, orders: int, resting: Iterable[str] = ()) -> None:
        """Count orders as sent; `resting` are the client ids of those that may rest."""
        pair = self._decayed(self._pair(symbol))
        pair.points += _add_points(orders)
        pair.resting.update(dict.fromkeys(resting, pair.at))

    def amended(self, symbol: str, client_id: str) -> None:
        """Count an amend, which costs more the younger the order is."""
        pair = self._decayed(self._pair(symbol))
        pair.points += amend_points(pair.at - pair.resting.get(client_id, pair.at))
        if client_id in pair.resting:
            pair.resting[client_id] = pair.at

    def cancelled(self, symbol: str, client_id: str) -> None:
        """Count a cancel, which costs more the younger the order is."""
        pair = self._decayed(self._pair(symbol))
        made = pair.resting.pop(client_id, None)
        if made is not None:
            pair.points += cancel_points(pair.at - made)

    def ended(self, symbol: str, client_id: str) -> None:
        """Forget an order that ended by itself: that costs nothing."""
        pair = self._pairs.get(symbol)
        if pair is not None:
            pair.resting.pop(client_id, None)

    def told(self, symbol: str, points: float) -> None:
        """Take the venue's own count of a pair."""
        pair = self._pair(symbol)
        pair.points, pair.at = points, self.now()

    def exceeded(self, symbol: str) -> None:
        """The venue said the pair's counter is full: believe it."""
        pair = self._decayed(self._pair(symbol))
        pair.points = max(pair.points, _TRADING[self.tier][0])

    def exceeded_everywhere(self, wait_s: float = 5.0) -> None:
        """The venue said the whole account is too fast; how fast is not published."""
        self._closed_until = self.now() + wait_s

    def _pair(self, symbol: str) -> _PairCounter:
        pair = self._pairs.get(symbol)
        if pair is None:
            pair = self._pairs[symbol] = _PairCounter(at=self.now())
        return pair

    def _decayed(self, pair: _PairCounter) -> _PairCounter:
        now = self.now()
        pair.points = max(0.0, pair.points - (now - pair.at) * _TRADING[self.tier][1])
        pair.at = now
        return pair

    def _cancel_all_points(self, pair: _PairCounter) -> int:
        return sum(cancel_points(pair.at - made) for made in pair.resting.values())


def _add_points(orders: int) -> float:
    """One alone costs 1, a batch half a point each."""
    return 1.0 if orders == 1 else orders / 2
