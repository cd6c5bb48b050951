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

from decimal import Context, Decimal
from fractions import Fraction
from math import ceil, gcd, lcm
from typing import NamedTuple

import attrs

from arbitrade.errors import BrokenCycleError, ConfigError
from arbitrade.models import Instrument, Instruments, Side
from arbitrade.pricing import FeeSchedule
from arbitrade_triangular.graph import Cycle

# Takes integers of any length as they are.
_divide = Context(prec=28).divide


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
    return _divide(numerator, denominator)


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
        self._factors: dict[tuple[int, int, Decimal, bool], _Factors] = {}
        self._rules: dict[str, OrderRules] = {}
        self._cycles: dict[str, CycleTerms] = {}

    def update(self, instruments: Instruments) -> None:
        """Take other instruments; what is known about pairs that stayed the same is kept."""
        before, self._instruments = self._instruments, instruments
        if before.assets != instruments.assets:
            self._flows.clear()
            self._rules.clear()
            self._cycles.clear()
            return
        changed = {symbol for symbol, pair in before.items() if instruments.get(symbol) != pair}
        for symbol in changed:
            self._rules.pop(symbol, None)
            self._flows.pop((symbol, True), None)
            self._flows.pop((symbol, False), None)
        self._cycles = {
            key: terms
            for key, terms in self._cycles.items()
            if not any(leg.symbol in changed for leg in terms.cycle.legs)
        }

    def of(self, cycle: Cycle) -> CycleTerms:
        """Return the terms of a cycle.  Ten microseconds the first time, then a look-up.

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
        buy, sell = self._flow(symbol, True).factors, self._flow(symbol, False).factors
        return buy.rate, sell.rate

    def _make(self, cycle: Cycle) -> CycleTerms:
        legs = cycle.legs
        flows = [self._flow(leg.symbol, leg.side is Side.BUY) for leg in legs]
        for asset, flow in zip(cycle.assets, flows, strict=True):
            if flow.spends != asset:
                raise BrokenCycleError(f"{cycle.key}: {flow.pair.symbol} does not spend {asset}")
        ledgers = [self._ledger_scale(asset) for asset in cycle.assets]
        scale1, scale2, scale3 = (
            lcm(flows[at].factors.spent[1], flows[at - 1].factors.received[1], ledgers[at] or 1)
            for at in range(3)
        )
        return CycleTerms(
            cycle,
            (
                self._leg(flows[0], scale1, scale2, ledgers[1]),
                self._leg(flows[1], scale2, scale3, ledgers[2]),
                self._leg(flows[2], scale3, scale1, ledgers[0]),
            ),
            (scale1, scale2, scale3),
        )

    def _leg(self, flow: "_Flow", scale: int, next_scale: int, ledger: int | None) -> LegTerms:
        pair, is_buy = flow.pair, flow.is_buy
        (spent, spent_per), (received, received_per) = flow.factors.spent, flow.factors.received
        rules = self._rules.get(pair.symbol)
        if rules is None:
            rules = self._rules[pair.symbol] = _order_rules(pair, self._ledger_scale(pair.base))
        return LegTerms(
            instrument=pair,
            side=Side.BUY if is_buy else Side.SELL,
            is_buy=is_buy,
            spends=flow.spends,
            spend=spent * (scale // spent_per),
            receive=received * (next_scale // received_per),
            ledger_step=next_scale // ledger if ledger else 1,
            rules=rules,
        )

    def _flow(self, symbol: str, is_buy: bool) -> "_Flow":
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
        return _Flow(pair, is_buy, pair.quote if is_buy else pair.base, factors)

    def _make_factors(self, pair: Instrument, fee_rate: Decimal, is_buy: bool) -> "_Factors":
        side = Side.BUY if is_buy else Side.SELL
        spent, received = self._fees.charged_in.factors(side, fee_rate)
        if spent <= 0 or received <= 0:
            raise ConfigError(
                f"fees: the taker fee {fee_rate} of {pair.symbol} leaves nothing to trade with; "
                "write 0.0040 for 40 bps"
            )
        lot = Fraction(1, 10**pair.quantity_precision)
        tick_lot = lot / 10**pair.price_precision
        spent, received = (
            spent * (tick_lot if is_buy else lot),
            received * (lot if is_buy else tick_lot),
        )
        return _Factors(
            spent.as_integer_ratio(), received.as_integer_ratio(), float(received / spent)
        )

    def _ledger_scale(self, asset: str) -> int | None:
        """Return the steps of the venue's ledger in one of an asset, None if not known."""
        known = self._instruments.assets.get(asset)
        return None if known is None else 10**known.precision


class _Factors(NamedTuple):
    """What a lot spends and brings in whole assets; per tick where that is the quote asset.

    As numerator and denominator, and `rate` is the second by the first.
    """

    spent: tuple[int, int]
    received: tuple[int, int]
    rate: float


class _Flow(NamedTuple):
    """One direction of a pair."""

    pair: Instrument
    is_buy: bool
    spends: str
    factors: _Factors


def _order_rules(pair: Instrument, ledger_scale: int | None) -> OrderRules:
    """Return a pair's rules; its lot step is coarser where the ledger can't hold finer amounts."""
    ticks, lots = 10**pair.price_precision, 10**pair.quantity_precision
    held = 1 if ledger_scale is None else lots // gcd(lots, ledger_scale)
    return OrderRules(
        lot_step=lcm(_whole(pair.quantity_increment, lots), held),
        tick_step=_whole(pair.price_increment, ticks),
        lot=Decimal(1).scaleb(-pair.quantity_precision),
        tick=Decimal(1).scaleb(-pair.price_precision),
        minimum_lots=ceil(pair.minimum_quantity * lots),
        minimum_notional=ceil(pair.minimum_notional * ticks * lots),
    )


def _whole(increment: Decimal, scale: int) -> int:
    """Return the smallest whole number of units that is a multiple of an increment; 0 is none."""
    return (increment * scale).as_integer_ratio()[0] or 1
