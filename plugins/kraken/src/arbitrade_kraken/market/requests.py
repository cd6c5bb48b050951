"""The requests we send, as the bytes that go over the wire.

No credential is ever in them: public market data needs none.
"""

from collections.abc import Sequence

import orjson


def subscribe_instruments(request_id: int) -> bytes:
    """Return the request for the `instrument` channel: a snapshot of every pair, then changes."""
    params = {"channel": "instrument", "snapshot": True}
    return orjson.dumps({"method": "subscribe", "params": params, "req_id": request_id})


def subscribe_books(symbols: Sequence[str], depth: int, request_id: int) -> bytes:
    """Return the request for the books of `symbols`.

    The venue answers once for each symbol, every answer with the same request id.
    """
    params = {"channel": "book", "symbol": list(symbols), "depth": depth, "snapshot": True}
    return orjson.dumps({"method": "subscribe", "params": params, "req_id": request_id})


def unsubscribe_books(symbols: Sequence[str], depth: int, request_id: int) -> bytes:
    """Return the request that ends the books of `symbols`; `depth` must be the subscribed one."""
    params = {"channel": "book", "symbol": list(symbols), "depth": depth}
    return orjson.dumps({"method": "unsubscribe", "params": params, "req_id": request_id})


def ping(request_id: int) -> bytes:
    """Return a ping: any request keeps the venue from closing an idle socket."""
    return orjson.dumps({"method": "ping", "req_id": request_id})
