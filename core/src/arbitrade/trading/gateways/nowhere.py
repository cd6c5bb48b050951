"""The gateway of a replay: what came of each order is on the recording."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from arbitrade.models import Intent, Side
from arbitrade.process.latency import Latency


class NowhereGateway:
    """Satisfies `Gateway`; does nothing, because what follows is on the recording."""

    def begin(self, balances: Mapping[str, Decimal]) -> None:
        """Leave the balances to the recording."""

    def send(self, intent: Intent, sequence: int) -> None:
        """Leave the answer to the recording."""

    def cancel(self, client_ids: Sequence[str]) -> None:
        """Leave the cancelled orders' ends to the recording."""

    def look_up(self, client_id: str) -> None:
        """Leave what was found to the recording."""

    def reconcile(self, since_ns: int | None) -> None:
        """Leave what the venue told to the recording."""

    def taken(self, symbol: str, side: Side) -> int:
        """Return 0, as a venue's account does."""
        return 0

    def fail_waiting(self, reason: str) -> None:
        """Do nothing: orders here wait for no disk."""

    def latencies(self) -> Mapping[str, Latency]:
        """Return nothing: a replay measures nothing."""
        return {}

    async def close(self) -> None:
        """Nothing is under way."""
