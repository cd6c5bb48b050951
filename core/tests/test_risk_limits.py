"""Limits changed at run time: read like settings, all of them or none."""

from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.config.risk import RiskLimits
from arbitrade.config.structure import structure_section
from arbitrade.errors import ConfigError
from arbitrade.risk import LimitBook
from arbitrade.risk.limits import texts

START = RiskLimits(reserve={"USD": Decimal(100)})


@pytest.fixture
def book() -> LimitBook:
    return LimitBook(START)


def problems(book: LimitBook, **values: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        book.change(values)
    return caught.value.problems


def test_limits_begin_as_the_settings_say(book):
    assert (book.limits, book.version, book.history) == (START, 0, ())


def test_change_holds_from_now_on_and_is_remembered(book):
    changed = book.change(
        {"maximum_notional": "250.5", "risk.maximum_cycles": "5"}, actor="ann", at_ns=7
    )
    assert changed == attrs.evolve(START, maximum_notional=Decimal("250.5"), maximum_cycles=5)
    assert (book.limits, book.version) == (changed, 1)
    (change,) = book.history
    assert change.changed == {"maximum_notional": "250.5", "maximum_cycles": "5"}
    assert (change.version, change.limits, change.actor, change.at_ns) == (1, changed, "ann", 7)


def test_what_was_read_before_a_change_stays_as_it_was(book):
    before = book.limits
    book.change({"maximum_notional": "1"})
    assert before == START


def test_words_and_tables_are_read_as_in_the_environment(book):
    changed = book.change({"share_books": "yes", "reserve": '{"EUR": 5, "BTC": "0.1"}'})
    assert changed.share_books is True
    assert changed.reserve == {"EUR": Decimal(5), "BTC": Decimal("0.1")}


def test_one_entry_of_a_table_is_set_beside_the_others(book):
    assert book.change({"risk.reserve.EUR": "5"}).reserve == {
        "USD": Decimal(100),
        "EUR": Decimal(5),
    }
    assert START.reserve == {"USD": Decimal(100)}


def test_every_problem_is_told_at_once_and_nothing_changes(book):
    found = problems(
        book,
        maximum_notional="-1",
        maximum_cycles="2.5",
        share_books="maybe",
        maximum_notionl="5",
        minimum_edge_bps="5",
    )
    assert sorted(found) == [
        "risk.maximum_cycles: '2.5' is not a whole number",
        "risk.maximum_notional: -1 is below 0",
        "risk.maximum_notionl: unknown setting; did you mean maximum_notional?",
        "risk.share_books: 'maybe' is neither true nor false",
    ]
    assert (book.limits, book.version, book.history) == (START, 0, ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("maximum_notional", "NaN"),
        ("maximum_notional", "a lot"),
        ("balance_share", "1.01"),
        ("maximum_cycles", "101"),
        ("reserve", "USD"),
        ("reserve.USD", "-1"),
        ("reserve.", "-1"),
        ("", "1"),
        ("maximum_cycles.USD", "1"),
    ],
)
def test_what_the_settings_would_not_take_is_not_taken(book, name, text):
    assert problems(book, **{name: text})
    assert book.version == 0


def test_problems_read_as_those_of_the_settings(book):
    with pytest.raises(ConfigError) as caught:
        structure_section("risk", RiskLimits, {"balance_share": Decimal(2)}, {})
    assert problems(book, balance_share="2") == caught.value.problems


def test_reference_asset_stays_while_trading(book):
    (problem,) = problems(book, reference_asset="EUR")
    assert "risk.reference_asset: 'EUR' can't replace 'USD'" in problem
    assert book.change({"reference_asset": "USD"}) == START


def test_limit_given_twice_is_a_problem(book):
    (problem,) = problems(book, **{"maximum_cycles": "1", "risk.maximum_cycles": "2"})
    assert "risk.maximum_cycles: is given twice" in problem


def test_change_to_what_holds_already_is_no_new_version(book):
    book.change({"maximum_notional": "1000.0"})
    assert (book.version, book.history) == (0, ())


def test_limits_of_a_recording_are_applied_as_they_were(book):
    other = attrs.evolve(START, maximum_cycles=9)
    assert book.apply(other, actor="replay") == 1
    assert book.apply(other) == 1
    assert book.limits is other
    assert book.history[0].changed == {"maximum_cycles": "9"}


AMOUNTS = st.decimals(0, 10**9, places=8)


@given(
    notional=AMOUNTS,
    edge=st.decimals(-10_000, 100_000, places=12),
    cycles=st.integers(0, 100),
    shared=st.booleans(),
    reserve=st.dictionaries(st.sampled_from(["USD", "eth", "XBT.F", "a b"]), AMOUNTS),
)
def test_limits_as_text_read_back_as_the_same(notional, edge, cycles, shared, reserve):
    limits = RiskLimits(
        maximum_notional=notional,
        minimum_edge_bps=edge,
        maximum_cycles=cycles,
        share_books=shared,
        reserve=reserve,
    )
    assert LimitBook(RiskLimits()).read(texts(limits)) == limits
