"""The journey of a cycle's orders for attribution: what the books said on the way."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice

from arbitrade.accounting.attribution import CycleJourney, LegJourney
from arbitrade.book import OrderBook
from arbitrade.execution.walk import net_flow, quote_leg
from arbitrade.models import CycleState, LegQuote, OrderRole, Side
from arbitrade.records import BookSeen
from arbitrade.trading.machine.cycles import Cycle
from arbitrade.trading.machine.orders import TrackedOrder
from arbitrade.trading.machine.ports import Ports
from arbitrade.trading.machine.quoting import Quoting
from arbitrade.trading.machine.state import MachineState

ZERO = Decimal(0)
_LEVELS = 25
_BOOK_LEVELS = 10


class Marks:
    """Notes the books at moments of an order's journey, and makes the journey of them.

    Args:
        state: Fees as they are.
        ports: Books, instruments, the journal.
        quoting: The steps of the venue's ledger.
    """

    def __init__(self, state: MachineState, ports: Ports, quoting: Quoting) -> None:
        self._state = state
        self._ports = ports
        self._quoting = quoting

    # ── on the way ───────────────────────────────────────────────────────────────────────────────

    def mark(self, cycle: Cycle, order: TrackedOrder, moment: str) -> None:
        """Note the side of the book an order takes from, as it is now; once for each moment."""
        intent = order.intent
        if intent.role is not OrderRole.LEG or moment in order.moments or cycle.is_basket:
            return
        if not order.moments:
            order.amount = _input(cycle, order)
        book = self._ports.books().get(intent.request.symbol)
        if book is not None and book.tradable:
            order.moments[moment] = tuple(islice(book.side(intent.request.side), _LEVELS))

    def mark_of(self, order: TrackedOrder, moment: str) -> None:
        """Do so for an order of any cycle under way."""
        if isinstance(order.owner, Cycle):
            self.mark(order.owner, order, moment)

    def keep_books(self, cycle: Cycle, moment: str) -> None:
        """Write down the best levels of each book of a cycle."""
        for symbol in cycle.symbols:
            book = self._ports.books().get(symbol)
            if book is not None:
                self._ports.write(_seen(cycle.number, book, moment), cycle.run)

    # ── at the end ───────────────────────────────────────────────────────────────────────────────

    def journey(self, cycle: Cycle) -> CycleJourney:
        """Return a closed cycle's journey."""
        plan = cycle.approved.plan
        legs = []
        for index, quote in enumerate(plan.quotes):
            orders = [
                order
                for order in cycle.orders
                if order.intent.role is OrderRole.LEG and order.intent.leg == index
            ]
            legs.append(self._leg(quote, orders))
        unwound: dict[str, Decimal] = {}
        for order in cycle.orders:
            if order.intent.role is not OrderRole.LEG:
                for asset, amount in order.flows.items():
                    unwound[asset] = unwound.get(asset, ZERO) + amount
        flagged = cycle.state is CycleState.FLAGGED
        left = {a: v for a, v in cycle.flows().items() if a != cycle.start and flagged and v > 0}
        return CycleJourney(plan.assets, tuple(legs), unwound, left)

    def _leg(self, planned: LegQuote, orders: Sequence[TrackedOrder]) -> LegJourney:
        if not orders:
            return LegJourney(planned, is_sent=False)
        last = orders[-1]
        if not any(order.fills for order in orders):
            # It left and brought nothing: all of it was lost on the way, no book can say where.
            return LegJourney(planned)
        reported: dict[str, Decimal] = {}
        fees: dict[str, Decimal] = {}
        booked: dict[str, Decimal] = {}
        for order in orders:
            pair = self._ports.instruments()[order.intent.request.symbol]
            for fill in order.fills.values():
                for asset, amount in net_flow(fill, pair, order.intent.request.side).items():
                    reported[asset] = reported.get(asset, ZERO) + amount
                for fee in fill.fees:
                    fees[fee.asset] = fees.get(fee.asset, ZERO) + fee.amount
            for asset, amount in order.flows.items():
                booked[asset] = booked.get(asset, ZERO) + amount
        # What the ledger booked beyond what the fills said is the venue's rounding.
        rounding = {asset: amount - reported.get(asset, ZERO) for asset, amount in booked.items()}
        return LegJourney(
            planned,
            at_send=self._quote(last, "send"),
            at_ack=self._quote(last, "ack"),
            at_fill=self._quote(last, "fill"),
            spent=-reported.get(last.intent.spends, ZERO),
            received=reported.get(last.intent.receives, ZERO),
            fees=fees,
            rounding={asset: amount for asset, amount in rounding.items() if amount},
        )

    def _quote(self, order: TrackedOrder, moment: str) -> LegQuote | None:
        """Return what the order's input would have brought at a moment, our own fills undone.

        What the order itself took is gone from the book by then and no movement of the market.
        """
        then, before = order.moments.get(moment), order.moments.get("send")
        if then is None or before is None:
            return None
        request, levels = order.intent.request, dict(then)
        pair, shown = self._ports.instruments()[request.symbol], dict(before)
        for fill in order.fills.values():
            ticks = int(fill.last_price.scaleb(pair.price_precision))
            lots = levels.get(ticks, 0) + int(fill.last_quantity.scaleb(pair.quantity_precision))
            # Never more than was shown when it was sent: the level may have been refilled since.
            levels[ticks] = max(levels.get(ticks, 0), min(lots, shown.get(ticks, 0)))
        rows = [(ticks, lots) for ticks, lots in levels.items() if lots]
        book = OrderBook(pair, len(rows))
        book.load(*(([], rows) if request.side is Side.BUY else (rows, [])))
        quote = quote_leg(
            book,
            request.side,
            order.amount,
            self._state.fees,
            base_step=self._quoting.step_of(pair.base),
            quote_step=self._quoting.step_of(pair.quote),
            skip_lots=order.skip_lots,
            # Holds are no part of what it would have brought.
            available=order.amount * 2,
        )
        return None if quote.blocked else quote


def _input(cycle: Cycle, order: TrackedOrder) -> Decimal:
    """Return what goes into an order: as planned where all legs go out at once, else what came."""
    intent = order.intent
    planned = cycle.approved.plan.quotes[intent.leg].spent
    if intent.leg == 0 or cycle.needs_inventory:
        return planned
    held = cycle.flows().get(intent.spends, ZERO)
    return held if held > 0 else planned


def _seen(cycle: int, book: OrderBook, moment: str) -> BookSeen:
    pair = book.instrument

    def levels(side: Iterable[tuple[int, int]]) -> tuple[tuple[Decimal, Decimal], ...]:
        return tuple(
            (
                Decimal(ticks).scaleb(-pair.price_precision),
                Decimal(lots).scaleb(-pair.quantity_precision),
            )
            for ticks, lots in islice(side, _BOOK_LEVELS)
        )

    return BookSeen(cycle, book.symbol, moment, levels(book.bids), levels(book.asks))
