"""The public side of a `FastVenue`: the frames a server would send to one subscriber."""

from collections.abc import Sequence

from arbitrade.models import ConnectionLost
from arbitrade_kraken.simulator.exchange.events import EngineChanged, ExchangeEvent
from arbitrade_kraken.simulator.exchange.exchange import Exchange
from arbitrade_kraken.simulator.faces import frames
from arbitrade_kraken.simulator.faces.face import Face
from arbitrade_kraken.simulator.faces.topics import MarketTopics, Topic
from arbitrade_kraken.simulator.faces.wire import Message, success
from arbitrade_kraken.simulator.fast.chance import Chance
from arbitrade_kraken.simulator.fast.events import FastFaults, FastLatency
from arbitrade_kraken.simulator.fast.queue import FastQueue, Lane, around

_INSTRUMENT: Topic = ("instrument",)
_CONNECTION_ID = 1 << 63
_MS_US = 1_000


class FastMarket:
    """Lets the market move and sends what a subscriber of some books hears of it.

    Args:
        symbols: Books subscribed to.
        depth: Of all of them.
        rate: Moves of the market a second; 0 for a market that moves only by orders.
    """

    def __init__(
        self,
        exchange: Exchange,
        face: Face,
        queue: FastQueue,
        chance: Chance,
        faults: FastFaults,
        latency: FastLatency,
        symbols: Sequence[str],
        depth: int,
        rate: float,
    ) -> None:
        self._exchange = exchange
        self._face = face
        self._queue = queue
        self._chance = chance
        self._faults = faults
        self._latency = latency
        self._market = MarketTopics(face)
        self._lane = Lane(latency.feed_us)
        self._topics: dict[str, Topic] = {name: ("book", name, depth) for name in symbols}
        self._depth = depth
        self._step_ns = int(1e9 / rate) if rate else 0
        self.steps = 0
        """How often the market has moved so far."""
        exchange.listen(self._on_event)

    def open(self) -> None:
        """Subscribe to everything, and set the market in motion."""
        self._subscribe()
        if self._step_ns:
            self._queue.at(self._queue.now_ns + self._step_ns, self._step)
        if self._faults.public_gap_s:
            self._queue.after(around(self._faults.public_gap_s), self.lose)

    def resync(self, symbol: str) -> None:
        """Ask for a fresh snapshot of one book."""
        self._queue.after(self._latency.request_us, lambda: self._renew(symbol))

    def deliver(self, frame: bytes, channel: str, symbol: str | None = None) -> None:
        """Take a frame of a topic that is subscribed to."""
        self._queue.send(self._lane, frame)

    def _on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, EngineChanged):
            self._queue.send(self._lane, frames.status_frame(event.state, _CONNECTION_ID))

    def _step(self) -> None:
        faults, chance = self._faults, self._chance
        if chance.happens(faults.corrupted):
            self._exchange.faults.inject("corrupt_checksum")
        if chance.happens(faults.dropped):
            self._exchange.faults.inject("dropped_frame")
        if self._exchange.is_over:
            return
        self._exchange.step()
        self.steps += 1
        self._queue.at(self._queue.now_ns + self._step_ns, self._step)

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    def lose(self) -> None:
        """Lose the connection; it comes back after `FastFaults.gap_ms`."""
        self._lane.cut()
        for topic in (_INSTRUMENT, *self._topics.values()):
            self._market.remove(topic, self)
        reason = "the connection was lost (simulated)"
        self._queue.tell(ConnectionLost(tuple(self._topics), reason))
        shortest, longest = self._faults.gap_ms
        self._queue.after((shortest * _MS_US, longest * _MS_US), self._come_back)

    def _come_back(self) -> None:
        self._lane.restore()
        self._subscribe()
        if self._faults.public_gap_s:
            self._queue.after(around(self._faults.public_gap_s), self.lose)

    def _subscribe(self) -> None:
        state = self._exchange.engine_state
        self._queue.send(self._lane, frames.status_frame(state, _CONNECTION_ID))
        self._answer("subscribe", {"channel": "instrument", "snapshot": True})
        self._begin(_INSTRUMENT)
        for symbol, topic in self._topics.items():
            self._answer("subscribe", self._book(symbol) | {"snapshot": True})
            self._begin(topic)

    def _renew(self, symbol: str) -> None:
        topic = self._topics[symbol]
        if not self._lane.is_up:
            return  # A snapshot comes with the next connection.
        self._market.remove(topic, self)
        self._answer("unsubscribe", self._book(symbol))
        self._answer("subscribe", self._book(symbol) | {"snapshot": True})
        self._begin(topic)

    def _begin(self, topic: Topic) -> None:
        self._market.add(topic, self)
        frame = self._market.snapshot(topic)
        if frame is not None:
            self._queue.send(self._lane, frame)

    def _book(self, symbol: str) -> dict[str, object]:
        return {"channel": "book", "depth": self._depth, "symbol": symbol}

    def _answer(self, method: str, result: dict[str, object]) -> None:
        request: Message = {"method": method}
        now = self._face.time()
        self._queue.send(self._lane, success(request, result, now, now))
