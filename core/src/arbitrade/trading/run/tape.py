"""The recording of a run: every frame and event in the order handled, and every decision."""

from collections.abc import Callable
from pathlib import Path

from arbitrade.errors import RecordingError
from arbitrade.recording.writer import RecordingWriter
from arbitrade.trading.machine.events import TradingEvent, write_event

_NEVER = 1 << 62


class Tape:
    """Writes a run down, so that it replays bit for bit.

    One file, whatever its size: a part of its own would begin with books of its own, and what was
    decided depends on what came before.

    Args:
        folder: Where it goes; None writes nothing.
        run_id: Names the file.
        on_failure: Called once when it can't be written any more; the run goes on without.
    """

    def __init__(
        self,
        folder: Path | None,
        run_id: str,
        compression: str,
        on_failure: Callable[[RecordingError], None],
    ) -> None:
        self._on_failure = on_failure
        self._writer: RecordingWriter | None = None
        self.lines = 0
        if folder is not None:
            self._writer = RecordingWriter(
                folder, f"run-{run_id[:8]}", compression, rotate_bytes=_NEVER, rotate_s=1e12
            )

    @property
    def path(self) -> Path | None:
        """The file, None while or when nothing is recorded."""
        return None if self._writer is None else self._writer.path

    @property
    def is_recording(self) -> bool:
        """False where nothing is recorded, or no more."""
        return self._writer is not None

    def open(self) -> None:
        """Begin.

        Raises:
            RecordingError: The folder can't be written to.
        """
        if self._writer is not None:
            self._writer.prepare()
            self._writer.open_part()

    def frame(self, frame: bytes, connection: int, time_ns: int, *, received: bool = True) -> None:
        """Write a frame of the market."""
        self._write(frame, "public", connection, time_ns, received=received)

    def event(self, event: TradingEvent, time_ns: int) -> None:
        """Write what happened to us, or what we decided."""
        if self._writer is not None:
            self._write(write_event(event), "control", 0, time_ns)

    def control(self, frame: bytes, connection: int, time_ns: int) -> None:
        """Write a control line that is written already."""
        self._write(frame, "control", connection, time_ns)

    def flush(self) -> None:
        """Hand what is held back to the operating system, when its time has come."""
        if self._writer is None:
            return
        try:
            self._writer.flush_if_due()
        except RecordingError as error:
            self._fail(error)

    def close(self) -> None:
        """Write everything, and end."""
        if self._writer is not None:
            try:
                self._writer.close()
            except RecordingError as error:
                self._fail(error)

    def _write(
        self, frame: bytes, source: str, connection: int, time_ns: int, *, received: bool = True
    ) -> None:
        if self._writer is None:
            return
        try:
            self._writer.write(
                frame, source=source, connection=connection, received=received, time_ns=time_ns
            )
            self.lines += 1
        except RecordingError as error:
            self._fail(error)

    def _fail(self, error: RecordingError) -> None:
        self._writer = None
        self._on_failure(error)
