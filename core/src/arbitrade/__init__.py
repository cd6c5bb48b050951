"""Arbitrade: find and trade triangular arbitrage, truthfully and safely.

The public API is what stands in `__all__`, plus the modules `models`, `protocols`, `hookspecs`,
`errors`, `pricing`, `lots`, `book`, `frames`, `api`, `hot` and `testing`.  Everything else is
internal.
"""

from typing import TYPE_CHECKING

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
from arbitrade.protocols.renamed import renamed

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

if TYPE_CHECKING:
    Store = OpportunityStore
else:
    # Hidden from the type checker, to which any name would exist with it.
    def __getattr__(name: str) -> object:
        return renamed(__name__, name)
