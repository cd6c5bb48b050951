"""Frames of WebSocket v2 to market events, interpreted.  The first stage of the hot path.

Numbers become integers by the pair's precisions.  A double times 10^p, rounded, is that integer
exactly while it is small enough; everything else is read again from its text.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from arbitrade.errors import MessageError
from arbitrade.models import (
    Batch,
    BookDelta,
    BookUnreadable,
    Instrument,
    InstrumentsChanged,
    Level,
    MarketEvent,
    RequestRefused,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade_kraken.instruments import read_instrument_frame

_EXACT_BELOW = 2**52
"""Integers below this, divided by a power of ten, are different doubles from their neighbours."""
_MAX_DIGITS = 40
"""No price or amount has more digits; a longer one is a broken message."""
_MAX_DEPTH = 10_000
"""No book has more levels a side: ten times as many as the deepest the venue offers."""


class _Text(str):
    """A number with a point or an exponent as it stands in the frame."""

    __slots__ = ()


_read_numbers_as_text = json.JSONDecoder(parse_float=_Text).decode


class _Scale:
    """What turns a pair's numbers into ticks and lots."""

    __slots__ = ("price", "price_precision", "quantity", "quantity_precision")

    def __init__(self, pair: Instrument) -> None:
        self.price_precision = pair.price_precision
        self.quantity_precision = pair.quantity_precision
        self.price = 10.0**pair.price_precision
        self.quantity = 10.0**pair.quantity_precision


class _ReadText(Exception):  # noqa: N818 - a signal, not an error
    """A number of this message can't be taken from its double."""


class KrakenDecoder:
    """Decodes one stream of frames; learns precisions from the `instrument` frames in it.

    About 2.5 µs for a book update of two levels.
    """

    def __init__(self) -> None:
        self._scales: dict[str, _Scale] = {}
        self.counters: Counter[str] = Counter()

    def learn(self, change: InstrumentsChanged) -> None:
        """Take instruments from elsewhere as if a frame had brought them."""
        if change.is_snapshot:
            self._scales = {}
        for pair in change.pairs:
            self._scales[pair.symbol] = _Scale(pair)

    def decode(self, frame: bytes) -> MarketEvent | None:
        """Return the event in `frame`, None when it has nothing for us.

        Raises:
            MessageError: Not JSON, or not what the venue's protocol promises.
        """
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise MessageError(f"kraken: not JSON ({error}): {_excerpt(frame)}") from error
        try:
            if message["channel"] == "book":
                (entry,) = message["data"]
                scale = self._scales[entry["symbol"]]
                bids, asks, checksum = entry["bids"], entry["asks"], entry["checksum"]
                timestamp = entry.get("timestamp") or None
                if type(checksum) is int and (timestamp is None or type(timestamp) is str):
                    return BookDelta(
                        entry["symbol"],
                        message["type"] == "snapshot",
                        _scaled(bids, scale) if bids else (),
                        _scaled(asks, scale) if asks else (),
                        checksum,
                        timestamp,
                    )
        except (KeyError, ValueError, TypeError, _ReadText, OverflowError):
            pass  # Not the usual frame: look at it again, slowly and exactly.
        return self._decode_exactly(frame, message)

    def _decode_exactly(self, frame: bytes, message: Any) -> MarketEvent | None:
        if not isinstance(message, Mapping):
            raise MessageError(
                f"kraken: {_excerpt(frame)} is not a WebSocket v2 frame (those are JSON objects)"
            )
        channel = message.get("channel")
        if "method" in message:
            return self._answer(message)
        if channel == "book":
            return self._book(_read_numbers_as_text(str(frame, "utf-8")))
        if channel == "instrument":
            try:
                content = json.loads(frame, parse_float=Decimal)
            except ArithmeticError as error:
                raise MessageError(
                    f"kraken: instrument frame with a number out of range: {_excerpt(frame)}"
                ) from error
            change = read_instrument_frame(content)
            self.learn(change)
            return change
        if channel == "status":
            return _state(message)
        if channel is None:
            raise MessageError(f"kraken: {_excerpt(frame)} names neither channel nor method")
        if channel != "heartbeat":
            self.counters[f"channel_{channel}"] += 1
        return None

    def _answer(self, message: Mapping[str, Any]) -> MarketEvent | None:
        result = message.get("result")
        result = result if isinstance(result, Mapping) else {}
        method, request_id = str(message["method"]), message.get("req_id")
        if message.get("success") is False:
            symbol = message.get("symbol", result.get("symbol"))
            return RequestRefused(method, str(message.get("error")), symbol, request_id)
        symbol, depth = result.get("symbol"), result.get("depth")
        if result.get("channel") != "book" or not isinstance(symbol, str):
            return None
        if method == "unsubscribe" and message.get("success"):
            return Unsubscribed(symbol, request_id)
        if method == "subscribe" and message.get("success") and isinstance(depth, int):
            if not 0 < depth <= _MAX_DEPTH:
                raise MessageError(f"kraken: {symbol} subscribed at depth {depth}, out of range")
            return Subscribed(symbol, depth, request_id)
        return None

    def _book(self, message: Mapping[str, Any]) -> MarketEvent | None:
        """Decode a book frame of any layout from the text of its numbers."""
        data = message.get("data")
        if not isinstance(data, list) or not data:
            raise MessageError("kraken: book frame without data")
        is_snapshot = message.get("type") == "snapshot"
        events = [event for entry in data if (event := self._entry(entry, is_snapshot)) is not None]
        if not events:
            return None
        return events[0] if len(events) == 1 else Batch(tuple(events))

    def _entry(self, entry: Any, is_snapshot: bool) -> BookDelta | BookUnreadable | None:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("symbol"), str):
            raise MessageError(f"kraken: book frame with {str(entry)[:80]!r} for a book")
        symbol: str = entry["symbol"]
        scale = self._scales.get(symbol)
        if scale is None:
            self.counters["unknown_pair"] += 1
            return None
        checksum, timestamp = entry.get("checksum"), entry.get("timestamp") or None
        if not isinstance(checksum, int):
            raise MessageError(f"kraken: {symbol} book frame without a checksum")
        if not isinstance(timestamp, str | None):
            raise MessageError(f"kraken: {symbol} has timestamp {str(timestamp)[:60]}, not text")
        self.counters["exact"] += 1
        try:
            bids = _exact(entry.get("bids"), scale, symbol)
            asks = _exact(entry.get("asks"), scale, symbol)
        except _Misfit as misfit:
            return BookUnreadable(symbol, str(misfit))
        return BookDelta(symbol, is_snapshot, bids, asks, checksum, timestamp)


class _Misfit(Exception):  # noqa: N818 - turned into an event
    """A number that doesn't fit its pair's precision."""


def _scaled(levels: Sequence[Mapping[str, float]], scale: _Scale) -> list[Level]:
    """Return levels as integers taken from doubles.

    Raises:
        _ReadText: A number is too long for that, or has more decimals than its pair.
    """
    result = []
    price_scale, quantity_scale = scale.price, scale.quantity
    for level in levels:
        price, quantity = level["price"], level["qty"]
        # Adding one half and truncating is rounding, at half the price of round().
        ticks, lots = int(price * price_scale + 0.5), int(quantity * quantity_scale + 0.5)
        # The division rounds as reading the text did, so only the right integer gives it back.
        if (
            ticks / price_scale == price
            and lots / quantity_scale == quantity
            and 0 < ticks < _EXACT_BELOW
            and 0 <= lots < _EXACT_BELOW
        ):
            result.append((ticks, lots))
        else:
            raise _ReadText
    return result


def _exact(levels: Any, scale: _Scale, symbol: str) -> list[Level]:
    if not isinstance(levels, list):
        raise MessageError(f"kraken: {symbol} book frame with {str(levels)[:40]!r} for a side")
    result = []
    for level in levels:
        if not isinstance(level, Mapping) or "price" not in level or "qty" not in level:
            raise MessageError(f"kraken: {symbol} book frame with level {str(level)[:60]!r}")
        ticks = _units(level["price"], scale.price_precision, symbol, "price")
        if ticks == 0:
            raise MessageError(f"kraken: {symbol} has a level at price zero")
        result.append((ticks, _units(level["qty"], scale.quantity_precision, symbol, "qty")))
    return result


def _units(value: Any, precision: int, symbol: str, field: str) -> int:
    """Return `value` in units of 10^-precision."""
    if type(value) is _Text:
        whole, _, decimals = value.partition(".")
        plain = len(decimals) == precision and decimals.isdigit() and value[0] != "-"
        if plain and len(value) <= _MAX_DIGITS:
            # The venue's own way to write a number: its digits are the units.
            return int(whole + decimals)
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise MessageError(f"kraken: {symbol} has {field} {value!r}, not a number")
    number = Decimal(value)
    if number < 0 or not number.is_finite() or abs(number.adjusted()) > _MAX_DIGITS:
        raise MessageError(f"kraken: {symbol} has {field} {value}, out of range")
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or len(digits) > _MAX_DIGITS:
        raise MessageError(f"kraken: {symbol} has {field} {value}, out of range")
    units = int("".join(map(str, digits)))
    shift = exponent + precision
    if shift >= 0:
        return int(units * 10**shift)
    scaled, rest = divmod(units, int(10**-shift))
    if rest:
        raise _Misfit(f"{field} {value} has more than the pair's {precision} decimals")
    return scaled


def _state(message: Mapping[str, Any]) -> VenueStateChanged | None:
    data = message.get("data")
    first = data[0] if isinstance(data, list) and data else data
    if isinstance(first, Mapping) and isinstance(first.get("system"), str):
        return VenueStateChanged(VenueState.parse(first["system"]))
    return None


def _excerpt(frame: bytes) -> str:
    text = frame[:80].decode("utf-8", "replace")
    return f"{text!r}…" if len(frame) > 80 else repr(text)
