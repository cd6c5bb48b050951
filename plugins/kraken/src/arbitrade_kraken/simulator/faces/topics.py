"""The topics of market data: who subscribed to which, and the frame each gets of what happens.

No sockets here: a subscriber is whatever takes frames, so that a client in simulated time gets the
very bytes that a socket would.
"""

from collections import defaultdict
from collections.abc import Hashable
from typing import Protocol

from arbitrade_kraken.simulator.exchange.events import (
    BookChanged,
    ExchangeEvent,
    PairChanged,
    PublicTrade,
)
from arbitrade_kraken.simulator.faces import channels, frames
from arbitrade_kraken.simulator.faces.face import Face

type Topic = tuple[Hashable, ...]
"""The identity of a subscription: ("book", symbol, depth), ("ticker", symbol, trigger), …"""


class Subscriber(Protocol):
    """Who hears what happens in a topic: a socket, as a rule."""

    def deliver(self, frame: bytes, channel: str, symbol: str | None = None) -> None:
        """Take a frame of a channel."""


class MarketTopics:
    """Writes each frame once, however many subscribed to it."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._subscribers: defaultdict[Topic, dict[Subscriber, None]] = defaultdict(dict)
        self._decimals: dict[str, tuple[int, int]] = {}
        self._channels = channels.MarketChannels(face)
        self.frames = 0
        """Frames of market data handed out, counted for each subscriber."""
        face.exchange.listen(self._on_event)

    # ── who subscribed to what ───────────────────────────────────────────────────────────────────

    def add(self, topic: Topic, subscriber: Subscriber) -> None:
        """Send what happens in a topic from now on."""
        self._subscribers[topic][subscriber] = None
        if (watched := _watched(topic)) is not None:
            self._face.exchange.watch(*watched)

    def remove(self, topic: Topic, subscriber: Subscriber) -> None:
        """Undo `add`; nothing if it wasn't."""
        subscribers = self._subscribers.get(topic)
        if not subscribers or subscriber not in subscribers:
            return
        del subscribers[subscriber]
        if not subscribers:
            del self._subscribers[topic]
        if (watched := _watched(topic)) is not None:
            self._face.exchange.unwatch(*watched)

    def snapshot(self, topic: Topic) -> bytes | None:
        """Return what a new subscriber gets first; None where there is no such thing."""
        if topic[0] == "book":
            book = self._face.exchange.book(str(topic[1]), int(str(topic[2])))
            return frames.book_frame(
                "snapshot",
                book.symbol,
                book.bids,
                book.asks,
                self._decimals_of(book.symbol),
                book.checksum,
                self._face.text_of(book.time_ns),
            )
        return self._channels.snapshot(topic)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    def _on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, BookChanged):
            self._on_book(event)
        elif isinstance(event, PublicTrade):
            self._on_trade(event)
        elif isinstance(event, PairChanged):
            self._decimals.pop(event.symbol, None)
            self._tell(("instrument",), self._channels.instrument_update(event.symbol))

    def _on_book(self, event: BookChanged) -> None:
        symbol, depth = event.symbol, event.depth
        subscribers = self._subscribers.get(("book", symbol, depth))
        if subscribers:
            faults = self._face.faults
            if faults.is_quiet or not faults.take("dropped_frame", symbol=symbol, channel="book"):
                frame = frames.book_frame(
                    "update",
                    symbol,
                    event.bids,
                    event.asks,
                    self._decimals_of(symbol),
                    event.checksum,
                    self._face.text_of(event.time_ns),
                )
                self.frames += len(subscribers)
                for subscriber in subscribers:
                    subscriber.deliver(frame, "book", symbol)
        if depth == 10 and (topic := ("ticker", symbol, "bbo")) in self._subscribers:
            frame_or_none = self._channels.best_changed(symbol)
            if frame_or_none is not None:
                self._tell(topic, frame_or_none, symbol)

    def _on_trade(self, trade: PublicTrade) -> None:
        symbol = trade.symbol
        self._channels.count(trade)
        topics: list[Topic] = [("trade", symbol), ("ticker", symbol, "trades")]
        topics += [("ohlc", symbol, minutes) for minutes in channels.INTERVALS]
        for topic in topics:
            if topic in self._subscribers:
                self._tell(topic, self._channels.trade_update(topic, trade), symbol)

    def _tell(self, topic: Topic, frame: bytes, symbol: str | None = None) -> None:
        for subscriber in self._subscribers.get(topic, ()):
            self.frames += 1
            subscriber.deliver(frame, str(topic[0]), symbol)

    def _decimals_of(self, symbol: str) -> tuple[int, int]:
        known = self._decimals.get(symbol)
        if known is None:
            pair = self._face.exchange.pair(symbol)
            known = self._decimals[symbol] = (pair.price_decimals, pair.lot_decimals)
        return known


def _watched(topic: Topic) -> tuple[str, int] | None:
    """Return the book the exchange has to report for a topic."""
    if topic[0] == "book":
        return str(topic[1]), int(str(topic[2]))
    if topic[0] == "ticker" and topic[2] == "bbo":
        return str(topic[1]), 10
    return None
