"""A plugin of this suite: a strategy of baskets that is none.

It buys one asset and sells another whenever it is asked, holds both for a moment, and leaves.
"""

from collections.abc import Iterable
from decimal import ROUND_UP, Decimal

import attrs

from arbitrade import Detector, Executor, Settings, hookimpl
from arbitrade.book import OrderBook
from arbitrade.errors import ArbitradeError
from arbitrade.models import (
    BasketPlan,
    Changed,
    CycleState,
    Instruments,
    Leg,
    Opportunity,
    OrderRole,
    Plan,
    PlannedOrder,
    Side,
)
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols import CycleDesk

BOUGHT, SOLD = "BTC/USD", "ETH/USD"
_OTHER = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}
_WEIGHTS = (Decimal("0.5"), Decimal("-0.5"))


@attrs.frozen
class SwapDetector:
    """Reports the same basket with every change of one of its books."""

    name: str = "swap"
    executor: str = "swap"

    def on_book(self, book: OrderBook, changed: Changed) -> Iterable[Opportunity]:
        if book.symbol not in (BOUGHT, SOLD):
            return ()
        found = Opportunity(
            detector=self.name,
            key="USD: BTC against ETH",
            assets=("USD", "BTC", "ETH"),
            legs=(Leg(BOUGHT, Side.BUY), Leg(SOLD, Side.SELL)),
            edge_bps=Decimal(5),
            size=Decimal(100),
            profit=Decimal("0.05"),
            orders=(),
            lot_profit=Decimal(0),
            dust=(),
            blocked=None,
            timestamp=book.timestamp,
            weights=_WEIGHTS,
        )
        return (found,)

    def on_instruments(self, instruments: Instruments) -> None:
        """Nothing depends on them."""

    def on_fees(self, fees: FeeSchedule) -> None:
        """Nothing depends on them."""

    def on_void(self, symbol: str) -> None:
        """Nothing is remembered."""


@attrs.frozen
class SwapExecutor:
    """Enters at once, holds, leaves; goes on holding after a crash."""

    hold_s: float = 0.5
    stays: bool = False
    name: str = "swap"
    needs_inventory: bool = True

    def takes(self, plan: Plan) -> bool:
        return isinstance(plan, BasketPlan)

    async def execute(self, desk: CycleDesk) -> CycleState:
        quotes = desk.approved.plan.quotes
        tickets = [desk.place(index, quote.order) for index, quote in enumerate(quotes)]
        await desk.settled(*tickets)
        if any(ticket.filled_quantity < ticket.order.quantity for ticket in tickets):
            return await desk.unwind("not entered as a whole")
        desk.note("entered", until_ns=desk.now_ns + round(self.hold_s * 1e9))
        return await self.resume(desk)

    async def resume(self, desk: CycleDesk) -> CycleState:
        entered = desk.noted("entered")
        if entered is None:
            return await desk.unwind("died while entering")
        until_ns = int(entered["until_ns"])
        while desk.now_ns < until_ns and (self.stays or not desk.must_reduce):
            await desk.hold((until_ns - desk.now_ns) / 1e9)
        plan = desk.approved.plan
        for index, (leg, asset) in enumerate(zip(plan.legs, plan.assets[1:], strict=True)):
            order = _back(desk, Leg(leg.symbol, _OTHER[leg.side]), desk.held().get(asset))
            if order is not None:
                await desk.settled(desk.place(index, order, OrderRole.UNWIND))
        if any(not desk.is_dust(a, v) for a, v in desk.held().items() if a != plan.assets[0]):
            return await desk.unwind("what orders left")
        return CycleState.COMPLETED


def _back(desk: CycleDesk, leg: Leg, held: Decimal | None) -> PlannedOrder | None:
    """Return the order that undoes a leg: sells what is held, or buys back what is missing."""
    if not held:
        return None
    try:
        # Enough to pay for what is missing; what is more is cut off.
        quote = desk.quote(leg, held if held > 0 else desk.available("USD"))
    except ArbitradeError:
        return None
    if quote.blocked is not None:
        return None
    if held > 0:
        return quote.order
    step = desk.instrument(leg.symbol).quantity_increment
    lots = (-held / step).to_integral_value(ROUND_UP) * step
    return attrs.evolve(quote.order, quantity=min(quote.quantity, lots))


@attrs.frozen
class Swap:
    """The plugin."""

    executor: SwapExecutor

    @hookimpl
    def arbitrade_register_detectors(
        self, settings: Settings, instruments: Instruments
    ) -> list[Detector]:
        return [SwapDetector()]

    @hookimpl
    def arbitrade_make_executor(self, settings: Settings, name: str) -> Executor | None:
        return self.executor if name == self.executor.name else None
