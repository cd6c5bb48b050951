"""What every venue's live feed has to keep to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress

import pytest

from arbitrade.engine.assembly import make_engine
from arbitrade.models import (
    BookDelta,
    Instruments,
    MarketEvent,
)
from arbitrade.protocols import (
    Feed,
    Venue,
)
from arbitrade.testing.patience import PATIENCE_S


class LiveVenueContract:
    """What every venue's feed must do against something that answers, such as a simulator.

    A subclass brings one fixture: `live_venue`, whose feed reaches at least three pairs that trade.
    """

    @pytest.fixture
    async def live_venue(self) -> Venue:
        """Return the venue under test, with somebody to answer it."""
        raise NotImplementedError("the subclass brings a fixture `live_venue`")

    async def test_feed_brings_the_books_that_were_chosen_into_sync(
        self, live_venue: Venue
    ) -> None:
        """Instruments first, then each book by a snapshot, and every checksum is right."""
        async with _watching(live_venue) as watch:
            await watch.until(watch.is_synced)
            await watch.until(lambda: watch.engine.tally().book_updates > 2 * len(watch.chosen))
        assert watch.engine.instruments is not None
        assert set(watch.engine.books) == set(watch.chosen)
        assert watch.engine.tally().wrong == 0

    async def test_resync_brings_a_fresh_snapshot_of_that_book_alone(
        self, live_venue: Venue
    ) -> None:
        """The other books go on as they are."""
        async with _watching(live_venue) as watch:
            await watch.until(watch.is_synced)
            before = Counter(watch.snapshots)
            watch.feed.resync(watch.chosen[0])
            await watch.until(lambda: watch.snapshots[watch.chosen[0]] > before[watch.chosen[0]])
            await watch.until(watch.is_synced)
        fresh = Counter(watch.snapshots) - before
        assert dict(fresh) == {watch.chosen[0]: 1}

    async def test_what_is_sent_and_received_is_told_with_its_connection(
        self, live_venue: Venue
    ) -> None:
        """A recording of it replays: requests and frames come in the order they went."""
        async with _watching(live_venue) as watch:
            await watch.until(watch.is_synced)
        assert watch.sent
        assert watch.connections == set(range(len(watch.connections)))

    async def test_statistics_count(self, live_venue: Venue) -> None:
        """An operator sees by them that it is alive."""
        async with _watching(live_venue) as watch:
            await watch.until(watch.is_synced)
            assert all(isinstance(count, int) for count in watch.feed.statistics().values())
            assert watch.feed.statistics()


class _Watch:
    """A feed's handler over a real engine, that can be waited on."""

    def __init__(self, venue: Venue, pairs: int) -> None:
        self.engine = make_engine(
            venue,
            lambda _: (),
            lambda *_: None,
            on_out_of_sync=lambda symbol: self.feed.resync(symbol),
        )
        self.chosen: tuple[str, ...] = ()
        self.snapshots: Counter[str] = Counter()
        self.connections: set[int] = set()
        self.sent: list[bytes] = []
        self._pairs = pairs
        self._decoder = venue.make_decoder()
        self._news = asyncio.Event()
        self.feed: Feed = venue.make_feed(self._choose, self)

    def _choose(self, instruments: Instruments) -> Collection[str]:
        self.chosen = tuple(pair.symbol for pair in instruments.online()[: self._pairs])
        return self.chosen

    def is_synced(self) -> bool:
        return bool(self.chosen) and self.engine.books_in_sync == len(self.chosen)

    def on_frame(self, connection: int, frame: bytes) -> MarketEvent | None:
        self.connections.add(connection)
        event = self._decoder.decode(frame)
        if isinstance(event, BookDelta) and event.is_snapshot:
            self.snapshots[event.symbol] += 1
        self._news.set()
        return self.engine.on_frame(frame)

    def on_sent(self, connection: int, frame: bytes) -> None:
        self.sent.append(frame)

    def on_event(self, connection: int, event: MarketEvent) -> None:
        self.engine.on_event(event)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def _watching(venue: Venue, pairs: int = 3) -> AsyncIterator[_Watch]:
    watch = _Watch(venue, pairs)
    task = asyncio.create_task(watch.feed.run())
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
