"""The market channels beside the book: instrument, ticker, trade, ohlc."""

from collections import defaultdict
from collections.abc import Hashable
from decimal import Decimal

from arbitrade_kraken.simulator.exchange.events import PublicTrade
from arbitrade_kraken.simulator.exchange.listed import PairFacts
from arbitrade_kraken.simulator.faces import rows
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.frames import channel_frame, units
from arbitrade_kraken.simulator.faces.statistics import (
    INTERVALS,
    Candle,
    DayStatistics,
    candles,
)
from arbitrade_kraken.simulator.faces.wire import dumps, fixed

__all__ = ["INTERVALS", "MarketChannels", "warnings"]

_MINUTE_NS = 60_000_000_000
_KEPT_TRADES = 1000


def warnings(channel: str) -> dict[str, object]:
    """Return the deprecation a channel's acknowledgement carries."""
    if channel == "instrument":
        return {"warnings": ["tick_size is deprecated, use price_increment"]}
    if channel == "ohlc":
        return {"warnings": ["timestamp is deprecated, use interval_begin"]}
    return {}


class MarketChannels:
    """Writes the frames of these channels, and counts what they need."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._days: defaultdict[str, DayStatistics] = defaultdict(DayStatistics)
        self._best: dict[str, tuple[object, ...]] = {}

    def count(self, trade: PublicTrade) -> None:
        """Take note of a trade."""
        self._days[trade.symbol].add(trade)

    def snapshot(self, topic: tuple[Hashable, ...]) -> bytes | None:
        """Return what a new subscriber gets first."""
        exchange = self._face.exchange
        if topic[0] == "instrument":
            data = {
                "assets": [rows.asset_row(asset) for asset in exchange.assets()],
                "pairs": [rows.pair_row(pair) for pair in exchange.pairs()],
            }
            return channel_frame("instrument", "snapshot", data)
        symbol = str(topic[1])
        if topic[0] == "ticker":
            return self._ticker(symbol, "snapshot")
        trades = exchange.public_trades(symbol, _KEPT_TRADES)
        if topic[0] == "trade":
            return channel_frame("trade", "snapshot", [self._trade_row(t) for t in trades[-50:]])
        minutes = int(str(topic[2]))
        return self._ohlc("snapshot", symbol, candles(trades, minutes), minutes)

    def instrument_update(self, symbol: str) -> bytes:
        """Return the complete row of a pair that changed."""
        row = rows.pair_row(self._face.exchange.pair(symbol))
        return channel_frame("instrument", "update", {"assets": [], "pairs": [row]})

    def best_changed(self, symbol: str) -> bytes | None:
        """Return a ticker if the best bid or ask is not what it was."""
        book = self._face.exchange.book(symbol, 1)
        best = (*book.bids, *book.asks)
        if self._best.get(symbol) == best:
            return None
        self._best[symbol] = best
        return self._ticker(symbol, "update")

    def trade_update(self, topic: tuple[Hashable, ...], trade: PublicTrade) -> bytes:
        """Return what a trade changes in a channel."""
        symbol = trade.symbol
        if topic[0] == "trade":
            return channel_frame("trade", "update", [self._trade_row(trade)])
        if topic[0] == "ticker":
            return self._ticker(symbol, "update")
        minutes = int(str(topic[2]))
        trades = self._face.exchange.public_trades(symbol, _KEPT_TRADES)
        return self._ohlc("update", symbol, candles(trades, minutes)[-1:], minutes)

    def _ticker(self, symbol: str, kind: str) -> bytes:
        exchange = self._face.exchange
        pair, book, day = exchange.pair(symbol), exchange.book(symbol, 1), self._days[symbol]
        bid, bid_quantity = _best(book.bids, pair)
        ask, ask_quantity = _best(book.asks, pair)
        day.begin_at(bid or ask)
        change = day.last - day.open
        percent = change / day.open * 100 if day.open else Decimal(0)
        prices, lots = pair.price_decimals, pair.lot_decimals
        row = {
            "symbol": symbol,
            "bid": bid,
            "bid_qty": bid_quantity,
            "ask": ask,
            "ask_qty": ask_quantity,
            "last": fixed(day.last, prices),
            "volume": fixed(day.volume, lots),
            "vwap": fixed(day.vwap, prices),
            "low": fixed(day.low, prices),
            "high": fixed(day.high, prices),
            "change": fixed(change, prices),
            "change_pct": fixed(percent, 2),
            "trades": day.trades,
            "timestamp": self._face.time(),
        }
        return channel_frame("ticker", kind, [row])

    def _trade_row(self, trade: PublicTrade) -> dict[str, object]:
        pair = self._face.exchange.pair(trade.symbol)
        return {
            "symbol": trade.symbol,
            "side": trade.side.value,
            "price": fixed(trade.price, pair.price_decimals),
            "qty": fixed(trade.quantity, pair.lot_decimals),
            "ord_type": trade.order_type,
            "trade_id": trade.trade_id,
            "timestamp": self._face.text_of(trade.time_ns),
        }

    def _ohlc(self, kind: str, symbol: str, found: list[Candle], minutes: int) -> bytes:
        pair = self._face.exchange.pair(symbol)
        prices, lots = pair.price_decimals, pair.lot_decimals
        data = [
            {
                "symbol": symbol,
                "open": fixed(candle.open, prices),
                "high": fixed(candle.high, prices),
                "low": fixed(candle.low, prices),
                "close": fixed(candle.close, prices),
                "vwap": fixed(candle.vwap, prices),
                "trades": candle.trades,
                "volume": fixed(candle.volume, lots),
                "interval_begin": self._face.text_of(candle.begin_ns)[:-1] + "000Z",
                "interval": minutes,
                "timestamp": self._face.text_of(candle.begin_ns + minutes * _MINUTE_NS),
            }
            for candle in found
        ]
        envelope = {"channel": "ohlc", "type": kind, "timestamp": self._face.time()}
        return dumps(envelope | {"data": data})


def _best(levels: object, pair: PairFacts) -> tuple[Decimal, Decimal]:
    if not isinstance(levels, (list, tuple)) or not levels:
        return units(0, pair.price_decimals), units(0, pair.lot_decimals)
    ticks, lots = levels[0]
    return units(ticks, pair.price_decimals), units(lots, pair.lot_decimals)
