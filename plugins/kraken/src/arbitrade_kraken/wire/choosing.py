"""Which WebSocket the feed reads from."""

from importlib.util import find_spec
from typing import Literal

from arbitrade.errors import ConfigError
from arbitrade_kraken.wire.opening import OpenWire
from arbitrade_kraken.wire.plain import open_wire

type TransportName = Literal["auto", "websockets", "picows"]


def choose_transport(name: TransportName) -> OpenWire:
    """Return what opens connections.

    `auto` is ours, whatever is installed: with a compiled engine behind it it is as fast
    (docs/performance.md, "Wire").

    Raises:
        ConfigError: picows was asked for and is not installed.
    """
    if name in ("auto", "websockets"):
        return open_wire
    if not _has_picows():
        raise ConfigError(
            "kraken.transport: 'picows' is not installed; install arbitrade-kraken[fast], or write "
            '"auto"'
        )
    from arbitrade_kraken.wire.picows import open_picows_wire

    return open_picows_wire


def _has_picows() -> bool:
    return find_spec("picows") is not None
