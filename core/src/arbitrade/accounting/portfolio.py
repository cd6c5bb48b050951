"""What trading brought so far, how it went lately, and how fast orders go out."""

from collections import Counter, deque
from decimal import Decimal

from arbitrade.models import CycleState
from arbitrade.records import CycleClosed, ProfitMeasured

ZERO = Decimal(0)
OPERATOR_KEY = "flatten:"
"""What keys begin with that are no opportunity's; how they end says nothing about trading."""
_MINUTE_NS = 60_000_000_000
_DAY_NS = 86_400_000_000_000


class Portfolio:
    """Profit, failures, pace.  Amounts "in the reference asset" as valued when a cycle ended."""

    def __init__(self) -> None:
        self.realised: dict[str, Decimal] = {}
        self.realised_reference = ZERO
        self.peak_reference = ZERO
        self._day = 0
        self._today = ZERO
        self.consecutive_failures = 0
        self.last_failure_ns: int | None = None
        self.cycles: Counter[str] = Counter()
        self._failed_at: dict[str, int] = {}
        self._sent: deque[int] = deque()

    # ── profit ───────────────────────────────────────────────────────────────────────────────────

    def on_cycle_closed(
        self, closed: CycleClosed, now_ns: int, *, is_rehearsal: bool = False
    ) -> None:
        """Take a cycle's end; a rehearsal has none that says anything."""
        for asset, amount in closed.flows.items():
            self.realised[asset] = self.realised.get(asset, ZERO) + amount
        gained = closed.profit_reference or ZERO
        self.realised_reference += gained
        self.peak_reference = max(self.peak_reference, self.realised_reference)
        self._today = self.realised_today(now_ns) + gained
        self._day = now_ns // _DAY_NS
        self.cycles[closed.state.value] += 1
        if not is_rehearsal and not closed.key.startswith(OPERATOR_KEY):
            self._judge(closed, now_ns)

    def restore(self, kept: ProfitMeasured, time_ns: int) -> None:
        """Go on from what an earlier run wrote down."""
        self.realised = dict(kept.realised)
        self.realised_reference = kept.realised_reference
        self.peak_reference = kept.peak_reference
        self._today, self._day = kept.today_reference, time_ns // _DAY_NS
        self.consecutive_failures = kept.consecutive_failures
        self.last_failure_ns = time_ns if kept.consecutive_failures else None

    def measured(self, now_ns: int) -> ProfitMeasured:
        """Return the figures as the record that is written now and then."""
        return ProfitMeasured(
            dict(sorted(self.realised.items())),
            self.realised_reference,
            self.peak_reference,
            self.realised_today(now_ns),
            self.consecutive_failures,
        )

    def realised_today(self, now_ns: int) -> Decimal:
        """Return realised profit since midnight UTC."""
        return self._today if now_ns // _DAY_NS == self._day else ZERO

    @property
    def drawdown(self) -> Decimal:
        """How far profit is below its peak."""
        return self.peak_reference - self.realised_reference

    # ── failures ─────────────────────────────────────────────────────────────────────────────────

    def failed_at_ns(self, key: str) -> int | None:
        """Return when a cycle last failed."""
        return self._failed_at.get(key)

    def _judge(self, closed: CycleClosed, now_ns: int) -> None:
        if closed.state is CycleState.COMPLETED:
            self.consecutive_failures = 0
            self._failed_at.pop(closed.key, None)
            return
        self._failed_at[closed.key] = now_ns
        # A recovered cycle says something about a crash, not about the market.
        if not closed.is_recovered:
            self.consecutive_failures += 1
            self.last_failure_ns = now_ns

    # ── pace ─────────────────────────────────────────────────────────────────────────────────────

    def on_order(self, now_ns: int) -> None:
        """Count an order that is sent now, for the pace of the last minute."""
        self._sent.append(now_ns)
        # Without a limit nobody asks, and it would grow.
        self.orders_last_minute(now_ns)

    def orders_last_minute(self, now_ns: int) -> int:
        """Return how many were sent in the last sixty seconds."""
        sent = self._sent
        while sent and sent[0] <= now_ns - _MINUTE_NS:
            sent.popleft()
        return len(sent)
