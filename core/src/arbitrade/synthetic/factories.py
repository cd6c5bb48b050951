"""Instruments and books from the figures a test is about; everything else has a plain default."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from arbitrade.book import BookState, OrderBook
from arbitrade.models import Asset, Instrument, Instruments, InstrumentStatus, Level

type Figure = Decimal | str | int
"""A number as a test writes it: ``"0.0600"``, never a float."""

type Rung = tuple[Figure, Figure]
"""One level: price, quantity."""


def make_instrument(
    symbol: str = "BTC/USD",
    *,
    status: InstrumentStatus = InstrumentStatus.ONLINE,
    price_precision: int = 2,
    quantity_precision: int = 8,
    price_increment: Figure | None = None,
    quantity_increment: Figure | None = None,
    minimum_quantity: Figure = 0,
    minimum_notional: Figure = 0,
    cost_precision: int = 8,
) -> Instrument:
    """Return a pair without minimums whose increments are one tick and one lot unless given."""
    base, quote = symbol.split("/")
    return Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        status=status,
        price_precision=price_precision,
        quantity_precision=quantity_precision,
        price_increment=_figure(price_increment, price_precision),
        quantity_increment=_figure(quantity_increment, quantity_precision),
        minimum_quantity=Decimal(minimum_quantity),
        minimum_notional=Decimal(minimum_notional),
        cost_precision=cost_precision,
    )


def make_instruments(
    *pairs: Instrument | str, assets: Mapping[str, int] | None = None
) -> Instruments:
    """Return a venue's pairs, plain ones by symbol; `assets` gives ledger decimals by name."""
    return Instruments(
        [make_instrument(pair) if isinstance(pair, str) else pair for pair in pairs],
        [Asset(name, precision) for name, precision in (assets or {}).items()],
    )


def make_book(
    instrument: Instrument | str = "BTC/USD",
    *,
    bids: Iterable[Rung] = (),
    asks: Iterable[Rung] = (),
    depth: int = 10,
    timestamp: str | None = None,
) -> OrderBook:
    """Return a book in sync and tradable, with these levels in any order.

    Raises:
        ValueError: A price or quantity has more decimals than the instrument.
    """
    pair = make_instrument(instrument) if isinstance(instrument, str) else instrument
    book = OrderBook(pair, depth)
    book.load(make_levels(pair, bids), make_levels(pair, asks))
    book.state = BookState.SYNCED
    book.tradable = True
    book.timestamp = timestamp
    return book


def make_levels(instrument: Instrument, rungs: Iterable[Rung]) -> tuple[Level, ...]:
    """Return prices and quantities in ticks and lots; a quantity of 0 removes its level.

    Raises:
        ValueError: A price or quantity has more decimals than the instrument.
    """
    return tuple(
        (
            _count(instrument, "price", price, instrument.price_precision),
            _count(instrument, "quantity", quantity, instrument.quantity_precision),
        )
        for price, quantity in rungs
    )


def _figure(value: Figure | None, precision: int) -> Decimal:
    return Decimal(1).scaleb(-precision) if value is None else Decimal(value)


def _count(instrument: Instrument, what: str, value: Figure, precision: int) -> int:
    scaled = Decimal(value).scaleb(precision)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{instrument.symbol}: {what} {value} has more than {precision} decimals")
    return int(scaled)
