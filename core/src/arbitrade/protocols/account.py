"""The roles of a venue's private side: orders, executions, balances.

Part of the public API through `arbitrade.protocols`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from arbitrade.models import (
    Balance,
    BalanceChange,
    ExecutionReport,
    FeeRates,
    OrderOutcome,
    OrderRequest,
    OrderState,
)


class AccountHandler(Protocol):
    """Who an account reports to.  Called between two socket reads: no blocking, no await."""

    def on_execution(self, report: ExecutionReport, is_snapshot: bool) -> None:
        """Take one event of an order; fills may come twice, and before the answer to the order.

        What a fill says is what the venue's ledger books: for each asset the changes of all fills
        (a buy: +quantity of base, −cost of quote; a sell the other way round) less their fees are
        the change of the balance, to the last digit.

        A final event may come before the last fill, after a gap or when the venue reorders: an
        order is complete when its fills add up to the `cumulative_quantity` of its final event.
        The answer to a cancel says nothing of fills that are still on their way.
        """

    def on_balance(self, change: BalanceChange) -> None:
        """Take one change of a balance; a trade brings two, one after the other.

        Their `reference` is the fill's `exec_id`.  Should one differ from what the fill said, it is
        the row that counts.
        """

    def on_balances(self, balances: Sequence[Balance]) -> None:
        """Take all balances, as told when the connection was made.

        `total` is the venue's own; `held` may be reckoned from open orders, without their fees.
        `Account.balances` has it exactly.
        """

    def on_gap(self, reason: str) -> None:
        """Something was missed: reconcile with what the venue says now before going on."""

    def on_ready(self, is_ready: bool, reason: str = "") -> None:
        """The private connection stands with snapshots taken and orders may go out, or no more.

        Told again when the reason why not has become another.
        """


class Account(Protocol):
    """An account at a venue: all that core calls, and no more."""

    @property
    def name(self) -> str:
        """Which account, for logs and the database; never a key."""

    async def run(self, handler: AccountHandler) -> None:
        """Keep the private connection, the token and the dead man's switch until cancelled.

        Raises:
            AuthenticationError: The key is refused, lacks a permission or has one too many; the
                message names it.
            VenueUnavailableError: The venue refuses for good.
        """

    async def close(self) -> None:
        """Let go of what questions have opened.  Idempotent; another question opens it again."""

    async def add(self, order: OrderRequest) -> OrderOutcome:
        """Send one order; returns when the venue answered or the outcome is unknown."""

    async def cancel(self, client_ids: Sequence[str]) -> Mapping[str, OrderOutcome]:
        """Cancel orders; one that is gone already is `Rejected`: ask how it ended."""

    async def resolve(self, client_id: str) -> OrderState | None:
        """Ask the venue what became of an order; None when it never arrived.

        Raises:
            VenueUnavailableError: The venue can't be asked now; still unknown.
        """

    async def balances(self) -> Sequence[Balance]:
        """Return all balances that can be traded, holds included."""

    async def fee_rates(self, symbols: Collection[str]) -> Sequence[FeeRates]:
        """Return what the account pays on these pairs now."""

    async def fills_since(self, start: str) -> Sequence[ExecutionReport]:
        """Return the fills since an RFC 3339 time, oldest first, those of other programs too.

        Each says the same numbers as the stream did under its `exec_id`.
        """

    async def ledger_since(self, start: str) -> Sequence[BalanceChange]:
        """Return every change of a balance since an RFC 3339 time, oldest first, of all kinds.

        Each says the same as `AccountHandler.on_balance` did under its `ledger_id`.
        """

    async def server_time_ns(self) -> int:
        """Return the venue's time now, nanoseconds since the epoch, as fine as the venue tells it.

        What is finer is cut off: a clock that agrees is ahead of it by up to that much.
        """


@runtime_checkable
class ManualAccount(Account, Protocol):
    """An account that offers more than a bot needs, to people and their scripts.

    Core calls none of it.  An account that leaves it out trades just as well.
    """

    async def add_batch(self, orders: Sequence[OrderRequest]) -> Sequence[OrderOutcome]:
        """Send several orders of one pair at once; outcomes in the order of the requests."""

    async def amend(
        self, client_id: str, *, quantity: str | None = None, limit_price: str | None = None
    ) -> OrderOutcome:
        """Change an open order in place; numbers in plain notation on the pair's increments."""

    async def cancel_all(self) -> int | None:
        """Cancel everything of the account; return how many, None if the outcome is unknown."""

    async def cancel_all_after(self, timeout_s: int) -> bool:
        """Arm the venue's dead man's switch, 0 disarms; tell whether the venue confirmed."""

    async def open_orders(self) -> Sequence[OrderState]:
        """Return the orders that stand, other programs' too: those without a client id of ours."""
