"""Control lines: what happened to us rather than what the venue said, for replays to know."""

import orjson

from arbitrade.errors import MessageError
from arbitrade.models import ConnectionLost


def read_control(frame: bytes) -> ConnectionLost | None:
    """Return the event of a control line, None for one this version does not know.

    Raises:
        MessageError: It is not a JSON object.
    """
    try:
        event = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise MessageError(f"control line is not JSON ({error})") from error
    if not isinstance(event, dict):
        raise MessageError("control line is not a JSON object")
    if event.get("event") != "connection_lost":
        return None
    symbols = event.get("symbols")
    return ConnectionLost(
        None if symbols is None else tuple(map(str, symbols)), str(event.get("reason", ""))
    )


def write_control(event: ConnectionLost) -> bytes:
    """Return the frame of a control line that `read_control` reads back as `event`."""
    return orjson.dumps(
        {
            "event": "connection_lost",
            "symbols": None if event.symbols is None else list(event.symbols),
            "reason": event.reason,
        }
    )
