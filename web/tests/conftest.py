import attrs
import pytest

from arbitrade.api import Status


@attrs.define
class FakeView:
    now: Status

    def status(self) -> Status:
        return self.now


@pytest.fixture
def view() -> FakeView:
    return FakeView(
        Status(
            command="record",
            started_at="2026-11-22T10:00:00Z",
            is_ready=True,
            books_in_sync=2,
            books=3,
            counters={"feed.frames": 12, "book.resyncs": 1},
            plugins={"kraken": "enabled", "statarb": "disabled", "bell": "failed: no module"},
        )
    )
