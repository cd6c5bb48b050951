"""The roles of a simulated venue: one that stands in for the real one, and can be asked the truth.

Part of the public API through `arbitrade.protocols`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import attrs


@attrs.frozen
class Flow:
    """What happened to an asset of a simulated account, as the venue's own ledger tells it.

    Args:
        opening: What the account began with.
        deposited: Since then; positive.
        withdrawn: Positive, without its fee.
        traded: Σ amounts of trades, signed, without fees.
        fees: Σ fees of everything; positive when paid, rebates counted against them.
        other: Σ amounts of anything else: transfers, rewards.
    """

    opening: Decimal
    deposited: Decimal
    withdrawn: Decimal
    traded: Decimal
    fees: Decimal
    other: Decimal

    @property
    def closing(self) -> Decimal:
        """What there is now, to the last digit."""
        moved = self.deposited - self.withdrawn + self.traded + self.other
        return self.opening + moved - self.fees


class RunningSimulation(Protocol):
    """A simulated venue that takes connections."""

    @property
    def overrides(self) -> Mapping[str, Mapping[str, object]]:
        """Settings to lay over all others, by section, so that the venue's adapter comes here.

        Credentials among them are `Secret`s.
        """

    async def balances(self) -> Mapping[str, Decimal]:
        """Return what the venue's own ledger says of every asset the account ever had."""

    async def flows(self) -> Mapping[str, Flow]:
        """Return how each of these balances came about; `closing` is the balance."""

    async def fault(self, kind: str, **arguments: object) -> None:
        """Let something go wrong.

        Args:
            kind: Which fault; the venue's plugin names its own.
            arguments: Where, how often, how long, as the plugin documents it.

        Raises:
            UsageError: No such fault, or it takes no such argument.
        """

    async def discrepancies(self) -> Sequence[str]:
        """Return what doesn't add up in the venue's own books, one line each; has to be empty."""


class Simulation(Protocol):
    """Runs a simulated venue."""

    @property
    def name(self) -> str:
        """Name of the venue it stands in for."""

    def running(
        self,
        *,
        seed: int,
        pairs: int,
        rate: float,
        recording: Path | None = None,
        balances: Mapping[str, Decimal] | None = None,
        account: str,
    ) -> AbstractAsyncContextManager[RunningSimulation]:
        """Return a context in which it takes connections; it ends with it, and with this process.

        Args:
            seed: Of everything that happens by chance; the same seed moves the market the same way.
            pairs: How many pairs there are, the busiest first.
            rate: Moves of the market a second.
            recording: Drive the market by this instead; `pairs` doesn't matter then.
            balances: What the account begins with; None for plenty of the usual assets.
            account: Name of the account.

        Raises:
            UsageError: An argument that makes no sense; the message names it.
            VenueUnavailableError: It doesn't start, or doesn't answer.
        """
