"""Replays a recording through an engine and sums up what happened."""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal

import attrs

from arbitrade.clock import ReplayClock
from arbitrade.engine.compiled import END, CompiledEngine
from arbitrade.engine.engine import Engine
from arbitrade.errors import MessageError, RecordingError
from arbitrade.models import Episode
from arbitrade.protocols import CycleWatcher
from arbitrade.recording import Line, RecordingReader, read_control

PROGRESS_LINES = 2_000


@attrs.define
class CycleRecord:
    """What became of one cycle over a whole recording.

    Args:
        episodes: How often it lived.
        sightings: Book messages that showed it.
        longest_s: Longest life in seconds; None without timestamps.
        peak_edge_bps: Highest net edge.
        peak_profit: Highest profit, in its start asset.
    """

    key: str
    episodes: int = 0
    sightings: int = 0
    longest_s: float | None = None
    peak_edge_bps: Decimal = Decimal("-Infinity")
    peak_profit: Decimal = Decimal(0)

    def add(self, episode: Episode) -> None:
        """Count one more episode."""
        self.episodes += 1
        self.sightings += episode.sightings
        self.peak_edge_bps = max(self.peak_edge_bps, episode.peak_edge_bps)
        self.peak_profit = max(self.peak_profit, episode.peak_profit)
        if episode.lifetime_s is not None:
            self.longest_s = max(self.longest_s or 0.0, episode.lifetime_s)


@attrs.frozen
class DetectionSummary:
    """What a replay did; `as_json` has the fields of `detect --summary`."""

    frames: int
    book_updates: int
    right: int
    wrong: int
    skipped: int
    resyncs: int
    pairs: int
    cycles: int
    detections: int
    episodes: int
    hot_path: str
    seconds: float
    latency_us: Mapping[str, float | None]
    sizing_us: Mapping[str, float | None]
    counters: Mapping[str, int]
    by_cycle: tuple[CycleRecord, ...]
    torn_line: int | None
    detectors: tuple[str, ...]

    @property
    def frames_per_s(self) -> float:
        """Frames per second from the first frame read to the last result written."""
        return self.frames / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, object]:
        """Return the summary as plain values."""
        return {
            "frames": self.frames,
            "book_updates": self.book_updates,
            "checksums": {"right": self.right, "wrong": self.wrong, "skipped": self.skipped},
            "resyncs": self.resyncs,
            "pairs": self.pairs,
            "cycles": self.cycles,
            "detections": self.detections,
            "episodes": self.episodes,
            "hot_path": self.hot_path,
            "seconds": round(self.seconds, 6),
            "frames_per_s": round(self.frames_per_s, 1),
            "latency_us": dict(self.latency_us),
            "sizing_us": dict(self.sizing_us),
            "counters": dict(self.counters),
            "by_cycle": [
                {
                    "cycle": record.key,
                    "episodes": record.episodes,
                    "sightings": record.sightings,
                    "longest_s": record.longest_s,
                    "peak_edge_bps": float(record.peak_edge_bps),
                    "peak_profit": float(record.peak_profit),
                }
                for record in self.by_cycle
            ],
            "torn_line": self.torn_line,
            "detectors": list(self.detectors),
        }


class CycleRecords:
    """What became of each cycle; `add` is the engine's `on_episode_end`."""

    def __init__(self) -> None:
        self._by_key: dict[str, CycleRecord] = {}

    def add(self, episode: Episode) -> None:
        """Count an episode that is over."""
        record = self._by_key.get(episode.key)
        if record is None:
            record = self._by_key[episode.key] = CycleRecord(episode.key)
        record.add(episode)

    def most_seen_first(self) -> list[CycleRecord]:
        """Return all of them; those seen as often, in the order of their keys."""
        return sorted(self._by_key.values(), key=lambda r: (-r.sightings, r.key))


class Detection:
    """One pass of a recording through an engine.

    Args:
        engine: Fresh; its instruments may be known already.
        clock: The engine's clock, moved by the envelopes' times.
        records: Those the engine's episodes are counted in.
    """

    def __init__(self, engine: Engine, clock: ReplayClock, records: CycleRecords) -> None:
        self._engine = engine
        self._clock = clock
        self._records = records
        self._started: float | None = None
        self.frames = 0

    def run(self, reader: RecordingReader, on_progress: Callable[[], None] | None = None) -> None:
        """Take every line.

        Args:
            reader: The recording.
            on_progress: Called every 2,000 lines.

        Raises:
            RecordingError: A line can't be read or decoded; names file, line and reason.
        """
        self._started = time.perf_counter()
        if isinstance(self._engine, CompiledEngine):
            self._run_compiled(self._engine, reader, on_progress)
        else:
            self._run_interpreted(reader, on_progress)
        if not self._frames_taken():
            raise RecordingError(reader.path, None, "there is not one frame in it")
        if self._engine.instruments is None:
            raise RecordingError(
                reader.path, None, "no instruments in it; name them with --instruments FILE"
            )
        self._engine.episodes.close()

    def summary(self, reader: RecordingReader) -> DetectionSummary:
        """Return what happened; call it when the last result is written."""
        seconds = 0.0 if self._started is None else time.perf_counter() - self._started
        engine, tally = self._engine, self._engine.tally()
        records = self._records.most_seen_first()
        return DetectionSummary(
            frames=self._frames_taken(),
            book_updates=tally.book_updates,
            right=tally.right,
            wrong=tally.wrong,
            skipped=tally.skipped,
            resyncs=tally.resyncs,
            pairs=len(engine.books),
            cycles=sum(d.cycle_count for d in engine.detectors if isinstance(d, CycleWatcher)),
            detections=tally.detections,
            episodes=engine.episodes.begun,
            hot_path=engine.hot_path,
            seconds=seconds,
            latency_us=engine.durations().summary(),
            sizing_us=engine.sizing_durations().summary(),
            counters=engine.counters,
            by_cycle=tuple(records),
            torn_line=reader.torn,
            detectors=tuple(detector.name for detector in engine.detectors),
        )

    def _run_interpreted(
        self, reader: RecordingReader, on_progress: Callable[[], None] | None
    ) -> None:
        for line in reader:
            if not self._take_or_explain(reader, line):
                break
            if on_progress is not None and not line.number % PROGRESS_LINES:
                on_progress()

    def _run_compiled(
        self,
        engine: CompiledEngine,
        reader: RecordingReader,
        on_progress: Callable[[], None] | None,
    ) -> None:
        """Let the loop take lines many at a time; take those it leaves to us one by one."""
        loop = engine.loop
        for chunk in reader.chunks():
            at, end = 0, len(chunk)
            while at < end:
                loop.time_ns = reader.newest_ns
                try:
                    code = engine.feed(chunk, at, self._clock.move_to)
                except MessageError as error:
                    raise RecordingError(reader.path, loop.lines, str(error)) from error
                reader.newest_ns = loop.time_ns
                if code == END:
                    at = loop.line_end
                    if at < end:
                        # The last line of all, without its line break.
                        loop.lines += 1
                        self._take_text(reader, loop.lines, chunk[at:])
                    break
                at = loop.line_end
                if not self._take_text(reader, loop.lines, chunk[loop.line_begin : at]):
                    return
            if on_progress is not None:
                on_progress()
        reader.finish(loop.lines)

    def _take_text(self, reader: RecordingReader, number: int, text: bytes) -> bool:
        line = reader.parse(number, text)
        return line is None or self._take_or_explain(reader, line)

    def _take_or_explain(self, reader: RecordingReader, line: Line) -> bool:
        """Take a line; return False if it is the last one and torn."""
        before = self.frames
        try:
            self._take(line)
        except MessageError as error:
            if reader.is_torn(line):
                self.frames = before
                return False
            raise RecordingError(reader.path, line.number, str(error)) from error
        return True

    def _take(self, line: Line) -> None:
        engine, envelope = self._engine, line.envelope
        engine.position = line.number
        if envelope is not None:
            self._clock.move_to(envelope.time_ns)
            if envelope.source == "control":
                event = read_control(line.frame)
                if event is not None:
                    engine.on_event(event)
                return
            if envelope.source != "public" or not envelope.is_received:
                return
        # Counted first, as the compiled loop does: one that ends the replay was taken too.
        self.frames += 1
        engine.on_frame(line.frame)
        if engine.instruments is None and engine.counters.get("unknown_pair"):
            raise MessageError("a book before any instruments; name them with --instruments FILE")

    def _frames_taken(self) -> int:
        engine = self._engine
        return self.frames + (engine.loop.frames if isinstance(engine, CompiledEngine) else 0)
