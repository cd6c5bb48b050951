"""Every risk rule of core, by name."""

from arbitrade.protocols.risk import RiskRule, RiskView
from arbitrade.risk.edge import MinimumEdge
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
from arbitrade.risk.pace import CircuitBreaker, Cooldown, DailyLoss, Drawdown, OrderRate
from arbitrade.risk.size import BalanceLimit, MaximumNotional
from arbitrade.risk.state import InstrumentTradable, TradingAllowed


def core_rules(view: RiskView) -> list[RiskRule]:
    """Return every rule of core, by name."""
    return [
        AccountReady(view),
        BalanceLimit(view),
        BookAge(view),
        CircuitBreaker(view),
        ClockSkew(view),
        ConcurrentCycles(view),
        Cooldown(view),
        DailyLoss(view),
        DecisionAge(view),
        Drawdown(view),
        EventLag(view),
        InstrumentTradable(view),
        JournalWritable(view),
        MaximumInFlight(view),
        MaximumNotional(view),
        MaximumPerAsset(view),
        MinimumEdge(view),
        OrderRate(view),
        SameCycle(view),
        SharedBooks(view),
        TradingAllowed(view),
    ]
