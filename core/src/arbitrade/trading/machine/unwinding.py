"""Getting out of what a cycle holds, order by order, each time by the way that is cheapest then."""

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from arbitrade.models import CycleState, Instruments, PlannedOrder
from arbitrade.protocols.execution import CycleDesk, held_assets
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.quoting import Quoting
from arbitrade.trading.machine.sending import Sending

ZERO = Decimal(0)
_RECONNECT_S = 30.0
_BLIND_NS = 30_000_000_000
"""How long books that are out of sync may keep us from getting out."""
_BLIND_STEP_S = 0.1
_RETRY_S = 0.25
"""Between two attempts on the same book: what refused the last one has to change first."""
_MOST_ORDERS = 64
"""Of one unwinding, whatever comes of them."""


class UnwindingDesk(CycleDesk, Protocol):
    """A desk that also knows when the way to the venue is open again."""

    async def until_account_ready(self, seconds: float) -> bool:
        """Wait until orders may go out again, at most so long; return whether they may."""


class Unwinding:
    """Brings everything a cycle holds back to its start asset, within its loss cap.

    Args:
        desk: Where its orders are placed and waited for.
        cycle: Whose holdings.
        instruments: As they are.
        quoting: Weighs the ways.
        sending: Tells why an order never left.
        attempts: Orders in a row that may bring nothing.
    """

    def __init__(
        self,
        desk: UnwindingDesk,
        cycle: Cycle,
        instruments: Callable[[], Instruments],
        quoting: Quoting,
        sending: Sending,
        attempts: int,
    ) -> None:
        self._desk = desk
        self._cycle = cycle
        self._instruments = instruments
        self._quoting = quoting
        self._sending = sending
        self._attempts = attempts

    async def run(self, reason: str) -> CycleState:
        """Place one order after the other until nothing is left; return how the cycle ended."""
        desk, cycle = self._desk, self._cycle
        await desk.settled(*(order for order in cycle.orders if not order.is_settled))
        if not cycle.holdings():
            return CycleState.ABORTED_CLEAN
        attempts = refusals = 0
        most = len(cycle.orders) + _MOST_ORDERS
        blind_until_ns = desk.now_ns + _BLIND_NS
        while attempts < self._attempts and len(cycle.orders) < most:
            step = self._next_step(reason)
            if step is None:
                if await self._sighted(blind_until_ns):
                    continue
                break
            ticket = desk.place(len(cycle.orders), step, cycle.way_role)
            await desk.settled(ticket)
            if ticket.filled_quantity:
                # It got on, if only in part: what is left has all attempts again.
                attempts = refusals = 0
            elif self._sending.is_connection_refusal(ticket.client_id):
                # Nothing reached the venue, so nothing was tried.
                refusals += 1
                await desk.until_account_ready(_RECONNECT_S)
                await desk.pause(_RETRY_S * refusals)
            else:
                attempts += 1
                if attempts < self._attempts:
                    await desk.pause(_RETRY_S * attempts)
        return self._verdict()

    def _next_step(self, reason: str) -> PlannedOrder | None:
        """Return the next order on the way back, None when there is none worth sending."""
        cycle = self._cycle
        deficit = self._deficit()
        if deficit is not None:
            order = self._quoting.buy_back(cycle, *deficit)
            if order is not None:
                return order
        for asset, amount in held_assets(self._desk):
            decision = self._quoting.way_out(cycle, asset, amount, reason)
            chosen = decision.chosen
            if chosen.kind != "hold" and chosen.quotes and not chosen.quotes[0].blocked:
                return chosen.quotes[0].order
        return None

    def _deficit(self) -> tuple[str, Decimal] | None:
        """Return what was spent of our inventory on the way and has to be bought back."""
        for asset, amount in sorted(self._cycle.holdings().items()):
            if asset != self._cycle.start and amount < 0 and not self._desk.is_dust(asset, amount):
                return asset, -amount
        return None

    async def _sighted(self, until_ns: int) -> bool:
        """Wait for a book on a way out that can't be traded on now; return whether one came back.

        Holding what could be brought back a second later is the dearest way of all.
        """
        dark = [symbol for symbol in self._ways() if not self._is_lit(symbol)]
        while dark and self._desk.now_ns < until_ns:
            await self._desk.pause(_BLIND_STEP_S)
            if any(self._is_lit(symbol) for symbol in dark):
                return True
        return False

    def _ways(self) -> set[str]:
        """Return the pairs online that lead from what is held or missing to the start asset."""
        desk, start = self._desk, self._cycle.start
        holdings = self._cycle.holdings().items()
        held = {a for a, v in holdings if a != start and not desk.is_dust(a, v)}
        online = [pair for pair in self._instruments().values() if pair.is_online]
        first = [pair for pair in online if {pair.base, pair.quote} & held]
        between = {asset for pair in first for asset in (pair.base, pair.quote)} | held
        wanted = {frozenset((asset, start)) for asset in between}
        last = [pair for pair in online if frozenset((pair.base, pair.quote)) in wanted]
        ends = {asset for pair in last for asset in (pair.base, pair.quote)}
        return {
            pair.symbol
            for pair in (*first, *last)
            if desk.book(pair.symbol) is not None and {pair.base, pair.quote} <= ends
        }

    def _is_lit(self, symbol: str) -> bool:
        book = self._desk.book(symbol)
        return book is not None and book.tradable

    def _verdict(self) -> CycleState:
        cycle = self._cycle
        left = {asset: amount for asset, amount in cycle.holdings().items() if asset != cycle.start}
        worth_it = [
            asset for asset, amount in left.items() if not self._desk.is_dust(asset, amount)
        ]
        if worth_it:
            cycle.reason = f"{cycle.reason}; left: " + ", ".join(
                f"{left[asset]} {asset}" for asset in worth_it
            )
            return CycleState.FLAGGED
        return CycleState.UNWOUND
