"""What converting an amount through a book would be, as one order a venue takes.

Pure and exact.  What is expected of money agrees with what the venue does where that is known: fees
are rounded to the nearest step as it reports them, amounts never up.
"""

from decimal import ROUND_HALF_UP, Decimal

from arbitrade.book import OrderBook
from arbitrade.execution.lots import (
    EXACT,
    ROUNDED_ONCE,
    ZERO,
    Fill,
    LegTerms,
    leg_terms,
    levels_behind,
    plain,
    reach,
    round_to_step,
    short,
    terminating,
)
from arbitrade.models import FeeAsset, Instrument, LegQuote, Side
from arbitrade.pricing import FeeConvention, FeeSchedule


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
    terms = leg_terms(
        book.instrument, side, fees.charged_in, fees.taker_rate(book.symbol), base_step
    )
    wallet = amount if available is None else available
    fill = reach(terms, levels_behind(book.side(side), skip_lots), amount, wallet)
    if not fill.lots:
        return _nothing_reached(terms, book, amount, wallet, skip_lots)
    blocked: LegQuote | None = None
    while fill.lots:
        fill.round_down(terms.lot_step)
        limit = terms.limit(fill, slippage_bps, wallet)
        if not terms.breaks_rule(fill, limit):
            return _make_quote(terms, fill, limit, amount, quote_step)
        if blocked is None:
            reason = _broken_rule(terms, fill, limit, amount, wallet)
            blocked = _blocked_quote(terms, limit, fill, amount, reason)
        if not fill.lots or fill.lots < terms.minimum_lots:
            break
        fill.drop_level()
    assert blocked is not None
    return blocked


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


# ── quotes ───────────────────────────────────────────────────────────────────────────────────────


def _make_quote(
    terms: LegTerms, fill: Fill, limit: int, amount: Decimal, quote_step: Decimal | None
) -> LegQuote:
    quantity, notional = terms.quantity(fill.lots), terms.notional(fill.cost)
    goes_in, comes_out = (notional, quantity) if terms.is_buy else (quantity, notional)
    spent = EXACT.multiply(goes_in, terminating(terms.spend))
    received = EXACT.multiply(comes_out, terminating(terms.receive))
    fees = FeeSchedule(terms.fee_rate, charged_in=terms.convention)
    return LegQuote(
        symbol=terms.pair.symbol,
        side=terms.side,
        quantity=quantity,
        limit_price=terms.price(limit),
        worst_price=terms.price(fill.worst_ticks),
        vwap=ROUNDED_ONCE.divide(notional, quantity),
        spent=spent,
        received=round_to_step(received, terms.base_step if terms.is_buy else quote_step),
        fee=expected_fee(terms.pair, terms.side, quantity, notional, fees, terms.base_step),
        fee_asset=fee_asset(terms.pair, terms.side, terms.convention),
        left=EXACT.subtract(amount, spent),
        levels=len(fill.levels),
    )


def _blocked_quote(
    terms: LegTerms, limit: int, fill: Fill, amount: Decimal, reason: str
) -> LegQuote:
    return LegQuote(
        symbol=terms.pair.symbol,
        side=terms.side,
        quantity=ZERO,
        limit_price=terms.price(limit),
        worst_price=terms.price(fill.worst_ticks),
        vwap=terms.price(fill.worst_ticks),
        spent=ZERO,
        received=ZERO,
        fee=ZERO,
        fee_asset=fee_asset(terms.pair, terms.side, terms.convention),
        left=amount,
        levels=len(fill.levels),
        blocked=f"{terms.pair.symbol}: {reason}",
    )


# ── why not ──────────────────────────────────────────────────────────────────────────────────────


def _broken_rule(terms: LegTerms, fill: Fill, limit: int, amount: Decimal, wallet: Decimal) -> str:
    """Name the first of the venue's rules that is broken, the value and the limit."""
    pair = terms.pair
    if not fill.lots:
        return _below_a_lot(terms, amount, wallet)
    if fill.lots < terms.minimum_lots:
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
    terms: LegTerms, book: OrderBook, amount: Decimal, wallet: Decimal, skip_lots: int
) -> LegQuote:
    """Say why not a lot can be had: the fee, the book, other orders, the amount, the wallet."""
    best = next(levels_behind(book.side(terms.side), skip_lots), None)
    if terms.spend <= 0 or terms.receive <= 0:
        reason = f"a fee of {terms.fee_rate} leaves nothing; write 0.0040 for 40 bps"
    elif best is not None:
        reason = _below_a_lot(terms, amount, wallet)
    else:
        reason = f"the book holds no {'asks' if terms.is_buy else 'bids'}"
        if skip_lots:
            reason += f" but {plain(terms.quantity(skip_lots))} {terms.pair.base} for other orders"
    ticks = 0 if best is None else best[0]
    return _blocked_quote(terms, ticks, Fill(worst_ticks=ticks), amount, reason)


def _below_a_lot(terms: LegTerms, amount: Decimal, wallet: Decimal) -> str:
    step, asset = plain(terms.quantity(terms.lot_step)), terms.spends
    which = (
        f"{short(amount)} {asset} does" if amount <= wallet else f"{short(wallet)} free {asset} do"
    )
    return f"order minimum not met: {which} not reach one lot of {step} {terms.pair.base}"
