"""What the `balances` channel says, as models.  Pure.

Only what is in the spot wallet `main` can be traded; what earns elsewhere is left out.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from arbitrade.errors import MessageError
from arbitrade.models import Balance, BalanceChange

_TRADING = ("spot", "main")


def read_balance(row: Mapping[str, Any], holds: Mapping[str, Decimal]) -> Balance:
    """Return the balance in a row of a snapshot.

    Args:
        row: As on the wire; `balance` sums up all wallets, so the wallets are read.
        holds: What open orders reserve by asset, which the venue doesn't say here.
    """
    asset = _asset(row)
    held = holds.get(asset, Decimal(0))
    wallets = row.get("wallets")
    if wallets is None:
        return Balance(asset, _number(row, "balance"), held)
    total = sum(
        (
            _number(wallet, "balance")
            for wallet in wallets
            if (wallet.get("type"), wallet.get("id")) == _TRADING
        ),
        Decimal(0),
    )
    return Balance(asset, total, held)


def read_change(row: Mapping[str, Any]) -> BalanceChange | None:
    """Return the change in a row of an update, None when it is not about the trading wallet."""
    wallet = (row.get("wallet_type", "spot"), row.get("wallet_id", "main"))
    if wallet != _TRADING:
        return None
    return BalanceChange(
        ledger_id=str(row.get("ledger_id") or ""),
        reference=str(row.get("ref_id") or ""),
        kind=str(row.get("type") or ""),
        asset=_asset(row),
        amount=_number(row, "amount"),
        fee=_number(row, "fee") if "fee" in row else Decimal(0),
        balance=_number(row, "balance"),
        timestamp=row.get("timestamp"),
    )


def _asset(row: Mapping[str, Any]) -> str:
    asset = row.get("asset")
    if isinstance(asset, str) and asset:
        return asset
    raise MessageError("kraken: a balance without its asset")


def _number(row: Mapping[str, Any], key: str) -> Decimal:
    value = row.get(key)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise MessageError(f"kraken: a balance with {key} {value!r}")
