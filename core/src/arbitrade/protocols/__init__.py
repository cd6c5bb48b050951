"""The roles objects play.  Hooks build them; from then on core calls these methods directly.

Attributes are read-only properties so that frozen attrs classes satisfy them.  One module a phase:
`clock`, `market`, `compiled`, `risk`, `execution`, `account`, `simulation`, `beside`.
"""

from typing import TYPE_CHECKING

from arbitrade.protocols.account import Account, AccountHandler, ManualAccount
from arbitrade.protocols.beside import AlertSink, OpportunityStore, Service
from arbitrade.protocols.clock import Clock
from arbitrade.protocols.compiled import CompiledDetector, CompiledStage, CompiledVenue
from arbitrade.protocols.execution import CycleDesk, Executor, PlanTaker, Resumer, Ticket
from arbitrade.protocols.market import (
    BringsExecutor,
    BufferHandler,
    CycleWatcher,
    Decoder,
    Detector,
    Feed,
    FeedHandler,
    PairWatcher,
    TradingVenue,
    Venue,
)
from arbitrade.protocols.renamed import renamed
from arbitrade.protocols.risk import RiskRule, RiskView, SizeRule
from arbitrade.protocols.simulation import Flow, RunningSimulation, Simulation

__all__ = [
    "Account",
    "AccountHandler",
    "AlertSink",
    "BringsExecutor",
    "BufferHandler",
    "Clock",
    "CompiledDetector",
    "CompiledStage",
    "CompiledVenue",
    "CycleDesk",
    "CycleWatcher",
    "Decoder",
    "Detector",
    "Executor",
    "Feed",
    "FeedHandler",
    "Flow",
    "ManualAccount",
    "OpportunityStore",
    "PairWatcher",
    "PlanTaker",
    "Resumer",
    "RiskRule",
    "RiskView",
    "RunningSimulation",
    "Service",
    "Simulation",
    "SizeRule",
    "Ticket",
    "TradingVenue",
    "Venue",
]

if TYPE_CHECKING:
    Store = OpportunityStore
else:
    # Hidden from the type checker, to which any name would exist with it.
    def __getattr__(name: str) -> object:
        return renamed(__name__, name)
