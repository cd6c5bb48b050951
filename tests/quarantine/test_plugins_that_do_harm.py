"""F49: whatever a plugin does, trading goes on or stops as promised, and the culprit is named."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import harm
import pytest
from runs import traded, until

from arbitrade.api import Command
from arbitrade.config import Secret
from arbitrade.errors import ConfigError
from arbitrade.journal import read_journal
from arbitrade.models import Alert, Mode, Severity, TradingState
from arbitrade.plugins import discover
from arbitrade.recording import RecordingReader
from arbitrade.records import AlertRaised, Audited, PluginChanged, decode
from arbitrade.trading.run.outcome import RunOutcome
from arbitrade.trading.run.replay import Replay
from arbitrade.trading.run.session import TradingSession

type Install = Callable[[str], Path]


class Run:
    """A run with the plugin `harm`, until that is put aside and trading has gone on."""

    def __init__(self, folder: Path, dsn: Secret, mode: Mode = Mode.PAPER) -> None:
        self._folder = folder
        self._dsn = dsn
        self._mode = mode
        self._session: TradingSession | None = None
        self._cycles: int | None = None

    async def trade(
        self,
        enough: Callable[[TradingSession], bool],
        meanwhile: Callable[[TradingSession], object] | None = None,
        **overrides: dict[str, object],
    ) -> RunOutcome:
        def seen(session: TradingSession) -> bool:
            self._session = session
            return enough(session)

        return await traded(
            self._folder, self._dsn, self._mode, seen, meanwhile, "harm", **overrides
        )

    def went_on(self, session: TradingSession) -> bool:
        """The plugin is out, and two more cycles have ended since."""
        if not is_out(session):
            return False
        count = session.parts.rig.state.portfolio.cycles.total()
        self._cycles = count if self._cycles is None else self._cycles
        return count >= self._cycles + 2

    def records(self, report: RunOutcome) -> Sequence[Any]:
        folder = self._folder / "journal" / report.state.account
        return [decode(entry.payload).record for entry in read_journal(folder)]


def is_out(session: TradingSession) -> bool:
    return session.parts.registry.states()["harm"].startswith("quarantined")


@pytest.fixture
def run(tmp_path: Path, dsn: Secret) -> Run:
    return Run(tmp_path, dsn)


def alerts_of(records: Sequence[Any]) -> list[Alert]:
    return [record.alert for record in records if isinstance(record, AlertRaised)]


def assert_put_aside(run: Run, report: RunOutcome, kind: str, where: str) -> None:
    """Status, alert, audit and record name the culprit."""
    state = report.state.plugins["harm"]
    assert state.startswith("quarantined")
    assert kind in state
    assert where in state
    assert report.state.counters["faults.harm"] >= 1
    records = run.records(report)
    alerts = alerts_of(records)
    first = next(alert for alert in alerts if alert.subject == "plugin harm")
    assert where in first.title
    aside = next(alert for alert in alerts if alert.title == "plugin harm is put aside")
    assert aside.severity.name == "ERROR"
    assert where in aside.body
    assert "arbitrade plugins enable harm" in aside.body
    audited = [one for one in records if isinstance(one, Audited) and one.action == "quarantine"]
    assert [one.subject for one in audited] == ["harm"]
    changed = [one for one in records if isinstance(one, PluginChanged)]
    assert [(one.plugin, one.state) for one in changed] == [("harm", "quarantined")]


async def test_a_detector_that_raises_now_and_then_is_put_aside_and_the_run_replays(
    run: Run, install: Install
) -> None:
    code = harm.detector("if self.seen % 40 == 0:\n    1 / 0")
    install(code)
    report = await run.trade(run.went_on)
    assert_put_aside(run, report, "raised", harm.line_of(code, "1 / 0"))
    with RecordingReader(report.recording) as reader:
        verdict = Replay(reader, discover()).run()
    assert verdict.divergence is None
    assert verdict.decision_hash == report.state.decision_hash


@pytest.mark.parametrize(
    "lie",
    [
        'return made(book, edge_bps=Decimal("NaN"))',
        "return made(book, edge_bps=5.0)",
        'return made(book, size=Decimal("Infinity"))',
        "return made(book, size=Decimal(-1))",
        'return made(book, profit=float("nan"))',
        'return made(book, legs=(Leg("NO/SUCH", Side.BUY), Leg("NO/SUCH", Side.SELL)))',
        'return made(book, assets=("DOGE", "USD"))',
        "return made(book, detector='triangular')",
        "return [42]",
        'return made(book, size=Decimal("1E+999999"))',
        'return made(book, legs=(Leg(book.symbol, "buy"), Leg(book.symbol, "sell")))',
    ],
)
async def test_a_detector_that_lies_is_put_aside_and_nothing_of_it_is_traded(
    run: Run, install: Install, lie: str
) -> None:
    code = harm.detector(lie)
    install(code)
    report = await run.trade(run.went_on)
    assert_put_aside(run, report, "lied", harm.line_of(code, "def on_book"))
    assert not [key for key in report.state.refusals if "harm" in key]


@pytest.mark.parametrize("answer", ["return 5", "return self.no_such", "raise SystemExit(3)"])
async def test_what_no_detector_may_answer_never_ends_the_run(
    run: Run, install: Install, answer: str
) -> None:
    code = harm.detector(answer)
    install(code)
    report = await run.trade(run.went_on)
    assert report.state.plugins["harm"].startswith("quarantined")


@pytest.mark.parametrize(
    ("check", "cap", "kind"),
    [
        ("1 / 0", "return None", "raised"),
        ("return None", 'return Decimal("NaN")', "lied"),
        ("return None", "return 5.0", "lied"),
        ("return None", "return Decimal(-1)", "lied"),
        ("return 'no'", "return None", "lied"),
        ("return Refused(opportunity, 'harm', 1, 2, 3)", "return None", "lied"),
    ],
)
async def test_a_rule_that_fails_refuses_until_it_is_put_aside(
    run: Run, install: Install, check: str, cap: str, kind: str
) -> None:
    code = harm.rule(check, cap)
    install(code)
    report = await run.trade(run.went_on, None)
    assert_put_aside(run, report, kind, "arbitrade_harm.py:")
    assert report.state.refusals["harm"] >= 1


async def test_live_trading_halts_when_a_rule_it_must_have_is_put_aside(
    tmp_path: Path, dsn: Secret, install: Install
) -> None:
    install(harm.rule("1 / 0"))
    run = Run(tmp_path, dsn, Mode.LIVE)

    def halted(session: TradingSession) -> bool:
        return session.parts.rig.state.trading_state is TradingState.HALTED

    report = await run.trade(halted, None, live={"required_rules": ["harm"]})
    assert report.state.orders == 0
    assert "live.required_rules wants harm" in report.state.halt_reason
    assert report.state.plugins["harm"].startswith("quarantined")


async def test_live_trading_is_not_armed_without_a_rule_it_must_have(
    tmp_path: Path, dsn: Secret
) -> None:
    """F50."""
    run = Run(tmp_path, dsn, Mode.LIVE)
    with pytest.raises(ConfigError, match=r"live\.required_rules: harm not there"):
        await run.trade(lambda session: False, None, live={"required_rules": ["harm"]})


async def test_the_plugin_of_a_rule_that_live_trading_must_have_cant_be_disabled(
    tmp_path: Path, dsn: Secret, install: Install
) -> None:
    install(harm.rule())
    run, answers = Run(tmp_path, dsn, Mode.LIVE), []

    async def disable(session: TradingSession) -> None:
        arguments = {"name": "harm", "state": "disabled"}
        answers.append(await session.command(Command("plugin", "operator", arguments)))

    report = await run.trade(
        lambda session: bool(answers), disable, live={"required_rules": ["harm"]}
    )
    assert not answers[0].is_done
    assert "live.required_rules: harm" in answers[0].message
    assert report.state.plugins["harm"] == "enabled"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("1 / 0", "raised"),
        ("return 'done'", "lied"),
        ("await asyncio.sleep(1)", "raised"),
        ("await asyncio.get_running_loop().create_future()", "raised"),
        ("while True:\n    await desk.pause(0.1)", "blocked"),
    ],
)
async def test_an_executor_that_fails_is_put_aside_and_no_cycle_begins_any_more(
    run: Run, install: Install, body: str, kind: str
) -> None:
    code = harm.executor(body)
    install(code)

    def reduced(session: TradingSession) -> bool:
        return is_out(session) and not session.parts.rig.state.cycles

    report = await run.trade(
        reduced, None, execution={"executor": "harm"}, plugins={"cycle_budget_s": 1}
    )
    assert_put_aside(run, report, kind, "arbitrade_harm.py:")
    assert set(report.state.cycles) <= {"aborted_clean", "unwound"}
    assert report.state.trading_state is TradingState.REDUCING


async def test_enabling_it_again_lets_a_plugin_back_in(run: Run, install: Install) -> None:
    install(harm.detector("if self.seen < 20:\n    1 / 0"))
    answers = []

    async def lift(session: TradingSession) -> None:
        await until(lambda: is_out(session))
        sys.modules["arbitrade_harm"].Harm.seen = 100
        arguments = {"name": "harm", "state": "enabled"}
        answers.append(await session.command(Command("plugin", "operator", arguments)))

    report = await run.trade(lambda session: bool(answers), lift)
    assert answers[0].is_done, answers[0].message
    assert report.state.plugins["harm"] == "enabled"


@pytest.mark.parametrize(
    "body",
    [
        "while self.seen > 40:\n    pass",
        "if self.seen > 40:\n    time.sleep(0.4)",
        "try:\n    while self.seen > 40:\n        pass\nexcept Exception:\n    pass",
    ],
)
async def test_a_detector_that_holds_everything_up_is_interrupted_and_put_aside(
    run: Run, install: Install, body: str
) -> None:
    code = harm.detector(body)
    install(code)
    report = await run.trade(run.went_on, None, plugins={"time_budget_ms": 100})
    assert_put_aside(run, report, "blocked", "arbitrade_harm.py:")


@pytest.mark.parametrize("nap", ["time.sleep(0.4)", "while True:\n    pass"])
async def test_a_rule_that_holds_everything_up_refuses_and_is_put_aside(
    run: Run, install: Install, nap: str
) -> None:
    code = harm.rule(nap)
    install(code)
    report = await run.trade(run.went_on, None, plugins={"time_budget_ms": 100})
    assert_put_aside(run, report, "blocked", "arbitrade_harm.py:")


async def test_an_executor_that_holds_everything_up_is_put_aside(
    run: Run, install: Install
) -> None:
    install(harm.executor("while True:\n    pass"))

    def reduced(session: TradingSession) -> bool:
        return is_out(session) and not session.parts.rig.state.cycles

    report = await run.trade(
        reduced, None, execution={"executor": "harm"}, plugins={"time_budget_ms": 100}
    )
    assert_put_aside(run, report, "blocked", "arbitrade_harm.py:")


async def raise_alerts(session: TradingSession) -> None:
    """Give sinks something to do."""
    for number in range(8):
        session.parts.outlet.alert(Alert(Severity.INFO, f"alert {number}"))


@pytest.mark.parametrize(
    "body", ["1 / 0", "time.sleep(0.4)", "while True:\n    pass", "raise SystemExit"]
)
async def test_a_sink_that_does_harm_is_put_aside_and_never_hears_of_itself(
    run: Run, install: Install, body: str
) -> None:
    install(harm.sink(body))
    report = await run.trade(run.went_on, raise_alerts, plugins={"time_budget_ms": 100})
    assert report.state.plugins["harm"].startswith("quarantined")
    got = sys.modules["arbitrade_harm"].got
    assert got
    assert not [title for title in got if "plugin harm" in title]


@pytest.mark.parametrize(
    "body",
    [
        "1 / 0",
        "while True:\n    pass",
        "await asyncio.Event().wait()",
        "while True:\n    try:\n        await asyncio.sleep(3600)\n"
        "    except asyncio.CancelledError:\n        pass",
    ],
)
async def test_a_service_that_does_harm_hurts_nobody_else(
    run: Run, install: Install, body: str
) -> None:
    install(harm.service(body))

    def enough(session: TradingSession) -> bool:
        return session.parts.rig.state.portfolio.cycles.total() >= 2

    report = await run.trade(enough, None, plugins={"time_budget_ms": 100})
    assert sum(report.state.cycles.values()) >= 2
