"""The gateway of a replay: what came of each order is on the recording."""

from collections.abc import Sequence

from arbitrade.models import Intent, Side


class NowhereGateway:
    """A gateway whose answers are on the recording."""

    def send(self, intent: Intent, sequence: int) -> None:
        """What came of it follows on the recording."""

    def cancel(self, client_ids: Sequence[str]) -> None:
        """The same."""

    def look_up(self, client_id: str) -> None:
        """The same."""

    def reconcile(self, since_ns: int | None) -> None:
        """The same."""

    def taken(self, symbol: str, side: Side) -> int:
        """Return 0, as a venue's account does."""
        return 0
