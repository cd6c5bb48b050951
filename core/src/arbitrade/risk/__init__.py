"""Risk: core's own rules, and the gate every opportunity has to pass.

Rules are small and look at nothing but the opportunity and a `RiskView`.  They read the limits when
asked, because limits change while the bot runs.

* `edge`, `size`: what an opportunity must bring, and how much may go in.
* `inventory`: what is under way already.
* `pace`: how often, how soon after a failure, after which losses.
* `health`, `state`: whether we can see and act, and whether trading is on at all.
"""

from arbitrade.risk.blocked import refuse_blocked, smallest_input
from arbitrade.risk.core_rules import core_rules
from arbitrade.risk.edge import MinimumEdge
from arbitrade.risk.gate import Cap, RiskGate
from arbitrade.risk.health import (
    AccountReady,
    BookAge,
    ClockSkew,
    DecisionAge,
    EventLag,
    JournalWritable,
)
from arbitrade.risk.inventory import (
    ConcurrentCycles,
    MaximumInFlight,
    MaximumPerAsset,
    SameCycle,
    SharedBooks,
)
from arbitrade.risk.limits import LimitBook, LimitChange
from arbitrade.risk.pace import CircuitBreaker, Cooldown, DailyLoss, Drawdown, OrderRate
from arbitrade.risk.quiet import QuietView
from arbitrade.risk.size import BalanceLimit, MaximumNotional
from arbitrade.risk.state import InstrumentTradable, TradingAllowed

__all__ = [
    "AccountReady",
    "BalanceLimit",
    "BookAge",
    "Cap",
    "CircuitBreaker",
    "ClockSkew",
    "ConcurrentCycles",
    "Cooldown",
    "DailyLoss",
    "DecisionAge",
    "Drawdown",
    "EventLag",
    "InstrumentTradable",
    "JournalWritable",
    "LimitBook",
    "LimitChange",
    "MaximumInFlight",
    "MaximumNotional",
    "MaximumPerAsset",
    "MinimumEdge",
    "OrderRate",
    "QuietView",
    "RiskGate",
    "SameCycle",
    "SharedBooks",
    "TradingAllowed",
    "core_rules",
    "refuse_blocked",
    "smallest_input",
]
