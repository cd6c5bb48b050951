"""What a run did, as its end tells it."""

from collections.abc import Mapping
from decimal import Decimal

import attrs

from arbitrade.api import BotState


@attrs.frozen
class RunOutcome:
    """What a run did; `as_json` is what `--json` prints.

    Args:
        state: At its end.
        ledger: Our balances then, by asset.
        differences: The venue's balances less ours, as last compared.
        has_venue_ledger: Whether there is a venue with a ledger of its own to agree with.
        tick_to_order_us: Percentiles by name.
        rows: In the database, by table.
        recording: Its file; empty without one.
        reason: Why it ended.
    """

    state: BotState
    ledger: Mapping[str, Decimal]
    differences: Mapping[str, Decimal]
    has_venue_ledger: bool
    tick_to_order_us: Mapping[str, float | None]
    rows: Mapping[str, int]
    recording: str
    reason: str

    def as_json(self) -> dict[str, object]:
        """Return it as plain values, amounts as exact text."""
        state = self.state
        return {
            "run": state.run,
            "account": state.account,
            "mode": state.mode.value,
            "seconds": round(state.uptime_s, 3),
            "cycles": dict(state.cycles),
            "opportunities": dict(state.funnel),
            "refusals": dict(state.refusals),
            "orders": state.orders,
            "executions": state.executions,
            "pnl": {asset: f"{amount:f}" for asset, amount in state.profit.items()},
            "pnl_reference": {state.reference_asset: f"{state.profit_reference:f}"},
            "ledger_difference": {asset: f"{v:f}" for asset, v in self.differences.items()},
            "decisions": state.decisions,
            "decision_hash": state.decision_hash,
            "latency_us": dict(self.tick_to_order_us),
            "database": dict(self.rows),
            "trading_state": state.trading_state.value,
            "recording": self.recording,
            "ended_because": self.reason,
        }
