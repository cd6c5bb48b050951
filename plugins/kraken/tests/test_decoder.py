"""Frames to events: exact whatever the numbers look like, and never a guess."""

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.errors import MessageError
from arbitrade.models import (
    Batch,
    BookDelta,
    BookUnreadable,
    InstrumentsChanged,
    InstrumentStatus,
    RequestRefused,
    Subscribed,
    Unsubscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade_kraken.market.decoder import KrakenDecoder
from arbitrade_kraken.market.encoder import fixed


def instrument_frame(
    symbol: str = "SOL/EUR", price_precision: int = 2, qty_precision: int = 8, **changes: object
) -> bytes:
    base, quote = symbol.split("/")
    row = {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "status": "online",
        "qty_precision": qty_precision,
        "qty_increment": 1e-08,
        "price_precision": price_precision,
        "cost_precision": 5,
        "cost_min": 0.45,
        "price_increment": 0.01,
        "qty_min": 0.06,
        **changes,
    }
    data = {"assets": [{"id": base, "status": "enabled", "precision": 10}], "pairs": [row]}
    return json.dumps({"channel": "instrument", "type": "snapshot", "data": data}).encode()


def book_frame(
    bids: str = "", asks: str = "", symbol: str = "SOL/EUR", kind: str = "update", checksum: int = 7
) -> bytes:
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{bids}],'
        f'"asks":[{asks}],"checksum":{checksum},"timestamp":"2026-09-14T08:21:37.611204Z"}}]}}'
    ).encode()


def level(price: str, quantity: str) -> str:
    return f'{{"price":{price},"qty":{quantity}}}'


@pytest.fixture
def decoder() -> KrakenDecoder:
    decoder = KrakenDecoder()
    decoder.decode(instrument_frame())
    return decoder


def delta(decoder: KrakenDecoder, frame: bytes) -> BookDelta:
    event = decoder.decode(frame)
    assert isinstance(event, BookDelta)
    return event


def test_a_book_update_becomes_ticks_and_lots_in_message_order(decoder: KrakenDecoder) -> None:
    frame = book_frame(
        bids=level("172.29", "1.25000000"),
        asks=f"{level('172.31', '0.00000000')},{level('172.41', '5.00000000')}",
        checksum=4111740976,
    )
    event = delta(decoder, frame)
    assert not event.is_snapshot
    assert event.bids == [(17229, 125_000_000)]
    assert event.asks == [(17231, 0), (17241, 500_000_000)]
    assert event.checksum == 4111740976
    assert event.timestamp == "2026-09-14T08:21:37.611204Z"


def test_a_snapshot_of_2023_has_no_timestamp(decoder: KrakenDecoder) -> None:
    frame = book_frame(bids=level("172.29", "1"), kind="snapshot").replace(
        b',"timestamp":"2026-09-14T08:21:37.611204Z"', b""
    )
    event = delta(decoder, frame)
    assert event.is_snapshot
    assert event.timestamp is None


@given(ticks=st.integers(1, 10**24), lots=st.integers(0, 10**24), precision=st.integers(0, 12))
def test_numbers_are_exact_whatever_their_size_and_precision(
    ticks: int, lots: int, precision: int
) -> None:
    decoder = KrakenDecoder()
    decoder.decode(instrument_frame(price_precision=precision, qty_precision=precision))
    frame = book_frame(bids=level(fixed(ticks, precision), fixed(lots, precision)))
    assert delta(decoder, frame).bids == [(ticks, lots)]


@given(ticks=st.integers(1, 10**18), lots=st.integers(1, 10**18), precision=st.integers(0, 10))
def test_numbers_are_exact_however_they_are_written(ticks: int, lots: int, precision: int) -> None:
    decoder = KrakenDecoder()
    decoder.decode(instrument_frame(price_precision=precision, qty_precision=precision))
    price = format(Decimal(ticks).scaleb(-precision).normalize(), "E")
    quantity = format(Decimal(lots).scaleb(-precision).normalize(), "f")  # zeros trimmed
    assert delta(decoder, book_frame(asks=level(price, quantity))).asks == [(ticks, lots)]


def test_amounts_beyond_a_double_take_the_exact_path_and_are_counted(
    decoder: KrakenDecoder,
) -> None:
    event = delta(decoder, book_frame(bids=level("172.29", "123456789012.12345679")))
    assert event.bids == [(17229, 12345678901212345679)]
    assert decoder.counters["exact"] == 1


@pytest.mark.parametrize(
    "frame",
    [
        b'{"data":[{"checksum":7,"asks":[],"bids":[{"qty":1.5,"price":172.29}],"symbol":"SOL/EUR"}],'
        b'"type":"update","channel":"book"}',
        b' { "channel" : "book", "type":\t"update", "data": [ { "symbol": "SOL/EUR", '
        b'"bids": [ { "price": 172.290, "qty": 15e-1 } ], "asks": [], "checksum": 7 } ] }\n',
        b'{"channel":"book","type":"update","new":1,"data":[{"symbol":"SOL/EUR","bids":[{"price":'
        b'172.29,"qty":1.5,"orders":3}],"asks":[],"checksum":7,"extra":{}}]}',
    ],
    ids=["other key order", "white space and exponents", "fields added since"],
)
def test_another_layout_of_the_same_frame_means_the_same(
    decoder: KrakenDecoder, frame: bytes
) -> None:
    event = delta(decoder, frame)
    assert event.bids == [(17229, 150_000_000)]
    assert event.checksum == 7


def test_several_books_in_one_frame_come_in_order(decoder: KrakenDecoder) -> None:
    one = book_frame(bids=level("172.29", "1"))
    entry = one[one.index(b'[{"symbol"') + 1 : -2]
    event = decoder.decode(b'{"channel":"book","type":"update","data":[%s,%s]}' % (entry, entry))
    assert isinstance(event, Batch)
    assert [type(e) for e in event.events] == [BookDelta, BookDelta]


@pytest.mark.parametrize("text", ["172.295", "172.2901", "0.001"])
def test_more_decimals_than_the_pair_has_are_refused_not_rounded(
    decoder: KrakenDecoder, text: str
) -> None:
    event = decoder.decode(book_frame(bids=level(text, "1")))
    assert isinstance(event, BookUnreadable)
    assert event.symbol == "SOL/EUR"
    assert text in event.reason
    assert "2 decimals" in event.reason


def test_a_book_of_an_unknown_pair_is_passed_over_and_counted(decoder: KrakenDecoder) -> None:
    assert decoder.decode(book_frame(symbol="NEW/EUR")) is None
    assert decoder.counters["unknown_pair"] == 1


def test_a_changed_precision_changes_what_the_digits_mean(decoder: KrakenDecoder) -> None:
    decoder.decode(instrument_frame(price_precision=3).replace(b'"snapshot"', b'"update"'))
    assert delta(decoder, book_frame(bids=level("172.290", "1"))).bids == [(172290, 10**8)]


def test_instruments_are_read_with_exponents_and_unknown_fields(decoder: KrakenDecoder) -> None:
    event = decoder.decode(
        instrument_frame("NEW/EUR", status="limit_only", qty_increment=5e-05, ws_new_field=True)
    )
    assert isinstance(event, InstrumentsChanged)
    (pair,) = event.pairs
    assert pair.status is InstrumentStatus.LIMIT_ONLY
    assert pair.quantity_increment == Decimal("0.00005")
    assert pair.price_increment == Decimal("0.01")
    assert pair.minimum_notional == Decimal("0.45")
    assert event.assets[0].precision == 10


def test_a_status_word_the_venue_added_since_is_not_tradable(decoder: KrakenDecoder) -> None:
    event = decoder.decode(instrument_frame(status="half_online"))
    assert isinstance(event, InstrumentsChanged)
    assert not event.pairs[0].is_online


def test_the_engine_state_is_read_and_its_huge_connection_id_does_no_harm(
    decoder: KrakenDecoder,
) -> None:
    frame = (
        b'{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"cancel_only",'
        b'"api_version":"v2","connection_id":18125794168470749634,"emergency":[]}]}'
    )
    assert decoder.decode(frame) == VenueStateChanged(VenueState.CANCEL_ONLY)


def test_answers_are_told_apart(decoder: KrakenDecoder) -> None:
    ack = (
        b'{"method":"subscribe","req_id":4107,"result":{"channel":"book","depth":25,'
        b'"snapshot":true,"symbol":"SOL/EUR"},"success":true}'
    )
    assert decoder.decode(ack) == Subscribed("SOL/EUR", 25, 4107)
    gone = ack.replace(b'"subscribe"', b'"unsubscribe"')
    assert decoder.decode(gone) == Unsubscribed("SOL/EUR", 4107)
    refused = (
        b'{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,'
        b'"symbol":"XBT/USD"}'
    )
    assert decoder.decode(refused) == RequestRefused(
        "subscribe", "Currency pair not supported XBT/USD", "XBT/USD"
    )
    bare = b'{"error":"Subscription depth not supported","method":"subscribe","success":false}'
    assert decoder.decode(bare) == RequestRefused("subscribe", "Subscription depth not supported")


@pytest.mark.parametrize(
    "frame",
    [
        b'{"channel":"heartbeat"}',
        b'{"method":"pong","req_id":88}',
        b'{"channel":"ticker","type":"update","data":[]}',
        b'{"channel":"a_channel_of_2027","data":{}}',
        b'{"method":"subscribe","result":{"channel":"instrument","warnings":[]},"success":true}',
    ],
)
def test_frames_without_news_for_us_are_no_events(decoder: KrakenDecoder, frame: bytes) -> None:
    assert decoder.decode(frame) is None


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"not json",
        b'[42,{},"book-10","XBT/USD"]',
        b"{}",
        b'{"channel":"book","type":"update","data":[]}',
        b'{"channel":"book","type":"update","data":[7]}',
        b'{"channel":"instrument","type":"snapshot","data":[]}',
        b'{"channel":"instrument","type":"snapshot","data":{"pairs":[{"symbol":"A/B"}]}}',
        book_frame(bids=level('"172.29"', "1")),
        book_frame(bids=level("-172.29", "1")),
        book_frame(bids=level("172.29", "-1")),
        book_frame(bids=level("0", "1")),
        book_frame(bids=level("1e300", "1")),
        book_frame(bids=level("9" * 400, "1")),
        book_frame(bids='{"price":1}'),
        book_frame(checksum=7).replace(b'"checksum":7', b'"checksum":"7"'),
        book_frame()[:-20],
    ],
)
def test_a_frame_the_protocol_does_not_promise_is_an_error_not_a_guess(
    decoder: KrakenDecoder, frame: bytes
) -> None:
    with pytest.raises(MessageError):
        decoder.decode(frame)


@given(garbage=st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else(garbage: bytes) -> None:
    with contextlib.suppress(MessageError):
        KrakenDecoder().decode(garbage)


@given(data=st.data())
def test_no_mutated_book_frame_makes_it_raise_anything_else(data: st.DataObject) -> None:
    decoder = KrakenDecoder()
    decoder.decode(instrument_frame())
    frame = bytearray(book_frame(bids=level("172.29", "1.25"), asks=level("172.31", "3")))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MessageError):
        decoder.decode(bytes(frame))
