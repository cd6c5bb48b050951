"""How much may go into one cycle."""

from collections.abc import Iterator
from decimal import Decimal

import attrs

from arbitrade.models import Flip, Opportunity, Refused
from arbitrade.protocols.risk import RiskView
from arbitrade.risk.amounts import DOWN, UP, ZERO, above, below, limit_flip, plain, worth_of_one


@attrs.frozen
class MaximumNotional:
    """Caps what goes into one cycle at `risk.maximum_notional`; 0 for no limit."""

    view: RiskView
    name: str = "maximum_notional"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when the start asset can't be valued."""
        limit = self.view.limits.maximum_notional
        if not limit or worth_of_one(self.view, opportunity.assets[0]) is not None:
            return None
        return refuse_unvalued(opportunity, self.name, self.view, limit)

    def maximum_input(self, opportunity: Opportunity) -> Decimal | None:
        """Return the limit in the start asset, rounded down."""
        limit = self.view.limits.maximum_notional
        if not limit:
            return None
        worth = worth_of_one(self.view, opportunity.assets[0])
        return ZERO if worth is None else DOWN.divide(limit, worth)

    def allowing(self, opportunity: Opportunity, amount: Decimal) -> tuple[Flip, ...]:
        """Return what would let `amount` of the start asset in."""
        limits = self.view.limits
        worth = worth_of_one(self.view, opportunity.assets[0])
        if worth is None:
            return ()
        needed, current = UP.multiply(amount, worth), limits.maximum_notional
        return limit_flip("maximum_notional", current, needed, limits.reference_asset)


@attrs.frozen
class BalanceLimit:
    """Caps what goes in at a share of the start asset's available balance, and spares the reserve.

    `risk.balance_share` counts from the whole available balance, `risk.reserve` from below; the
    smaller of both holds.  A basket takes of each asset it sells, too: each caps its own part.
    """

    view: RiskView
    name: str = "balance"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when nothing may go in."""
        if self.maximum_input(opportunity) > 0:
            return None
        limits, asset = self.view.limits, self._scarcest(opportunity)
        available, reserve = self.view.available(asset), limits.reserve.get(asset, ZERO)
        share = plain(limits.balance_share)
        return Refused(
            opportunity,
            self.name,
            f"no {asset} is available above risk.reserve"
            if available <= max(reserve, ZERO)
            else "risk.balance_share lets nothing in",
            value=f"{plain(available)} {asset} available",
            limit=f"{plain(reserve)} {asset} in reserve, a share of {share}",
            flips=self._flips(asset, available, reserve),
        )

    def maximum_input(self, opportunity: Opportunity) -> Decimal:
        """Return what the balance allows, never negative."""
        if opportunity.is_basket:
            return min((room for room, _ in self._rooms(opportunity)), default=ZERO)
        return self._allowed(opportunity.assets[0])

    def _allowed(self, asset: str) -> Decimal:
        """Return what may be taken of an asset, never negative."""
        limits = self.view.limits
        available = self.view.available(asset)
        allowed = DOWN.multiply(available, limits.balance_share)
        reserve = limits.reserve.get(asset)
        if reserve:
            allowed = min(allowed, DOWN.subtract(available, reserve))
        return allowed if allowed > 0 else ZERO

    def allowing(self, opportunity: Opportunity, amount: Decimal) -> tuple[Flip, ...]:
        """Return what would let `amount` of the start asset in."""
        limits, asset = self.view.limits, opportunity.assets[0]
        if not limits.balance_share or opportunity.is_basket:
            # Of a basket no single balance is sure to be enough.
            return ()
        by_share = UP.divide(amount, limits.balance_share)
        by_reserve = UP.add(amount, limits.reserve.get(asset, ZERO))
        needed = max(by_share, by_reserve)
        return (Flip(f"balance.{asset}", self.view.available(asset), needed, asset),)

    def _scarcest(self, opportunity: Opportunity) -> str:
        """Return the asset that lets the least in."""
        if not opportunity.is_basket:
            return opportunity.assets[0]
        return min(self._rooms(opportunity), default=(ZERO, opportunity.assets[0]))[1]

    def _rooms(self, opportunity: Opportunity) -> Iterator[tuple[Decimal, str]]:
        """Yield each asset a basket takes out of the wallet, and the size that allows."""
        start = opportunity.assets[0]
        bought = sum((weight for weight in opportunity.weights if weight > 0), ZERO)
        if bought:
            yield DOWN.divide(self._allowed(start), bought), start
        worth = worth_of_one(self.view, start)
        for asset, weight in zip(opportunity.assets[1:], opportunity.weights, strict=False):
            if weight >= 0:
                continue
            of_asset, room = worth_of_one(self.view, asset), ZERO
            if worth is not None and of_asset is not None:
                # What can't be valued lets nothing in.
                sold = DOWN.divide(DOWN.multiply(self._allowed(asset), of_asset), worth)
                room = DOWN.divide(sold, -weight)
            yield room, asset

    def _flips(self, asset: str, available: Decimal, reserve: Decimal) -> tuple[Flip, ...]:
        share = self.view.limits.balance_share
        is_short = available <= max(reserve, ZERO)
        if is_short and not share:
            return ()  # neither alone is enough
        if not share:
            return limit_flip("balance_share", share, above(ZERO))
        flips: tuple[Flip, ...] = (
            Flip(f"balance.{asset}", available, above(max(reserve, ZERO)), asset),
        )
        if available > 0:
            flips += (Flip(f"risk.reserve.{asset}", reserve, max(below(available), ZERO), asset),)
        return flips


def refuse_unvalued(opportunity: Opportunity, rule: str, view: RiskView, limit: Decimal) -> Refused:
    """Return the refusal of a rule that can't tell what the start asset is worth."""
    asset, reference = opportunity.assets[0], view.limits.reference_asset
    return Refused(
        opportunity,
        rule,
        f"no book tells what {asset} is worth in {reference}, so risk.{rule} can't be kept",
        value=f"{asset} of unknown value",
        limit=f"{plain(limit)} {reference}",
    )
