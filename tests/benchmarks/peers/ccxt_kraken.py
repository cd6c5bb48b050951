"""ccxt.pro: the Kraken class's message handling behind its WebSocket client's own decoding.

The client decodes with orjson where it is installed, as it is here.  The check of the checksum is
off by default in ccxt, and stays so.
"""

from ccxt import pro
from ccxt.async_support.base.ws.client import Client
from common import Feed, measure


class Unconnected:
    """Has what `Client.handle_text_or_binary_message` and the handlers use of a client."""

    verbose = False
    decompressBinary = True

    def __init__(self, exchange: pro.kraken) -> None:
        self.subscriptions: dict[str, object] = {}
        self.futures: dict[str, object] = {}
        self.on_message_callback = exchange.handle_message

    def resolve(self, result: object, message_hash: str) -> object:
        """Wake whoever waits for this book; nobody does."""
        return result

    def reject(self, error: object, message_hash: str | None = None) -> None:
        raise SystemExit(f"ccxt refused a frame: {error}")


class CcxtKraken:
    def __init__(self, feed: Feed) -> None:
        self._exchange = pro.kraken({"newUpdates": True})
        self._client = Unconnected(self._exchange)
        self._receive = Client.handle_text_or_binary_message

    def frame(self, raw: bytes) -> str:
        return raw.decode()

    def on_frame(self, frame: str) -> None:
        self._receive(self._client, frame)

    def best(self, symbol: str) -> tuple[float, float] | None:
        book = self._exchange.orderbooks.get(symbol)
        if not book or not book["bids"] or not book["asks"]:
            return None
        return book["bids"][0][0], book["asks"][0][0]

    def wrong_checksums(self) -> None:
        return None


if __name__ == "__main__":
    measure("ccxt", CcxtKraken)
