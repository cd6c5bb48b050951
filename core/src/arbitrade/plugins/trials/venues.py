"""Tries out venues: what they write they have to read back.  Nothing is connected."""

from collections.abc import Callable, Collection, Iterator

from arbitrade.errors import MessageError
from arbitrade.models import (
    BookDelta,
    Instruments,
    InstrumentsChanged,
    MarketEvent,
    Subscribed,
    VenueState,
    VenueStateChanged,
)
from arbitrade.plugins.roles import role_problems
from arbitrade.plugins.trials.detectors import SAMPLE, sample_books
from arbitrade.plugins.trials.running import raised
from arbitrade.protocols import Decoder, Feed, Venue

_NO_FRAMES = (b"", b"\xff", b"no frame", b"[", b'{"a":')


def try_venue(venue: Venue) -> list[str]:
    """Return everything that is wrong with what a venue writes and reads."""
    problems: list[str] = []
    for member, check in _checks(venue):
        try:
            problems += [f"{venue.name}.{member}: {problem}" for problem in check()]
        except Exception as error:
            problems.append(f"{venue.name}.{member}: {raised(error)}")
    return problems


def _checks(venue: Venue) -> Iterator[tuple[str, Callable[[], Iterator[str]]]]:
    yield "make_decoder", lambda: _plays(venue.make_decoder(), Decoder)
    yield "make_feed", lambda: _plays(venue.make_feed(_nothing, _Nobody()), Feed)
    yield "encode_instruments", lambda: _instruments(venue)
    yield "encode_snapshot", lambda: _snapshots(venue)
    yield "encode_subscribed", lambda: _subscriptions(venue)
    yield "encode_state", lambda: _states(venue)
    yield "snapshot_depth", lambda: _depths(venue)
    yield "make_decoder", lambda: _no_frames(venue)


def _plays(made: object, role: type) -> Iterator[str]:
    for problem in role_problems(made, role):
        yield f"returned a {type(made).__name__} that is no {role.__name__}: {problem}"


def _instruments(venue: Venue) -> Iterator[str]:
    event = venue.make_decoder().decode(venue.encode_instruments(SAMPLE))
    if not isinstance(event, InstrumentsChanged) or list(event.pairs) != list(SAMPLE.values()):
        yield f"its frame reads back as {event!r:.200}; every figure of a pair has to come back"


def _snapshots(venue: Venue) -> Iterator[str]:
    for book in sample_books():
        symbol = book.symbol
        decoder = venue.make_decoder()
        decoder.decode(venue.encode_instruments(Instruments([SAMPLE[symbol]])))
        event = decoder.decode(venue.encode_snapshot(book, book.timestamp))
        if not isinstance(event, BookDelta) or not event.is_snapshot or event.symbol != symbol:
            yield f"its frame reads back as {event!r:.200}; it has to be this book's snapshot"
            continue
        for side in ("bids", "asks"):
            levels, wanted = list(getattr(event, side)), list(getattr(book, side))
            if any(not isinstance(number, int) for level in levels for number in level):
                yield f"a level of {side} is {levels[0]!r}; levels are integers, (ticks, lots)"
            elif [tuple(level) for level in levels] != wanted:
                yield f"its {side} read back as {levels!r:.100} instead of {wanted!r:.100}"
        checksum: object = venue.checksum(book)
        if not isinstance(checksum, int):
            yield f"checksum is {checksum!r}; it has to be an int"
        elif event.checksum is not None and event.checksum != checksum:
            yield f"its frame has the checksum {event.checksum}, the book {checksum}"
        if event.timestamp != book.timestamp:
            yield f"its time reads back as {event.timestamp!r} instead of {book.timestamp!r}"


def _subscriptions(venue: Venue) -> Iterator[str]:
    decoder = venue.make_decoder()
    decoder.decode(venue.encode_instruments(SAMPLE))
    depth = venue.snapshot_depth(10)
    event = decoder.decode(venue.encode_subscribed("BTC/USD", depth))
    if not isinstance(event, Subscribed) or (event.symbol, event.depth) != ("BTC/USD", depth):
        yield f"its frame reads back as {event!r:.200}; it has to be Subscribed('BTC/USD', {depth})"


def _states(venue: Venue) -> Iterator[str]:
    for state in (VenueState.ONLINE, VenueState.MAINTENANCE):
        event = venue.make_decoder().decode(venue.encode_state(state))
        if event != VenueStateChanged(state):
            yield f"its frame reads back as {event!r:.200} instead of {state}"


def _depths(venue: Venue) -> Iterator[str]:
    for levels in (1, 10, 11, 100):
        depth: object = venue.snapshot_depth(levels)
        if not isinstance(depth, int) or depth < levels:
            yield f"returned {depth!r} for {levels} levels; return a depth that holds them"


def _no_frames(venue: Venue) -> Iterator[str]:
    for frame in _NO_FRAMES:
        try:
            venue.make_decoder().decode(frame)
        except MessageError:
            continue
        except Exception as error:
            yield f"decoding {frame!r} {raised(error)}; raise MessageError, which feeds handle"


def _nothing(instruments: Instruments) -> Collection[str]:
    return ()


class _Nobody:
    """A feed's handler that nothing reaches, because the feed never runs."""

    def on_frame(self, connection: int, frame: bytes) -> MarketEvent | None:
        return None

    def on_sent(self, connection: int, frame: bytes) -> None:
        """Let a request of the feed's go by."""

    def on_event(self, connection: int, event: MarketEvent) -> None:
        """Let an event of the feed's go by."""
