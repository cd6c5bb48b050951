"""A view in which every fact can be set, and an opportunity to judge."""

from collections.abc import Collection, Iterable, Mapping, MutableMapping
from decimal import Decimal
from typing import Self

import attrs

from arbitrade.book import OrderBook
from arbitrade.config.risk import RiskLimits
from arbitrade.config.structure import structure_section
from arbitrade.models import Leg, Opportunity, Side, TradingState, VenueState
from arbitrade.pricing import FeeSchedule
from arbitrade.protocols.risk import RiskView
from arbitrade.synthetic.factories import Figure, make_book

__all__ = ["ENTRY_FEES", "TRIANGLE", "FakeRiskView", "make_basket", "make_opportunity"]

ENTRY_FEES = FeeSchedule(Decimal("0.0040"))
"""40 bps for every pair."""

TRIANGLE = (Leg("BTC/USD", Side.BUY), Leg("ETH/BTC", Side.BUY), Leg("ETH/USD", Side.SELL))
"""USD, BTC, ETH and back."""


@attrs.define
class FakeRiskView:
    """A `RiskView` of what a test sets: by default all is well and there is plenty of everything.

    Args:
        books: By symbol.
        ages: Seconds since a book's last message, by symbol; 0 for books not named.
        balances: Available amounts by asset; `default_balance` of those not named.
        prices: Worth of one unit in the reference asset, None for unknown; 1 for those not named.
        open_keys: Opportunities under way.
        exposures: By asset, in the reference asset; 0 for those not named.
        failed: When cycles last failed, by opportunity key.
    """

    limits: RiskLimits = attrs.field(factory=RiskLimits)
    limits_version: int = 0
    fees: FeeSchedule = ENTRY_FEES
    now_ns: int = 1_700_000_000_000_000_000
    trading_state: TradingState = TradingState.ACTIVE
    halt_reason: str = ""
    venue_state: VenueState = VenueState.ONLINE
    decision_age_s: float | None = 0.0
    open_cycles: int = 0
    symbols_in_use: Collection[str] = ()
    in_flight: Decimal = Decimal(0)
    consecutive_failures: int = 0
    last_failure_ns: int | None = None
    orders_last_minute: int = 0
    realised_today: Decimal = Decimal(0)
    drawdown: Decimal = Decimal(0)
    is_account_ready: bool = True
    account_problem: str = ""
    clock_skew_s: float = 0.0
    journal_problem: str = ""
    event_lag_s: float = 0.0
    books: MutableMapping[str, OrderBook] = attrs.field(factory=dict)
    ages: MutableMapping[str, float | None] = attrs.field(factory=dict)
    balances: MutableMapping[str, Decimal] = attrs.field(factory=dict)
    default_balance: Decimal = Decimal(1_000_000)
    prices: MutableMapping[str, Decimal | None] = attrs.field(factory=dict)
    open_keys: Collection[str] = ()
    exposures: MutableMapping[str, Decimal] = attrs.field(factory=dict)
    failed: MutableMapping[str, int] = attrs.field(factory=dict)

    @classmethod
    def around(cls, opportunity: Opportunity) -> Self:
        """Return a view with a book in sync for each leg, all prices about 1."""
        return cls(
            books={
                leg.symbol: make_book(
                    leg.symbol, bids=[("0.99", 1_000_000)], asks=[("1.01", 1_000_000)]
                )
                for leg in opportunity.legs
            }
        )

    def set_limits(self, **values: object) -> None:
        """Set limits by name, decimals as a test writes them, and count the change.

        Raises:
            ConfigError: The settings would not take a value either.
        """
        table = {**attrs.asdict(self.limits, recurse=False), **values}
        self.limits = structure_section("risk", RiskLimits, table, {})
        self.limits_version += 1

    def book(self, symbol: str) -> OrderBook | None:
        """Return the book that was set."""
        return self.books.get(symbol)

    def book_age_s(self, symbol: str) -> float | None:
        """Return the age that was set, 0 for a book without, None without a book."""
        return self.ages.get(symbol, 0.0 if symbol in self.books else None)

    def available(self, asset: str) -> Decimal:
        """Return the balance that was set, else the default."""
        return self.balances.get(asset, self.default_balance)

    def value(self, asset: str, amount: Decimal) -> Decimal | None:
        """Return the amount at the price that was set, else at 1."""
        price = self.prices.get(asset, Decimal(1))
        return None if price is None else price * amount

    def is_open(self, key: str) -> bool:
        """Tell whether the key was set as open."""
        return key in self.open_keys

    def exposure(self, asset: str) -> Decimal:
        """Return the exposure that was set, else 0."""
        return self.exposures.get(asset, Decimal(0))

    def failed_at_ns(self, key: str) -> int | None:
        """Return the failure that was set."""
        return self.failed.get(key)


def make_opportunity(
    legs: Iterable[Leg] = TRIANGLE,
    *,
    edge_bps: Figure = 10,
    size: Figure = 100,
    key: str = "USD>BTC>ETH",
    blocked: str | None = None,
) -> Opportunity:
    """Return an opportunity along these legs; its profit is the edge of its size."""
    legs = tuple(legs)
    amount, edge = Decimal(size), Decimal(edge_bps)
    assets = []
    for leg in legs:
        base, quote = leg.symbol.split("/")
        assets.append(quote if leg.side is Side.BUY else base)
    return Opportunity(
        detector="test",
        key=key,
        assets=tuple(assets),
        legs=legs,
        edge_bps=edge,
        size=amount,
        profit=amount * edge / 10_000,
        orders=(),
        lot_profit=Decimal(0),
        dust=(),
        blocked=blocked,
        timestamp=None,
    )


def make_basket(
    weights: Mapping[str, Figure],
    *,
    edge_bps: Figure = 10,
    size: Figure = 100,
    key: str = "basket",
) -> Opportunity:
    """Return a basket of these pairs, from the quote of the first; below 0 is what is sold.

    `make_basket({"BTC/USD": "0.5", "ETH/USD": "-0.5"})` buys BTC and sells ETH.
    """
    parts = {symbol: Decimal(weight) for symbol, weight in weights.items()}
    legs = [Leg(name, Side.BUY if part > 0 else Side.SELL) for name, part in parts.items()]
    found = make_opportunity(legs, edge_bps=edge_bps, size=size, key=key)
    start = legs[0].symbol.split("/")[1]
    assets = (start, *(symbol.split("/")[0] for symbol in parts))
    return attrs.evolve(found, assets=assets, weights=tuple(parts.values()))


def _plays_its_role(view: FakeRiskView) -> RiskView:
    return view  # for the type checker
