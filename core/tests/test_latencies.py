"""Latencies as settings write them."""

from decimal import Decimal
from random import Random
from statistics import mean, median, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.config.trading import PaperSettings
from arbitrade.errors import ConfigError
from arbitrade.trading.gateways.latencies import Delay, parse_latency

MS = 1_000_000


def drawn(text: str, count: int = 4_000) -> list[int]:
    latency, rng = parse_latency(text, "paper.send_ms"), Random(7)
    return [latency.draw(rng) for _ in range(count)]


def test_a_number_is_a_constant_in_milliseconds_and_draws_nothing() -> None:
    rng = Random(1)
    before = rng.getstate()
    assert parse_latency("20", "paper.send_ms").draw(rng) == 20 * MS
    assert parse_latency(" 0.25 ", "paper.send_ms").draw(rng) == 250_000
    assert rng.getstate() == before


def test_a_uniform_latency_lies_between_its_ends() -> None:
    found = drawn("uniform(5,20)")
    assert min(found) >= 5 * MS
    assert max(found) <= 20 * MS
    assert mean(found) == pytest.approx(12.5 * MS, rel=0.03)


def test_a_normal_latency_has_its_mean_and_deviation() -> None:
    found = drawn("normal(20, 5)")
    assert mean(found) == pytest.approx(20 * MS, rel=0.03)
    assert pstdev(found) == pytest.approx(5 * MS, rel=0.05)


def test_a_lognormal_latency_has_its_median_and_a_long_tail() -> None:
    found = drawn("LogNormal( 20 , 0.5 )")
    assert median(found) == pytest.approx(20 * MS, rel=0.05)
    assert mean(found) > 21 * MS


def test_what_would_be_negative_is_zero() -> None:
    found = drawn("normal(1,50)")
    assert min(found) == 0


def test_the_same_seed_draws_the_same_latencies() -> None:
    assert drawn("lognormal(20,0.5)", 50) == drawn("lognormal(20,0.5)", 50)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no latency"),
        ("fast", "is no latency"),
        ("20 ms", "is no latency"),
        ("uniform(5)", "is no latency"),
        ("uniform(5,20", "is no latency"),
        ("poisson(5,20)", "is no latency"),
        ("constant(5,20)", "is no latency"),
        ("nan", "is no latency"),
        ("normal(20,inf)", "is no latency"),
        ("20,5", "is no latency"),
        ("-1", "-1 is below 0"),
        ("normal(20,-5)", "-5 is below 0"),
        ("uniform(20,5)", "the lower end 20 is above the upper end 5"),
        ("lognormal(0,0.5)", "leaves nothing to draw"),
        ("lognormal(20,11)", "sigma 11 is above 10"),
        ("99999999999", "is more than a day"),
    ],
)
def test_what_is_no_latency_is_an_error_that_names_the_setting(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_latency(text, "paper.ack_ms")
    assert str(caught.value).startswith("paper.ack_ms: ")
    assert repr(text) in str(caught.value)
    assert problem in str(caught.value)
    assert "write 20, uniform(5,20)" in str(caught.value)


def test_the_defaults_are_latencies() -> None:
    paper = PaperSettings()
    for text in (paper.send_ms, paper.ack_ms, paper.decision_ms):
        assert parse_latency(text, "paper").kind == "constant"


@given(
    kind=st.sampled_from(["constant", "uniform", "normal", "lognormal"]),
    first=st.decimals("0.001", 1_000, places=3),
    second=st.decimals(0, 9, places=3),
    seed=st.integers(0, 2**32),
)
def test_a_latency_is_never_negative_and_reads_back_as_it_is_written(
    kind: str, first: Decimal, second: Decimal, seed: int
) -> None:
    if kind == "constant":
        second = Decimal(0)
    if kind == "uniform":
        second += first
    latency = Delay(kind, first, second)
    assert parse_latency(str(latency), "paper.send_ms") == latency
    assert latency.draw(Random(seed)) >= 0
