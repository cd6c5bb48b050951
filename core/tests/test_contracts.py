"""Core's own implementations pass the contracts that plugins' have to."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from arbitrade import AlertSink, Executor, Opportunity, OpportunityStore, RiskRule, Service, Venue
from arbitrade.alerts.log_sink import LogSink
from arbitrade.control.server import ControlServer
from arbitrade.execution.observe import ObserveExecutor
from arbitrade.execution.parallel import ParallelExecutor
from arbitrade.execution.sequential import SequentialExecutor
from arbitrade.models import TradingState
from arbitrade.plugins.trials.rules import try_rule
from arbitrade.process.watchdog import Watchdog
from arbitrade.protocols import RiskView
from arbitrade.risk.core_rules import core_rules
from arbitrade.store.jsonl import JsonLinesStore
from arbitrade.testing.bot import FakeBot
from arbitrade.testing.contracts import (
    AlertSinkContract,
    ExecutorContract,
    RiskRuleContract,
    ServiceContract,
    StoreContract,
    VenueContract,
)
from arbitrade.testing.risk import FakeRiskView, make_opportunity
from arbitrade.testing.venue import EventVenue
from arbitrade.trading.run.ramp import RehearsalExecutor


class TestLogSink(AlertSinkContract):
    @pytest.fixture
    def sink(self) -> AlertSink:
        return LogSink()

    @pytest.fixture
    def delivered(self, caplog: pytest.LogCaptureFixture, capsys) -> Callable[[], list[str]]:
        # structlog writes to standard output until logging is configured.
        return lambda: [*caplog.messages, *capsys.readouterr().out.splitlines()]


class TestEventVenue(VenueContract):
    @pytest.fixture
    def venue(self) -> Venue:
        return EventVenue()


class TestJsonLinesStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> OpportunityStore:
        return JsonLinesStore(str(tmp_path / "found.jsonl"))

    @pytest.fixture
    def kept(self, tmp_path: Path) -> Callable[[], list[Mapping[str, object]]]:
        def read() -> list[Mapping[str, object]]:
            text = (tmp_path / "found.jsonl").read_text(encoding="utf-8")
            return [json.loads(line, parse_float=Decimal) for line in text.splitlines()]

        return read


@pytest.fixture(params=["sequential", "parallel", "observe", "rehearsal"])
def executor(request: pytest.FixtureRequest) -> Executor:
    made = {
        "sequential": SequentialExecutor(),
        "parallel": ParallelExecutor(),
        "observe": ObserveExecutor(),
        "rehearsal": RehearsalExecutor(),
    }
    return made[request.param]


class TestExecutors(ExecutorContract):
    @pytest.fixture
    def executor(self, executor: Executor) -> Executor:
        return executor


def rule_named(name: str) -> Callable[[RiskView], RiskRule]:
    return lambda view: next(rule for rule in core_rules(view) if rule.name == name)


def around(**limits: object) -> tuple[FakeRiskView, Opportunity]:
    found = make_opportunity(edge_bps=10)
    view = FakeRiskView.around(found)
    view.set_limits(**limits)
    return view, found


class TestMinimumEdge(RiskRuleContract):
    @pytest.fixture
    def make_rule(self) -> Callable[[RiskView], RiskRule]:
        return rule_named("minimum_edge")

    @pytest.fixture
    def passing(self) -> tuple[FakeRiskView, Opportunity]:
        return around(minimum_edge_bps=9)

    @pytest.fixture
    def refused(self) -> tuple[FakeRiskView, Opportunity]:
        return around(minimum_edge_bps=11)

    @pytest.fixture
    def with_parameter(
        self, refused: tuple[FakeRiskView, Opportunity]
    ) -> Callable[[str, Decimal], RiskRule]:
        def changed(parameter: str, value: Decimal) -> RiskRule:
            view = attrs.evolve(refused[0])
            if parameter == "fees.taker":
                view.fees = attrs.evolve(view.fees, taker=value)
            else:
                view.set_limits(**{parameter.removeprefix("risk."): value})
            return rule_named("minimum_edge")(view)

        return changed


class TestDailyLoss(RiskRuleContract):
    @pytest.fixture
    def make_rule(self) -> Callable[[RiskView], RiskRule]:
        return rule_named("daily_loss")

    @pytest.fixture
    def passing(self) -> tuple[FakeRiskView, Opportunity]:
        view, found = around(maximum_daily_loss=100)
        view.realised_today = Decimal(-99)
        return view, found

    @pytest.fixture
    def refused(self) -> tuple[FakeRiskView, Opportunity]:
        view, found = around(maximum_daily_loss=100)
        view.realised_today = Decimal(-150)
        return view, found

    @pytest.fixture
    def with_parameter(
        self, refused: tuple[FakeRiskView, Opportunity]
    ) -> Callable[[str, Decimal], RiskRule]:
        def changed(parameter: str, value: Decimal) -> RiskRule:
            view = attrs.evolve(refused[0])
            if parameter == "profit.today":
                view.realised_today = value
            else:
                view.set_limits(**{parameter.removeprefix("risk."): value})
            return rule_named("daily_loss")(view)

        return changed


class TestTradingState(RiskRuleContract):
    has_flips = False

    @pytest.fixture
    def make_rule(self) -> Callable[[RiskView], RiskRule]:
        return rule_named("trading_state")

    @pytest.fixture
    def passing(self) -> tuple[FakeRiskView, Opportunity]:
        return around()

    @pytest.fixture
    def refused(self) -> tuple[FakeRiskView, Opportunity]:
        view, found = around()
        view.trading_state, view.halt_reason = TradingState.HALTED, "a test"
        return view, found


@pytest.mark.parametrize("name", [rule.name for rule in core_rules(FakeRiskView())])
def test_rule_of_core_answers_whatever_there_is_to_see(name: str) -> None:
    assert try_rule(rule_named(name)) == []


class TestWatchdog(ServiceContract):
    @pytest.fixture
    def service(self) -> Service:
        return Watchdog()


class TestControlServer(ServiceContract):
    @pytest.fixture
    async def service(self, tmp_path: Path) -> AsyncIterator[Service]:
        server = ControlServer(FakeBot(), tmp_path, "paper")
        await server.start()
        yield server
        await server.close()
