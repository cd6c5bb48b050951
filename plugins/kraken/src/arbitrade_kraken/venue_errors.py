"""The venue's error texts, and what each of them means for us.

One table, matched by prefix: texts carry details behind the part that identifies them, and
sometimes a space after the colon.  Source: REST documentation, "Errors" (May 2026), and what was
seen on the wire.  Errors of this plugin:

    VenueUnavailableError
    ├── RateLimitedError       wait; asking on makes it worse
    └── TokenExpiredError      fetch a new WebSocket token
    AuthenticationError
    └── AccountLockedError     stop, and don't try again before the lock is over
    OrderRejectedError
    ├── InsufficientFundsError read the balances again
    ├── SizeRejectedError      read the pair's minimums and increments again
    ├── PairClosedError        stop using that pair until it is online again
    ├── PairRestrictedError    this account may never trade that pair
    ├── OrderGoneError         find out how the order ended
    └── MarginError            never happens without margin
    RequestError               our bug: the request makes no sense to the venue
    └── NonceError             sign anew with a larger nonce, once
"""

import re
from collections.abc import Iterable, Sequence

import attrs

from arbitrade.errors import (
    AuthenticationError,
    OrderRejectedError,
    VenueError,
    VenueUnavailableError,
)


class RateLimitedError(VenueUnavailableError):
    """Too much was asked; wait until the venue's counter has decayed."""


class TokenExpiredError(VenueUnavailableError):
    """The WebSocket token is no longer good; a new one is needed."""


class AccountLockedError(AuthenticationError):
    """The account is locked or not confirmed; asking on prolongs it."""


class InsufficientFundsError(OrderRejectedError):
    """The balance doesn't cover the order and its fee, or other orders hold it."""


class SizeRejectedError(OrderRejectedError):
    """Price, quantity or notional don't fit the pair's increments and minimums."""


class PairClosedError(OrderRejectedError):
    """The pair or the engine takes no such orders now."""


class PairRestrictedError(OrderRejectedError):
    """The account may not trade that pair."""


class OrderGoneError(OrderRejectedError):
    """The order is not open any more, or never was: find out how it ended."""


class MarginError(OrderRejectedError):
    """Something about margin, which we never use."""


class RequestError(VenueError):
    """The venue can't make sense of the request: our bug, or a change of its interface."""


class NonceError(RequestError):
    """The nonce was not larger than the last one of the key."""


@attrs.frozen
class Rule:
    """What one family of texts means.

    Args:
        prefix: How the texts begin, no space after the first colon, any case.
        error: Our error for it.
        advice: What to do, for the message.
        is_ambiguous: An order may have been taken in spite of it.
    """

    prefix: str
    error: type[VenueError]
    advice: str
    is_ambiguous: bool = False


RULES: tuple[Rule, ...] = (
    # Longer prefixes of a family come before shorter ones.
    Rule(
        "EGeneral:Invalid arguments:volume minimum not met",
        SizeRejectedError,
        "the quantity is below the pair's minimum; read the instruments again",
    ),
    Rule(
        "EGeneral:Invalid arguments",
        RequestError,
        "the request is malformed; don't send it again, please report it",
    ),
    Rule(
        "EGeneral:Permission denied",
        AuthenticationError,
        "the API key lacks a permission; grant it on Kraken's site under Security, API",
    ),
    Rule(
        "EGeneral:Temporary lockout",
        AccountLockedError,
        "too many requests with a bad key; stop, and wait a quarter of an hour",
    ),
    Rule("EGeneral:Too many requests", RateLimitedError, "wait before asking again"),
    Rule(
        "EGeneral:Internal error",
        VenueUnavailableError,
        "the venue failed; look an order up before anything else",
        is_ambiguous=True,
    ),
    Rule("EGeneral:Unknown method", RequestError, "the venue has no such endpoint"),
    Rule("EAPI:Invalid key", AuthenticationError, "check kraken.api_key"),
    Rule("EAPI:Invalid signature", AuthenticationError, "check kraken.api_secret"),
    Rule(
        "EAPI:Invalid nonce",
        NonceError,
        "another program may use this API key; give each its own",
    ),
    Rule("EAPI:Invalid token", TokenExpiredError, "a new token is needed"),
    Rule("ESession:Invalid session", TokenExpiredError, "a new token is needed"),
    Rule(
        "EAPI:Rate limit exceeded",
        RateLimitedError,
        "wait until the call counter has decayed; calling on prolongs it",
    ),
    Rule("EAPI:Feature disabled", RequestError, "the endpoint is switched off; stop using it"),
    Rule("EAuth:Rate limit exceeded", RateLimitedError, "wait before asking again"),
    Rule("EAuth:Too many requests", RateLimitedError, "wait before asking again"),
    Rule(
        "EAuth:Account temporary disabled", AccountLockedError, "see the account on Kraken's site"
    ),
    Rule("EAuth:Account unconfirmed", AccountLockedError, "confirm the account on Kraken's site"),
    Rule(
        "EAccount:Invalid permissions",
        PairRestrictedError,
        "this account may not trade that pair; set kraken.country so that it is left out",
    ),
    Rule(
        "EService:Unavailable",
        VenueUnavailableError,
        "the venue is offline; look an order up before anything else",
        is_ambiguous=True,
    ),
    Rule(
        "EService:Busy",
        VenueUnavailableError,
        "the venue is overloaded; look an order up before anything else",
        is_ambiguous=True,
    ),
    Rule("EService:Throttled", RateLimitedError, "too much at once; wait until the time named"),
    Rule(
        "EService:Deadline elapsed",
        VenueUnavailableError,
        "the order came too late, perhaps after a partial fill; look it up",
        is_ambiguous=True,
    ),
    Rule("EService:Market in ", PairClosedError, "leave the pair alone until it is online again"),
    Rule(
        "EService:",
        VenueUnavailableError,
        "something with the venue's service; look an order up before anything else",
        is_ambiguous=True,
    ),
    Rule("EOrder:Insufficient funds", InsufficientFundsError, "read the balances again"),
    Rule("EOrder:Order minimum not met", SizeRejectedError, "read the instruments again"),
    Rule("EOrder:Cost minimum not met", SizeRejectedError, "read the instruments again"),
    Rule("EOrder:Tick size check failed", SizeRejectedError, "read the instruments again"),
    Rule("EOrder:Invalid price", SizeRejectedError, "read the instruments again"),
    Rule(
        "EOrder:Rate limit exceeded",
        RateLimitedError,
        "wait until the pair's trading counter has decayed",
    ),
    Rule(
        "EOrder:Domain rate limit exceeded",
        RateLimitedError,
        "wait: the whole account has traded too fast",
    ),
    Rule("EOrder:Orders limit exceeded", RateLimitedError, "cancel open orders of that pair"),
    Rule("EOrder:Scheduled orders limit exceeded", RateLimitedError, "cancel scheduled orders"),
    Rule("EOrder:Unknown order", OrderGoneError, "find out how it ended"),
    Rule("EOrder:Invalid order", OrderGoneError, "find out how it ended"),
    Rule("EOrder:Post only order", OrderRejectedError, "it would have taken liquidity"),
    Rule(
        "EOrder:Trading agreement required",
        AuthenticationError,
        "accept the trading terms on Kraken's site",
    ),
    *(
        Rule(f"EOrder:{text}", MarginError, "orders without margin never meet this; report it")
        for text in (
            "Cannot open position",
            "Cannot open opposing position",
            "Margin allowance exceeded",
            "Margin level too low",
            "Margin position size exceeded",
            "Insufficient margin",
            "Positions limit exceeded",
            "Unknown position",
            "Reduce only",
        )
    ),
    Rule("EOrder:", OrderRejectedError, "don't send it again as it is"),
    Rule("EQuery:Unknown asset pair", RequestError, "read the pairs again"),
    Rule("EQuery:Invalid asset pair", RequestError, "read the pairs again"),
    Rule("EQuery:Unknown asset", RequestError, "read the assets again"),
    Rule("ETrade:Invalid request", AuthenticationError, "stop trading and ask Kraken"),
    Rule("ETrade:User Locked", AccountLockedError, "stop trading and ask Kraken"),
    Rule("EFunding:", VenueError, "deposits and withdrawals are no business of this program"),
    Rule("EBM:limit exceeded", PairRestrictedError, "the account's purchase limit is used up"),
    Rule(
        "EDatabase:Internal error",
        VenueUnavailableError,
        "the venue failed; try again later",
        is_ambiguous=True,
    ),
    # Texts of the WebSocket that have no category.
    Rule("Currency pair not supported", RequestError, "read the instruments again"),
    Rule("Subscription depth not supported", RequestError, "choose another kraken.depth"),
    Rule("Subscription name invalid", RequestError, "the venue has no such channel"),
    Rule("Symbol(s) not found", RequestError, "read the instruments again"),
    Rule("Exceeded msg rate", RateLimitedError, "send fewer requests"),
    Rule("Unsupported field", RequestError, "the request is malformed; please report it"),
    Rule(
        "Private data and trading are unavailable on this endpoint",
        RequestError,
        "check kraken.ws_auth_url",
    ),
    Rule(
        "Public market data subscriptions are unavailable on this endpoint",
        RequestError,
        "check kraken.ws_url",
    ),
)
"""Every text the venue is known to use."""

UNKNOWN = Rule("", VenueError, "not a text we know; see Kraken's documentation of errors")

_WRONG_TYPE = Rule("", RequestError, "the request is malformed; please report it")


def rule_for(text: str) -> Rule:
    """Return what an error text means; `UNKNOWN` for one that is in no table."""
    normal = _normal(text)
    for prefix, rule in _NORMAL_RULES:
        if normal.startswith(prefix):
            return rule
    return _WRONG_TYPE if _FIELD_TYPE.search(text) else UNKNOWN


def make_error(subject: str, text: str) -> VenueError:
    """Return our error for an error text.

    Args:
        subject: What was asked, never with a credential in it: `AddOrder`, `add_order BTC/USD`.
        text: The venue's words.
    """
    rule = rule_for(text)
    return rule.error(f"kraken: {subject}: {text!r}; {rule.advice}")


def worst(texts: Sequence[str]) -> str:
    """Return the text that matters most of several: an ambiguous one, else the first."""
    return next((text for text in texts if rule_for(text).is_ambiguous), texts[0])


def is_ambiguous(error: Exception) -> bool:
    """Return whether what was asked may have been done in spite of this error."""
    return isinstance(error, VenueUnavailableError) and not isinstance(
        error, RateLimitedError | TokenExpiredError
    )


def split_warnings(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return (errors, warnings): a text that begins with `W` comes along with a result."""
    errors: list[str] = []
    warnings: list[str] = []
    for text in texts:
        (warnings if _WARNING.match(text) else errors).append(text)
    return errors, warnings


_WARNING = re.compile(r"W[A-Z]\w*:")
_FIELD_TYPE = re.compile(r"field must be an? \w+")


def _normal(text: str) -> str:
    category, colon, rest = text.strip().partition(":")
    return f"{category}{colon}{rest.lstrip()}".casefold()


_NORMAL_RULES = tuple((rule.prefix.casefold(), rule) for rule in RULES)
