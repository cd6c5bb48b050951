"""Faults: whose, where, how many, and when it is enough."""

import attrs
import pytest

from arbitrade.calls import Call, PluginInterruptedError
from arbitrade.config import PluginSettings
from arbitrade.errors import NonsenseError, PluginError
from arbitrade.plugins import PluginState, discover
from arbitrade.plugins.overseer import Overseer
from arbitrade.plugins.quarantine import Fault, Quarantine, stopping

SINK = """
from arbitrade import hookimpl


class Sink:
    name = "bell"

    async def send(self, alert):
        pass

    def fail(self):
        return 1 / 0


@hookimpl
def arbitrade_register_alert_sinks(settings):
    return [Sink()]
"""
WHERE = "arbitrade_bell_bell_plugin.py"


@attrs.define
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bell(install):
    """A registry with the plugin `bell`, and its sink."""
    from arbitrade.config import Settings

    install("bell", SINK)
    registry = discover()
    registry.configure(Settings(plugins=PluginSettings(enabled=("bell",))))
    *_, sink = registry.alert_sinks(Settings())
    return registry, sink


def failed(sink) -> ZeroDivisionError:
    try:
        sink.fail()
    except ZeroDivisionError as error:
        return error
    raise AssertionError


def quarantine(registry, time, **budgets):
    faults: list[Fault] = []
    verdicts: list[tuple[str, str]] = []
    made = Quarantine(
        registry,
        PluginSettings(**budgets),
        lambda fault, is_first: faults.append(fault),
        lambda plugin, reason: verdicts.append((plugin, reason)),
        time,
    )
    return made, faults, verdicts


def test_a_fault_has_the_plugins_own_line(bell) -> None:
    registry, sink = bell
    made, faults, _ = quarantine(registry, Time())
    made.report("alert_sinks", "bell", failed(sink), type(sink).send)
    line = SINK.splitlines().index("        return 1 / 0") + 1
    assert faults == [
        Fault(
            "bell",
            "alert sink bell",
            "raised",
            "ZeroDivisionError",  # no more of a sink's: addresses hold secrets
            f"{WHERE}:{line}",
        )
    ]


def test_a_lie_is_where_the_method_is_written(bell) -> None:
    registry, sink = bell
    made, faults, _ = quarantine(registry, Time())
    made.report("alert_sinks", "bell", NonsenseError("a NaN"), type(sink).send)
    line = SINK.splitlines().index("    async def send(self, alert):") + 1
    assert (faults[0].kind, faults[0].where) == ("lied", f"{WHERE}:{line}")


def test_the_verdict_comes_once_when_the_budget_is_spent_and_again_after_it_was_lifted(
    bell,
) -> None:
    registry, sink = bell
    made, _, verdicts = quarantine(registry, Time(), fault_budget=3)
    for _ in range(5):
        made.report("alert_sinks", "bell", failed(sink), None)
    assert [plugin for plugin, _ in verdicts] == ["bell"]
    assert "3 faults" in verdicts[0][1]
    made.lift("bell")
    for _ in range(3):
        made.report("alert_sinks", "bell", failed(sink), None)
    assert len(verdicts) == 2


def test_old_faults_are_forgiven(bell) -> None:
    registry, sink = bell
    time = Time()
    made, _, verdicts = quarantine(registry, time, fault_budget=2, fault_window_s=60)
    for _ in range(5):
        made.report("alert_sinks", "bell", failed(sink), None)
        time.now += 61
    assert verdicts == []
    assert made.counts["bell"] == 5


def test_blocking_twice_is_enough(bell) -> None:
    registry, _ = bell
    made, _, verdicts = quarantine(registry, Time(), fault_budget=9)
    made.report("alert_sinks", "bell", PluginInterruptedError(), None)
    assert verdicts == []
    made.report("alert_sinks", "bell", PluginInterruptedError(), None)
    assert len(verdicts) == 1


def test_core_is_never_put_aside(bell) -> None:
    registry, _ = bell
    made, faults, verdicts = quarantine(registry, Time(), fault_budget=1)
    made.report("alert_sinks", "log", ValueError("ours"), None)
    assert (faults[0].plugin, verdicts) == ("core", [])


def test_a_replay_counts_and_condemns_nobody(bell) -> None:
    registry, sink = bell
    made = Quarantine(registry, PluginSettings(fault_budget=1))
    made.report("alert_sinks", "bell", failed(sink), None)
    assert made.counts["bell"] == 1


def test_a_command_that_must_be_whole_ends_with_plugin_object_file_and_line(bell) -> None:
    registry, sink = bell
    with pytest.raises(
        PluginError, match=rf"^bell: alert sink bell raised at {WHERE}:\d+: .* disable bell"
    ):
        stopping(registry)("alert_sinks", "bell", failed(sink), None)


def test_a_plugin_in_quarantine_says_why_and_comes_back_when_enabled(bell) -> None:
    registry, _ = bell
    toggled = []
    registry.on_toggle(toggled.append)
    assert registry.quarantine("bell", "it raised")
    assert registry.state("bell") is PluginState.QUARANTINED
    assert registry.states()["bell"] == "quarantined: it raised"
    assert toggled[0].contributed["alert_sinks"] == ("bell",)
    assert not registry.quarantine("bell", "again")
    assert registry.enable("bell")
    assert registry.states()["bell"] == "enabled"
    with pytest.raises(PluginError, match="core"):
        registry.quarantine("core", "never")


@attrs.define
class FakeCalls:
    """Calls that a test sets."""

    call: Call | None = None
    count: int = 0
    can_interrupt: bool = True
    interruptions: int = 0

    def interrupt(self) -> bool:
        self.interruptions += self.can_interrupt
        return self.can_interrupt


def overseer(calls: FakeCalls, time: Time) -> tuple[Overseer, list[float], list[str]]:
    held: list[float] = []
    returned: list[str] = []
    made = Overseer(
        calls,  # type: ignore[arg-type]
        0.5,
        lambda call, seconds: held.append(seconds),
        lambda: returned.append("returned"),
        time,
    )
    return made, held, returned


def look_for(made: Overseer, time: Time, seconds: float) -> None:
    for _ in range(round(seconds / 0.1)):
        time.now += 0.1
        made.look()


def test_a_call_beyond_its_budget_is_told_once_and_interrupted_until_it_ends() -> None:
    calls, time = FakeCalls(Call("detectors"), 1), Time()
    made, held, returned = overseer(calls, time)
    look_for(made, time, 0.4)
    assert held == []
    look_for(made, time, 1)
    assert len(held) == 1
    assert made.is_held
    assert calls.interruptions > 1
    calls.call = None
    look_for(made, time, 0.1)
    assert not made.is_held
    assert returned == []  # it raised, and whoever called it has told


def test_many_quick_calls_are_none_that_is_long() -> None:
    calls, time = FakeCalls(Call("detectors"), 1), Time()
    made, held, _ = overseer(calls, time)
    for _ in range(50):
        calls.count += 1
        look_for(made, time, 0.1)
    assert held == []


def test_a_call_that_cant_be_interrupted_is_told_when_it_is_back() -> None:
    calls, time = FakeCalls(Call("alert_sinks", "bell"), 1, can_interrupt=False), Time()
    made, held, returned = overseer(calls, time)
    look_for(made, time, 2)
    calls.count += 1
    look_for(made, time, 0.1)
    assert (len(held), returned) == (1, ["returned"])


def test_a_process_that_stood_still_blames_nobody() -> None:
    calls, time = FakeCalls(Call("detectors"), 1), Time()
    made, held, _ = overseer(calls, time)
    look_for(made, time, 0.3)
    time.now += 60
    made.look()
    assert held == []
