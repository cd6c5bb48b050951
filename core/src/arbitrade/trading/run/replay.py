"""Replays a run's recording through the same machine, and compares every decision.

Everything the machine was told is on the recording, with the time it was told at: frames, answers,
fills, timers, commands.  So it decides the same, or something is different that should not be:
another version, a plugin with a clock of its own, a rule that throws dice.
"""

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import orjson

from arbitrade.clock import ReplayClock
from arbitrade.config import Settings
from arbitrade.config.load import load_settings
from arbitrade.errors import ArbitradeError, MessageError, RecordingError
from arbitrade.models import Mode
from arbitrade.plugins import PluginRegistry
from arbitrade.plugins.quarantine import Quarantine
from arbitrade.recording import Line, RecordingReader, read_control
from arbitrade.records import Record
from arbitrade.trading.machine.events import (
    Commanded,
    Decided,
    RunBegan,
    RunEnding,
    TradingEvent,
    read_event,
)
from arbitrade.trading.run.hands import PaperHands, RecordedHands, choose_hands
from arbitrade.trading.run.rig import Effects, Rig

PROGRESS_LINES = 2_000
_STOPPING = "stopping"
"""By which recordings made before there was `RunEnding` say that the run ends."""


@attrs.frozen
class Divergence:
    """The first decision that came out differently; None where one side decided nothing more."""

    number: int
    line: int
    recorded: Decided | None
    replayed: Decided | None


@attrs.frozen
class Verdict:
    """What a replay found.

    Args:
        run: Id of the run.
        frames: Frames of the market replayed.
        decisions: Made by the replay.
        decision_hash: Of the replay.
        recorded_hash: Of the last decision on the recording.
        divergence: Where they part; None when all are the same.
        is_complete: False when the recording ends in the middle of the run.
    """

    run: str
    frames: int
    decisions: int
    decision_hash: str
    recorded_hash: str
    divergence: Divergence | None
    is_complete: bool
    cycles: Mapping[str, int]

    @property
    def is_same(self) -> bool:
        """True when every decision on the recording was made again, and no other."""
        return self.divergence is None


class Replay:
    """One replay of a run.

    Args:
        reader: The recording.
        registry: Fresh; it is configured as the run's was.
        on_record: Called with each record the machine writes.
    """

    def __init__(
        self,
        reader: RecordingReader,
        registry: PluginRegistry,
        on_record: Callable[[Record], None] = lambda _: None,
    ) -> None:
        self._reader = reader
        self._registry = registry
        self._on_record = on_record
        self._clock = ReplayClock()
        self._rig: Rig | None = None
        self._began: RunBegan | None = None
        self._recorded: deque[Decided] = deque()
        self._replayed: deque[Decided] = deque()
        self._last = ""
        self._divergence: Divergence | None = None
        self._line = 0
        self._frames = 0
        self._written = 0
        self._is_complete = False

    @property
    def rig(self) -> Rig:
        """The machine as it is."""
        assert self._rig is not None
        return self._rig

    def run(self, on_progress: Callable[[], None] | None = None) -> Verdict:
        """Replay to the end, or to the first divergence.

        Raises:
            RecordingError: A line can't be read, or it is no recording of a run.
        """
        for line in self._reader:
            self._line = line.number
            try:
                self._take(line)
            except MessageError as error:
                if self._reader.is_torn(line):
                    break
                raise RecordingError(self._reader.path, line.number, str(error)) from error
            if self._divergence is not None:
                break
            if on_progress is not None and not line.number % PROGRESS_LINES:
                on_progress()
        if self._rig is None or self._began is None:
            raise RecordingError(self._reader.path, None, "no run begins in it")
        self._compare(is_over=True)
        return Verdict(
            self._began.run_id,
            self._frames,
            self._rig.decisions.count,
            self._rig.decisions.hash,
            self._last,
            self._divergence,
            self._is_complete,
            dict(self._rig.state.portfolio.cycles),
        )

    def _take(self, line: Line) -> None:
        envelope = line.envelope
        if envelope is None:
            raise MessageError("a bare frame; a run's recording has envelopes only")
        if envelope.source == "control":
            self._control(line.frame, envelope.time_ns)
        elif envelope.source == "public" and envelope.is_received:
            rig = self._at(envelope.time_ns)
            rig.engine.position = line.number
            rig.engine.on_frame(line.frame)
            self._frames += 1
        self._compare()

    def _control(self, frame: bytes, time_ns: int) -> None:
        try:
            fields = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise MessageError(f"control line is not JSON ({error})") from error
        lost = read_control(frame)
        if lost is not None:
            self._at(time_ns).engine.on_event(lost)
            return
        event = read_event(fields)
        if isinstance(event, RunBegan):
            self._clock.move_to(time_ns)
            self._begin(event)
        elif isinstance(event, Decided):
            self._recorded.append(event)
            self._last = event.hash
        elif event is not None:
            self._tell(event, time_ns)

    def _tell(self, event: TradingEvent, time_ns: int) -> None:
        rig = self._at(time_ns)
        self._is_complete = self._is_complete or self._ends(event)
        rig.trader.on_event(event)

    def _ends(self, event: TradingEvent) -> bool:
        """Tell whether with this event the run ended in good order.

        Before there was an event for that, the beginning of the end had to do.
        """
        assert self._began is not None
        if "ends_with" in self._began.features:
            return isinstance(event, RunEnding)
        return isinstance(event, Commanded) and event.arguments.get("reason") == _STOPPING

    def _at(self, time_ns: int) -> Rig:
        if self._rig is None:
            raise MessageError("something happens before the run begins; is this its first part?")
        self._clock.move_to(time_ns)
        self._rig.trader.at(self._clock.now_ns())
        return self._rig

    def _begin(self, event: RunBegan) -> None:
        """Build the machine the run was made of."""
        if self._rig is not None:
            raise MessageError("a second run begins; cut the recording in two")
        settings = settings_from(event.settings, self._registry)
        self._registry.configure(settings)
        hands = choose_hands(
            Mode(event.mode), live=RecordedHands, paper=lambda: PaperHands(settings.paper)
        )
        rig = Rig(
            settings,
            self._registry,
            self._registry.make_venue(settings, event.venue),
            hands,
            run_id=event.run_id,
            clock=self._clock,
            effects=Effects(
                self._write,
                _silent,
                _silent,
                self._replayed.append,
                # The same is vetoed as in the run; who is put aside is on the recording.
                fault=Quarantine(self._registry, settings.plugins).report,
            ),
        )
        self._rig, self._began = rig, event
        rig.trader.at(self._clock.now_ns())
        rig.trader.on_event(event)

    def _write(self, record: Record, run: str) -> int:
        self._written += 1
        self._on_record(record)
        return self._written

    def _compare(self, *, is_over: bool = False) -> None:
        """Hold decisions against each other as far as both sides have come."""
        recorded, replayed = self._recorded, self._replayed
        while recorded and replayed and self._divergence is None:
            mine, theirs = replayed.popleft(), recorded.popleft()
            if mine.hash != theirs.hash:
                self._divergence = Divergence(theirs.number, self._line, theirs, mine)
        # A recording that was cut may have a frame's decisions and not the frame, which is written
        # after them.
        if is_over and self._is_complete and self._divergence is None and (recorded or replayed):
            left, more = (recorded or [None])[0], (replayed or [None])[0]
            number = left.number if left is not None else more.number if more is not None else 0
            self._divergence = Divergence(number, self._line, left, more)


def _silent(_: object) -> None:
    """Nobody is told: a replay has no operator."""


def settings_from(text: str, registry: PluginRegistry) -> Settings:
    """Return the settings a run was made with, whatever is configured here.

    Raises:
        ConfigError: This version can't use them.
        ArbitradeError: They can't be read.
    """
    try:
        table: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ArbitradeError(f"settings of the run can't be read ({error})") from error
    with TemporaryDirectory() as empty:
        return load_settings(
            registry.settings_sections(),
            folder=Path(empty),
            environ={},
            overrides=_without_nothing(table),
            plugin_names=[plugin.name for plugin in registry],
        )


def _without_nothing(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nothing(value) if isinstance(value, Mapping) else value
        for name, value in table.items()
        if value is not None
    }
