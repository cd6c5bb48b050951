"""What goes wrong on request: lost frames, wrong checksums, outages, changes of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from arbitrade.models import InstrumentStatus, VenueState
from arbitrade.synthetic.ladder import Ladder, VenueBook

if TYPE_CHECKING:
    from arbitrade.synthetic.simulation import SyntheticMarket


class Mishaps:
    """Lets each kind of trouble happen now and then."""

    def __init__(self, market: SyntheticMarket) -> None:
        self._market = market

    def start(self) -> None:
        """Begin what the settings ask for."""
        settings = self._market.settings
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
        market = self._market

        def again() -> None:
            market.after(market.spread_around(every), again)
            act()

        market.after(market.spread_around(every), again)

    def _choose(self) -> VenueBook:
        return self._market.motion.choose_listening(self._market.books)

    # ── what a subscriber can only see by the checksum ───────────────────────────────────────────

    def _lose_frame(self) -> None:
        book = self._choose()
        self._market.motion.step(book)
        self._market.entry_after(book)
        self._market.counters["lost"] += 1
        self._resync(book)

    def _corrupt_checksum(self) -> None:
        market, book = self._market, self._choose()
        market.motion.step(book)
        entry = market.entry_after(book)
        right = f'"checksum":{book.checksum()}'
        market.send_update(entry.replace(right, f'"checksum":{book.checksum() ^ 1}'))
        market.counters["corrupted"] += 1
        self._resync(book)

    def _resync(self, book: VenueBook) -> None:
        """Let the subscriber notice and ask again: two acknowledgements, later a snapshot."""
        if book.resync_due:
            return
        book.resync_due = True
        market = self._market

        def resubscribe() -> None:
            book.is_listening = False
            market.send_acknowledgement("unsubscribe", book)
            market.send_acknowledgement("subscribe", book)
            if market.rng.random() < 0.3:
                # Sent before the snapshot it belongs to: a subscriber can make nothing of it.
                market.motion.step(book)
                market.send_update(market.entry_after(book))
                market.counters["early"] += 1
            market.after(2 + market.spread_around(6), lambda: market.send_snapshot(book))

        market.after(market.spread_around(market.settings.resync_after), resubscribe)

    # ── what the venue announces ─────────────────────────────────────────────────────────────────

    def _change_precision(self) -> None:
        market, book = self._market, self._choose()
        was = book.instrument
        if book.condition:
            return
        shift = 1 if market.rng.random() < 0.5 or was.price_precision < 2 else -1
        quantity_precision = was.quantity_precision
        if market.rng.random() < 0.3:
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
        book.bids.show(market.settings.depth)
        book.asks.show(market.settings.depth)
        market.counters["precision_changes"] += 1
        market.send_instrument(book.instrument)
        self._resync(book)

    def _change_status(self) -> None:
        market, book = self._market, self._choose()
        if book.instrument.status is not InstrumentStatus.ONLINE:
            return
        status = _STATUSES[int(market.rng.random() * len(_STATUSES))]
        self._announce(book, status)
        market.counters["status_changes"] += 1
        market.after(
            market.spread_around(market.settings.outage),
            lambda: self._announce(book, InstrumentStatus.ONLINE),
        )

    def _announce(self, book: VenueBook, status: InstrumentStatus) -> None:
        book.instrument = attrs.evolve(book.instrument, status=status)
        self._market.send_instrument(book.instrument)

    def _change_engine(self) -> None:
        market = self._market
        if market.engine is not VenueState.ONLINE:
            return
        states = (VenueState.POST_ONLY, VenueState.CANCEL_ONLY, VenueState.MAINTENANCE)
        self._switch_engine(states[int(market.rng.random() * len(states))])
        market.counters["engine_changes"] += 1
        market.after(
            market.spread_around(market.settings.outage),
            lambda: self._switch_engine(VenueState.ONLINE),
        )

    def _switch_engine(self, state: VenueState) -> None:
        self._market.engine = state
        self._market.send_status()

    # ── what a book can look like ────────────────────────────────────────────────────────────────

    def _cross(self) -> None:
        market, book = self._market, self._choose()
        if book.condition or not book.asks.keys:
            return
        market.motion.cross(book)
        market.counters["crossed"] += 1
        self._hold(book, "crossed", lambda: market.motion.uncross(book))

    def _empty_side(self) -> None:
        market, book = self._market, self._choose()
        if book.condition:
            return
        side: Ladder = book.bids if market.rng.random() < 0.5 else book.asks
        side.keys.clear()
        side.lots.clear()
        market.counters["one_sided"] += 1
        self._hold(book, "one-sided", lambda: market.motion.fill(book))

    def _hold(self, book: VenueBook, condition: str, restore: Callable[[], None]) -> None:
        """Tell what just happened, keep the book so for a while, then tell that it ended."""
        market = self._market
        book.condition = condition
        market.send_update(market.entry_after(book))

        def end() -> None:
            book.condition = ""
            restore()
            if book.is_listening:
                market.send_update(market.entry_after(book))

        market.after(market.spread_around(market.settings.outage), end)


_STATUSES = (
    InstrumentStatus.CANCEL_ONLY,
    InstrumentStatus.POST_ONLY,
    InstrumentStatus.LIMIT_ONLY,
    InstrumentStatus.REDUCE_ONLY,
    InstrumentStatus.MAINTENANCE,
)
