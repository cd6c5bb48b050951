from decimal import Decimal

import pytest
import structlog

from arbitrade import Alert, Approved, Leg, Opportunity, Severity, Side
from arbitrade.builtin import COMMANDS
from arbitrade.config import Settings
from arbitrade.models import PlannedOrder
from arbitrade.plugins import PluginRegistry

FOUND = Opportunity(
    detector="test",
    key="USD>BTC",
    assets=("USD", "BTC"),
    legs=(Leg("BTC/USD", Side.BUY),),
    edge_bps=Decimal("12.5"),
    size=Decimal(100),
    profit=Decimal("0.125"),
    orders=(PlannedOrder("BTC/USD", Side.BUY, Decimal("0.5"), Decimal("200.1")),),
    lot_profit=Decimal("0.12"),
    dust=(),
    blocked=None,
    timestamp=None,
)


@pytest.fixture
def registry() -> PluginRegistry:
    return PluginRegistry.of([])


async def test_observe_logs_what_it_would_send_and_sends_nothing(registry):
    executor = registry.make_executor(Settings(), "observe")
    desk = FakeDesk(make_approved())
    with structlog.testing.capture_logs() as logged:
        assert await executor.execute(desk) is CycleState.ABORTED_CLEAN
    assert desk.tickets == []
    assert logged == [
        {
            "event": "execution.observed",
            "log_level": "info",
            "opportunity": "USD>BTC>ETH",
            "edge_bps": "12.5",
            "would_send": [
                "buy 0.5 BTC/USD at 200.1",
                "buy 1 ETH/BTC at 0.4",
                "sell 1 ETH/USD at 101",
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
