"""JSON as the venue writes and reads it: numbers keep their digits, requests are checked for types.

Book, order and balance numbers are JSON numbers with exactly the decimals they were given; the
`instrument` channel alone uses exponents.  Nothing here passes through a float.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

type Message = Mapping[str, Any]
"""What a client sent."""

type Fields = dict[str, object]
"""What is going to be sent, or a part of it."""

_SECOND_NS = 1_000_000_000


class WireError(Exception):
    """A request the venue refuses as it stands; carries the venue's own words."""

    def __init__(self, text: str, **extra: object) -> None:
        super().__init__(text)
        self.text = text
        self.extra = extra
        """Fields of the refusal beside the usual ones."""


def dumps(message: object) -> bytes:
    """Return compact JSON; a `Decimal` becomes a number with exactly its own digits."""
    return orjson.dumps(message, _number)


def loads(content: str | bytes) -> Any:
    """Read JSON with every number exact: `int` or `Decimal`.

    Raises:
        ValueError: Not JSON, or a number that JSON doesn't know.
    """
    return json.loads(content, parse_float=Decimal, parse_constant=_refuse_constant)


def fixed(amount: Decimal, decimals: int) -> Decimal:
    """Return `amount` with exactly so many decimals, so that it is written with them."""
    return amount.quantize(Decimal(1).scaleb(-decimals))


def scientific(amount: Decimal) -> orjson.Fragment:
    """Return a number as the `instrument` channel writes it: small ones with an exponent.

    What a double prints: `1e-08`, `5e-05`, `0.0001`, `0.45`, `16000.0`.
    """
    return orjson.Fragment(repr(float(amount)))


def timestamp(now_ns: int) -> str:
    """Return RFC 3339 with microseconds, `Z`."""
    seconds, rest = divmod(now_ns, _SECOND_NS)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def whole_seconds(now_ns: int) -> str:
    """Return RFC 3339 in whole seconds, `Z`, as the dead man's switch tells times."""
    return f"{datetime.fromtimestamp(now_ns // _SECOND_NS, UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse_time(text: object, name: str) -> int:
    """Return nanoseconds since the epoch of an RFC 3339 time.

    Raises:
        WireError: Not a time, or one without a zone.
    """
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise WireError(f"EGeneral:Invalid arguments:{name}") from None
    if moment.tzinfo is None:
        raise WireError(f"EGeneral:Invalid arguments:{name}")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _SECOND_NS + since.microseconds * 1000


def success(
    request: Message,
    result: object,
    time_in: str,
    time_out: str,
    extra: Message | None = None,
) -> bytes:
    """Return the answer to a request that went well.  `result` None leaves the field out."""
    answer: dict[str, object] = {"method": request["method"]}
    if (req_id := request.get("req_id")) is not None:
        answer["req_id"] = req_id
    if result is not None:
        answer["result"] = result
    answer |= {"success": True, **(extra or {}), "time_in": time_in, "time_out": time_out}
    return dumps(answer)


def refusal(
    request: Message, text: str, time_in: str, time_out: str, extra: Message | None = None
) -> bytes:
    """Return a refusal: the venue's words as one string, no result."""
    answer: dict[str, object] = {"error": text}
    if isinstance(method := request.get("method"), str):
        answer["method"] = method
    if (req_id := request.get("req_id")) is not None:
        answer["req_id"] = req_id
    answer["success"] = False
    answer |= extra or {}
    answer |= {"time_in": time_in, "time_out": time_out}
    return dumps(answer)


def _number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not a JSON number")
