"""What the control socket speaks: JSON objects, one a line, each with the version and an id.

    → {"v": 1, "id": 1, "ask": "state"}
    → {"v": 1, "id": 2, "ask": "subscribe", "every_s": 1.0}
    → {"v": 1, "id": 3, "ask": "command", "name": "halt", "arguments": {"reason": "…"}}
    → {"v": 1, "id": 4, "ask": "hello"}
    ← {"v": 1, "id": 1, "ok": true, "result": {…}}
    ← {"v": 1, "id": 3, "ok": false, "error": "…"}

A subscription is answered again and again until the connection is closed.  Where the operating
system can't tell who is at the other end, requests carry a `token` as well.  Fields nobody knows
are passed over; another version is refused.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs
import orjson

from arbitrade.errors import ControlError

VERSION = 1

LONGEST_REQUEST = 64 << 10
"""Bytes of a request's line."""

LONGEST_ANSWER = 16 << 20
"""Bytes of an answer's line."""

COMMANDS = frozenset({"halt", "resume", "flatten", "limits", "plugin", "stop"})
"""Names of commands; see `arbitrade.api.Command`."""

FASTEST_S, SLOWEST_S = 0.1, 60.0
"""Bounds of a subscription's pace."""

type Ask = Literal["hello", "state", "subscribe", "command"]

_ASKS = ("hello", "state", "subscribe", "command")
_MOST_ARGUMENTS, _LONGEST_TEXT = 64, 4096


@attrs.frozen
class Request:
    """A request that was read and fits: known, and no longer than it may be.

    Args:
        id: Chosen by the client; the answer has the same.
        ask: What is wanted.
        every_s: For `subscribe`: how often the state comes.
        name: For `command`: which.
        arguments: For `command`.
        token: Proves that the client may ask.
    """

    id: int
    ask: Ask
    every_s: float = 1.0
    name: str = ""
    arguments: Mapping[str, str] = attrs.field(factory=dict)
    token: str = attrs.field(default="", repr=False)


def read_request(line: bytes) -> Request:
    """Return the request in a line.

    Raises:
        ControlError: It is none, or of another version; the message may be sent back.
    """
    fields = _object(line)
    number = fields.get("id")
    if type(number) is not int or not 0 <= number < 1 << 53:
        raise ControlError("id: not a whole number; count the requests of a connection")
    ask = fields.get("ask")
    if ask not in _ASKS:
        raise ControlError(f"ask: {_shown(ask)} is none of {', '.join(_ASKS)}")
    token = fields.get("token", "")
    return Request(
        id=number,
        ask=cast(Ask, ask),
        every_s=_pace(fields.get("every_s", 1.0)),
        name=_command(fields.get("name")) if ask == "command" else "",
        arguments=_arguments(fields.get("arguments", {})),
        token=token if isinstance(token, str) else "",
    )


def write_request(request: Request) -> bytes:
    """Return a request as a line."""
    fields: dict[str, object] = {"v": VERSION, "id": request.id, "ask": request.ask}
    if request.ask == "subscribe":
        fields["every_s"] = request.every_s
    if request.ask == "command":
        fields |= {"name": request.name, "arguments": dict(request.arguments)}
    if request.token:
        fields["token"] = request.token
    return orjson.dumps(fields) + b"\n"


def write_result(number: int, result: bytes) -> bytes:
    """Return an answer as a line; `result` is JSON already."""
    return (
        orjson.dumps({"v": VERSION, "id": number, "ok": True, "result": orjson.Fragment(result)})
        + b"\n"
    )


def write_error(number: int, message: str) -> bytes:
    """Return a refusal as a line; number 0 when the request's own couldn't be read."""
    return orjson.dumps({"v": VERSION, "id": number, "ok": False, "error": message}) + b"\n"


def read_answer(line: bytes) -> dict[str, Any]:
    """Return the result in an answer's line.

    Raises:
        ControlError: It is no answer, of another version, or a refusal.
    """
    fields = _object(line)
    if fields.get("ok") is not True:
        raise ControlError(str(fields.get("error", "the bot refused without a reason")))
    result = fields.get("result")
    if not isinstance(result, dict):
        raise ControlError("the answer has no result; do bot and command have the same version?")
    return result


def _object(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise ControlError("not a JSON object on one line")
    if fields.get("v") != VERSION:
        raise ControlError(
            f"version {_shown(fields.get('v'))} of the control socket is not spoken here, but "
            f"{VERSION}; use the `arbitrade` the bot was started with"
        )
    return fields


def _pace(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ControlError(f"every_s: {_shown(value)} is not a number of seconds")
    return min(max(float(value), FASTEST_S), SLOWEST_S)


def _command(value: object) -> str:
    if not isinstance(value, str) or value not in COMMANDS:
        raise ControlError(f"name: {_shown(value)} is none of {', '.join(sorted(COMMANDS))}")
    return value


def _arguments(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MOST_ARGUMENTS:
        raise ControlError(f"arguments: not an object of at most {_MOST_ARGUMENTS} texts")
    for name, text in value.items():
        if not isinstance(text, str) or len(text) > _LONGEST_TEXT or len(name) > _LONGEST_TEXT:
            raise ControlError(
                f"arguments.{name[:40]}: not a text of at most {_LONGEST_TEXT} characters"
            )
    return value


def _shown(value: object) -> str:
    return repr(value)[:40]
