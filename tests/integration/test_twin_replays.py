"""A recording replays to the same end compiled and interpreted, however it was cut into blocks."""

import gzip
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arbitrade.clock import ReplayClock
from arbitrade.engine.assembly import make_engine
from arbitrade.engine.engine import Engine
from arbitrade.errors import ArbitradeError, MessageError
from arbitrade.hot import LOOP, unavailable
from arbitrade.models import Instruments, InstrumentsChanged
from arbitrade.pricing import FeeSchedule
from arbitrade.recording import RecordingReader, reader
from arbitrade.research.detection import CycleRecords, Detection
from arbitrade.testing.mutation import mutated
from arbitrade.testing.wild import WildMarket
from arbitrade_kraken.venue import KrakenVenue
from arbitrade_triangular.config import TriangularSettings
from arbitrade_triangular.detector import TriangularDetector

STAGES = (LOOP, "arbitrade_kraken._hot", "arbitrade_triangular._hot")
_MISSING = [reason for name in STAGES if (reason := unavailable(name))]

pytestmark = pytest.mark.skipif(bool(_MISSING), reason="; ".join(_MISSING) or "compiled")

START_NS = 1_789_374_097 * 10**9
UPDATE = (
    b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[],'
    b'"checksum":0,"timestamp":"2026-09-14T08:00:00.000000Z"}]}'
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def triangular(instruments: Instruments) -> tuple[TriangularDetector]:
    return (TriangularDetector(instruments, FeeSchedule(Decimal("0.0005")), TriangularSettings()),)


def replayed(path: Path, is_compiled: bool, **options: Any) -> list[str]:
    """Return everything a replay did, said and counted, as text."""
    clock, records = ReplayClock(), CycleRecords()
    seen: list[str] = []
    engine = (make_engine if is_compiled else Engine)(
        KrakenVenue(),
        triangular,
        lambda found, position: seen.extend(
            f"{position} at {clock.time_ns}: {one!r}" for one in found
        ),
        clock=clock,
        on_episode_end=records.add,
        on_out_of_sync=lambda symbol: seen.append(f"lost {symbol}"),
        **options,
    )
    assert (engine.hot_path == "compiled") is is_compiled
    replay = Detection(engine, clock, records)
    with RecordingReader(str(path)) as recording:
        try:
            replay.run(recording)
        except ArbitradeError as error:
            seen.append(f"{type(error).__name__}: {error}")
        told = replay.summary(recording).as_json()
    for name in ("hot_path", "seconds", "frames_per_s", "latency_us", "sizing_us"):
        del told[name]
    counters = told["counters"]
    assert isinstance(counters, dict)
    for name in ("exact", "left_to_python"):
        counters.pop(name, None)
    seen.append(json.dumps(told, sort_keys=True))
    seen.append(f"clock {clock.time_ns}, newest {recording.newest_ns}")
    for symbol, book in engine.books.items():
        seen.append(f"{symbol} {book.state} {book.timestamp} {list(book.bids)} {list(book.asks)}")
    return seen


def readable(seed: int, count: int, wildness: float) -> list[bytes]:
    """Return frames of a wild market that are no broken messages, each one line."""
    engine = Engine(KrakenVenue(), lambda pairs: (), lambda found, position: None)
    frames = []
    for frame in WildMarket(seed, wildness).frames(count):
        try:
            engine.on_frame(frame)
        except MessageError:
            continue
        if b"\n" not in frame and frame.strip():
            frames.append(frame)
    return frames


def enveloped(frame: bytes, time_ns: int, rng: Random) -> bytes:
    """Return a frame in an envelope, mostly in our own writer's."""
    conn = rng.choice((0, 1, 12))
    odd = rng.random()
    if odd < 0.9:
        return b'{"t":%d,"src":"public","conn":%d,"dir":"rx","m":%s}' % (time_ns, conn, frame)
    head = (
        b'{"t": %d, "src": "public", "conn": %d, "dir": "rx", "m": %s}',
        b'{"t":%d,"src":"private","conn":%d,"dir":"rx","m":%s}',
        b'{"t":%d,"src":"public","conn":%d,"dir":"tx","m":%s}',
        b'{"t":%d,"conn":%d,"m":%s}',
        b'{"t":%d,"src":"public","conn":%d,"dir":"rx","m":%s,"more":1}',
        b' {"t":%d,"src":"public","conn":%d,"dir":"rx","m":%s} ',
    )
    return rng.choice(head) % (time_ns, conn, frame)


def recording(seed: int, count: int) -> bytes:
    """Return lines of a recording: raw frames, envelopes, blank lines; mostly ended properly."""
    rng = Random(seed)
    lines, time_ns = [], START_NS
    wraps = rng.choice((0.0, 0.5, 1.0))
    for frame in readable(seed, count, rng.choice((0.05, 0.4))):
        time_ns += rng.randrange(10**9)
        lines.append(enveloped(frame, time_ns, rng) if rng.random() < wraps else frame)
        if rng.random() < 0.02:
            lines.append(rng.choice((b"", b"  ", b"\r")))
    if rng.random() < 0.2:
        at = rng.randrange(len(lines))
        lines[at] = mutated(lines[at], rng).replace(b"\n", b"")
    whole = rng.choice((b"\n", b"\n", b"\n", b"\r\n")).join(lines)
    ending = rng.randrange(4)
    if ending == 0:
        return whole
    if ending == 1:
        return whole[: rng.randrange(len(whole))]
    return whole + b"\n"


@given(seed=st.integers(0, 2**32), block=st.sampled_from((1, 7, 64, 900, 5_000, 1 << 20)))
@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_recording_replays_to_the_same_end(
    seed: int, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = Random(seed)
    content = recording(seed, 30 if block == 1 else 250)
    kind = rng.randrange(4)
    if kind == 0:
        content = gzip.compress(content, 1)
    elif kind == 1:
        content = zstandard.ZstdCompressor(level=1).compress(content)
    if kind < 2 and rng.random() < 0.3:
        content = content[: rng.randrange(8, len(content))]
    path = tmp_path_factory.mktemp("recordings") / "market.jsonl"
    path.write_bytes(content)
    limits = {
        "max_lag_s": rng.choice((None, 0.5, 100.0)),
        "max_crossed_s": rng.choice((None, 0.0, 2.0)),
    }
    with pytest.MonkeyPatch.context() as patch:
        interpreted = replayed(path, False, **limits)
        patch.setattr(reader, "_BLOCK", block)
        assert replayed(path, True, **limits) == interpreted


def written(folder: Path, *lines: bytes) -> Path:
    path = folder / "market.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def opening() -> list[bytes]:
    return list(WildMarket(1).frames(0))


def test_last_line_without_its_line_break_is_taken_though_a_chunk_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = opening()
    path = written(tmp_path, *lines)
    assert f'"frames": {len(lines)}' in replayed(path, False)[-len(lines)]
    for block in (1, 10, 1 << 20):
        monkeypatch.setattr(reader, "_BLOCK", block)
        assert replayed(path, True) == replayed(path, False)


@pytest.mark.parametrize(
    "head",
    [
        b'{"t":0%d,"src":"public","conn":1,"dir":"rx","m":',
        b'{"t":%d,"src":"public","conn":01,"dir":"rx","m":',
        b'{"t":%d0,"src":"public","conn":1,"dir":"rx","m":',
        b'{"t":99999%d,"src":"public","conn":1,"dir":"rx","m":',
        b'{"t":,"src":"public","conn":%d,"dir":"rx","m":',
        b'{"t":%d,"src":"public","conn":,"dir":"rx","m":',
        b'{"t":%d,"src":"public","conn":12345678901,"dir":"rx","m":',
        b'{"t":-%d,"src":"public","conn":1,"dir":"rx","m":',
    ],
)
def test_envelopes_are_read_alike_whatever_their_numbers(tmp_path: Path, head: bytes) -> None:
    path = written(tmp_path, *opening(), head % START_NS + UPDATE + b"}", UPDATE, b"")
    assert replayed(path, True) == replayed(path, False)


def test_envelope_older_than_one_above_is_refused_by_line(tmp_path: Path) -> None:
    head = b'{"t":%d,"src":"public","conn":1,"dir":"rx","m":%s}'
    lines = (head % (START_NS, UPDATE), head % (START_NS - 1, UPDATE))
    path = written(tmp_path, *opening(), *lines, b"")
    told = replayed(path, True)
    assert told == replayed(path, False)
    assert f"line {len(opening()) + 2}" in str(told)
    assert "not in the order" in str(told)


def test_time_that_is_none_is_reported_with_its_line(tmp_path: Path) -> None:
    """Only the limit of age reads times; both say where the bad one stands."""
    market = WildMarket(3, 0.0)
    lines = [frame.replace(b"2026-09-14T08", b"noon") for frame in market.frames(300)]
    path = written(tmp_path, *lines, b"")
    told = replayed(path, True, max_lag_s=1.0)
    assert told == replayed(path, False, max_lag_s=1.0)
    assert "RFC 3339" in str(told)


def test_instruments_from_elsewhere_are_known_to_both() -> None:
    seen = []
    frames = opening()
    for make in (Engine, make_engine):
        engine = make(KrakenVenue(), triangular, lambda found, position: None)
        change = KrakenVenue().read_instruments(frames[1])
        assert isinstance(change, InstrumentsChanged)
        engine.learn(change)
        for frame in frames[2:]:
            engine.on_frame(frame)
        seen.append((engine.tally(), [list(book.asks) for book in engine.books.values()]))
    assert seen[0] == seen[1]
