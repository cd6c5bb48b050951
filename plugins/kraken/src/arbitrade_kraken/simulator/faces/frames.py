"""Public frames as text, number for number as the venue writes them."""

from collections.abc import Sequence
from decimal import Decimal

from arbitrade_kraken.simulator.faces.wire import dumps

type Levels = Sequence[tuple[int, int]]
"""Pairs of (ticks, lots), in units of the last decimal."""


def book_frame(
    kind: str,
    symbol: str,
    bids: Levels,
    asks: Levels,
    decimals: tuple[int, int],
    checksum: int,
    timestamp: str,
) -> bytes:
    """Return a `book` frame: prices and quantities with exactly the pair's decimals.  About 8 µs.

    `kind` is `snapshot` or `update`, `decimals` those of prices and of quantities.
    """
    prices, quantities = decimals
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}",'
        f'"bids":[{_levels(bids, prices, quantities)}],'
        f'"asks":[{_levels(asks, prices, quantities)}],'
        f'"checksum":{checksum},"timestamp":"{timestamp}"}}]}}'
    ).encode()


def status_frame(system: str, connection_id: int) -> bytes:
    """Return a `status` frame.  A connection's id exceeds what 63 bits hold."""
    return (
        '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"'
        f'{system}","api_version":"v2","connection_id":{connection_id},'
        '"upcoming_maintenance":[],"emergency":[]}]}'
    ).encode()


def channel_frame(channel: str, kind: str, data: object) -> bytes:
    """Return a frame of any other channel; decimals keep their digits."""
    return dumps({"channel": channel, "type": kind, "data": data})


def units(amount_in_units: int, decimals: int) -> Decimal:
    """Return units of 10^-decimals as a number with exactly that many decimals."""
    return Decimal(amount_in_units).scaleb(-decimals)


def _levels(levels: Levels, prices: int, quantities: int) -> str:
    return ",".join(
        [
            f'{{"price":{_number(ticks, prices)},"qty":{_number(lots, quantities)}}}'
            for ticks, lots in levels
        ]
    )


def _number(amount: int, decimals: int) -> str:
    if not decimals:
        return str(amount)
    digits = str(amount).zfill(decimals + 1)
    return f"{digits[:-decimals]}.{digits[-decimals:]}"
