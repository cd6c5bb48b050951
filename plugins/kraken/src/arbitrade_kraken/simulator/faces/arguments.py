"""Arguments of a REST call: a query string, a form or JSON, where numbers mostly come as text."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from arbitrade_kraken.simulator.exchange.orders import VenueRefusal
from arbitrade_kraken.simulator.faces.wire import WireError, loads, parse_time

_SECOND_NS = 1_000_000_000
_LARGEST_EXPONENT = 18
"""Times in nanoseconds are the largest numbers anybody sends."""
_NONCE_LIMIT = 1 << 64
_INDEXED = re.compile(r"(\w+)\[(\d*)\]")


class Arguments:
    """What a call was made with.  Every reader raises `VenueRefusal` for what it can't read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    @classmethod
    def of_body(cls, body: bytes, content_type: str) -> "Arguments":
        """Read a body, by its content type or its look."""
        text = body.decode("utf-8", "replace")
        if "json" in content_type or text.lstrip().startswith("{"):
            try:
                values = loads(text or "{}")
            except ValueError:
                raise VenueRefusal("EGeneral:Invalid arguments") from None
            if not isinstance(values, dict):
                raise VenueRefusal("EGeneral:Invalid arguments")
            return cls(values)
        return cls.of_query(text)

    @classmethod
    def of_query(cls, text: str) -> "Arguments":
        """Read a form or query string; `orders[0]=…` makes a list."""
        values: dict[str, Any] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            indexed = _INDEXED.fullmatch(name)
            if indexed and indexed[1] in ("orders", "cl_ord_ids", "txid"):
                values.setdefault(indexed[1], []).append(value)
            else:
                values[name] = value
        return cls(values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def raw(self, name: str) -> Any:
        """Return an argument as it came; None if it didn't."""
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        """Return an argument as text; None if missing or empty."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (dict, list)):
            raise _invalid(name)
        return str(value)

    def required(self, name: str) -> str:
        """Return a text that must be there."""
        text = self.text(name)
        if text is None:
            raise _invalid(name)
        return text

    def names(self, name: str) -> list[str]:
        """Return a comma-separated list, or a JSON array, of texts or numbers."""
        value = self._values.get(name)
        if isinstance(value, list):
            return [_name(item) for item in value]
        text = self.text(name)
        return [] if text is None else [item.strip() for item in text.split(",") if item.strip()]

    def number(self, name: str) -> Decimal | None:
        """Return a number in plain notation."""
        text = self.text(name)
        if text is None:
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise _invalid(name) from None
        if not number.is_finite() or text[0] in "+-#" or number.adjusted() > _LARGEST_EXPONENT:
            raise _invalid(name)
        return number

    def integer(self, name: str) -> int | None:
        """Return a whole number, None if not given."""
        text = self.text(name)
        if text is None:
            return None
        try:
            number = int(text)
        except ValueError:
            raise _invalid(name) from None
        if abs(number) >= _NONCE_LIMIT:
            raise _invalid(name)
        return number

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a truth value: `true`, `1`."""
        text = self.text(name)
        return default if text is None else text.lower() in ("true", "1", "yes")

    def time_ns(self, name: str) -> int | None:
        """Return an RFC 3339 time."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse_time(text, name)
        except WireError as error:
            raise VenueRefusal(str(error)) from None

    def unix_ns(self, name: str, now_ns: int) -> int | None:
        """Return a time in seconds since the epoch, or from now with a leading plus; 0 for none."""
        text = self.text(name)
        if text is None or text == "0":
            return None
        try:
            seconds = Decimal(text.lstrip("+"))
        except InvalidOperation:
            raise _invalid(name) from None
        if not seconds.is_finite() or seconds.adjusted() > _LARGEST_EXPONENT:
            raise _invalid(name)
        ns = int(seconds * _SECOND_NS)
        return now_ns + ns if text.startswith("+") else ns


def _name(item: Any) -> str:
    if isinstance(item, dict):
        return str(item.get("txid") or item.get("asset") or "")
    return str(item)


def _invalid(name: str) -> VenueRefusal:
    return VenueRefusal(f"EGeneral:Invalid arguments:{name}")
