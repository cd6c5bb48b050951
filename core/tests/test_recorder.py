"""What a part of a recording begins with."""

from pathlib import Path

from arbitrade.engine.engine import Engine
from arbitrade.models import BookDelta, InstrumentsChanged, MarketEvent, Subscribed, Unsubscribed
from arbitrade.recording import RecordingReader, RecordingWriter
from arbitrade.recording.recorder import Recorder
from arbitrade.testing.factories import make_instrument
from arbitrade.testing.venue import EventVenue

PAIR = "BTC/USD"
INSTRUMENTS = InstrumentsChanged(True, (make_instrument(PAIR),), ())


def parts_of(folder: Path, *events: MarketEvent) -> list[list[MarketEvent | None]]:
    """Record events, each in a part of its own; return what is in the parts."""
    venue = EventVenue()
    engine = Engine(venue, lambda _: (), lambda *_: None)
    writer = RecordingWriter(folder, "events", rotate_bytes=1)
    recorder = Recorder(venue, engine, writer, lambda _: None, lambda *_: None)
    for event in events:
        recorder.on_frame(3, venue.frame(event))
    writer.close()
    decode = venue.make_decoder().decode
    parts = []
    for path in sorted(folder.iterdir()):
        with RecordingReader(str(path)) as reader:
            parts.append([decode(line.frame) for line in reader])
    return parts


def test_a_part_knows_the_depth_of_a_book_whose_snapshot_is_still_on_its_way(
    tmp_path: Path,
) -> None:
    snapshot = BookDelta(PAIR, True, [(100, 1)], [(101, 1)], None, None)
    _, _, last = parts_of(tmp_path, INSTRUMENTS, Subscribed(PAIR, 25), snapshot)
    assert last == [INSTRUMENTS, Subscribed(PAIR, 25), snapshot]


def test_a_part_begins_without_subscriptions_that_have_ended(tmp_path: Path) -> None:
    _, _, _, last = parts_of(
        tmp_path, INSTRUMENTS, Subscribed(PAIR, 25), Unsubscribed(PAIR), INSTRUMENTS
    )
    assert last == [INSTRUMENTS, INSTRUMENTS]
