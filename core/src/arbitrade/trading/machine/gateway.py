"""Where orders go: the venue's account, simulated fills, or, in a replay, nowhere.

A gateway is told and returns at once; what comes of it comes back as events.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from arbitrade.models import Intent, Side
from arbitrade.process.latency import Latency


class Gateway(Protocol):
    """The way out of the machine."""

    def begin(self, balances: Mapping[str, Decimal]) -> None:
        """Take what the account begins with; a venue with a ledger of its own knows better."""

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

    def fail_waiting(self, reason: str) -> None:
        """Give up orders whose intents will never be durable: none of them is sent any more."""

    def latencies(self) -> Mapping[str, Latency]:
        """Return what was measured on the way of orders, by name; empty where nothing is."""

    async def close(self) -> None:
        """Let what is under way come to its end or be cancelled."""
