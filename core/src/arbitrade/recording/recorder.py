"""Between a feed and a recording: keeps the books, so that each part can begin with them."""

from collections.abc import Callable

from arbitrade.book import BookState
from arbitrade.engine.engine import Engine
from arbitrade.errors import RecordingError
from arbitrade.models import (
    ConnectionLost,
    MarketEvent,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.protocols import Venue
from arbitrade.recording.control import write_control
from arbitrade.recording.writer import RecordingWriter


class Recorder:
    """A `FeedHandler` that writes what the engine took, in the order it took it.

    Args:
        venue: Writes the frames a part begins with.
        engine: Keeps the books.
        writer: Writes the lines.
        on_failure: Called once when the recording can't be written any more; nothing is taken from
            then on, because books without a recording are of no use here.
        on_lost: Called with each lost connection.
    """

    def __init__(
        self,
        venue: Venue,
        engine: Engine,
        writer: RecordingWriter,
        on_failure: Callable[[RecordingError], None],
        on_lost: Callable[[int, ConnectionLost], None],
    ) -> None:
        self._venue = venue
        self._engine = engine
        self._writer = writer
        self._on_failure = on_failure
        self._on_lost = on_lost
        self._has_failed = False
        self._subscribed: dict[str, tuple[int, int]] = {}
        """Connection and depth by pair."""
        self._state = VenueState.ONLINE
        self.frames = 0

    def on_frame(self, connection: int, frame: bytes) -> MarketEvent | None:
        """Take one frame; a frame the engine can't read is not recorded.

        Raises:
            MessageError: The frame can't be understood.
        """
        if self._has_failed:
            return None
        self._begin_part_if_due()
        event = self._engine.on_frame(frame)
        self._write(frame, connection=connection)
        self.frames += 1
        if isinstance(event, Subscribed):
            self._subscribed[event.symbol] = connection, event.depth
        elif isinstance(event, Unsubscribed):
            self._subscribed.pop(event.symbol, None)
        elif isinstance(event, VenueStateChanged):
            self._state = event.state
        return event

    def on_sent(self, connection: int, frame: bytes) -> None:
        """Record a request of ours."""
        self._begin_part_if_due()
        self._write(frame, connection=connection, received=False)

    def on_event(self, connection: int, event: MarketEvent) -> None:
        """Record what no frame said."""
        self._begin_part_if_due()
        self._engine.on_event(event)
        if isinstance(event, ConnectionLost):
            self._write(write_control(event), source="control", connection=connection)
            self._on_lost(connection, event)

    def flush(self) -> None:
        """Hand what is held back to the operating system, when its time has come."""
        if self._has_failed:
            return
        try:
            self._writer.flush_if_due()
        except RecordingError as error:
            self._fail(error)

    def _write(
        self, frame: bytes, *, source: str = "public", connection: int = 0, received: bool = True
    ) -> None:
        if self._has_failed:
            return
        try:
            self._writer.write(frame, source=source, connection=connection, received=received)
        except RecordingError as error:
            self._fail(error)

    def _fail(self, error: RecordingError) -> None:
        self._has_failed = True
        self._on_failure(error)

    def _begin_part_if_due(self) -> None:
        if self._has_failed or not self._writer.is_due:
            return
        try:
            self._writer.open_part()
        except RecordingError as error:
            self._fail(error)
            return
        self._write_beginning()

    def _write_beginning(self) -> None:
        """Write what the rest of the part needs: instruments, subscriptions, books in sync."""
        instruments = self._engine.instruments
        if instruments is None:
            return
        venue = self._venue
        self._write(venue.encode_instruments(instruments))
        if self._state is not VenueState.ONLINE:
            self._write(venue.encode_state(self._state))
        books = self._engine.books
        for symbol, (connection, depth) in self._subscribed.items():
            if symbol not in books:
                # Its snapshot comes in this part, and may hold fewer levels than were asked for.
                self._write(venue.encode_subscribed(symbol, depth), connection=connection)
        for symbol, book in books.items():
            connection, _ = self._subscribed.get(symbol, (0, 0))
            self._write(venue.encode_subscribed(symbol, book.depth), connection=connection)
            if book.state is BookState.SYNCED:
                snapshot = venue.encode_snapshot(book, book.timestamp)
                self._write(snapshot, connection=connection)
