"""Whether trading is on: our own state, the venue's, and each pair's."""

import attrs

from arbitrade.book import BookState
from arbitrade.models import Opportunity, Refused, TradingState, VenueState
from arbitrade.protocols.risk import RiskView


@attrs.frozen
class TradingAllowed:
    """Refuses unless trading is ACTIVE."""

    view: RiskView
    name: str = "trading_state"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal while trading is REDUCING or HALTED."""
        state = self.view.trading_state
        if state is TradingState.ACTIVE:
            return None
        return Refused(
            opportunity,
            self.name,
            f"trading is {state.value}: {self.view.halt_reason or 'no reason given'}",
            value=state.value,
            limit=TradingState.ACTIVE.value,
        )


@attrs.frozen
class InstrumentTradable:
    """Refuses unless the venue and every leg's pair trade normally on a book to be trusted."""

    view: RiskView
    name: str = "instrument_status"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal naming the first leg that can't be traded."""
        view = self.view
        venue = view.venue_state
        if venue is not VenueState.ONLINE:
            reason = "the venue's matching engine does not take every order"
            return self._refuse(opportunity, reason, f"venue {venue.value}")
        for leg in opportunity.legs:
            book = view.book(leg.symbol)
            if book is None:
                return self._refuse(opportunity, f"{leg.symbol} has no book", "no book")
            if not book.instrument.is_online:
                status = book.instrument.status.value
                reason = f"the venue does not take every order on {leg.symbol}"
                return self._refuse(opportunity, reason, f"{leg.symbol} {status}")
            if book.state is not BookState.SYNCED:
                reason = f"the book of {leg.symbol} can't be trusted"
                return self._refuse(opportunity, reason, f"{leg.symbol} {book.state.value}")
            if not book.tradable:
                reason = f"the book of {leg.symbol} is crossed, one-sided or taken out"
                return self._refuse(opportunity, reason, f"{leg.symbol} not tradable")
        return None

    def _refuse(self, opportunity: Opportunity, reason: str, value: str) -> Refused:
        return Refused(opportunity, self.name, reason, value, "online, in sync, tradable")
