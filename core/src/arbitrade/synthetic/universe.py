"""Which pairs exist: hubs, coins and their precisions, in the proportions of the real venue.

Nearly every coin trades against USD and EUR, few against anything else, so that half of all
triangles are coin/USD/EUR (the venue's own list of January 2026 has 592 and 554 of 1,365 pairs).
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from random import Random

import attrs

from arbitrade.models import Asset, Instrument, InstrumentStatus
from arbitrade.synthetic.settings import MarketSettings


@attrs.frozen
class Listing:
    """A pair and how its market behaves.

    Args:
        half_spread: Half the bid–ask spread it returns to, as a fraction of the price.
        level_usd: Typical worth of one level, in USD.
        activity: Relative number of frames.
        levels: Levels a side the venue keeps; fewer than ten for thin books.
    """

    instrument: Instrument
    half_spread: float
    level_usd: float
    activity: float
    levels: int


@attrs.frozen
class Universe:
    """All listings in the order reported, the worth of each asset in USD, and the assets."""

    listings: tuple[Listing, ...]
    values: Mapping[str, float]
    assets: tuple[Asset, ...]


def make_universe(settings: MarketSettings, rng: Random) -> Universe:
    """Return `settings.pairs` listings.  Draws from `rng` in a fixed order."""
    values = dict(_HUB_VALUES)
    listings: list[Listing] = []
    crosses = iter(_CROSSES)
    wanted_crosses = min(len(_CROSSES), max(3, settings.pairs // 3))
    for base, quote in (next(crosses) for _ in range(wanted_crosses)):
        listings.append(_listing(base, quote, values, rng, settings, rank=0))
    names = _coin_names()
    rank = 0
    while len(listings) < settings.pairs:
        rank += 1
        coin = next(names)
        values[coin] = _coin_value(coin, rng)
        for quote, usual in _QUOTES:
            share = _share_at(usual, settings.quote_density)
            listed = rng.random() < share and values[coin] / values[quote] > _SMALLEST_PRICE
            if listed and len(listings) < settings.pairs:
                listings.append(_listing(coin, quote, values, rng, settings, rank))
    used = {name for item in listings for name in (item.instrument.base, item.instrument.quote)}
    assets = tuple(Asset(name, _LEDGER.get(name, 10)) for name in values if name in used)
    return Universe(tuple(listings), values, assets)


def _listing(
    base: str,
    quote: str,
    values: Mapping[str, float],
    rng: Random,
    settings: MarketSettings,
    rank: int,
) -> Listing:
    price = values[base] / values[quote]
    hub = rank == 0
    precision = _price_precision(base, quote, price, hub)
    # With eight decimals, amounts of a cheap coin need more bits than a double has.
    quantity_precision = 8 if rng.random() < 0.4 or hub or base in _WIDE else 5
    coarse_tick = 10 if not hub and rng.random() < 0.02 else 1
    coarse_lot = 1000 if not hub and rng.random() < 0.02 else 1
    minimum = _round_quantity(4.0 / values[base])
    instrument = Instrument(
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        status=InstrumentStatus.ONLINE,
        price_precision=precision,
        quantity_precision=quantity_precision,
        price_increment=Decimal(coarse_tick).scaleb(-precision),
        quantity_increment=Decimal(coarse_lot).scaleb(-quantity_precision),
        minimum_quantity=minimum,
        minimum_notional=_COST_MINIMUM.get(quote, Decimal("0.5")),
        cost_precision=min(10, precision + 4) if values[quote] > 100 else 5,
    )
    steadiness = rng.random()
    thin = rank > 3 and rng.random() < settings.thin_share
    levels = 1 + int(rng.random() * 9) if thin else settings.depth + 8
    return Listing(
        instrument,
        half_spread=(0.00003 if hub else 0.0003) * (0.5 + 2 * steadiness),
        level_usd=settings.liquidity
        * (40_000.0 if hub else 4_000.0 / (1 + rank / 60))
        * (0.5 + steadiness),
        activity=_ACTIVITY.get(quote, 0.15) * (1.0 if hub else 1.0 / (1 + rank / 80)),
        levels=levels,
    )


def _share_at(usual: float, density: float) -> float:
    """Return how many of the coins list against an asset; all of them do against USD."""
    if density >= 0:
        return usual + (1 - usual) * density
    return usual if usual == 1 else usual * (1 + density)


def _price_precision(base: str, quote: str, price: float, hub: bool) -> int:
    """Enough decimals for about five digits, as the venue chooses them; at most ten."""
    if base in _FIAT_LIKE and quote in _FIAT_LIKE:
        return 5
    wanted = 200_000 if hub and quote in _FIAT_LIKE else 10_000
    precision = 0
    while price * 10**precision < wanted and precision < 10:
        precision += 1
    return precision


def _round_quantity(quantity: float) -> Decimal:
    """Return a quantity cut to one significant digit, never below 10^-5."""
    scale = 100_000
    units = max(1, int(quantity * scale))
    digits = len(str(units)) - 1
    return Decimal(units // 10**digits * 10**digits) / scale


def _coin_value(coin: str, rng: Random) -> float:
    """Return a worth in USD between 10^-7 and 10^4, most between a cent and ten dollars."""
    leading, chance = 1 + 9 * rng.random(), rng.random()
    known = _KNOWN_VALUES.get(coin)
    if known is not None:
        return known
    magnitude = next(power for power, below in _MAGNITUDES if chance < below)
    return leading * int(10**magnitude) if magnitude >= 0 else leading / int(10**-magnitude)


def _coin_names() -> Iterator[str]:
    yield from _KNOWN_VALUES
    for number in range(len(_FIRST) * len(_MIDDLE) * len(_LAST)):
        # The strides are prime to the list lengths, so that neighbours look unlike each other.
        first = _FIRST[number * 7 % len(_FIRST)]
        middle = _MIDDLE[number // len(_FIRST) % len(_MIDDLE)]
        yield first + middle + _LAST[number // (len(_FIRST) * len(_MIDDLE)) % len(_LAST)]


_HUB_VALUES = {
    "USD": 1.0,
    "EUR": 1.16,
    "USDT": 0.9994,
    "USDC": 0.9999,
    "BTC": 91_300.0,
    "ETH": 3_120.0,
    "GBP": 1.34,
    "AUD": 0.668,
    "CAD": 0.727,
    "JPY": 0.00642,
    "CHF": 1.259,
}
_FIAT_LIKE = frozenset(_HUB_VALUES) - {"BTC", "ETH"}
_CROSSES = tuple(
    tuple(symbol.split("/"))
    for symbol in (
        "EUR/USD", "BTC/USD", "BTC/EUR", "ETH/USD", "ETH/EUR", "ETH/BTC",
        "USDT/USD", "USDT/EUR", "BTC/USDT", "USDC/USD", "USDC/EUR", "ETH/USDT",
        "GBP/USD", "EUR/GBP", "BTC/GBP", "BTC/USDC", "ETH/USDC", "USDC/USDT",
        "USDT/GBP", "USDC/GBP", "ETH/GBP", "AUD/USD", "EUR/AUD", "USD/CAD",
        "EUR/CAD", "USD/JPY", "EUR/JPY", "USD/CHF", "EUR/CHF", "BTC/AUD",
        "BTC/CAD", "BTC/JPY", "BTC/CHF", "ETH/AUD", "ETH/CAD", "USDT/AUD",
        "USDT/CAD", "USDC/AUD", "USDC/CAD",
    )
)  # fmt: skip
_QUOTES = (
    ("USD", 1.0),
    ("EUR", 0.94),
    ("USDT", 0.07),
    ("USDC", 0.07),
    ("BTC", 0.05),
    ("GBP", 0.05),
    ("ETH", 0.03),
    ("AUD", 0.02),
    ("JPY", 0.015),
)
_ACTIVITY = {"USD": 1.0, "EUR": 0.7, "USDT": 0.4, "USDC": 0.3, "BTC": 0.3, "GBP": 0.2, "ETH": 0.2}
_COST_MINIMUM = {
    "USD": Decimal("0.5"),
    "EUR": Decimal("0.45"),
    "GBP": Decimal("0.43"),
    "BTC": Decimal("0.00002"),
    "ETH": Decimal("0.0002"),
    "JPY": Decimal(50),
    "AUD": Decimal(1),
    "CAD": Decimal(1),
}
_LEDGER = {
    "USD": 4,
    "EUR": 4,
    "GBP": 4,
    "AUD": 4,
    "CAD": 4,
    "CHF": 4,
    "JPY": 2,
    "USDT": 8,
    "USDC": 8,
}
_KNOWN_VALUES = {
    "SOL": 142.0,
    "XRP": 2.21,
    "DOGE": 0.148,
    "PEPE": 0.0000047,
    "ADA": 0.41,
    "SHIB": 0.0000083,
    "LTC": 84.2,
    "LINK": 13.6,
    "BONK": 0.0000094,
    "DOT": 2.17,
    "ATOM": 2.52,
    "XMR": 402.0,
}
_FIRST = ("BA", "DO", "KI", "LU", "MO", "NE", "PA", "QU", "RI", "SA", "TO", "VE", "ZU", "FI", "GO")
_MIDDLE = ("R", "N", "L", "K", "X", "T", "V", "M", "D", "S", "Z")
_LAST = ("A", "O", "IX", "U", "EN", "IS", "OR", "AL", "UM", "ER")
_MAGNITUDES = (
    (-7, 0.02), (-6, 0.05), (-5, 0.09), (-4, 0.14), (-3, 0.26), (-2, 0.48), (-1, 0.74), (0, 0.90),
    (1, 0.97), (2, 0.99), (3, 1.0),
)  # fmt: skip
_SMALLEST_PRICE = 1e-7
_WIDE = frozenset({"PEPE"})
