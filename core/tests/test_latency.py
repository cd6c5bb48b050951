"""The histogram of durations."""

import random

import pytest

from arbitrade.process.latency import Latency, timer_overhead_ns


def test_percentiles_are_those_of_the_sorted_durations() -> None:
    durations = [random.Random(3).randrange(60_000) for _ in range(10_001)]
    latency = Latency()
    for duration in durations:
        latency.add(duration)
    durations.sort()
    assert latency.count == 10_001
    assert latency.percentile_us(0.5) == pytest.approx(durations[5000] / 1000, abs=0.02)
    assert latency.percentile_us(0.99) == pytest.approx(durations[9900] / 1000, abs=0.05)


def test_long_durations_are_counted_to_a_microsecond_and_the_longest_not_lost() -> None:
    latency = Latency()
    latency.add(5_000_000)
    latency.add(10**12)
    assert latency.percentile_us(0.5) == pytest.approx(5000, abs=1.1)
    assert latency.percentile_us(1.0) == pytest.approx(67_000, rel=0.01)
    assert latency.count == 2


def test_the_timers_own_cost_is_taken_off_but_never_below_zero() -> None:
    latency = Latency(overhead_ns=100)
    latency.add(1_100)
    latency.add(40)
    assert latency.percentile_us(1.0) == 1.0
    assert latency.percentile_us(0.5) == 0.0


def test_nothing_timed_is_told_as_none() -> None:
    assert Latency().summary() == {"p50": None, "p99": None, "p999": None}


def test_the_timers_cost_is_small_and_not_negative() -> None:
    assert 0 <= timer_overhead_ns() < 100_000
