"""What never changes about a cycle while its instruments and fees don't, as integers.

`arbitrade.lots` tells what a level converts.  For each of the three assets we take a unit, one part
in so many, that divides what one leg brings, what the next one spends, and the venue's ledger step:
so all that a cycle needs is integer arithmetic of bounded size.
"""

from decimal import Context, Decimal
from fractions import Fraction
from math import lcm
from typing import NamedTuple

import attrs

from arbitrade.errors import BrokenCycleError, ConfigError
from arbitrade.lots import LegTerms, OrderRules, order_rules
from arbitrade.models import Instrument, Instruments, Side
from arbitrade.pricing import FeeSchedule
from arbitrade_triangular.graph import DirectedCycle

# Takes integers of any length as they are.
_divide = Context(prec=28).divide


@attrs.frozen
class CycleTerms:
    """The constants of a cycle.

    Args:
        cycle: Which cycle.
        legs: In trading order.
        ledger_steps: Per leg, output units per step of the venue's ledger; 1 where it is not known.
    """

    cycle: DirectedCycle
    legs: tuple[LegTerms, LegTerms, LegTerms]
    ledger_steps: tuple[int, int, int]

    def amount(self, asset: int, numerator: int, denominator: int = 1) -> Decimal:
        """Return numerator/denominator units of an asset as an amount, rounded once."""
        return ratio(numerator, denominator * self.legs[asset].spend_scale)


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

    def of(self, cycle: DirectedCycle) -> CycleTerms:
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

    def _make(self, cycle: DirectedCycle) -> CycleTerms:
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
                self._leg(flows[0], scale1, scale2),
                self._leg(flows[1], scale2, scale3),
                self._leg(flows[2], scale3, scale1),
            ),
            (
                scale2 // (ledgers[1] or scale2),
                scale3 // (ledgers[2] or scale3),
                scale1 // (ledgers[0] or scale1),
            ),
        )

    def _leg(self, flow: "_Flow", scale: int, next_scale: int) -> LegTerms:
        pair, is_buy = flow.pair, flow.is_buy
        (spent, spent_per), (received, received_per) = flow.factors.spent, flow.factors.received
        rules = self._rules.get(pair.symbol)
        if rules is None:
            rules = self._rules[pair.symbol] = order_rules(pair, self._ledger_step(pair.base))
        return LegTerms(
            pair=pair,
            side=Side.BUY if is_buy else Side.SELL,
            is_buy=is_buy,
            spend=spent * (scale // spent_per),
            spend_scale=scale,
            receive=received * (next_scale // received_per),
            receive_scale=next_scale,
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

    def _ledger_step(self, asset: str) -> Decimal | None:
        """Return the smallest amount of an asset the venue's ledger keeps, None if not known."""
        known = self._instruments.assets.get(asset)
        return None if known is None else Decimal(1).scaleb(-known.precision)

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
