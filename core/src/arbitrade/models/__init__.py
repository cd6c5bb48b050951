"""The values that cross boundaries: frozen, typed, with their units."""

from arbitrade.models.alert import Alert, Severity
from arbitrade.models.instrument import Asset, Instrument, Instruments, InstrumentStatus
from arbitrade.models.market import (
    Batch,
    BookDelta,
    BookUnreadable,
    Changed,
    ConnectionLost,
    InstrumentsChanged,
    Level,
    MarketEvent,
    RequestRefused,
    Side,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.models.opportunity import (
    Approved,
    Dust,
    Episode,
    Leg,
    Opportunity,
    PlannedOrder,
    Refused,
)

__all__ = [
    "Alert",
    "Approved",
    "Asset",
    "Batch",
    "BookDelta",
    "BookUnreadable",
    "Changed",
    "ConnectionLost",
    "Dust",
    "Episode",
    "Instrument",
    "InstrumentStatus",
    "Instruments",
    "InstrumentsChanged",
    "Leg",
    "Level",
    "MarketEvent",
    "Opportunity",
    "PlannedOrder",
    "Refused",
    "RequestRefused",
    "Severity",
    "Side",
    "Subscribed",
    "Unsubscribed",
    "VenueState",
    "VenueStateChanged",
]
