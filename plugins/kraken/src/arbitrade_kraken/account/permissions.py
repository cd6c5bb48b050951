"""Whether an API key fits: everything it needs, and no way to take money out."""

from arbitrade.errors import AuthenticationError
from arbitrade_kraken.rest.answers import KeyInfo

NEEDED = {
    "query-funds": "Query funds",
    "query-open-trades": "Query open orders & trades",
    "query-closed-trades": "Query closed orders & trades",
    "query-ledger": "Query ledger entries",
    "modify-trades": "Create & modify orders",
    "close-trades": "Cancel & close orders",
    "create-ws-token": "WebSocket interface",
}
"""The venue's word, and how its site calls it."""

FORBIDDEN = {"withdraw-funds": "Withdraw"}


def check_permissions(key: KeyInfo) -> None:
    """Refuse a key that can't do what we need, or could do what we must not be able to.

    Raises:
        AuthenticationError: Names everything that is missing or too much, all at once.
    """
    missing = [name for word, name in NEEDED.items() if word not in key.permissions]
    excess = [name for word, name in FORBIDDEN.items() if word in key.permissions]
    if not missing and not excess:
        return
    problems = []
    if missing:
        problems.append(f"lacks {_listed(missing)}: grant it")
    if excess:
        problems.append(f"has {_listed(excess)}: take it away, a stolen key must not move funds")
    raise AuthenticationError(
        f"kraken: the API key {key.name!r} {'; and '.join(problems)}.  Change it on Kraken's site "
        "under Security, API"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
