"""Frames as the venue writes them, for recordings of ours and for captures without instruments."""

import json

from arbitrade.book import BookSide, OrderBook
from arbitrade.models import Instrument, Instruments, VenueState
from arbitrade_kraken.market.checksum import book_checksum


def write_instruments(instruments: Instruments) -> bytes:
    """Return an `instrument` snapshot frame of these instruments."""
    assets = ",".join(
        f'{{"id":{json.dumps(asset.name)},"status":"enabled","precision":{asset.precision}}}'
        for asset in instruments.assets.values()
    )
    pairs = ",".join(_pair_text(pair) for pair in instruments.values())
    return (
        f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[{assets}],'
        f'"pairs":[{pairs}]}}}}'
    ).encode()


def write_snapshot(book: OrderBook, timestamp: str | None) -> bytes:
    """Return a `book` snapshot frame of this book, numbers with exactly the pair's decimals."""
    pair = book.instrument
    time = "" if timestamp is None else f',"timestamp":{json.dumps(timestamp)}'
    return (
        f'{{"channel":"book","type":"snapshot","data":[{{"symbol":{json.dumps(pair.symbol)},'
        f'"bids":[{_levels(book.bids, pair)}],"asks":[{_levels(book.asks, pair)}],'
        f'"checksum":{book_checksum(book)}{time}}}]}}'
    ).encode()


def write_subscribed(symbol: str, depth: int) -> bytes:
    """Return the acknowledgement of a book subscription."""
    return (
        f'{{"method":"subscribe","result":{{"channel":"book","depth":{depth},"snapshot":true,'
        f'"symbol":{json.dumps(symbol)}}},"success":true}}'
    ).encode()


def write_state(state: VenueState) -> bytes:
    """Return a `status` frame."""
    return (
        f'{{"channel":"status","type":"update","data":[{{"api_version":"v2",'
        f'"system":"{state.value}"}}]}}'
    ).encode()


def fixed(units: int, precision: int) -> str:
    """Return `units` × 10^-precision in plain notation with exactly `precision` decimals."""
    if not precision:
        return str(units)
    digits = str(units).rjust(precision + 1, "0")
    return f"{digits[:-precision]}.{digits[-precision:]}"


def _pair_text(pair: Instrument) -> str:
    return (
        f'{{"symbol":{json.dumps(pair.symbol)},"base":{json.dumps(pair.base)},'
        f'"quote":{json.dumps(pair.quote)},"status":"{pair.status.value}",'
        f'"qty_precision":{pair.quantity_precision},"qty_increment":{pair.quantity_increment},'
        f'"price_precision":{pair.price_precision},"cost_precision":{pair.cost_precision},'
        f'"cost_min":{pair.minimum_notional},"price_increment":{pair.price_increment},'
        f'"qty_min":{pair.minimum_quantity}}}'
    )


def _levels(side: BookSide, pair: Instrument) -> str:
    return ",".join(
        f'{{"price":{fixed(ticks, pair.price_precision)},'
        f'"qty":{fixed(lots, pair.quantity_precision)}}}'
        for ticks, lots in side
    )
