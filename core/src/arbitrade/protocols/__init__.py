"""The roles objects play.  Hooks build them; from then on core calls these methods directly.

Attributes are read-only properties so that frozen attrs classes satisfy them.  One module a phase:
`clock`, `market`, `compiled`, `risk`, `execution`, `account`, `simulation`, `beside`.
"""

import warnings

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

_RENAMED = {"Store": OpportunityStore}
"""Names that go with version 0.2, and who took their place."""


def renamed(module: str, name: str) -> object:
    """Return what `module` called `name` once, and warn whoever still does.

    Raises:
        AttributeError: It was never called so.
    """
    successor = _RENAMED.get(name)
    if successor is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warnings.warn(
        f"{module}.{name} is called {module}.{successor.__name__} now; the old name goes with 0.2",
        DeprecationWarning,
        stacklevel=3,
    )
    return successor


def __getattr__(name: str) -> object:
    return renamed(__name__, name)
