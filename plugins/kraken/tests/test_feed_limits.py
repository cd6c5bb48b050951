"""Backoff, token bucket, requests, settings: the small parts of the feed."""

from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.errors import UsageError
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.config import KrakenSettings
from arbitrade_kraken.market import requests
from arbitrade_kraken.market.feed import KrakenFeed
from arbitrade_kraken.token_bucket import TokenBucket


@given(st.lists(st.floats(0, 400), max_size=300), st.integers(2, 150))
def test_no_window_ever_holds_more_attempts_than_the_limit(gaps: list[float], limit: int) -> None:
    now = 0.0
    bucket = TokenBucket.per_window(limit, 600.0, lambda: now)
    used: list[float] = []
    for gap in gaps:
        now += gap
        used.append(now + bucket.take())
    assert used == sorted(used)
    for index, begin in enumerate(used):
        inside = sum(begin <= at < begin + 599.999 for at in used[index:])
        assert inside <= limit


def test_a_bucket_hands_out_its_burst_at_once_and_then_its_rate() -> None:
    now = 0.0
    bucket = TokenBucket(2, 4.0, lambda: now)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0.25, 0.5]
    assert bucket.available() == 0
    now = 1.0
    assert bucket.available() == 2
    assert bucket.next_in() == 0


@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(1, 2000))
def test_backoff_never_waits_longer_than_allowed_nor_less_than_half(
    seed: int, quick: int, tries: int
) -> None:
    backoff = Backoff(1.0, 60.0, Random(seed), quick, calm_s=60.0)
    now = 0.0
    for number in range(tries):
        wait = backoff.next(now)
        now += wait
        full = 0.0 if number < quick else min(60.0, 2.0 ** min(number - quick, 10))
        assert full / 2 <= wait <= full


def test_backoff_starts_over_after_calm() -> None:
    backoff = Backoff(1.0, 60.0, Random(1), calm_s=10.0)
    assert backoff.next(0) == 0
    second = backoff.next(0)
    assert second > 0
    assert backoff.next(second + 9) > 0
    assert backoff.next(1000) == 0


def test_requests_are_what_the_venue_documents() -> None:
    assert orjson.loads(requests.subscribe_instruments(1)) == {
        "method": "subscribe",
        "params": {"channel": "instrument", "snapshot": True},
        "req_id": 1,
    }
    assert orjson.loads(requests.subscribe_books(["A/B", "C/D"], 25, 2)) == {
        "method": "subscribe",
        "params": {"channel": "book", "symbol": ["A/B", "C/D"], "depth": 25, "snapshot": True},
        "req_id": 2,
    }
    assert orjson.loads(requests.unsubscribe_books(["A/B"], 25, 3)) == {
        "method": "unsubscribe",
        "params": {"channel": "book", "symbol": ["A/B"], "depth": 25},
        "req_id": 3,
    }
    assert orjson.loads(requests.ping(4)) == {"method": "ping", "req_id": 4}


def test_settings_that_make_no_sense_are_refused() -> None:
    for name, value in (("depth", 11), ("ws_url", "https://x"), ("silence_s", 0.0)):
        with pytest.raises(ValueError, match=name):
            KrakenSettings(**{name: value})  # type: ignore[arg-type]


def test_a_depth_the_venue_does_not_offer_is_refused_by_name(listener: object) -> None:
    with pytest.raises(UsageError, match="depth 50"):
        KrakenFeed(KrakenSettings(), tuple, listener, 50)  # type: ignore[arg-type]
