"""What the venue says about its instruments, over WebSocket and over REST alike.  Pure.

Decimals are read as decimals: the `instrument` channel writes numbers with exponents (`1e-08`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from arbitrade.errors import MessageError
from arbitrade.models import Asset, Instrument, InstrumentsChanged, InstrumentStatus
from arbitrade_kraken.symbols import asset_name, pair_symbol

MAX_PRECISION = 24
"""More decimals than any pair has ever had; a larger number is a broken message."""


def read_instrument_frame(message: Mapping[str, Any]) -> InstrumentsChanged:
    """Return what an `instrument` frame says.  Rows may carry fields we don't know.

    Args:
        message: The frame, its numbers decoded as `Decimal` and `int`.

    Raises:
        MessageError: A row lacks what every row has, or a number makes no sense.
    """
    data = message.get("data")
    if not isinstance(data, Mapping):
        raise MessageError("kraken: instrument frame without a data object")
    return InstrumentsChanged(
        is_snapshot=message.get("type") == "snapshot",
        pairs=tuple(_pair(row) for row in _rows(data, "pairs")),
        assets=tuple(_asset(row) for row in _rows(data, "assets")),
    )


def read_asset_pairs(result: Mapping[str, Any]) -> InstrumentsChanged:
    """Return the instruments in the `result` of a REST `AssetPairs` answer, currencies only.

    A pair without a status (about one in eight in mid 2026) is not tradable until the venue's
    instrument channel says otherwise.

    Raises:
        MessageError: A row lacks what every row has, or a number makes no sense.
    """
    pairs = [
        _rest_pair(key, row)
        for key, row in result.items()
        if row.get("aclass_base", "currency") == "currency"
    ]
    return InstrumentsChanged(is_snapshot=True, pairs=tuple(pairs), assets=())


def read_instruments_file(content: bytes) -> InstrumentsChanged:
    """Return the instruments of a file: an `instrument` frame, or a REST `AssetPairs` answer.

    Raises:
        MessageError: It is neither.
    """
    try:
        message = json.loads(content, parse_float=Decimal)
    except ValueError as error:
        raise MessageError(f"kraken: instruments file is not JSON: {error}") from error
    if isinstance(message, Mapping):
        if message.get("channel") == "instrument":
            return read_instrument_frame(message)
        result = message.get("result", message)
        if isinstance(result, Mapping) and all(
            isinstance(row, Mapping) and "wsname" in row for row in result.values()
        ):
            return read_asset_pairs(result)
    raise MessageError(
        "kraken: instruments file is neither an instrument snapshot nor an AssetPairs answer"
    )


def _rows(data: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    rows: Iterable[Any] = data.get(key) or ()
    for row in rows:
        if not isinstance(row, Mapping):
            raise MessageError(f"kraken: instrument {key} holds {row!r} instead of an object")
        yield row


def _asset(row: Mapping[str, Any]) -> Asset:
    try:
        return Asset(name=str(row["id"]), precision=_precision(row, "precision"))
    except KeyError as error:
        raise MessageError(f"kraken: asset {row.get('id')!r} without {error}") from error


def _pair(row: Mapping[str, Any]) -> Instrument:
    try:
        return Instrument(
            symbol=row["symbol"],
            base=row["base"],
            quote=row["quote"],
            status=InstrumentStatus.parse(str(row["status"])),
            price_precision=_precision(row, "price_precision"),
            quantity_precision=_precision(row, "qty_precision"),
            price_increment=_positive(row, "price_increment"),
            quantity_increment=_positive(row, "qty_increment"),
            minimum_quantity=_amount(row, "qty_min"),
            minimum_notional=_amount(row, "cost_min"),
            cost_precision=_precision(row, "cost_precision") if "cost_precision" in row else 8,
        )
    except KeyError as error:
        raise MessageError(f"kraken: pair {row.get('symbol')!r} without {error}") from error


def _rest_pair(key: str, row: Mapping[str, Any]) -> Instrument:
    try:
        price_precision = _precision(row, "pair_decimals")
        quantity_precision = _precision(row, "lot_decimals")
        return Instrument(
            symbol=pair_symbol(row["wsname"]),
            base=asset_name(row["base"]),
            quote=asset_name(row["quote"]),
            status=InstrumentStatus.parse(str(row.get("status", "unknown"))),
            price_precision=price_precision,
            quantity_precision=quantity_precision,
            price_increment=_positive(row, "tick_size"),
            quantity_increment=Decimal(1).scaleb(-quantity_precision),
            minimum_quantity=_amount(row, "ordermin"),
            minimum_notional=_amount(row, "costmin"),
            cost_precision=_precision(row, "cost_decimals"),
        )
    except KeyError as error:
        raise MessageError(f"kraken: AssetPairs row {key!r} without {error}") from error


def _precision(row: Mapping[str, Any], key: str) -> int:
    value = row[key]
    if isinstance(value, int) and 0 <= value <= MAX_PRECISION:
        return value
    raise MessageError(f"kraken: {_subject(row)} has {key} {value!r}, not 0 to {MAX_PRECISION}")


def _amount(row: Mapping[str, Any], key: str) -> Decimal:
    value = row[key]
    try:
        amount = Decimal(value)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise MessageError(f"kraken: {_subject(row)} has {key} {value!r}, not a number") from error
    if amount.is_finite() and amount >= 0 and abs(amount.adjusted()) <= 2 * MAX_PRECISION:
        return amount
    raise MessageError(f"kraken: {_subject(row)} has {key} {value!r}, out of range")


def _positive(row: Mapping[str, Any], key: str) -> Decimal:
    amount = _amount(row, key)
    if amount > 0:
        return amount
    raise MessageError(f"kraken: {_subject(row)} has {key} {row[key]!r}, not above zero")


def _subject(row: Mapping[str, Any]) -> str:
    return str(row.get("symbol") or row.get("wsname") or row.get("id"))
