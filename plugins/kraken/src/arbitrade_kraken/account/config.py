"""Settings of the section `kraken` that are about the account: who we are, how we send orders."""

from typing import Any, Literal

import attrs

from arbitrade import Secret, setting
from arbitrade_kraken.config import KrakenSettings


def _more_than_nothing(_: Any, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not value > 0:
        raise ValueError(f"{attribute.name} must be above 0, is {value}")


@attrs.frozen
class KrakenAccountSettings(KrakenSettings):
    """How to reach Kraken, and the account to trade with.

    A class of its own below `KrakenSettings`, so that what only reads market data neither holds a
    credential nor has the keyring searched for one.
    """

    api_key: Secret | None = setting(
        None,
        "API key that may query funds, orders, trades and the ledger, create and cancel orders "
        "and use WebSockets, and that must not withdraw.",
        example="arbitrade secrets set kraken.api_key",
    )
    api_secret: Secret | None = setting(
        None,
        "The API key's private key.",
        example="arbitrade secrets set kraken.api_secret",
    )
    account: str = setting("main", "Name of the account in logs and the database.")
    tier: Literal["starter", "intermediate", "pro"] = setting(
        "starter", "The account's tier, for the rate limits until the venue tells."
    )
    country: str = setting(
        "",
        "Country of the account, two letters; pairs that may not be traded there are left out.",
        validator=attrs.validators.matches_re(r"([A-Z]{2})?"),
        hint='write "DE", or "" for no restriction',
    )
    rest_url: str = setting(
        "https://api.kraken.com",
        "Where REST requests go; a simulator has another.",
        validator=attrs.validators.matches_re(r"https?://[^\s/]+"),
        hint='write "https://host"',
    )
    ws_auth_url: str = setting(
        "wss://ws-auth.kraken.com/v2",
        "Where orders go and executions come from; a simulator has another.",
        validator=attrs.validators.matches_re(r"wss?://\S+"),
        hint='write "wss://host/path"',
    )
    rest_timeout_s: float = setting(
        10.0, "Longest wait for a REST answer.", unit="s", validator=_more_than_nothing
    )
    rest_patience_s: float = setting(
        15.0,
        "Longest wait for room in the venue's REST call counter before a call is refused.",
        unit="s",
        minimum=0,
    )
    order_timeout_s: float = setting(
        5.0,
        "An order without an answer for so long has an unknown outcome, and is looked up.",
        unit="s",
        validator=_more_than_nothing,
    )
    order_deadline_s: float = setting(
        5.0,
        "The venue must not match an order later than this after it was sent.",
        unit="s",
        minimum=0.5,
        maximum=60,
    )
    dead_man_s: int = setting(
        60,
        "The venue cancels everything after hearing nothing for so long; 0 switches that off.",
        unit="s",
        minimum=0,
        maximum=86_399,
    )
    dead_man_every_s: float = setting(
        20.0,
        "How often the dead man's switch is put off; well below `dead_man_s`.",
        unit="s",
        validator=_more_than_nothing,
    )
    resolve_settle_s: float = setting(
        5.0,
        "An order nobody knows of so long after its deadline never arrived.",
        unit="s",
        minimum=0,
    )
    fok_over_websocket: bool = setting(
        False, "Send fill-or-kill orders over the WebSocket; Kraken documents them for REST only."
    )
    nonce_folder: str = setting(
        "~/.arbitrade",
        "Folder where the last nonce of each API key is kept; shared by all processes of a key.",
    )
