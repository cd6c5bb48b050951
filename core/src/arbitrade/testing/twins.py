"""Two engines on the same input, the interpreted and the compiled one, and whether they agree.

    twins = Twins(venue, make_detectors)
    for frame in frames:
        twins.on_frame(frame)
    twins.check()

The interpreted engine is the definition.  Everything that can be seen from outside is compared as
text, so that equal numbers with other digits count as different.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from arbitrade.clock import ReplayClock
from arbitrade.engine.assembly import make_engine
from arbitrade.engine.engine import DetectorFactory, Engine
from arbitrade.errors import MessageError
from arbitrade.models import MarketEvent, Opportunity
from arbitrade.protocols import Detector, Venue

ONLY_OF_THE_COMPILED = frozenset({"exact", "left_to_python"})
"""Counters that tell which way a frame was read, not what came of it."""


class Twins:
    """An interpreted engine and the fastest one there is, fed alike.

    Args:
        venue: Whose frames these are.
        make_detectors: Called once for either engine.
        options: Further arguments of `Engine`.
    """

    def __init__(self, venue: Venue, make_detectors: DetectorFactory, **options: Any) -> None:
        self.clock = ReplayClock(1_789_374_097 * 10**9)
        self._logs: tuple[list[str], list[str]] = ([], [])
        self.interpreted = self._made(Engine, 0, venue, make_detectors, options)
        self.compiled = self._made(make_engine, 1, venue, make_detectors, options)
        self.detections = 0
        self.lost: list[str] = []
        """Books the engines asked for anew, for the caller to take out."""

    @property
    def is_compiled(self) -> bool:
        """False where nothing is compiled, and the twins are of one kind."""
        return self.compiled.hot_path == "compiled"

    def take(self, step: bytes | MarketEvent) -> None:
        """Take a frame, or an event that came without one."""
        if isinstance(step, bytes):
            self.on_frame(step)
        else:
            self.each(lambda engine: engine.on_event(step))

    def on_frame(self, frame: bytes) -> None:
        """Have both take a frame, and compare what they said."""
        self.each(lambda engine: engine.on_frame(frame), frame)

    def on_messages(self, frames: Sequence[bytes], stale: bytes = b"") -> None:
        """Have both take frames that lie in one receive buffer as WebSocket messages.

        Args:
            frames: In order.
            stale: What an earlier read left behind the last one.
        """
        self.each(lambda engine: _taken(engine, frames, stale), frames)

    def swap_detectors(self, make: Callable[[Engine], Iterable[Detector]]) -> None:
        """Have both go on with other detectors, made for either."""
        self.each(lambda engine: engine.swap_detectors(make(engine)))

    def each(self, act: Callable[[Engine], object], said_of: object = None) -> None:
        """Do something to both engines; compare what they answered, reported and asked for.

        Raises:
            AssertionError: They differ.
        """
        for engine, log in zip((self.interpreted, self.compiled), self._logs, strict=True):
            engine.position += 1
            try:
                log.append(repr(act(engine)))
            except MessageError as error:
                log.append(f"MessageError: {error}")
        mine, theirs = self._logs
        assert theirs == mine, f"after {_excerpt(said_of)}: compiled {theirs}, interpreted {mine}"
        mine.clear()
        theirs.clear()

    def check(self, symbols: Sequence[str] | None = None) -> None:
        """Compare the books of these pairs, of all by default, and everything counted.

        Raises:
            AssertionError: They differ.
        """
        mine, theirs = self.interpreted, self.compiled
        assert list(theirs.books) == list(mine.books)
        for symbol in mine.books if symbols is None else symbols:
            if symbol in mine.books:
                own, other = list(_seen(mine, symbol)), list(_seen(theirs, symbol))
                assert other == own, f"{symbol}: compiled {other}, interpreted {own}"
        assert theirs.tally() == mine.tally()
        assert _counted(theirs) == _counted(mine)
        assert theirs.episodes.by_key == mine.episodes.by_key
        assert theirs.books_in_sync == mine.books_in_sync

    def _made(
        self,
        make: Callable[..., Engine],
        at: int,
        venue: Venue,
        make_detectors: DetectorFactory,
        options: dict[str, Any],
    ) -> Engine:
        log = self._logs[at]

        def act(opportunities: Sequence[Opportunity], position: int) -> None:
            self.detections += at * len(opportunities)
            log.extend(f"{position}: {opportunity!r}" for opportunity in opportunities)

        def lose(symbol: str) -> None:
            log.append(f"lost {symbol}")
            if at:
                self.lost.append(symbol)

        return make(
            venue,
            make_detectors,
            act,
            clock=self.clock,
            on_out_of_sync=lose,
            on_episode_end=lambda episode: log.append(repr(episode)),
            **options,
        )


def _taken(engine: Engine, frames: Sequence[bytes], stale: bytes) -> list[str]:
    """Feed an engine as a transport does: what it leaves in the buffer goes frame by frame."""
    answers = []
    on_buffer = getattr(engine, "on_buffer", None)
    messages = [_message(frame) for frame in frames]
    buffer, at, index = bytearray(b"".join((*messages, stale))), 0, 0
    end = len(buffer) - len(stale)
    while index < len(frames):
        if on_buffer is not None:
            at, taken = on_buffer(buffer, at, end)
            index += taken
            if index == len(frames):
                break
        try:
            answer = engine.on_frame(frames[index])
            if answer is not None:
                answers.append(repr(answer))
        except MessageError as error:
            answers.append(f"MessageError: {error}")
        at += len(messages[index])
        index += 1
    return answers


def _message(payload: bytes) -> bytes:
    """Return one whole, unmasked text message (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload


def _seen(engine: Engine, symbol: str) -> Iterator[object]:
    book = engine.books[symbol]
    yield from (book.depth, book.state, book.tradable, book.timestamp, book.is_crossed)
    yield from (list(book.bids), list(book.asks), book.best_bid, book.best_ask)
    yield from (book.bids.digits(), book.asks.digits(), repr(book.instrument))
    yield from (book.bids.first(2), book.asks.first(9, 2), book.bids.window, dict(book.asks.levels))
    yield engine.episodes.is_alive(symbol)


def _counted(engine: Engine) -> dict[str, int]:
    return {
        reason: count
        for reason, count in sorted(engine.counters.items())
        if count and reason not in ONLY_OF_THE_COMPILED
    }


def _excerpt(frame: object) -> str:
    text = repr(frame)
    return text if len(text) <= 2_000 else f"{text[:1_000]} … {text[-1_000:]}"
