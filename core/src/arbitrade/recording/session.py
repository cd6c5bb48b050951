"""One run of `arbitrade record`: a feed, a recording, and everything beside them."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import attrs
import structlog

from arbitrade.alerts.dispatch import Alerts
from arbitrade.api import Status, View
from arbitrade.book import BookState
from arbitrade.engine.assembly import make_engine
from arbitrade.errors import ArbitradeError, RecordingError
from arbitrade.models import Alert, ConnectionLost, Instruments, Opportunity, Severity
from arbitrade.process.tasks import first_of, guarded, stopped_or_after
from arbitrade.protocols import AlertSink, Detector, Feed, Service, Venue
from arbitrade.recording.recorder import Recorder
from arbitrade.recording.writer import RecordingWriter

log = structlog.stdlib.get_logger(__name__)

_FLUSH_S = 0.25
_DRAIN_S = 5.0


@attrs.frozen
class RecordReport:
    """What a recording session did, or has done so far.

    Args:
        seconds: Since it began.
        frames: Frames received and recorded.
        lines: Lines written, requests and control lines included.
        megabytes: Written, before compression.
        parts: Files begun.
        path: The file being written, or the last one.
        books: Books subscribed.
        books_in_sync: Of those, the ones that can be trusted now.
        right: Book messages whose checksum was right.
        wrong: Book messages whose checksum was not.
        lost_connections: How often a connection was lost.
    """

    seconds: float
    frames: int
    lines: int
    megabytes: float
    parts: int
    path: str
    books: int
    books_in_sync: int
    right: int
    wrong: int
    lost_connections: int


class RecordSession:
    """Records until stopped.

    Args:
        venue: Whose market data.
        writer: Where it goes.
        choose: Picks the pairs once the instruments are known.
        sinks: Who is told when something is lost.
        plugins: Names and states of the plugins, for the view.
        max_crossed_s: A book crossed for longer is asked for anew.
    """

    def __init__(
        self,
        venue: Venue,
        writer: RecordingWriter,
        choose: Callable[[Instruments], Collection[str]],
        *,
        sinks: Sequence[AlertSink] = (),
        plugins: Callable[[], dict[str, str]] = dict,
        max_crossed_s: float | None = 5.0,
    ) -> None:
        self._venue = venue
        self._writer = writer
        self._alerts = Alerts(sinks)
        self._plugins = plugins
        self._engine = make_engine(
            venue,
            _no_detectors,
            _no_act,
            max_crossed_s=max_crossed_s,
            on_out_of_sync=lambda symbol: self._feed.resync(symbol),
        )
        self._recorder = Recorder(venue, self._engine, writer, self._on_failure, self._on_lost)
        self._feed: Feed = venue.make_feed(choose, self._recorder)
        self._stop = asyncio.Event()
        self._failure: RecordingError | None = None
        self._started_at = datetime.now(UTC)
        self._started_s = asyncio.get_running_loop().time()
        self._lost = 0

    @property
    def view(self) -> View:
        """What services may see: this session, by `status` alone."""
        return self

    def stop(self) -> None:
        """Have `run` end in good order; it returns a moment later."""
        self._stop.set()

    async def run(
        self,
        services: Sequence[Service] = (),
        *,
        seconds: float | None = None,
        on_progress: Callable[[RecordReport], None] | None = None,
        progress_s: float = 1.0,
    ) -> RecordReport:
        """Record until `stop`, for `seconds` if given; return what was done.

        Raises:
            RecordingError: The recording can't be written; what was written is whole.
            VenueUnavailableError: The venue refuses for good.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._feed.run(), name="feed"),
                    group.create_task(self._alerts.run(), name="alerts"),
                    group.create_task(self._flush(), name="flush"),
                    group.create_task(self._report(on_progress, progress_s), name="progress"),
                    *(group.create_task(guarded(s), name=f"service {s.name}") for s in services),
                ]
                await stopped_or_after(self._stop, seconds)
                await self._alerts.drain(_DRAIN_S)
                for task in tasks:
                    task.cancel()
        except* ArbitradeError as group_error:
            raise first_of(group_error) from None
        finally:
            self._writer.close()
        if self._failure is not None:
            raise self._failure
        return self.report()

    def report(self) -> RecordReport:
        """Return what was done so far."""
        engine, writer, tally = self._engine, self._writer, self._engine.tally()
        return RecordReport(
            seconds=asyncio.get_running_loop().time() - self._started_s,
            frames=self._recorder.frames,
            lines=writer.lines,
            megabytes=writer.total_bytes / 1e6,
            parts=writer.parts,
            path="" if writer.path is None else str(writer.path),
            books=len(engine.books),
            books_in_sync=engine.books_in_sync,
            right=tally.right,
            wrong=tally.wrong,
            lost_connections=self._lost,
        )

    def status(self) -> Status:
        """Return the state of things for services."""
        engine = self._engine
        feed = {f"feed.{name}": count for name, count in self._feed.statistics().items()}
        counted = {f"engine.{name}": count for name, count in engine.counters.items()}
        return Status(
            command="record",
            started_at=self._started_at.isoformat(),
            is_ready=any(book.state is BookState.SYNCED for book in engine.books.values()),
            books_in_sync=engine.books_in_sync,
            books=len(engine.books),
            counters={
                "recording.frames": self._recorder.frames,
                "recording.lines": self._writer.lines,
                "recording.bytes": self._writer.total_bytes,
                "recording.parts": self._writer.parts,
                "checksums.right": engine.tally().right,
                "checksums.wrong": engine.tally().wrong,
                "alerts.dropped": self._alerts.dropped,
                "alerts.failed": self._alerts.failed,
                **feed,
                **counted,
            },
            plugins=self._plugins(),
        )

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self._recorder.flush()

    async def _report(
        self, on_progress: Callable[[RecordReport], None] | None, every_s: float
    ) -> None:
        while on_progress is not None:
            await asyncio.sleep(every_s)
            on_progress(self.report())

    def _on_failure(self, error: RecordingError) -> None:
        self._failure = error
        self._alerts.raise_alert(
            Alert(Severity.CRITICAL, "recording stopped", str(error), subject=error.path)
        )
        self._stop.set()

    def _on_lost(self, connection: int, event: ConnectionLost) -> None:
        self._lost += 1
        self._alerts.raise_alert(
            Alert(
                Severity.WARNING,
                f"{self._venue.name}: connection {connection} lost",
                f"{event.reason}. Its books are void until it is back; reconnecting.",
                subject=f"{self._venue.name}/{connection}",
            )
        )


def _no_detectors(instruments: Instruments) -> tuple[Detector, ...]:
    return ()


def _no_act(opportunities: Sequence[Opportunity], position: int) -> None:
    """Nothing is detected while recording."""
