"""python-kraken-sdk: its order book client, with its own check of every update's checksum.

The client is made without its connection and its REST client; what it would ask them is answered
here.  Its connection decodes with the standard library's `json`; orjson stands in its place, to its
advantage.
"""

import kraken.spot.orderbook as sdk
from common import Feed, Pair, finish, measure
from orjson import loads


class Decimals:
    """Stands where the client asks for a pair's decimals."""

    def __init__(self, pairs: tuple[Pair, ...]) -> None:
        self._answers = {
            pair.symbol: {
                "pair_decimals": pair.price_precision,
                "lot_decimals": pair.quantity_precision,
            }
            for pair in pairs
        }

    def get_asset_pairs(self, pair: str) -> dict[str, dict[str, int]]:
        return {pair: self._answers[pair]}


class Client(sdk.SpotOrderBookClient):
    """The client without a connection; subscribing anew after a wrong checksum is only counted."""

    def __init__(self, feed: Feed) -> None:
        self.resubscribed = 0
        private = {
            "book": {},
            "depth": 10,
            "callback": lambda pair, message: None,
            "market": Decimals(feed.pairs),
        }
        for name, value in private.items():
            setattr(self, f"_SpotOrderBookClient__{name}", value)

    async def remove_book(self, pairs: list[str]) -> None:
        self.resubscribed += 1

    async def add_book(self, pairs: list[str]) -> None:
        pass


class KrakenSdk:
    def __init__(self, feed: Feed) -> None:
        self._client = Client(feed)

    def frame(self, raw: bytes) -> bytes:
        return raw

    def on_frame(self, frame: bytes) -> None:
        finish(self._client.on_message(loads(frame)))

    def best(self, symbol: str) -> tuple[float, float] | None:
        book = self._client.get(symbol)
        if not book or not book["bid"] or not book["ask"]:
            return None
        return float(next(iter(book["bid"]))), float(next(iter(book["ask"])))

    def wrong_checksums(self) -> int:
        return self._client.resubscribed


async def do_not_wait(seconds: float) -> None:
    """The client waits three seconds before it subscribes anew."""


if __name__ == "__main__":
    sdk.asyncio_sleep = do_not_wait
    measure("python-kraken-sdk", KrakenSdk)
