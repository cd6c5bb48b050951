"""A desk on books that a test sets, where every order ends at once."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from decimal import Decimal
from fractions import Fraction
from typing import Self

import attrs

from arbitrade.book import OrderBook
from arbitrade.config.risk import RiskLimits
from arbitrade.errors import ArbitradeError
from arbitrade.execution.basket import plan_basket
from arbitrade.execution.walk import Conditions, ledger_step, plan_cycle, quote_leg
from arbitrade.models import (
    Approved,
    CycleState,
    Instrument,
    Instruments,
    Leg,
    LegQuote,
    OrderRole,
    PlannedOrder,
    Side,
)
from arbitrade.pricing import FeeConvention, FeeSchedule, to_decimal
from arbitrade.protocols.execution import CycleDesk, Ticket
from arbitrade.synthetic.factories import Figure
from arbitrade.synthetic.view import ENTRY_FEES, TRIANGLE, make_basket, make_opportunity

__all__ = ["FakeDesk", "FakeTicket"]

ZERO = Decimal(0)
_DUST = Decimal("0.00000001")


@attrs.frozen
class FakeTicket:
    """An order that has ended: filled as far as the book and the test let it."""

    client_id: str
    order: PlannedOrder
    role: OrderRole
    leg: int
    filled_quantity: Decimal = ZERO
    spent: Decimal = ZERO
    received: Decimal = ZERO
    rejection: str = ""
    is_settled: bool = True


@attrs.define(eq=False)
class FakeDesk:
    """A `CycleDesk`: orders take what the books show up to their limit, and end at once.

    Books stay as they are, as at a venue where nobody else notices; change them in `on_pause`.

    Args:
        approved: What is to be carried out.
        books: By symbol.
        fees: Charged in quote.
        balances: What may be spent beside the cycle's own, by asset; none of those not named.
        rejections: Why the venue refuses a leg's orders, by leg.
        fill_share: How much of a leg's order is filled, by leg; all of those not named.
        on_pause: Called with the desk when the executor pauses.
    """

    approved: Approved
    books: MutableMapping[str, OrderBook]
    fees: FeeSchedule = ENTRY_FEES
    limits: RiskLimits = attrs.field(factory=RiskLimits)
    now_ns: int = 1_700_000_000_000_000_000
    must_reduce: bool = False
    cycle: int = 1
    balances: MutableMapping[str, Decimal] = attrs.field(factory=dict)
    rejections: MutableMapping[int, str] = attrs.field(factory=dict)
    fill_share: MutableMapping[int, Decimal] = attrs.field(factory=dict)
    on_pause: Callable[["FakeDesk"], None] = lambda _: None
    tickets: list[FakeTicket] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    unwound_because: str = ""
    _held: dict[str, Decimal] = attrs.field(factory=dict)
    _noted: dict[str, Mapping[str, str]] = attrs.field(factory=dict)

    @classmethod
    def around(
        cls,
        books: Iterable[OrderBook],
        amount: Figure,
        legs: Iterable[Leg] = TRIANGLE,
        fees: FeeSchedule = ENTRY_FEES,
    ) -> Self:
        """Return a desk with an approved cycle that puts `amount` through these books."""
        by_symbol = {book.symbol: book for book in books}
        found = make_opportunity(legs, size=amount)
        plan = plan_cycle(
            found.key,
            found.assets,
            found.legs,
            by_symbol.get,
            found.size,
            fees,
            instruments=Instruments([book.instrument for book in by_symbol.values()]),
        )
        return cls(Approved(found, plan), by_symbol, fees)

    @classmethod
    def around_basket(
        cls,
        books: Iterable[OrderBook],
        amount: Figure,
        weights: Mapping[str, Figure],
        fees: FeeSchedule = ENTRY_FEES,
    ) -> Self:
        """Return a desk with an approved basket of `amount`, weighted by pair (`make_basket`)."""
        by_symbol = {book.symbol: book for book in books}
        found = make_basket(weights, size=amount)
        instruments = Instruments([book.instrument for book in by_symbol.values()])
        conditions = Conditions(fees, lambda asset: ledger_step(instruments, asset))
        plan = plan_basket(found, by_symbol.get, found.size, conditions)
        balances = {asset: spent * 2 for asset, spent in plan.inputs().items()}
        return cls(Approved(found, plan), by_symbol, fees, balances=balances)

    def book(self, symbol: str) -> OrderBook | None:
        """Return the book that was set."""
        return self.books.get(symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Return the pair of the book that was set."""
        return self.books[symbol].instrument

    def held(self) -> Mapping[str, Decimal]:
        """Return what the fills so far came to."""
        return {asset: amount for asset, amount in self._held.items() if amount}

    def available(self, asset: str) -> Decimal:
        """Return the balance that was set, and what the cycle has of it."""
        return max(ZERO, self.balances.get(asset, ZERO) + self._held.get(asset, ZERO))

    def quote(self, leg: Leg, amount: Decimal) -> LegQuote:
        """Return what converting up to `amount` would be on the book that was set.

        Raises:
            ArbitradeError: There is none, or it isn't tradable.
        """
        book = self.books.get(leg.symbol)
        if book is None or not book.tradable:
            raise ArbitradeError(f"{leg.symbol}: no book to trade on now")
        return quote_leg(book, leg.side, amount, self.fees)

    def is_dust(self, asset: str, amount: Decimal) -> bool:
        """Tell whether there is next to nothing of it."""
        return abs(amount) < _DUST

    def place(self, leg: int, order: PlannedOrder, role: OrderRole = OrderRole.LEG) -> FakeTicket:
        """Fill an order on the book that was set."""
        client_id = f"{self.cycle}-{len(self.tickets)}"
        rejection = self.rejections.get(leg, "")
        ticket = FakeTicket(client_id, order, role, leg, rejection=rejection)
        if not rejection:
            ticket = self._fill(ticket)
        self.tickets.append(ticket)
        return ticket

    async def settled(self, *tickets: Ticket) -> None:
        """Return at once: every order has ended."""

    async def pause(self, seconds: float) -> None:
        """Let the time pass, and call `on_pause`."""
        self.now_ns += round(seconds * 1e9)
        self.on_pause(self)

    async def hold(self, seconds: float) -> None:
        """Let the time pass, and call `on_pause`."""
        await self.pause(seconds)

    async def unwind(self, reason: str) -> CycleState:
        """Keep the reason; tell whether anything had been filled."""
        self.unwound_because = reason
        return CycleState.UNWOUND if self.held() else CycleState.ABORTED_CLEAN

    def note(self, what: str, **fields: object) -> None:
        """Keep what was noted."""
        self.notes.append(what)
        self._noted[what] = {name: str(value) for name, value in fields.items()}

    def noted(self, what: str) -> Mapping[str, str] | None:
        """Return the fields of the last note of this name."""
        return self._noted.get(what)

    def _fill(self, ticket: FakeTicket) -> FakeTicket:
        order, pair = ticket.order, self.instrument(ticket.order.symbol)
        share = self.fill_share.get(ticket.leg, Decimal(1))
        done, cost = _walk(self.books[order.symbol], order, order.quantity * share)
        is_buy = order.side is Side.BUY
        before, after = FeeConvention.QUOTE.factors(order.side, self.fees.taker_rate(order.symbol))
        spent = to_decimal((cost if is_buy else done) * before)
        received = to_decimal((done if is_buy else cost) * after)
        spends, receives = (pair.quote, pair.base) if is_buy else (pair.base, pair.quote)
        self._held[spends] = self._held.get(spends, ZERO) - spent
        self._held[receives] = self._held.get(receives, ZERO) + received
        return attrs.evolve(
            ticket, filled_quantity=to_decimal(done), spent=spent, received=received
        )


def _walk(book: OrderBook, order: PlannedOrder, wanted: Decimal) -> tuple[Fraction, Fraction]:
    """Return quantity and cost of what a book has for an order up to its limit."""
    pair, left = book.instrument, Fraction(wanted)
    done = cost = Fraction(0)
    for ticks, lots in book.side(order.side):
        price = Decimal(ticks).scaleb(-pair.price_precision)
        is_buy = order.side is Side.BUY
        if price > order.limit_price if is_buy else price < order.limit_price:
            break
        taken = min(left, Fraction(lots, 10**pair.quantity_precision))
        done, cost, left = done + taken, cost + taken * Fraction(price), left - taken
    return done, cost


def _plays_its_role(desk: FakeDesk) -> CycleDesk:
    return desk  # for the type checker
