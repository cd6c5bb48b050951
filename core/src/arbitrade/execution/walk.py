"""From an amount and books to orders: whole lots, limit prices, minimums, what they will bring.

Pure and exact: no rounding creates money.  What a single leg does is in `quote`.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import attrs

from arbitrade.book import OrderBook
from arbitrade.errors import BrokenCycleError
from arbitrade.execution.exact import EXACT, ROUNDED_ONCE, ZERO, short
from arbitrade.execution.quote import expected_fee, fee_asset, fee_in, quote_leg
from arbitrade.models import (
    CyclePlan,
    Dust,
    ExecutionReport,
    Instrument,
    Instruments,
    Leg,
    LegQuote,
    Side,
)
from arbitrade.pricing import FeeSchedule

__all__ = [
    "Conditions",
    "expected_fee",
    "fee_asset",
    "fee_in",
    "ledger_step",
    "net_flow",
    "plan_cycle",
    "quote_leg",
    "why_not_tradable",
]


@attrs.frozen
class Conditions:
    """What every quote of a plan or of a way out has in common.

    Args:
        fees: Rates, and where they are charged.
        step_of: Return the smallest amount of an asset the venue's ledger keeps, None if unknown.
        slippage_bps: How far each limit may be beyond the worst price touched.
        skip: Return lots at the front of a pair's side that other orders of ours will take.
        available: Return what the wallet has free of an asset; without it there is nothing beside
            what goes in.
    """

    fees: FeeSchedule
    step_of: Callable[[str], Decimal | None]
    slippage_bps: Decimal = ZERO
    skip: Callable[[str, Side], int] | None = None
    available: Callable[[str], Decimal] | None = None

    def first(self, book: OrderBook, side: Side, amount: Decimal) -> LegQuote:
        """Return what converting an amount that is in the wallet would be."""
        free = self._free(book, side)
        return self._quote(book, side, amount, free)

    def next(self, book: OrderBook, side: Side, amount: Decimal) -> LegQuote:
        """Return what converting an amount would be that an order before brings into the wallet."""
        free = self._free(book, side)
        return self._quote(book, side, amount, None if free is None else EXACT.add(free, amount))

    def _free(self, book: OrderBook, side: Side) -> Decimal | None:
        pair = book.instrument
        spends = pair.quote if side is Side.BUY else pair.base
        return None if self.available is None else self.available(spends)

    def _quote(
        self, book: OrderBook, side: Side, amount: Decimal, available: Decimal | None
    ) -> LegQuote:
        pair = book.instrument
        return quote_leg(
            book,
            side,
            amount,
            self.fees,
            base_step=self.step_of(pair.base),
            quote_step=self.step_of(pair.quote),
            skip_lots=0 if self.skip is None else self.skip(pair.symbol, side),
            slippage_bps=self.slippage_bps,
            available=available,
        )


def plan_cycle(
    opportunity_key: str,
    assets: Sequence[str],
    legs: Sequence[Leg],
    books: Callable[[str], OrderBook | None],
    amount: Decimal,
    fees: FeeSchedule,
    *,
    instruments: Instruments,
    slippage_bps: Decimal = ZERO,
    cap: str = "",
    skip: Callable[[str, Side], int] | None = None,
    available: Callable[[str], Decimal] | None = None,
) -> CyclePlan:
    """Return a cycle sized for `amount` of its start asset: each leg spends what the last brings.

    Blocked when a leg is, when a book may not be traded on, and when lots leave no profit.

    Args:
        opportunity_key: Of the opportunity.
        assets: Start asset first.
        legs: In trading order.
        books: Return a pair's book, None where there is none.
        amount: Most that may go in.
        fees: Rates, and where they are charged.
        instruments: Their assets tell the steps of the venue's ledger.
        slippage_bps: How far each limit may be beyond the worst price touched.
        cap: What bound `amount` below the optimum; kept in the plan.
        skip: Return lots at the front of a pair's side that other orders of ours will take.
        available: Return what the wallet has free of an asset, what this cycle will bring not
            counted; only what the first leg spends is taken from it.  Without it there is nothing
            beside `amount`.
    """
    plan = CyclePlan(
        opportunity_key, tuple(assets), tuple(legs), (), ZERO, ZERO, blocked=None, cap=cap
    )
    conditions = Conditions(
        fees, lambda asset: ledger_step(instruments, asset), slippage_bps, skip, available
    )
    quotes, blocked = _quote_legs(legs, books, amount, conditions)
    if blocked is not None:
        return attrs.evolve(plan, quotes=tuple(quotes), blocked=blocked)
    spent, received = quotes[0].spent, quotes[-1].received
    dust = _dust(assets, quotes)
    return attrs.evolve(
        plan,
        quotes=tuple(quotes),
        spent=spent,
        received=received,
        dust=dust,
        blocked=None if received > spent else _loss(plan, spent, received, dust),
    )


def _quote_legs(
    legs: Sequence[Leg],
    books: Callable[[str], OrderBook | None],
    amount: Decimal,
    conditions: Conditions,
) -> tuple[list[LegQuote], str | None]:
    """Return the quotes up to the first that is blocked, and why it is."""
    quotes: list[LegQuote] = []
    for leg in legs:
        book = books(leg.symbol)
        reason = why_not_tradable(leg.symbol, book)
        if book is None or reason is not None:
            return quotes, reason
        if quotes:
            quote = conditions.next(book, leg.side, quotes[-1].received)
        else:
            quote = conditions.first(book, leg.side, amount)
        quotes.append(quote)
        if quote.blocked is not None:
            return quotes, quote.blocked
    return quotes, None


def why_not_tradable(symbol: str, book: OrderBook | None) -> str | None:
    """Return why nothing may be decided on a book, None when something may."""
    if book is None:
        return f"{symbol}: there is no book; subscribe to it"
    if not book.tradable:
        return f"{symbol}: its book may not be traded on now: {book!r}"
    return None


def ledger_step(instruments: Instruments, asset: str) -> Decimal | None:
    """Return the smallest amount of an asset the venue's ledger keeps, None if not known."""
    known = instruments.assets.get(asset)
    return None if known is None else Decimal(1).scaleb(-known.precision)


def net_flow(
    report: ExecutionReport, instrument: Instrument, side: Side | None = None
) -> Mapping[str, Decimal]:
    """Return what a fill changes by asset, its fees included: bought positive, sold negative.

    Amounts are those reported; the rounding of the venue's ledger is not in them.

    Args:
        report: Of a fill; any other event has no quantity and changes nothing.
        instrument: Its pair.
        side: Of the order, for reports that leave it out.

    Raises:
        BrokenCycleError: Nobody says whether it was bought or sold.
    """
    side = report.side or side
    if side is None:
        raise BrokenCycleError(
            f"{instrument.symbol}: execution {report.exec_id} without a side; look the order up"
        )
    base, quote = report.last_quantity, report.cost
    flows = {
        instrument.base: base if side is Side.BUY else base.copy_negate(),
        instrument.quote: quote.copy_negate() if side is Side.BUY else quote,
    }
    for fee in report.fees:
        flows[fee.asset] = EXACT.subtract(flows.get(fee.asset, ZERO), fee.amount)
    return flows


def _dust(assets: Sequence[str], quotes: Sequence[LegQuote]) -> tuple[Dust, ...]:
    """Return what the legs after the first could not spend, valued at the rates of the plan."""
    found: list[Dust] = []
    worth = Fraction(1)
    for asset, quote in list(zip(assets, quotes, strict=True))[:0:-1]:
        worth *= Fraction(quote.received) / Fraction(quote.spent)
        if quote.left > 0:
            value = Fraction(quote.left) * worth
            rounded = ROUNDED_ONCE.divide(Decimal(value.numerator), Decimal(value.denominator))
            found.append(Dust(asset, quote.left, rounded))
    return tuple(reversed(found))


def _loss(plan: CyclePlan, spent: Decimal, received: Decimal, dust: Sequence[Dust]) -> str:
    gained, start = EXACT.subtract(received, spent), plan.assets[0]
    value = sum((part.value for part in dust), ZERO)
    return (
        f"{plan.key}: whole lots leave {short(gained)} {start} and dust worth {short(value)} "
        f"{start}; the limit is above 0"
    )
