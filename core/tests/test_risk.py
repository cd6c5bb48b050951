from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade import Instruments, Leg, Opportunity, Side
from arbitrade.config import RiskSettings, Settings
from arbitrade.plugins import PluginRegistry
from arbitrade.risk import MinimumEdge


def opportunity(edge_bps: Decimal) -> Opportunity:
    return Opportunity(
        detector="test",
        key="USD>BTC",
        assets=("USD", "BTC"),
        legs=(Leg("BTC/USD", Side.BUY), Leg("BTC/USD", Side.SELL)),
        edge_bps=edge_bps,
        size=Decimal(100),
        profit=Decimal(1),
        orders=(),
        lot_profit=Decimal(0),
        dust=(),
        blocked=None,
        timestamp=None,
    )


@pytest.mark.parametrize(
    ("edge_bps", "passes"),
    [("5.0000000000000000000000001", True), ("5", False), ("4.999", False), ("-5", False)],
)
def test_edge_has_to_be_strictly_above_the_limit(edge_bps, passes):
    refused = MinimumEdge(Decimal(5)).check(opportunity(Decimal(edge_bps)))
    assert (refused is None) is passes


def test_refusal_names_the_rule_the_setting_the_value_and_the_limit():
    found = opportunity(Decimal("1.25"))
    refused = MinimumEdge(Decimal(5)).check(found)
    assert refused is not None
    assert refused.opportunity is found
    assert refused.rule == "minimum_edge"
    assert "risk.minimum_edge_bps" in refused.reason
    assert (refused.value, refused.limit) == ("1.2500 bps", "5 bps")


@given(
    edge=st.decimals(allow_nan=False, allow_infinity=False, places=6),
    limit=st.decimals(allow_nan=False, allow_infinity=False, places=6),
)
def test_nothing_at_or_below_the_limit_ever_passes(edge, limit):
    assert (MinimumEdge(limit).check(opportunity(edge)) is None) == (edge > limit)


def test_limit_comes_from_the_settings_through_arbitrade_register_risk_rules():
    settings = Settings(risk=RiskSettings(minimum_edge_bps=Decimal(7)))
    assert PluginRegistry.of([]).risk_rules(settings, Instruments()) == (MinimumEdge(Decimal(7)),)
