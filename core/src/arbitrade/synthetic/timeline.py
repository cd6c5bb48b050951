"""The market's clock: microseconds since the epoch, moved by frames alone."""

from datetime import UTC, datetime

from arbitrade.synthetic.settings import MarketSettings


class Timeline:
    """Tells the time of each frame and when a heartbeat falls due."""

    __slots__ = ("_heartbeat", "_mean_step", "_now", "_second", "_second_text")

    def __init__(self, settings: MarketSettings) -> None:
        self._now = settings.started_at * 1_000_000
        self._mean_step = 1_000_000 / settings.frames_per_s
        self._heartbeat = self._now + 1_000_000
        self._second = -1
        self._second_text = ""

    def advance(self, chance: float) -> str:
        """Move on by up to twice the mean step; return the time as the venue writes it."""
        self._now += 1 + int(2 * self._mean_step * chance)
        second, micros = divmod(self._now, 1_000_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{micros:06d}Z"

    def is_heartbeat_due(self) -> bool:
        """True once in each second."""
        if self._now < self._heartbeat:
            return False
        self._heartbeat += 1_000_000
        return True
