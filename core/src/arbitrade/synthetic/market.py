"""The market itself: which frame comes next, and what the venue holds after it."""

from collections import Counter
from collections.abc import Iterator

from arbitrade.models import Instruments, Level
from arbitrade.synthetic import frames as text
from arbitrade.synthetic.conditions import Mishaps
from arbitrade.synthetic.edges import EdgeMaker
from arbitrade.synthetic.ladder import VenueBook
from arbitrade.synthetic.settings import MarketSettings
from arbitrade.synthetic.stage import Stage


class SyntheticMarket:
    """A venue of our own making that speaks as Kraken does.

    `frames` may be called again: it starts the same market from its beginning.

    Args:
        settings: What kind of market.
    """

    def __init__(self, settings: MarketSettings | None = None) -> None:
        self.settings = settings if settings is not None else MarketSettings()
        self._stage = Stage(self.settings)

    # ── for those who check ──────────────────────────────────────────────────────────────────────

    @property
    def counters(self) -> Counter[str]:
        """How often each kind of thing was done, faults included."""
        return self._stage.counters

    @property
    def instruments(self) -> Instruments:
        """The pairs as they are now: statuses and precisions change while the market runs."""
        return self._stage.instruments

    def levels(self, symbol: str) -> tuple[list[Level], list[Level]]:
        """Return the venue's true (bids, asks) down to the depth, best first."""
        book, depth = self._stage.books[symbol], self.settings.depth
        return book.bids.levels(depth), book.asks.levels(depth)

    def is_disturbed(self, symbol: str) -> bool:
        """True when the frames so far can't have given a subscriber this pair's true book."""
        book = self._stage.books[symbol]
        return book.resync_due or not book.is_listening

    # ── frames ───────────────────────────────────────────────────────────────────────────────────

    def frames(self) -> Iterator[bytes]:
        """Yield the opening, then `settings.frames` frames.  About 30 µs each."""
        stage = self._stage = Stage(self.settings)
        yield from self._opening()
        # After the opening, because what they schedule counts from the frames that follow it.
        EdgeMaker(stage).start()
        Mishaps(stage).start()
        for _ in range(self.settings.frames):
            yield self._next()

    def _opening(self) -> Iterator[bytes]:
        stage = self._stage
        yield from stage.greeting()
        for book in stage.books.values():
            yield stage.snapshot(book)
            # The venue doesn't wait with updates until the last snapshot is out.
            if stage.rng.random() < 0.1:
                yield self._update(stage.choose_listening())

    def _next(self) -> bytes:
        """Return the next frame: what waits in line, else what is due, else a book that moved."""
        stage = self._stage
        stage.count_frame()
        while (frame := stage.take()) is None:
            if stage.act_if_due():
                continue
            if stage.is_heartbeat_due():
                stage.counters["heartbeats"] += 1
                return text.HEARTBEAT
            return self._update(stage.choose_listening())
        return frame

    def _update(self, book: VenueBook) -> bytes:
        """Move one book and return the frame that tells."""
        layout, trimming = text.COMPACT, ""
        settings, stage, rng = self.settings, self._stage, self._stage.rng
        stage.motion.step(book)
        odd = rng.random()
        if odd < settings.trimmed_share:
            trimming = "exponent" if rng.random() < 0.2 else "zeros"
            stage.counters["trimmed"] += 1
        if odd > 1 - settings.reordered_share:
            layout = text.ODD_LAYOUTS[int(rng.random() * len(text.ODD_LAYOUTS))]
            stage.counters["reordered"] += 1
        entries = stage.entry_after(book, layout, trimming)
        if settings.batched_share and rng.random() < settings.batched_share:
            other = stage.choose_listening()
            stage.motion.step(other)
            entries += layout.comma + stage.entry_after(other, layout, trimming)
            stage.counters["batched"] += 1
        return layout.frame.format(kind="update", entries=entries).encode()
