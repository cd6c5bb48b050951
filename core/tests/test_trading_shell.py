"""Between the world and the machine: one thing at a time, in the order it was recorded."""

from collections.abc import Callable

import orjson
import pytest

from arbitrade.recording import RecordingReader
from arbitrade.testing.patience import until
from arbitrade.testing.trading import TradingBench
from arbitrade.trading.machine.events import (
    AccountReadiness,
    Commanded,
    JournalTold,
    TimeCame,
    TradingEvent,
)
from arbitrade.trading.run.clock import RunClock
from arbitrade.trading.run.shell import Shell
from arbitrade.trading.run.tape import Tape


class Clocks:
    """A wall clock and a monotonic one, turned by hand."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_790_000_000_000_000_000, 5_000

    def pass_by(self, nanoseconds: int) -> None:
        """Let both go on."""
        self.wall += nanoseconds
        self.steady += nanoseconds

    def run_clock(self) -> RunClock:
        """Return a run's clock on them."""
        return RunClock(lambda: self.wall, lambda: self.steady)


class Listening:
    """A trader's place, that writes down what comes."""

    def __init__(self, bench: TradingBench) -> None:
        self.trader = bench.trader
        self.seen: list[TradingEvent] = []
        self.then: Callable[[TradingEvent], None] = lambda _: None
        handle = self.trader.on_event

        def on_event(event: TradingEvent) -> None:
            self.seen.append(event)
            self.then(event)
            handle(event)

        self.trader.on_event = on_event


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def bench() -> TradingBench:
    return TradingBench({"USD": 1_000})


@pytest.fixture
def listening(bench) -> Listening:
    return Listening(bench)


@pytest.fixture
def tape(tmp_path) -> Tape:
    return Tape(tmp_path, "0192f0c4-7a10", "none", lambda error: pytest.fail(str(error)))


class Doorkeeper:
    """Who is told beside the machine."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.readiness: list[bool] = []

    def on_connection_lost(self, connection: int, event: object) -> None:
        """No test loses one."""

    def on_account_ready(self, is_ready: bool, reason: str) -> None:
        """Remember it."""
        self.readiness.append(is_ready)

    def on_failure(self, error: Exception) -> None:
        """Remember it."""
        self.failures.append(error)


@pytest.fixture
def door() -> Doorkeeper | None:
    return None


@pytest.fixture
def shell(listening, clocks, tape, door):
    tape.open()
    shell = Shell(clocks.run_clock(), tape, door)
    shell.attach(listening.trader, None)
    yield shell
    shell.close()
    tape.close()


async def test_what_comes_while_an_event_is_handled_waits_for_its_turn(shell, listening):
    order = []

    def then(event: TradingEvent) -> None:
        if isinstance(event, JournalTold) and event.problem == "first":
            shell.tell(JournalTold("third"))
            order.append("first is handled")

    listening.then = then
    shell.tell(JournalTold("first"))
    shell.tell(JournalTold("fourth"))
    problems = [event.problem for event in listening.seen]
    assert problems == ["first", "third", "fourth"]
    assert order == ["first is handled"]


async def test_events_are_on_the_tape_in_the_order_handled_with_their_time(
    shell, listening, clocks, tape
):
    shell.tell(JournalTold("one"))
    clocks.pass_by(7)
    shell.on_ready(False)
    tape.close()
    with RecordingReader(tape.path) as reader:
        lines = list(reader)
    kinds = [orjson.loads(line.frame)["event"] for line in lines]
    assert kinds == [event.kind for event in listening.seen] == ["journal", "account_ready"]
    times = [line.envelope.time_ns for line in lines]
    assert times == [1_790_000_000_000_000_000, 1_790_000_000_000_000_007]


async def test_time_stands_still_within_an_event_and_the_wall_clock_moves_nothing(
    shell, listening, clocks
):
    seen = []
    listening.then = lambda _: (
        clocks.pass_by(50),
        seen.append(listening.trader.machine.state.now_ns),
    )
    shell.tell(TimeCame())
    clocks.wall += 3_600_000_000_000
    shell.tell(TimeCame())
    assert seen == [1_790_000_000_000_000_000, 1_790_000_000_000_000_050]


async def test_timer_that_is_due_is_told_as_an_event(shell, listening, clocks):
    called = []
    machine = listening.trader.machine
    shell.tell(TimeCame())
    machine.state.timers.at(machine.state.now_ns + 1, lambda: called.append(1))
    shell.tell(JournalTold("sets the alarm"))
    clocks.pass_by(10)
    await until(lambda: called == [1])
    assert isinstance(listening.seen[-1], TimeCame)


@pytest.mark.parametrize("door", [Doorkeeper()])
async def test_event_that_cannot_be_handled_is_told_and_the_next_is_handled(shell, listening, door):

    def then(event: TradingEvent) -> None:
        if isinstance(event, AccountReadiness):
            shell.tell(Commanded("reduce", "arbitrade", {}))
            raise ZeroDivisionError

    listening.then = then
    shell.on_ready(True)
    assert [repr(error) for error in door.failures] == ["ZeroDivisionError()"]
    assert door.readiness == [True]
    assert isinstance(listening.seen[-1], Commanded)
    assert listening.trader.view.trading_state.value == "reducing"


async def test_failure_nobody_takes_is_raised_and_leaves_the_shell_usable(shell, listening):
    def then(event: TradingEvent) -> None:
        if isinstance(event, AccountReadiness):
            raise ZeroDivisionError

    listening.then = then
    with pytest.raises(ZeroDivisionError):
        shell.on_ready(True)
    shell.tell(JournalTold("next"))
    assert isinstance(listening.seen[-1], JournalTold)
