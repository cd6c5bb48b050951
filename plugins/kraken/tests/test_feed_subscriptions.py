"""`Subscriptions`: who is asked for what, and what each answer does.  No sockets, no clock."""

from collections.abc import Callable
from itertools import count
from math import inf
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.models import RequestRefused, Subscribed, Unsubscribed
from arbitrade_kraken.backoff import Backoff
from arbitrade_kraken.market.subscriptions import AnswerEffect, Step, Subscriptions


def make(symbols_per_request: int = 100) -> Subscriptions:
    numbers = count(1)
    return Subscriptions(
        10,
        symbols_per_request,
        10.0,
        lambda: Backoff(1.0, 8.0, Random(3), calm_s=60.0),
        lambda: next(numbers),
    )


def asked(books: Subscriptions, now: float, most: int = 99) -> list[tuple[str, list[str], int]]:
    found = []
    for request in books.due_requests(now, most):
        message = orjson.loads(request)
        assert message["params"]["depth"] == 10
        found.append((message["method"], message["params"]["symbol"], message["req_id"]))
    return found


@pytest.fixture
def live() -> Subscriptions:
    """Two live books."""
    books = make()
    books.want(["A/X", "B/X"])
    ((_, _, number),) = asked(books, 0)
    for symbol in ("A/X", "B/X"):
        books.on_answer(Subscribed(symbol, 10, number), 0)
        books.on_snapshot(symbol, 0)
    assert books.next_due() == inf
    return books


def test_a_book_is_subscribed_acknowledged_and_live_with_its_snapshot() -> None:
    books = make()
    books.want(["A/X"])
    assert books.step("A/X") is Step.PENDING
    assert asked(books, 0) == [("subscribe", ["A/X"], 1)]
    assert asked(books, 0) == []
    assert books.on_answer(Subscribed("A/X", 10, 1), 0) is AnswerEffect.TAKEN
    assert (books.step("A/X"), books.snapshots_due) == (Step.AWAITING, 1)
    books.on_snapshot("A/X", 0)
    assert (books.step("A/X"), books.snapshots_due) == (Step.LIVE, 0)


def test_requests_are_paced_and_the_rest_stays_due() -> None:
    books = make(symbols_per_request=2)
    books.want([f"{n}/X" for n in range(5)])
    assert [symbols for _, symbols, _ in asked(books, 0, 2)] == [["0/X", "1/X"], ["2/X", "3/X"]]
    assert books.next_due() <= 0
    assert [symbols for _, symbols, _ in asked(books, 0, 2)] == [["4/X"]]


def test_an_answer_to_an_older_request_does_not_count(live: Subscriptions) -> None:
    live.restart("A/X", 0)
    ((_, _, leaving),) = asked(live, 0)
    live.on_answer(Unsubscribed("A/X", leaving), 0)
    ((_, _, coming),) = asked(live, 0)
    assert live.on_answer(Subscribed("A/X", 10, leaving), 0) is AnswerEffect.UNKNOWN
    assert live.on_answer(Subscribed("B/X", 10, coming), 0) is AnswerEffect.UNKNOWN
    assert live.on_answer(Subscribed("A/X", 10, coming), 0) is AnswerEffect.TAKEN
    assert live.on_answer(Subscribed("C/X", 10, coming), 0) is AnswerEffect.UNKNOWN


def test_a_restart_is_one_at_a_time_first_at_once_then_later_and_later(
    live: Subscriptions,
) -> None:
    now, waits = 0.0, []
    for _ in range(6):
        assert live.restart("A/X", now)
        assert not live.restart("A/X", now)
        waits.append(live.next_due() - now)
        now = live.next_due()
        ((method, symbols, number),) = asked(live, now)
        assert (method, symbols) == ("unsubscribe", ["A/X"])
        assert not live.restart("A/X", now)
        live.on_answer(Unsubscribed("A/X", number), now)
        ((method, symbols, number),) = asked(live, now)
        assert (method, symbols) == ("subscribe", ["A/X"])
        live.on_answer(Subscribed("A/X", 10, number), now)
        live.on_snapshot("A/X", now)
    assert waits[0] == 0
    for wait, most in zip(waits[1:], (1, 2, 4, 8, 8), strict=True):
        assert most / 2 <= wait <= most
    assert live.step("B/X") is Step.LIVE
    assert live.recoveries_s[0] == 6

    live.restart("A/X", now + 100)  # Calm for long enough: as if it were the first.
    assert live.next_due() == now + 100


def test_a_snapshot_that_was_no_good_starts_over_later(live: Subscriptions) -> None:
    live.restart("A/X", 0)
    ((_, _, number),) = asked(live, 0)
    live.on_answer(Unsubscribed("A/X", number), 0)
    ((_, _, number),) = asked(live, 0)
    live.on_answer(Subscribed("A/X", 10, number), 0)
    assert live.restart("A/X", 0)  # The handler, while it looks at the snapshot …
    live.on_snapshot("A/X", 0)  # … which the connection then sees going by.
    assert live.step("A/X") is Step.PARTING
    assert live.next_due() > 0


def test_a_snapshot_that_overtook_its_acknowledgement_counts() -> None:
    books = make()
    books.want(["A/X", "B/X"])
    asked(books, 0)
    books.on_snapshot("A/X", 0)
    books.restart("B/X", 0)  # And this one was no good.
    books.on_snapshot("B/X", 0)
    books.on_answer(Subscribed("A/X", 10, 1), 0)
    books.on_answer(Subscribed("B/X", 10, 1), 0)
    assert (books.step("A/X"), books.step("B/X")) == (Step.LIVE, Step.PARTING)

    # The next time round each counts anew.
    books.restart("A/X", 0)
    ((_, symbols, number),) = asked(books, 10)
    for symbol in symbols:
        books.on_answer(Unsubscribed(symbol, number), 10)
    ((_, _, number),) = asked(books, 10)
    for symbol in symbols:
        books.on_answer(Subscribed(symbol, 10, number), 10)
    assert (books.step("A/X"), books.step("B/X")) == (Step.AWAITING, Step.AWAITING)


@pytest.mark.parametrize("symbol", ["B/X", None])
def test_a_refusal_is_about_one_book_whether_it_says_so_or_only_its_text(
    symbol: str | None,
) -> None:
    books = make()
    books.want(["A/X", "B/X"])
    asked(books, 0)
    refusal = RequestRefused("subscribe", "Currency pair not supported B/X", symbol, 1)
    assert books.on_answer(refusal, 0) is AnswerEffect.REFUSED
    assert (books.step("A/X"), books.step("B/X")) == (Step.SUBSCRIBING, Step.REFUSED)


def test_after_a_refusal_that_names_nobody_the_unanswered_are_asked_for_alone() -> None:
    books = make()
    books.want(["A/X", "B/X", "C/X"])
    asked(books, 0)
    books.on_answer(Subscribed("A/X", 10, 1), 0)
    assert books.on_answer(RequestRefused("subscribe", "no", None, 1), 0) is AnswerEffect.UNKNOWN
    books.on_snapshot("A/X", 0)
    leaving = asked(books, 10.0)
    assert [(m, s) for m, s, _ in leaving] == [("unsubscribe", ["B/X"]), ("unsubscribe", ["C/X"])]
    assert books.unanswered == 2
    for _, (one,), number in leaving:
        # It was not subscribed, so that is refused: just what we want.
        books.on_answer(RequestRefused("unsubscribe", "not subscribed", None, number), 10.0)
        assert books.step(one) is Step.PENDING
    coming = asked(books, 10.0)
    assert [(m, s) for m, s, _ in coming] == [("subscribe", ["B/X"]), ("subscribe", ["C/X"])]
    books.on_answer(RequestRefused("subscribe", "no", None, coming[0][2]), 10.0)
    assert books.step("B/X") is Step.REFUSED


def test_a_refusal_for_the_moment_is_tried_again_later() -> None:
    books = make()
    books.want(["A/X", "B/X"])
    asked(books, 0)
    refused = RequestRefused("subscribe", "Exceeded msg rate", None, 1)
    assert books.on_answer(refused, 0) is AnswerEffect.REFUSED_FOR_NOW
    assert (books.step("A/X"), books.step("B/X")) == (Step.PENDING, Step.PENDING)


def test_a_pair_whose_name_sounds_like_a_rate_limit_is_refused_for_good() -> None:
    books = make()
    books.want(["RATE/X"])
    asked(books, 0)
    refusal = RequestRefused("subscribe", "Currency pair not supported RATE/X", "RATE/X", 1)
    assert books.on_answer(refusal, 0) is AnswerEffect.REFUSED


def test_a_dropped_book_is_unsubscribed_whatever_step_it_is_on(live: Subscriptions) -> None:
    live.want(["C/X", "D/X"])
    ((_, _, number),) = asked(live, 0)
    live.on_answer(RequestRefused("subscribe", "no D/X", "D/X", number), 0)
    live.drop(["A/X", "C/X", "D/X", "nobody"], 0)
    assert live.step("D/X") is None
    ((method, symbols, leaving),) = asked(live, 0)
    assert (method, symbols) == ("unsubscribe", ["A/X"])
    live.on_answer(Subscribed("C/X", 10, number), 0)  # It stands just now.
    assert [s for m, s, _ in asked(live, 0) if m == "unsubscribe"] == [["C/X"]]
    live.on_answer(Unsubscribed("A/X", leaving), 0)
    assert live.symbols == ("B/X", "C/X")
    live.drop(["B/X"], 0)
    assert not live.is_idle


def test_a_new_connection_starts_everything_over(live: Subscriptions) -> None:
    live.want(["C/X", "D/X"])
    ((_, _, number),) = asked(live, 0)
    live.on_answer(RequestRefused("subscribe", "no C/X", "C/X", number), 0)
    live.drop(["B/X"], 0)
    live.reset()
    assert [(m, s) for m, s, _ in asked(live, 0)] == [("subscribe", ["A/X", "C/X", "D/X"])]
    assert live.snapshots_due == 3


def test_a_venue_that_answers_nothing_is_noticed() -> None:
    books = make()
    books.want(["A/X"])
    now = 0.0
    for _ in range(10):
        asked(books, now)
        if books.is_stuck:
            break
        now = max(now, books.next_due())
    assert books.is_stuck
    assert now < 60


@given(st.data())
def test_whatever_the_venue_says_there_is_always_something_to_wait_for(data: Any) -> None:
    """A book is live, refused, or due at some time; the count of snapshots due is right."""
    books, now = make(2), 0.0
    names = ["A/X", "B/X", "C/X"]
    symbols = st.sampled_from(names)
    actions: list[Callable[[], Any]] = [
        lambda: books.want([data.draw(symbols)]),
        lambda: books.drop([data.draw(symbols)], now),
        lambda: books.restart(data.draw(symbols), now),
        lambda: books.on_snapshot(data.draw(symbols), now),
        lambda: books.on_answer(Subscribed(data.draw(symbols), 10, None), now),
        lambda: books.on_answer(Unsubscribed(data.draw(symbols), None), now),
        lambda: books.on_answer(
            RequestRefused(
                "x",
                data.draw(st.sampled_from(["no", "Exceeded msg rate"])),
                data.draw(symbols),
                None,
            ),
            now,
        ),
        lambda: asked(books, now, data.draw(st.integers(0, 3))),
        books.reset,
    ]
    for _ in range(data.draw(st.integers(1, 40))):
        data.draw(st.sampled_from(actions))()
        now += data.draw(st.sampled_from([0.0, 1.0, 11.0]))
        steps = [books.step(symbol) for symbol in books.symbols]
        expecting = (Step.SUBSCRIBING, Step.AWAITING)
        assert books.snapshots_due == sum(step in expecting for step in steps)
        is_moving = any(step not in (Step.LIVE, Step.REFUSED) for step in steps)
        assert is_moving == (books.next_due() < inf)
