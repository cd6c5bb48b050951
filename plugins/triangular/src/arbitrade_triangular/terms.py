"""What never changes about a cycle while its instruments and fees don't, as integers.

A leg turns an amount of one asset into an amount of the next.  With t the ticks and n the lots of a
level, s and r what the fee convention multiplies spending and receiving by, P and Q the decimals of
price and quantity, the level converts

    a buy:   s·t·n·10^-(P+Q) of the quote asset   into   r·n·10^-Q of the base asset
    a sell:  s·n·10^-Q of the base asset          into   r·t·n·10^-(P+Q) of the quote asset

All factors are rational.  For each of the three assets we take a unit, one part in so many, that
divides what one leg brings, what the next one spends, and the venue's ledger step.  In these units
every level is a pair of integers, and all a cycle needs is integer arithmetic of bounded size.
"""

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil, lcm

import attrs

from arbitrade.errors import BrokenCycleError, ConfigError
from arbitrade.models import Instrument, Instruments, Side
from arbitrade.pricing import FeeSchedule
from arbitrade_triangular.graph import Cycle

_ROUNDED_ONCE = Context(prec=28)


@attrs.frozen
class OrderRules:
    """A venue's rules for orders on a pair, in ticks and lots.

    Args:
        lot_step: Quantities are multiples of it.
        tick_step: Prices are multiples of it.
        lot: Quantity of one lot.
        tick: Price of one tick.
        minimum_lots: Smallest quantity.
        minimum_notional: Smallest ticks × lots.
    """

    lot_step: int
    tick_step: int
    lot: Decimal
    tick: Decimal
    minimum_lots: int
    minimum_notional: int


@attrs.frozen
class LegTerms:
    """One leg's constants.

    Args:
        instrument: The pair.
        side: What the order does with the base asset.
        is_buy: The same as a flag; enums are slow to compare in a hot loop.
        spends: Asset that goes in.
        spend: Input units per lot, for a buy per tick and lot.
        receive: Output units per lot, for a sell per tick and lot.
        ledger_step: Output units per step of the venue's ledger; 1 where nothing is known of it.
        rules: What an order has to obey.
    """

    instrument: Instrument
    side: Side
    is_buy: bool
    spends: str
    spend: int
    receive: int
    ledger_step: int
    rules: OrderRules


@attrs.frozen
class CycleTerms:
    """The constants of a cycle.

    Args:
        cycle: Which cycle.
        legs: In trading order.
        scales: Units in one of each asset of `cycle.assets`, in that order.
    """

    cycle: Cycle
    legs: tuple[LegTerms, LegTerms, LegTerms]
    scales: tuple[int, int, int]

    def amount(self, asset: int, numerator: int, denominator: int = 1) -> Decimal:
        """Return numerator/denominator units of an asset as an amount, rounded once."""
        return ratio(numerator, denominator * self.scales[asset])


def ratio(numerator: int, denominator: int) -> Decimal:
    """Return the quotient, rounded once to 28 significant digits."""
    return _ROUNDED_ONCE.divide(Decimal(numerator), Decimal(denominator))


class TermsTable:
    """The terms of cycles, worked out when asked for and kept while their pairs stay the same.

    Args:
        instruments: The pairs, and the assets where their ledger's precision is known.
        fees: Taker fees and the asset they are taken in.
    """

    def __init__(self, instruments: Instruments, fees: FeeSchedule) -> None:
        self._instruments = instruments
        self._fees = fees
        self._flows: dict[tuple[str, bool], _Flow] = {}
        self._factors: dict[tuple[int, int, Decimal, bool], tuple[Fraction, Fraction]] = {}
        self._cycles: dict[str, CycleTerms] = {}

    def update(self, instruments: Instruments) -> None:
        """Take other instruments; what is known about pairs that stayed the same is kept."""
        before, self._instruments = self._instruments, instruments
        if before.assets != instruments.assets:
            self._flows.clear()
            self._cycles.clear()
            return
        changed = {symbol for symbol, pair in before.items() if instruments.get(symbol) != pair}
        for symbol in changed:
            self._flows.pop((symbol, True), None)
            self._flows.pop((symbol, False), None)
        self._cycles = {
            key: terms
            for key, terms in self._cycles.items()
            if not any(leg.symbol in changed for leg in terms.cycle.legs)
        }

    def of(self, cycle: Cycle) -> CycleTerms:
        """Return the terms of a cycle.  Tens of microseconds the first time, then a look-up.

        Most cycles never get near the threshold, so theirs are never worked out.

        Raises:
            BrokenCycleError: A leg does not spend the asset the cycle says.
            ConfigError: The fee of a pair leaves nothing of what a leg brings.
        """
        terms = self._cycles.get(cycle.key)
        if terms is None or terms.cycle != cycle:
            terms = self._cycles[cycle.key] = self._make(cycle)
        return terms

    def rate_factors(self, symbol: str) -> tuple[float, float]:
        """Return what is divided by the ticks of a buy, and what multiplies the ticks of a sell.

        Raises:
            ConfigError: The pair's fee leaves nothing of what a leg brings.
        """
        buy, sell = self._flow(symbol, is_buy=True), self._flow(symbol, is_buy=False)
        return float(buy.received / buy.spent), float(sell.received / sell.spent)

    def _make(self, cycle: Cycle) -> CycleTerms:
        flows = [self._flow(leg.symbol, is_buy=leg.side is Side.BUY) for leg in cycle.legs]
        for asset, flow in zip(cycle.assets, flows, strict=True):
            if flow.spends != asset:
                raise BrokenCycleError(f"{cycle.key}: {flow.pair.symbol} does not spend {asset}")
        ledgers = [self._ledger_scale(asset) for asset in cycle.assets]
        scales = [
            lcm(flows[at].spent.denominator, flows[at - 1].received.denominator, ledgers[at] or 1)
            for at in range(3)
        ]
        legs = [
            LegTerms(
                instrument=flow.pair,
                side=leg.side,
                is_buy=leg.side is Side.BUY,
                spends=flow.spends,
                spend=flow.spent.numerator * (scale // flow.spent.denominator),
                receive=flow.received.numerator * (next_scale // flow.received.denominator),
                ledger_step=next_scale // ledger if ledger else 1,
                rules=_order_rules(flow.pair, self._ledger_scale(flow.pair.base)),
            )
            for leg, flow, scale, next_scale, ledger in zip(
                cycle.legs, flows, scales, _next(scales), _next(ledgers), strict=True
            )
        ]
        return CycleTerms(cycle, (legs[0], legs[1], legs[2]), (scales[0], scales[1], scales[2]))

    def _flow(self, symbol: str, *, is_buy: bool) -> "_Flow":
        flow = self._flows.get((symbol, is_buy))
        if flow is None:
            flow = self._flows[symbol, is_buy] = self._make_flow(self._instruments[symbol], is_buy)
        return flow

    def _make_flow(self, pair: Instrument, is_buy: bool) -> "_Flow":
        fee_rate = self._fees.taker_rate(pair.symbol)
        # Pairs by the hundred share decimals and fee, and fractions are slow.
        alike = pair.price_precision, pair.quantity_precision, fee_rate, is_buy
        factors = self._factors.get(alike)
        if factors is None:
            factors = self._factors[alike] = self._make_factors(pair, fee_rate, is_buy)
        return _Flow(pair, pair.quote if is_buy else pair.base, *factors)

    def _make_factors(
        self, pair: Instrument, fee_rate: Decimal, is_buy: bool
    ) -> tuple[Fraction, Fraction]:
        side = Side.BUY if is_buy else Side.SELL
        spent, received = self._fees.charged_in.factors(side, fee_rate)
        if spent <= 0 or received <= 0:
            raise ConfigError(
                f"fees: the taker fee {fee_rate} of {pair.symbol} leaves nothing to trade with; "
                "write 0.0040 for 40 bps"
            )
        lot = Fraction(1, 10**pair.quantity_precision)
        tick_lot = lot / 10**pair.price_precision
        return (spent * tick_lot, received * lot) if is_buy else (spent * lot, received * tick_lot)

    def _ledger_scale(self, asset: str) -> int | None:
        """Return the steps of the venue's ledger in one of an asset, None if not known."""
        known = self._instruments.assets.get(asset)
        return None if known is None else 10**known.precision


@attrs.frozen
class _Flow:
    """What a lot spends and brings in whole assets; per tick where that is the quote asset."""

    pair: Instrument
    spends: str
    spent: Fraction
    received: Fraction


def _next[T](items: Sequence[T]) -> Sequence[T]:
    return items[1], items[2], items[0]


def _order_rules(pair: Instrument, ledger_scale: int | None) -> OrderRules:
    """Return a pair's rules; its lot step is coarser where the ledger can't hold finer amounts."""
    ticks, lots = 10**pair.price_precision, 10**pair.quantity_precision
    held = () if ledger_scale is None else (Fraction(lots, ledger_scale),)
    return OrderRules(
        lot_step=_common_multiple(pair.quantity_increment * lots, *held),
        tick_step=_common_multiple(pair.price_increment * ticks),
        lot=Decimal(1).scaleb(-pair.quantity_precision),
        tick=Decimal(1).scaleb(-pair.price_precision),
        minimum_lots=ceil(pair.minimum_quantity * lots),
        minimum_notional=ceil(pair.minimum_notional * ticks * lots),
    )


def _common_multiple(*steps: Decimal | Fraction) -> int:
    """Return the smallest whole number that is a multiple of every step; 0 is no step."""
    return lcm(*(Fraction(step).numerator for step in steps if step))
