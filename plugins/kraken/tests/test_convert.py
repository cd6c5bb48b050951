"""Captures of other recorders become recordings; what is no capture is told by file and line."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from arbitrade.cli import arbitrade
from arbitrade.recording import RecordingReader

HEADER = b'{"captured_at":"2026-08-18T09:00:00Z","by":"somebody"}'
FRAME = b'{"channel":"book","data":[{"price":0.10,"qty":1E-8}]}'
INSTRUMENTS = (
    b'{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[{"symbol":"BTC/USD",'
    b'"base":"BTC","quote":"USD","status":"online","qty_precision":8,"qty_increment":1e-8,'
    b'"price_precision":1,"cost_precision":5,"price_increment":0.1,"qty_min":0.0001,'
    b'"cost_min":0.5}]}}'
)


def convert(folder: Path, *lines: bytes, instruments: bytes | None = None) -> Result:
    """Convert a capture of these lines into `recording.jsonl`."""
    (folder / "capture").write_bytes(b"\n".join(lines) + b"\n")
    arguments = ["convert", str(folder / "capture"), str(folder / "recording.jsonl")]
    if instruments is not None:
        (folder / "i.json").write_bytes(instruments)
        arguments += ["--instruments", str(folder / "i.json")]
    return CliRunner().invoke(arbitrade, ["--config", str(folder), *arguments])


def test_frames_keep_their_digits_and_get_the_time_of_their_capture(tmp_path: Path) -> None:
    rows = [
        HEADER,
        b'{"rx_ns":5000,"dir":"tx","frame":{"method":"subscribe"}}',
        b'{"rx_ns":7000,"frame":' + FRAME + b"}",
    ]
    assert convert(tmp_path, *rows, instruments=INSTRUMENTS).exit_code == 0
    with RecordingReader(str(tmp_path / "recording.jsonl")) as reader:
        first, request, book = reader
    assert json.loads(first.frame)["data"]["pairs"][0]["symbol"] == "BTC/USD"
    assert request.envelope is not None
    assert not request.envelope.is_received
    assert book.frame == FRAME
    assert book.envelope is not None
    assert book.envelope.time_ns == 1_787_043_600 * 10**9 + 2_000


def test_a_time_without_a_zone_is_utc_wherever_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_zone = getattr(time, "tzset", lambda: None)  # Windows has none
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        set_zone()
        convert(tmp_path, HEADER.replace(b"00Z", b"00"), b'{"rx_ns":5000,"frame":' + FRAME + b"}")
    set_zone()
    with RecordingReader(str(tmp_path / "recording.jsonl")) as reader:
        (line,) = reader
    assert line.envelope is not None
    assert line.envelope.time_ns == 1_787_043_600 * 10**9


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([HEADER, b"nothing of the kind"], "capture, line 2 is not JSON"),
        ([b"[]"], "capture, line 1 is not a JSON object"),
        ([b'{"captured_at":7}'], "capture, line 1: captured_at 7 is no time"),
        ([b'{"captured_at":"noon"}'], "capture, line 1: captured_at 'noon' is no time"),
        ([b'{"rx_ns":1,"frame":{},"by":1}'], "capture, line 1: `frame` is not its last key"),
        ([b'{"something":"else"}'], "capture, line 1 is neither a frame nor {rx_ns, frame}"),
    ],
)
def test_what_is_no_capture_is_told_by_line_and_leaves_no_file(
    tmp_path: Path, lines: list[bytes], expected: str
) -> None:
    result = convert(tmp_path, *lines)
    assert result.exit_code == 1
    assert expected in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["capture"]


def test_a_recording_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "recording.jsonl").write_bytes(b"precious")
    result = convert(tmp_path, FRAME)
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert (tmp_path / "recording.jsonl").read_bytes() == b"precious"


def test_instruments_that_are_none_are_named_by_their_file(tmp_path: Path) -> None:
    result = convert(tmp_path, FRAME, instruments=b"[]")
    assert result.exit_code == 1
    assert f"--instruments {tmp_path / 'i.json'}: " in result.stderr
