"""What plugin authors may build on.  A change here is one for them: docs/hooks.md, Stability."""

import importlib
import inspect

import pytest

import arbitrade

PUBLIC = [
    "Alert",
    "AlertSink",
    "Approved",
    "ArbitradeError",
    "BookDelta",
    "Changed",
    "Clock",
    "Decoder",
    "Detector",
    "Executor",
    "Feed",
    "FeedHandler",
    "Instrument",
    "Instruments",
    "Leg",
    "MigrationSeries",
    "Opportunity",
    "OpportunityStore",
    "OrderBook",
    "Refused",
    "RiskRule",
    "Secret",
    "Service",
    "Settings",
    "SettingsSection",
    "Severity",
    "Side",
    "SystemClock",
    "Venue",
    "hookimpl",
    "setting",
]

MODULES = (
    *("models", "protocols", "hookspecs", "errors"),
    *("pricing", "lots", "book", "frames", "api", "hot", "testing"),
)


def test_public_names_are_these_and_each_exists():
    assert arbitrade.__all__ == PUBLIC
    assert all(hasattr(arbitrade, name) for name in PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    assert name == "hookimpl" or inspect.getdoc(getattr(arbitrade, name))


@pytest.mark.parametrize("module", MODULES)
def test_public_modules_exist_and_say_what_they_are(module):
    assert importlib.import_module(f"arbitrade.{module}").__doc__


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_and_classes_of_public_modules_are_documented(module):
    found = importlib.import_module(f"arbitrade.{module}")
    undocumented = [
        name
        for name, each in vars(found).items()
        if not name.startswith("_")
        and (inspect.isclass(each) or inspect.isfunction(each))
        and each.__module__ == found.__name__
        and not inspect.getdoc(each)
    ]
    assert not undocumented
