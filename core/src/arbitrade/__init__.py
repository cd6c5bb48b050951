"""Arbitrade: find and trade triangular arbitrage, truthfully and safely.

The public API is what stands in `__all__`, plus the modules `models`, `protocols`, `hookspecs`,
`errors`, `pricing`, `lots`, `book`, `api`, `hot` and `testing`.  Everything else is internal.
"""

from arbitrade import protocols
from arbitrade.book import OrderBook
from arbitrade.clock import SystemClock
from arbitrade.config import Secret, Settings, SettingsSection, setting
from arbitrade.errors import ArbitradeError
from arbitrade.hookspecs import hookimpl
from arbitrade.models import (
    Alert,
    Approved,
    BookDelta,
    Changed,
    Instrument,
    Instruments,
    Leg,
    Opportunity,
    Refused,
    Severity,
    Side,
)
from arbitrade.models.migrations import MigrationSeries
from arbitrade.protocols import (
    AlertSink,
    Clock,
    Decoder,
    Detector,
    Executor,
    Feed,
    FeedHandler,
    OpportunityStore,
    RiskRule,
    Service,
    Venue,
)

__all__ = [
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


def __getattr__(name: str) -> object:
    """Return what was called otherwise until 0.1, with a warning that names its successor."""
    return protocols.renamed(__name__, name)
