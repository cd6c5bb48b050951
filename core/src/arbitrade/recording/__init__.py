"""Recordings: one JSON object a line, raw venue frames or envelopes, plain, gzip or zstd.

Envelope: `{"t": <ns since epoch>, "src": "public|private|rest|control", "conn": <n>,
"dir": "rx|tx", "m": <frame>}`.  A control line's `m` is an event of ours, such as a connection
lost.
"""

from arbitrade.recording.control import read_control, write_control
from arbitrade.recording.reader import Envelope, Line, RecordingReader
from arbitrade.recording.recorder import Recorder
from arbitrade.recording.writer import RecordingWriter

__all__ = [
    "Envelope",
    "Line",
    "Recorder",
    "RecordingReader",
    "RecordingWriter",
    "read_control",
    "write_control",
]
