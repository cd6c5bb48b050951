"""What is going to be sent: a cycle that ends where it began, or a basket to be held."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade.models.market import Side
from arbitrade.models.opportunity import Dust, Leg, PlannedOrder

ZERO = Decimal(0)


@attrs.frozen
class LegQuote:
    """What converting an amount through a book would be, as one order in whole lots.

    Args:
        symbol: The pair.
        side: What the order does with the base asset.
        quantity: In base, on the lot step; 0 when nothing can be done.
        limit_price: The worst price allowed: the walk's worst plus slippage, on the tick.
        worst_price: The worst price the walk touches.
        vwap: Volume-weighted average price of the walk.
        spent: Of the asset that goes in, fee included where it is charged there.
        received: Of the asset that comes out, after the fee where it is charged there.
        fee: As the settings expect it.
        fee_asset: What the fee is taken in.
        left: Of the amount that was to go in, what rounding to lots or lack of depth leaves.
        levels: Price levels touched.
        blocked: Why no order can be made of it, with subject and value; None when one can.
    """

    symbol: str
    side: Side
    quantity: Decimal
    limit_price: Decimal
    worst_price: Decimal
    vwap: Decimal
    spent: Decimal
    received: Decimal
    fee: Decimal
    fee_asset: str
    left: Decimal
    levels: int
    blocked: str | None = None

    @property
    def order(self) -> PlannedOrder:
        """The order this leg would be sent as."""
        return PlannedOrder(self.symbol, self.side, self.quantity, self.limit_price)

    @property
    def spent_at_limit(self) -> Decimal:
        """The most that may go in: a buy may be filled at its limit price throughout."""
        if self.side is not Side.BUY or not self.vwap:
            return self.spent
        return max(self.spent * self.limit_price / self.vwap, self.spent)


@attrs.frozen
class CyclePlan:
    """A cycle sized for what may be spent, as it will be sent.

    Args:
        key: Of the opportunity.
        assets: Start asset first.
        legs: In trading order.
        quotes: One for each leg, from the same books; empty when blocked before the first.
        spent: Of the start asset.
        received: Of the start asset.
        dust: What is left over on the way, valued in the start asset.
        blocked: Why it can't be sent, with subject and value.
        cap: What bound the size below the optimum: a rule's name, `balance`; empty for nothing.
    """

    key: str
    assets: tuple[str, ...]
    legs: tuple[Leg, ...]
    quotes: tuple[LegQuote, ...]
    spent: Decimal
    received: Decimal
    dust: tuple[Dust, ...] = ()
    blocked: str | None = None
    cap: str = ""

    @property
    def expected_profit(self) -> Decimal:
        """What it returns above what it spends, dust valued at zero; in the start asset."""
        return self.received - self.spent

    def inputs(self, *, at_once: bool) -> Mapping[str, Decimal]:
        """Return what its orders take out of the wallet, by asset.

        Args:
            at_once: All legs go out at once; else those after the first spend what came before.
        """
        taken: dict[str, Decimal] = {}
        quotes = self.quotes if at_once else self.quotes[:1]
        for asset, quote in zip(self.assets, quotes, strict=False):
            taken[asset] = taken.get(asset, ZERO) + quote.spent
        return taken

    def comes_to_hold(self, asset: str) -> Decimal:
        """Return what it holds of an asset on its way, as planned; 0 of any other."""
        if asset not in self.assets[1:] or not self.quotes:
            return ZERO
        return self.quotes[self.assets.index(asset) - 1].received

    def legs_from(self, asset: str) -> tuple[Leg, ...]:
        """Return the legs that lead on from an asset it holds on its way."""
        position = self.assets.index(asset) if asset in self.assets else 0
        return self.legs[position:] if position else ()


@attrs.frozen
class BasketPlan:
    """A basket sized for what may be put in: the orders it is entered by.

    It does not end where it began; its executor does, when it has held the basket long enough.

    Args:
        key: Of the opportunity.
        assets: Start asset first, then what each leg is about.
        legs: One for each asset after the first; none waits for another.
        weights: Of the opportunity: positive for what is bought with the start asset, negative for
            what is sold out of inventory, to be bought back.
        quotes: One for each leg, from the same books; fewer when blocked.
        spent: What is put in, in the start asset: what purchases cost and sales bring.
        expected_profit: The detector's estimate for that, in the start asset; no book shows it.
        blocked: Why it can't be sent, with subject and value.
        cap: What bound the size below the optimum: a rule's name, `balance`; empty for nothing.
    """

    key: str
    assets: tuple[str, ...]
    legs: tuple[Leg, ...]
    weights: tuple[Decimal, ...]
    quotes: tuple[LegQuote, ...]
    spent: Decimal
    expected_profit: Decimal
    blocked: str | None = None
    cap: str = ""

    @property
    def received(self) -> Decimal:
        """What is expected back at its end, an estimate like `expected_profit`."""
        return self.spent + self.expected_profit

    @property
    def dust(self) -> tuple[Dust, ...]:
        """None: what lots leave over was never taken out of the wallet."""
        return ()

    def holds(self) -> Mapping[str, Decimal]:
        """Return what it holds when entered, by asset; negative for what it will buy back."""
        return {asset: self.comes_to_hold(asset) for asset in self.assets[1:]}

    def inputs(self, *, at_once: bool = True) -> Mapping[str, Decimal]:
        """Return what its orders take out of the wallet at the worst, by asset; all go at once."""
        taken: dict[str, Decimal] = {}
        for asset, weight, quote in zip(self.assets[1:], self.weights, self.quotes, strict=False):
            spends = self.assets[0] if weight > 0 else asset
            taken[spends] = taken.get(spends, ZERO) + quote.spent_at_limit
        return taken

    def comes_to_hold(self, asset: str) -> Decimal:
        """Return what it holds of an asset when entered, negative for what was sold."""
        for held, weight, quote in zip(self.assets[1:], self.weights, self.quotes, strict=False):
            if held == asset:
                return quote.received if weight > 0 else -quote.spent
        return ZERO

    def legs_from(self, asset: str) -> tuple[Leg, ...]:
        """Return no legs: none of them leads back."""
        return ()


Plan = CyclePlan | BasketPlan
"""What an opportunity was sized to.

Read back, they are told apart by what only one of them has: `received`, or `weights`.
"""
