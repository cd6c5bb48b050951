"""What is written can be read back, and by an older version as far as it knows it."""

import contextlib
import enum
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade import records
from arbitrade.errors import ArbitradeError, MessageError
from arbitrade.records import KINDS, RunEnded, decode, encode
from arbitrade.trading.machine import events
from arbitrade.trading.machine.events import TimeCame, read_event, write_event

RUN = "0192f0c4-7a10-7cc2-9a54-0d6a1c1f9a77"
_PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=8),
    int: st.integers(-(1 << 62), 1 << 62),
    bool: st.booleans(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    Any: st.text(max_size=3),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a field's type, whatever attrs class it is made of."""
    hint = getattr(hint, "__value__", hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if attrs.has(hint):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{f.name: values(hints[f.name]) for f in attrs.fields(hint)})
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [values(one) for one in arguments if one is not type(None)]
        return st.one_of(*([st.none()] if type(None) in arguments else []), *inner)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is Mapping:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    raise NotImplementedError(f"a field of type {hint}")


def test_kinds_are_every_record_there_is():
    union = typing.get_args(records.Record.__value__)
    assert set(KINDS.values()) == set(union)
    assert len(KINDS) == len(union)
    assert set(events.KINDS.values()) == set(typing.get_args(events.TradingEvent.__value__))


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=5)
@given(data=st.data())
def test_record_of_every_kind_comes_back_as_it_was(kind, data):
    record = data.draw(values(KINDS[kind]))
    written = decode(encode(record, RUN, "main", 17))
    assert written.record == record
    assert (written.run, written.account, written.time_ns, written.kind) == (RUN, "main", 17, kind)


@pytest.mark.parametrize("kind", sorted(events.KINDS))
@settings(max_examples=5)
@given(data=st.data())
def test_event_of_every_kind_comes_back_as_it_was(kind, data):
    event = data.draw(values(events.KINDS[kind]))
    assert read_event(orjson.loads(write_event(event))) == event


def test_amounts_are_exact_text():
    kept = records.BalancesKept({"BTC": Decimal("0.10000000000000000000000000000000000001")})
    payload = encode(kept, RUN, "main", 1)
    assert b'"0.10000000000000000000000000000000000001"' in payload
    assert decode(payload).record == kept


def test_fields_of_a_newer_version_are_passed_over():
    payload = orjson.loads(encode(RunEnded("done", 3, "ab"), RUN, "main", 1))
    newer = orjson.dumps({**payload, "v": 2, "mood": "good"})
    assert decode(newer).record == RunEnded("done", 3, "ab")


def test_kind_of_a_newer_version_is_kept_whole_and_not_understood():
    payload = orjson.dumps({"kind": "poem", "run": RUN, "account": "main", "t": 1, "v": 9})
    written = decode(payload)
    assert (written.record, written.kind, written.raw) == (None, "poem", payload)
    assert read_event({"event": "poem"}) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"kind": "run_ended", "run": "r", "account": "a", "t": 1, "v": 1}',
        b'{"kind": "profit", "run": "r", "account": "a", "t": 1, "v": 1, "realised": 7}',
        b'{"kind": ["run_ended"], "run": "r", "account": "a", "t": 1, "v": 1}',
    ],
)
def test_what_is_no_record_is_told_as_that(payload):
    with pytest.raises(ArbitradeError, match="journal: a record that can't be read"):
        decode(payload)


def test_event_whose_fields_do_not_fit_is_told_as_that():
    with pytest.raises(MessageError, match="control line 'execution' can't be read"):
        read_event({"event": "execution", "report": 7})
    assert read_event({"event": "time", "more": 1}) == TimeCame()


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_told_as_none(payload):
    with contextlib.suppress(ArbitradeError):
        decode(payload)


def test_a_kind_that_was_given_up_is_passed_over_in_an_old_journal() -> None:
    payload = (
        b'{"kind":"journal_repaired","run":"r","account":"main","t":1,"v":1,"what":"3 bytes cut"}'
    )
    written = records.decode(payload)
    assert (written.record, written.kind, written.raw) == (None, "journal_repaired", payload)
