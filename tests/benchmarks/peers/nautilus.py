"""nautilus_trader: its order book, a delta a level, behind orjson.

The book has no depth limit and no checksum: levels that leave the venue's window without a word
stay in it, so its best prices may differ at the end.
"""

from common import Feed, measure
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder, OrderBookDelta
from nautilus_trader.model.enums import BookAction, BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity
from orjson import loads


class Nautilus:
    def __init__(self, feed: Feed) -> None:
        self._books = {}
        for pair in feed.pairs:
            instrument = InstrumentId.from_str(f"{pair.symbol}.KRAKEN")
            book = OrderBook(instrument, BookType.L2_MBP)
            self._books[pair.symbol] = (
                book,
                instrument,
                pair.price_precision,
                pair.quantity_precision,
            )

    def frame(self, raw: bytes) -> bytes:
        return raw

    def on_frame(self, frame: bytes) -> object:
        message = loads(frame)
        entry = message["data"][0]
        book, instrument, price_precision, quantity_precision = self._books[entry["symbol"]]
        if message["type"] == "snapshot":
            book.clear(0, 0)
        apply = book.apply_delta
        for side, levels in ((OrderSide.BUY, entry["bids"]), (OrderSide.SELL, entry["asks"])):
            for level in levels:
                quantity = level["qty"]
                action = BookAction.UPDATE if quantity else BookAction.DELETE
                order = BookOrder(
                    side,
                    Price(level["price"], price_precision),
                    Quantity(quantity, quantity_precision),
                    0,
                )
                apply(OrderBookDelta(instrument, action, order, 0, 0, 0, 0))
        return book.best_bid_price(), book.best_ask_price()

    def best(self, symbol: str) -> tuple[float, float] | None:
        book = self._books[symbol][0]
        bid, ask = book.best_bid_price(), book.best_ask_price()
        return None if bid is None or ask is None else (float(bid), float(ask))

    def wrong_checksums(self) -> None:
        return None


if __name__ == "__main__":
    measure("nautilus_trader", Nautilus)
