"""Settings of the section `kraken`."""

from typing import Any, Literal

import attrs

from arbitrade import setting

DEPTHS = (10, 25, 100, 500, 1000)
"""Levels a side the venue offers for a book."""


def _more_than_nothing(_: Any, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name} must be above 0, is {value}")


@attrs.frozen
class KrakenSettings:
    """How to reach Kraken's market data, and how patiently.

    Limits of the venue: WebSocket v2 documentation of May 2026; about 150 connection attempts per
    rolling ten minutes and address, then a ban of ten minutes.
    """

    ws_url: str = setting(
        "wss://ws.kraken.com/v2",
        "Where public market data comes from; a simulator has another.",
        validator=attrs.validators.matches_re(r"wss?://\S+"),
        hint='write "wss://host/path"',
    )
    transport: Literal["auto", "websockets", "picows"] = setting(
        "auto",
        "Who reads the socket; `auto` takes what measured faster, `picows` needs the extra `fast`.",
    )
    depth: int = setting(
        10,
        "Depth of the books; the checksum covers 10, more leaves room for bigger sizes.",
        unit="levels a side",
        validator=attrs.validators.in_(DEPTHS),
        hint="write 10, 25, 100, 500 or 1000",
    )
    connections: int = setting(
        1, "Sockets the books are spread over.", unit="sockets", minimum=1, maximum=20
    )
    symbols_per_request: int = setting(
        100,
        "Books asked for in one request; one request a book exceeds the venue's message rate.",
        unit="pairs",
        minimum=1,
        maximum=250,
    )
    requests_per_s: float = setting(
        5.0,
        "Pace of requests on one socket; the venue's own limit is not documented.",
        unit="requests/s",
        minimum=0.1,
    )
    silence_s: float = setting(
        4.0,
        "A socket without any frame for so long is dead: a heartbeat comes every second.",
        unit="s",
        validator=_more_than_nothing,
    )
    max_lag_s: float = setting(
        2.0,
        "Nothing is decided on a message older than this.",
        unit="s",
        validator=_more_than_nothing,
    )
    connect_timeout_s: float = setting(
        10.0,
        "Longest wait for a socket to open, TLS and upgrade included.",
        unit="s",
        validator=_more_than_nothing,
    )
    answer_timeout_s: float = setting(
        10.0,
        "Longest wait for an answer: status, instruments, acknowledgement, snapshot.",
        unit="s",
        validator=_more_than_nothing,
    )
    ping_s: float = setting(
        20.0,
        "A ping goes out this often: the venue closes a socket that is idle for a minute.",
        unit="s",
        validator=_more_than_nothing,
    )
    close_timeout_s: float = setting(
        1.0,
        "How long a socket may take to say goodbye when we stop.",
        unit="s",
        validator=_more_than_nothing,
    )
    connection_attempts_per_10_minutes: int = setting(
        100,
        "Budget all sockets share; the venue bans an address above about 150.",
        unit="attempts",
        minimum=2,
        maximum=150,
    )
    reconnect_quick: int = setting(
        3,
        "Reconnects that don't wait; most drops are random and over at once.",
        unit="tries",
        minimum=0,
    )
    reconnect_s: float = setting(
        1.0,
        "First wait once the quick reconnects failed; doubles from there.",
        unit="s",
        validator=_more_than_nothing,
    )
    reconnect_max_s: float = setting(
        60.0, "Longest wait between reconnects.", unit="s", validator=_more_than_nothing
    )
    maintenance_wait_s: float = setting(
        5.0,
        "Shortest wait between reconnects while the venue is in maintenance.",
        unit="s",
        minimum=0,
    )
    busy_wait_s: float = setting(
        30.0,
        "Shortest wait after the venue refused a socket as one too many (HTTP 429, 503).",
        unit="s",
        minimum=0,
    )
    resync_s: float = setting(
        1.0,
        "Wait before the second resynchronisation of a book; the first is at once, it doubles.",
        unit="s",
        validator=_more_than_nothing,
    )
    resync_max_s: float = setting(
        60.0,
        "Longest wait between resynchronisations of a book; so long in sync starts over.",
        unit="s",
        validator=_more_than_nothing,
    )
    max_frame_mb: int = setting(
        64,
        "Largest frame taken; all instruments come in one of about 1 MB.",
        unit="MB",
        minimum=2,
        maximum=1024,
    )
