"""What an amount would bring now, what of the account is free to be spent, and what is dust."""

from collections.abc import Mapping
from decimal import ROUND_UP, Decimal

import attrs

from arbitrade.config import ExecutionSettings
from arbitrade.errors import ArbitradeError
from arbitrade.execution.unwind import ways_out
from arbitrade.execution.walk import quote_leg
from arbitrade.models import Instrument, Leg, LegQuote, PlannedOrder, Side, UnwindDecision
from arbitrade.records import UnwindDecided
from arbitrade.trading.machine.cycles import Cycle, done_legs
from arbitrade.trading.machine.gateway import Gateway
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.state import MachineState, precision_of

ZERO = Decimal(0)
_ENOUGH = Decimal("1.02")
"""Two hundredths above what a purchase costs at the best price cover fees and depth."""


class Quoting:
    """Arithmetic on the books and balances as they are at the event at hand.

    Args:
        state: Balances, cycles, fees.
        ports: Books, instruments, and the journal for ways out that were weighed.
        execution: Slippage.
        gateway: Tells what of the displayed books is gone.
    """

    def __init__(
        self, state: MachineState, ports: Ports, execution: ExecutionSettings, gateway: Gateway
    ) -> None:
        self._state = state
        self._ports = ports
        self._slippage_bps = execution.slippage_bps
        self._gateway = gateway

    # ── one leg ──────────────────────────────────────────────────────────────────────────────────

    def quote(self, leg: Leg, amount: Decimal, cycle: Cycle | None = None) -> LegQuote:
        """Return what converting up to `amount` through a leg's book would be now.

        Args:
            leg: Pair and side.
            amount: In the asset that goes in.
            cycle: Whose wallet it would come from; None doesn't ask the wallet.

        Raises:
            ArbitradeError: There is no book that could be asked.
        """
        book = self._ports.books().get(leg.symbol)
        if book is None or not book.tradable:
            raise ArbitradeError(f"{leg.symbol}: no book to trade on now")
        pair = book.instrument
        spends = pair.quote if leg.side is Side.BUY else pair.base
        # What an earlier leg is yet to bring is not in the wallet.
        wallet = None if cycle is None else max(amount, self.available(spends, but=cycle))
        return quote_leg(
            book,
            leg.side,
            amount,
            self._state.fees,
            base_step=self.step_of(pair.base),
            quote_step=self.step_of(pair.quote),
            skip_lots=self.skip(leg.symbol, leg.side),
            slippage_bps=self._slippage_bps,
            available=wallet,
        )

    def available(self, asset: str, but: Cycle | None = None) -> Decimal:
        """Return what may be spent: balance less what others hold or reserve."""
        state = self._state
        amount = state.ledger.balance(asset) - state.foreign_held.get(asset, ZERO)
        for cycle in state.cycles.values():
            if cycle is not but:
                amount -= cycle.reserved(asset)
                # What it bought on its way belongs to it.
                amount -= (
                    max(ZERO, cycle.flows().get(asset, ZERO)) if asset != cycle.start else ZERO
                )
                if cycle.is_basket and asset == cycle.start:
                    amount -= self._set_aside(cycle)
        return max(ZERO, amount)

    def _set_aside(self, cycle: Cycle) -> Decimal:
        """Return what buying back what a basket sold would cost now, in its start asset."""
        total = ZERO
        for asset, held in cycle.flows().items():
            if asset == cycle.start or held > 0:
                continue
            rate = self._state.valuation.rate(cycle.start, asset)
            # Without a book: what the sales brought.
            sales = (order.received for order in cycle.orders if order.intent.spends == asset)
            total += -held / rate * _ENOUGH if rate else sum(sales, ZERO)
        return total

    def skip(self, symbol: str, side: Side) -> int:
        """Return lots at the front of a book that somebody of us is taking already."""
        lots = self._gateway.taken(symbol, side)
        book = self._ports.books().get(symbol)
        if book is None:
            return lots
        scale = book.instrument.quantity_precision
        for cycle in self._state.cycles.values():
            for order in cycle.orders:
                request = order.intent.request
                if (request.symbol, request.side) == (symbol, side) and not order.is_settled:
                    lots += int((request.quantity - order.filled_quantity).scaleb(scale))
        return lots

    def step_of(self, asset: str) -> Decimal | None:
        """Return the smallest amount the venue's ledger knows of an asset."""
        precision = precision_of(self._ports.instruments(), asset)
        return None if precision is None else Decimal(1).scaleb(-precision)

    # ── the way back ─────────────────────────────────────────────────────────────────────────────

    def way_out(self, cycle: Cycle, asset: str, amount: Decimal, reason: str) -> UnwindDecision:
        """Return the cheapest way out of an asset, written down with all others.

        What the books can't take as a whole is judged by the part they take, cost and cap pro rata;
        the rest has its turn when they have filled up again.
        """
        cost, cap = self._cost_of(cycle, asset, amount), self.loss_cap(cycle)
        decision = self._ways_out(cycle, asset, amount, cost, cap)
        part = _part_taken(decision)
        if part is not None:
            share = part / amount
            sliced = self._ways_out(cycle, asset, part, cost * share, cap * share)
            if sliced.chosen.kind != "hold":
                decision = sliced
        cycle.decisions.append(decision)
        self._ports.write(UnwindDecided(cycle.number, reason, decision), cycle.run)
        return decision

    def _ways_out(
        self, cycle: Cycle, asset: str, amount: Decimal, cost: Decimal, cap: Decimal
    ) -> UnwindDecision:
        return ways_out(
            asset=asset,
            amount=amount,
            cost=cost,
            start=cycle.start,
            remaining_legs=cycle.approved.plan.legs_from(asset),
            done_legs=done_legs(cycle),
            instruments=self._ports.instruments(),
            books=self._ports.books(),
            fees=self._state.fees,
            loss_cap=cap,
            slippage_bps=self._slippage_bps,
            step_of=self.step_of,
            skip=self.skip,
            available=lambda name: self.available(name, but=cycle),
        )

    def buy_back(self, cycle: Cycle, asset: str, amount: Decimal) -> PlannedOrder | None:
        """Return the order that buys back inventory spent on a cycle that didn't go through.

        It turns the start asset into just enough of the other; None if no order can, within the
        loss cap.
        """
        leg = self._direct(cycle.start, asset)
        rate = self._state.valuation.rate(cycle.start, asset)
        if leg is None or not rate:
            return None
        # What is more than needed is cut off below.
        enough = min(amount / rate * _ENOUGH, self.available(cycle.start, but=cycle))
        try:
            quote = self.quote(leg, enough, cycle)
        except ArbitradeError:
            return None
        if quote.blocked is not None or not quote.received:
            return None
        if self._loss(cycle, asset, quote) > self.loss_cap(cycle):
            return None
        pair = self._ports.instruments()[leg.symbol]
        lots = (quote.quantity * min(Decimal(1), amount / quote.received)) / pair.quantity_increment
        quantity = lots.to_integral_value(ROUND_UP) * pair.quantity_increment
        quantity = max(min(quantity, quote.quantity), pair.minimum_quantity)
        return attrs.evolve(quote.order, quantity=quantity)

    def _loss(self, cycle: Cycle, asset: str, quote: LegQuote) -> Decimal:
        """Return what buying costs above what the same would sell for; 0 where nobody bids."""
        worth = self._state.valuation.value(asset, quote.received, cycle.start)
        return ZERO if worth is None else quote.spent - worth

    def _direct(self, spends: str, receives: str) -> Leg | None:
        for pair in self._ports.instruments().values():
            if (pair.base, pair.quote) == (receives, spends):
                return Leg(pair.symbol, Side.BUY)
            if (pair.base, pair.quote) == (spends, receives):
                return Leg(pair.symbol, Side.SELL)
        return None

    def loss_cap(self, cycle: Cycle) -> Decimal:
        """Return the most that getting out may cost, in the start asset."""
        cap, limits = cycle.limits.unwind_loss_cap, cycle.limits
        worth = self._state.valuation.value(limits.reference_asset, cap, cycle.start)
        # Nobody knows what the cap is worth: not a reason to hold, but to accept little.
        return worth if worth is not None else ZERO

    def _cost_of(self, cycle: Cycle, asset: str, amount: Decimal) -> Decimal:
        """Return the part of what is out that an asset stands for, by value.

        What an operator brought, or a basket held, stands for what it is worth now: the cap is for
        what getting out costs, not for what the market did meanwhile.
        """
        if asset in cycle.brought or cycle.is_basket:
            return amount * self._mid_rate(asset, cycle.start)
        valuation = self._state.valuation
        out = -min(ZERO, cycle.flows().get(cycle.start, ZERO))
        held = {a: v for a, v in cycle.flows().items() if a != cycle.start and v > 0}
        worth = {a: valuation.value(a, v, cycle.start) or ZERO for a, v in held.items()}
        total = sum(worth.values(), ZERO)
        return out if not total else out * worth.get(asset, ZERO) / total

    def _mid_rate(self, asset: str, target: str) -> Decimal:
        """Return the rate between selling and buying, 0 where nobody bids."""
        valuation = self._state.valuation
        sold, bought = valuation.rate(asset, target), valuation.rate(target, asset)
        if sold is None or not bought:
            return sold or ZERO
        return (sold + 1 / bought) / 2

    # ── worth ────────────────────────────────────────────────────────────────────────────────────

    def is_dust(self, asset: str, amount: Decimal, target: str | None = None) -> bool:
        """Tell whether an amount, held or missing, is too little for any order of its asset.

        With `target`: for any way there, over one asset in between at most.
        """
        amount = abs(amount)
        instruments = self._ports.instruments()
        for pair in instruments.values():
            if not self._fits(pair, asset, amount):
                continue
            other = pair.quote if pair.base == asset else pair.base
            if target is None or other == target:
                return False
            worth = self._state.valuation.value(asset, amount, other)
            for second in instruments.values():
                if {second.base, second.quote} == {other, target} and (
                    worth is None or self._fits(second, other, worth)
                ):
                    return False
        return True

    def _fits(self, pair: Instrument, asset: str, amount: Decimal) -> bool:
        """Tell whether an amount of one of its assets reaches a pair's minimums."""
        # Online or not: what is held is no dust because its pair has stopped for a while.
        if asset not in (pair.base, pair.quote):
            return False
        is_base = asset == pair.base
        rate = self._state.valuation.rate(asset, pair.quote if is_base else pair.base)
        if is_base:
            least, other = pair.minimum_quantity, pair.minimum_notional
        else:
            least, other = pair.minimum_notional, pair.minimum_quantity
        return amount >= least and (rate is None or amount * rate >= other)

    def worth(self, flows: Mapping[str, Decimal], reference: str) -> Decimal | None:
        """Return what amounts come to in the reference asset, None if one can't be valued."""
        valuation = self._state.valuation
        worth = [valuation.value(asset, amount, reference) for asset, amount in flows.items()]
        if any(value is None for value in worth):
            return None
        return sum((value for value in worth if value is not None), ZERO)


def _part_taken(decision: UnwindDecision) -> Decimal | None:
    """Return how much of an amount the best way takes, when it is held for want of depth."""
    if decision.chosen.kind != "hold":
        return None
    for candidate in decision.candidates:
        if candidate.kind == "hold" or candidate.blocked is not None or not candidate.quotes:
            continue
        first = candidate.quotes[0]
        if first.spent and first.left > 0:
            return first.spent
    return None
