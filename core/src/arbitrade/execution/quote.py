"""What converting an amount through a book would be, as one order a venue takes.

Pure and exact.  What is expected of money agrees with what the venue does where that is known: fees
are rounded to the nearest step as it reports them, amounts never up.
"""

from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

import attrs

from arbitrade.book import OrderBook
from arbitrade.execution.exact import (
    EXACT,
    ROUNDED_ONCE,
    ZERO,
    plain,
    round_to_step,
    short,
    terminating,
)
from arbitrade.lots import Fill, LegTerms, cut, leg_terms
from arbitrade.models import FeeAsset, Instrument, LegQuote, Level, Side
from arbitrade.pricing import BPS, FeeConvention, FeeSchedule


def quote_leg(
    book: OrderBook,
    side: Side,
    amount: Decimal,
    fees: FeeSchedule,
    *,
    base_step: Decimal | None = None,
    quote_step: Decimal | None = None,
    skip_lots: int = 0,
    slippage_bps: Decimal = ZERO,
    available: Decimal | None = None,
) -> LegQuote:
    """Return what converting up to `amount` through all levels held would be, as one order.

    The venue holds quantity × limit price of a buy, with the fee where that is charged in quote.
    Where `available` doesn't cover it, the limit is lowered first, at most to the worst price
    touched, then the quantity.  Where a level can't be reached by any price on the increment, or
    so deep a limit makes the order's worth too small for the venue, the walk ends a level earlier.

    A blocked quote spends nothing and brings nothing; its prices say how far the walk got.

    Does not look at `book.tradable`.  O(levels touched), about 15 µs for three.

    Args:
        book: Of the pair, interpreted or compiled.
        side: What the order does with the base asset.
        amount: Most that may go in, fee included where it is charged there.
        fees: Rates, and where they are charged.
        base_step: Smallest amount the venue's ledger keeps of the base asset; quantities are
            multiples of it.
        quote_step: The same of the quote asset; what comes in is rounded down to it.
        skip_lots: Lots at the front of the side that other orders of ours are going to take.
        slippage_bps: How far the limit may be beyond the worst price touched.
        available: What the venue may hold for the order; `amount` unless given.
    """
    terms = _terms(book.instrument, side, fees.charged_in, fees.taker_rate(book.symbol), base_step)
    wallet = amount if available is None else available
    taken = book.side(side)
    fill = terms.reach(levels_behind(taken, skip_lots), amount, wallet)
    if not fill.lots:
        return _nothing_reached(terms, book, amount, wallet, skip_lots)
    rules = terms.leg.rules
    blocked: LegQuote | None = None
    while fill.lots:
        if excess := fill.lots % rules.lot_step:
            fill = cut(levels_behind(taken, skip_lots), fill.lots - excess)
        limit = terms.limit(fill, slippage_bps, wallet)
        if not terms.breaks_rule(fill, limit):
            return _make_quote(terms, fill, limit, amount, quote_step)
        if blocked is None:
            reason = _broken_rule(terms, fill, limit, amount, wallet)
            blocked = _blocked_quote(terms, limit, fill, amount, reason)
        if not fill.lots or fill.lots < rules.minimum_lots:
            break
        fill = cut(levels_behind(taken, skip_lots), fill.lots - fill.last_lots)
    assert blocked is not None
    return blocked


def levels_behind(side: Iterable[Level], skip_lots: int) -> Iterator[Level]:
    """Yield (ticks, lots) behind the first lots of a side."""
    for ticks, lots in side:
        if skip_lots >= lots:
            skip_lots -= lots
            continue
        yield ticks, lots - skip_lots
        skip_lots = 0


# ── fees ─────────────────────────────────────────────────────────────────────────────────────────


def fee_in(convention: FeeConvention, side: Side) -> FeeAsset:
    """Return which asset of the pair an order has to say its fee is taken in."""
    if convention is FeeConvention.QUOTE:
        return FeeAsset.QUOTE
    is_base = (side is Side.BUY) is (convention is FeeConvention.PROCEEDS)
    return FeeAsset.BASE if is_base else FeeAsset.QUOTE


def fee_asset(instrument: Instrument, side: Side, convention: FeeConvention) -> str:
    """Return the name of the asset a fee is expected in."""
    is_base = fee_in(convention, side) is FeeAsset.BASE
    return instrument.base if is_base else instrument.quote


def expected_fee(
    instrument: Instrument,
    side: Side,
    quantity: Decimal,
    notional: Decimal,
    fees: FeeSchedule,
    base_step: Decimal | None = None,
) -> Decimal:
    """Return the taker fee of a fill, to the nearest step as the venue reports it.

    In quote: the decimals of the pair's costs.  In base: those of its ledger, else of quantities.
    """
    rate = fees.taker_rate(instrument.symbol)
    if fee_in(fees.charged_in, side) is FeeAsset.BASE:
        exact = EXACT.multiply(quantity, rate)
        step = base_step or Decimal(1).scaleb(-instrument.quantity_precision)
    else:
        exact = EXACT.multiply(notional, rate)
        step = Decimal(1).scaleb(-instrument.cost_precision)
    return exact.quantize(step, ROUND_HALF_UP, EXACT)


# ── terms ────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class _Terms:
    """A leg's constants with what is charged on it, in decimals.

    Args:
        leg: Its lots.
        convention: Where the fee is taken.
        fee_rate: Fraction of the notional.
        base_step: Smallest amount the venue's ledger keeps of the base asset.
        spend: What multiplies the input for the fee.
        receive: What multiplies the output for the fee.
    """

    leg: LegTerms
    convention: FeeConvention
    fee_rate: Decimal
    base_step: Decimal | None
    spend: Decimal
    receive: Decimal

    def reach(self, levels: Iterable[Level], amount: Decimal, wallet: Decimal) -> Fill:
        """Return what amount and wallet reach, before lots are rounded."""
        if self.spend <= 0 or self.receive <= 0:
            return Fill(0, 0, 0, 0, 0)
        leg = self.leg
        return leg.fill(levels, leg.units(amount), leg.units(wallet))

    def limit(self, fill: Fill, slippage_bps: Decimal, wallet: Decimal) -> int:
        """Return the farthest limit that slippage, increment and wallet allow, in ticks."""
        if not fill.lots:
            return fill.worst_ticks
        leg, worst = self.leg, fill.worst_ticks
        slippage, one = (slippage_bps / BPS).as_integer_ratio()
        step = leg.rules.tick_step
        if not leg.is_buy:
            return max(-(-worst * (one - slippage) // (one * step)) * step, step)
        farthest = worst * (one + slippage) // one
        return min(farthest, leg.units(wallet) // (leg.spend * fill.lots)) // step * step

    def worth(self, fill: Fill, limit: int) -> int:
        """Return what the venue takes an order to be worth, in ticks × lots.

        It values an order at its limit price; that of a buy may yet come down to the worst one.
        """
        return fill.lots * min(limit, fill.worst_ticks)

    def reaches(self, limit: int, worst_ticks: int) -> bool:
        """Tell whether an order with that limit takes a price."""
        return limit >= worst_ticks if self.leg.is_buy else limit <= worst_ticks

    def breaks_rule(self, fill: Fill, limit: int) -> bool:
        """Tell whether the venue would refuse the order or not fill all of it."""
        rules = self.leg.rules
        return (
            not fill.lots
            or fill.lots < rules.minimum_lots
            or not self.reaches(limit, fill.worst_ticks)
            or self.worth(fill, limit) < rules.minimum_notional
        )

    def price(self, ticks: int) -> Decimal:
        """Return ticks as a price."""
        return Decimal(ticks).scaleb(-self.leg.pair.price_precision, EXACT)

    def quantity(self, lots: int) -> Decimal:
        """Return lots in base."""
        return Decimal(lots).scaleb(-self.leg.pair.quantity_precision, EXACT)

    def notional(self, units: int) -> Decimal:
        """Return ticks × lots in quote."""
        pair = self.leg.pair
        return Decimal(units).scaleb(-(pair.price_precision + pair.quantity_precision), EXACT)


# PERF: 20 µs of fractions, three times for every plan; 0.4 µs when looked up.
@lru_cache(maxsize=4096)
def _terms(
    pair: Instrument,
    side: Side,
    convention: FeeConvention,
    fee_rate: Decimal,
    base_step: Decimal | None,
) -> _Terms:
    spend, receive = map(terminating, convention.factors(side, fee_rate))
    leg = leg_terms(pair, side, convention, fee_rate, base_step)
    return _Terms(leg, convention, fee_rate, base_step, spend, receive)


# ── quotes ───────────────────────────────────────────────────────────────────────────────────────


def _make_quote(
    terms: _Terms, fill: Fill, limit: int, amount: Decimal, quote_step: Decimal | None
) -> LegQuote:
    quantity, notional = terms.quantity(fill.lots), terms.notional(fill.cost)
    goes_in, comes_out = (notional, quantity) if terms.leg.is_buy else (quantity, notional)
    spent = EXACT.multiply(goes_in, terms.spend)
    received = EXACT.multiply(comes_out, terms.receive)
    fees = FeeSchedule(terms.fee_rate, charged_in=terms.convention)
    return LegQuote(
        symbol=terms.leg.pair.symbol,
        side=terms.leg.side,
        quantity=quantity,
        limit_price=terms.price(limit),
        worst_price=terms.price(fill.worst_ticks),
        vwap=ROUNDED_ONCE.divide(notional, quantity),
        spent=spent,
        received=round_to_step(received, terms.base_step if terms.leg.is_buy else quote_step),
        fee=expected_fee(terms.leg.pair, terms.leg.side, quantity, notional, fees, terms.base_step),
        fee_asset=fee_asset(terms.leg.pair, terms.leg.side, terms.convention),
        left=EXACT.subtract(amount, spent),
        levels=fill.levels,
    )


def _blocked_quote(terms: _Terms, limit: int, fill: Fill, amount: Decimal, reason: str) -> LegQuote:
    return LegQuote(
        symbol=terms.leg.pair.symbol,
        side=terms.leg.side,
        quantity=ZERO,
        limit_price=terms.price(limit),
        worst_price=terms.price(fill.worst_ticks),
        vwap=terms.price(fill.worst_ticks),
        spent=ZERO,
        received=ZERO,
        fee=ZERO,
        fee_asset=fee_asset(terms.leg.pair, terms.leg.side, terms.convention),
        left=amount,
        levels=fill.levels,
        blocked=f"{terms.leg.pair.symbol}: {reason}",
    )


# ── why not ──────────────────────────────────────────────────────────────────────────────────────


def _broken_rule(terms: _Terms, fill: Fill, limit: int, amount: Decimal, wallet: Decimal) -> str:
    """Name the first of the venue's rules that is broken, the value and the limit."""
    pair = terms.leg.pair
    if not fill.lots:
        return _below_a_lot(terms, amount, wallet)
    if fill.lots < terms.leg.rules.minimum_lots:
        return (
            f"order minimum not met: quantity {plain(terms.quantity(fill.lots))} {pair.base} is "
            f"below {plain(pair.minimum_quantity)}"
        )
    if not terms.reaches(limit, fill.worst_ticks):
        return (
            f"price {plain(terms.price(fill.worst_ticks))} is not a multiple of the increment "
            f"{plain(pair.price_increment)}; {plain(terms.price(limit))} would not reach it"
        )
    return (
        f"cost minimum not met: notional {plain(terms.notional(terms.worth(fill, limit)))} "
        f"{pair.quote} is below {plain(pair.minimum_notional)}"
    )


def _nothing_reached(
    terms: _Terms, book: OrderBook, amount: Decimal, wallet: Decimal, skip_lots: int
) -> LegQuote:
    """Say why not a lot can be had: the fee, the book, other orders, the amount, the wallet."""
    best = next(levels_behind(book.side(terms.leg.side), skip_lots), None)
    if terms.spend <= 0 or terms.receive <= 0:
        reason = f"a fee of {terms.fee_rate} leaves nothing; write 0.0040 for 40 bps"
    elif best is not None:
        reason = _below_a_lot(terms, amount, wallet)
    else:
        reason = f"the book holds no {'asks' if terms.leg.is_buy else 'bids'}"
        if skip_lots:
            reason += (
                f" but {plain(terms.quantity(skip_lots))} {terms.leg.pair.base} for other orders"
            )
    ticks = 0 if best is None else best[0]
    return _blocked_quote(terms, ticks, Fill(0, 0, ticks, 0, 0), amount, reason)


def _below_a_lot(terms: _Terms, amount: Decimal, wallet: Decimal) -> str:
    step, asset = plain(terms.quantity(terms.leg.rules.lot_step)), terms.leg.spends
    which = (
        f"{short(amount)} {asset} does" if amount <= wallet else f"{short(wallet)} free {asset} do"
    )
    return f"order minimum not met: {which} not reach one lot of {step} {terms.leg.pair.base}"
