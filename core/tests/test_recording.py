"""Recordings: what is written reads back to the byte; what is broken is named."""

import gzip
import os
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from arbitrade.clock import ReplayClock
from arbitrade.errors import MessageError, RecordingError
from arbitrade.models import ConnectionLost
from arbitrade.recording import (
    Envelope,
    Line,
    RecordingReader,
    RecordingWriter,
    read_control,
    write_control,
)

RAW = b'{"channel":"book","type":"update","data":[{"qty":0.10000000}]}'
T0 = 1_789_374_000 * 10**9


def checked_zstd(content: bytes) -> bytes:
    """Compress the way our writer does: with a checksum of the content."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def read(path: Path) -> list[Line]:
    with RecordingReader(str(path)) as reader:
        return list(reader)


def write(path: Path, *lines: bytes, end: bytes = b"\n") -> Path:
    path.write_bytes(b"\n".join(lines) + end)
    return path


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_is_written_reads_back_to_the_byte(tmp_path: Path, compression: str) -> None:
    clock = ReplayClock(T0)
    writer = RecordingWriter(tmp_path, "kraken", compression, clock=clock)
    writer.write(RAW, connection=3)
    clock.move_to(T0 + 5)
    writer.write(b'{"method":"ping"}', connection=3, received=False)
    writer.write(write_control(ConnectionLost(("A/B",), "silent")), source="control", connection=3)
    writer.close()
    assert writer.path is not None
    assert read(writer.path) == [
        Line(1, RAW, Envelope(T0, "public", 3, True)),
        Line(2, b'{"method":"ping"}', Envelope(T0 + 5, "public", 3, False)),
        Line(
            3,
            b'{"event":"connection_lost","symbols":["A/B"],"reason":"silent"}',
            Envelope(T0 + 5, "control", 3, True),
        ),
    ]


def test_raw_frames_need_no_envelope_and_empty_lines_count_but_say_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.jsonl", RAW, b"", b"  ", b'{"type":"x","channel":"book"}')
    lines = read(path)
    assert [line.number for line in lines] == [1, 4]
    assert lines[0].frame.strip() == RAW
    assert all(line.envelope is None for line in lines)


def test_an_envelope_in_any_key_order_keeps_the_digits_of_its_frame(tmp_path: Path) -> None:
    frame = b'{"channel": "book", "qty": 0.100000000000000000001, "s": "\\u00e9}\\"m\\":"}'
    path = write(
        tmp_path / "a.ndjson",
        b'{"dir":"rx","m":' + frame + b', "conn": 2, "src":"private","t":17}',
        b'{"t":17,"m":' + frame + b',"conn":2}',
        b' { "m" : ' + frame + b' , "t" : 18 } ',
    )
    first, middle, second = read(path)
    assert middle == Line(2, frame, Envelope(17, "public", 2, True))
    assert first == Line(1, frame, Envelope(17, "private", 2, True))
    assert second == Line(3, frame, Envelope(18, "public", 0, True))


@given(
    t=st.integers(0, 2**63 - 1),
    source=st.sampled_from(["public", "private", "rest", "control"]),
    text=st.text(max_size=30),
)
def test_any_frame_survives_the_writer(
    tmp_path_factory: pytest.TempPathFactory, t: int, source: str, text: str
) -> None:
    import json

    frame = json.dumps({"channel": text, "m": [text, {"m": 1}], "t": 2}).encode()
    writer = RecordingWriter(tmp_path_factory.mktemp("w"), "x", clock=ReplayClock(t))
    writer.write(frame, source=source)
    writer.close()
    assert writer.path is not None
    (line,) = read(writer.path)
    assert line.frame == frame
    assert line.envelope == Envelope(t, source, 0, True)


def test_a_frame_over_several_lines_is_written_as_one(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, "x", clock=ReplayClock(T0))
    writer.write(b'{"channel":\r\n "heartbeat"\n}')
    writer.close()
    assert writer.path is not None
    assert writer.path.read_bytes().count(b"\n") == 1
    assert len(read(writer.path)) == 1


@pytest.mark.parametrize("torn", [b'{"t":5,"src":"publ', b'{"t":5,"m":{"chann'])
def test_a_torn_last_line_is_reported_and_skipped(tmp_path: Path, torn: bytes) -> None:
    path = write(tmp_path / "torn.jsonl", b'{"t":4,"m":{"a":1}}', torn, end=b"")
    with RecordingReader(str(path)) as reader:
        assert [line.number for line in reader] == [1]
        assert reader.torn == 2


def test_a_whole_last_line_without_its_newline_is_not_torn(tmp_path: Path) -> None:
    path = write(tmp_path / "whole.jsonl", b'{"t":4,"m":{"a":1}}', end=b"")
    with RecordingReader(str(path)) as reader:
        assert len(list(reader)) == 1
        assert reader.torn is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"t":4,"m":{"a":1', "not JSON"),
        (b'{"t":"x","m":{}}', "nanoseconds"),
        (b'{"t":4,"src":"moon","m":{}}', "src 'moon'"),
        (b'{"t":4,"dir":"up","m":{}}', "dir 'up'"),
        (b'{"m":{},"t":4} {"t":5,"m":{}}', "more than one"),
        (b'["t","m"]', "not a JSON object"),
    ],
)
def test_a_bad_line_in_the_middle_names_file_line_and_reason(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = write(tmp_path / "bad.jsonl", b'{"t":1,"m":{}}', line, b'{"t":9,"m":{}}')
    with pytest.raises(RecordingError) as caught:
        read(path)
    assert caught.value.line == 2
    assert str(path) in str(caught.value)
    assert "line 2" in str(caught.value)
    assert reason in str(caught.value)


def test_f59_lines_out_of_order_are_an_error_with_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "swapped.jsonl", b'{"t":9,"m":{}}', b'{"t":4,"m":{}}')
    with pytest.raises(RecordingError, match=r"line 2: t 4 is before a line above \(9\)"):
        read(path)


def test_the_content_tells_the_compression_not_the_name(tmp_path: Path) -> None:
    lines = RAW + b"\n" + RAW + b"\n"
    for name, content in {
        "a.jsonl": gzip.compress(lines),
        "b.gz": zstandard.compress(lines),
        "c.zst": lines,
        "two-frames": zstandard.compress(lines[:-1] + b"\n") + zstandard.compress(b""),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert len(read(tmp_path / name)) == 2, name


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_compressed_file_cut_off_gives_every_whole_line_before(
    tmp_path: Path, compress: object
) -> None:
    rng = b"".join(
        b'{"t":%d,"m":{"k":"%s"}}\n' % (n, os.urandom(20).hex().encode()) for n in range(20_000)
    )
    content = compress(rng)  # type: ignore[operator]
    path = tmp_path / "cut"
    path.write_bytes(content[: len(content) * 2 // 3])
    with RecordingReader(str(path)) as reader:
        lines = list(reader)
        assert reader.torn == len(lines) + 1
    assert 1_000 < len(lines) < 20_000
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("compress", [gzip.compress, checked_zstd], ids=["gzip", "zstd"])
def test_f38_a_flipped_byte_in_a_compressed_file_is_an_error_not_a_shorter_recording(
    tmp_path: Path, compress: object
) -> None:
    lines = b"".join(
        b'{"t":%d,"m":{"k":"%s"}}\n' % (n, os.urandom(20).hex().encode()) for n in range(20_000)
    )
    content = bytearray(compress(lines))  # type: ignore[operator]
    content[len(content) // 2] ^= 0x55
    path = tmp_path / "flipped"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="flipped, line"):
        read(path)


def test_a_missing_file_says_so() -> None:
    with pytest.raises(RecordingError, match="can't be read"):
        RecordingReader("no/such/recording.jsonl")


def test_parts_rotate_by_size_and_age_and_never_overwrite(tmp_path: Path) -> None:
    clock = ReplayClock(T0)
    writer = RecordingWriter(tmp_path, "k", rotate_bytes=300, rotate_s=60, clock=clock)
    assert writer.is_due
    writer.open_part()
    while not writer.is_due:
        writer.write(RAW)
    assert 300 <= writer.part_bytes < 500
    writer.open_part()
    assert not writer.is_due
    clock.move_to(T0 + 61 * 10**9)
    assert writer.is_due
    writer.close()
    assert len(list(tmp_path.iterdir())) == 2
    again = RecordingWriter(tmp_path, "k", clock=ReplayClock(T0))
    with pytest.raises(RecordingError, match="can't be made"):
        again.open_part()  # same second, same number: the other recording's part


def test_plain_lines_are_with_the_operating_system_at_once(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, "k", clock=ReplayClock(T0))
    for _ in range(3):
        writer.write(RAW)
    assert writer.path is not None
    assert len(read(writer.path)) == 3  # nothing was closed or flushed
    writer.close()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_lines_are_with_the_operating_system_within_a_second(
    tmp_path: Path, compression: str
) -> None:
    clock = ReplayClock(T0)
    writer = RecordingWriter(tmp_path, "k", compression, clock=clock)
    for _ in range(50):
        writer.write(RAW)
    clock.move_to(T0 + 6 * 10**8)
    writer.flush_if_due()
    assert writer.path is not None
    assert len(read(writer.path)) == 50
    writer.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_stops_with_a_message_and_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RecordingWriter(tmp_path, "k", clock=ReplayClock(T0))
    writer.write(RAW)
    real = os.write
    room = [20]

    def nearly_full(descriptor: int, content: bytes) -> int:
        """Take 20 more bytes, then say what a full disk says."""
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = real(descriptor, bytes(content)[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(RecordingError, match=r"No space left on device.*1 lines are safe"):
        writer.write(RAW)
    monkeypatch.undo()
    assert writer.path is not None
    assert len(read(writer.path)) == 1
    with RecordingReader(str(writer.path)) as reader:
        list(reader)
        assert reader.torn is None
    writer.close()


def test_a_wall_clock_that_steps_back_does_not_put_lines_out_of_order(tmp_path: Path) -> None:
    class Stepping(ReplayClock):
        def now_ns(self) -> int:
            return T0 - self.time_ns * 1000  # runs backwards

    clock = Stepping(5)
    writer = RecordingWriter(tmp_path, "k", clock=clock)
    for step in range(5):
        clock.move_to(5 + step)
        writer.write(RAW)
    writer.close()
    assert writer.path is not None
    assert len(read(writer.path)) == 5


def test_control_lines_read_back_and_unknown_ones_are_left_to_newer_versions() -> None:
    event = ConnectionLost(None, "closed")
    assert read_control(write_control(event)) == event
    assert read_control(b'{"event":"from_the_future"}') is None
    with pytest.raises(MessageError):
        read_control(b"[]")
