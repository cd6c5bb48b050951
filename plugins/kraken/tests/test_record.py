"""`arbitrade record` against a loopback venue: parts that stand alone, crashes that cost a line."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from arbitrade import Alert, Instruments
from arbitrade.clock import ReplayClock
from arbitrade.engine.engine import Engine
from arbitrade.errors import RecordingError
from arbitrade.models import BookDelta
from arbitrade.recording import RecordingReader, RecordingWriter
from arbitrade.recording.session import RecordSession
from arbitrade.research.detection import CycleRecords, Detection, DetectionSummary
from arbitrade.testing.patience import PATIENCE_S
from arbitrade_kraken.config import KrakenSettings
from arbitrade_kraken.market.decoder import KrakenDecoder
from arbitrade_kraken.venue import KrakenVenue


def replayed(path: Path) -> DetectionSummary:
    """Detection one part alone."""
    clock = ReplayClock()
    engine = Engine(KrakenVenue(), lambda _: (), lambda *_: None, clock=clock)
    replay = Detection(engine, clock, CycleRecords())
    with RecordingReader(str(path)) as reader:
        replay.run(reader)
        return replay.summary(reader)


def everything(instruments: Instruments) -> Collection[str]:
    return tuple(instruments)


@attrs.define
class Noting:
    """An alert sink that notes titles."""

    pulse: Any
    titles: list[str] = attrs.field(factory=list)
    name: str = "noting"

    async def send(self, alert: Alert) -> None:
        self.titles.append(alert.title)
        self.pulse.beat()


@pytest.fixture
def recording(
    kraken: Any, quick: Callable[..., KrakenSettings], tmp_path: Path, pulse: Any
) -> Callable[..., Any]:
    """Record for the length of an `async with`."""

    @asynccontextmanager
    async def run(
        compression: str = "none", rotate_bytes: int = 1 << 30, **options: Any
    ) -> AsyncIterator[RecordSession]:
        writer = RecordingWriter(tmp_path, "kraken", compression, rotate_bytes=rotate_bytes)
        settings = options.pop("settings", {})
        session = RecordSession(KrakenVenue(quick(**settings)), writer, everything, **options)
        task = asyncio.create_task(session.run(on_progress=lambda _: pulse.beat(), progress_s=0.02))
        task.add_done_callback(lambda _: pulse.beat())
        try:
            yield session
            session.stop()
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, RecordingError):
                await task

    return run


def parts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if "jsonl" in path.name)


async def trade(kraken: Any, market: dict[str, Any], updates: int, seed: int = 5) -> None:
    """Send valid updates of random pairs."""
    random = Random(seed)
    for _ in range(updates):
        symbol = random.choice(sorted(market))
        kraken.of(symbol).send(market[symbol].random_update(random))
        await asyncio.sleep(0)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_what_was_recorded_replays_with_every_checksum_right(
    kraken: Any,
    market: dict[str, Any],
    recording: Any,
    pulse: Any,
    tmp_path: Path,
    compression: str,
) -> None:
    async with recording(compression) as session:
        await pulse.until(lambda: session.report().books_in_sync == len(market))
        await trade(kraken, market, 300)
        await pulse.until(lambda: session.report().right == 300 + len(market))
    (part,) = parts(tmp_path)
    told = replayed(part)
    assert (told.right, told.wrong, told.skipped) == (300 + len(market), 0, 0)
    assert told.pairs == len(market)


async def test_every_part_of_a_rotated_recording_stands_alone(
    kraken: Any, market: dict[str, Any], recording: Any, pulse: Any, tmp_path: Path
) -> None:
    async with recording(rotate_bytes=40_000, settings={"connections": 2}) as session:
        await pulse.until(lambda: session.report().books_in_sync == len(market))
        await trade(kraken, market, 600)
        await pulse.until(lambda: session.report().right == 600 + len(market))
    found = parts(tmp_path)
    assert len(found) >= 3
    for part in found[1:]:
        lines = part.read_bytes().splitlines()
        assert b'"channel":"instrument","type":"snapshot"' in lines[0]
    told = [replayed(part) for part in found]
    assert all(one.wrong == one.skipped == 0 for one in told)
    assert all(one.pairs == len(market) for one in told)
    # Every part but the first begins with a snapshot of each book that nobody received.
    made = (len(found) - 1) * len(market)
    assert sum(one.right for one in told) == 600 + len(market) + made


async def test_the_books_at_the_end_of_a_part_are_those_the_next_begins_with(
    kraken: Any, market: dict[str, Any], recording: Any, pulse: Any, tmp_path: Path
) -> None:
    async with recording(rotate_bytes=30_000) as session:
        await pulse.until(lambda: session.report().books_in_sync == len(market))
        await trade(kraken, market, 300)
        await pulse.until(lambda: session.report().right == 300 + len(market))

    def books(part: Path, only_beginning: bool) -> dict[str, tuple[list[Any], list[Any]]]:
        engine = Engine(KrakenVenue(), lambda _: (), lambda *_: None)
        decoder = KrakenDecoder()
        with RecordingReader(str(part)) as reader:
            for line in reader:
                event = decoder.decode(line.frame)
                if only_beginning and isinstance(event, BookDelta) and not event.is_snapshot:
                    break
                if line.envelope is not None and line.envelope.is_received:
                    engine.on_frame(line.frame)
        return {s: (list(b.bids), list(b.asks)) for s, b in engine.books.items()}

    first, second, *_ = parts(tmp_path)
    assert books(first, False) == books(second, True)


async def test_a_mismatch_while_recording_resynchronises_and_replays_the_same_way(
    kraken: Any, market: dict[str, Any], recording: Any, pulse: Any, tmp_path: Path
) -> None:
    symbol = sorted(market)[0]
    async with recording() as session:
        await pulse.until(lambda: session.report().books_in_sync == len(market))
        broken = market[symbol].random_update(Random(1)).replace(b'"checksum":', b'"checksum":1')
        kraken.of(symbol).send(broken)
        await pulse.until(lambda: session.report().wrong == 1)
        await pulse.until(lambda: session.report().books_in_sync == len(market))
        report = session.report()
    (part,) = parts(tmp_path)
    told = replayed(part)
    assert (told.wrong, told.resyncs) == (1, 1)
    assert told.right == report.right


async def test_a_lost_connection_is_in_the_recording_and_alerted(
    kraken: Any, market: dict[str, Any], recording: Any, pulse: Any, tmp_path: Path
) -> None:
    sink = Noting(pulse)
    async with recording(sinks=[sink]) as session:
        await pulse.until(lambda: session.report().books_in_sync == len(market))
        kraken.visitors[-1].reset()
        await pulse.until(lambda: session.report().lost_connections == 1)
        await pulse.until(lambda: session.report().books_in_sync == len(market))
        await pulse.until(lambda: bool(sink.titles))
    assert "connection 0 lost" in sink.titles[0]
    (part,) = parts(tmp_path)
    control = [json.loads(line) for line in part.read_bytes().splitlines() if b'"control"' in line]
    assert control[0]["m"]["event"] == "connection_lost"
    assert replayed(part).wrong == 0


async def test_a_disk_that_fills_stops_the_recording_with_an_alert_and_whole_lines(
    kraken: Any,
    market: dict[str, Any],
    recording: Any,
    pulse: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = Noting(pulse)
    real, room = os.write, [60_000]

    def nearly_full(descriptor: int, content: Any) -> int:
        if str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith(str(tmp_path)):
            if room[0] <= 0:
                raise OSError(28, "No space left on device")
            content = bytes(content)[: room[0]]
            room[0] -= len(content)
        return real(descriptor, content)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to tell the recording from other files")
    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(RecordingError, match="No space left on device"):
        async with recording(sinks=[sink]) as session:
            await pulse.until(lambda: session.report().books_in_sync == len(market))
            random = Random(3)
            symbol = sorted(market)[0]
            while not sink.titles:
                kraken.of(symbol).send(market[symbol].random_update(random))
                await asyncio.sleep(0.001)
    assert "recording stopped" in sink.titles
    (part,) = parts(tmp_path)
    told = replayed(part)
    assert told.torn_line is None
    assert told.wrong == 0


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX signal")
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_a_killed_process_loses_at_most_the_last_line_or_second(
    kraken: Any, market: dict[str, Any], tmp_path: Path, compression: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "arbitrade",
        "record",
        "--url",
        kraken.url,
        "--folder",
        str(tmp_path / "out"),
        "--compression",
        compression,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "ARBITRADE_CONFIG": str(tmp_path)},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not all(
                any(symbol in visitor.books for visitor in kraken.visitors) for symbol in market
            ):
                await asyncio.sleep(0.02)
            random, symbol = Random(9), sorted(market)[0]
            for _ in range(50):
                kraken.of(symbol).send(market[symbol].random_update(random))
            # It is on disk without anything more that would push it there.
            while not _has(tmp_path / "out", len(market) + 50):
                await asyncio.sleep(0.02)
            for _ in range(500):
                kraken.of(symbol).send(market[symbol].random_update(random))
                await asyncio.sleep(0)
            process.send_signal(signal.SIGKILL)
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    (part,) = parts(tmp_path / "out")
    told = replayed(part)
    assert told.wrong == 0
    # What was sent last may still have been on its way, or between two flushes.
    assert told.right >= len(market) + 50


def _has(folder: Path, frames: int) -> bool:
    """Tell whether so many frames could be read if the writer were gone now."""
    try:
        return any(replayed(part).right >= frames for part in parts(folder))
    except RecordingError:  # not one yet
        return False


async def test_it_ends_by_itself_in_good_order_and_reports(
    kraken: Any, market: dict[str, Any], tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "arbitrade", "record", "--url", kraken.url, "--folder", str(tmp_path / "out")),
        *("--pairs", "btc/usd", "--for", "1s", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ARBITRADE_CONFIG": str(tmp_path)},
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0, err.decode()
    report = json.loads(out)
    assert (report["books"], report["books_in_sync"], report["wrong"]) == (1, 1, 0)
    assert replayed(Path(report["path"])).right == report["right"] == 1


async def test_an_unknown_pair_is_named_with_what_is_near(
    kraken: Any, market: dict[str, Any], tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "arbitrade", "record", "--url", kraken.url, "--folder", str(tmp_path / "out")),
        *("--pairs", "BTC/UST", "--for", "5s"),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ARBITRADE_CONFIG": str(tmp_path)},
    )
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 2
    assert "kraken has no BTC/UST" in err.decode()
    assert "BTC/USD" in err.decode()
    assert "Traceback" not in err.decode()
