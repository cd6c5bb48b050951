"""Mistakes of sinks, stores, services and venues are found, and what never ends."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from arbitrade import Alert, Opportunity, OrderBook
from arbitrade.plugins.trials import beside, running
from arbitrade.plugins.trials.venues import try_venue
from arbitrade.testing.contracts import (
    ServiceContract,
)
from arbitrade.testing.venue import EventVenue


def only(problems: list[str]) -> str:
    """Return the one thing that was found."""
    assert len(problems) == 1, problems
    return problems[0]


# ── what stands beside ───────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Pulse:
    """Waits to be stopped."""

    name: str = "s"

    async def run(self) -> None:
        await asyncio.Event().wait()


class Swallows(Pulse):
    async def run(self) -> None:
        try:
            await super().run()
        except asyncio.CancelledError:
            return


class GoesOn(Pulse):
    async def run(self) -> None:
        while True:
            try:
                await super().run()
            except asyncio.CancelledError:
                continue


class EndsAtOnce(Pulse):
    async def run(self) -> None: ...


class StumblesAtTheEnd(Pulse):
    async def run(self) -> None:
        try:
            await super().run()
        finally:
            raise OSError("no file")


class Holds(Pulse):
    async def run(self) -> None:
        time.sleep(0.05)  # noqa: ASYNC251  # the mistake that is looked for
        await super().run()


def test_service_that_ends_when_it_is_cancelled_has_nothing_to_find() -> None:
    assert beside.try_service(Pulse()) == []


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (Swallows(), "s.run: swallowed its cancellation; clean up in `finally`, or raise it again"),
        (EndsAtOnce(), "s.run: ended by itself; serve until cancelled, or don't register"),
        (StumblesAtTheEnd(), "s.run: raised OSError: no file (test_plugin_trials_beside.py, line "),
    ],
)
async def test_mistake_of_a_service_is_found(service: Pulse, said: str) -> None:
    assert said in only(await asyncio.to_thread(beside.try_service, service))
    test = ServiceContract().test_service_runs_until_it_is_cancelled_and_then_ends
    await test(Pulse())
    with pytest.raises(AssertionError):
        await test(service)


def test_service_that_goes_on_after_it_was_cancelled_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beside, "_GRACE_S", 0.05)
    problems = running.within(0.5, lambda: beside.try_service(GoesOn()))
    # asyncio.run never returns either, so it is the thread that is given up.
    assert "did not end within 0.5 s" in only(problems)


def test_service_that_holds_the_loop_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BLOCKED_S", 0.04)
    assert "s.run: it held the event loop up for 0." in only(beside.try_service(Holds()))


@attrs.frozen
class Bell:
    act: Callable[[], None]
    name: str = "bell"

    async def send(self, alert: Alert) -> None:
        self.act()


def test_sink_that_raises_or_blocks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise TypeError("no such colour")

    def unreachable() -> None:
        raise ConnectionRefusedError

    assert "bell.send: raised TypeError: no such colour (" in only(beside.try_sink(Bell(fails)))
    assert beside.try_sink(Bell(unreachable)) == []
    monkeypatch.setattr(running, "BLOCKED_S", 0.04)
    blocked = beside.try_sink(Bell(lambda: time.sleep(0.05)))
    assert "bell.send: it held the event loop up" in only(blocked)


def test_store_that_answers_or_cannot_be_closed_twice_is_found(tmp_path: Path) -> None:
    class Shelf:
        def __init__(self) -> None:
            self.file: list[object] | None = []

        def write(self, opportunity: Opportunity, line: int) -> object:
            return line

        def close(self) -> None:
            assert self.file is not None, "closed"
            self.file = None

    wrote, closed = beside.try_store(Shelf())[-2:]  # type: ignore[arg-type]
    assert wrote == "Shelf.write: returned 2; it has to return nothing"
    assert closed.startswith("Shelf.close: raised AssertionError: closed")


# ── venues ───────────────────────────────────────────────────────────────────────────────────────


class Rounds(EventVenue):
    def encode_snapshot(self, book: OrderBook, timestamp: str | None) -> bytes:
        few = OrderBook(book.instrument, 1)
        few.load(list(book.bids)[:1], list(book.asks)[:1])
        return super().encode_snapshot(few, timestamp)


class Floats(EventVenue):
    def checksum(self, book: OrderBook) -> int:
        return 0.5  # type: ignore[return-value]


class Shallow(EventVenue):
    def snapshot_depth(self, levels: int) -> int:
        return 10


def feed_of_nothing(venue: type[EventVenue]) -> EventVenue:
    """Return a venue with a feed; the one for tests has none."""

    class Feed:
        async def run(self) -> None: ...

        def resync(self, symbol: str) -> None: ...

        def statistics(self) -> dict[str, int]:
            return {}

    made = venue()
    made.make_feed = lambda *_: Feed()  # type: ignore[method-assign]
    return made


def test_venue_that_reads_back_what_it_writes_has_nothing_to_find() -> None:
    assert try_venue(feed_of_nothing(EventVenue)) == []


@pytest.mark.parametrize(
    ("venue", "said"),
    [
        (Rounds, "events.encode_snapshot: its bids read back as "),
        (Floats, "events.encode_snapshot: checksum is 0.5; it has to be an int"),
        (Shallow, "events.snapshot_depth: returned 10 for 11 levels; return a depth that holds"),
    ],
)
def test_mistake_of_a_venue_is_found(venue: type[EventVenue], said: str) -> None:
    problems = try_venue(feed_of_nothing(venue))
    assert [problem for problem in problems if problem.startswith(said)], problems


def test_venue_without_a_feed_is_found() -> None:
    problem = only(try_venue(EventVenue()))
    assert problem.startswith("events.make_feed: raised NotImplementedError: events have no feed")


# ── whatever they do ─────────────────────────────────────────────────────────────────────────────


def test_trial_that_never_ends_is_a_finding() -> None:
    gate = threading.Event()
    try:
        assert "did not end within 0.05 s; it waits for something, or loops" in only(
            running.within(0.05, lambda: [str(gate.wait())])
        )
    finally:
        gate.set()
