"""How often, how soon after a failure, and after which losses."""

from decimal import Decimal

import attrs

from arbitrade.models import Flip, Opportunity, Refused
from arbitrade.protocols.risk import RiskView
from arbitrade.risk.amounts import above, below, count_flip, elapsed_s, limit_flip, plain


@attrs.frozen
class Cooldown:
    """Leaves a cycle alone for `risk.cooldown_s` after it ended other than completed."""

    view: RiskView
    name: str = "cooldown"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal until the cooldown is over."""
        failed_ns = self.view.failed_at_ns(opportunity.key)
        if failed_ns is None:
            return None
        limit = self.view.limits.cooldown_s
        waited = elapsed_s(self.view.now_ns, failed_ns)
        if waited >= limit:
            return None
        return Refused(
            opportunity,
            self.name,
            "this cycle did not complete a moment ago; risk.cooldown_s is not over",
            value=f"{plain(waited)} s ago",
            limit=f"{plain(limit)} s",
            flips=(
                Flip("time_s", waited, limit, "s"),
                *limit_flip("cooldown_s", limit, waited, "s"),
            ),
        )


@attrs.frozen
class CircuitBreaker:
    """Pauses trading after `risk.maximum_failures` cycles in a row that did not complete.

    After `risk.retry_after_s` it is half-open: one cycle may be tried while no other is open, and
    its end decides.  Completed, the failures in a row are over; anything else begins a new pause.
    """

    view: RiskView
    name: str = "circuit_breaker"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal while paused, and while the one cycle of the retry is open."""
        view, limits = self.view, self.view.limits
        limit, failures = limits.maximum_failures, view.consecutive_failures
        if not limit or failures < limit:
            return None
        # Failures without a time are none a clock could end.
        last_ns = view.last_failure_ns
        waited = None if last_ns is None else elapsed_s(view.now_ns, last_ns)
        is_over = waited is not None and waited >= limits.retry_after_s
        if is_over and view.open_cycles == 0:
            return None
        return Refused(
            opportunity,
            self.name,
            "one cycle is tried after failures in a row, and its end decides"
            if is_over
            else "too many cycles in a row did not complete; trading pauses for risk.retry_after_s",
            value=f"{failures} failures in a row, {view.open_cycles} open",
            limit=f"{limit} failures, one try after {plain(limits.retry_after_s)} s",
            flips=self._flips(waited, is_over=is_over),
        )

    def _flips(self, waited: Decimal | None, *, is_over: bool) -> tuple[Flip, ...]:
        view, limits = self.view, self.view.limits
        failures, limit = view.consecutive_failures, limits.maximum_failures
        flips = count_flip("maximum_failures", limit, failures + 1)
        flips += (Flip("failures.in_a_row", Decimal(failures), Decimal(limit - 1)),)
        if is_over:
            flips += (Flip("cycles.open", Decimal(view.open_cycles), Decimal(0)),)
        elif waited is not None and view.open_cycles == 0:
            pause = limits.retry_after_s
            flips += (Flip("time_s", waited, pause, "s"),)
            flips += limit_flip("retry_after_s", pause, waited, "s")
        return flips


@attrs.frozen
class OrderRate:
    """Refuses when a cycle's orders don't fit `risk.maximum_orders_per_minute`; 0 for no limit."""

    view: RiskView
    name: str = "order_rate"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal unless there is room for one order a leg."""
        limit = self.view.limits.maximum_orders_per_minute
        if not limit:
            return None
        sent, wanted = self.view.orders_last_minute, len(opportunity.legs)
        if sent + wanted <= limit:
            return None
        flips = count_flip("maximum_orders_per_minute", limit, sent + wanted)
        if wanted <= limit:
            flips += (Flip("orders.last_minute", Decimal(sent), Decimal(limit - wanted)),)
        return Refused(
            opportunity,
            self.name,
            f"{wanted} more orders don't fit risk.maximum_orders_per_minute",
            value=f"{sent} orders in the last minute",
            limit=f"{limit} orders a minute",
            flips=flips,
        )


@attrs.frozen
class DailyLoss:
    """Begins no cycle once `risk.maximum_daily_loss` is lost since midnight UTC; 0: no limit."""

    view: RiskView
    name: str = "daily_loss"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal unless the realised loss of the day is below the limit."""
        limits = self.view.limits
        limit, realised = limits.maximum_daily_loss, self.view.realised_today
        if not limit or realised > -limit:
            return None
        reference = limits.reference_asset
        return Refused(
            opportunity,
            self.name,
            "today's realised loss has reached risk.maximum_daily_loss",
            value=f"{plain(-realised)} {reference} lost",
            limit=f"{plain(limit)} {reference}",
            flips=(
                *limit_flip("maximum_daily_loss", limit, above(-realised), reference),
                Flip("profit.today", realised, above(-limit), reference),
            ),
        )


@attrs.frozen
class Drawdown:
    """Begins no cycle once profit fell `risk.maximum_drawdown` from its peak; 0 for no limit."""

    view: RiskView
    name: str = "drawdown"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal unless the fall from the peak is below the limit."""
        limits = self.view.limits
        limit, fall = limits.maximum_drawdown, self.view.drawdown
        if not limit or fall < limit:
            return None
        reference = limits.reference_asset
        return Refused(
            opportunity,
            self.name,
            "realised profit has fallen from its peak by risk.maximum_drawdown",
            value=f"{plain(fall)} {reference} below the peak",
            limit=f"{plain(limit)} {reference}",
            flips=(
                *limit_flip("maximum_drawdown", limit, above(fall), reference),
                Flip("profit.drawdown", fall, below(limit), reference),
            ),
        )
