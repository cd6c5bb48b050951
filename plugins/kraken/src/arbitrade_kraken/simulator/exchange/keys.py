"""Who may do what at the exchange: verification tiers, API keys, permissions."""

import enum

import attrs

TRADING_PERMISSIONS = frozenset(
    {
        "query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades",
        "query-ledger", "create-ws-token",
    }
)  # fmt: skip
"""What a trading key has, in the words of `GetApiKeyInfo`."""


class VerificationTier(enum.Enum):
    """How well the venue knows a customer: it sets the limits of the rate counters."""

    STARTER = "starter"
    INTERMEDIATE = "intermediate"
    PRO = "pro"


@attrs.define
class ApiKey:
    """An API key.  `secret` is base64; `last_nonce` and `nonce_window` are for who checks them."""

    name: str
    account: str
    key: str
    secret: str = attrs.field(repr=False)
    permissions: frozenset[str]
    nonce_window: int = 0
    last_nonce: int = 0
    created_ns: int = 0
