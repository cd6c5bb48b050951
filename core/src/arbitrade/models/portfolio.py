"""What an account holds, and how that changes."""

from decimal import Decimal

import attrs


@attrs.frozen
class Balance:
    """An asset of an account.

    Args:
        asset: Name in the spelling of the pairs.
        total: In the wallet that trades, held for orders or not.
        held: Of that, reserved by open orders.
    """

    asset: str
    total: Decimal
    held: Decimal = Decimal(0)

    @property
    def available(self) -> Decimal:
        """What a new order may use."""
        return self.total - self.held


@attrs.frozen
class BalanceChange:
    """One row of the venue's ledger as it happens.

    Args:
        ledger_id: Identifies the row.
        reference: What caused it, e.g. a trade's id; both rows of a trade share it.
        kind: The venue's word: `trade`, `deposit`, `withdrawal`, `transfer`, …
        asset: What changed.
        amount: Signed, without the fee.
        fee: Positive; taken beside the amount.
        balance: After it.
        timestamp: The venue's time, RFC 3339.
    """

    ledger_id: str
    reference: str
    kind: str
    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal
    timestamp: str | None


@attrs.frozen
class FeeRates:
    """What the account pays on a pair now, as fractions of the notional."""

    symbol: str
    taker: Decimal
    maker: Decimal
