"""What goes wrong on request: lost frames, wrong checksums, outages, changes of rules."""

from collections.abc import Callable

import attrs

from arbitrade.models import InstrumentStatus, VenueState
from arbitrade.synthetic.ladder import Ladder, VenueBook
from arbitrade.synthetic.stage import Stage


class Mishaps:
    """Lets each kind of trouble happen now and then on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def start(self) -> None:
        """Begin what the settings ask for."""
        settings = self._stage.settings
        for every, act in (
            (settings.lost_every, self._lose_frame),
            (settings.corrupt_every, self._corrupt_checksum),
            (settings.precision_change_every, self._change_precision),
            (settings.status_change_every, self._change_status),
            (settings.engine_change_every, self._change_engine),
            (settings.crossed_every, self._cross),
            (settings.one_sided_every, self._empty_side),
        ):
            if every:
                self._repeat(every, act)

    def _repeat(self, every: int, act: Callable[[], None]) -> None:
        stage = self._stage

        def again() -> None:
            stage.after(stage.spread_around(every), again)
            act()

        stage.after(stage.spread_around(every), again)

    # ── what a subscriber can only see by the checksum ───────────────────────────────────────────

    def _lose_frame(self) -> None:
        book = self._stage.choose_listening()
        self._stage.motion.step(book)
        self._stage.entry_after(book)
        self._stage.counters["lost"] += 1
        self._resync(book)

    def _corrupt_checksum(self) -> None:
        stage, book = self._stage, self._stage.choose_listening()
        stage.motion.step(book)
        entry = stage.entry_after(book)
        right = f'"checksum":{book.checksum()}'
        stage.send_update(entry.replace(right, f'"checksum":{book.checksum() ^ 1}'))
        stage.counters["corrupted"] += 1
        self._resync(book)

    def _resync(self, book: VenueBook) -> None:
        """Let the subscriber notice and ask again: two acknowledgements, later a snapshot."""
        if book.resync_due:
            return
        book.resync_due = True
        stage = self._stage

        def resubscribe() -> None:
            book.is_listening = False
            stage.send_acknowledgement("unsubscribe", book)
            stage.send_acknowledgement("subscribe", book)
            if stage.rng.random() < 0.3:
                # Sent before the snapshot it belongs to: a subscriber can make nothing of it.
                stage.motion.step(book)
                stage.send_update(stage.entry_after(book))
                stage.counters["early"] += 1
            stage.after(2 + stage.spread_around(6), lambda: stage.send_snapshot(book))

        stage.after(stage.spread_around(stage.settings.resync_after), resubscribe)

    # ── what the venue announces ─────────────────────────────────────────────────────────────────

    def _change_precision(self) -> None:
        stage, book = self._stage, self._stage.choose_listening()
        was = book.instrument
        if book.condition:
            return
        shift = 1 if stage.rng.random() < 0.5 or was.price_precision < 2 else -1
        quantity_precision = was.quantity_precision
        if stage.rng.random() < 0.3:
            quantity_precision = 5 if quantity_precision == 8 else 8
        precision = min(10, was.price_precision + shift)
        coarse = was.price_increment.scaleb(was.price_precision)
        coarse_lot = was.quantity_increment.scaleb(was.quantity_precision)
        changed = attrs.evolve(
            was,
            price_precision=precision,
            price_increment=coarse.scaleb(-precision),
            quantity_precision=quantity_precision,
            quantity_increment=coarse_lot.scaleb(-quantity_precision),
        )
        book.rescale(changed)
        book.bids.show(stage.settings.depth)
        book.asks.show(stage.settings.depth)
        stage.counters["precision_changes"] += 1
        stage.send_instrument(book.instrument)
        self._resync(book)

    def _change_status(self) -> None:
        stage, book = self._stage, self._stage.choose_listening()
        if book.instrument.status is not InstrumentStatus.ONLINE:
            return
        status = _STATUSES[int(stage.rng.random() * len(_STATUSES))]
        self._announce(book, status)
        stage.counters["status_changes"] += 1
        stage.after(
            stage.spread_around(stage.settings.outage),
            lambda: self._announce(book, InstrumentStatus.ONLINE),
        )

    def _announce(self, book: VenueBook, status: InstrumentStatus) -> None:
        book.instrument = attrs.evolve(book.instrument, status=status)
        self._stage.send_instrument(book.instrument)

    def _change_engine(self) -> None:
        stage = self._stage
        if stage.engine is not VenueState.ONLINE:
            return
        states = (VenueState.POST_ONLY, VenueState.CANCEL_ONLY, VenueState.MAINTENANCE)
        self._switch_engine(states[int(stage.rng.random() * len(states))])
        stage.counters["engine_changes"] += 1
        stage.after(
            stage.spread_around(stage.settings.outage),
            lambda: self._switch_engine(VenueState.ONLINE),
        )

    def _switch_engine(self, state: VenueState) -> None:
        self._stage.engine = state
        self._stage.send_status()

    # ── what a book can look like ────────────────────────────────────────────────────────────────

    def _cross(self) -> None:
        stage, book = self._stage, self._stage.choose_listening()
        if book.condition or not book.asks.keys:
            return
        stage.motion.cross(book)
        stage.counters["crossed"] += 1
        self._hold(book, "crossed", lambda: stage.motion.uncross(book))

    def _empty_side(self) -> None:
        stage, book = self._stage, self._stage.choose_listening()
        if book.condition:
            return
        side: Ladder = book.bids if stage.rng.random() < 0.5 else book.asks
        side.keys.clear()
        side.lots.clear()
        stage.counters["one_sided"] += 1
        self._hold(book, "one-sided", lambda: stage.motion.fill(book))

    def _hold(self, book: VenueBook, condition: str, restore: Callable[[], None]) -> None:
        """Tell what just happened, keep the book so for a while, then tell that it ended."""
        stage = self._stage
        book.condition = condition
        stage.send_update(stage.entry_after(book))

        def end() -> None:
            book.condition = ""
            restore()
            if book.is_listening:
                stage.send_update(stage.entry_after(book))

        stage.after(stage.spread_around(stage.settings.outage), end)


_STATUSES = (
    InstrumentStatus.CANCEL_ONLY,
    InstrumentStatus.POST_ONLY,
    InstrumentStatus.LIMIT_ONLY,
    InstrumentStatus.REDUCE_ONLY,
    InstrumentStatus.MAINTENANCE,
)
