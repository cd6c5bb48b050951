"""What is read back of profit, of the ledger and of balances."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

import attrs


@attrs.frozen
class ProfitView:
    """What closed cycles changed of an asset, on a day or with a key, or altogether."""

    asset: str
    flow: Decimal
    cycles: int
    day: date | None = None
    key: str | None = None


@attrs.frozen
class LedgerBalance:
    """A balance of an account of the ledger."""

    ledger_account: str
    asset: str
    balance: Decimal


@attrs.frozen
class BalanceView:
    """The last comparison of an asset with the venue."""

    asset: str
    at: datetime
    venue_balance: Decimal
    ledger_balance: Decimal
    difference: Decimal
    verdict: str


@attrs.frozen
class PostingView:
    """A line of the ledger with its transaction."""

    run: str
    account: str
    at: datetime
    transaction: str
    line: int
    reason: str
    cycle: int | None
    proof: str
    ledger_account: str
    asset: str
    amount: Decimal


@attrs.frozen
class ProfitPoint:
    """Profit of a run so far, at a moment.

    Args:
        realised_reference: In the reference asset of the settings.
        peak_reference: The highest it has been.
        today_reference: Since midnight UTC.
        consecutive_failures: Cycles in a row that brought a loss.
        realised: The same by asset.
    """

    run: str
    account: str
    at: datetime
    realised_reference: Decimal
    peak_reference: Decimal
    today_reference: Decimal
    consecutive_failures: int
    realised: Mapping[str, Decimal]


@attrs.frozen
class BalancePoint:
    """All balances of an account's wallet by our ledger, at a moment."""

    run: str
    account: str
    at: datetime
    balances: Mapping[str, Decimal]
