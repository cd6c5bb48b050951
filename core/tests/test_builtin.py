from decimal import Decimal

import pytest
import structlog

from arbitrade import Alert, Severity
from arbitrade.config import Settings
from arbitrade.models import CycleState
from arbitrade.plugins import PluginRegistry
from arbitrade.plugins.builtin import COMMANDS
from arbitrade.pricing import FeeSchedule
from arbitrade.testing.desk import FakeDesk
from arbitrade.testing.factories import make_book


@pytest.fixture
def registry() -> PluginRegistry:
    return PluginRegistry.of([])


async def test_observe_logs_what_it_would_send_and_sends_nothing(registry):
    executor = registry.make_executor(Settings(), "observe")
    books = [
        make_book("BTC/USD", bids=[("99", 9)], asks=[("100", 9)]),
        make_book("ETH/BTC", bids=[("0.24", 9)], asks=[("0.25", 9)]),
        make_book("ETH/USD", bids=[("26", 9)], asks=[("27", 9)]),
    ]
    desk = FakeDesk.around(books, 100, fees=FeeSchedule(Decimal(0)))
    with structlog.testing.capture_logs() as logged:
        assert await executor.execute(desk) is CycleState.ABORTED_CLEAN
    assert desk.tickets == []
    assert logged == [
        {
            "event": "execution.observed",
            "log_level": "info",
            "opportunity": "USD>BTC>ETH",
            "edge_bps": "10",
            "would_send": [
                "buy 1.00000000 BTC/USD at 100.00",
                "buy 4.00000000 ETH/BTC at 0.25",
                "sell 4.00000000 ETH/USD at 26.00",
            ],
            "blocked": None,
        }
    ]


@pytest.mark.parametrize("name", ["observe", "sequential", "parallel"])
def test_core_brings_the_executors_the_settings_name(registry, name):
    assert registry.make_executor(Settings(), name).name == name


@pytest.mark.parametrize("severity", Severity)
async def test_log_sink_logs_alerts_at_the_level_of_their_severity(registry, severity):
    (sink,) = registry.alert_sinks(Settings())
    with structlog.testing.capture_logs() as logged:
        await sink.send(Alert(severity, "book out of sync", "resubscribing", "BTC/USD"))
    (entry,) = logged
    assert entry["log_level"] == severity.name.lower()
    assert entry["title"] == "book out of sync"
    assert entry["subject"] == "BTC/USD"


def test_every_command_of_core_comes_through_arbitrade_register_commands(registry):
    assert tuple(command.name for command in registry.commands()) == COMMANDS


def test_core_contributes_through_the_same_hooks_as_everyone(registry):
    assert registry.implemented("core") == (
        "arbitrade_register_commands",
        "arbitrade_register_migrations",
        "arbitrade_make_store",
        "arbitrade_register_risk_rules",
        "arbitrade_make_executor",
        "arbitrade_register_alert_sinks",
    )
