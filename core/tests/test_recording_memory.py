"""Reading a recording takes the same memory however long it is."""

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from arbitrade.recording import RecordingReader

LINE = b'{"t":%d,"src":"public","conn":0,"dir":"rx","m":{"channel":"book","pad":"%s"}}\n'


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"]
)
def test_a_long_recording_is_read_in_constant_memory(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "long"
    path.write_bytes(compress(b"".join(LINE % (n, b"x" * 2_000) for n in range(8_000))))
    tracemalloc.start()
    try:
        with RecordingReader(str(path)) as reader:
            count = sum(1 for _ in reader)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 8_000
    # 16 MB of lines; what is held is a block of 1 MB, its lines and buffers of the decompressor.
    assert peak < 8_000_000
