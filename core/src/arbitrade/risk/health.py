"""Whether we see the market as it is, and can act and write down what we do."""

from decimal import Decimal

import attrs

from arbitrade.models import Flip, Opportunity, Refused
from arbitrade.protocols.risk import RiskView
from arbitrade.risk.amounts import limit_flip, plain, seconds


@attrs.frozen
class AccountReady:
    """Refuses unless the private side is up, reconciled and the dead man's switch armed."""

    view: RiskView
    name: str = "account_ready"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal while the account is not ready."""
        if self.view.is_account_ready:
            return None
        return Refused(
            opportunity,
            self.name,
            f"the account is not ready: {self.view.account_problem or 'no reason given'}",
            value="not ready",
            limit="ready",
        )


@attrs.frozen
class JournalWritable:
    """Refuses while no intent could be written down before its order is sent."""

    view: RiskView
    name: str = "journal"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal while the journal has a problem."""
        problem = self.view.journal_problem
        if not problem:
            return None
        return Refused(
            opportunity,
            self.name,
            f"no intent can be written down: {problem}",
            value="journal not writable",
            limit="journal writable",
        )


@attrs.frozen
class BookAge:
    """Refuses a leg's book without a message for over `risk.maximum_book_age_s`; 0: no limit."""

    view: RiskView
    name: str = "book_age"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when the book heard of longest ago is too old, or one is missing."""
        limit = self.view.limits.maximum_book_age_s
        if not limit:
            return None
        for leg in opportunity.legs:
            age = self.view.book_age_s(leg.symbol)
            if age is None or age > limit:
                return self._refuse(opportunity, limit)
        return None

    def _refuse(self, opportunity: Opportunity, limit: Decimal) -> Refused:
        ages = {leg.symbol: self.view.book_age_s(leg.symbol) for leg in opportunity.legs}
        missing = [symbol for symbol, age in ages.items() if age is None]
        if missing:
            return Refused(
                opportunity,
                self.name,
                f"the age of a book is unknown: {missing[0]}",
                value="unknown",
                limit=f"{plain(limit)} s",
            )
        known = {symbol: age for symbol, age in ages.items() if age is not None}
        oldest = max(known, key=known.__getitem__)
        return _refuse_late(
            opportunity,
            self.name,
            f"{oldest} was not heard of within risk.maximum_book_age_s",
            known[oldest],
            "book.age_s",
            limit,
        )


@attrs.frozen
class DecisionAge:
    """Refuses what the venue said over `risk.maximum_decision_age_s` ago; 0 for no limit."""

    view: RiskView
    name: str = "decision_age"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when the message at hand is too old, or carries no time."""
        limit = self.view.limits.maximum_decision_age_s
        if not limit:
            return None
        age = self.view.decision_age_s
        if age is None:
            return Refused(
                opportunity,
                self.name,
                "the message carries no time of the venue's, so its age is unknown",
                value="unknown",
                limit=f"{plain(limit)} s",
            )
        if age <= limit:
            return None
        reason = "more than risk.maximum_decision_age_s passed since the venue's timestamp"
        return _refuse_late(opportunity, self.name, reason, age, "decision.age_s", limit)


@attrs.frozen
class ClockSkew:
    """Refuses while our clock is off by more than `risk.maximum_clock_skew_s`; 0: no limit."""

    view: RiskView
    name: str = "clock_skew"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when the clock is too far off, either way."""
        limit = self.view.limits.maximum_clock_skew_s
        if not limit:
            return None
        skew = abs(self.view.clock_skew_s)
        if skew <= limit:
            return None
        reason = "our clock is off by more than risk.maximum_clock_skew_s"
        return _refuse_late(opportunity, self.name, reason, skew, "clock.skew_s", limit)


@attrs.frozen
class EventLag:
    """Refuses while the event loop was held up for over `risk.maximum_event_lag_s`; 0: none."""

    view: RiskView
    name: str = "event_lag"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when the last timer was handled too late."""
        limit = self.view.limits.maximum_event_lag_s
        if not limit:
            return None
        lag = self.view.event_lag_s
        if lag <= limit:
            return None
        reason = "the event loop was held up for more than risk.maximum_event_lag_s"
        return _refuse_late(opportunity, self.name, reason, lag, "loop.lag_s", limit)


def _refuse_late(
    opportunity: Opportunity, rule: str, reason: str, value: float, fact: str, limit: Decimal
) -> Refused:
    """Return the refusal of a duration over its limit `risk.maximum_<rule>_s`."""
    exact = seconds(value)
    flips: tuple[Flip, ...] = ()
    if exact is not None:
        flips = (
            *limit_flip(f"maximum_{rule}_s", limit, exact, "s"),
            Flip(fact, exact, limit, "s"),
        )
    return Refused(
        opportunity,
        rule,
        reason,
        value=f"{value:.6g} s",
        limit=f"{plain(limit)} s",
        flips=flips,
    )
