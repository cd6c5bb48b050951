"""Every error text of the venue has a meaning."""

import pytest

from arbitrade.errors import (
    AuthenticationError,
    OrderRejectedError,
    VenueError,
    VenueUnavailableError,
)
from arbitrade_kraken import venue_errors as errors
from arbitrade_kraken.venue_errors import RULES, UNKNOWN, make_error, rule_for, split_warnings

KNOWN: dict[str, type[VenueError]] = {
    "EGeneral:Invalid arguments": errors.RequestError,
    "EGeneral:Invalid arguments:ordertype": errors.RequestError,
    "EGeneral:Invalid arguments:volume minimum not met": errors.SizeRejectedError,
    "EGeneral:Permission denied": AuthenticationError,
    "EGeneral:Temporary lockout": errors.AccountLockedError,
    "EGeneral:Too many requests": errors.RateLimitedError,
    "EGeneral:Internal error": VenueUnavailableError,
    "EGeneral:Internal error:4711": VenueUnavailableError,
    "EGeneral:Unknown method": errors.RequestError,
    "EAPI:Invalid key": AuthenticationError,
    "EAPI:Invalid signature": AuthenticationError,
    "EAPI:Invalid nonce": errors.NonceError,
    "EAPI:Invalid token": errors.TokenExpiredError,
    "ESession:Invalid session": errors.TokenExpiredError,
    "EAPI:Rate limit exceeded": errors.RateLimitedError,
    "EAPI:Feature disabled": errors.RequestError,
    "EAuth:Rate limit exceeded": errors.RateLimitedError,
    "EAuth:Too many requests": errors.RateLimitedError,
    "EAuth:Account temporary disabled": errors.AccountLockedError,
    "EAuth:Account unconfirmed": errors.AccountLockedError,
    "EAccount:Invalid permissions": errors.PairRestrictedError,
    "EAccount:Invalid permissions:USDT trading restricted for DE.": errors.PairRestrictedError,
    "EService:Unavailable": VenueUnavailableError,
    "EService:Busy": VenueUnavailableError,
    "EService:Throttled: 1789374000": errors.RateLimitedError,
    "EService:Deadline elapsed": VenueUnavailableError,
    "EService:Market in cancel_only mode": errors.PairClosedError,
    "EService:Market in post_only mode": errors.PairClosedError,
    "EService:Market in limit_only mode": errors.PairClosedError,
    "EOrder:Insufficient funds": errors.InsufficientFundsError,
    "EOrder:Order minimum not met": errors.SizeRejectedError,
    "EOrder:Cost minimum not met": errors.SizeRejectedError,
    "EOrder:Tick size check failed": errors.SizeRejectedError,
    "EOrder:Invalid price": errors.SizeRejectedError,
    "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals.": (
        errors.SizeRejectedError
    ),
    "EOrder:Rate limit exceeded": errors.RateLimitedError,
    "EOrder:Domain rate limit exceeded": errors.RateLimitedError,
    "EOrder:Orders limit exceeded": errors.RateLimitedError,
    "EOrder:Scheduled orders limit exceeded": errors.RateLimitedError,
    "EOrder:Unknown order": errors.OrderGoneError,
    "EOrder:Invalid order": errors.OrderGoneError,
    "EOrder:Post only order": OrderRejectedError,
    "EOrder:Trading agreement required": AuthenticationError,
    "EOrder:Cannot open position": errors.MarginError,
    "EOrder:Cannot open opposing position": errors.MarginError,
    "EOrder:Margin allowance exceeded": errors.MarginError,
    "EOrder:Margin level too low": errors.MarginError,
    "EOrder:Margin position size exceeded": errors.MarginError,
    "EOrder:Insufficient margin": errors.MarginError,
    "EOrder:Positions limit exceeded": errors.MarginError,
    "EOrder:Unknown position": errors.MarginError,
    "EOrder:Reduce only:no position exists": errors.MarginError,
    "EQuery:Unknown asset pair": errors.RequestError,
    "EQuery:Invalid asset pair": errors.RequestError,
    "EQuery:Unknown asset": errors.RequestError,
    "ETrade:Invalid request": AuthenticationError,
    "ETrade:User Locked": errors.AccountLockedError,
    "EFunding:Unknown withdraw key": VenueError,
    "EBM:limit exceeded:CAL": errors.PairRestrictedError,
    "EDatabase:Internal error": VenueUnavailableError,
    "Currency pair not supported XBT/USD": errors.RequestError,
    "Subscription depth not supported": errors.RequestError,
    "Subscription name invalid": errors.RequestError,
    "Symbol(s) not found": errors.RequestError,
    "Exceeded msg rate": errors.RateLimitedError,
    "Limit_price field must be a number_float": errors.RequestError,
    "Unsupported field: 'leverage'": errors.RequestError,
    "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com": (
        errors.RequestError
    ),
    "Public market data subscriptions are unavailable on this endpoint. Try ws.kraken.com": (
        errors.RequestError
    ),
}
AMBIGUOUS = {
    "EGeneral:Internal error",
    "EService:Unavailable",
    "EService:Busy",
    "EService:Deadline elapsed",
}


@pytest.mark.parametrize("text", KNOWN)
def test_text_has_its_error_and_says_what_to_do(text: str) -> None:
    error = make_error("AddOrder", text)
    assert type(error) is KNOWN[text]
    assert text in str(error)
    assert rule_for(text).advice in str(error)
    assert rule_for(text.replace(":", ": ", 1)) is rule_for(text)


def test_every_rule_is_met_by_its_own_prefix_and_every_known_text_by_a_rule() -> None:
    assert [rule for rule in RULES if rule_for(rule.prefix + "x") is not rule] == []
    assert [text for text in KNOWN if rule_for(text) is UNKNOWN] == []


@pytest.mark.parametrize("text", sorted(AMBIGUOUS))
def test_outcome_of_an_order_is_open_after_these(text: str) -> None:
    assert rule_for(text).is_ambiguous


def test_an_ambiguous_text_and_an_ambiguous_error_are_the_same_thing() -> None:
    """The outcome of an order doesn't depend on whether it went over WebSocket or REST."""
    for rule in RULES:
        error = make_error("AddOrder", rule.prefix + "x")
        assert errors.is_ambiguous(error) == rule.is_ambiguous, rule


@pytest.mark.parametrize("text", ["ENew:Something", "what?", ""])
def test_text_nobody_knows_stays_an_error_with_its_words(text: str) -> None:
    assert rule_for(text) is UNKNOWN
    assert repr(text) in str(make_error("AddOrder", text))


def test_unknown_trouble_with_the_service_is_ambiguous() -> None:
    assert rule_for("EService:On fire").is_ambiguous


def test_warnings_are_told_from_errors() -> None:
    texts = ["WGeneral:Something", "EOrder:Unknown order", "What is this"]
    assert split_warnings(texts) == (texts[1:], texts[:1])
