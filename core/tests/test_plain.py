"""Values are written down and read back by what is public: `arbitrade.models.to_json`."""

import importlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import arbitrade
from arbitrade import protocols
from arbitrade.errors import MessageError
from arbitrade.models import (
    Asset,
    BookDelta,
    Instrument,
    InstrumentsChanged,
    Subscribed,
    VenueState,
    VenueStateChanged,
    from_json,
    to_json,
)
from arbitrade.testing.factories import make_instrument
from arbitrade.testing.strategies import instruments


def through_text[T](value: T) -> T:
    return from_json(json.loads(json.dumps(to_json(value))), type(value))


@given(pair=instruments())
def test_any_instrument_survives_being_written_down(pair: Instrument) -> None:
    assert through_text(pair) == pair


@given(pairs=st.lists(instruments(), max_size=3))
def test_set_of_instruments_survives_as_the_event_that_brings_it(pairs: list[Instrument]) -> None:
    change = InstrumentsChanged(True, tuple(pairs), (Asset("USD", 4),))
    assert through_text(change) == change


def test_every_event_of_a_feed_survives() -> None:
    delta = BookDelta("BTC/USD", True, [(100, 5), (99, 1)], [(101, 2)], None, None)
    again = through_text(delta)
    assert [tuple(level) for level in again.bids] == [(100, 5), (99, 1)]
    assert (again.symbol, again.is_snapshot, again.checksum) == ("BTC/USD", True, None)
    for event in Subscribed("BTC/USD", 10), VenueStateChanged(VenueState.MAINTENANCE):
        assert through_text(event) == event


def test_decimals_are_written_as_text_to_the_last_digit() -> None:
    pair = make_instrument("BTC/USD", minimum_quantity="0.00005000")
    assert to_json(pair)["minimum_quantity"] == "0.00005000"


def test_a_newer_files_fields_are_passed_over_and_defaults_may_be_missing() -> None:
    pair = make_instrument("BTC/USD")
    fields = {**to_json(pair), "colour": "green"}
    del fields["cost_precision"]
    assert from_json(fields, Instrument) == pair


@pytest.mark.parametrize(
    ("change", "reason"), [({"symbol": ...}, "symbol"), ({"price_increment": "much"}, "price")]
)
def test_what_is_no_instrument_says_why(change: dict[str, object], reason: str) -> None:
    fields = {**to_json(make_instrument("BTC/USD")), **change}
    fields = {name: value for name, value in fields.items() if value is not ...}
    with pytest.raises(MessageError, match=rf"(?s)no Instrument can be made of .*{reason}"):
        from_json(fields, Instrument)


@pytest.mark.parametrize("module", ["arbitrade", "arbitrade.protocols"])
def test_old_name_of_a_role_warns_and_names_its_successor(module: str) -> None:
    with pytest.warns(
        DeprecationWarning, match=r"\.Store is called .*OpportunityStore now"
    ) as told:
        assert importlib.import_module(module).Store is protocols.OpportunityStore
    assert told[0].filename == __file__
    with pytest.raises(AttributeError, match="has no attribute 'Shop'"):
        _ = arbitrade.Shop
