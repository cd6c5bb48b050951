"""Whatever the compiled decoder accepts, the exact one reads as the same numbers."""

import zlib
from collections.abc import Sequence
from decimal import Decimal
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade.book import BookState
from arbitrade.hot import LOOP, unavailable
from arbitrade.models import InstrumentsChanged, Level
from arbitrade.testing.factories import make_instrument
from arbitrade.testing.mutation import mutated
from arbitrade.testing.twins import Twins
from arbitrade.testing.wild import WildMarket
from arbitrade_kraken.venue import KrakenVenue

_MISSING = [reason for name in (LOOP, "arbitrade_kraken._hot") if (reason := unavailable(name))]

pytestmark = pytest.mark.skipif(bool(_MISSING), reason="; ".join(_MISSING) or "compiled")

SYMBOL = "BTC/USD"
BIDS, ASKS = '[{"price":100.00,"qty":1.500}]', '[{"price":101.00,"qty":2.000}]'
STAMP = ',"timestamp":"2026-09-14T08:21:37.611204Z"'
NUMBERS = (
    *("0", "00", "0.0", "-0", "-0.0", "1", "01", "007.5", "1.", ".5", "+1", "-1", "1e5", "1E5"),
    *("1e-2", "1e+2", "1.5e1", "1e400", "1e-400", "0x10", "1_000", "1,000", "1 000", "١٢", "１"),
    *("1.0", "1.00", "1.000", "1.0000", "1.001", "1.0010", "0.001", "0.0010", "0.0001", "1.2.3"),
    *("NaN", "Infinity", "-Infinity", "null", "true", "false", '"1"', '"1.00"', "[1]", "{}", ""),
    *("9007199254740993", "9007199254740993.5", "4503599627370497.125", "2251799813685249.375"),
    *("9" * size for size in range(14, 24)),
    *(f"0.{'0' * size}1" for size in range(1, 24)),
    *(f"1{'0' * size}" for size in range(13, 46)),
    *(f"1{'0' * size}.000" for size in range(11, 24)),
    *(f"{'0' * size}1.000" for size in (1, 2, 15, 18, 30)),
    *(f"1.{'0' * size}" for size in range(1, 45)),
    *("99999999999999.999", "999999999999999.999", "9223372036854775.807", "9223372036854775.808"),
    *("1\0", "1\t", " 1", "1 ", "1\n", "1\\u0030", "1/", "1:", "1;"),
)


class Reading:
    """Two engines with one pair whose book stands; frames about it change it, or they don't."""

    def __init__(self, *symbols: str, prices: int = 2, quantities: int = 3) -> None:
        self.twins = Twins(KrakenVenue(), lambda pairs: ())
        pairs = tuple(
            attrs.evolve(
                make_instrument(),
                symbol=symbol,
                price_precision=prices,
                quantity_precision=quantities,
                price_increment=Decimal(1).scaleb(-prices),
                quantity_increment=Decimal(1).scaleb(-quantities),
            )
            for symbol in (symbols or (SYMBOL,))
        )
        change = InstrumentsChanged(True, pairs, ())
        self.twins.each(lambda engine: engine.learn(change))
        assert self.twins.is_compiled

    def reset(self) -> None:
        self.twins.on_frame(frame())
        assert self.twins.compiled.books[SYMBOL].state is BookState.SYNCED

    def read(self, raw: bytes) -> None:
        """Have a frame read by both, on top of a book that stands."""
        self.reset()
        self.twins.on_frame(raw)
        self.twins.check()

    def levels(self) -> tuple[Sequence[Level], Sequence[Level]]:
        book = self.twins.compiled.books[SYMBOL]
        return list(book.bids), list(book.asks)

    def is_left(self, raw: bytes) -> bool:
        """Tell whether the compiled decoder leaves a frame to the exact one."""
        self.reset()
        before = self.twins.compiled.counters.get("left_to_python", 0)
        self.twins.on_frame(raw)
        self.twins.check()
        return self.twins.compiled.counters.get("left_to_python", 0) > before


def frame(
    bids: str = BIDS,
    asks: str = ASKS,
    *,
    kind: str = "snapshot",
    symbol: str = SYMBOL,
    checksum: object = None,
    rest: str = STAMP,
) -> bytes:
    if checksum is None:
        checksum = zlib.crc32(b"101002000" + b"100001500")
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":{bids},'
        f'"asks":{asks},"checksum":{checksum}{rest}}}]}}'
    ).encode()


def levels(price: str, quantity: str, place: str) -> str:
    usual = '{"price":90.00,"qty":1.000}'
    odd = f'{{"price":{price},"qty":{quantity}}}'
    return {"alone": f"[{odd}]", "first": f"[{odd},{usual}]", "last": f"[{usual},{odd}]"}[place]


@pytest.mark.parametrize("kind", ["snapshot", "update"])
@pytest.mark.parametrize("place", ["alone", "first", "last"])
def test_numbers_of_any_spelling_are_the_same_to_both(kind: str, place: str) -> None:
    reading = Reading()
    for number in NUMBERS:
        for price, quantity in ((number, "1.000"), ("99.00", number), (number, number)):
            odd = levels(price, quantity, place)
            reading.read(frame(bids=odd, kind=kind))
            reading.read(frame(asks=odd, kind=kind))
            reading.read(frame(bids=odd, kind=kind).replace(b'":', b'": ').replace(b',"', b', "'))


@pytest.mark.parametrize("prices", [0, 1, 8, 16, 17, 18, 19, 30])
@pytest.mark.parametrize("quantities", [0, 8, 17, 18, 25])
def test_numbers_at_any_precision_are_the_same_to_both(prices: int, quantities: int) -> None:
    reading = Reading(prices=prices, quantities=quantities)
    for number in NUMBERS:
        for price, quantity in ((number, "1"), ("99", number)):
            odd = levels(price, quantity, "alone")
            reading.twins.on_frame(frame(bids=odd))
            reading.twins.check()


@given(
    ticks=st.integers(0, 10**20),
    lots=st.integers(0, 10**20),
    prices=st.integers(0, 20),
    quantities=st.integers(0, 20),
    cut=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
@settings(deadline=None, max_examples=150)
def test_every_amount_is_the_same_to_both(
    ticks: int, lots: int, prices: int, quantities: int, cut: tuple[int, int]
) -> None:
    """Written with all its decimals, with fewer, or with more."""
    reading = Reading(prices=prices, quantities=quantities)

    def written(units: int, precision: int, change: int) -> str:
        text = f"{Decimal(units).scaleb(-precision):f}"
        if change == 1 and "." in text:
            return text.rstrip("0").rstrip(".")
        return text + ("" if change < 2 else "0" if "." in text else ".0")

    price, quantity = written(ticks, prices, cut[0]), written(lots, quantities, cut[1])
    reading.twins.on_frame(frame(bids=f'[{{"price":{price},"qty":{quantity}}}]', asks="[]"))
    reading.twins.check()


@pytest.mark.parametrize(
    "checksum",
    [
        *("0", "00012", "-0", "-1", "4294967295", "4294967296", "1e3", "1.0", "01", '"1"', "null"),
        *("true", "", "99999999999", "999999999999", str(2**63), str(-(2**63)), str(10**40), "[]"),
        *(str(zlib.crc32(b"101002000100001500") + 2**32), f"0{zlib.crc32(b'101002000100001500')}"),
    ],
)
def test_checksums_of_any_spelling_are_the_same_to_both(checksum: str) -> None:
    reading = Reading()
    reading.read(frame(checksum=checksum))
    reading.read(frame(checksum=checksum, rest=""))
    reading.read(frame("[]", "[]", checksum=checksum, kind="update"))


@pytest.mark.parametrize(
    "rest",
    [
        *(f',"timestamp":{value}' for value in ("null", '""', "5", "0", "false", "true", "[]")),
        *(f',"timestamp":"{text}"' for text in ("é", "\\u00e9", "a\\"
          "nb", "\x7f", "\x1f", "\0", "x" * 48, "x" * 49, "é" * 24, "é" * 25, "x" * 5_000)),
        *(',"timestamp":"x', ',"timestamp":"x"}', ',"timestamp":"x"}]}', ',"more":1', ",", "}"),
        ',"timestamp":"a","timestamp":"b"',
        ',"checksum":5,"timestamp":"a"',
        ',"symbol":"ETH/USD"',
        ',"bids":[]',
        "",
    ],
)  # fmt: skip
def test_what_stands_behind_the_checksum_is_the_same_to_both(rest: str) -> None:
    reading = Reading()
    reading.read(frame(rest=rest))
    reading.read(frame("[]", "[]", kind="update", rest=rest))


def test_time_longer_than_any_is_kept_until_one_that_is_not() -> None:
    reading = Reading()
    reading.read(frame(rest=f',"timestamp":"{"x" * 60}"'))
    assert reading.twins.compiled.books[SYMBOL].timestamp == "x" * 60
    assert reading.is_left(frame("[]", "[]", kind="update")) is False, "a snapshot came before it"
    assert reading.twins.compiled.books[SYMBOL].timestamp == STAMP[14:-1]


@pytest.mark.parametrize(
    "symbol",
    ["BTC/USD\0", "BTC/USD ", "btc/usd", "BTC\\/USD", "B", "", "X" * 16, "X" * 17, "BTC/US", "É"],
)
def test_only_the_pair_itself_is_that_pair(symbol: str) -> None:
    reading = Reading(SYMBOL, "X" * 16, "X" * 17, "É")
    reading.read(frame('[{"price":99.00,"qty":1.000}]', symbol=symbol))


@pytest.mark.parametrize("symbol", ["A\\B", 'A"B', "A\tB", "A\x7fB", "É/USD", "A\0", "\0"])
def test_pairs_that_json_writes_in_more_than_one_way_are_the_same_to_both(symbol: str) -> None:
    reading = Reading(SYMBOL, symbol, "A")
    for text in (symbol, symbol.replace("\\", "\\\\").replace('"', '\\"'), "A"):
        reading.read(frame(symbol=text))


def test_frame_cut_anywhere_is_the_same_to_both() -> None:
    reading = Reading()
    whole = frame('[{"price":99.00,"qty":1.000},{"price":98.5,"qty":2}]', kind="update")
    spaced = whole.replace(b'":', b'": ').replace(b',"', b', "')
    for text in (whole, spaced):
        for end in range(len(text) + 1):
            reading.read(text[:end])


def test_frame_with_any_byte_anywhere_is_the_same_to_both() -> None:
    reading = Reading()
    whole = frame('[{"price":9.00,"qty":1.000}]', "[]", kind="update", rest=',"timestamp":"x"')
    for at in range(len(whole)):
        for byte in b'\0 \t\n"0159.-e,:{}[]\\\x7f\x80\xff':
            reading.twins.on_frame(whole[:at] + bytes((byte,)) + whole[at + 1 :])
        reading.read(whole[:at] + b" " + whole[at:])
        reading.read(whole[:at] + b"0" + whole[at:])
    reading.twins.check()


@pytest.mark.parametrize("depth", [10, 100, 1_000])
@pytest.mark.parametrize("number", [1, 10, 63, 64, 65, 128, 999, 2_048, 2_049, 5_000])
def test_messages_of_any_length_are_the_same_to_both(depth: int, number: int) -> None:
    reading = Reading()
    ack = b'{"method":"subscribe","success":true,"result":{"channel":"book","symbol":"%s",'
    reading.twins.on_frame(ack % SYMBOL.encode() + b'"depth":%d}}' % depth)
    many = ",".join(f'{{"price":{200 + at}.00,"qty":{at % 3}.000}}' for at in range(number))
    reading.read(frame(asks=f"[{many}]"))
    reading.read(frame("[]", f"[{many}]", kind="update"))


def test_deep_nesting_and_huge_frames_are_the_same_to_both() -> None:
    reading = Reading()
    for raw in (
        b"[" * 100_000,
        b'{"channel":' * 10_000,
        b'{"channel":"book","type":"snapshot","data":' + b"[" * 50_000,
        frame(bids="[" * 5_000),
        frame() + b" " * 200_000,
        frame().replace(b":", b":" + b" " * 9_000),
        b'{"channel": ' + b" " * 65_536 + b'"book"}',
        b'{"channel": "' + b"x" * 70_000,
        b"\xef\xbb\xbf" + frame(),
        frame() * 2,
        frame() + b"\n" + frame(),
    ):
        reading.read(raw)


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_mutated_frames_are_the_same_to_both(seed: int) -> None:
    rng, reading = Random(seed), Reading()
    for _ in range(40):
        number = rng.randrange(4)
        many = ",".join(
            f'{{"price":{rng.randrange(90, 100)}.{rng.randrange(100):02d},'
            f'"qty":{rng.randrange(3)}.{rng.randrange(1000):03d}}}'
            for _ in range(number)
        )
        kind = rng.choice(("snapshot", "update"))
        reading.read(mutated(frame(f"[{many}]", rng.choice((ASKS, "[]")), kind=kind), rng))


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1e-99999999999999999999", "1e400"])
def test_instruments_with_a_number_out_of_range_are_refused_by_both(number: str) -> None:
    raw = WildMarket(1).instruments().replace(b"0.01", number.encode())
    assert number.encode() in raw
    Reading().read(raw)


def test_usual_frames_are_not_left_to_the_exact_decoder() -> None:
    reading = Reading()
    assert not reading.is_left(frame())
    assert not reading.is_left(frame().replace(b'":', b'": ').replace(b',"', b', "'))
    assert not reading.is_left(frame("[]", "[]", kind="update", rest=""))
    assert reading.levels() == ([(10_000, 1_500)], [(10_100, 2_000)])
    assert reading.is_left(frame(bids='[{"price":1e2,"qty":1.5}]'))
