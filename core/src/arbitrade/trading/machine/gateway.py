"""Where orders go: the venue's account, simulated fills, or, in a replay, nowhere.

A gateway is told and returns at once; what comes of it comes back as events.
"""

from collections.abc import Sequence
from typing import Protocol

from arbitrade.models import Intent, Side


class Gateway(Protocol):
    """The way out of the machine."""

    def send(self, intent: Intent, sequence: int) -> None:
        """Send an order once the journal entry `sequence` is durable, and not before.

        Comes back as `OrderAnswer`, `Execution`, `BalanceMoved`.
        """

    def cancel(self, client_ids: Sequence[str]) -> None:
        """Cancel orders; what comes of it shows in their executions."""

    def look_up(self, client_id: str) -> None:
        """Ask what became of an order; comes back as `OrderFound` or `LookUpFailed`."""

    def reconcile(self, since_ns: int | None) -> None:
        """Ask for all balances, and before that for fills and ledger rows since, unless None.

        They come back as `Execution`, `BalanceMoved` and `BalancesTold`, then `Reconciled`.
        """

    def taken(self, symbol: str, side: Side) -> int:
        """Return lots at the front of a book's side that are displayed and no longer there.

        A venue's own book knows; simulated fills leave the displayed book as it is.
        """
