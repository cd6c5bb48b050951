"""What every transport has in common: addresses, refusals, how a connection ends."""

import asyncio
import builtins
import functools
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import attrs
from websockets.exceptions import InvalidURI
from websockets.uri import WebSocketURI, parse_uri

from arbitrade.errors import ConfigError, VenueUnavailableError

type OnMessage = Callable[[bytes], None]
type OnBuffer = Callable[[bytearray, int, int], tuple[int, int]]
type OnEnd = Callable[["Ending"], None]

_FINAL = frozenset({400, 401, 403, 404})
"""Answers to the upgrade that don't change by asking again (the venue's SDK gives up too)."""
_WRONG_HOST = "unavailable on this endpoint"
"""How a refusal ends where public requests go to the private host, or the other way round."""


class ConnectionRefusedByVenueError(VenueUnavailableError):
    """Somebody answered, but not with a WebSocket.

    Args:
        status: The HTTP status; None when it was not about HTTP.
        is_final: Asking again won't help.
    """

    def __init__(self, message: str, status: int | None = None, is_final: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_final = is_final


@attrs.frozen
class Ending:
    """How a connection ended.

    Args:
        code: WebSocket close code; 1006 when the socket just went away.
        reason: What the venue wrote, or what we made of it.
    """

    code: int
    reason: str


class AnyWire(Protocol):
    """The client's end of one open WebSocket, whoever reads it."""

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Done when the connection is gone."""

    @property
    def failure(self) -> Exception | None:
        """What one of the owner's callbacks raised."""

    @property
    def frames(self) -> int:
        """Complete frames received, control frames included."""

    @property
    def bytes(self) -> int:
        """Bytes received; the answer to the upgrade counts where the plain wire reads."""

    @property
    def silent_s(self) -> float:
        """Seconds since the last complete frame of any kind, ours excluded."""

    def send(self, message: builtins.bytes) -> None:
        """Send one text message.  Ignored when the connection is on its way out."""

    async def close(self, timeout_s: float) -> None:
        """Say goodbye, and hang up after `timeout_s` whatever the other side does.  Idempotent."""

    def abort(self) -> None:
        """Hang up now.  No message is delivered from here on.  Idempotent."""


class OpenWire(Protocol):
    """Connects and upgrades; `plain.open_wire` and `picows.open_picows_wire` are the two there are.

    Whoever opens says what happens with what comes, all of it from inside a read of the socket:

    * `on_message` gets each message; what it raises ends the connection and stands in `failure`;
    * `on_end` is called once, after the last message, when the connection is gone;
    * `on_buffer`, if given, is asked first, with the receive buffer and what of it is filled; it
      takes the frames it can, and tells where the rest begins and how many it took.
    """

    def __call__(
        self,
        url: str,
        on_message: OnMessage,
        on_end: OnEnd,
        *,
        max_size: int,
        timeout_s: float,
        tls: ssl.SSLContext | None = None,
        on_buffer: OnBuffer | None = None,
    ) -> Awaitable[AnyWire]:
        """Return the open connection.

        Args:
            url: `wss://…`, or `ws://…` for a server on this machine.
            on_message: See above.
            on_end: See above.
            max_size: Largest message taken, in bytes.
            timeout_s: For everything until the WebSocket is open.
            tls: For `wss://`; the system's certificates when None.
            on_buffer: See above.

        Raises:
            ConnectionRefusedByVenueError: Answered, but not with an upgrade.
            VenueUnavailableError: Not reached, or not in time.
            ConfigError: Not a URL.
        """


@functools.cache
def system_trust() -> ssl.SSLContext:
    """Return what trusts the system's certificates; reading them takes long, so once a process."""
    return ssl.create_default_context()


async def await_goodbye(wire: AnyWire, timeout_s: float) -> None:
    """Wait for the other side's goodbye after ours, and hang up after `timeout_s` anyway."""
    try:
        await _until_ended(wire, timeout_s)
    finally:
        wire.abort()
    # What was aborted ends within the loop's next turns.
    await _until_ended(wire, timeout_s)


async def _until_ended(wire: AnyWire, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(wire.ended)


def parse_address(url: str) -> WebSocketURI:
    """Return the parts of a `ws://` or `wss://` address.

    Raises:
        ConfigError: It is none.
    """
    try:
        return parse_uri(url)
    except InvalidURI as error:
        raise ConfigError(f"kraken.ws_url: {url!r} is not a ws:// or wss:// address") from error


def why_unreachable(
    error: BaseException, url: str, timeout_s: float
) -> VenueUnavailableError | None:
    """Return what an exception of the socket means while it is being opened; None if nothing."""
    if isinstance(error, TimeoutError):
        return VenueUnavailableError(
            f"kraken: {url} did not open a WebSocket within {timeout_s:g} s"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionRefusedByVenueError(
            f"kraken: {url} shows a certificate we don't trust ({error.verify_message}); "
            "check the machine's clock and certificates",
            is_final=True,
        )
    if isinstance(error, OSError):
        return VenueUnavailableError(f"kraken: {url} can't be reached: {error}")
    return None


def not_upgraded(host: str, status: int) -> ConnectionRefusedByVenueError:
    """Return the error for an HTTP answer other than 101."""
    return ConnectionRefusedByVenueError(
        f"kraken: {host} answered HTTP {status} instead of opening a WebSocket",
        status,
        is_final=status in _FINAL,
    )


def raise_if_wrong_host(refusal: str) -> None:
    """Tell a refusal that no other attempt changes: the address is that of another host.

    Raises:
        ConnectionRefusedByVenueError: It is one.
    """
    if _WRONG_HOST in refusal:
        raise ConnectionRefusedByVenueError(f"kraken: {refusal}", is_final=True)
