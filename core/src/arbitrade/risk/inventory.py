"""What is under way already: exposure, input in flight, open cycles and the books they use."""

from decimal import Decimal
from fractions import Fraction

import attrs

from arbitrade.models import Flip, Opportunity, Refused, Side
from arbitrade.pricing import rate_at
from arbitrade.protocols.risk import RiskView
from arbitrade.risk.amounts import (
    DOWN,
    ONE,
    UP,
    ZERO,
    above,
    below,
    count_flip,
    limit_flip,
    plain,
    worth_of_one,
)
from arbitrade.risk.size import refuse_unvalued


@attrs.frozen
class MaximumInFlight:
    """Caps the input of all open cycles together at `risk.maximum_in_flight`; 0 for no limit."""

    view: RiskView
    name: str = "maximum_in_flight"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when there is no room, or the start asset can't be valued."""
        view, limits = self.view, self.view.limits
        limit = limits.maximum_in_flight
        if not limit:
            return None
        if worth_of_one(view, opportunity.assets[0]) is None:
            return refuse_unvalued(opportunity, self.name, view, limit)
        used = view.in_flight
        if used < limit:
            return None
        reference = limits.reference_asset
        return Refused(
            opportunity,
            self.name,
            "open cycles use up risk.maximum_in_flight",
            value=f"{plain(used)} {reference} in flight",
            limit=f"{plain(limit)} {reference}",
            flips=(
                *limit_flip("maximum_in_flight", limit, above(used), reference),
                Flip("in_flight", used, below(limit), reference),
            ),
        )

    def maximum_input(self, opportunity: Opportunity) -> Decimal | None:
        """Return the room that is left, in the start asset, never negative."""
        view = self.view
        limit = view.limits.maximum_in_flight
        if not limit:
            return None
        worth = worth_of_one(view, opportunity.assets[0])
        room = DOWN.subtract(limit, view.in_flight)
        return DOWN.divide(room, worth) if worth is not None and room > 0 else ZERO

    def allowing(self, opportunity: Opportunity, amount: Decimal) -> tuple[Flip, ...]:
        """Return what would let `amount` of the start asset in."""
        limits = self.view.limits
        worth = worth_of_one(self.view, opportunity.assets[0])
        if worth is None:
            return ()
        needed = UP.add(self.view.in_flight, UP.multiply(amount, worth))
        current = limits.maximum_in_flight
        return limit_flip("maximum_in_flight", current, needed, limits.reference_asset)


@attrs.frozen
class MaximumPerAsset:
    """Caps what open cycles may come to hold of one asset at `risk.maximum_per_asset`; 0: none.

    Counts the assets on the way, not the start asset, and of baskets what is sold as well.  What a
    cycle comes to hold of one is valued both as what went in and as what the best prices make of
    it; the higher counts.
    """

    view: RiskView
    name: str = "maximum_per_asset"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when there is no room, or the start asset can't be valued."""
        view = self.view
        limit = view.limits.maximum_per_asset
        if not limit:
            return None
        if worth_of_one(view, opportunity.assets[0]) is None:
            return refuse_unvalued(opportunity, self.name, view, limit)
        for asset in opportunity.assets[1:]:
            if not view.exposure(asset) < limit:
                return self._refuse(opportunity, limit)
        return None

    def maximum_input(self, opportunity: Opportunity) -> Decimal | None:
        """Return what the fullest of the assets has room for, in the start asset."""
        view = self.view
        limit = view.limits.maximum_per_asset
        if not limit:
            return None
        worths = self._worths(opportunity)
        if worths is None:
            return ZERO
        smallest = None
        for asset, worth in worths:
            room = DOWN.divide(DOWN.subtract(limit, view.exposure(asset)), worth)
            if smallest is None or room < smallest:
                smallest = room
        return smallest if smallest is None or smallest > 0 else ZERO

    def allowing(self, opportunity: Opportunity, amount: Decimal) -> tuple[Flip, ...]:
        """Return what would let `amount` of the start asset in."""
        view, limits = self.view, self.view.limits
        worths = self._worths(opportunity)
        if not worths:
            return ()
        needed = max(
            UP.add(view.exposure(asset), UP.multiply(amount, worth)) for asset, worth in worths
        )
        current = limits.maximum_per_asset
        return limit_flip("maximum_per_asset", current, needed, limits.reference_asset)

    def _refuse(self, opportunity: Opportunity, limit: Decimal) -> Refused:
        reference = self.view.limits.reference_asset
        exposures = {asset: self.view.exposure(asset) for asset in opportunity.assets[1:]}
        full = [asset for asset, held in exposures.items() if held >= limit]
        asset = max(full, key=exposures.__getitem__)
        held = exposures[asset]
        flips = limit_flip("maximum_per_asset", limit, above(held), reference)
        if len(full) == 1:
            flips += (Flip(f"exposure.{asset}", held, below(limit), reference),)
        return Refused(
            opportunity,
            self.name,
            f"open cycles hold or may come to hold all of {asset} that risk.maximum_per_asset "
            "allows",
            value=f"{asset} worth {plain(held)} {reference}",
            limit=f"{plain(limit)} {reference}",
            flips=flips,
        )

    def _worths(self, opportunity: Opportunity) -> list[tuple[str, Decimal]] | None:
        """Return what one unit of input may become of each asset on the way, valued."""
        view, assets = self.view, opportunity.assets
        worth = worth_of_one(view, assets[0])
        if worth is None:
            return None
        if opportunity.is_basket:
            return self._of_basket(opportunity, worth)
        found = []
        up, down, is_known = 1, 1, True
        # The last leg ends in the start asset, so there is one asset less than legs.
        for asset, leg in zip(assets[1:], opportunity.legs, strict=False):
            book = view.book(leg.symbol)
            ticks = None if book is None else book.side(leg.side).best
            became = None
            if book is None or not ticks:
                is_known = False
            elif is_known:
                tick = 10**book.instrument.price_precision
                if leg.side is Side.BUY:
                    up, down = up * tick, down * ticks
                else:
                    up, down = up * ticks, down * tick
                became = view.value(asset, Decimal(up) / down)
            found.append((asset, worth if became is None or became < worth else became))
        return found

    def _of_basket(self, opportunity: Opportunity, worth: Decimal) -> list[tuple[str, Decimal]]:
        """Return what one unit of input moves of each asset of a basket, valued."""
        found = []
        legs = zip(opportunity.assets[1:], opportunity.legs, opportunity.weights, strict=False)
        for asset, leg, weight in legs:
            book, part, became = self.view.book(leg.symbol), abs(weight), None
            best = None if book is None else book.side(leg.side).best
            if book is not None and best:
                rate = rate_at(leg.side, best, book.instrument.price_precision)
                # Bought, or sold: what one unit of the start asset stands for.
                amount = Fraction(part) * (rate if weight > 0 else 1 / rate)
                became = self.view.value(asset, UP.divide(amount.numerator, amount.denominator))
            least = UP.multiply(worth, part)
            found.append((asset, least if became is None or became < least else became))
        return found


@attrs.frozen
class ConcurrentCycles:
    """Refuses while `risk.maximum_cycles` are under way."""

    view: RiskView
    name: str = "concurrent_cycles"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal unless fewer cycles are open than the limit."""
        is_open, limit = self.view.open_cycles, self.view.limits.maximum_cycles
        if is_open < limit:
            return None
        flips = count_flip("maximum_cycles", limit, is_open + 1)
        if limit > 0:
            flips += (Flip("cycles.open", Decimal(is_open), Decimal(limit - 1)),)
        return Refused(
            opportunity,
            self.name,
            "as many cycles are under way as risk.maximum_cycles allows",
            value=f"{is_open} open",
            limit=f"{limit} at once",
            flips=flips,
        )


@attrs.frozen
class SameCycle:
    """Refuses a cycle that is under way already."""

    view: RiskView
    name: str = "same_cycle"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal while a cycle with this key is open."""
        if not self.view.is_open(opportunity.key):
            return None
        return Refused(
            opportunity,
            self.name,
            "this very cycle is under way",
            value=f"{opportunity.key} open",
            limit="once at a time",
        )


@attrs.frozen
class SharedBooks:
    """Refuses a cycle through a pair that an open cycle uses, unless `risk.share_books`."""

    view: RiskView
    name: str = "shared_books"

    def check(self, opportunity: Opportunity) -> Refused | None:
        """Return a refusal when a leg's pair is in use and may not be shared."""
        view = self.view
        used = view.symbols_in_use
        if not used or view.limits.share_books:
            return None
        shared = [leg.symbol for leg in opportunity.legs if leg.symbol in used]
        if not shared:
            return None
        return Refused(
            opportunity,
            self.name,
            "an open cycle uses the same pair, and risk.share_books is off",
            value=f"{', '.join(dict.fromkeys(shared))} in use",
            limit="no pair shared",
            flips=(Flip("risk.share_books", ZERO, ONE),),
        )
