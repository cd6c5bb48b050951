"""Frames as text, number for number as the venue writes them."""

import json
from collections.abc import Iterable

import attrs

from arbitrade.models import Asset, Instrument, Level


@attrs.frozen
class Layout:
    """One way to write a book message: templates for level, entry and frame."""

    level: str
    entry: str
    frame: str
    comma: str = ","


COMPACT = Layout(
    level='{{"price":{price},"qty":{qty}}}',
    entry='{{"symbol":"{symbol}","bids":[{bids}],"asks":[{asks}],"checksum":{checksum},'
    '"timestamp":"{timestamp}"}}',
    frame='{{"channel":"book","type":"{kind}","data":[{entries}]}}',
)
"""The venue's own layout."""

ODD_LAYOUTS = (
    Layout(
        level='{{"price": {price}, "qty": {qty}}}',
        entry='{{"symbol": "{symbol}", "bids": [{bids}], "asks": [{asks}], "checksum": {checksum}, '
        '"timestamp": "{timestamp}"}}',
        frame='{{"channel": "book", "type": "{kind}", "data": [{entries}]}}',
        comma=", ",
    ),
    Layout(
        level='{{"qty":{qty},"price":{price}}}',
        entry='{{"timestamp":"{timestamp}","checksum":{checksum},"asks":[{asks}],"bids":[{bids}],'
        '"symbol":"{symbol}"}}',
        frame='{{"data":[{entries}],"type":"{kind}","channel":"book"}}',
    ),
    Layout(
        level='{{ "qty" : {qty} , "price" : {price} }}',
        entry='{{ "checksum" : {checksum} , "symbol" : "{symbol}" , "asks" : [ {asks} ] ,\t'
        '"bids" : [ {bids} ] , "timestamp" : "{timestamp}" , "extra" : {{"bids":[1]}} }}',
        frame='{{ "type" : "{kind}" , "channel" : "book" , "data" : [ {entries} ] }}',
        comma=" , ",
    ),
)
"""Valid JSON that the venue might send one day."""


def number(units: int, precision: int) -> str:
    """Return units of 10^-precision in plain notation with exactly that many decimals."""
    if not precision:
        return str(units)
    digits = str(units).zfill(precision + 1)
    return f"{digits[:-precision]}.{digits[-precision:]}"


def trimmed_number(units: int, precision: int, *, exponent: bool) -> str:
    """Return the same value without trailing zeros, or with an exponent."""
    if exponent and units:
        digits = str(units).rstrip("0")
        shift = len(str(units)) - 1 - precision
        mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
        return f"{mantissa}e{shift:+03d}"
    plain = number(units, precision)
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def levels_text(
    levels: Iterable[Level], instrument: Instrument, layout: Layout = COMPACT, trimming: str = ""
) -> str:
    """Return the levels of one side.  `trimming` is "", "zeros" or "exponent"."""
    price_precision, quantity_precision = instrument.price_precision, instrument.quantity_precision
    if trimming:
        exponent = trimming == "exponent"
        return layout.comma.join(
            layout.level.format(
                price=trimmed_number(ticks, price_precision, exponent=exponent),
                qty=trimmed_number(lots, quantity_precision, exponent=exponent),
            )
            for ticks, lots in levels
        )
    template = layout.level
    return layout.comma.join(
        [
            template.format(
                price=number(ticks, price_precision), qty=number(lots, quantity_precision)
            )
            for ticks, lots in levels
        ]
    )


def subscribed(method: str, symbol: str, depth: int, request: int, timestamp: str) -> bytes:
    """Return the acknowledgement of one book subscription or its end."""
    snapshot = ',"snapshot":true' if method == "subscribe" else ""
    return (
        f'{{"method":"{method}","req_id":{request},"result":{{"channel":"book","depth":{depth}'
        f'{snapshot},"symbol":"{symbol}"}},"success":true,"time_in":"{timestamp}",'
        f'"time_out":"{timestamp}"}}'
    ).encode()


def instruments_subscribed(timestamp: str) -> bytes:
    """Return the acknowledgement of the instrument subscription, with its usual warning."""
    return (
        '{"method":"subscribe","req_id":1,"result":{"channel":"instrument","snapshot":true,'
        '"warnings":["tick_size is deprecated, use price_increment"]},"success":true,'
        f'"time_in":"{timestamp}","time_out":"{timestamp}"}}'
    ).encode()


def status(system: str) -> bytes:
    """Return a frame of the engine's state; the connection's id is beyond 64 signed bits."""
    return (
        '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"'
        f'{system}","api_version":"v2","connection_id":12072546403441331453}}]}}'
    ).encode()


def instruments(kind: str, assets: Iterable[Asset], pairs: Iterable[Instrument]) -> bytes:
    """Return an instrument frame, `snapshot` or `update`; small numbers have exponents."""
    content = {
        "channel": "instrument",
        "type": kind,
        "data": {
            "assets": [_asset_row(asset) for asset in assets],
            "pairs": [_pair_row(pair) for pair in pairs],
        },
    }
    return json.dumps(content, separators=(",", ":")).encode()


HEARTBEAT = b'{"channel":"heartbeat"}'


def _asset_row(asset: Asset) -> dict[str, object]:
    return {
        "id": asset.name,
        "status": "enabled",
        "precision": asset.precision,
        "precision_display": min(asset.precision, 5),
        "borrowable": False,
        "collateral_value": 0.0,
    }


def _pair_row(pair: Instrument) -> dict[str, object]:
    tick = float(pair.price_increment)
    return {
        "symbol": pair.symbol,
        "base": pair.base,
        "quote": pair.quote,
        "status": pair.status.value,
        "qty_precision": pair.quantity_precision,
        "qty_increment": float(pair.quantity_increment),
        "price_precision": pair.price_precision,
        "cost_precision": pair.cost_precision,
        "marginable": False,
        "has_index": True,
        "cost_min": float(pair.minimum_notional),
        "tick_size": tick,
        "price_increment": tick,
        "qty_min": float(pair.minimum_quantity),
    }
